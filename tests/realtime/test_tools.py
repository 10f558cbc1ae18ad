"""Tools from functions, and runs of tools that end in an answer whatever happens."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import logging
import threading
from collections.abc import Callable
from typing import Any

import pydantic
import pytest

from sipagent.errors import UserError
from sipagent.realtime import FunctionTool, RunContextWrapper, ToolContext, function_tool
from sipagent.realtime.tools import TOOL_FAILED, ToolResult, output_text, run_tool
from tests.realtime.peer import PATIENCE_S


def context_of(tool: FunctionTool, arguments: str = "{}", context: Any = None) -> ToolContext[Any]:
    return ToolContext(context=context, tool_name=tool.name, tool_call_id="call_1", tool_arguments=arguments)


async def run(
    tool: FunctionTool, arguments: str = "{}", context: Any = None, agent: Any = None
) -> ToolResult:
    async with asyncio.timeout(PATIENCE_S):
        return await run_tool(tool, context_of(tool, arguments, context), arguments, agent=agent)


def tool_of(function: Callable[..., Any], **options: Any) -> FunctionTool:
    make: Callable[[Callable[..., Any]], FunctionTool] = function_tool(**options)
    return make(function)


# Making ---------------------------------------------------------------------------------------------


def test_a_tool_is_made_with_and_without_parentheses() -> None:
    @function_tool
    def plain(day: str) -> str:
        """Find a slot."""
        return day

    @function_tool(name_override="slots", description_override="Look.", timeout=3.0, starts_response=False)
    def dressed(day: str) -> str:
        """Find a slot."""
        return day

    assert (plain.name, plain.description, plain.timeout_s) == ("plain", "Find a slot.", None)
    assert (dressed.name, dressed.description, dressed.timeout_s) == ("slots", "Look.", 3.0)
    assert (plain.starts_response, dressed.starts_response) == (True, False)
    assert plain.params_json_schema["required"] == ["day"]


def test_a_deadline_has_two_spellings_and_one_value() -> None:
    def tool() -> None: ...

    assert tool_of(tool, timeout_s=2).timeout_s == 2
    assert tool_of(tool, timeout=2, timeout_s=2).timeout_s == 2
    with pytest.raises(UserError, match="contradict"):
        tool_of(tool, timeout=1, timeout_s=2)
    with pytest.raises(UserError, match="above 0"):
        tool_of(tool, timeout_s=0)


def test_a_tool_needs_a_name() -> None:
    with pytest.raises(UserError, match="needs a name"):
        FunctionTool("", "", {}, run_nothing)


async def run_nothing(context: ToolContext[Any], arguments: str) -> str:
    return arguments


# Running --------------------------------------------------------------------------------------------


async def test_a_coroutine_function_runs_on_the_loop_and_a_plain_one_beside_it() -> None:
    async def on_loop(day: str) -> tuple[str, int]:
        return day, threading.get_ident()

    def beside(day: str) -> tuple[str, int]:
        return day, threading.get_ident()

    arguments = '{"day": "Tuesday"}'
    assert (await run(tool_of(on_loop), arguments)).output == ("Tuesday", threading.get_ident())
    day, thread = (await run(tool_of(beside), arguments)).output
    assert day == "Tuesday"
    assert thread != threading.get_ident()


class Later:
    async def __call__(self, day: str) -> str:
        return f"{day}!"


async def test_other_callables_are_run_too() -> None:
    async def later(prefix: str, day: str) -> str:
        return prefix + day

    arguments = '{"day": "Tuesday"}'
    assert (await run(tool_of(Later(), name_override="later"), arguments)).output == "Tuesday!"
    partial = tool_of(functools.partial(later, "on "), name_override="partial")
    assert (await run(partial, arguments)).output == "on Tuesday"


async def test_the_context_is_given_to_those_who_ask_for_it() -> None:
    def greet(context: ToolContext[str], name: str = "you") -> str:
        return f"{context.context} greets {name} ({context.tool_call_id})"

    def usage(context: RunContextWrapper[str]) -> int:
        return context.usage.requests

    assert (await run(tool_of(greet), context="Ann")).output == "Ann greets you (call_1)"
    assert (await run(tool_of(usage), context="Ann")).text == "0"


class Slot(pydantic.BaseModel):
    day: str


@dataclasses.dataclass
class Room:
    number: int
    name: str


class Unprintable:
    def __str__(self) -> str:
        raise ValueError("no")


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ("as it is", "as it is"),
        (Slot(day="Tuesday"), '{"day":"Tuesday"}'),
        (Room(number=7, name="Süd"), '{"number": 7, "name": "Süd"}'),
        ({"day": ["Tue", None]}, '{"day": ["Tue", null]}'),
        (None, "null"),
        ({1, 2} - {2}, "{1}"),
        (Room, str(Room)),
    ],
    ids=str,
)
def test_what_a_tool_returns_is_written_for_the_model(output: Any, text: str) -> None:
    assert output_text(output) == text


async def test_a_result_that_cannot_be_written_is_a_failure() -> None:
    def odd() -> Unprintable:
        return Unprintable()

    result = await run(tool_of(odd))
    assert (result.text, result.is_error) == (TOOL_FAILED, True)


# Failing --------------------------------------------------------------------------------------------


async def fails() -> None:
    raise ValueError("the caller's secret")


async def test_a_failure_is_an_answer_that_keeps_its_secrets(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "sipagent"):
        result = await run(tool_of(fails))
    assert result == ToolResult(output=TOOL_FAILED, text=TOOL_FAILED, is_error=True)
    assert "fails failed: ValueError" in caplog.text
    assert "secret" not in caplog.text


async def test_a_failure_may_be_explained_by_a_function_of_ones_own() -> None:
    def at_once(context: RunContextWrapper[Any], error: Exception) -> str:
        return f"{context.context}: {type(error).__name__}"

    async def later(context: RunContextWrapper[Any], error: Exception) -> str:
        return f"{context.context}: {type(error).__name__}"

    def worse(context: RunContextWrapper[Any], error: Exception) -> str:
        raise KeyError("worse")

    for explain in (at_once, later):
        result = await run(tool_of(fails, failure_error_function=explain), context="Ann")
        assert (result.text, result.is_error) == ("Ann: ValueError", True)
    assert (await run(tool_of(fails, failure_error_function=worse))).text == TOOL_FAILED
    assert (await run(tool_of(fails, failure_error_function=None))).text == TOOL_FAILED


async def test_a_deadline_cancels_a_coroutine_and_leaves_a_thread_behind() -> None:
    cancelled, release = asyncio.Event(), threading.Event()

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    def blocks() -> None:
        release.wait(PATIENCE_S)

    assert (await run(tool_of(waits, timeout_s=0.01))).text == "Tool 'waits' timed out after 0.01 seconds."
    assert cancelled.is_set()
    assert (await run(tool_of(blocks, timeout_s=0.01))).text == "Tool 'blocks' timed out after 0.01 seconds."
    release.set()


async def test_a_deadline_that_passed_and_a_failure_can_be_told_in_different_words() -> None:
    async def waits(how: str) -> None:
        if how == "badly":
            raise RuntimeError
        await asyncio.Event().wait()

    async def too_slow(context: RunContextWrapper[Any], error: Exception) -> str:
        return f"slow: {type(error).__name__}"

    def failed(context: RunContextWrapper[Any], error: Exception) -> str:
        return f"failed: {type(error).__name__}"

    tool = tool_of(waits, timeout=0.01, timeout_error_function=too_slow, failure_error_function=failed)
    assert (await run(tool, '{"how": "slowly"}')).text == "slow: ToolTimeoutError"
    assert (await run(tool, '{"how": "badly"}')).text == "failed: RuntimeError"
    tool = tool_of(waits, timeout=0.01, timeout_error_function=too_slow, failure_error_function=None)
    assert (await run(tool, '{"how": "badly"}')).text == TOOL_FAILED


async def test_settings_of_the_agents_sdk_that_change_nothing_are_taken() -> None:
    async def waits(how: str) -> None:
        """Wait.

        Args:
            how: In which manner.
        """
        await asyncio.Event().wait()

    tool = tool_of(waits, timeout=0.01, timeout_behavior="raise_exception", docstring_style="sphinx")
    assert tool.params_json_schema["properties"]["how"]["description"] == "In which manner."
    assert (await run(tool, '{"how": "slowly"}')).is_error


async def test_a_time_out_of_the_tools_own_is_a_plain_failure() -> None:
    async def impatient() -> None:
        raise TimeoutError

    assert (await run(tool_of(impatient, timeout_s=PATIENCE_S))).text == TOOL_FAILED


async def test_a_tool_that_ends_although_its_deadline_passed_is_believed() -> None:
    async def stubborn() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "all the same"
        return ""

    result = await run(tool_of(stubborn, timeout_s=0.01))
    assert (result.text, result.is_error) == ("all the same", False)


async def test_cancelling_the_run_cancels_the_tool() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def waits() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    task = asyncio.create_task(run(tool_of(waits)))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_a_cancellation_from_within_is_a_failure_of_the_tool() -> None:
    async def tangled() -> None:
        inner = asyncio.create_task(asyncio.Event().wait())
        inner.cancel()
        await inner

    assert (await run(tool_of(tangled))).text == TOOL_FAILED


@pytest.mark.parametrize("error", [SystemExit(1), SystemExit("bye")])
async def test_a_tool_cannot_end_the_process(error: SystemExit) -> None:
    async def leaves() -> None:
        raise error

    assert (await run(tool_of(leaves))).is_error


async def test_whether_a_tool_is_enabled_is_asked_again_when_it_is_called() -> None:
    open_now = {"front-desk": True}

    async def enabled(context: RunContextWrapper[Any], agent: Any) -> bool:
        return open_now[agent]

    tool = tool_of(lambda: "open", name_override="open", is_enabled=enabled)
    assert (await run(tool, agent="front-desk")).text == "open"
    open_now["front-desk"] = False
    result = await run(tool, agent="front-desk")
    assert (result.text, result.is_error) == ("Tool 'open' is not available now.", True)
    del open_now["front-desk"]
    assert (await run(tool, agent="front-desk")).text == TOOL_FAILED
