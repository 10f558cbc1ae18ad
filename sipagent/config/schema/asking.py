"""Tools that ask the caller for something: digits on the telephone, or a message."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from sipagent.calls.tools.digits import MOST_DIGITS
from sipagent.config.schema.base import Duration, Entry, Text, ToolName, false_is_off, refuse, shown
from sipagent.config.schema.patterns import Pattern
from sipagent.config.schema.web import Headers, WebUrl


class DigitsBetween(Entry):
    """How many digits there may be."""

    min: int = Field(ge=1, le=MOST_DIGITS)
    """At least so many."""
    max: int = Field(ge=1, le=MOST_DIGITS)
    """At most so many."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min > self.max:
            raise refuse(
                f"No number has at least {self.min} and at most {self.max} digits.", "Swap min and max."
            )
        return self


class CollectDigits(Entry):
    """Digits that the caller types on the telephone."""

    name: ToolName
    """What the model calls it, and what is collected: ``customer_number``."""
    description: Text | None = None
    """When the model should use it."""
    prompt: Text | None = None
    """Said before each attempt; without one the agent asks by itself."""
    length: Annotated[
        DigitsBetween,
        BeforeValidator(
            lambda value: _digits(value),
            json_schema_input_type=Annotated[int, Field(ge=1, le=MOST_DIGITS)] | DigitsBetween,
        ),
    ] = DigitsBetween(min=1, max=20)
    """How many digits: ``6``, or ``{min: 4, max: 8}``."""
    end_key: Annotated[
        Literal["#", "*"] | None,
        BeforeValidator(false_is_off, json_schema_input_type=Literal["#", "*", False] | None),
    ] = "#"
    """The key that ends the input; ``false`` for none."""
    first_timeout_s: Duration = Field(default=10.0, alias="timeout")
    """How long the first digit may take."""
    digit_timeout_s: Duration = Field(default=4.0, alias="digit_timeout")
    """How long each further digit may take."""
    pattern: Pattern = "[0-9]+"
    """A regular expression that all digits together must fit."""
    masked: bool = False
    """The digits reach neither the model nor a record; other tools have them as ``{{digits.NAME}}``."""
    reveal_last: int = Field(default=0, ge=0, le=MOST_DIGITS)
    """Of masked digits, so many from the end are shown all the same."""
    attempts: int = Field(default=3, ge=1, le=10)
    """How often the caller is asked."""
    try_again: Text | None = None
    """Said before the prompt when an attempt failed."""

    @model_validator(mode="after")
    def _hides_something(self) -> Self:
        if self.reveal_last >= self.length.min:
            raise refuse(
                f"`reveal_last` shows {self.reveal_last} digits, and there may be only {self.length.min}.",
                "Show fewer.",
                at=("reveal_last",),
            )
        if self.reveal_last and not self.masked:
            raise refuse("`reveal_last` is for masked digits.", "Add `masked: true`.", at=("reveal_last",))
        return self


class Notification(Entry):
    """Who is told over HTTP."""

    url: WebUrl
    """Where a POST with JSON goes."""
    headers: Headers = Field(default_factory=dict)
    """Sent with it; secrets only as ``${NAME}`` or ``${file:…}``."""
    timeout_s: Duration = Field(default=5.0, alias="timeout")
    """How long all attempts together may take."""
    retries: int = Field(default=2, ge=0, le=5)
    """How often it is tried again."""
    idempotent: bool = False
    """Whether the server takes a message once that it gets twice with the same ``Idempotency-Key``."""


class TakeMessage(Entry):
    """A message that the caller leaves. It is always kept in the call's record."""

    name: ToolName = "take_message"
    """What the model calls it."""
    description: Text | None = None
    """When the model should use it."""
    fields: dict[ToolName, Text] = Field(min_length=1)
    """What is asked for, and what each means: ``{name: who is calling}``."""
    notify: Notification | None = None
    """Who is told."""


def _digits(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        return {"min": value, "max": value}
    if isinstance(value, dict | BaseModel):
        return value
    raise refuse(f"{shown(value)} is no number of digits.", "Write a number, or {min: 4, max: 8}.")
