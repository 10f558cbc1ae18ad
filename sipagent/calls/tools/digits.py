"""A tool that has the caller type something on the telephone: a customer number, a PIN.

The prompt is spoken word for word. The first key cuts it off; the time for the first key counts from its end,
as the caller hears it. Keys that came after the agent's turn began count: whoever knows the way types ahead.

What is masked never reaches the model, a record or a log: other tools of the configuration use it as
``{{digits.NAME}}``, functions as ``context.context.tools.typed["NAME"]``.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Any

from sipagent.calls.context import CallContext, call_of
from sipagent.calls.patterns import bounded_pattern
from sipagent.calls.template import Template
from sipagent.calls.tools.failures import ToolFailureError, failure_sentence
from sipagent.calls.variables import UNKNOWN
from sipagent.errors import UserError
from sipagent.realtime import FunctionTool, ToolContext
from sipagent.realtime.handoffs import NO_INPUT
from sipagent.realtime.tool_schema import TOOL_NAME

KEYS = "0123456789*#ABCD"
MOST_DIGITS = 40
MOST_ATTEMPTS = 10
DEFAULT_TRY_AGAIN = "That was not complete. Please try again."


@dataclass(frozen=True, slots=True, kw_only=True)
class DigitTool:
    """What is to be typed, and how long is waited for it; times in seconds.

    Raises `UserError` for what nobody could type.
    """

    name: str
    """Of the tool, and of what it collects."""
    description: str = ""
    """For the model: when to use it. What it does is said by itself."""
    prompt: Template | None = None
    """Spoken before each attempt; None leaves asking to the agent, which then asks before using the tool."""
    minimum: int = 1
    maximum: int = 20
    """After so many digits nothing more is waited for."""
    end_key: str | None = "#"
    """Ends the input, and is no part of it; None lets only length and time end it."""
    first_timeout_s: float = 10.0
    """From the end of the prompt to the first key."""
    digit_timeout_s: float = 4.0
    """From one key to the next; then the input counts as ended."""
    pattern: str = "[0-9]+"
    """A regular expression that all of them together must match."""
    attempts: int = 3
    try_again: Template | None = None
    """Spoken before the prompt when an attempt failed; None says a sentence in English. Without a prompt,
    nothing is said, and there is one attempt: the agent asks again by itself."""
    masked: bool = False
    """The model is told how many digits there are, and nothing of what they are."""
    reveal_last: int = 0
    """Of masked digits, so many from the end are told all the same."""

    def __post_init__(self) -> None:
        if TOOL_NAME.match(self.name) is None:
            raise UserError(f"{self.name[:40]!r} cannot be the name of a tool: letters, digits, _ and - only")
        if not 1 <= self.minimum <= self.maximum <= MOST_DIGITS:
            raise UserError(f"tool {self.name}: from 1 to {MOST_DIGITS} digits, and not less than the least")
        if self.end_key is not None and (len(self.end_key) != 1 or self.end_key not in KEYS):
            raise UserError(f"tool {self.name}: {self.end_key!r} is no key; use one of {' '.join(KEYS)}")
        if not (self.first_timeout_s > 0 and self.digit_timeout_s > 0):
            raise UserError(f"tool {self.name}: a caller needs some time to type")
        if not 1 <= self.attempts <= MOST_ATTEMPTS:
            raise UserError(f"tool {self.name}: from 1 to {MOST_ATTEMPTS} attempts")
        if not 0 <= self.reveal_last < self.minimum:
            raise UserError(f"tool {self.name}: fewer digits may be told than there are at least")
        bounded_pattern(self.pattern)


def make_digits_tool(spec: DigitTool) -> FunctionTool:
    """The function tool that collects them."""

    async def collect(context: ToolContext[Any], arguments: str) -> str:
        call = call_of(context)
        if call.tools.collecting:
            raise ToolFailureError("The caller is typing already; wait for that.", effect="none")
        await call.tools.caught_up(context.tool_call_id)
        call.tools.collecting = True
        try:
            return await _collect(spec, call)
        finally:
            call.tools.collecting = False

    purpose = f"{spec.description.rstrip()} " if spec.description else ""
    asks = "It asks the caller by itself" if spec.prompt is not None else "Ask the caller for it before"
    return FunctionTool(
        name=spec.name,
        description=(
            f"{purpose}Have the caller type {_amount(spec)} on the keys of the telephone. {asks}; "
            "say nothing until it has an outcome."
        ),
        params_json_schema=dict(NO_INPUT),
        on_invoke_tool=collect,
        failure_error_function=failure_sentence,
    )


def masked(digits: str, reveal_last: int = 0) -> str:
    """``digits`` for records: a point for each that stays hidden."""
    hidden = max(0, len(digits) - reveal_last)
    return "•" * hidden + digits[hidden:]


async def _collect(spec: DigitTool, call: CallContext) -> str:
    turns = call.tools.caller_turns
    attempts = spec.attempts if spec.prompt is not None else 1
    typed = ""
    problem = ""
    for attempt in range(1, attempts + 1):
        await _prompt(spec, call, again=attempt > 1)
        typed = await _one_input(spec, call)
        problem = _problem(spec, typed)
        call.controls.note(
            "digits_collected",
            tool=spec.name,
            attempt=attempt,
            digits=masked(typed, spec.reveal_last) if spec.masked else typed,
            accepted=not problem,
        )
        if not problem:
            call.tools.typed[spec.name] = typed
            return _told(spec, typed)
        if not typed and call.tools.caller_turns > turns:
            raise ToolFailureError(
                "Nothing was typed: the caller spoke instead. Answer what they said.", effect="none"
            )
    raise ToolFailureError(f"Nothing usable was typed: {problem}. Offer another way.", effect="none")


async def _prompt(spec: DigitTool, call: CallContext, *, again: bool) -> None:
    if spec.prompt is None:
        return
    words = spec.prompt.render(call.values, missing=UNKNOWN)
    if again:
        call.tools.keys.forget()
        before = (
            DEFAULT_TRY_AGAIN
            if spec.try_again is None
            else spec.try_again.render(call.values, missing=UNKNOWN)
        )
        words = f"{before} {words}".strip()
    elif call.tools.keys.some:
        return
    await call.controls.speak(words)


async def _one_input(spec: DigitTool, call: CallContext) -> str:
    """The digits of one attempt, once it is ended. Cancel-safe."""
    keys = call.tools.keys
    if not await _first_key(spec, call):
        return ""
    digits = ""
    while True:
        key = keys.take()
        if key is None:
            try:
                async with asyncio.timeout(spec.digit_timeout_s):
                    await keys.wait()
            except TimeoutError:
                return digits
            continue
        if key == spec.end_key:
            return digits
        digits += key
        if len(digits) >= spec.maximum:
            return digits


async def _first_key(spec: DigitTool, call: CallContext) -> bool:
    """Whether a key was pressed in time; the first one cuts off whatever the agent says."""
    async with asyncio.TaskGroup() as group:
        heard = group.create_task(
            call.controls.finish_speaking(), name=f"call {call.call_id}: prompt of {spec.name}"
        )
        pressed = group.create_task(call.tools.keys.wait(), name=f"call {call.call_id}: keys for {spec.name}")
        await asyncio.wait((heard, pressed), return_when=asyncio.FIRST_COMPLETED)
        if not pressed.done():
            await asyncio.wait((pressed,), timeout=spec.first_timeout_s)
        came = pressed.done()
        heard.cancel()
        pressed.cancel()
    if came and call.controls.agent_is_busy:
        await call.controls.interrupt()
    return came


def _problem(spec: DigitTool, typed: str) -> str:
    """Why the input cannot be used; empty when it can. Says nothing of the digits."""
    if not typed:
        return "no digit was typed"
    if len(typed) < spec.minimum:
        return f"{len(typed)} of at least {spec.minimum} digits were typed"
    if re.fullmatch(spec.pattern, typed) is None:
        return "the digits do not have the form that they must have"
    return ""


def _told(spec: DigitTool, digits: str) -> str:
    if not spec.masked:
        return f"The caller typed: {digits}"
    shown = f" The last of them are {digits[-spec.reveal_last :]}." if spec.reveal_last else ""
    return (
        f"The caller typed {len(digits)} digits, which are kept as {spec.name} and not shown to you.{shown} "
        "Tools that need them have them."
    )


def _amount(spec: DigitTool) -> str:
    count = str(spec.minimum) if spec.minimum == spec.maximum else f"{spec.minimum} to {spec.maximum}"
    return f"{count} {'digit' if count == '1' else 'digits'}"
