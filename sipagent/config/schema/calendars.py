"""When the business is open: weekly hours, holidays, closures, special days."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Annotated, Self
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from sipagent.calls.calendar import DAY_MIN, Span
from sipagent.config.schema.base import Entry, Text, parsed_by, refuse, shown
from sipagent.config.schema.numbers import Country
from sipagent.config.times import (
    DAYS,
    parse_date,
    parse_day_of_year,
    parse_days,
    parse_spans,
    parse_zone,
    show_span,
)

_DAY = f"({'|'.join(DAYS)})"
_CLOCK = "([01][0-9]|2[0-4]):[0-5][0-9]"
_ONE_SPAN = {"type": "string", "pattern": f"^({_CLOCK}-{_CLOCK}|24h|closed)$"}
_SPANS = {
    "anyOf": [_ONE_SPAN, {"type": "array", "items": {"type": "string", "pattern": f"^{_CLOCK}-{_CLOCK}$"}}],
    "examples": ["08:00-18:00", ["08:00-12:00", "13:00-16:00"], "closed"],
}

Zone = Annotated[ZoneInfo, parsed_by(parse_zone, examples=["Europe/Berlin", "America/New_York"])]
Spans = Annotated[tuple[Span, ...], parsed_by(parse_spans, **_SPANS)]
"""The hours of one day."""
Days = Annotated[
    str,
    parsed_by(
        lambda value: _checked(parse_days, value), pattern=f"^{_DAY}(-{_DAY})?(,\\s*{_DAY}(-{_DAY})?)*$"
    ),
]
Date = Annotated[date, parsed_by(parse_date, pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}$", examples=["2026-12-27"])]
DateKey = Annotated[
    str, parsed_by(lambda value: _checked(parse_date, value), pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}$")
]
DayOfYearKey = Annotated[
    str, parsed_by(lambda value: _checked(parse_day_of_year, value), pattern="^[0-9]{2}-[0-9]{2}$")
]


def _checked(parse: Callable[[object], object], value: object) -> str:
    """The text itself, once ``parse`` can read it: keys stay as they are written."""
    parse(value)
    assert isinstance(value, str), "what can be read is text"
    return value


class Holidays(Entry):
    """Public holidays, on which it is closed."""

    country: Country
    """Two letters (ISO 3166), in quotes: ``"DE"``."""
    region: Text | None = None
    """The state or province, where holidays differ: ``BE`` for Berlin."""
    half_days: dict[DayOfYearKey, Spans] = Field(default_factory=dict)
    """Days of every year that are half a holiday, with their hours: ``{"12-24": "08:00-12:00"}``."""


class Closure(Entry):
    """A time in which it is closed."""

    date: (
        Annotated[str, parsed_by(lambda value: _day(value), pattern="^([0-9]{4}-)?[0-9]{2}-[0-9]{2}$")] | None
    ) = None
    """One day, or with month and day alone one day of every year."""
    first: Date | None = Field(default=None, alias="from")
    """The first day."""
    last: Date | None = Field(default=None, alias="to")
    """The last day, on which it is closed too."""
    reason: Text | None = None
    """What the agent may say about it: ``Summer break``."""

    @model_validator(mode="after")
    def _when(self) -> Self:
        if self.date is not None:
            if self.first is not None or self.last is not None:
                raise refuse(
                    "`date` stands beside `from` or `to`.", "Write one day, or the first and the last."
                )
            return self
        if self.first is None or self.last is None:
            raise refuse("A closure needs a day.", "Write `date:`, or `from:` and `to:`.")
        if self.last < self.first:
            raise refuse(
                f"It ends on {self.last}, before it begins.", "Swap `from` and `to`, or mend the year."
            )
        return self


def _day(value: object) -> str:
    if isinstance(value, str) and len(value) == len("12-24"):
        return _checked(parse_day_of_year, value)
    return _checked(parse_date, value)


def _closure(value: object) -> object:
    if isinstance(value, str):
        return {"date": value}
    if not isinstance(value, dict):
        raise refuse(
            f"{shown(value)} is no closure.", 'Write a day such as "2026-12-27", or {from: …, to: …}.'
        )
    return value


class CalendarEntry(Entry):
    """When somebody is there."""

    timezone: Zone | None = None
    """By its IANA name; by default that of the business."""
    hours: dict[Days, Spans] = Field(default_factory=dict)
    """The week: ``mon-thu: "08:00-18:00"``; days that are not named are closed."""
    holidays: Holidays | None = None
    """Public holidays, on which it is closed."""
    closures: list[
        Annotated[
            Closure,
            BeforeValidator(
                _closure,
                json_schema_input_type=Annotated[
                    str, WithJsonSchema({"type": "string", "pattern": "^([0-9]{4}-)?[0-9]{2}-[0-9]{2}$"})
                ]
                | Closure,
            ),
        ]
    ] = Field(default_factory=list)
    """Days on which it is closed."""
    special: dict[DateKey, Spans] = Field(default_factory=dict)
    """Days with other hours than usual; they win over holidays and closures."""

    @model_validator(mode="after")
    def _each_day_once(self) -> Self:
        taken: dict[int, str] = {}
        for key in self.hours:
            for day in parse_days(key):
                if day in taken:
                    raise refuse(
                        f"{DAYS[day]} stands here twice: in `{taken[day]}` and in `{key}`.",
                        "Name each day once.",
                        at=("hours", key),
                    )
                taken[day] = key
        if problem := _overlap_at_midnight({day: self.hours[key] for day, key in taken.items()}):
            raise refuse(problem, "End the first earlier, or begin the second later.", at=("hours",))
        return self


def _overlap_at_midnight(week: dict[int, tuple[Span, ...]]) -> str | None:
    """Which hours past midnight run into those of the next day; ``week`` is by day, Monday being 0."""
    for day, spans in week.items():
        following = week.get((day + 1) % 7, ())
        for span in spans:
            if following and following[0].begin_min < span.end_min - DAY_MIN:
                return (
                    f"{show_span(span)} of {DAYS[day]} runs into {show_span(following[0])} "
                    f"of {DAYS[(day + 1) % 7]}."
                )
    return None
