"""The front door: where numbers stand, who answers, who is not answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from sipagent.config.schema.base import Entry, Text, exactly_one_of, listed, refuse
from sipagent.config.schema.numbers import Country, NumberPattern
from sipagent.config.schema.plans import PlanEntry
from sipagent.config.schema.web import HeaderName

Count = Annotated[int, Field(ge=1, le=100_000)]
SipStatus = Annotated[int, Field(ge=400, le=699)]
"""A final SIP response that refuses a call."""
_OneOrMore = BeforeValidator(
    listed, json_schema_input_type=NumberPattern | Annotated[list[NumberPattern], Field(min_length=1)]
)
NumberPatterns = Annotated[list[NumberPattern], Field(min_length=1), _OneOrMore]


class NumbersEntry(Entry):
    """Where the dialled number and the caller's stand in a call."""

    preset: Literal["twilio", "telnyx", "asterisk"] | None = None
    """The headers that a carrier or PBX is known to use."""
    dialled_headers: list[HeaderName] | None = Field(default=None, min_length=1)
    """Where the dialled number is looked for, in this order."""
    caller_headers: list[HeaderName] | None = Field(default=None, min_length=1)
    """Where the caller's number is looked for, in this order."""
    default_country: Country | None = None
    """The country whose national numbers are meant where there is no country code."""


class Alternative(Entry):
    """What happens to a call instead."""

    model_config = exactly_one_of("agent", "reject")

    agent: Text | None = None
    """The agent that answers instead."""
    reject: SipStatus | None = None
    """The SIP status with which the call is refused: ``486`` is busy."""

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.agent is None) == (self.reject is None):
            raise refuse("It needs one outcome.", "Write `agent:` or `reject:`, one of them.")
        return self


class FullAlternative(Alternative):
    """What happens to a call that is one too many."""

    model_config = exactly_one_of("agent", "reject", beside={"calls": ["agent"]})

    calls: Count | None = None
    """How many such calls the agent answers at a time; the next one is refused as busy (486)."""

    @model_validator(mode="after")
    def _bounds_an_agent(self) -> Self:
        if self.calls is not None and self.agent is None:
            raise refuse(
                "`calls` bounds what an agent answers, and nobody answers here.",
                "Write `agent:` instead of `reject:`, or remove `calls`.",
                at=("calls",),
            )
        return self


class WhenEntry(Entry):
    """The state of a calendar."""

    calendar: Text
    """One of `calendars`."""
    state: Literal["open", "closed", "holiday"] = Field(alias="is")
    """What it must be."""


class RouteEntry(Entry):
    """Who answers: an agent or nobody, and the conditions under which."""

    model_config = exactly_one_of("agent", "reject")

    also_known_as: ClassVar[Mapping[str, str]] = {
        "number": "to", "did": "to", "dialled": "to", "called": "to", "caller": "from", "headers": "header",
        "plan": "answer", "fallback": "answer",
    }  # fmt: skip

    name: Text | None = None
    """Names it in records."""
    to: NumberPatterns | None = None
    """The number that was dialled; several, or a beginning with an asterisk."""
    caller: NumberPatterns | None = Field(default=None, alias="from")
    """The number that calls; ``anonymous`` where it is hidden."""
    header: (
        dict[
            HeaderName,
            Annotated[
                list[Text],
                Field(min_length=1),
                BeforeValidator(
                    listed, json_schema_input_type=Text | Annotated[list[Text], Field(min_length=1)]
                ),
            ],
        ]
        | None
    ) = Field(default=None, min_length=1)
    """SIP headers and what they must hold; an asterisk at the end stands for anything."""
    when: WhenEntry | None = None
    """The route counts only while a calendar says so."""
    agent: Text | None = None
    """The agent that answers."""
    reject: SipStatus | None = None
    """The SIP status with which the call is refused."""
    hours: Text | None = None
    """The calendar that says when this route is open; see ``when_closed``."""
    when_closed: Alternative | None = None
    """What happens outside of ``hours``."""
    when_full: FullAlternative | None = None
    """What happens when no call more is allowed."""
    answer: PlanEntry | None = None
    """How calls of ``carriers`` are answered, step by step, instead of as it is written there."""

    @model_validator(mode="after")
    def _one_outcome(self) -> Self:
        if self.agent is None and self.reject is None:
            raise refuse(
                "The route leads nowhere.", "Write `agent:` with a name, or `reject:` with a SIP status."
            )
        if self.agent is not None and self.reject is not None:
            raise refuse("`agent` and `reject` stand side by side.", "Keep one of them.")
        if self.agent is None and (self.when_closed is not None or self.when_full is not None):
            raise refuse("A route that rejects has no alternative.", "Remove `when_closed` and `when_full`.")
        if self.agent is None and self.answer is not None:
            raise refuse("A route that rejects answers nothing.", "Remove `answer`.", at=("answer",))
        if (self.hours is None) != (self.when_closed is None):
            raise refuse(
                "`hours` and `when_closed` belong together.",
                "Write both, or `when: {calendar: …, is: open}` for a route that counts only then.",
            )
        return self


class CallersEntry(Entry):
    """Who may call."""

    deny: list[NumberPattern] = Field(default_factory=list)
    """Never answered: SIP 603."""
    allow: list[NumberPattern] | None = None
    """If it is there, nobody else is answered."""
