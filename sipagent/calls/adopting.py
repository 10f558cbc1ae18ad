"""Going on with calls that nobody attends: those of workers that are gone, and what an outage left."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from sipagent.calls.checkpoint import Checkpoint, decode, decode_ringing
from sipagent.calls.client import CallsClient
from sipagent.calls.endings import EndReason, fault_owner
from sipagent.calls.generation import Generation
from sipagent.calls.lease import Terms
from sipagent.calls.outages import clear_key
from sipagent.calls.services import CallServices
from sipagent.calls.shift_settings import ShiftSettings
from sipagent.calls.supervisor import Supervisor
from sipagent.errors import CallControlError, CallGoneError, StoreError, UserError
from sipagent.identifiers import CallId
from sipagent.store import CallEnded, ClaimedCall, Fact, Store
from sipagent.telemetry import Metrics

logger = logging.getLogger(__name__)

UNCLAIMED_FOR_S = 120.0
"""A call without an end that nobody has claimed, and that began so long ago, is nobody's."""


class Adopter:
    """Adopts calls for the worker of one process."""

    def __init__(
        self,
        *,
        memory: Store,
        supervisor: Supervisor,
        client: CallsClient,
        record: Callable[[Fact], None],
        restore: Callable[[str], Awaitable[Generation | None]],
        services_at: Callable[[str], Awaitable[CallServices]] | None = None,
        metrics: Metrics,
        utc_now: Callable[[], datetime],
        settings: ShiftSettings,
    ) -> None:
        """``restore`` gives the generation of a configuration that is not loaded here, by its fingerprint;
        ``services_at`` what calls of an API are served with, by its address, where there may be several."""
        self._memory = memory
        self._supervisor = supervisor
        self._client = client
        self._record = record
        self._restore = restore
        self._services_at = services_at
        self._metrics = metrics
        self._utc_now = utc_now
        self._settings = settings
        self._uncertain = False

    async def adopt_some(self, terms: Terms) -> int:
        """Take over a few calls of workers that are gone, and go on with them; how many those were. Raises
        `StoreError`, and `TimeoutError` when the database does not answer. Cancelled, calls that were taken
        and not begun are found again when this worker is gone."""
        settings = self._settings
        found: tuple[ClaimedCall, ...] = ()
        async with asyncio.timeout(settings.database_timeout_s):
            if self._uncertain:
                # The answer to an earlier adoption was lost, and calls may be ours without our knowing.
                found = await self._memory.claims(terms.worker)
                self._uncertain = False
            self._uncertain = True
            adopted = await self._memory.adopt(
                terms.worker, limit=settings.adopt_at_once, quiet_s=settings.quiet_s
            )
            self._uncertain = False
            uptime_s = await self._memory.uptime_s() if adopted else 0.0
        forgotten = [each for each in found if not self._supervisor.has_seen(each.call_id)]
        certain_s = min(uptime_s, terms.outages.undisturbed_s) - self._settings.heartbeat_s
        for claimed in forgotten:
            # For how long the worker before had not been seen is not known any more.
            await self._go_on_with(claimed, terms, doubtful=True)
        for claimed in adopted:
            doubtful = certain_s <= claimed.unseen_s or not await self._was_clear(claimed)
            if not doubtful:
                await self._enter_clear(claimed)
            await self._go_on_with(claimed, terms, doubtful=doubtful)
        return len(adopted)

    async def _go_on_with(self, claimed: ClaimedCall, terms: Terms, *, doubtful: bool) -> None:
        holding = terms.holding(claimed.epoch)
        logger.info(
            "Call %s is adopted from worker %s, last seen %.1f s ago",
            claimed.call_id,
            claimed.former,
            claimed.unseen_s,
        )
        self._metrics.workers.adopted()
        try:
            ringing = decode_ringing(claimed.webhook)
            checkpoint = None if claimed.checkpoint is None else decode(claimed.checkpoint)
            if ringing.incoming.line != "sip":
                # Nobody can attach to audio that went to another process; the carrier has asked what is next.
                self._end(claimed.call_id, "The caller's audio went to a process that was gone.")
                return
            generation = await self._generation_for(checkpoint)
            # The last that is waited for: nobody keeps a client open that no call uses.
            services = await self._services_for(checkpoint)
        except (StoreError, UserError) as error:
            logger.error("Call %s cannot be gone on with: %s", claimed.call_id, error)
            await self._close(claimed.call_id, "What was known of the call could not be read.")
            return
        self._supervisor.adopt(ringing, checkpoint, holding, generation, services=services, doubtful=doubtful)

    async def _services_for(self, checkpoint: Checkpoint | None) -> CallServices | None:
        if checkpoint is None or checkpoint.address is None or self._services_at is None:
            return None
        return await self._services_at(checkpoint.address)

    async def _was_clear(self, claimed: ClaimedCall) -> bool:
        """Whether the one that held the call before was in no doubt about what was done in it."""
        former = claimed.epoch - 1
        if former <= 1:
            return True  # it answered the call
        try:
            async with asyncio.timeout(self._settings.database_timeout_s):
                entered = await self._memory.effects(claimed.call_id)
        except (StoreError, TimeoutError):
            return False
        return any(effect.key == clear_key(former) for effect in entered)

    async def _enter_clear(self, claimed: ClaimedCall) -> None:
        """Say so for whoever may adopt the call from us; unheard, they are in doubt, which is safe."""
        key = clear_key(claimed.epoch)
        try:
            async with asyncio.timeout(self._settings.database_timeout_s):
                await self._memory.begin_effect(claimed.call_id, key, claimed.worker, claimed.epoch)
        except (StoreError, TimeoutError) as error:
            logger.warning("Who adopts call %s next will be in doubt: %s", claimed.call_id, error)

    async def _generation_for(self, checkpoint: Checkpoint | None) -> Generation:
        current = self._supervisor.current
        if checkpoint is None or checkpoint.configuration == current.fingerprint:
            return current
        found = self._supervisor.generation(checkpoint.configuration)
        if found is None:
            found = await self._restore(checkpoint.configuration)
        if found is None:
            logger.warning(
                "Configuration %s is not to be had: the call goes on with %s",
                checkpoint.configuration,
                current.fingerprint,
            )
        return found or current

    # What nobody holds ------------------------------------------------------------------------------

    async def sweep(self) -> None:
        """End truthfully what a total outage left behind without a claim. Raises `StoreError`."""
        before = self._utc_now() - timedelta(seconds=UNCLAIMED_FOR_S)
        for call in await self._memory.unfinished(before):
            if self._supervisor.live(call.call_id) is None:
                await self._close(call.call_id, "Nobody held the call any more.")

    async def _close(self, call_id: CallId, detail: str) -> None:
        """Hang up a call that nobody can go on with, so that it costs nothing more, and end its record."""
        try:
            await self._client.hang_up(call_id)
        except CallGoneError:
            detail = f"{detail} It was over."
        except CallControlError as error:
            logger.error("Call %s could not be hung up: %s", call_id, error)
        self._end(call_id, detail)

    def _end(self, call_id: CallId, detail: str) -> None:
        reason = EndReason.WORKER_LOST
        self._record(
            CallEnded(
                call_id=call_id,
                at=self._utc_now(),
                reason=reason.value,
                fault_owner=fault_owner(reason).value,
                detail=detail,
            )
        )
