"""One process's shift as a worker: what it claims, what it keeps, what it adopts, and how it leaves.

Several processes may share one database. Each claims the calls that it answers, renews its lease, and looks
for calls of workers that are gone. A process that leaves hands its calls over; one that was frozen finds out
whether its calls are still its own before it does anything to them.

Two clocks keep two dangers apart. A tick tells that this process runs: when it comes late, the process was
frozen, and its lease is in doubt until the database has answered. A heartbeat tells the others so. A database
that is away stops the heartbeat and nothing else: while nobody reaches it, nobody can adopt.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sipagent.calls.checkpoint import Checkpoint, Ringing, decode, decode_ringing, encode_ringing
from sipagent.calls.client import CallsClient
from sipagent.calls.endings import EndReason, fault_owner
from sipagent.calls.generation import Generation
from sipagent.calls.lease import Holding, Lease
from sipagent.calls.supervisor import Supervisor
from sipagent.errors import CallControlError, CallGoneError, StoreError, UserError
from sipagent.identifiers import CallId, WorkerId
from sipagent.store import CallEnded, ClaimedCall, Fact, SignalKind, Store
from sipagent.telemetry import Metrics

logger = logging.getLogger(__name__)

SWEEP_EVERY_S = 300.0
UNCLAIMED_FOR_S = 120.0
"""A call without an end that nobody has claimed, and that began so long ago, is nobody's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShiftSettings:
    """How workers share calls. All times are in seconds."""

    lease_s: float = 15.0
    """A worker that the database has not heard of for so long has lost its calls: frozen, or cut off."""
    heartbeat_s: float = 1.0
    stall_s: float = 3.0
    """A process that did not run for so long asks whether its calls are still its own."""
    quiet_s: float = 2.0
    """A worker that died is given up when it has not been heard of for so long."""
    look_s: float = 0.5
    """How often calls of workers that are gone are looked for."""
    adopt_at_once: int = 10
    """How many are taken at a time, so that others get their share."""
    claim_timeout_s: float = 0.5
    """How long a caller waits for a claim; without an answer the call is answered all the same."""
    database_timeout_s: float = 2.0
    hand_over_patience_s: float = 5.0
    """How long a worker that leaves lets a tool, or a request to the Calls API, come to its end."""

    @classmethod
    def for_lease(cls, lease_s: float) -> ShiftSettings:
        """The usual settings for a lease of ``lease_s``; all that must fit into it does."""
        return cls(
            lease_s=lease_s,
            heartbeat_s=min(1.0, lease_s / 6),
            stall_s=min(3.0, lease_s / 4),
            quiet_s=min(2.0, lease_s / 4),
        )


class Shift:
    """The worker of one process. `join` it, run `run` in the service's task group, and `hand_over` at the
    end."""

    def __init__(
        self,
        *,
        memory: Store,
        supervisor: Supervisor,
        client: CallsClient,
        record: Callable[[Fact], None],
        flush: Callable[[float], Awaitable[bool]],
        restore: Callable[[str], Awaitable[Generation | None]],
        look_for_commands: Callable[[WorkerId], Awaitable[None]] | None,
        metrics: Metrics,
        utc_now: Callable[[], datetime],
        name: str,
        settings: ShiftSettings | None = None,
    ) -> None:
        """``flush`` returns once everything recorded is in the store, or after so many seconds; ``restore``
        gives the generation of a configuration that is not loaded here, by its fingerprint;
        ``look_for_commands`` carries out what was asked of the worker's calls. ``name`` is for people."""
        self._memory = memory
        self._supervisor = supervisor
        self._client = client
        self._record = record
        self._flush = flush
        self._restore = restore
        self._look_for_commands = look_for_commands
        self._metrics = metrics
        self._utc_now = utc_now
        self._name = name
        self._settings = settings or ShiftSettings()
        metrics.workers.watch_heartbeat(lambda: not self.database_away)
        self._terms = self._new_terms()
        self._unclaimed: dict[CallId, Ringing] = {}
        """Calls that are answered, and whose claims the database has not taken yet."""
        self._standing_since: float | None = None
        """Since when every renewal has succeeded (``loop.time()``)."""
        self._in_doubt = False
        self._leaving = False
        self._beat_now = asyncio.Event()
        self._orphans = asyncio.Event()
        self._commands = asyncio.Event()

    @property
    def worker(self) -> WorkerId:
        """The name under which this process holds calls now."""
        return self._terms.worker

    @property
    def database_away(self) -> bool:
        """Whether the last heartbeat failed."""
        return self._standing_since is None

    async def join(self) -> None:
        """Become a worker. Raises `StoreError`."""
        loop = asyncio.get_running_loop()
        settings = self._settings
        await self._memory.join(self.worker, name=self._name, lease_s=settings.lease_s)
        await self._memory.listen(self.worker, self._signalled)
        # A process that starts while the database has been up for long has missed nobody's heartbeat.
        waited_s = min(await self._memory.uptime_s(), settings.lease_s)
        self._standing_since = loop.time() - waited_s
        self._terms.lease.extend()
        logger.info("Joined as worker %s", self.worker)

    async def run(self) -> None:
        """Keep the lease, adopt what is orphaned and carry out commands, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tick(), name="worker: tick")
            group.create_task(self._beat(), name="worker: heartbeat")
            group.create_task(self._adopt(), name="worker: adoption")
            group.create_task(self._serve_commands(), name="worker: commands")
            group.create_task(self._sweep(), name="worker: sweep")

    # New calls --------------------------------------------------------------------------------------

    async def claim(self, ringing: Ringing) -> Holding | None:
        """The right to answer a call, or None when it is another's. Never takes longer than the settings say:
        a call whose claim the database does not take in time is answered, and claimed later. Cancel-safe."""
        terms = self._terms
        holding = Holding(lease=terms.lease, worker=terms.worker, epoch=1)
        call_id = ringing.incoming.call_id
        if not self.database_away:
            try:
                async with asyncio.timeout(self._settings.claim_timeout_s):
                    if not await self._memory.claim(call_id, terms.worker, webhook=encode_ringing(ringing)):
                        return None
                    if self._leaving:
                        # Others answer it, at once.
                        await self._memory.hand_over(terms.worker, [call_id])
                        return None
                return holding
            except (StoreError, TimeoutError) as error:
                logger.warning("A call is answered before its claim is stored: %s", error)
        self._metrics.workers.claim_deferred()
        self._unclaimed[call_id] = ringing
        return holding

    async def _claim_later(self) -> None:
        """Store the claims that the database could not take."""
        for call_id, ringing in list(self._unclaimed.items()):
            if self._supervisor.live(call_id) is not None:
                ours = await self._memory.claim(call_id, self.worker, webhook=encode_ringing(ringing))
                if not ours:
                    logger.warning("Call %s turned out to be another worker's", call_id)
                    await self._supervisor.let_go([call_id])
                elif (live := self._supervisor.live(call_id)) is not None:
                    live.write_checkpoint()
            self._unclaimed.pop(call_id, None)

    # The lease --------------------------------------------------------------------------------------

    async def _tick(self) -> None:
        loop, settings = asyncio.get_running_loop(), self._settings
        last = loop.time()
        while True:
            await asyncio.sleep(settings.stall_s / 4)
            now = loop.time()
            if now - last > settings.stall_s:
                logger.warning("This process did not run for %.1f s", now - last)
                self._metrics.workers.stalled()
                self._in_doubt = True
                self._beat_now.set()
            elif not self._in_doubt:
                self._terms.lease.extend()
            last = now

    async def _beat(self) -> None:
        loop, settings = asyncio.get_running_loop(), self._settings
        while True:
            self._beat_now.clear()
            sent_at, doubted = loop.time(), self._in_doubt
            try:
                async with asyncio.timeout(settings.database_timeout_s):
                    ours = await self._memory.renew(self.worker, lease_s=settings.lease_s)
                if ours:
                    await self._claim_later()
            except (StoreError, TimeoutError) as error:
                ours = True  # nobody says otherwise
                if not self.database_away:
                    logger.warning("The database did not take a heartbeat: %s", _words(error))
                self._standing_since = None
            else:
                if self._standing_since is None:
                    logger.info("The database takes heartbeats again")
                    self._standing_since = sent_at
            if not ours:
                await self._begin_anew()
            elif doubted or not self._in_doubt:
                # What was asked before the process was frozen says nothing about afterwards.
                self._in_doubt = False
                self._terms.lease.extend()
            if self._in_doubt:
                continue
            try:
                async with asyncio.timeout(settings.heartbeat_s):
                    await self._beat_now.wait()
            except TimeoutError:
                pass

    async def _begin_anew(self) -> None:
        """Others have this worker's calls: let go of them, and be another worker."""
        lost = self._supervisor.held_under(self._terms.lease)
        logger.warning("Other workers took over %d calls while this process did not run", len(lost))
        self._terms.lease.lose()
        await self._supervisor.let_go(lost)
        self._terms = self._new_terms()
        self._in_doubt = False
        try:
            async with asyncio.timeout(self._settings.database_timeout_s):
                await self.join()
        except (StoreError, TimeoutError) as error:
            logger.warning("A new worker could not join yet: %s", error)
            self._standing_since = None

    def _new_terms(self) -> _Terms:
        loop = asyncio.get_running_loop()
        lease = Lease(self._record, stall_s=self._settings.stall_s, now=loop.time)
        return _Terms(worker=WorkerId(f"worker_{secrets.token_hex(8)}"), lease=lease)

    # Adoption ---------------------------------------------------------------------------------------

    async def _adopt(self) -> None:
        settings = self._settings
        while True:
            try:
                async with asyncio.timeout(settings.look_s * random.uniform(0.8, 1.2)):
                    await self._orphans.wait()
            except TimeoutError:
                pass
            self._orphans.clear()
            if self._leaving or not self._in_good_standing:
                continue
            try:
                if await self._adopt_some() == settings.adopt_at_once:
                    # There are more. Whoever looks at the same time gets a share.
                    await asyncio.sleep(random.uniform(0.005, 0.02))
                    self._orphans.set()
            except (StoreError, TimeoutError) as error:
                logger.warning("No calls could be adopted: %s", _words(error))

    @property
    def _in_good_standing(self) -> bool:
        """Whether this worker has seen enough of the database to believe that others are gone: after an
        outage, everybody renews first."""
        since = self._standing_since
        now = asyncio.get_running_loop().time()
        return since is not None and now - since >= self._settings.lease_s and self._terms.lease.held

    async def _adopt_some(self) -> int:
        terms = self._terms
        async with asyncio.timeout(self._settings.database_timeout_s):
            adopted = await self._memory.adopt(
                terms.worker, limit=self._settings.adopt_at_once, quiet_s=self._settings.quiet_s
            )
            uptime_s = await self._memory.uptime_s() if adopted else 0.0
        for claimed in adopted:
            # Only while the database served nobody may a worker have done what is not entered there.
            doubtful = uptime_s <= claimed.unseen_s + self._settings.heartbeat_s
            await self._go_on_with(claimed, terms, doubtful=doubtful)
        return len(adopted)

    async def _go_on_with(self, claimed: ClaimedCall, terms: _Terms, *, doubtful: bool) -> None:
        holding = Holding(lease=terms.lease, worker=terms.worker, epoch=claimed.epoch)
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
            generation = await self._generation_for(checkpoint)
        except (StoreError, UserError) as error:
            logger.error("Call %s cannot be gone on with: %s", claimed.call_id, error)
            await self._close(claimed.call_id, "What was known of the call could not be read.")
            return
        self._supervisor.adopt(ringing, checkpoint, holding, generation, doubtful=doubtful)

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

    async def _sweep(self) -> None:
        """End truthfully, now and then, what a total outage left behind without a claim."""
        while True:
            if self._in_good_standing:
                try:
                    before = self._utc_now() - timedelta(seconds=UNCLAIMED_FOR_S)
                    for call in await self._memory.unfinished(before):
                        if self._supervisor.live(call.call_id) is None:
                            await self._close(call.call_id, "Nobody held the call any more.")
                except StoreError as error:
                    logger.warning("What was left behind could not be looked for: %s", error)
                await asyncio.sleep(SWEEP_EVERY_S)
            else:
                await asyncio.sleep(self._settings.heartbeat_s)

    async def _close(self, call_id: CallId, detail: str) -> None:
        """Hang up a call that nobody can go on with, so that it costs nothing more, and end its record."""
        try:
            await self._client.hang_up(call_id)
        except CallGoneError:
            detail = f"{detail} It was over."
        except CallControlError as error:
            logger.error("Call %s could not be hung up: %s", call_id, error)
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

    # Commands ---------------------------------------------------------------------------------------

    async def _serve_commands(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._settings.heartbeat_s):
                    await self._commands.wait()
            except TimeoutError:
                pass
            self._commands.clear()
            look = self._look_for_commands
            if look is None or self.database_away or self._supervisor.live_calls == 0:
                continue
            try:
                await look(self.worker)
            except StoreError as error:
                logger.warning("Commands could not be read: %s", error)

    def _signalled(self, kind: SignalKind) -> None:
        match kind:
            case "command":
                self._commands.set()
            case "orphans":
                self._orphans.set()

    # Leaving ----------------------------------------------------------------------------------------

    async def hand_over(self) -> bool:
        """Leave the calls to others at once. False when there is nobody, or the database is away: they are
        this worker's still. New calls are claimed for the others from now on. Cancel-safe."""
        settings = self._settings
        try:
            async with asyncio.timeout(settings.database_timeout_s):
                others = [
                    seen
                    for seen in await self._memory.workers()
                    if seen.state == "up" and seen.worker != self.worker
                ]
        except (StoreError, TimeoutError) as error:
            logger.warning("Nobody can be handed the calls: %s", _words(error))
            return False
        if not others or self._unclaimed:
            return False
        self._leaving = True
        logger.info("Handing over %d calls to %d workers", self._supervisor.live_calls, len(others))
        loop = asyncio.get_running_loop()
        deadline = loop.time() + settings.hand_over_patience_s
        while left := self._supervisor.live_call_ids:
            late = loop.time() >= deadline
            ready = [
                call_id
                for call_id in left
                if late or ((live := self._supervisor.live(call_id)) is not None and not live.has_work)
            ]
            if ready:
                await self._supervisor.let_go(ready)
                await self._flush(settings.database_timeout_s)
                await self._memory.hand_over(self.worker, ready)
            else:
                await asyncio.sleep(0.02)
        return True

    async def leave(self) -> None:
        """Be no worker any more. A database that is away finds out by itself."""
        try:
            async with asyncio.timeout(self._settings.database_timeout_s):
                await self._memory.leave(self.worker)
        except (StoreError, TimeoutError) as error:
            logger.warning("The database did not hear that this worker leaves: %s", _words(error))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Terms:
    """Under which name this process holds calls, and whether it still does."""

    worker: WorkerId
    lease: Lease


def _words(error: Exception) -> str:
    return str(error) or "no answer in time"
