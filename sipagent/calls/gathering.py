"""Claims of one burst go to the database together.

A claim that comes alone goes at once, and so do those that come with it, together. Those that come while
they are under way wait for them, and go together in the next one. So a claim waits for two answers at most,
however many calls come at the same time.

Nobody owns a task for it: whoever's turn it is asks for all that wait, and whoever waits takes the next turn.
A claim may be repeated, so when the one who asks is cancelled, the next one asks for all of them again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol, TypeAlias

from sipagent.errors import StoreAwayError, StoreError
from sipagent.identifiers import CallId, WorkerId

MOST_AT_ONCE = 500
"""Claims in one transaction, so that none of them waits for long."""
MOST_WAITING = 5_000
"""Claims that wait; who comes then is told at once that the database takes no more."""


class TakesClaims(Protocol):
    """What a store does for claims: see `CallLeases.claim_all`."""

    async def claim_all(self, worker: WorkerId, webhooks: Mapping[CallId, str]) -> Mapping[CallId, int]:
        """See `CallLeases.claim_all`."""


class _Turn(Enum):
    """What somebody who waits is told instead of an answer."""

    YOURS = "yours"
    """Ask for all that wait."""
    ALONE = "alone"
    """The database refused what you were asked for with. Ask for your own claim alone."""


_Told: TypeAlias = "asyncio.Future[int | None | _Turn]"


@dataclass(slots=True, eq=False, kw_only=True)
class _Waiting:
    call_id: CallId
    webhook: str
    told: _Told = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class ClaimGatherer:
    """Claims for one worker."""

    def __init__(self, store: TakesClaims, worker: WorkerId) -> None:
        self._store = store
        self._worker = worker
        self._waiting: deque[_Waiting] = deque()
        self._asking = False
        """Whether somebody asks, or has been told to."""

    async def claim(self, call_id: CallId, webhook: str) -> int | None:
        """The epoch in which the call belongs to the worker; None when it is another's, or has ended.

        Raises `StoreError`. Cancelled, the claim may have been made all the same, and nobody else's is lost.
        """
        if len(self._waiting) >= MOST_WAITING:
            raise StoreAwayError(f"{MOST_WAITING} claims wait for the database", serves_nobody=False)
        mine = _Waiting(call_id=call_id, webhook=webhook)
        if not self._asking:
            self._asking = True
            try:
                # Those that came in the same moment have yet to ask.
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                self._pass_on()
                raise
            return await self._ask(mine)
        self._waiting.append(mine)
        try:
            told = await mine.told
        except asyncio.CancelledError:
            if mine in self._waiting:
                self._waiting.remove(mine)
            elif mine.told.done() and not mine.told.cancelled() and _is_turn(mine.told):
                self._pass_on()
            raise
        match told:
            case _Turn.YOURS:
                return await self._ask(mine)
            case _Turn.ALONE:
                return await self._ask_alone(mine)
            case _:
                return told

    async def _ask(self, mine: _Waiting) -> int | None:
        """Claim ``mine`` and what waits, and tell everybody."""
        others = [self._waiting.popleft() for _ in range(min(len(self._waiting), MOST_AT_ONCE - 1))]
        webhooks = {mine.call_id: mine.webhook}
        for one in others:
            webhooks.setdefault(one.call_id, one.webhook)
        try:
            held = await self._store.claim_all(self._worker, webhooks)
        except StoreError as error:
            refused = bool(others) and not isinstance(error, StoreAwayError)
            for one in others:
                if not one.told.done():
                    if refused:
                        one.told.set_result(_Turn.ALONE)
                    else:
                        one.told.set_exception(error)
            if refused:
                return await self._ask_alone(mine)
            raise
        except BaseException:
            # Nobody knows what became of them.
            self._waiting.extendleft(reversed([one for one in others if not one.told.done()]))
            raise
        else:
            for one in others:
                if not one.told.done():
                    one.told.set_result(held.get(one.call_id))
            return held.get(mine.call_id)
        finally:
            self._pass_on()

    async def _ask_alone(self, mine: _Waiting) -> int | None:
        held = await self._store.claim_all(self._worker, {mine.call_id: mine.webhook})
        return held.get(mine.call_id)

    def _pass_on(self) -> None:
        """Let the next one ask, if there is one."""
        while self._waiting:
            following = self._waiting.popleft()
            if not following.told.done():
                following.told.set_result(_Turn.YOURS)
                return
        self._asking = False


def _is_turn(told: _Told) -> bool:
    return told.exception() is None and told.result() is _Turn.YOURS
