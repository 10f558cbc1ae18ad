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

DOUBT_S = 15.0
"""For how long the database may still do what it was asked and has not answered."""
RESTORE_S = 5.0
"""How long a caller waits, at most, for a configuration that is not loaded here."""
UNCLAIMED_FOR_S = 120.0
"""A call without an end that nobody has claimed, and that began so long ago, is nobody's."""
LOOK_AGAIN_S = 15.0
"""If it still is after so long."""


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
        self._doubts_until: float | None = None
        self._working = asyncio.Lock()
        """Held while calls are gone on with."""

    async def settled(self, patience_s: float) -> None:
        """Return when no call is being gone on with, or after ``patience_s``. Cancel-safe."""
        try:
            async with asyncio.timeout(patience_s), self._working:
                pass
        except TimeoutError:
            logger.warning("Calls are still being adopted after %g s", patience_s)

    def doubt(self) -> None:
        """An answer of the database was lost, or is late: calls may be ours without our knowing it, or become
        so. They are looked for until what was asked can no more be under way."""
        self._doubts_until = asyncio.get_running_loop().time() + DOUBT_S

    async def find_ours(self, terms: Terms) -> int:
        """Go on with calls that are this worker's without its knowing; how many those were. It asks the
        database only where there is doubt. Raises, and is cancelled, as `adopt_some`."""
        if self._doubts_until is None:
            return 0
        async with self._working:
            async with asyncio.timeout(self._settings.database_timeout_s):
                ours = await self._memory.claims(terms.worker)
            if asyncio.get_running_loop().time() >= self._doubts_until:
                self._doubts_until = None
            count = 0
            for claimed in ours:
                if not self._is_being_answered(claimed, terms):
                    count += await self._go_on_with(claimed, terms, doubtful=True)
            return count

    async def adopt_some(self, terms: Terms, *, take_back: bool = False) -> int:
        """Take over a few calls of workers that are gone, and go on with them; how many those were. With
        ``take_back`` calls are among them that this worker gave up and nobody took. Raises `StoreError`, and
        `TimeoutError` when the database does not answer. When it raises, or is cancelled, calls may have been
        taken: `find_ours` goes on with them."""
        async with self._working:
            return await self._adopt_some(terms, take_back=take_back)

    async def _adopt_some(self, terms: Terms, *, take_back: bool) -> int:
        settings = self._settings
        adopted: tuple[ClaimedCall, ...] = ()
        certain = False
        try:
            async with asyncio.timeout(settings.database_timeout_s):
                adopted = await self._memory.adopt(
                    terms.worker,
                    limit=settings.adopt_at_once,
                    quiet_s=settings.quiet_s,
                    take_back=take_back,
                )
                uptime_s = await self._memory.uptime_s() if adopted else 0.0
            # Only while the database served nobody may a worker have done what is not entered there.
            there_s = min(uptime_s, terms.outages.undisturbed_s) - settings.heartbeat_s
            for claimed in adopted:
                doubtful = there_s <= claimed.unseen_s or not await self._was_clear(claimed)
                if not doubtful:
                    await self._enter_clear(claimed)
                await self._go_on_with(claimed, terms, doubtful=doubtful)
            certain = True
        finally:
            if not certain:
                self.doubt()
        return len(adopted)

    def _is_being_answered(self, claimed: ClaimedCall, terms: Terms) -> bool:
        """Whether somebody here has the call, or is about to: the audio of a call that no process has had
        before comes to whoever claimed it."""
        if self._supervisor.has_begun(claimed.call_id, terms.holding(claimed.epoch)):
            return True
        try:
            return claimed.epoch == 1 and decode_ringing(claimed.webhook).incoming.line != "sip"
        except StoreError:
            return False

    async def _go_on_with(self, claimed: ClaimedCall, terms: Terms, *, doubtful: bool) -> bool:
        """False when that was begun before."""
        holding = terms.holding(claimed.epoch)
        if terms.over or not self._supervisor.begin(claimed.call_id, holding):
            return False
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
            if ringing.incoming.line == "none":
                self._end_refused(claimed.call_id, checkpoint)
                return True
            if ringing.incoming.line != "sip":
                # Nobody can attach to audio that went to another process; the carrier has asked what is next.
                self._end(claimed.call_id, "The caller's audio went to a process that was gone.")
                return True
        except StoreError as error:
            logger.error("Call %s cannot be gone on with: %s", claimed.call_id, error)
            await self._close(claimed.call_id, "What was known of the call could not be read.")
            return True
        generation = await self._generation_for(checkpoint)
        if self._supervisor.live(claimed.call_id) is not None:
            # It was answered here without a claim, and elsewhere with one, by a worker that is gone.
            await self._supervisor.let_go([claimed.call_id])
        try:
            # The last that is waited for: nobody keeps a client open that no call uses.
            services = await self._services_for(checkpoint)
        except UserError as error:
            logger.error("Call %s goes on where new calls are: %s", claimed.call_id, error)
            services = None
        if self._supervisor.is_closed:
            return False  # a process that ends leaves it to whoever adopts from it
        if not terms.over:
            self._supervisor.adopt(
                ringing, checkpoint, holding, generation, services=services, doubtful=doubtful
            )
        return True

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
            try:
                async with asyncio.timeout(RESTORE_S):
                    found = await self._restore(checkpoint.configuration)
            except (StoreError, UserError, TimeoutError) as error:
                # The caller waits, and any agent is better than none.
                logger.warning("A configuration could not be had: %s", str(error) or "it took too long")
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
        if not (found := {call.call_id for call in await self._memory.unfinished(before)}):
            return
        # Whoever was cut off may be telling just now, one after the other, what it answered meanwhile, that
        # it has the call, and how it ended.
        await asyncio.sleep(LOOK_AGAIN_S)
        for call in await self._memory.unfinished(before):
            if call.call_id in found and self._supervisor.live(call.call_id) is None:
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

    def _end_refused(self, call_id: CallId, checkpoint: Checkpoint | None) -> None:
        """The carrier has the refusal, and only the record lacks its end."""
        if checkpoint is None or checkpoint.refusal is None:
            self._end(call_id, "The process that refused the call was gone before it had said why.")
            return
        reason, status, detail = checkpoint.refusal
        self._end(call_id, f"{detail} Refused with SIP status {status}.", EndReason(reason))

    def _end(self, call_id: CallId, detail: str, reason: EndReason = EndReason.WORKER_LOST) -> None:
        self._record(
            CallEnded(
                call_id=call_id,
                at=self._utc_now(),
                reason=reason.value,
                fault_owner=fault_owner(reason).value,
                detail=detail,
            )
        )
