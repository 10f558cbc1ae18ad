"""Decides what the pretended model does next. Pure: the script, and where in it a conversation is."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sipagent.identifiers import ToolCallId
from sipagent.simulator.hosted_plan import HostedRun
from sipagent.simulator.script import Script, Step, ToolUse

_LONGEST_DIGITS: Final = 32
_PLACEHOLDER: Final = re.compile(r"\{(caller|output)(?:\.([A-Za-z0-9_]+))?\}")
_EXACTLY: Final = re.compile(r"\bexactly\b", re.IGNORECASE)
_REPEAT_OUTPUT: Final = Step(say="{output}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cue:
    """Why a response is due, and what it may use."""

    heard: tuple[str, ...] = ()
    """What the caller said, or the client wrote, since the last response."""
    outputs: tuple[tuple[ToolCallId, str], ...] = ()
    """Outputs of tools since the last response."""
    instructions: str | None = None
    """Of this response alone."""
    tools: frozenset[str] = frozenset()
    """What the model may call: functions by name, tools of MCP servers as ``LABEL.TOOL``."""
    step: Step | None = None
    """Do this, whatever the rest says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCall:
    """One tool call to be made."""

    name: str
    arguments: str
    """JSON."""
    then: Step | None
    hosted: HostedRun | None = None
    """Set for a tool that the service runs itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    """One response, ready to be spoken."""

    say: str | None
    calls: tuple[PlannedCall, ...]
    delay_ms: float


class Director:
    """Follows one script through one conversation."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._next_turn = 0
        self._began = False
        self._followups: dict[ToolCallId, Step | None] = {}
        self._last_heard = ""
        self._digits = ""

    def perform(self, cue: Cue) -> Performance:
        """The next response of the default conversation; moves on in the script."""
        heard = " ".join(cue.heard)
        self._last_heard = heard or self._last_heard
        began, self._began = self._began, True
        words = exact_words(cue.instructions)
        if words is not None:
            return self._performance(Step(say=words), cue, literal=True)
        output = "; ".join(text for _, text in cue.outputs)
        return self._performance(self._choose(cue, heard, began=began), cue, output=output)

    def perform_aside(self, cue: Cue) -> Performance:
        """A response outside the conversation; the script stays where it is."""
        words = exact_words(cue.instructions)
        if words is not None:
            return self._performance(Step(say=words), cue, literal=True)
        return self._performance(self._script.otherwise, cue)

    def called(self, tool_call_id: ToolCallId, call: PlannedCall) -> None:
        """Remember how a function call that was made goes on."""
        self._followups[tool_call_id] = call.then

    def pressed(self, digit: str) -> Step | None:
        """What the script does about the keys pressed so far; nothing, as a rule."""
        self._digits = (self._digits + digit)[-_LONGEST_DIGITS:]
        for reaction in self._script.reactions:
            if reaction.digits is not None and self._digits.endswith(reaction.digits):
                self._digits = ""
                return reaction.step
        return None

    def _choose(self, cue: Cue, heard: str, *, began: bool) -> Step:
        if cue.step is not None:
            return cue.step
        if cue.outputs:
            return self._after_tools(cue)
        if not heard:
            return self._script.otherwise if began else self._script.greeting
        for reaction in self._script.reactions:
            if reaction.said is not None and reaction.said.search(heard):
                return reaction.step
        if self._next_turn >= len(self._script.turns):
            return self._script.otherwise
        self._next_turn += 1
        return self._script.turns[self._next_turn - 1]

    def _after_tools(self, cue: Cue) -> Step:
        """Several calls of one response are answered by one: their texts and calls in a row."""
        steps = [self._followups.pop(call_id, None) or _REPEAT_OUTPUT for call_id, _ in cue.outputs]
        distinct = list(dict.fromkeys(id(step) for step in steps))
        chosen = [next(step for step in steps if id(step) == each) for each in distinct]
        return Step(
            say=" ".join(step.say for step in chosen if step.say) or None,
            calls=tuple(call for step in chosen for call in step.calls),
            delay_ms=next((step.delay_ms for step in chosen if step.delay_ms is not None), None),
        )

    def _performance(self, step: Step, cue: Cue, *, output: str = "", literal: bool = False) -> Performance:
        calls = tuple(_plan(use) for use in step.calls if _known_as(use) in cue.tools or use.even_if_missing)
        say = step.say
        if say is None and not calls:
            # The script wanted nothing but a tool that this session does not offer.
            say = self._script.otherwise.say or "I am sorry, I cannot do that."
        if say is not None and not literal:
            say = self._fill_in(say, output)
        delay_ms = self._script.delay_ms if step.delay_ms is None else step.delay_ms
        return Performance(say=say, calls=calls, delay_ms=delay_ms)

    def _fill_in(self, text: str, output: str) -> str:
        def value(match: re.Match[str]) -> str:
            name, key = match.groups()
            if name == "caller":
                return self._last_heard
            return _readable(output, key)

        return _PLACEHOLDER.sub(value, text)


def exact_words(instructions: str | None) -> str | None:
    """The words that instructions ask for: a JSON string somewhere behind the word ``exactly``."""
    if instructions is None:
        return None
    asked = _EXACTLY.search(instructions)
    if asked is None:
        return None
    start = instructions.find('"', asked.end())
    if start < 0:
        return None
    try:
        words, _ = json.JSONDecoder().raw_decode(instructions, start)
    except ValueError:
        return None
    return words if isinstance(words, str) and words.strip() else None


def _plan(use: ToolUse) -> PlannedCall:
    arguments = json.dumps(dict(use.arguments))
    return PlannedCall(name=use.name, arguments=arguments, then=use.then, hosted=use.hosted)


def _known_as(use: ToolUse) -> str:
    return use.name if use.hosted is None else f"{use.hosted.server_label}.{use.name}"


def _readable(output: str, key: str | None) -> str:
    """A tool's output as a person would read it out: no quotes around a JSON string."""
    try:
        value: Any = json.loads(output)
    except ValueError:
        return output
    if key is not None:
        value = value.get(key, "") if isinstance(value, Mapping) else ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
