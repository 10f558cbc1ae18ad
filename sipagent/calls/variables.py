"""What templates of a configuration can name, and what the names stand for in one call. Pure.

========================== ==========================================================================
``caller``, ``dialled``    the numbers, ``+15550100123`` where known in that form
``now``                    ``Friday 20 November 2026, 14:05``, on the business's clock
``today`` ``weekday``      ``Friday 20 November 2026``, ``Friday``
``time``                   ``14:05``
``business.name``          also ``.timezone`` and ``.language``, as far as they are configured
``calendar.NAME.open``     ``open`` or ``closed``
``calendar.NAME.until``    how long that holds: ``18:00`` today, ``Monday 23 November 2026, 08:00`` else
``calendar.NAME.reason``   why, where there is a reason: ``New Year's Day``
``sip.HEADER``             the first SIP header of that name
``LOOKUP.FIELD``           what was fetched before the answer
``street``                 a value of the operator's own
========================== ==========================================================================

Dates are worded the same whatever language the agent speaks: it is the model that says them.

Strangers choose some of these values: whoever calls writes the SIP headers, and the records behind a lookup
may hold what somebody once said on the telephone. `write_for_prompt` therefore puts such a value into
instructions as a JSON string, in quotation marks that it cannot end by itself; words that are spoken as they
stand, such as greetings, get it plain.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Protocol

from sipagent.calls.template import Template, canonical_name, clean

UNKNOWN = "unknown"
"""Written into instructions where a value is missing and the text has no words for that."""

FIXED_NAMES = frozenset({"caller", "dialled", "now", "today", "weekday", "time"})
RESERVED = FIXED_NAMES | {"business", "calendar", "sip"}
"""Neither an own variable nor a lookup may have one of these names."""

_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
_E164 = re.compile(r"\+[1-9][0-9]{1,14}")
_SIP = "sip."
_OPEN, _UNTIL, _REASON = "open", "until", "reason"


@dataclass(frozen=True, slots=True, kw_only=True)
class Business:
    """Whose telephone it is."""

    name: str | None = None
    timezone: tzinfo = UTC
    language: str | None = None
    """As a language tag, such as ``en``."""


class Opening(Protocol):
    """What is needed of a calendar's answer for one moment."""

    @property
    def open(self) -> bool:
        """Whether the business is open."""

    @property
    def until(self) -> datetime | None:
        """When that changes, in the calendar's zone; None when it does not for a long time."""

    @property
    def reason(self) -> str:
        """Why it is so, where that is not the weekly hours; else empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFacts:
    """What is known of one call when it is answered."""

    caller: str | None
    dialled: str | None
    sip_headers: tuple[tuple[str, str], ...]
    now: datetime
    """An aware moment, in any zone."""
    business: Business = field(default_factory=Business)
    calendars: Mapping[str, Opening] = field(default_factory=dict)
    own: Mapping[str, str] = field(default_factory=dict)
    looked_up: Mapping[str, str] = field(default_factory=dict)
    """By dotted name: ``customer.name``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableSource:
    """What a configuration offers to its templates."""

    business: Business = field(default_factory=Business)
    calendars: frozenset[str] = frozenset()
    own: Mapping[str, str] = field(default_factory=dict)
    looked_up: Mapping[str, str] = field(default_factory=dict)
    """The default of each value that is fetched, by its dotted name."""

    def known_names(self) -> frozenset[str]:
        """Every name there is, but those of SIP headers: ``sip.`` and any name is known too."""
        business = {f"business.{name}" for name, _ in _of_business(self.business)}
        calendars = {
            f"calendar.{name}.{what}" for name in self.calendars for what in (_OPEN, _UNTIL, _REASON)
        }
        return FIXED_NAMES | business | calendars | self.own.keys() | self.looked_up.keys()

    def knows(self, name: str) -> bool:
        """Whether ``name`` stands for something."""
        return canonical_name(name).startswith(_SIP) or name in self.known_names()

    def may_be_empty(self, name: str) -> bool:
        """Whether a call can come in which ``name``, which is known, has no value."""
        if name in self.looked_up:
            return not clean(self.looked_up[name])
        if name in self.own:
            return not self.own[name].strip()
        first, _, last = name.partition(".")
        if first == "calendar":
            return not name.endswith(f".{_OPEN}")
        return first in ("caller", "dialled") or f"{first}." == _SIP and bool(last)


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateProblem:
    """What is wrong with one placeholder. ``offset`` counts the text's characters from 0."""

    offset: int
    message: str
    remedy: str


def name_problem(name: str) -> str | None:
    """Why ``name`` cannot be that of an own variable, of a lookup or of a value that is taken from one; None
    when it can."""
    if _NAME.fullmatch(name) is None:
        return f"`{name[:40]}` is no name of a variable: use letters, digits, dashes and underscores."
    if name in RESERVED:
        return f"`{name}` is the name of a variable that there is in every configuration."
    return None


def values_of(facts: CallFacts) -> dict[str, str]:
    """What each name stands for in a call; names without a value are left out.

    Whatever is not the operator's own text is cleaned. SIP headers are named in lower case; of a header that
    repeats, the first counts.
    """
    now = facts.now.astimezone(facts.business.timezone)
    values = {
        "now": f"{_day(now)}, {_time(now)}",
        "today": _day(now),
        "weekday": _WEEKDAYS[now.weekday()],
        "time": _time(now),
    }
    given: list[tuple[str, str | None]] = [("caller", facts.caller), ("dialled", facts.dialled)]
    given += ((f"business.{name}", value) for name, value in _of_business(facts.business))
    for name, opening in facts.calendars.items():
        values[f"calendar.{name}.{_OPEN}"] = "open" if opening.open else "closed"
        if opening.until is not None:
            values[f"calendar.{name}.{_UNTIL}"] = _until(opening.until, facts.now)
        given.append((f"calendar.{name}.{_REASON}", opening.reason))
    given += facts.looked_up.items()
    # From the last to the first, so that the first of a repeated header stays.
    given += ((f"{_SIP}{name.lower()}", value) for name, value in reversed(facts.sip_headers))
    for name, raw in given:
        if raw and (value := clean(raw)):
            values[name] = value
    # The operator's own words stay as they were written, of any length and over several lines.
    values.update((name, text) for name, text in facts.own.items() if text.strip())
    return values


def write_for_prompt(name: str, value: str) -> str:
    """``value`` as it stands in instructions: as a JSON string where a stranger may have chosen it."""
    if _is_trusted(name) or (name in ("caller", "dialled") and _E164.fullmatch(value)):
        return value
    return json.dumps(value, ensure_ascii=False)


def check_template(template: Template, source: VariableSource, *, spoken: bool) -> list[TemplateProblem]:
    """What of ``template`` cannot be rendered in every call that may come, in the order of the text.

    ``spoken``: the text is said or used as it stands, so that each name needs a value or words in its place.
    In instructions `UNKNOWN` stands where a value is missing.
    """
    problems: list[TemplateProblem] = []
    for placeholder in template.placeholders:
        if not source.knows(placeholder.name):
            problems.append(
                TemplateProblem(
                    offset=placeholder.offset,
                    message=f"There is no variable `{placeholder.written}`.",
                    remedy=_instead(placeholder.name, source.known_names()),
                )
            )
        elif spoken and placeholder.default is None and source.may_be_empty(placeholder.name):
            problems.append(
                TemplateProblem(
                    offset=placeholder.offset,
                    message=f"`{placeholder.written}` may be missing in a call, which would leave a gap.",
                    remedy=f"Write words for that case: {{{{{placeholder.written} | …}}}}.",
                )
            )
    return problems


def _instead(name: str, known: Iterable[str]) -> str:
    ordered = sorted(known)
    if close := difflib.get_close_matches(name, ordered, n=1):
        return f"Did you mean `{close[0]}`?"
    return f"There are: {', '.join(ordered)}, and sip.NAME for a SIP header."


def _is_trusted(name: str) -> bool:
    """Whether the value comes from the operator, a calendar or a clock, and from nobody else."""
    first, dot, _ = name.partition(".")
    if not dot:
        return name not in ("caller", "dialled")
    return first in ("business", "calendar")


def _of_business(business: Business) -> Iterable[tuple[str, str]]:
    if business.name is not None:
        yield "name", business.name
    yield "timezone", str(business.timezone)
    if business.language is not None:
        yield "language", business.language


def _day(moment: datetime) -> str:
    return f"{_WEEKDAYS[moment.weekday()]} {moment.day} {_MONTHS[moment.month - 1]} {moment.year}"


def _time(moment: datetime) -> str:
    return f"{moment.hour:02}:{moment.minute:02}"


def _until(until: datetime, now: datetime) -> str:
    """The time alone where it is the same day there, else the day with it."""
    if now.astimezone(until.tzinfo).date() == until.date():
        return _time(until)
    return f"{_day(until)}, {_time(until)}"
