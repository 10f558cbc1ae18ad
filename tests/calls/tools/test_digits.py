"""What the caller types on the telephone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.calls.template import Template
from sipagent.calls.tools.digits import DigitTool, make_digits_tool, masked
from sipagent.errors import UserError
from sipagent.realtime.tools import ToolResult
from tests.calls.controls import Controls, call
from tests.calls.tools.using import caller_answers, key, response_started, told, use
from tests.support.virtual_time import run_virtually

PROMPT = Template("Please type your number, {{caller | dear caller}}.")


class Line(Controls):
    """An agent that speaks for ``prompt_s`` seconds whenever it is asked to, and a caller who types."""

    def __init__(self, prompt_s: float = 3.0) -> None:
        super().__init__()
        self.prompt_s = prompt_s
        self.context = call(self)
        self._until = 0.0
        self._cut_off = asyncio.Event()

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    @property
    def agent_is_busy(self) -> bool:
        return self.now < self._until

    @agent_is_busy.setter
    def agent_is_busy(self, busy: bool) -> None:
        assert not busy, "it is busy while it speaks"

    async def speak(self, words: str) -> None:
        await super().speak(words)
        self._cut_off.clear()
        self._until = max(self.now, self._until) + self.prompt_s

    async def finish_speaking(self) -> None:
        try:
            async with asyncio.timeout(max(0.0, self._until - self.now)):
                await self._cut_off.wait()
        except TimeoutError:
            pass

    async def interrupt(self) -> None:
        await super().interrupt()
        self._until = self.now
        self._cut_off.set()

    def press(self, keys: str) -> None:
        for each in keys:
            self.context.tools.observe(key(each))


def collecting(line: Line, caller: Coroutine[Any, Any, None] | None = None, **changes: Any) -> ToolResult:
    """What the model is told, while ``caller`` does something meanwhile."""
    given: dict[str, Any] = {"name": "customer_number", "prompt": PROMPT, **changes}

    async def run() -> ToolResult:
        tool = make_digits_tool(DigitTool(**given))
        other = None if caller is None else asyncio.ensure_future(caller)
        result = await use(tool, line.context)
        line.asked.append(f"at {line.now:g}")
        if other is not None:
            await other
        return result

    return run_virtually(run())


async def typing(line: Line, *keys: tuple[float, str]) -> None:
    """Press keys, each so many seconds after the one before."""
    for pause_s, pressed in keys:
        await asyncio.sleep(pause_s)
        line.press(pressed)


def spoken(line: Line) -> list[str]:
    return [each.removeprefix("speak: ") for each in line.asked if each.startswith("speak: ")]


def test_digits_end_with_the_end_key() -> None:
    line = Line()
    result = collecting(line, typing(line, (4, "4"), (1, "7"), (1, "1"), (1, "1"), (0.5, "#")))
    assert (result.text, result.is_error) == ("The caller typed: 4711", False)
    assert spoken(line) == ["Please type your number, dear caller."]
    assert line.asked[-1] == "at 7.5"
    assert line.context.tools.typed == {"customer_number": "4711"}
    assert line.notes == [
        (
            "digits_collected",
            {"tool": "customer_number", "attempt": 1, "digits": "4711", "accepted": True},
        )
    ]


def test_so_many_digits_are_enough() -> None:
    line = Line()
    result = collecting(line, typing(line, (4, "1"), (1, "2"), (1, "3"), (1, "4")), minimum=4, maximum=4)
    assert result.text == "The caller typed: 1234"
    assert line.asked[-1] == "at 7"


def test_silence_ends_the_input() -> None:
    line = Line()
    result = collecting(line, typing(line, (4, "12"), (3.9, "3")), digit_timeout_s=4.0)
    assert result.text == "The caller typed: 123"
    assert line.asked[-1] == "at 11.9"


def test_the_first_key_cuts_the_prompt_off() -> None:
    line = Line(prompt_s=30)
    result = collecting(line, typing(line, (2, "1"), (1, "#")))
    assert result.text == "The caller typed: 1"
    assert "interrupt" in line.asked
    assert line.asked[-1] == "at 3"


def test_the_time_for_the_first_key_counts_from_the_end_of_the_prompt() -> None:
    line = Line(prompt_s=30)
    result = collecting(line, typing(line, (39.9, "1#")), first_timeout_s=10.0, attempts=1)
    assert result.text == "The caller typed: 1"
    assert "interrupt" not in line.asked
    late = Line(prompt_s=30)
    result = collecting(late, typing(late, (40.1, "1#")), first_timeout_s=10.0, attempts=1)
    assert result.is_error
    assert late.asked[-1] == "at 40"


def test_the_caller_is_asked_again_and_then_no_more() -> None:
    line = Line()
    result = collecting(line, attempts=3, first_timeout_s=10.0, try_again=Template("Once more."))
    assert result.is_error
    assert result.text == "Nothing usable was typed: no digit was typed. Offer another way."
    first = "Please type your number, dear caller."
    assert spoken(line) == [first, f"Once more. {first}", f"Once more. {first}"]
    assert line.asked[-1] == "at 39"
    assert [note["attempt"] for note in told(line.notes, "digits_collected")] == [1, 2, 3]
    assert line.context.tools.typed == {}


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        ("12#", "2 of at least 4 digits were typed"),
        ("#", "no digit was typed"),
        ("12*4#", "the digits do not have the form"),
    ],
)
def test_what_does_not_fit_is_asked_for_again(typed: str, problem: str) -> None:
    line = Line()
    result = collecting(line, typing(line, (4, typed), (10, "1234#")), minimum=4, maximum=8)
    assert result.text == "The caller typed: 1234"
    assert len(spoken(line)) == 2
    again = Line()
    result = collecting(again, typing(again, (4, typed)), minimum=4, maximum=8, attempts=1)
    assert problem in result.text
    assert "12*4" not in result.text


def test_a_pattern_decides() -> None:
    line = Line()
    result = collecting(line, typing(line, (4, "123#"), (10, "423#")), pattern="4[0-9]{2}")
    assert result.text == "The caller typed: 423"


def test_whoever_types_ahead_hears_no_prompt() -> None:
    line = Line()
    line.context.tools.observe(response_started(1))
    line.press("12#")
    result = collecting(line)
    assert result.text == "The caller typed: 12"
    assert spoken(line) == []


def test_keys_of_a_failed_attempt_are_not_part_of_the_next() -> None:
    line = Line()
    result = collecting(line, typing(line, (4, "9#99"), (10, "1234#")), minimum=4)
    assert result.text == "The caller typed: 1234"


def test_without_a_prompt_the_agent_asks_and_there_is_one_attempt() -> None:
    line = Line()
    result = collecting(line, prompt=None)
    assert result.is_error
    assert spoken(line) == []
    assert line.asked[-1] == "at 10"
    described = make_digits_tool(DigitTool(name="pin", prompt=None)).description
    assert "Ask the caller for it before" in described


def test_a_caller_who_speaks_instead_is_heard() -> None:
    line = Line()

    async def caller() -> None:
        await asyncio.sleep(5)
        caller_answers(line.context)

    result = collecting(line, caller())
    assert result.is_error
    assert "the caller spoke instead" in result.text
    assert len(spoken(line)) == 1


def test_a_caller_who_speaks_and_types_has_typed() -> None:
    line = Line()

    async def caller() -> None:
        await asyncio.sleep(4)
        caller_answers(line.context)
        line.press("12#")

    assert collecting(line, caller()).text == "The caller typed: 12"


def test_only_one_tool_reads_the_keys() -> None:
    line = Line()

    async def run() -> None:
        tool = make_digits_tool(DigitTool(name="pin", prompt=PROMPT))
        first = asyncio.create_task(use(tool, line.context, "{}", "call_1"))
        await asyncio.sleep(1)
        assert "typing already" in (await use(tool, line.context, "{}", "call_2")).text
        line.press("12#")
        assert (await first).text == "The caller typed: 12"
        line.context.tools.observe(response_started(9))
        third = asyncio.create_task(use(tool, line.context, "{}", "call_3"))
        await asyncio.sleep(1)
        line.press("34#")
        assert (await third).text == "The caller typed: 34"

    run_virtually(run())


def test_a_call_that_is_over_stops_collecting() -> None:
    line = Line()

    async def run() -> None:
        task = asyncio.create_task(use(make_digits_tool(DigitTool(name="pin", prompt=PROMPT)), line.context))
        for seconds in (1, 4):
            await asyncio.sleep(seconds)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not line.context.tools.collecting

    run_virtually(run())


# Masking --------------------------------------------------------------------------------------------


@given(
    st.text(alphabet="0123456789", min_size=6, max_size=12).filter(lambda digits: len(set(digits)) > 3),
    st.integers(0, 3),
)
def test_masked_digits_reach_nobody_but_tools(digits: str, reveal_last: int) -> None:
    line = Line()
    result = collecting(
        line, typing(line, (4, f"{digits}#")), minimum=4, masked=True, reveal_last=reveal_last
    )
    seen = json.dumps([result.text, line.notes], ensure_ascii=False)
    assert digits not in seen
    hidden = digits[: len(digits) - reveal_last]
    # What is revealed may look like something that is hidden.
    rest = seen.replace(digits[-reveal_last:], "") if reveal_last else seen
    assert not any(hidden[at : at + 3] in rest for at in range(len(hidden) - 2))
    assert f"typed {len(digits)} digits" in result.text
    assert (f"are {digits[-reveal_last:]}." in result.text) == (reveal_last > 0)
    assert line.context.tools.typed == {"customer_number": digits}
    assert line.context.values["digits.customer_number"] == digits


def test_a_masked_attempt_that_failed_is_masked_too() -> None:
    line = Line()
    result = collecting(line, typing(line, (4, "123#")), minimum=6, masked=True, attempts=1)
    assert "123" not in json.dumps([result.text, line.notes])
    assert told(line.notes, "digits_collected")[0]["digits"] == "•••"


def test_points_stand_for_what_is_hidden() -> None:
    assert masked("123456") == "••••••"
    assert masked("123456", 2) == "••••56"
    assert masked("1", 2) == "1"
    assert masked("") == ""


# What is refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "customer number"},
        {"minimum": 0},
        {"minimum": 5, "maximum": 4},
        {"maximum": 1000},
        {"end_key": "x"},
        {"end_key": "##"},
        {"end_key": ""},
        {"first_timeout_s": 0},
        {"digit_timeout_s": 0},
        {"attempts": 0},
        {"attempts": 100},
        {"pattern": "("},
        {"pattern": "([0-9]+)+$"},
        {"minimum": 4, "reveal_last": 4},
    ],
)
def test_what_nobody_could_type_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        DigitTool(**{"name": "pin", **changes})


def test_the_model_reads_what_it_collects() -> None:
    tool = make_digits_tool(
        DigitTool(name="pin", description="The PIN of the card.", prompt=PROMPT, minimum=4)
    )
    assert tool.description.startswith("The PIN of the card. Have the caller type 4 to 20 digits")
    assert "1 digit " in make_digits_tool(DigitTool(name="pin", minimum=1, maximum=1)).description
