"""Holds every live call of one service, each behind its own wall, and lets them finish when it stops."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from sipagent.calls.call import CallServices, PhoneCall
from sipagent.calls.checkpoint import Checkpoint, Ringing
from sipagent.calls.endings import EndReason
from sipagent.calls.generation import Generation
from sipagent.calls.incoming import CarrierLeg, IncomingCall
from sipagent.calls.journal import CallJournal
from sipagent.calls.keeping import CheckpointKeeper
from sipagent.calls.lease import Holding, Lease, Tenures
from sipagent.calls.line import CarrierSide, Line
from sipagent.calls.preparation import PreparedProfile
from sipagent.calls.reception import Received, Reception, Refusal
from sipagent.calls.sip_line import SipLine
from sipagent.calls.spend import DaySpend
from sipagent.calls.webhook import SeenWebhooks
from sipagent.identifiers import CallId, WorkerId
from sipagent.store import Fact

logger = logging.getLogger(__name__)

GOODBYE_S = 15.0
"""How long before the end of a drain calls that are still up are told goodbye; at most half of it."""


@dataclass(slots=True, kw_only=True)
class _Live:
    """A call between its webhook and its last record."""

    task: asyncio.Task[None]
    phone_call: PhoneCall
    journal: CallJournal
    generation: Generation
    overtaken: bool = False
    """A newer generation serves, and the journal says so."""


class Supervisor:
    """Takes calls while open. Used as an async context manager, which owns the task of every call.

    The task group holds call boundaries only, and they never raise: no call can end another.
    """

    def __init__(
        self,
        *,
        generation: Generation,
        services: CallServices,
        record: Callable[[Fact], None],
        utc_now: Callable[[], datetime],
        call_over: Callable[[], None] | None = None,
        carrier_side: Callable[[CarrierLeg], CarrierSide | None] | None = None,
    ) -> None:
        """``generation`` serves until another is swapped in. ``call_over`` is told, after the last record of
        each call, that its generation may not be in use any more. ``carrier_side`` gives what acts for the
        caller's own leg at their carrier."""
        self._carrier_side = carrier_side
        self._current = generation
        self._services = services
        self._record = record
        self._utc_now = utc_now
        self._call_over = call_over
        self._seen = SeenWebhooks()
        self._tenures = Tenures()
        self._reception = Reception(utc_now)
        self._live: dict[CallId, _Live] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = False
        self.is_closed = False
        """Whether every call is being hung up, and none is gone on with any more."""
        self._group = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Calls that still live are hung up by their cancellation.
        self._draining = self.is_closed = True
        for live in self._live.values():
            live.task.cancel()
        await self._group.__aexit__(exception_type, exception, traceback)

    @property
    def draining(self) -> bool:
        """Whether new calls are refused."""
        return self._draining

    @property
    def live_calls(self) -> int:
        """How many calls are between their webhook and their last record."""
        return len(self._live)

    @property
    def current(self) -> Generation:
        """Who serves the next call."""
        return self._current

    @property
    def services(self) -> CallServices:
        """What the next call is served with."""
        return self._services

    @property
    def addresses_in_use(self) -> frozenset[str]:
        """Of the API: that of the next call, and that of each call in progress."""
        return frozenset(
            (self._services.base_url, *(live.phone_call.address for live in self._live.values()))
        )

    @property
    def day(self) -> DaySpend:
        """What calls have cost today."""
        return self._reception.day

    @property
    def generations_in_use(self) -> int:
        """How many generations have calls, with the current one."""
        return len({self._current.number, *(live.generation.number for live in self._live.values())})

    @property
    def in_use(self) -> Iterator[Generation]:
        """The current generation, and that of each call in progress."""
        yield self._current
        for live in self._live.values():
            yield live.generation

    def renew(self, generation: Generation) -> None:
        """Let ``generation``, the current one made again, serve from the next call on. It says the same, so
        nobody is told; calls in progress keep what they began with."""
        assert generation.number == self._current.number, "only the current generation can be renewed"
        self._current = generation

    def swap(self, generation: Generation, services: CallServices | None = None) -> None:
        """Let ``generation`` serve from the next call on, with ``services`` where they are others. Calls in
        progress keep theirs, and their records say, once, that a newer one came."""
        assert generation.number > self._current.number, "generations are numbered as they come"
        self._current = generation
        self._services = services or self._services
        for live in self._live.values():
            if not live.overtaken:
                live.overtaken = True
                live.journal.note(
                    "reload",
                    keeps=live.generation.fingerprint,
                    keeps_generation=live.generation.number,
                    newer=generation.fingerprint,
                    newer_generation=generation.number,
                )

    def knows(self, call: IncomingCall) -> bool:
        """Whether ``call`` was taken here before, by its webhook or by itself."""
        return self._seen.knows(call, asyncio.get_running_loop().time())

    def begin(self, call_id: CallId, holding: Holding) -> bool:
        """Whether nothing was done here for the call by this very ``holding`` so far; from now on something
        was."""
        return self._tenures.begin(call_id, holding)

    def has_begun(self, call_id: CallId, holding: Holding) -> bool:
        """Whether the call was taken or adopted here by this very ``holding``, be it up still or over."""
        return self._tenures.has_begun(call_id, holding)

    def take(
        self,
        call: IncomingCall,
        received_at: float,
        holding: Holding | None = None,
        *,
        line: Line | None = None,
        leaving: bool = False,
    ) -> bool:
        """Begin to answer ``call`` and return at once: True, or False when it was taken before; its ``line``
        is untouched then.

        ``received_at`` is when its webhook came (``loop.time()``); ``holding`` is the claim to it, where
        several processes share the calls; ``line`` is where its caller is, by default at the Calls API.
        ``leaving``: it is refused, as while draining.
        """
        if not self._seen.take(call, received_at):
            return False
        if holding is not None:
            self._tenures.begin(call.call_id, holding)
        self._answer(call, received_at, holding, line, leaving=leaving)
        return True

    def adopt(
        self,
        ringing: Ringing,
        checkpoint: Checkpoint | None,
        holding: Holding,
        generation: Generation,
        *,
        services: CallServices | None = None,
        doubtful: bool = False,
    ) -> None:
        """Go on with a call that another process held, and return at once. It must not be up here, and the
        supervisor not `is_closed`.

        It is served by ``generation``, with ``services`` where they are not those of new calls. Without a
        ``checkpoint`` nothing had been decided, and it is answered as if it came now. ``doubtful``: the other
        may have acted without the database's knowing.
        """
        assert ringing.incoming.call_id not in self._live, "a call is let go of before it is adopted"
        self._tenures.begin(ringing.incoming.call_id, holding)
        loop = asyncio.get_running_loop()
        age_s = (self._utc_now() - ringing.received_at).total_seconds()
        # A clock of another machine may be ahead of ours.
        received_at = loop.time() - max(0.0, age_s)
        self._seen.take(ringing.incoming, loop.time())
        if checkpoint is None:
            self._answer(ringing.incoming, received_at, holding, None, doubtful=doubtful)
            return
        keeper = self._keeper(ringing.incoming.call_id, checkpoint, holding)
        journal = CallJournal(ringing.incoming.call_id, holding.lease.record, self._utc_now, keeper=keeper)
        journal.note("adopted", worker=holding.worker, epoch=holding.epoch, state=checkpoint.state.value)
        services = services or self._services
        door = generation.door
        received = self._reception.readmit(door, checkpoint.incoming, checkpoint.profile)
        phone_call = PhoneCall(
            checkpoint.incoming,
            self._sip_line(checkpoint.incoming, services),
            services=services,
            journal=journal,
            received_at=received_at,
            called_at=ringing.received_at,
            brake=self._reception.brake(door, received, spent=checkpoint.spent),
            holding=holding,
            doubtful=doubtful,
        )
        work = phone_call.resume(generation.prepared, checkpoint)
        self._start(phone_call, journal, generation, received, work)

    def held_under(self, lease: Lease) -> tuple[CallId, ...]:
        """The calls that are up here by the right of ``lease``."""
        return tuple(call_id for call_id, live in self._live.items() if live.phone_call.is_held_under(lease))

    def rename(self, call_ids: Iterable[CallId], worker: WorkerId) -> None:
        """These calls, of which the database knows nothing, are held by ``worker`` from now on."""
        for call_id in call_ids:
            if (live := self._live.get(call_id)) is not None:
                self._tenures.begin(call_id, live.phone_call.rename(worker))

    def generation(self, fingerprint: str) -> Generation | None:
        """The generation of that configuration, if it serves or has calls."""
        if self._current.fingerprint == fingerprint:
            return self._current
        for live in self._live.values():
            if live.generation.fingerprint == fingerprint:
                return live.generation
        return None

    def live(self, call_id: CallId) -> PhoneCall | None:
        """The call, if it is up here."""
        found = self._live.get(call_id)
        return None if found is None else found.phone_call

    @property
    def movable_call_ids(self) -> tuple[CallId, ...]:
        """Those of them that another process can go on with."""
        return tuple(call_id for call_id, live in self._live.items() if live.phone_call.is_movable)

    async def let_go(self, call_ids: Iterable[CallId]) -> None:
        """Leave these calls to others: nothing more is done to them, and they stay up. Returns when none of
        their tasks is left. Cancelling goes on letting go."""
        tasks = []
        for call_id in call_ids:
            if (live := self._live.get(call_id)) is not None:
                live.phone_call.let_go()
                tasks.append(live.task)
        if tasks:
            await asyncio.wait(tasks)

    def _sip_line(self, call: IncomingCall, services: CallServices) -> SipLine:
        carrier = None
        if self._carrier_side is not None and call.leg is not None:
            carrier = self._carrier_side(call.leg)
        return SipLine(call.call_id, client=services.client, attach=services.settings.attach, carrier=carrier)

    def _answer(
        self,
        call: IncomingCall,
        received_at: float,
        holding: Holding | None,
        line: Line | None,
        *,
        doubtful: bool = False,
        leaving: bool = False,
    ) -> None:
        # Asked once: what follows, and the whole call, is of this generation.
        generation = self._current
        door, now = generation.door, self._utc_now()
        if call.leg is not None:
            call = replace(call, caller=call.leg.caller, dialled=call.leg.dialled)
        elif not door.numbers.are_usual:
            caller, dialled = door.numbers_of(call)
            call = replace(call, caller=caller, dialled=dialled)
        received = self._reception.receive(door, call, now=now, at=received_at)
        refusal = received.refusal
        if (self._draining or leaving) and (line is None or line.kind != "none"):
            status = self._services.settings.drain_reject_status
            refusal = Refusal(
                reason=EndReason.REJECTED_DRAINING, sip_status=status, detail="The service is stopping."
            )
        keeper = None
        if holding is not None:
            first = Checkpoint(
                incoming=call,
                received_at=now,
                configuration=generation.fingerprint,
                address=self._services.base_url,
                profile=None if refusal is not None else received.agent,
                refusal=None if refusal is None else refusal.kept,
            )
            # Written with the next state of the call; without any, it is answered as if it came then.
            keeper = self._keeper(call.call_id, first, holding)
        record = self._record if holding is None else holding.lease.record
        journal = CallJournal(call.call_id, record, self._utc_now, keeper=keeper)
        answer: PreparedProfile | Refusal | None = refusal
        if answer is None and received.agent is not None:
            answer = generation.prepared[received.agent]
        assert answer is not None, "who is not answered is refused"
        agent = None if received.agent is None else door.profiles[received.agent]
        journal.opened(
            call,
            agent=received.agent,
            model=None if agent is None else agent.settings.get("model_name"),
            configuration=generation.fingerprint,
        )
        journal.note("route", why=list(received.decision.why))
        if received.full is not None:
            journal.note(
                "admission", cap=received.full.cap, detail=received.full.detail, agent=received.agent
            )
        phone_call = PhoneCall(
            call,
            line or self._sip_line(call, self._services),
            services=self._services,
            journal=journal,
            received_at=received_at,
            called_at=now,
            brake=self._reception.brake(door, received),
            holding=holding,
            doubtful=doubtful,
        )
        self._start(phone_call, journal, generation, received, phone_call.run(answer))

    def _keeper(self, call_id: CallId, first: Checkpoint, holding: Holding) -> CheckpointKeeper:
        return CheckpointKeeper(
            call_id, first, epoch=holding.epoch, record=holding.lease.record, utc_now=self._utc_now
        )

    def _start(
        self,
        phone_call: PhoneCall,
        journal: CallJournal,
        generation: Generation,
        received: Received,
        work: Coroutine[Any, Any, None],
    ) -> None:
        call_id = phone_call.call_id
        task = self._group.create_task(work, name=f"call {call_id}")
        self._live[call_id] = _Live(task=task, phone_call=phone_call, journal=journal, generation=generation)
        self._idle.clear()
        self._services.metrics.call_started()
        task.add_done_callback(lambda _: self._forget(call_id, received))

    async def drain(self, timeout_s: float) -> int:
        """Refuse new calls, and wait until the live ones have ended; at most ``timeout_s`` seconds.

        Towards their end, whoever still talks is told goodbye; calls that are up at the end are hung up.
        Returns how many those were. Cancelling leaves the service draining.
        """
        self._draining = True
        logger.info("Draining: new calls are refused, %d live calls may finish", len(self._live))
        goodbye_s = min(GOODBYE_S, timeout_s / 2)
        if await self._until_idle(timeout_s - goodbye_s):
            return 0
        logger.info("The drain deadline is near; %d calls are told goodbye", len(self._live))
        for live in self._live.values():
            if (conversation := live.phone_call.conversation) is not None:
                conversation.stop(EndReason.SERVICE_STOPPED, "The service stopped before the call was over.")
        if await self._until_idle(goodbye_s):
            return 0
        logger.warning("The drain deadline passed; %d calls are hung up", len(self._live))
        return await self.hang_up_all()

    async def hang_up_all(self) -> int:
        """Refuse new calls, and hang up those that are up; how many those were. Cancelling leaves the service
        draining, and calls that end."""
        self._draining = self.is_closed = True
        left = [live.task for live in self._live.values()]
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)
        return len(left)

    async def _until_idle(self, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            return not self._live
        return True

    def _forget(self, call_id: CallId, received: Received) -> None:
        self._reception.leave(received)
        del self._live[call_id]
        self._services.metrics.call_left()
        if self._call_over is not None:
            self._call_over()
        if not self._live:
            self._idle.set()
