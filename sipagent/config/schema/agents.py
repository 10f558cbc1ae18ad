"""What an agent is made of, besides its session: words, tools, targets, guardrails, the end of a call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, BeforeValidator, Discriminator, Field, Tag, model_validator

from sipagent.calls.profile import TransferWay
from sipagent.config.schema.base import (
    Duration,
    Entry,
    Name,
    Text,
    at_most_one_of,
    exactly_one_of,
    false_is_off,
    listed,
    parsed_by,
    refuse,
    shown,
    word_as,
)
from sipagent.config.schema.carriers import RecordingEntry
from sipagent.config.schema.kinds import refuse_several, tag_of, told_by_key
from sipagent.config.schema.language import LanguageTag
from sipagent.config.schema.numbers import TransferUri
from sipagent.config.schema.patterns import Pattern
from sipagent.config.schema.session import SessionKeys
from sipagent.config.schema.tools import ToolEntry
from sipagent.config.values import PythonReference, parse_reference

MESSAGE = "message"
"""What a transfer offers when nobody was reached: to take a message."""


class GreetingEntry(Entry):
    """The first words of a call."""

    text: Text
    """Said word for word."""
    interruptible: bool = True
    """``false``: heard to its end, whatever the caller does meanwhile."""


class TransferEntry(Entry):
    """Somewhere a call may be sent. The model learns its name, label and description, never the address."""

    also_known_as: ClassVar[Mapping[str, str]] = {"mode": "way", "kind": "way", "number": "to"}
    hints: ClassVar[Mapping[str, str]] = {
        "warm": "Write `way: warm`.",
        "blind": "Remove it: that is how calls are sent by default.",
        "briefing": "Remove it: the agent itself says what a warm transfer is about.",
    }

    to: Annotated[
        list[TransferUri],
        Field(min_length=1),
        BeforeValidator(
            listed, json_schema_input_type=TransferUri | Annotated[list[TransferUri], Field(min_length=1)]
        ),
    ]
    """``tel:`` or ``sip:``; several are tried in their order."""
    label: Text | None = None
    """How the agent speaks of it: ``our sales team``."""
    description: Text
    """For the model: whom to send there."""
    hours: Text | None = None
    """The calendar that says when somebody is there."""
    otherwise: Text | None = None
    """When nobody was reached: ``message``, or the agent that takes over."""
    confirm_s: Duration | None = Field(default=None, alias="confirm")
    """How long one address has to take the call."""
    way: TransferWay = "refer"
    """``refer`` sends the caller there by SIP, ``carrier`` has the carrier do it by its own API, and ``warm``
    calls whoever it is first, tells them what it is about, and keeps the caller until they take the call."""


class GuardEntry(Entry):
    """What every guardrail may say."""

    also_known_as: ClassVar[Mapping[str, str]] = {
        "on": "listens_to",
        "of": "listens_to",
        "listen": "listens_to",
    }

    name: Name | None = None
    """Names it in records."""
    listens_to: Literal["agent", "caller"] = "agent"
    """Whose words it looks at."""
    say: Text | None = None
    """Said when it trips."""


class PhrasesGuard(GuardEntry):
    """Phrases that must not be said."""

    phrases: list[Text] = Field(min_length=1)
    """Whole words, in any case."""


class PatternsGuard(GuardEntry):
    """Regular expressions that must not fit."""

    patterns: list[Pattern] = Field(min_length=1)
    """Looked for anywhere in what is said."""


class ModerationKeys(Entry):
    """What OpenAI's moderation is asked."""

    categories: list[Text] | None = None
    """Which categories count; by default all."""
    model: Text = "omni-moderation-latest"
    """Name of the moderation model."""


class ModerationGuard(GuardEntry):
    """OpenAI's moderation."""

    moderation: ModerationKeys
    """What counts."""


class PythonGuard(GuardEntry):
    """A Python function that looks at what is said."""

    python: Annotated[PythonReference, parsed_by(parse_reference, pattern=r"^[^:\s]+:[^:\s]+$")]
    """Module and function, with a colon between them."""


_GUARDS: Mapping[str, type[BaseModel]] = {
    "phrases": PhrasesGuard,
    "patterns": PatternsGuard,
    "moderation": ModerationGuard,
    "python": PythonGuard,
}
_guard_kind = told_by_key(_GUARDS)


def _look_at_guard(value: object) -> object:
    remedy = f"Write one of {', '.join(f'`{kind}:`' for kind in _GUARDS)}."
    if not isinstance(value, dict | BaseModel):
        raise refuse(f"{shown(value)} is no guardrail.", remedy)
    if isinstance(value, dict):
        refuse_several(_GUARDS, value, what="guardrail")
        if _guard_kind(value) is None:
            raise refuse("This is no guardrail.", remedy)
    return value


GuardrailEntry = Annotated[
    Annotated[PhrasesGuard, Tag(tag_of("phrases"))]
    | Annotated[PatternsGuard, Tag(tag_of("patterns"))]
    | Annotated[ModerationGuard, Tag(tag_of("moderation"))]
    | Annotated[PythonGuard, Tag(tag_of("python"))],
    Discriminator(_guard_kind),
    BeforeValidator(_look_at_guard),
]


class IdleStepEntry(Entry):
    """One step when the caller is silent: words, or the end."""

    model_config = exactly_one_of("say", "hang_up")

    after_s: Duration = Field(alias="after")
    """How long it has been silent, since the agent was last heard to its end."""
    say: Text | None = None
    """Asked of the caller."""
    hang_up: Text | None = None
    """The goodbye with which the call ends."""

    @model_validator(mode="after")
    def _says_or_ends(self) -> Self:
        if (self.say is None) == (self.hang_up is None):
            raise refuse(
                "A step either says something or hangs up.", "Write `say:` or `hang_up:` with words."
            )
        return self


class WrapUpEntry(Entry):
    """How a call is brought to its end before its time is over."""

    before_s: Duration = Field(default=60.0, alias="before")
    """How long before the end."""
    say: Text | None = None
    """Said then; by default the agent finds words of its own."""


class EndingEntry(Entry):
    """How calls come to their end."""

    idle: list[IdleStepEntry] = Field(default_factory=list)
    """What happens while the caller is silent, step by step."""
    maximum_duration_s: Duration | None = Field(default=None, alias="maximum_duration")
    """How long a call may be."""
    wrap_up: Annotated[
        WrapUpEntry | None,
        BeforeValidator(false_is_off, json_schema_input_type=WrapUpEntry | Literal[False] | None),
    ] = WrapUpEntry()
    """Before a call's time is over; ``false`` hangs up without a word."""
    goodbye: Text | None = None
    """Said when a call's time is over or it leads nowhere; by default the agent finds words of its own."""
    loops: bool = True
    """Whether calls end that lead nowhere: hold music, two machines that thank each other."""

    @model_validator(mode="after")
    def _hangs_up_last(self) -> Self:
        for index, step in enumerate(self.idle[:-1]):
            if step.hang_up is not None:
                raise refuse(
                    f"`idle` hangs up at step {index + 1} of {len(self.idle)}: what follows never happens.",
                    "Move the step that hangs up to the end.",
                    at=("idle", index),
                )
        return self


def _consent(value: object) -> object:
    return word_as("consent", what="consent line")(false_is_off(value))


class AgentKeys(SessionKeys):
    """The keys of `defaults` and of each agent."""

    model_config = at_most_one_of("instructions", "instructions_file")

    also_known_as: ClassVar[Mapping[str, str]] = {
        "prompt": "instructions",
        "system_prompt": "instructions",
        "general_prompt": "instructions",
        "personality": "instructions",
        "instruction": "instructions",
        "first_message": "greeting",
        "firstMessage": "greeting",
        "begin_message": "greeting",
        "static_greeting": "greeting",
        "welcome": "greeting",
        "voice_id": "voice",
        "transfers": "transfer",
        "handoff": "handoffs",
        "vad": "turn_detection",
        "max_tokens": "max_output_tokens",
        "functions": "tools",
        "record": "recording",
    }
    hints: ClassVar[Mapping[str, str]] = {
        "temperature": "Remove it: Realtime models have no temperature any more.",
        "maximum_duration": "Indent it below `ending:`.",
        "max_duration": "Write `ending: {maximum_duration: 20m}`.",
        "maxDurationSeconds": "Write `ending: {maximum_duration: 20m}`.",
        "max_duration_seconds": "Write `ending: {maximum_duration: 20m}`.",
        "max_call_duration_seconds": "Write `ending: {maximum_duration: 20m}`.",
        "idle": "Indent it below `ending:`.",
        "wrap_up": "Indent it below `ending:`.",
        "hours": "Write the hours below `calendars:` at the top, and name the calendar in a route.",
        "timezone": "Write it below `business:` at the top.",
        "recordings": "Write it at the top; here, write `recording: {consent: …}`.",
        "consent": "Write `recording: {consent: …}`.",
    }

    greeting: Annotated[
        GreetingEntry | None,
        BeforeValidator(word_as("text", what="greeting"), json_schema_input_type=Text | GreetingEntry | None),
    ] = None
    """Said word for word as soon as the call is up; without one the caller speaks first."""
    instructions: Text | None = None
    """What the agent is told about itself and its task."""
    instructions_file: Text | None = None
    """The same, from a file beside this one."""
    description: Text | None = None
    """For other agents: what this one is for."""
    language: LanguageTag | None = None
    """The language that the agent speaks: ``en``."""
    languages: list[LanguageTag] | None = None
    """The languages that the agent may speak, the usual one first."""
    handoffs: list[Text] = Field(default_factory=list)
    """The agents that this one may hand the caller over to, with the tool ``send_to_agent``."""
    guardrails: list[GuardrailEntry] = Field(default_factory=list)
    """What must not be said, and what happens when it is."""
    tools: list[ToolEntry] = Field(default_factory=list)
    """What the agent can do."""
    transfer: dict[Name, TransferEntry] = Field(default_factory=dict)
    """Where the agent may send a caller, with the tool ``transfer``."""
    ending: EndingEntry = EndingEntry()
    """How calls come to their end."""
    recording: Annotated[
        RecordingEntry | None,
        BeforeValidator(_consent, json_schema_input_type=Text | RecordingEntry | Literal[False] | None),
    ] = None
    """Calls whose audio passes through here are recorded, once these words were heard; ``false`` for none."""
