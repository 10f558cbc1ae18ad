"""Whatever workers, database and telephone go through, each call has one end, and no caller is forgotten."""

from __future__ import annotations

import asyncio
import json
import random
from collections import deque
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipagent.calls.adopting import UNCLAIMED_FOR_S
from sipagent.calls.effects import UNKNOWN
from sipagent.errors import StoreAwayError
from sipagent.identifiers import CallId
from sipagent.store import ClaimedCall
from tests.calls.outliving import (
    LOOK_S,
    OWED_S,
    UNATTENDED_S,
    Answer,
    ImaginedLine,
    Turn,
    Way,
    Worker,
    World,
    generation_of,
    incoming,
)
from tests.support.processes import Process, run_processes

Kind: TypeAlias = Literal[
    "kill",
    "freeze",
    "cut",
    "hang",
    "deaf",
    "outage",
    "leave",
    "all leave",
    "socket",
    "again",
    "kill at once",
    "kill in outage",
    "outage at question",
    "kill at begin",
    "freeze at begin",
    "kill at adoption",
]
AT_ONCE: frozenset[Kind] = frozenset(
    {"outage at question", "kill at begin", "freeze at begin", "kill at adoption"}
)
"""What happens at the very moment at which a worker does something."""
UNREACHED: frozenset[Kind] = frozenset(
    {"cut", "hang", "deaf", "outage", "kill in outage", "outage at question"}
)
"""What keeps a worker that runs from asking the database."""
TALK_S = 45.0
RINGS_S = 25.0
CONCLUDE_S = 40.0
UNTIL_EFFECT_S = 30.0
"""How long a fault waits for an effect."""
RETRY_S = 0.5
"""Between deliveries of a webhook that nobody answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that goes wrong, or is done on purpose."""

    at_s: float
    kind: Kind
    whom: int
    """Which worker, or which call."""
    for_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that happens."""

    faults: tuple[Fault, ...]
    turns: tuple[tuple[Turn, ...], ...]
    """Of each call."""
    accepts: tuple[Answer, ...]
    refers: tuple[Answer, ...]
    hang_ups: tuple[Answer, ...]
    leaves: bool
    one_socket: bool
    seed: int
    tells_uptime: bool = True
    """Whether the database says for how long it has been up."""


def moments(longest: float) -> st.SearchStrategy[float]:
    return st.integers(0, int(longest * 10)).map(lambda tenths: tenths / 10)


@st.composite
def turns_of(draw: st.DrawFn, number: int) -> tuple[Turn, ...]:
    turns = []
    for index in range(draw(st.integers(0, 5))):
        tool = draw(st.sampled_from((None, "book", "book", "look", "transfer", "hang_up")))
        arguments: dict[str, Any] = {}
        if tool in ("book", "look"):
            seconds = draw(st.sampled_from((0.0, 0.5, 3.0, 9.0, 20.0)))
            arguments = {"label": f"{number}/{index}", "seconds": seconds, "fails": draw(st.booleans())}
        elif tool == "transfer":
            arguments = {"target": "billing"}
        after_s = 0.5 + draw(moments(12))
        turns.append(Turn(after_s=after_s, tool=tool, arguments=json.dumps(arguments)))
    return tuple(turns)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    kinds: tuple[Kind, ...] = (
        *("kill", "freeze", "cut", "hang", "deaf", "outage"),
        *("leave", "all leave", "socket", "again", "kill at once", "kill in outage"),
        *("outage at question", "kill at begin", "freeze at begin", "kill at adoption"),
    )
    faults = st.builds(
        Fault,
        at_s=moments(40),
        kind=st.sampled_from(kinds),
        whom=st.integers(0, 2),
        for_s=st.sampled_from((0.3, 1.0, 2.5, 5.0, 8.0, 20.0)),
    )
    # Some tries of each request are spoiled; a Calls API that never answers is for other tests.
    answers: st.SearchStrategy[Answer] = st.sampled_from(("yes", "503", "429", "lost", "done and lost"))
    return Plan(
        faults=tuple(sorted(draw(st.lists(faults, max_size=6)), key=lambda fault: fault.at_s)),
        turns=tuple(draw(turns_of(number)) for number in range(draw(st.integers(1, 3)))),
        accepts=tuple(draw(st.lists(answers, max_size=2))),
        refers=tuple(draw(st.lists(answers, max_size=2))),
        hang_ups=tuple(draw(st.lists(answers, max_size=8))),
        leaves=draw(st.booleans()),
        one_socket=draw(st.booleans()),
        seed=draw(st.integers(0, 1000)),
    )


class Story:
    """One plan, carried out."""

    def __init__(self, plan: Plan, world: World) -> None:
        self.plan = plan
        self.world = world
        self.workers: list[Worker] = []
        """Those that are there; one that is gone is replaced in its place."""
        self.ever: list[Worker] = []
        self.last_fault_s = 0.0
        self.unattended_s: dict[CallId, float] = {}
        self.owed_s: dict[CallId, float] = {}
        self.problems: list[str] = []

    async def run(self) -> None:
        """From the first call to the last record."""
        world, plan = self.world, self.plan
        self.generation = await generation_of(world)
        for action, answers in (("accept", plan.accepts), ("refer", plan.refers), ("hangup", plan.hang_ups)):
            world.answers[action] = deque(answers)
        world.leaves = plan.leaves
        for _ in range(3):
            self._start()
        await asyncio.sleep(1.0)
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(self._watch())
            async with asyncio.TaskGroup() as busy:
                for number, turns in enumerate(plan.turns):
                    busy.create_task(self._call(number, turns))
                for fault in plan.faults:
                    busy.create_task(self._go_wrong(fault))
            # Nothing goes wrong any more, and nobody calls: those who are there conclude.
            await asyncio.sleep(CONCLUDE_S)
            watching.cancel()
        self._everybody_concluded()
        for worker in self.workers:
            worker.kill()
        await asyncio.sleep(UNCLAIMED_FOR_S + 10)
        last = Worker(world, self.generation)
        self.ever.append(last)
        await asyncio.sleep(CONCLUDE_S)
        last.leaves.set()
        await asyncio.wait([last.task])
        await last.task
        for worker in self.ever:
            if worker.process.killed:
                await worker.process.clear_away()
            else:
                await worker.task

    def check(self) -> None:
        """What must hold at the end."""
        world = self.world
        assert not self.problems, self.problems
        assert not world.database.claims, "every call has an end"
        ended = [fact.call_id for fact, _ in world.endings]
        assert len(ended) == len(set(ended))
        for call_id in world.lines:
            record = world.database.calls.record(call_id)
            if record is None:
                continue  # it was rung out: no database has ever heard of it
            assert record.summary.end_reason is not None, f"{call_id} has no end"
            assert record.summary.end_reason != "internal_error", record.end_detail
            if not any(fault.kind in UNREACHED for fault in self.plan.faults):
                # Else two may see the end of a call of which nobody can say whose it is.
                assert len([state for state in record.states if state.state == "ended"]) == 1
        for fact, state in world.endings:
            assert state == "over", f"{fact} while the line was {state}"
        twice = [
            label for label, times in world.executed.items() if times > 1 and not label.startswith("look")
        ]
        assert not twice, f"done twice: {twice}"

    # Calls -----------------------------------------------------------------------------------------

    async def _call(self, number: int, turns: tuple[Turn, ...]) -> None:
        call = incoming(number)
        await asyncio.sleep(number * 2.0)
        line = ImaginedLine(call.call_id, one_socket=self.plan.one_socket)
        self.world.lines[call.call_id] = line
        loop = asyncio.get_running_loop()
        rings_until = loop.time() + RINGS_S
        attempt = number
        while not await self.workers[attempt % 3].deliver(call) and loop.time() < rings_until:
            attempt += 1
            await asyncio.sleep(RETRY_S)
        while not line.is_up and line.state != "over" and loop.time() < rings_until:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        if not line.is_up:
            line.hang_up("the caller gave up")
        talks_until = loop.time() + TALK_S
        for turn in turns:
            await asyncio.sleep(turn.after_s)
            line.take_turn(turn)
        await asyncio.sleep(max(0.0, talks_until - loop.time()))
        line.hang_up("caller")

    # Faults ----------------------------------------------------------------------------------------

    def _start(self) -> Worker:
        worker = Worker(self.world, self.generation)
        self.workers.append(worker)
        self.ever.append(worker)
        return worker

    def _replace(self, worker: Worker) -> None:
        if worker not in self.workers:
            return  # it was killed while it was leaving
        newer = Worker(self.world, self.generation)
        self.workers[self.workers.index(worker)] = newer
        self.ever.append(newer)

    def _stir(self, worker: Worker | None = None) -> None:
        self.unattended_s.clear()
        self.owed_s.clear()
        if worker is not None:
            worker.touched()

    async def _go_wrong(self, fault: Fault) -> None:
        await asyncio.sleep(1.0 + fault.at_s)
        if fault.kind in AT_ONCE:
            await self._go_wrong_at_once(fault)
            return
        worker = self.workers[fault.whom]
        if worker.process.killed or (worker.leaves.is_set() and fault.kind not in ("kill", "kill at once")):
            return
        self._stir(worker)
        match fault.kind:
            case "kill" | "kill at once":
                await self._die(worker, 0.0 if fault.kind == "kill at once" else fault.for_s)
            case "freeze":
                worker.process.freeze()
                await asyncio.sleep(fault.for_s)
                worker.process.wake()
            case "cut" | "hang" | "deaf":
                ways: dict[Kind, Way] = {"cut": "refused", "hang": "hanging", "deaf": "deaf"}
                worker.store.way = ways[fault.kind]
                await asyncio.sleep(fault.for_s)
                worker.store.way = "open"
            case "outage":
                await self._outage(fault.for_s)
            case "kill in outage":
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._outage(fault.for_s))
                    await asyncio.sleep(fault.for_s * 0.7)
                    if worker.process.runs:
                        await self._die(worker, 1.0)
            case "leave":
                await self._leave(worker)
            case "all leave":
                async with asyncio.TaskGroup() as group:
                    for each in self.workers:
                        if not (each.process.killed or each.leaves.is_set()):
                            group.create_task(self._leave(each))
            case "socket":
                line = self.world.lines.get(CallId(f"rtc_{fault.whom}"))
                if line is not None:
                    line.cut()
            case "again":
                call = incoming(fault.whom)
                if call.call_id in self.world.lines:
                    await worker.deliver(call)
            case _:
                raise AssertionError(f"{fault.kind} comes with something that a worker does")
        self._stir(worker)

    async def _go_wrong_at_once(self, fault: Fault) -> None:
        """Whoever asks for an effect, begins it, or adopts calls meets the fault at that very moment."""
        world, met = self.world, asyncio.get_running_loop().create_future()

        def meet(process: Process) -> None:
            if met.done():
                return
            worker = next(each for each in self.ever if each.process is process)
            if worker.leaves.is_set():
                return
            met.set_result(worker)
            self._stir(worker)
            match fault.kind:
                case "outage at question":
                    world.outage(begins=True)
                case "kill at begin" | "kill at adoption":
                    worker.kill()
                case _:
                    process.freeze()

        match fault.kind:
            case "outage at question":
                world.at_question = meet
            case "kill at adoption":
                world.at_adoption = meet
            case _:
                world.at_begin = meet
        done, _ = await asyncio.wait([met], timeout=UNTIL_EFFECT_S)
        if not done:
            met.cancel()
            return
        await asyncio.sleep(fault.for_s)
        worker = met.result()
        match fault.kind:
            case "outage at question":
                world.outage(begins=False)
            case "kill at begin" | "kill at adoption":
                self._replace(worker)
            case _:
                worker.process.wake()
        self._stir(worker)

    async def _leave(self, worker: Worker) -> None:
        worker.leaves.set()
        await asyncio.wait([worker.task], timeout=40.0)
        if not worker.process.killed:
            if not worker.task.done():
                worker.kill()  # as whoever asked it to leave does in the end
            self._replace(worker)

    async def _die(self, worker: Worker, after_s: float) -> None:
        worker.kill()
        await asyncio.sleep(after_s)
        self._replace(worker)

    async def _outage(self, for_s: float) -> None:
        self.world.outage(begins=True)
        await asyncio.sleep(for_s)
        self.world.outage(begins=False)

    # Watching --------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Count for how long callers are left alone while somebody could be there for them."""
        while True:
            await asyncio.sleep(LOOK_S)
            settled = any(worker.settled for worker in self.workers)
            for call_id, line in self.world.lines.items():
                known = call_id in self.world.database.claims
                alone = settled and known and line.is_up and not line.attended
                self._count(self.unattended_s, call_id, counts=alone, most=UNATTENDED_S, what="unattended")
                waits = settled and known and line.is_up and line.owes_since is not None
                self._count(self.owed_s, call_id, counts=waits, most=OWED_S, what="left waiting")

    def _count(
        self, counts_s: dict[CallId, float], call_id: CallId, *, counts: bool, most: float, what: str
    ) -> None:
        counted_s = counts_s.get(call_id, 0.0) + LOOK_S if counts else 0.0
        counts_s[call_id] = counted_s
        if most < counted_s <= most + LOOK_S:
            self.problems.append(f"{call_id} is {what} at {self.world.loop.time():.1f} s")

    def _everybody_concluded(self) -> None:
        for call_id, line in self.world.lines.items():
            if call_id in self.world.database.claims:
                self.problems.append(f"{call_id} is held after it was over: {line.why_over}")


async def tell(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> Story:
    random.seed(plan.seed)
    world = World(one_socket=plan.one_socket, tells_uptime=plan.tells_uptime)
    monkeypatch.setattr("websockets.connect", world.connect)
    story = Story(plan, world)
    await story.run()
    return story


@given(plan=plans())
@settings(max_examples=50, deadline=None, derandomize=True)
def test_whatever_goes_wrong_each_call_has_one_end_and_no_caller_is_left_alone(plan: Plan) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        run_processes(tell(plan, monkeypatch)).check()


def plan_of(*faults: Fault, turns: tuple[Turn, ...] = (), **changes: Any) -> Plan:
    """One call, and ``faults``."""
    known: dict[str, Any] = {
        "accepts": (),
        "refers": (),
        "hang_ups": (),
        "leaves": True,
        "one_socket": False,
        "seed": 0,
    }
    return Plan(faults=faults, turns=(turns,), **{**known, **changes})


def test_a_day_on_which_nothing_goes_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = json.dumps({"label": "0/0", "seconds": 0.5, "fails": False})
    plan = plan_of(turns=(Turn(after_s=3.0, tool="book", arguments=arguments), Turn(after_s=3.0)))
    story = run_processes(tell(plan, monkeypatch))
    story.check()
    assert story.world.executed == {"0/0": 1}
    record = story.world.database.calls.record(CallId("rtc_0"))
    assert record is not None
    assert record.summary.end_reason == "caller_hung_up"
    assert [run.is_error for run in record.tools] == [False]


@pytest.mark.parametrize("kind", ["outage", "cut", "hang"])
def test_a_webhook_that_comes_again_to_a_worker_without_database_ends_no_call(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(
        # So that another worker has the call, and the new one in this place does not know of it.
        Fault(at_s=0.5, kind="leave", whom=0, for_s=0.0),
        Fault(at_s=8.0, kind=kind, whom=0, for_s=8.0),
        Fault(at_s=11.0, kind="again", whom=0, for_s=0.0),
        turns=(Turn(after_s=25.0), Turn(after_s=5.0)),
    )
    story = run_processes(tell(plan, monkeypatch))
    story.check()
    record = story.world.database.calls.record(CallId("rtc_0"))
    assert record is not None
    assert record.summary.end_reason == "caller_hung_up"


def test_a_worker_that_is_cut_off_does_not_hang_up_what_another_attended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fault = Fault(at_s=10.0, kind="cut", whom=0, for_s=20.0)
    story = run_processes(tell(plan_of(fault, one_socket=True), monkeypatch))
    story.check()
    assert story.world.lines[CallId("rtc_0")].why_over == "caller"


def book(seconds: float) -> str:
    return json.dumps({"label": "0/0", "seconds": seconds, "fails": False})


def what_the_model_was_told(story: Story) -> list[str]:
    return [output for call in story.world.lines[CallId("rtc_0")].calls.values() for output in call.outputs]


OUTAGE = Fault(at_s=8.0, kind="outage", whom=0, for_s=6.0)
"""In the middle of which a tool is asked for."""
ASKED = Turn(after_s=10.0, tool="book", arguments=book(20.0))


@pytest.mark.parametrize("kind", ["kill", "freeze"])
@pytest.mark.parametrize("after_s", [tenths / 10 for tenths in range(20, 86, 3)])
def test_an_effect_that_began_without_a_database_is_carried_out_once_whenever_its_worker_goes(
    kind: Kind, after_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    # For longer than the outage and the lease together.
    fault = Fault(at_s=OUTAGE.at_s + after_s, kind=kind, whom=0, for_s=14.0)
    story = run_processes(tell(plan_of(OUTAGE, fault, turns=(ASKED, Turn(after_s=32.0))), monkeypatch))
    story.check()
    told = what_the_model_was_told(story)
    assert told in ([UNKNOWN], ["0/0 is done"])
    if told != [UNKNOWN]:
        assert story.world.executed["0/0"] == 1


@pytest.mark.parametrize("after_s", [6.2, 6.6, 7.0, 8.0])
def test_who_hands_over_tells_first_what_began_without_a_database(
    after_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaves = Fault(at_s=OUTAGE.at_s + after_s, kind="leave", whom=0, for_s=0.0)
    story = run_processes(tell(plan_of(OUTAGE, leaves, turns=(ASKED, Turn(after_s=32.0))), monkeypatch))
    story.check()
    assert story.world.executed["0/0"] == 1
    assert len(what_the_model_was_told(story)) == 1


@pytest.mark.parametrize("kind", ["kill at begin", "freeze at begin"])
@pytest.mark.parametrize("for_s", [0.5, 3.0, 14.0])
def test_an_effect_is_carried_out_once_though_its_worker_goes_at_that_moment_without_a_database(
    kind: Kind, for_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = Fault(at_s=OUTAGE.at_s, kind=kind, whom=0, for_s=for_s)
    story = run_processes(tell(plan_of(OUTAGE, fault, turns=(ASKED, Turn(after_s=32.0))), monkeypatch))
    story.check()
    assert story.world.executed["0/0"] == 1
    assert len(what_the_model_was_told(story)) == 1


def test_who_adopts_from_one_in_doubt_is_in_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(
        OUTAGE,
        Fault(at_s=OUTAGE.at_s, kind="kill at begin", whom=0, for_s=0.0),
        # Whoever adopts it, and is settled then, dies before it has looked what the call waits for.
        Fault(at_s=OUTAGE.at_s, kind="kill at adoption", whom=0, for_s=0.0),
        turns=(ASKED, Turn(after_s=32.0)),
    )
    story = run_processes(tell(plan, monkeypatch))
    story.check()
    assert story.world.executed["0/0"] == 1
    assert what_the_model_was_told(story) == [UNKNOWN]
    assert story.world.adoptions == 2


def test_an_outage_that_only_heartbeats_have_seen_is_enough_to_doubt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = plan_of(
        OUTAGE,
        Fault(at_s=OUTAGE.at_s, kind="kill at begin", whom=0, for_s=30.0),
        turns=(ASKED, Turn(after_s=32.0)),
        tells_uptime=False,
    )
    story = run_processes(tell(plan, monkeypatch))
    story.check()
    assert story.world.executed["0/0"] == 1
    assert what_the_model_was_told(story) == [UNKNOWN]


def test_what_was_asked_for_while_nobody_attended_is_done_where_there_was_no_outage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = Turn(after_s=10.0, tool="book", arguments=book(0.5))
    fault = Fault(at_s=8.5, kind="kill", whom=0, for_s=0.0)
    story = run_processes(tell(plan_of(fault, turns=(asked, Turn(after_s=20.0))), monkeypatch))
    story.check()
    assert story.world.executed["0/0"] == 1
    assert what_the_model_was_told(story) == ["0/0 is done"]


class _CountingLine(ImaginedLine):
    asked_to_accept = 0

    def accept(self) -> None:
        self.asked_to_accept += 1
        super().accept()


class _LosesTheFirst:
    """A way to the database on which the answer to the first adoption of anything is lost."""

    def __init__(self, worker: Worker, lost: asyncio.Event) -> None:
        self._reached = worker.store
        self._lost = lost

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reached, name)

    async def adopt(self, *arguments: Any, **options: Any) -> tuple[ClaimedCall, ...]:
        adopted: tuple[ClaimedCall, ...] = await self._reached.adopt(*arguments, **options)
        if adopted and not self._lost.is_set():
            self._lost.set()
            raise StoreAwayError("the answer was lost", serves_nobody=False)
        return adopted


@pytest.mark.parametrize("known", [False, True], ids=["a stranger", "it had the call before"])
def test_a_webhook_that_comes_again_after_an_adoption_that_was_not_confirmed_is_no_first_claim(
    known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def tell_it() -> Story:
        world = World()
        monkeypatch.setattr("websockets.connect", world.connect)
        story = Story(plan_of(turns=(Turn(after_s=12.0),)), world)
        lost = asyncio.Event()
        story.generation = await generation_of(world)
        first, second = story._start(), story._start()
        for worker in (first, second):
            worker.shift._adopter._memory = cast(Any, _LosesTheFirst(worker, lost))
        call = incoming(0)
        line = _CountingLine(call.call_id, one_socket=False)
        world.lines[call.call_id] = line
        await asyncio.sleep(8.0)
        if known:
            second.supervisor._seen.take(call, world.loop.time())
        assert await first.deliver(call)
        await eventually_up(line)
        await asyncio.sleep(1.0)
        first.kill()
        await lost.wait()
        assert await second.deliver(call)
        began = world.loop.time()
        while not line.attended:
            await asyncio.sleep(0.05)
            assert world.loop.time() - began < 2.0, "promptly"
        held = world.database.claims[call.call_id]
        live = second.supervisor.live(call.call_id)
        assert live is not None
        assert (held.epoch, live._holding) == (2, second.shift._terms.holding(2))
        line.hang_up("caller")
        await asyncio.sleep(5.0)
        assert line.asked_to_accept == 1
        second.leaves.set()
        await asyncio.wait([second.task])
        await first.process.clear_away()
        await second.task
        return story

    story = run_processes(tell_it())
    story.check()
    record = story.world.database.calls.record(CallId("rtc_0"))
    assert record is not None
    assert [note.kind for note in record.notes].count("adopted") == 1
    assert record.summary.end_reason == "caller_hung_up"


async def eventually_up(line: ImaginedLine) -> None:
    while not line.is_up:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
