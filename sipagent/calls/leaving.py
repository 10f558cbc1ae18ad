"""How a worker leaves: it hands its calls to the others, and does not go before they have them.

Whom the database believes to be there may have died a moment ago, or may be leaving too. Nobody would take
the calls then, and their callers would hear nobody. So the worker that gave them up waits until they are
taken; calls that nobody takes it takes back, and lets them end as if it had been alone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence

from sipagent.calls.adopting import Adopter
from sipagent.calls.claiming import Claims
from sipagent.calls.lease import Terms
from sipagent.calls.shift_settings import ShiftSettings
from sipagent.calls.supervisor import Supervisor
from sipagent.errors import StoreError
from sipagent.identifiers import CallId
from sipagent.store import Store
from sipagent.store.leases import NOBODY

logger = logging.getLogger(__name__)

LOOK_S = 0.05


class HandingOver:
    """The leaving of one process. `hand_over` is all of it."""

    def __init__(
        self,
        *,
        memory: Store,
        supervisor: Supervisor,
        adopter: Adopter,
        claims: Claims,
        flush: Callable[[float], Awaitable[bool]],
        terms: Callable[[], Terms],
        may_adopt: Callable[[], bool],
        database_away: Callable[[], bool],
        settings: ShiftSettings,
    ) -> None:
        """``flush`` returns once everything recorded is in the store, or after so many seconds. ``terms`` are
        those of the process now; ``may_adopt`` says whether it has seen enough of the database to take calls
        of others, as they must before they take ours."""
        self._memory = memory
        self._supervisor = supervisor
        self._adopter = adopter
        self._claims = claims
        self._flush = flush
        self._terms = terms
        self._may_adopt = may_adopt
        self._database_away = database_away
        self._settings = settings
        self.begun = False
        """Whether calls are the others' from now on: those that are up, and those that come."""
        self.is_last = False
        """Whether there is nobody else: what is orphaned while this process drains is its own to take."""

    async def hand_over(self) -> bool:
        """Leave the calls to others at once; returns when they have them. False when there is nobody who
        takes them, or the database is away, or some calls cannot be handed over: those are this worker's
        still. Once it has begun, new calls are claimed for the others. Cancel-safe."""
        if not await self._has_others() or self._claims.deferred:
            return False
        self.begun = True
        await self._adopter.settled(self._settings.hand_over_patience_s)
        given = await self._let_go_of_all()
        if not await self._are_taken(given):
            await self._take_back()
        return self._supervisor.live_calls == 0

    async def give_up(self, call_ids: Sequence[CallId]) -> None:
        """Say that these calls are nobody's. A database that does not hear it hears that this worker leaves,
        or misses its heartbeat, which comes to the same a little later."""
        terms = self._terms()
        try:
            async with (
                asyncio.timeout(self._settings.database_timeout_s),
                terms.outages.told(self._memory),
            ):
                await self._memory.hand_over(terms.worker, call_ids)
        except (StoreError, TimeoutError) as error:
            logger.warning("The others were not told of %d calls: %s", len(call_ids), _words(error))

    async def _has_others(self) -> bool:
        # After an outage nobody adopts for a while. Until then calls are better off where they are.
        while (  # noqa: ASYNC110 - what is waited for is time
            self._supervisor.live_calls and not self._may_adopt() and not self._database_away()
        ):
            await asyncio.sleep(LOOK_S)
        try:
            async with asyncio.timeout(self._settings.database_timeout_s):
                seen = await self._memory.workers()
        except (StoreError, TimeoutError) as error:
            logger.warning("Nobody can be handed the calls: %s", _words(error))
            return False
        worker = self._terms().worker
        others = [each for each in seen if each.state == "up" and each.worker != worker]
        logger.info("Leaving %d calls to %d workers", self._supervisor.live_calls, len(others))
        self.is_last = not others
        return bool(others)

    async def _let_go_of_all(self) -> set[CallId]:
        """Let go of every call that can be handed over, and give it up; which those were."""
        given: set[CallId] = set()
        loop, settings = asyncio.get_running_loop(), self._settings
        deadline = loop.time() + settings.hand_over_patience_s
        # Calls whose claims the database has not taken could be found by nobody: they stay.
        while left := [
            each for each in self._supervisor.movable_call_ids if each not in self._claims.deferred
        ]:
            late = loop.time() >= deadline
            ready = [
                call_id
                for call_id in left
                if late or ((live := self._supervisor.live(call_id)) is not None and not live.has_work)
            ]
            if ready:
                await self._supervisor.let_go(ready)
                await self._flush(settings.database_timeout_s)
                await self.give_up(ready)
                given.update(ready)
            else:
                await asyncio.sleep(0.02)
        return given

    async def _are_taken(self, given: Collection[CallId]) -> bool:
        """Wait until somebody has each of these calls; False when nobody takes any of them for a while. A
        database that does not say so could give nothing back either."""
        loop, settings = asyncio.get_running_loop(), self._settings
        left, until = len(given), loop.time() + settings.taken_patience_s
        while left:
            try:
                async with asyncio.timeout(settings.database_timeout_s):
                    nobodys = await self._memory.claims(NOBODY)
            except (StoreError, TimeoutError) as error:
                if loop.time() >= until:
                    logger.warning("Whether the calls were taken cannot be told: %s", _words(error))
                    return True
            else:
                waiting = sum(claimed.call_id in given for claimed in nobodys)
                if waiting < left:
                    left, until = waiting, loop.time() + settings.taken_patience_s
                elif loop.time() >= until:
                    logger.warning("Nobody took %d calls", waiting)
                    return False
            if left:
                await asyncio.sleep(LOOK_S)
        return True

    async def _take_back(self) -> None:
        """Go on with the calls that nobody took, and with what others left in the same way."""
        self.begun, self.is_last = False, True
        loop, terms = asyncio.get_running_loop(), self._terms()
        until = loop.time() + self._settings.lease_s
        while True:
            try:
                await self._adopter.find_ours(terms)
                if not await self._adopter.adopt_some(terms, take_back=True):
                    return
            except (StoreError, TimeoutError) as error:
                logger.warning("The calls could not be taken back yet: %s", _words(error))
                if loop.time() >= until:
                    return  # they are gone on with as soon as the database is there, by whoever is there then
                await asyncio.sleep(self._settings.look_s)


def _words(error: Exception) -> str:
    return str(error) or "no answer in time"
