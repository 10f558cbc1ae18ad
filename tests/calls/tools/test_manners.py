"""What any tool may be given: words while it takes long, a question before it, and at most once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sipagent.calls.template import TemplateError
from sipagent.calls.tools.failures import ToolFailureError
from sipagent.calls.tools.manners import FULL, RUNNING, UNCLEAR, ToolManners, with_manners
from sipagent.calls.tools.texts import ToolText
from sipagent.errors import ConnectionLostError, ModelBehaviorError, UserError
from sipagent.realtime import FunctionTool, ToolContext, function_tool
from tests.calls.controls import Controls, call, tool_context
from tests.calls.events import tool_start
from tests.calls.tools.using import (
    agent_silent,
    agent_speaks,
    caller_answers,
    caller_silent,
    caller_speaks,
    question_put,
    response_started,
    use,
)
from tests.support.virtual_time import run_virtually

Work = Callable[[], Awaitable[Any]]
DAY = '{"day": "Monday"}'


class Booking:
    """A tool that counts how often it was really done."""

    def __init__(self, work: Work | None = None, **options: Any) -> None:
        self.done: list[str] = []
        self.begun = asyncio.Event()
        self._work = work

        async def book(context: ToolContext[Any], arguments: str) -> Any:
            self.done.append(arguments)
            self.begun.set()
            return f"number {len(self.done)}" if self._work is None else await self._work()

        self.tool = FunctionTool(
            name="book",
            description="",
            params_json_schema={"type": "object", "properties": {"day": {"type": "string"}}},
            on_invoke_tool=book,
            **options,
        )

    def with_manners(self, **manners: Any) -> FunctionTool:
        return with_manners(self.tool, ToolManners(**manners))


def taking(seconds: float, result: Any = "done") -> Work:
    async def work() -> Any:
        await asyncio.sleep(seconds)
        return result

    return work


def raising(error: Exception) -> Work:
    async def work() -> Any:
        raise error

    return work


# At most once ---------------------------------------------------------------------------------------


async def test_the_same_work_is_done_once() -> None:
    booking, context = Booking(), call()
    tool = booking.with_manners(side_effects=True)
    first = await use(tool, context, DAY, "call_1")
    told_twice = await use(tool, context, DAY, "call_1")
    again = await use(tool, context, '{ "day":"Monday" }', "call_2")
    assert first.text == told_twice.text == "number 1"
    assert again.text == (
        "This was done before in this call, and was not done again. Its outcome was: number 1"
    )
    assert booking.done == [DAY]


async def test_other_work_and_another_call_are_something_else() -> None:
    booking = Booking()
    tool = booking.with_manners(side_effects=True)
    context = call()
    await use(tool, context, DAY, "call_1")
    await use(tool, context, '{"day": "Tuesday"}', "call_2")
    await use(tool, call(), DAY, "call_1")
    assert len(booking.done) == 3


async def test_a_tool_without_side_effects_runs_as_often_as_it_is_called() -> None:
    booking, context = Booking(), call()
    tool = booking.with_manners()
    for number in range(3):
        await use(tool, context, DAY, f"call_{number}")
    assert len(booking.done) == 3


async def test_work_under_way_is_not_begun_again() -> None:
    go = asyncio.Event()

    async def work() -> str:
        await go.wait()
        return "done"

    booking, context = Booking(work), call()
    tool = booking.with_manners(side_effects=True)
    first = asyncio.create_task(use(tool, context, DAY, "call_1"))
    await booking.begun.wait()
    assert (await use(tool, context, DAY, "call_2")).text == RUNNING
    go.set()
    assert (await first).text == "done"
    assert len(booking.done) == 1


@pytest.mark.parametrize(
    "error", [ToolFailureError("The slot is taken.", effect="none"), ModelBehaviorError("day is missing")]
)
async def test_work_that_was_not_done_may_be_tried_again(error: Exception) -> None:
    booking, context = Booking(raising(error)), call()
    tool = booking.with_manners(side_effects=True)
    first = await use(tool, context, DAY, "call_1")
    assert first.is_error
    assert first.text == str(error)
    assert (await use(tool, context, DAY, "call_2")).text == str(error)
    assert len(booking.done) == 2
    assert (await use(tool, context, DAY, "call_2")).is_error
    assert len(booking.done) == 2


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("the password is hunter2"), UNCLEAR),
        (ConnectionResetError(), UNCLEAR),
        (TimeoutError(), UNCLEAR),
        (ToolFailureError("It broke. Nobody knows.", effect="unknown"), "It broke. Nobody knows."),
    ],
)
async def test_work_that_may_have_been_done_is_not_tried_again(error: Exception, said: str) -> None:
    booking, context = Booking(raising(error)), call()
    tool = booking.with_manners(side_effects=True)
    for tool_call_id in ("call_1", "call_1", "call_2"):
        told = await use(tool, context, DAY, tool_call_id)
        assert told.is_error
        assert told.text == said
    assert len(booking.done) == 1


def test_a_deadline_that_passed_leaves_the_effect_unknown() -> None:
    async def run() -> None:
        booking, context = Booking(taking(100), timeout_s=5.0), call()
        tool = booking.with_manners(side_effects=True, filler=ToolText("One moment."))
        for tool_call_id in ("call_1", "call_2"):
            assert (await use(tool, context, DAY, tool_call_id)).text == UNCLEAR
        assert len(booking.done) == 1
        assert asyncio.get_running_loop().time() == pytest.approx(5)

    run_virtually(run())


async def test_a_call_that_is_cut_off_leaves_the_effect_unknown() -> None:
    booking, context = Booking(taking(1000)), call()
    tool = booking.with_manners(side_effects=True)
    first = asyncio.create_task(use(tool, context, DAY, "call_1"))
    await booking.begun.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert (await use(tool, context, DAY, "call_2")).text == UNCLEAR
    assert len(booking.done) == 1


async def test_nothing_more_is_begun_when_the_ledger_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipagent.calls.tools.ledger.MOST_ENTRIES", 1)
    booking, context = Booking(), call()
    tool = booking.with_manners(side_effects=True)
    await use(tool, context, DAY, "call_1")
    told = await use(tool, context, '{"day": "Tuesday"}', "call_2")
    assert (told.text, told.is_error) == (FULL, True)
    assert len(booking.done) == 1


async def test_a_tool_keeps_its_own_way_to_fail_where_nothing_can_have_happened() -> None:
    booking = Booking(raising(ValueError("x")), failure_error_function=lambda context, error: "Out of paper.")
    assert (await use(booking.with_manners(), call(), DAY)).text == "Out of paper."
    assert (await use(booking.with_manners(side_effects=True), call(), DAY)).text == UNCLEAR


async def test_a_function_of_an_operator_may_have_manners_too() -> None:
    done: list[str] = []

    @function_tool
    def order(article: str) -> str:
        """Order something."""
        done.append(article)
        return f"{article} is ordered"

    tool, context = with_manners(order, ToolManners(side_effects=True)), call()
    assert (await use(tool, context, '{"article": "tea"}', "call_1")).text == "tea is ordered"
    assert "not done again" in (await use(tool, context, '{"article": "tea"}', "call_2")).text
    wrong = await use(tool, context, '{"articel": "tea"}', "call_3")
    assert wrong.is_error
    assert wrong.text != UNCLEAR
    assert done == ["tea"]


# Confirmation ---------------------------------------------------------------------------------------


async def test_the_caller_is_asked_first() -> None:
    booking, context = Booking(), call(variables={"caller": "Ann"})
    tool = booking.with_manners(confirm=ToolText("Shall I book {day}, {{caller}}?"))
    first = await use(tool, context, DAY, "call_1")
    assert not first.is_error
    assert first.text.startswith("Nothing has been done yet.")
    assert '"Shall I book Monday, Ann?"' in first.text
    # In the same turn, the model can call it as often as it likes.
    for tool_call_id in ("call_2", "call_3"):
        assert "has not answered yet" in (await use(tool, context, DAY, tool_call_id)).text
    assert booking.done == []
    question_put(context)
    caller_answers(context)
    assert (await use(tool, context, DAY, "call_4")).text == "number 1"
    assert booking.done == [DAY]


async def test_with_other_arguments_the_caller_is_asked_again() -> None:
    booking, context = Booking(), call()
    tool = booking.with_manners(confirm=ToolText("Shall I book {day}?"))
    await use(tool, context, DAY, "call_1")
    question_put(context)
    caller_answers(context)
    told = await use(tool, context, '{"day": "Tuesday"}', "call_2")
    assert '"Shall I book Tuesday?"' in told.text
    assert booking.done == []


async def test_what_was_confirmed_is_done_once_and_not_asked_about_again() -> None:
    booking, context = Booking(), call()
    tool = booking.with_manners(confirm=ToolText("Shall I?"), side_effects=True)
    await use(tool, context, DAY, "call_1")
    question_put(context)
    caller_answers(context)
    assert (await use(tool, context, DAY, "call_2")).text == "number 1"
    assert "not done again" in (await use(tool, context, DAY, "call_3")).text
    assert booking.done == [DAY]


@pytest.mark.parametrize(
    ("arguments", "said"), [("[]", "no JSON object"), ("{", "no JSON"), ("{}", "day is missing")]
)
async def test_nobody_is_asked_about_arguments_that_cannot_be_said(arguments: str, said: str) -> None:
    booking, context = Booking(), call()
    tool = booking.with_manners(confirm=ToolText("Shall I book {day}?"), side_effects=True)
    told = await use(tool, context, arguments, "call_1")
    assert told.is_error
    assert said in told.text
    assert "Nothing was done" in told.text
    assert booking.done == []


def test_a_tool_that_is_ahead_of_the_events_waits_for_them() -> None:
    async def run() -> None:
        booking, context = Booking(), call()
        tool = booking.with_manners(confirm=ToolText("Shall I?"))
        await use(tool, context, DAY, "call_1")
        question_put(context)
        # The second call runs before whoever follows the session has read that the caller spoke.
        second = asyncio.ensure_future(tool.on_invoke_tool(tool_context(context, "book", DAY, "call_2"), DAY))
        await asyncio.sleep(1)
        caller_answers(context)
        context.tools.observe(tool_start("book", 2, DAY))
        assert await second == "number 1"

    run_virtually(run())


def test_a_session_that_nobody_follows_confirms_nothing() -> None:
    async def run() -> None:
        booking, context = Booking(), call()
        tool = booking.with_manners(confirm=ToolText("Shall I?"))
        assert "Nothing has been done" in await tool.on_invoke_tool(
            tool_context(context, "book", DAY, "call_2"), DAY
        )
        assert booking.done == []

    run_virtually(run())


# Fillers --------------------------------------------------------------------------------------------

FILLER = ToolText("One moment, I look {day} up.")
SPOKEN = "speak: One moment, I look Monday up."


def filling(
    seconds: float,
    *,
    controls: Controls | None = None,
    meanwhile: Callable[[Any], Awaitable[None]] | None = None,
) -> list[str]:
    """What was asked of the call while a tool took so long."""
    controls = controls or Controls()

    async def run() -> None:
        context = call(controls)
        tool = Booking(taking(seconds)).with_manners(filler=FILLER, patience_s=2.0)
        other = None if meanwhile is None else asyncio.ensure_future(meanwhile(context))
        assert (await use(tool, context, DAY)).text == "done"
        if other is not None:
            await other

    run_virtually(run())
    return controls.asked


def test_a_tool_that_is_quick_says_nothing() -> None:
    assert filling(1.9) == []


def test_a_tool_that_takes_longer_than_its_patience_says_so_once() -> None:
    assert filling(2.1) == [SPOKEN]
    assert filling(60) == [SPOKEN]


def test_nothing_is_said_over_the_agent_and_not_right_behind_it() -> None:
    controls = Controls(agent_is_busy=True)

    async def agent_ends(context: Any) -> None:
        await asyncio.sleep(5)
        controls.agent_is_busy = False
        controls.silent.set()

    assert filling(6.9, controls=controls, meanwhile=agent_ends) == ["finish speaking"]


def test_once_the_agent_was_silent_for_so_long_it_is_said() -> None:
    controls = Controls(agent_is_busy=True)

    async def agent_ends(context: Any) -> None:
        await asyncio.sleep(5)
        controls.agent_is_busy = False
        controls.silent.set()

    assert filling(7.1, controls=controls, meanwhile=agent_ends) == ["finish speaking", SPOKEN]


def test_nothing_is_said_over_the_caller() -> None:
    async def caller(context: Any) -> None:
        await asyncio.sleep(1)
        context.tools.observe(caller_speaks())
        await asyncio.sleep(4)
        context.tools.observe(caller_silent())

    assert filling(5.9, meanwhile=caller) == []
    assert filling(6.1, meanwhile=caller) == [SPOKEN]


def test_a_filler_that_cannot_be_said_is_no_failure_of_the_tool() -> None:
    class Gone(Controls):
        async def speak(self, words: str) -> None:
            raise ConnectionLostError("gone")

    class Broken(Controls):
        async def speak(self, words: str) -> None:
            raise RuntimeError("a defect")

    for controls in (Gone(), Broken()):
        filling(5, controls=controls)


def test_a_filler_ends_with_its_tool() -> None:
    controls = Controls()

    async def run() -> None:
        context = call(controls)
        tool = Booking(taking(100)).with_manners(filler=FILLER, patience_s=2.0)
        task = asyncio.create_task(use(tool, context, DAY))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(10)

    run_virtually(run())
    assert controls.asked == []


def test_a_tool_that_fails_is_not_hidden_by_its_filler() -> None:
    async def run() -> None:
        async def work() -> None:
            await asyncio.sleep(3)
            raise ToolFailureError("It broke.", effect="none")

        told = await use(Booking(work).with_manners(filler=FILLER), call(), DAY)
        assert (told.text, told.is_error) == ("It broke.", True)

    run_virtually(run())


def test_a_question_needs_no_patience() -> None:
    controls = Controls()

    async def run() -> None:
        context = call(controls)
        tool = Booking(taking(5)).with_manners(filler=FILLER, confirm=ToolText("Shall I?"), side_effects=True)
        await use(tool, context, DAY, "call_1")
        assert controls.asked == []
        question_put(context)
        context.tools.observe(agent_silent(7))
        caller_answers(context)
        assert (await use(tool, context, DAY, "call_2")).text == "done"
        context.tools.observe(response_started(8))
        context.tools.observe(agent_speaks(8))
        assert controls.asked == [SPOKEN]

    run_virtually(run())


async def test_arguments_that_cannot_be_said_are_left_to_the_tool() -> None:
    booking = Booking()
    assert (await use(booking.with_manners(filler=FILLER), call(), "{}")).text == "number 1"


# What is refused ------------------------------------------------------------------------------------


def test_a_text_that_names_no_argument_is_refused() -> None:
    for manners in ({"filler": ToolText("{nobody}")}, {"confirm": ToolText("{nobody}")}):
        with pytest.raises(TemplateError, match="nobody"):
            Booking().with_manners(**manners)


def test_patience_is_some_time() -> None:
    with pytest.raises(UserError):
        ToolManners(patience_s=0)
