"""What the pretended model says and does: the script, and how it is read from YAML.

A script is a plan for one conversation; nothing here changes while calls go on. The file is described for
its writers in the guide page *simulator*.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Final

from sipagent.errors import Problem, ScriptError, SimulatorError
from sipagent.simulator.faults import FaultSet
from sipagent.simulator.hosted_plan import RUN_KEYS, HostedRun, HostedServer, read_run, read_servers
from sipagent.simulator.script_reader import Entry, ScriptReader

# Values ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolUse:
    """One tool call of the model."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    then: Step | None = None
    """What follows when the output is there and a response is asked for; None: it repeats the output."""
    even_if_missing: bool = False
    """Call it although the session offers no such tool, as a confused model would."""
    hosted: HostedRun | None = None
    """Set for a tool of an MCP server, which the service runs itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One response. In ``say``, ``{output}`` is the tool's output, ``{output.key}`` one entry of it when it
    is a JSON object, and ``{caller}`` what the caller said."""

    say: str | None = None
    calls: tuple[ToolUse, ...] = ()
    delay_ms: float | None = None
    """Silence before the first word; None: the script's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction:
    """A response to something particular, whichever turn it is. Exactly one condition is set."""

    said: re.Pattern[str] | None = None
    """Found anywhere in what the caller said."""
    digits: str | None = None
    """Pressed one after the other. The real model does not hear digits: only a script can make it."""
    step: Step = field(default_factory=Step)


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptionPlan:
    """When the caller's words are reported; real transcription runs beside the model, at its own pace."""

    delays_ms: tuple[float, ...] = (250.0,)
    """From the end of each turn, one after the other; the last one repeats."""
    fails: bool = False
    """Report failures instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """The whole plan."""

    voice: str = "auto"
    """`auto`, `tones`, `prompts` or `command`; for whoever makes the voice."""
    greeting: Step = field(default_factory=lambda: Step(say="Hello, how can I help you?"))
    """When a response is asked for and nobody has said anything yet."""
    turns: tuple[Step, ...] = ()
    """The answers, in order, one for each turn of the caller."""
    otherwise: Step = field(default_factory=lambda: Step(say="I see. Is there anything else?"))
    """The answer when the turns are used up."""
    reactions: tuple[Reaction, ...] = ()
    """Tried in order before the turns."""
    caller_lines: tuple[str, ...] = ()
    """What real callers say, when their INVITE does not tell."""
    delay_ms: float = 150.0
    """Silence before the first word of a response."""
    pace: float = 2.0
    """How much faster than playback speech is generated."""
    transcription: TranscriptionPlan = field(default_factory=TranscriptionPlan)
    vad: Mapping[str, float] = field(default_factory=dict)
    """Defaults of ``server_vad`` where the session says nothing."""
    mcp: Mapping[str, HostedServer] = field(default_factory=dict)
    """What is particular about MCP servers that sessions name, by label."""
    faults: FaultSet = field(default_factory=FaultSet.of)
    """For every call that follows this script."""
    announces_session: bool = True
    """Whether ``session.created`` is sent when a socket is attached."""
    announces_truncation: bool = False
    """Whether ``conversation.item.truncated`` is sent when a caller interrupts. Nobody could confirm that
    the real service does so on SIP."""


# Loading ---------------------------------------------------------------------------------------------


def load_script(path: str | Path) -> Script:
    """Read a script file.

    Raises:
        ScriptError: it cannot be read, or has mistakes; all of them are named, with line and column.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        problem = Problem(
            file=str(path),
            line=1,
            column=1,
            message=f"The script cannot be read: {error}.",
            remedy="Give the path of a YAML file in UTF-8.",
        )
        raise ScriptError(problem) from error
    return parse_script(text, name=str(path))


def default_script() -> Script:
    """The script of a simulator that was given none: it greets, and answers in general terms."""
    return shipped_script("default")


def shipped_script(name: str) -> Script:
    """A script that comes with the package: ``default``, ``demo`` (one call) or ``chat`` (as long as you
    like), both for the example practice.

    Raises:
        SimulatorError: there is no such script.
    """
    source = resources.files("sipagent.simulator") / "scripts" / f"{name}.yaml"
    if not source.is_file():
        raise SimulatorError(f"no script named {name!r} is shipped; there are 'default', 'demo' and 'chat'")
    return parse_script(source.read_text(encoding="utf-8"), name=f"{name}.yaml")


def parse_script(text: str, *, name: str) -> Script:
    """Read a script from ``text``; ``name`` stands for the file in error messages.

    Raises:
        ScriptError: it has mistakes; all of them are named, with line and column.
    """
    reader = ScriptReader(text, name=name)
    script = _read_script(reader.root)
    reader.finish()
    return script


# From entries to values ------------------------------------------------------------------------------

_VOICES: Final = ("auto", "tones", "prompts", "command")
_STEP_KEYS: Final = ("say", "call", "delay_ms")


def _read_script(root: Entry) -> Script:
    keys = (
        "voice", "greeting", "turns", "otherwise", "reactions", "caller", "delay_ms", "pace",
        "transcription", "vad", "mcp", "faults", "announces_session", "announces_truncation",
    )  # fmt: skip
    fields = root.mapping(keys)
    values: dict[str, Any] = {}
    if "voice" in fields:
        values["voice"] = fields["voice"].choice(_VOICES)
    for name in ("greeting", "otherwise"):
        if name in fields:
            values[name] = _read_step(fields[name])
    if "turns" in fields:
        values["turns"] = tuple(_read_step(entry) for entry in fields["turns"].items())
    if "reactions" in fields:
        values["reactions"] = tuple(_read_reaction(entry) for entry in fields["reactions"].items())
    if "caller" in fields:
        caller = fields["caller"].mapping(("lines",))
        if "lines" in caller:
            values["caller_lines"] = tuple(line.text() for line in caller["lines"].items())
    if "delay_ms" in fields:
        values["delay_ms"] = fields["delay_ms"].number(0, 600_000)
    if "pace" in fields:
        values["pace"] = fields["pace"].number(0.1, 10_000)
    if "transcription" in fields:
        values["transcription"] = _read_transcription(fields["transcription"])
    if "vad" in fields:
        values["vad"] = _read_vad(fields["vad"])
    if "mcp" in fields:
        values["mcp"] = read_servers(fields["mcp"])
    if "faults" in fields:
        values["faults"] = _read_faults(fields["faults"])
    for name in ("announces_session", "announces_truncation"):
        if name in fields:
            values[name] = fields[name].boolean()
    return Script(**values)


def _read_step(entry: Entry, *, with_condition: tuple[str, ...] = ()) -> Step:
    """A step: a plain text is what it says."""
    if entry.is_text and not with_condition:
        return Step(say=entry.text())
    fields = entry.mapping((*_STEP_KEYS, *with_condition))
    if fields and "say" not in fields and "call" not in fields:
        entry.complain("A response does nothing here.", "Give it 'say', 'call', or both.")
    return Step(
        say=fields["say"].text() if "say" in fields else None,
        calls=_read_calls(fields["call"]) if "call" in fields else (),
        delay_ms=fields["delay_ms"].number(0, 600_000) if "delay_ms" in fields else None,
    )


def _read_calls(entry: Entry) -> tuple[ToolUse, ...]:
    """One tool's name, one mapping, or a list of either."""
    entries = entry.items() if entry.is_list else [entry]
    return tuple(_read_call(each) for each in entries)


def _read_call(entry: Entry) -> ToolUse:
    if entry.is_text:
        return ToolUse(name=entry.text())
    fields = entry.mapping(("tool", "with", "then", "even_if_missing", *RUN_KEYS))
    if "tool" not in fields:
        entry.complain("A call names no tool.", "Add 'tool: NAME'.")
    return ToolUse(
        name=fields["tool"].text() if "tool" in fields else "",
        arguments=fields["with"].json_object() if "with" in fields else {},
        then=_read_step(fields["then"]) if "then" in fields else None,
        even_if_missing=fields["even_if_missing"].boolean() if "even_if_missing" in fields else False,
        hosted=read_run(fields),
    )


def _read_reaction(entry: Entry) -> Reaction:
    step = _read_step(entry, with_condition=("said", "digits"))
    fields = entry.mapping((*_STEP_KEYS, "said", "digits"), again=True)
    if ("said" in fields) == ("digits" in fields):
        entry.complain(
            "A reaction needs one condition.", "Give it either 'said: REGEX' or 'digits: \"12#\"'."
        )
        return Reaction(step=step)
    if "digits" in fields:
        return Reaction(digits=fields["digits"].matching(r"[0-9A-D*#]+", "keys of a telephone"), step=step)
    return Reaction(said=fields["said"].pattern(), step=step)


def _read_transcription(entry: Entry) -> TranscriptionPlan:
    fields = entry.mapping(("delay_ms", "fails"))
    delays = TranscriptionPlan().delays_ms
    if "delay_ms" in fields:
        given = fields["delay_ms"]
        entries = given.items() if given.is_list else [given]
        delays = tuple(each.number(0, 600_000) for each in entries) or delays
    return TranscriptionPlan(
        delays_ms=delays, fails=fields["fails"].boolean() if "fails" in fields else False
    )


def _read_vad(entry: Entry) -> dict[str, float]:
    limits = {"threshold": 1.0, "prefix_padding_ms": 5000, "silence_duration_ms": 10_000}
    fields = entry.mapping(tuple(limits))
    found: dict[str, float] = {}
    for name, field_entry in fields.items():
        value = field_entry.number(0, limits[name])
        found[name] = value if name == "threshold" else int(value)
    return found


def _read_faults(entry: Entry) -> FaultSet:
    faults = FaultSet.of()
    for each in entry.items() if entry.is_list else [entry]:
        try:
            faults |= FaultSet.parse(each.text())
        except SimulatorError as error:
            each.complain(f"This is no fault: {error}.", "Take one from the menu.")
    return faults
