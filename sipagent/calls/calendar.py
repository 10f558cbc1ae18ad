"""When a business is open: weekly hours, public holidays, half-days, closures and special days. Pure.

A day's hours come from the first that says something of it: special days, closures, half-days, public
holidays, the week. Hours are wall-clock times of the calendar's zone: on the day on which the clocks change,
a span that begins in the hour that does not exist begins behind it, and the hour that comes twice is open
twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import Literal

DAY_MIN = 24 * 60
_SEARCHED_DAYS = 370
_REMEMBERED_YEARS = 64

OpeningKind = Literal["hours", "closed", "holiday", "half_day", "closure", "special"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """From one time of a day to another, in minutes after its midnight; the end may lie on the next day."""

    begin_min: int
    end_min: int
    """Larger than ``begin_min``; above 1440 on the next day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Closure:
    """Days on which it is closed: from ``first`` to ``last``, both included, or one day of every year."""

    first: date | None = None
    last: date | None = None
    yearly: tuple[int, int] | None = None
    """Month and day."""
    reason: str = ""

    def covers(self, day: date) -> bool:
        """Whether ``day`` is one of its days."""
        if self.yearly is not None:
            return (day.month, day.day) == self.yearly
        assert self.first is not None
        return self.first <= day <= (self.last or self.first)


@dataclass(frozen=True, slots=True, kw_only=True)
class HolidayRules:
    """Which days are public holidays, by `holidays`, the field's library."""

    country: str
    """ISO 3166 letters."""
    region: str | None = None
    half_days: Mapping[tuple[int, int], tuple[Span, ...]] = field(default_factory=dict)
    """Hours of days of every year, by month and day; they win over the holiday itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """Whether it is open at one moment."""

    open: bool
    until: datetime | None
    """When that changes, in the calendar's zone; None when it does not within a year."""
    kind: OpeningKind
    """What decides it."""
    reason: str
    """What people call it: the holiday's name, the closure's reason; empty for ordinary hours."""


@dataclass(frozen=True, slots=True)
class _Day:
    spans: tuple[Span, ...]
    kind: OpeningKind
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Calendar:
    """One calendar of the configuration."""

    zone: tzinfo
    week: tuple[tuple[Span, ...], ...] = ((),) * 7
    """The hours of each day, Monday first; spans of one day do not overlap."""
    holidays: HolidayRules | None = None
    closures: tuple[Closure, ...] = ()
    special: Mapping[date, tuple[Span, ...]] = field(default_factory=dict)
    """Days with other hours than usual."""

    def opening(self, now: datetime) -> Opening:
        """Whether it is open at ``now`` (aware), until when, and why."""
        today = now.astimezone(self.zone).date()
        is_open, kind, reason = False, *self._closed_because(today)
        until: datetime | None = None
        for begin, end, day in self._spans_from(today):
            if end <= now:
                continue
            if until is None and begin > now:
                until = begin  # closed, and this is when it opens
                break
            if begin <= now:
                is_open, kind, reason, until = True, day.kind, day.reason, end
            elif until is not None and begin <= until:
                until = max(until, end)  # one span runs into the next, past midnight
            else:
                break
            if (until - now).days >= _SEARCHED_DAYS:
                until = None
                break
        local = None if until is None else until.astimezone(self.zone)
        return Opening(open=is_open, until=local, kind=kind, reason=reason)

    def valid_until(self, now: datetime, opening: Opening) -> datetime:
        """Until when ``opening``, which is of ``now``, need not be asked again: its kind may change at
        midnight, while it stays closed."""
        tomorrow = now.astimezone(self.zone).date() + timedelta(days=1)
        midnight = self._moment(tomorrow, 0)
        return midnight if opening.until is None else min(midnight, opening.until)

    def _closed_because(self, today: date) -> tuple[OpeningKind, str]:
        day = self._day(today)
        return ("closed", "") if day.kind == "hours" else (day.kind, day.reason)

    def _spans_from(self, today: date) -> Iterator[tuple[datetime, datetime, _Day]]:
        """The spans of yesterday, which may reach into today, of today, and of the days to come."""
        for offset in range(-1, _SEARCHED_DAYS + 2):
            date_of_day = today + timedelta(days=offset)
            day = self._day(date_of_day)
            for span in day.spans:
                begin = self._moment(date_of_day, span.begin_min)
                end = self._moment(date_of_day, span.end_min, ends=True)
                if begin < end:
                    yield begin, end, day

    def _moment(self, day: date, minutes: int, *, ends: bool = False) -> datetime:
        days, rest = divmod(minutes, DAY_MIN)
        local = datetime.combine(day + timedelta(days=days), time(rest // 60, rest % 60), self.zone)
        first, second = (local.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
        # Of an hour that comes twice, a span begins in the first and ends in the second; in one that does not
        # come at all, either lies behind it.
        return max(first, second) if ends else first

    def _day(self, day: date) -> _Day:
        if (special := self.special.get(day)) is not None:
            return _Day(special, "special")
        for closure in self.closures:
            if closure.covers(day):
                return _Day((), "closure", closure.reason)
        if self.holidays is not None:
            half = self.holidays.half_days.get((day.month, day.day))
            name = _holidays(self.holidays.country, self.holidays.region, day.year).get(day)
            if half is not None:
                return _Day(half, "half_day", name or "")
            if name is not None:
                return _Day((), "holiday", name)
        return _Day(self.week[day.weekday()], "hours")


@lru_cache(maxsize=_REMEMBERED_YEARS)
def _holidays(country: str, region: str | None, year: int) -> Mapping[date, str]:
    # Imported late: it takes a while, and a configuration without public holidays needs none of it.
    import holidays

    return dict(holidays.country_holidays(country, subdiv=region, years=year).items())
