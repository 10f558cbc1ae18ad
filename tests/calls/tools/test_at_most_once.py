"""A side effect happens at most once, and what is said of it is true, whatever goes wrong.

First the tool alone, called and cut off in any order; then in a session, against a server that does whatever
it may, over a network that does whatever it can.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import websockets
from hypothesis import given, settings
from hypothesis import strategies as st

from sipagent.calls import CallContext, TransferTarget
from sipagent.calls.tools.failures import ToolFailureError
from sipagent.calls.tools.manners import RUNNING, UNCLEAR, ToolManners, with_manners
from sipagent.calls.tools.texts import ToolText
from sipagent.calls.tools.updates import partial_update
from sipagent.realtime import (
    AttachPolicy,
    FunctionTool,
    OpenAIRealtimeSIPModel,
    RealtimeAgent,
    RealtimeRunner,
    RealtimeSession,
    ToolContext,
)
from sipagent.realtime.tools import ToolResult
from tests.calls.controls import call
from tests.calls.tools.using import caller_answers, question_put, use
from tests.support.disturbances import Disturbances
from tests.support.imagined_realtime import ImaginedRealtime
from tests.support.leaks import describe, leaked_tasks
from tests.support.virtual_time import run_virtually

RUNS = settings(max_examples=200, deadline=None, report_multiple_bugs=False)
DAYS = ("Monday", "Tuesday")
TIMEOUT_S = 10.0


class Shop:
    """What is booked in the world, and how each booking goes."""

    def __init__(self) -> None:
        self.booked = Counter[str]()
        self.ways: list[str] = []
        """How the next attempts go; then all go well."""
        self.waiting: list[asyncio.Event] = []

    async def book(self, context: ToolContext[Any], arguments: str) -> str:
        day = json.loads(arguments)["day"]
        match self.ways.pop(0) if self.ways else "well":
            case "well":
                self.booked[day] += 1
                return f"number {self.booked[day]}"
            case "refused":
                raise ToolFailureError("Nothing was done: there is no table.", effect="none")
            case "breaks before":
                raise ConnectionResetError("it broke")
            case "breaks behind":
                self.booked[day] += 1
                raise ConnectionResetError("it broke")
            case "slow before":
                await self._wait()
                self.booked[day] += 1
                return f"number {self.booked[day]}"
            case _:  # slow behind
                self.booked[day] += 1
                await self._wait()
                return f"number {self.booked[day]}"

    async def _wait(self) -> None:
        go = asyncio.Event()
        self.waiting.append(go)
        await go.wait()

    def tool(self, *, asks: bool) -> FunctionTool:
        tool = FunctionTool(
            name="book",
            description="",
            params_json_schema={"type": "object", "properties": {"day": {"type": "string"}}},
            on_invoke_tool=self.book,
            timeout_s=TIMEOUT_S,
        )
        manners = ToolManners(
            filler=ToolText("One moment."),
            confirm=ToolText("Shall I book {day}?") if asks else None,
            side_effects=True,
        )
        return with_manners(tool, manners)


WAYS = ("well", "refused", "breaks before", "breaks behind", "slow before", "slow behind")


# The tool alone -------------------------------------------------------------------------------------


class Desk:
    """One call, and the steps that a test takes in it."""

    def __init__(self, *, asks: bool) -> None:
        self.shop = Shop()
        self.tool = self.shop.tool(asks=asks)
        self.context: CallContext = call()
        self.uses: list[tuple[str, asyncio.Task[ToolResult]]] = []
        self.calls = 0
        self.asked: set[str] = set()
        """The days that the caller was asked about and has said yes to."""
        self.asks = asks

    def calls_with(self, number: int) -> None:
        self.calls += 1
        self._use(DAYS[number % 2], f"call_{self.calls}")

    def is_told_twice(self, number: int) -> None:
        if self.uses:
            day, task = self.uses[number % len(self.uses)]
            self._use(day, task.get_name())

    def _use(self, day: str, tool_call_id: str) -> None:
        work = use(self.tool, self.context, json.dumps({"day": day}), tool_call_id)
        self.uses.append((day, asyncio.ensure_future(work)))
        self.uses[-1][1].set_name(tool_call_id)

    def goes(self, number: int) -> None:
        self.shop.ways.append(WAYS[number % len(WAYS)])

    def finishes(self, number: int) -> None:
        if self.shop.waiting:
            self.shop.waiting.pop(number % len(self.shop.waiting)).set()

    def is_cut_off(self, number: int) -> None:
        running = [task for _, task in self.uses if not task.done()]
        if running:
            running[number % len(running)].cancel()

    def question_is_put(self, number: int) -> None:
        question_put(self.context, number)

    def caller_speaks(self, number: int) -> None:
        caller_answers(self.context)

    async def waits(self, number: int) -> None:
        await asyncio.sleep(number)

    async def check(self) -> None:
        """Everything ends, once, and as it was told."""
        await asyncio.sleep(2 * TIMEOUT_S)
        assert all(self.shop.booked[day] <= 1 for day in DAYS), "done twice"
        told: dict[str, set[str]] = {}
        for day, task in self.uses:
            assert task.done()
            if task.cancelled():
                continue
            result = task.result()
            told.setdefault(task.get_name(), set()).add(result.text)
            if "number" in result.text:
                assert self.shop.booked[day] == 1
                assert "number 1" in result.text
            elif result.text in (UNCLEAR, RUNNING):
                pass
            else:
                assert "Nothing" in result.text
        for texts in told.values():
            # One call of the model has one outcome, though it may be told before it is known, or asked again.
            final = {text for text in texts if text != RUNNING and "Nothing has been done" not in text}
            assert len(final) <= 1


Take = tuple[Callable[[Desk, int], Any], int]
TAKES = st.lists(
    st.tuples(
        st.sampled_from(
            [
                Desk.calls_with,
                Desk.calls_with,
                Desk.is_told_twice,
                Desk.goes,
                Desk.goes,
                Desk.finishes,
                Desk.is_cut_off,
                Desk.question_is_put,
                Desk.caller_speaks,
                Desk.waits,
            ]
        ),
        st.integers(0, 11),
    ),
    min_size=5,
    max_size=40,
)


@RUNS
@given(takes=TAKES, asks=st.booleans())
def test_a_tool_that_is_called_in_any_way_does_its_work_once(takes: list[Take], asks: bool) -> None:
    async def run() -> None:
        desk = Desk(asks=asks)
        for take, number in takes:
            step = take(desk, number)
            if step is not None:
                await step
            await asyncio.sleep(0.001)
        await desk.check()

    run_virtually(run())


@RUNS
@given(takes=TAKES)
def test_without_an_answer_of_the_caller_nothing_is_done(takes: list[Take]) -> None:
    async def run() -> None:
        desk = Desk(asks=True)
        for take, number in takes:
            if take is not Desk.caller_speaks:
                step = take(desk, number)
                if step is not None:
                    await step
                await asyncio.sleep(0.001)
        await asyncio.sleep(2 * TIMEOUT_S)
        assert not desk.shop.booked

    run_virtually(run())


# In a session ---------------------------------------------------------------------------------------

QUICK = AttachPolicy(not_found_deadline_s=0.0, first_retry_s=0.0, reattach_attempts=20)
PATIENCE_S = 60.0
TURNS = 12
"""Turns of the event loop in which what can move has moved."""


class SessionControls:
    """What a tool may do with its call, as a telephone call lets it."""

    def __init__(self) -> None:
        self.session: RealtimeSession | None = None

    @property
    def running(self) -> RealtimeSession:
        assert self.session is not None
        return self.session

    @property
    def agent_is_busy(self) -> bool:
        return self.running.agent_is_speaking or self.running.response_active

    async def finish_speaking(self) -> None:
        await self.running.wait_until_agent_silent(1.0)

    async def transfer(self, target: TransferTarget, briefing: str = "") -> str:
        raise AssertionError("nobody transfers here")

    async def speak(self, words: str) -> None:
        await self.running.say(words)

    async def interrupt(self) -> None:
        await self.running.interrupt()

    async def tell(self, text: str) -> None:
        await self.running.add_system_message(text)

    async def update_session(self, changes: Mapping[str, Any]) -> None:
        await self.running.model.send_event(partial_update(changes))

    def note(self, kind: str, **data: Any) -> None:
        pass


class Table(Disturbances[ImaginedRealtime]):
    """One session, and the steps that a test lets happen."""

    def __init__(
        self, server: ImaginedRealtime, session: RealtimeSession, shop: Shop, context: CallContext
    ) -> None:
        super().__init__(server, most_breaks=3)
        self.session = session
        self.shop = shop
        self.context = context
        self.listening = asyncio.create_task(self.listen(), name="listening")

    async def listen(self) -> None:
        async for event in self.session:
            self.context.tools.observe(event)

    async def turns(self, count: int = TURNS) -> None:
        for _ in range(count):
            await asyncio.sleep(0)

    def calls(self, number: int) -> None:
        if self.server.active is None:
            self.server.begin()
        assert self.server.active is not None
        self.server.call(self.server.active, "book", json.dumps({"day": DAYS[number % 2]}))

    def calls_and_is_heard(self, number: int) -> None:
        self.calls(number)
        self.hears(11)

    def speaks(self, number: int) -> None:
        if self.server.active is None:
            self.server.begin()
        assert self.server.active is not None
        self.server.speak(self.server.active, "Shall I?")

    def ends(self, number: int) -> None:
        if self.server.active is not None:
            self.server.end(self.server.active, ("completed", "completed", "failed")[number % 3])

    def goes(self, number: int) -> None:
        self.shop.ways.append(WAYS[number % len(WAYS)])

    def finishes(self, number: int) -> None:
        if self.shop.waiting:
            self.shop.waiting.pop(number % len(self.shop.waiting)).set()

    def repeats_a_call(self, number: int) -> None:
        """The server tells once more of a call that it told of before."""
        calls = list(self.server.calls.values())
        if calls:
            again = calls[number % len(calls)]
            item = {
                "id": self.server.new("item"),
                "type": "function_call",
                "status": "completed",
                "name": "book",
                "call_id": again.call_id,
                "arguments": json.dumps({"day": DAYS[number % 2]}),
            }
            self.server.tell("response.output_item.done", item=item, response_id="resp_x", output_index=0)

    async def settle_wire(self) -> None:
        """What is on its way arrives."""
        for _ in range(5):
            self.reads(50)
            self.hears(50)
            await self.turns()

    async def settle(self) -> None:
        for _ in range(100):
            self.reads(50)
            self.hears(50)
            self.finishes(0)
            self.ends(0)
            self.has_played(0)
            await self.turns()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                Table.calls,
                Table.calls_and_is_heard,
                Table.calls_and_is_heard,
                Table.speaks,
                Table.ends,
                Table.ends,
                Table.is_interrupted,
                Table.has_played,
                Table.goes,
                Table.finishes,
                Table.reads,
                Table.reads,
                Table.hears,
                Table.hears,
                Table.breaks_off,
                Table.says_it_twice,
                Table.says_it_late,
                Table.repeats_a_call,
            ]
        ),
        st.integers(0, 11),
    ),
    min_size=10,
    max_size=60,
)
Step = tuple[Callable[[Table, int], None], int]


async def play(steps: list[Step], *, asks: bool, closes_early: bool) -> None:
    before = asyncio.all_tasks()
    server, shop, controls = ImaginedRealtime(), Shop(), SessionControls()
    context = call(controls=controls)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(websockets, "connect", server.connect)
        agent: RealtimeAgent[Any] = RealtimeAgent(name="desk", tools=[shop.tool(asks=asks)])
        runner = RealtimeRunner(agent, model=OpenAIRealtimeSIPModel(attach_policy=QUICK))
        session = await runner.run(context=context, model_config={"api_key": "sk-test", "call_id": "rtc_1"})
        controls.session = session
        async with asyncio.timeout(PATIENCE_S), session:
            table = Table(server, session, shop, context)
            for take, number in steps:
                take(table, number)
                await table.turns(number)
            if not closes_early:
                await table.settle()
        # What runs is cut off with the call.
        await asyncio.wait_for(table.listening, PATIENCE_S)
    assert not [describe(task) for task in await leaked_tasks(before)]
    check(server, shop)


def check(server: ImaginedRealtime, shop: Shop) -> None:
    assert all(shop.booked[day] <= 1 for day in DAYS), "done twice"
    done = sum(shop.booked.values())
    for each in server.calls.values():
        for output in each.outputs:
            if "number" in output:
                assert done, "told to be done, and it was not"
                assert "number 1" in output


@RUNS
@given(steps=STEPS, asks=st.booleans(), closes_early=st.booleans())
def test_in_a_session_that_goes_wrong_in_any_way_the_work_is_done_once(
    steps: list[Step], asks: bool, closes_early: bool
) -> None:
    asyncio.run(play(steps, asks=asks, closes_early=closes_early))


async def test_the_steps_of_a_session_lead_to_bookings() -> None:
    """The test above would hold for a session in which nothing happens at all."""
    server, shop, controls = ImaginedRealtime(), Shop(), SessionControls()
    context = call(controls=controls)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(websockets, "connect", server.connect)
        agent: RealtimeAgent[Any] = RealtimeAgent(name="desk", tools=[shop.tool(asks=True)])
        runner = RealtimeRunner(agent, model=OpenAIRealtimeSIPModel(attach_policy=QUICK))
        session = await runner.run(context=context, model_config={"api_key": "sk-test", "call_id": "rtc_1"})
        controls.session = session
        async with asyncio.timeout(PATIENCE_S), session:
            table = Table(server, session, shop, context)
            for take in (
                Table.calls_and_is_heard,  # asks
                Table.ends,
                Table.speaks,  # the question
                Table.ends,
                Table.has_played,
                Table.is_interrupted,  # the caller says yes
                Table.calls_and_is_heard,  # books
                Table.breaks_off,
                Table.repeats_a_call,
                Table.calls_and_is_heard,  # once more
                Table.ends,
            ):
                take(table, 0)
                await table.settle_wire()
            await table.settle()
        await table.listening
    assert shop.booked == {"Monday": 1}
    outputs = [output for each in server.calls.values() for output in each.outputs]
    assert any(output == "number 1" for output in outputs)
    assert any("not done again" in output for output in outputs)
