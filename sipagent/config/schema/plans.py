"""How a carrier answers a call, step by step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Discriminator, Field, Tag

from sipagent.config.schema.base import DURATION_PATTERN, Entry, Text, listed, parsed_by, refuse, shown
from sipagent.config.schema.kinds import WORD, refuse_several, tag_of, told_by_key
from sipagent.config.schema.language import LanguageTag
from sipagent.config.schema.numbers import CallableNumber
from sipagent.config.values import closest, parse_ringing_s

WORDS = ("sip", "stream")
"""Steps that need nothing but their name."""
MOST_STEPS = 8
"""Of one plan: a caller waits through all of them."""
LONGEST_WORDS = 1000
"""Of what a carrier's voice says, in characters."""

Ringing = Annotated[
    int, parsed_by(parse_ringing_s, pattern=DURATION_PATTERN, examples=["20s"], description="From 5s to 2m.")
]
"""How long something rings, in whole seconds."""


class SipTiming(Entry):
    """How a carrier dials the Realtime API."""

    answer_timeout_s: Ringing = Field(default=20, alias="timeout")
    """How long it may ring before the next step follows."""


class SipStep(Entry):
    """The carrier dials the Realtime API."""

    sip: SipTiming
    """How."""


class CallStep(Entry):
    """The carrier calls somebody else."""

    call: CallableNumber
    """A number in international form, or a ``sip:`` address."""
    answer_timeout_s: Ringing = Field(default=25, alias="timeout")
    """How long it may ring before the next step follows."""


class SayStep(Entry):
    """The carrier's own voice says something, and the call ends."""

    also_known_as: ClassVar[Mapping[str, str]] = {"lang": "language"}
    hints: ClassVar[Mapping[str, str]] = {
        "voice": "Remove it: the carrier's usual voice speaks; `language:` chooses its tongue.",
    }

    say: Annotated[Text, Field(max_length=LONGEST_WORDS)]
    """The words, as they are said."""
    language: LanguageTag | None = None
    """Of the words: ``de-DE``; by default what the carrier takes them for."""


_ENTRIES: Mapping[str, type[BaseModel]] = {"sip": SipStep, "call": CallStep, "say": SayStep}
_tag = told_by_key(_ENTRIES)


def _look_at_step(value: object) -> object:
    """Says what is wrong with a step of which nobody can tell what it is."""
    remedy = "Write sip, stream, `{call: NUMBER}` or `{say: WORDS}`."
    match value:
        case BaseModel():
            pass
        case str() if value in ("call", "say"):
            raise refuse(f"`{value}` alone says too little.", f"Write {{{value}: …}}.")
        case str() if value not in WORDS:
            close = closest(value, WORDS)
            also = "" if close else " Who answers is `agent:`."
            raise refuse(
                f"There is no step `{value}`.", f"Did you mean `{close}`?" if close else f"{remedy}{also}"
            )
        case dict():
            refuse_several((*_ENTRIES, "stream"), value, what="step")
            if "stream" in value:
                raise refuse("`stream` takes no settings.", "Write `- stream` without a colon.")
            if _tag(value) is None:
                raise refuse("This is no step.", remedy)
        case str():
            pass
        case _:
            raise refuse(f"{shown(value)} is no step.", remedy)
    return value


StepEntry = Annotated[
    Annotated[Literal["sip", "stream"], Tag(WORD)]
    | Annotated[SipStep, Tag(tag_of("sip"))]
    | Annotated[CallStep, Tag(tag_of("call"))]
    | Annotated[SayStep, Tag(tag_of("say"))],
    Discriminator(_tag),
    BeforeValidator(_look_at_step),
]


def _words_last(steps: list[Any]) -> list[Any]:
    if len(steps) > MOST_STEPS:
        raise refuse(
            f"These are {len(steps)} steps, and nobody waits for so many.",
            f"Write at most {MOST_STEPS}.",
            at=(MOST_STEPS,),
        )
    for index, step in enumerate(steps[:-1]):
        if isinstance(step, SayStep):
            raise refuse(
                f"Words end a call, and step {index + 1} of {len(steps)} says some: "
                "what follows never happens.",
                "Move them to the end.",
                at=(index,),
            )
    return steps


PlanEntry = Annotated[
    list[StepEntry],
    Field(min_length=1),
    BeforeValidator(
        listed,
        json_schema_input_type=StepEntry
        | Annotated[list[StepEntry], Field(min_length=1, max_length=MOST_STEPS)],
    ),
    AfterValidator(_words_last),
]
"""What is tried for a call, in order: the next step follows when one fails."""
