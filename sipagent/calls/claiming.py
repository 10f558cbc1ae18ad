"""The claims of one process: those it makes when a call comes, and those the database has yet to take."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from sipagent.calls.checkpoint import Ringing, encode_ringing
from sipagent.calls.gathering import MOST_AT_ONCE, ClaimGatherer
from sipagent.calls.supervisor import Supervisor
from sipagent.errors import StoreAwayError, StoreError
from sipagent.identifiers import CallId, WorkerId
from sipagent.store import Store
from sipagent.telemetry import Metrics

logger = logging.getLogger(__name__)


class Claims:
    """Claims calls for the worker of one process."""

    def __init__(self, *, memory: Store, supervisor: Supervisor, metrics: Metrics, timeout_s: float) -> None:
        """``timeout_s`` is how long a claim may take."""
        self._memory = memory
        self._supervisor = supervisor
        self._metrics = metrics
        self._timeout_s = timeout_s
        self._gatherers: dict[WorkerId, ClaimGatherer] = {}
        self._deferred: dict[CallId, Ringing] = {}

    @property
    def deferred(self) -> frozenset[CallId]:
        """Calls that are answered, and whose claims the database has not taken yet."""
        return frozenset(self._deferred)

    async def claim(self, worker: WorkerId, ringing: Ringing) -> int | None:
        """The epoch in which ``worker`` has the call now; None when it is another's, or has ended.

        Raises `StoreError`, and `TimeoutError` when the database does not answer in time: it may take the
        claim even so, and when cancelled too.
        """
        gatherer = self._gatherers.get(worker)
        if gatherer is None:
            # A process has one worker at a time; claims for the one before it are its own affair.
            gatherer = ClaimGatherer(self._memory, worker)
            self._gatherers = {worker: gatherer}
        async with asyncio.timeout(self._timeout_s):
            return await gatherer.claim(ringing.incoming.call_id, encode_ringing(ringing))

    def defer(self, ringing: Ringing) -> None:
        """The call is answered, and claimed later."""
        self._metrics.workers.claim_deferred()
        self._deferred[ringing.incoming.call_id] = ringing

    async def catch_up(self, worker: WorkerId) -> bool:
        """Make the claims that were deferred, of calls that are up still.

        What turns out to be another's is let go of; so is what ``worker`` has by an adoption that it does not
        know of. False: there was such a call. Raises `StoreError`, and goes on where it stopped next time.
        """
        for call_id in [each for each in self._deferred if self._supervisor.live(each) is None]:
            del self._deferred[call_id]
        knows_all = True
        waiting = list(self._deferred.items())
        for begin in range(0, len(waiting), MOST_AT_ONCE):
            some = waiting[begin : begin + MOST_AT_ONCE]
            webhooks = {call_id: encode_ringing(ringing) for call_id, ringing in some}
            for call_id, epoch in (await self._answers(worker, webhooks)).items():
                self._deferred.pop(call_id, None)
                live = self._supervisor.live(call_id)
                if epoch == 1:
                    if live is not None:
                        live.write_checkpoint()
                    continue
                knows_all = knows_all and epoch is None
                logger.warning("Call %s turned out to be another worker's", call_id)
                await self._supervisor.let_go([call_id])
        return knows_all

    async def _answers(self, worker: WorkerId, webhooks: Mapping[CallId, str]) -> dict[CallId, int | None]:
        """What the database says to each claim; nothing of one that it refuses by itself, which keeps waiting
        and holds up no other."""
        try:
            held = await self._memory.claim_all(worker, webhooks)
        except StoreAwayError:
            raise
        except StoreError as error:
            if len(webhooks) == 1:
                logger.error("The database refuses a claim: %s", error)
                return {}
            found: dict[CallId, int | None] = {}
            for call_id, webhook in webhooks.items():
                found |= await self._answers(worker, {call_id: webhook})
            return found
        return {call_id: held.get(call_id) for call_id in webhooks}
