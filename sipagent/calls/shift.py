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

from sipagent.calls.adopting import Adopter
from sipagent.calls.checkpoint import Ringing
from sipagent.calls.claiming import Claims
from sipagent.calls.incoming import IncomingCall
from sipagent.calls.lease import Holding, Lease, Terms
from sipagent.calls.leaving import HandingOver
from sipagent.calls.outages import Outages
from sipagent.calls.shift_settings import ShiftSettings
from sipagent.calls.supervisor import Supervisor
from sipagent.errors import StoreError, WorkerGoneError
from sipagent.identifiers import WorkerId
from sipagent.store import Fact, SignalKind, Store
from sipagent.telemetry import Metrics

logger = logging.getLogger(__name__)

SWEEP_EVERY_S = 300.0
ASK_AGAIN_S = 0.25
"""Between heartbeats of a process that must know whether its calls are still its own."""


class Shift:
    """The worker of one process. `join` it, run `run` in the service's task group, and `hand_over` at the
    end."""

    def __init__(
        self,
        *,
        memory: Store,
        supervisor: Supervisor,
        adopter: Adopter,
        record: Callable[[Fact], None],
        flush: Callable[[float], Awaitable[bool]],
        look_for_commands: Callable[[WorkerId], Awaitable[None]] | None,
        metrics: Metrics,
        name: str,
        settings: ShiftSettings | None = None,
    ) -> None:
        """``flush`` returns once everything recorded is in the store, or after so many seconds;
        ``look_for_commands`` carries out what was asked of the worker's calls. ``name`` is for people."""
        self._memory = memory
        self._supervisor = supervisor
        self._adopter = adopter
        self._record = record
        self._look_for_commands = look_for_commands
        self._metrics = metrics
        self._name = name
        self._settings = settings or ShiftSettings()
        self._claims = Claims(
            memory=memory,
            supervisor=supervisor,
            metrics=metrics,
            timeout_s=self._settings.claim_timeout_s,
        )
        metrics.workers.watch_heartbeat(lambda: not self.database_away)
        self._terms = self._new_terms(Outages())
        self._standing_since: float | None = None
        """Since when every renewal has succeeded (``loop.time()``)."""
        self._joined = False
        self._in_doubt = False
        self._slept_s = 0.0
        """For how long this process did not run since the database last answered a heartbeat."""
        self._leaving = HandingOver(
            memory=memory,
            supervisor=supervisor,
            adopter=adopter,
            claims=self._claims,
            flush=flush,
            terms=lambda: self._terms,
            may_adopt=lambda: self._in_good_standing,
            database_away=lambda: self.database_away,
            settings=self._settings,
        )
        self._beat_now = asyncio.Event()
        self._orphans = asyncio.Event()
        self._commands = asyncio.Event()

    @property
    def worker(self) -> WorkerId:
        """The name under which this process holds calls now."""
        return self._terms.worker

    @property
    def leaving(self) -> bool:
        """Whether new calls are for the others."""
        return self._leaving.begun

    @property
    def database_away(self) -> bool:
        """Whether the last heartbeat failed."""
        return self._standing_since is None

    async def join(self) -> None:
        """Become a worker; `run` does so too, as soon as the database lets it. Raises `StoreError`."""
        loop = asyncio.get_running_loop()
        settings = self._settings
        await self._memory.join(self.worker, name=self._name, lease_s=settings.lease_s)
        await self._memory.listen(self.worker, self._signalled)
        # A process that starts while the database has been up for long has missed nobody's heartbeat.
        waited_s = min(await self._memory.uptime_s(), settings.lease_s)
        self._standing_since = loop.time() - waited_s
        self._terms.lease.extend()
        self._joined = True
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
        """The right to answer a call; None when it is another's, was begun here before, or is up already and
        will be gone on with. Never takes longer than the settings say: a call whose claim the database does
        not take in time is answered, and claimed later. Cancelled, a call whose claim was taken even so is
        answered all the same."""
        terms = self._terms
        if not self.database_away:
            try:
                epoch = await self._claims.claim(terms.worker, ringing)
            except (StoreError, TimeoutError) as error:
                logger.warning("A call is answered before its claim is stored: %s", _words(error))
            except asyncio.CancelledError:
                # The caller rings, and nobody else may answer if the database took the claim.
                self._look_for_ours()
                raise
            else:
                return await self._granted(ringing.incoming, terms, epoch)
        self._claims.defer(ringing)
        return self._terms.holding(1)

    async def _granted(self, incoming: IncomingCall, terms: Terms, epoch: int | None) -> Holding | None:
        """The right to answer a call that belongs to this worker in ``epoch``."""
        call_id = incoming.call_id
        if epoch is None or terms.over:
            return None
        holding = terms.holding(epoch)
        if self._supervisor.has_begun(call_id, holding):
            return None
        if epoch == 1 and incoming.line != "sip":
            # Nobody else can do anything for it: whoever leaves says no at once, and the carrier goes on.
            return holding
        if self._leaving.begun or (epoch > 1 and not self._adopts()):
            # Others answer it, or go on with it, at once.
            await self._leaving.give_up([call_id])
            return None
        if epoch > 1:
            # It was adopted, and the answer that said so was lost: it is up, and must not be answered anew.
            self._look_for_ours()
            return None
        return holding

    def _look_for_ours(self) -> None:
        self._adopter.doubt()
        self._orphans.set()

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
                self._slept_s += now - last
                self._terms.outages.slept()
                self._beat_now.set()
            elif not self._in_doubt:
                self._terms.lease.extend()
            last = now

    async def _beat(self) -> None:
        loop, settings = asyncio.get_running_loop(), self._settings
        while True:
            self._beat_now.clear()
            sent_at, doubted = loop.time(), self._in_doubt
            answered, ours = True, True
            try:
                async with asyncio.timeout(settings.database_timeout_s):
                    async with self._terms.outages.told(self._memory):
                        if self._joined:
                            ours = await self._memory.renew(self.worker, lease_s=settings.lease_s)
                        else:
                            await self.join()
                        if ours and not await self._claims.catch_up(self.worker):
                            self._look_for_ours()
            except WorkerGoneError:
                # The database took an earlier attempt to join, whose answer was lost, and gave us up since.
                ours = False
            except (StoreError, TimeoutError) as error:
                self._terms.outages.failed(error)
                answered, ours = False, True  # nobody says otherwise
                if not self.database_away:
                    logger.warning("The database did not take a heartbeat: %s", _words(error))
                self._standing_since = None
            else:
                self._terms.outages.served()
                if self._standing_since is None:
                    logger.info("The database takes heartbeats again")
                    self._standing_since = sent_at
            # What was asked before the process was frozen says nothing about afterwards.
            counts = doubted or not self._in_doubt
            if not ours:
                await self._begin_anew()
            elif counts and (answered or not self._may_be_missed):
                self._in_doubt = False
                self._terms.lease.extend()
            if answered and counts:
                self._slept_s = 0.0
                self._terms.outages.renewed()
            if self._in_doubt:
                if not answered:
                    await asyncio.sleep(ASK_AGAIN_S)
                continue
            try:
                async with asyncio.timeout(settings.heartbeat_s):
                    await self._beat_now.wait()
            except TimeoutError:
                pass

    @property
    def _may_be_missed(self) -> bool:
        """Whether this process slept for so long that others may have its calls. Only the database can tell
        then: to act on them beside somebody else is worse than to keep a caller waiting."""
        return self._slept_s >= self._settings.lease_s / 2

    async def _begin_anew(self) -> None:
        """Others have this worker's calls: let go of them, and be another worker."""
        terms = self._terms
        held, deferred = self._supervisor.held_under(terms.lease), self._claims.deferred
        lost = [call_id for call_id in held if call_id not in deferred]
        kept = [call_id for call_id in held if call_id in deferred]
        logger.warning("Other workers took over %d calls while this process was not heard of", len(lost))
        terms.over = True
        terms.outages.disturbed()
        self._terms = self._new_terms(terms.outages)
        if kept:
            # The database was never told of these, so nobody has taken them over: they stay.
            terms.lease.keep_only(kept)
            self._terms.lease = terms.lease
            self._supervisor.rename(kept, self._terms.worker)
        else:
            terms.lease.lose()
        # The next heartbeat joins; nothing of the new worker's can be lost before it has.
        self._joined, self._in_doubt, self._standing_since = False, False, None
        await self._supervisor.let_go(lost)
        self._terms.lease.extend()
        self._beat_now.set()

    def _new_terms(self, outages: Outages) -> Terms:
        loop = asyncio.get_running_loop()
        lease = Lease(self._record, stall_s=self._settings.stall_s, now=loop.time)
        return Terms(worker=WorkerId(f"worker_{secrets.token_hex(8)}"), lease=lease, outages=outages)

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
            if not self._adopts() or self.database_away or not self._terms.lease.held:
                continue
            try:
                # What is ours already needs no belief about others.
                await self._adopter.find_ours(self._terms)
                if not self._adopts() or not self._in_good_standing:
                    continue
                take_back = self._leaving.is_last
                if await self._adopter.adopt_some(self._terms, take_back=take_back) == settings.adopt_at_once:
                    # There are more. Whoever looks at the same time gets a share.
                    await asyncio.sleep(random.uniform(0.005, 0.02))
                    self._orphans.set()
            except (StoreError, TimeoutError) as error:
                logger.warning("No calls could be adopted: %s", _words(error))

    def _adopts(self) -> bool:
        """Whether calls of others are this process's to take: one that drains leaves them to whoever stays,
        if anybody does."""
        return not self._leaving.begun and (not self._supervisor.draining or self._leaving.is_last)

    @property
    def _in_good_standing(self) -> bool:
        """Whether this worker has seen enough of the database to believe that others are gone: after an
        outage, everybody renews first."""
        since = self._standing_since
        now = asyncio.get_running_loop().time()
        return since is not None and now - since >= self._settings.lease_s and self._terms.lease.held

    async def _sweep(self) -> None:
        while True:
            if self._in_good_standing:
                try:
                    await self._adopter.sweep()
                except StoreError as error:
                    logger.warning("What was left behind could not be looked for: %s", error)
                await asyncio.sleep(SWEEP_EVERY_S)
            else:
                await asyncio.sleep(self._settings.heartbeat_s)

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
        """Leave the calls to others at once; see `HandingOver.hand_over`."""
        return await self._leaving.hand_over()

    async def leave(self) -> None:
        """Be no worker any more. A database that is away finds out by itself."""
        try:
            async with asyncio.timeout(self._settings.database_timeout_s):
                await self._memory.leave(self.worker)
        except (StoreError, TimeoutError) as error:
            logger.warning("The database did not hear that this worker leaves: %s", _words(error))


def _words(error: Exception) -> str:
    return str(error) or "no answer in time"
