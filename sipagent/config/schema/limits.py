"""How many calls, and what they may cost."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from sipagent.config.schema.base import Entry, Text, parsed_by, refuse
from sipagent.config.schema.routes import Count, FullAlternative
from sipagent.config.values import BadValueError

Money = Annotated[float | int, Field(gt=0)]
Price = Annotated[float | int, Field(ge=0)]


def _currency(value: object) -> str:
    if isinstance(value, str) and len(value) == 3 and value.isalpha() and value.isascii() and value.isupper():
        return value
    meant = {"€": "EUR", "$": "USD", "£": "GBP", "EURO": "EUR", "DOLLAR": "USD"}.get(str(value).upper())
    remedy = "Write its three letters, such as USD or EUR."
    raise BadValueError(f"{value!r} is no currency.", f"Write {meant}." if meant else remedy)


class CallsEntry(Entry):
    """How many calls at a time, and how fast."""

    total: Count | None = None
    """At a time."""
    per_agent: dict[Text, Count] = Field(default_factory=dict)
    """At a time, with one agent."""
    reserved: dict[Text, Count] = Field(default_factory=dict)
    """Places of ``total`` that are kept free for an agent."""
    per_caller: Count | None = None
    """At a time, from one number."""
    per_caller_per_minute: Count | None = None
    """Within sixty seconds, from one number."""
    per_minute: Count | None = None
    """Within sixty seconds, from everybody."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        kept = sum(self.reserved.values())
        if self.reserved and self.total is None:
            raise refuse(
                "`reserved` keeps places of a `total` that is not written.", "Add `total:`.", at=("reserved",)
            )
        if self.total is not None and kept > self.total:
            raise refuse(
                f"`reserved` keeps {kept} places, and `total` allows {self.total}.",
                "Raise `total`, or reserve fewer.",
                at=("reserved",),
            )
        for agent, places in self.reserved.items():
            if (most := self.per_agent.get(agent)) is not None and places > most:
                raise refuse(
                    f"`reserved` keeps {places} places for {agent}, and `per_agent` allows it {most}.",
                    "Reserve no more than it may have.",
                    at=("reserved", agent),
                )
        for agent, most in self.per_agent.items():
            if self.total is not None and most > self.total:
                raise refuse(
                    f"`per_agent` allows {agent} {most} calls, and `total` {self.total}.",
                    "Lower it, or raise `total`.",
                    at=("per_agent", agent),
                )
        return self


class PricesEntry(Entry):
    """What a million tokens cost."""

    input_text: Price
    """Text that the model reads."""
    input_audio: Price
    """Sound that the model hears."""
    cached_text: Price
    """Text that it has read before."""
    cached_audio: Price
    """Sound that it has heard before."""
    output_text: Price
    """Text that the model writes."""
    output_audio: Price
    """Sound that the model makes."""


class SpendEntry(Entry):
    """What calls may cost."""

    per_call: Money | None = None
    """One call ends when it has cost so much."""
    per_day: Money | None = None
    """No call is answered when the day, in the business's zone, has cost so much."""
    currency: Annotated[str, parsed_by(_currency, pattern="^[A-Z]{3}$", examples=["USD", "EUR"])] = "USD"
    """In which all amounts are: ``EUR``."""
    prices: dict[Text, PricesEntry] = Field(default_factory=dict)
    """Of each model, for a million tokens; by default those of OpenAI's list, which are in USD."""
    say: Text | None = None
    """Said when a call ends for what it has cost; by default the agent finds words of its own."""

    @model_validator(mode="after")
    def _bounds_something(self) -> Self:
        if self.per_call is None and self.per_day is None:
            raise refuse("`spend` bounds nothing.", "Write `per_call:` or `per_day:`.")
        if self.per_call is not None and self.per_day is not None and self.per_call > self.per_day:
            raise refuse(
                f"One call may cost {self.per_call:g}, and a whole day {self.per_day:g}.",
                "Swap them, or raise `per_day`.",
            )
        return self


class LimitsEntry(Entry):
    """How many calls, and what they may cost."""

    calls: CallsEntry | None = None
    """How many at a time, and how fast."""
    when_full: FullAlternative | None = None
    """What happens to a call that is one too many; by default it is refused as busy (486)."""
    spend: SpendEntry | None = None
    """What they may cost."""
