"""When a business is open: weekly hours, public holidays, half-days, closures and special days. Pure.

A day's hours come from the first that says something of it: special days, closures, half-days, public
holidays, the week. A span belongs to the day on which it begins: what is open past midnight stays open into a
holiday. Half-days shorten days on which the week has hours; they open no Sunday.

Hours are wall-clock times of the calendar's zone. Of an hour that comes twice, a span begins in the first and
ends in the second, so that nothing closes too early; in an hour that does not come, either is the moment at
which the clocks change, and a span inside of it is no span.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Literal

from sipagent.errors import UserError

DAY_MIN = 24 * 60
_SEARCHED_DAYS = 370
_REMEMBERED_YEARS = 4
_SECOND = timedelta(seconds=1)

OpeningKind = Literal["hours", "closed", "holiday", "half_day", "closure", "special"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """From one time of a day to another, in minutes after its midnight; the end may lie on the next day."""

    begin_min: int
    """At most 1439."""
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
        assert self.first is not None, "a closure has a day"
        return self.first <= day <= (self.last or self.first)


@dataclass(frozen=True, slots=True, kw_only=True)
class HolidayRules:
    """Which days are public holidays, by `holidays`, the field's library.

    Making one loads the library, which takes a quarter of a second once in a process: better now than while
    somebody's telephone rings.
    """

    country: str
    """ISO 3166 letters."""
    region: str | None = None
    half_days: Mapping[tuple[int, int], tuple[Span, ...]] = field(default_factory=dict)
    """Hours of days of every year, by month and day; they win over the holiday itself."""
    language: str = "en"
    """Of the names of holidays, if the library has it; English, or the country's own, otherwise."""
    _years: dict[int, Mapping[date, str]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        with suppress(UserError):  # `on` says it to whoever asks
            self._names_of(2026)  # any year: what takes time is the first

    def on(self, day: date) -> str | None:
        """The name of the holiday on ``day``, or None. Raises `UserError` for a country or region that the
        library does not know."""
        names = self._years.get(day.year)
        if names is None:
            names = self._names_of(day.year)
            while len(self._years) >= _REMEMBERED_YEARS:
                del self._years[next(iter(self._years))]
            self._years[day.year] = names
        return names.get(day)

    def _names_of(self, year: int) -> Mapping[date, str]:
        # Imported late: a configuration without public holidays needs none of it.
        import holidays

        try:
            spoken = holidays.country_holidays(self.country, subdiv=self.region).supported_languages
            # Without a language, the one of the machine would decide.
            language = next(
                (
                    each
                    for wanted in (self.language, "en_US", "en")
                    for each in spoken
                    if each == wanted or each.split("_")[0] == wanted
                ),
                None,
            )
            found = holidays.country_holidays(self.country, subdiv=self.region, years=year, language=language)
        except NotImplementedError as error:
            raise UserError(f"The public holidays of {self.country} are not known: {error}.") from error
        return dict(found.items())


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


@dataclass(frozen=True, slots=True)
class _Found:
    """An opening, and the time during which it is the answer."""

    since: datetime
    before: datetime
    opening: Opening


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Calendar:
    """One calendar of the configuration."""

    zone: tzinfo
    week: tuple[tuple[Span, ...], ...] = ((),) * 7
    """The hours of each day, Monday first; the spans of a day in the order of their begin."""
    holidays: HolidayRules | None = None
    closures: tuple[Closure, ...] = ()
    special: Mapping[date, tuple[Span, ...]] = field(default_factory=dict)
    """Days with other hours than usual."""
    _last: list[_Found] = field(default_factory=list, init=False, repr=False)
    """The last answer: nearly every call asks for it again."""

    def opening(self, now: datetime) -> Opening:
        """Whether it is open at ``now`` (aware), until when, and why."""
        return self._found(now).opening

    # Inside ----------------------------------------------------------------------------------------

    def _found(self, now: datetime) -> _Found:
        for last in self._last:
            if last.since <= now < last.before:
                return last
        found = self._find(now.astimezone(UTC))
        self._last[:] = [found]
        return found

    def _find(self, now: datetime) -> _Found:
        today = now.astimezone(self.zone).date()
        day = self._day(today)
        is_open, kind, reason = False, day.kind, day.reason
        if kind == "hours":
            kind = "closed"
        before = self._moment(_minutes(today) + DAY_MIN)
        until: datetime | None = None
        end_min = -1
        for begins, ends, day in self._spans_around(today):
            if begins <= end_min:  # runs into the span that is open, whatever the clocks do
                if ends > end_min:
                    end_min, until = ends, None
                continue
            begin, end = self._moment(begins), self._moment(ends, ends=True)
            if end <= now or begin >= end:
                continue
            if begin <= now:
                is_open, kind, reason = True, day.kind, day.reason
                before, end_min, until = min(before, end), max(end_min, ends), None
                continue
            before = min(before, begin)
            if not is_open:
                until = begin
                break
            until = self._moment(end_min, ends=True)
            if begin > until:
                break
            end_min, until = max(end_min, ends), None
        if is_open and until is None and end_min < _minutes(today) + _SEARCHED_DAYS * DAY_MIN:
            until = self._moment(end_min, ends=True)
        local = None if until is None else until.astimezone(self.zone)
        return _Found(now, before, Opening(open=is_open, until=local, kind=kind, reason=reason))

    def _spans_around(self, today: date) -> Iterator[tuple[int, int, _Day]]:
        """The spans of yesterday, which may reach into today, of today, and of a year to come: where they
        begin and end in minutes of `_minutes`, in order of their begin."""
        for offset in range(-1, _SEARCHED_DAYS + 1):
            date_of_day = today + timedelta(days=offset)
            day, midnight = self._day(date_of_day), _minutes(date_of_day)
            for span in day.spans:
                yield midnight + span.begin_min, midnight + span.end_min, day

    def _moment(self, minutes: int, *, ends: bool = False) -> datetime:
        """When the clock on the wall shows ``minutes``, in UTC."""
        days, rest = divmod(minutes, DAY_MIN)
        shown = datetime.combine(date.fromordinal(days + 1), time(rest // 60, rest % 60), UTC)
        here = shown.replace(tzinfo=self.zone)
        first, second = here.utcoffset(), here.replace(fold=1).utcoffset()
        assert first is not None, "a zone has an offset"
        assert second is not None, "a zone has an offset"
        if first >= second:  # the same, or an hour that comes twice
            return shown - (second if ends else first)
        # The clock jumps over it. The jump lies between these two, and takes at most a few steps to find.
        low, high = shown - second, shown - first
        while high - low > _SECOND:
            middle = low + (high - low) / 2
            if middle.astimezone(self.zone).utcoffset() == first:
                low = middle
            else:
                high = middle
        return high.replace(microsecond=0)

    def _day(self, day: date) -> _Day:
        if (special := self.special.get(day)) is not None:
            return _Day(special, "special")
        for closure in self.closures:
            if closure.covers(day):
                return _Day((), "closure", closure.reason)
        usual = self.week[day.weekday()]
        if self.holidays is not None:
            half = self.holidays.half_days.get((day.month, day.day))
            name = self.holidays.on(day)
            if half is not None and (usual or not half):
                return _Day(half, "half_day", name or "")
            if name is not None:
                return _Day((), "holiday", name)
        return _Day(usual, "hours")


def _minutes(day: date) -> int:
    """Midnight of ``day`` on a clock that nobody changes, counted from that of the first day there is."""
    return (day.toordinal() - 1) * DAY_MIN
