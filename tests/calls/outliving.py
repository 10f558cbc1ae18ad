"""A world of several workers, one database and a telephone, in which everything may go wrong."""

from __future__ import annotations

import asyncio
import math
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeAlias, cast
from urllib.parse import parse_qs, urlsplit

from sipagent.calls import (
    CallsClient,
    CallServices,
    CallSettings,
    FrontDoor,
    Generation,
    IncomingCall,
    Recorder,
    Supervisor,
    WebhookEndpoint,
    WebhookVerifier,
)
from sipagent.calls.adopting import Adopter
from sipagent.calls.client import CallsClientSettings
from sipagent.calls.generation import prepare_generation
from sipagent.calls.shift import Shift
from sipagent.calls.shift_settings import ShiftSettings
from sipagent.calls.tools.manners import ToolManners, with_manners
from sipagent.errors import CallControlRateLimitedError, CallControlUnavailableError, StoreAwayError
from sipagent.identifiers import CallId, WorkerId
from sipagent.realtime import function_tool
from sipagent.store import CallEnded, ClaimedCall, EffectAnswer, Fact, MemoryCallStore, MemoryDatabase, Store
from sipagent.telemetry import Metrics
from tests.support.imagined_line import ImaginedLine, Turn
from tests.support.practice import front_door
from tests.support.processes import Process, this_process

BEGAN = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
SHIFT = ShiftSettings.for_lease(6.0)
CALLS = CallSettings(finish_speaking_timeout_s=3.0, transfer_confirm_s=2.0)
QUESTION_S = 0.004
"""From a worker to the database, or back."""
SETTLED_S = SHIFT.lease_s + 2 * SHIFT.heartbeat_s
"""A worker that nothing has happened to for so long may adopt."""
UNATTENDED_S = SHIFT.lease_s + SHIFT.quiet_s + 2 * SHIFT.look_s + SHIFT.database_timeout_s + 1.0
"""How long a call that is up is without anybody, at most, while a settled worker is there."""
LONGEST_TOOL_S = 20.0
OWED_S = UNATTENDED_S + LONGEST_TOOL_S + CALLS.answer_timeout_s
"""How long a caller waits for what only a worker can do, at most: while one is there, and its tool runs."""
LOOK_S = 0.25

Answer: TypeAlias = Literal["yes", "503", "429", "lost", "done and lost"]
"""What becomes of one request to the Calls API."""
Way: TypeAlias = Literal["open", "refused", "hanging", "deaf"]
"""Between a worker and the database. ``deaf``: what is asked is done, and no answer comes back."""


@dataclass(eq=False)
class World:
    """What is outside of every worker."""

    one_socket: bool = False
    tells_uptime: bool = True

    def __post_init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.database = MemoryDatabase(now_s=lambda: self.now().timestamp())
        self.serves = True
        """Whether the database does."""
        self.serves_since = -math.inf
        self.lines: dict[CallId, ImaginedLine] = {}
        self.answers: dict[str, deque[Answer]] = {}
        self.leaves = True
        """Whether a transfer arrives."""
        self.executed = Counter[str]()
        self.at_question: Callable[[Process], None] | None = None
        """What happens as soon as a process asks whether an effect may begin."""
        self.at_begin: Callable[[Process], None] | None = None
        """What happens as soon as a tool begins its work."""
        self.at_adoption: Callable[[Process], None] | None = None
        """What happens as soon as calls were adopted, and before anybody knows."""
        self.adoptions = 0
        self.endings = list[tuple[CallEnded, str]]()
        """Each end that the database was the first to be told, with the state of the line then."""
        self.workers: list[Worker] = []
        self.problems: list[str] = []

    def now(self) -> datetime:
        """On the clock of people."""
        return BEGAN + timedelta(seconds=self.loop.time())

    async def connect(self, url: str, **options: Any) -> Any:
        """Stands in for ``websockets.connect``."""
        (call_id,) = parse_qs(urlsplit(url).query)["call_id"]
        if (hold := options["create_connection"].keywords["hold"]) is not None:
            await hold()
        return await self.lines[CallId(call_id)].connect(url, **options)

    def outage(self, *, begins: bool) -> None:
        """The database stops, or is there again."""
        if self.serves and begins:
            self.serves = False
        elif not self.serves and not begins:
            self.serves, self.serves_since = True, self.loop.time()

    def door(self) -> FrontDoor:
        """Who answers: an agent with a tool of every kind."""

        async def work(label: str, seconds: float, fails: bool) -> str:
            process = this_process()
            assert process is not None, "tools run in workers"
            process.reach_out()
            self.executed[label] += 1
            if self.at_begin is not None:
                self.at_begin(process)
            await asyncio.sleep(seconds)
            if fails:
                raise OSError("the line to the office broke")
            return f"{label} is done"

        @function_tool
        async def book(label: str, seconds: float, fails: bool) -> str:
            """Book a slot."""
            return await work(label, seconds, fails)

        @function_tool
        async def look(label: str, seconds: float, fails: bool) -> str:
            """Look something up."""
            return await work(f"look {label}", seconds, fails)

        return front_door(tools=[with_manners(book, ToolManners(side_effects=True)), look], greeting="Hello.")


class _Api(CallsClient):
    """The Calls API as a worker reaches it: all that is real of it is how often it is asked."""

    def __init__(self, world: World) -> None:
        # No connection is made, so nothing of the real one is.
        self._settings = CallsClientSettings()
        self._world = world

    async def _once(self, action: str, call_id: CallId, request: Callable[[], Awaitable[None]]) -> None:
        process = this_process()
        assert process is not None, "only workers ask"
        answers = self._world.answers.get(action)
        answer: Answer = answers.popleft() if answers else "yes"
        await asyncio.sleep(0.03)
        process.reach_out()
        match answer:
            case "503":
                raise CallControlUnavailableError("busy", status=503, code=None)
            case "429":
                raise CallControlRateLimitedError("too many", status=429, code=None)
            case "lost":
                await self._no_answer()
            case "yes" | "done and lost":
                self._do(action, self._world.lines[call_id])
                if answer == "done and lost":
                    await self._no_answer()
        await asyncio.sleep(0.03)
        process.reach_out()

    async def _no_answer(self) -> None:
        await asyncio.sleep(self._settings.try_timeout_s)
        raise CallControlUnavailableError("no answer", status=None, code=None)

    def _do(self, action: str, line: ImaginedLine) -> None:
        match action:
            case "accept":
                line.accept()
            case "reject":
                line.reject()
            case "refer":
                line.refer(self._world.leaves)
            case "hangup":
                line.end_call()
            case other:
                raise AssertionError(f"nobody asks for {other}")


class _Reached:
    """The database, at the end of a worker's way to it."""

    def __init__(self, world: World, process: Process) -> None:
        self.way: Way = "open"
        self._world = world
        self._process = process
        self._store = MemoryCallStore(database=world.database)

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        work = getattr(self._store, name)

        async def asked(*arguments: Any, **options: Any) -> Any:
            await self._go()
            found = await work(*arguments, **options)
            await self._come_back()
            return found

        return asked

    async def uptime_s(self) -> float:
        """See `CallLeases.uptime_s`."""
        await self._go()
        world = self._world
        return world.loop.time() - world.serves_since if world.tells_uptime else math.inf

    async def adopt(
        self, worker: WorkerId, *, limit: int, quiet_s: float, take_back: bool = False
    ) -> tuple[ClaimedCall, ...]:
        """See `CallLeases.adopt`."""
        await self._go()
        adopted = await self._store.adopt(worker, limit=limit, quiet_s=quiet_s, take_back=take_back)
        self._world.adoptions += len(adopted)
        if adopted and self._world.at_adoption is not None:
            self._world.at_adoption(self._process)
        await self._go()
        return adopted

    async def begin_effect(self, *arguments: Any) -> EffectAnswer:
        """See `CallLeases.begin_effect`."""
        if self._world.at_question is not None:
            self._world.at_question(self._process)
        await self._go()
        found = await self._store.begin_effect(*arguments)
        await self._go()
        return found

    async def apply(self, facts: Sequence[Fact]) -> None:
        """See `CallStore.apply`."""
        await self._go()
        for fact in facts:
            if isinstance(fact, CallEnded) and not self._world.database.calls.has_ended(fact.call_id):
                self._world.endings.append((fact, self._world.lines[fact.call_id].state))
        await self._store.apply(facts)
        await self._come_back()

    async def _go(self) -> None:
        self._process.reach_out()
        if self.way == "hanging":
            await asyncio.sleep(60.0)
        await asyncio.sleep(QUESTION_S)
        self._process.reach_out()
        if self.way == "refused":
            raise StoreAwayError("cut off", serves_nobody=False)
        if not self._world.serves:
            raise StoreAwayError("connection refused", serves_nobody=True)

    async def _come_back(self) -> None:
        await self._go()
        if self.way == "deaf":
            raise StoreAwayError("the answer was lost", serves_nobody=False)


class Worker:
    """One process of the service, put together as the service does it, without its network."""

    def __init__(self, world: World, generation: Generation) -> None:
        self.process = Process()
        self.leaving = False
        self.untouched_since = world.loop.time()
        self._world = world
        self._generation = generation
        self.store = _Reached(world, self.process)
        memory = cast(Store, self.store)
        metrics = Metrics()
        self.recorder = Recorder(memory, metrics)
        client = _Api(world)
        services = CallServices(
            client=client,
            api_key="key",
            base_url="http://127.0.0.1:1/v1",
            metrics=metrics,
            settings=CALLS,
            observe=lambda *_: None,
            utc_now=world.now,
            memory=memory,
        )
        self.supervisor = Supervisor(
            generation=generation, services=services, record=self.recorder.record, utc_now=world.now
        )
        adopter = Adopter(
            memory=memory,
            supervisor=self.supervisor,
            client=client,
            record=self.recorder.record,
            restore=self._restore,
            metrics=metrics,
            utc_now=world.now,
            settings=SHIFT,
        )
        self.shift = Shift(
            memory=memory,
            supervisor=self.supervisor,
            adopter=adopter,
            record=self.recorder.record,
            flush=self.recorder.flush,
            look_for_commands=None,
            metrics=metrics,
            name="worker",
            settings=SHIFT,
        )
        self.endpoint = WebhookEndpoint(
            verifier=cast(WebhookVerifier, None),
            supervisor=self.supervisor,
            metrics=metrics,
            shift=self.shift,
            utc_now=world.now,
        )
        self.leaves = asyncio.Event()
        self.serving = False
        self.task = self.process.begin(self._run())

    async def _restore(self, fingerprint: str) -> Generation | None:
        raise AssertionError("there is one configuration")

    @property
    def settled(self) -> bool:
        """Whether it may adopt, and can."""
        return (
            self.process.healthy
            and self.serving
            and not self.leaving
            and self.store.way == "open"
            and self._world.serves
            and self._world.loop.time() - max(self.untouched_since, self._world.serves_since) > SETTLED_S
        )

    async def _run(self) -> None:
        """As `Service` does, in its order."""
        async with asyncio.TaskGroup() as group:
            recording = group.create_task(self.recorder.run())
            async with self.supervisor:
                while True:
                    try:
                        await self.shift.join()
                        break
                    except StoreAwayError:
                        await asyncio.sleep(1.0)  # whoever starts processes starts this one again
                working = group.create_task(self.shift.run())
                self.serving = True
                await self.leaves.wait()
                self.leaving = True
                if not await self.shift.hand_over():
                    await self.supervisor.drain(20.0)
            self.serving = False
            await self.recorder.flush(SHIFT.database_timeout_s)
            working.cancel()
            await self.shift.leave()
            await self.recorder.aclose()
            await asyncio.wait([recording])

    async def deliver(self, call: IncomingCall) -> bool:
        """Bring a webhook; whether it was answered in time."""
        if not self.serving:
            return False
        work = self.process.begin(self.endpoint._take(call, self._world.loop.time()))
        await asyncio.wait([work], timeout=2.0)
        return work.done() and not work.cancelled()

    def kill(self) -> None:
        """As ``kill -9``."""
        self.process.kill()
        for line in self._world.lines.values():
            for wire, by in line.wires:
                if by is self.process:
                    wire.open = False  # the kernel closes it
        self._world.database.kill(self.shift.worker)

    def touched(self) -> None:
        """Something has happened to it."""
        self.untouched_since = self._world.loop.time()


async def generation_of(world: World) -> Generation:
    """The configuration that everybody serves."""
    return await prepare_generation(world.door(), number=1, loaded_at=BEGAN)


def incoming(number: int) -> IncomingCall:
    """The webhook of one call."""
    return IncomingCall(
        call_id=CallId(f"rtc_{number}"),
        webhook_id=f"wh_{number}",
        caller=f"+1555010{number:04}",
        dialled="+15550100001",
        sip_call_id=None,
        sip_headers=(),
        media_security=None,
    )


__all__ = [
    "LOOK_S",
    "OWED_S",
    "UNATTENDED_S",
    "Answer",
    "ImaginedLine",
    "Turn",
    "Way",
    "Worker",
    "World",
    "generation_of",
    "incoming",
]
