"""Turns the calendars of the file into those that are asked whether somebody is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date
from typing import Any

from sipagent.calls.calendar import Calendar, Closure, HolidayRules, Span
from sipagent.config.compiling import Compiling
from sipagent.config.schema import CalendarEntry, Holidays
from sipagent.config.schema import Closure as ClosureEntry
from sipagent.config.source import KeyPath
from sipagent.config.times import parse_day_of_year, parse_days
from sipagent.config.values import closest, suggestion


def compile_calendars(compiling: Compiling) -> dict[str, Calendar]:
    """Each calendar by its name; reports those that have no zone, and holidays that nobody knows."""
    return {
        name: _calendar(compiling, ("calendars", name), entry)
        for name, entry in compiling.configuration.calendars.items()
    }


def _calendar(compiling: Compiling, path: KeyPath, entry: CalendarEntry) -> Calendar:
    zone = entry.timezone or compiling.configuration.business.timezone
    if zone is None:
        compiling.report(
            path,
            f"The calendar `{path[-1]}` has no time zone.",
            "Add `timezone: Europe/Berlin`, or whichever it is, here or below `business:`.",
            at_key=True,
            relies_on=[(*path, "timezone"), ("business", "timezone")],
        )
    if not entry.hours and not entry.special:
        compiling.report(
            path,
            f"The calendar `{path[-1]}` is never open.",
            'Add `hours: {mon-fri: "08:00-18:00"}`.',
            at_key=True,
            relies_on=[(*path, "hours"), (*path, "special")],
        )
    week: list[tuple[Span, ...]] = [()] * 7
    for key, spans in entry.hours.items():
        for day in parse_days(key):
            week[day] = spans
    for index, closure in enumerate(entry.closures):
        _check_special(compiling, (*path, "closures", index), closure, entry)
    return Calendar(
        zone=zone or UTC,
        week=tuple(week),
        holidays=None
        if entry.holidays is None
        else _holidays(compiling, (*path, "holidays"), entry.holidays),
        closures=tuple(_closure(closure) for closure in entry.closures),
        special={date.fromisoformat(day): spans for day, spans in entry.special.items()},
    )


def _closure(entry: ClosureEntry) -> Closure:
    reason = entry.reason or ""
    if entry.date is None:
        return Closure(first=entry.first, last=entry.last, reason=reason)
    if len(entry.date) == len("12-24"):
        return Closure(yearly=parse_day_of_year(entry.date), reason=reason)
    return Closure(first=date.fromisoformat(entry.date), reason=reason)


def _check_special(compiling: Compiling, path: KeyPath, closure: ClosureEntry, entry: CalendarEntry) -> None:
    """One day that is closed and has hours at once is a contradiction; within a longer closure it is none."""
    if closure.date is not None and closure.date in entry.special:
        compiling.report(
            path,
            f"{closure.date} is closed here and has hours below `special`.",
            "Keep one of them; hours of `special` would win.",
        )


def _holidays(compiling: Compiling, path: KeyPath, entry: Holidays) -> HolidayRules:
    known = _known_regions()
    if entry.country not in known:
        compiling.report(
            (*path, "country"),
            f"The public holidays of `{entry.country}` are not known.",
            "Remove `holidays:` and write its days below `closures:`.",
        )
    elif entry.region is not None and entry.region not in known[entry.country]:
        compiling.report(
            (*path, "region"),
            f"`{entry.region}` is not the code of a region of {entry.country} with holidays of its own.",
            _region_meant(entry.country, entry.region, known[entry.country]),
        )
    return HolidayRules(
        country=entry.country,
        region=entry.region,
        half_days={parse_day_of_year(day): spans for day, spans in entry.half_days.items()},
        language=compiling.configuration.business.language or "en",
    )


def _region_meant(country: str, region: str, known: Sequence[str]) -> str:
    from holidays import country_holidays

    if not known:
        return "Remove it: its holidays are the same everywhere."
    names = {name.lower(): code for code, each in _names(country_holidays(country)).items() for name in each}
    if close := closest(region, names):
        return f"Write {names[close]}."
    return suggestion(region, known)


def _names(found: Any) -> Mapping[str, list[str]]:
    """By code, what people call a region; empty where the library does not tell."""
    return dict(found.get_subdivision_aliases())


def _known_regions() -> Mapping[str, list[str]]:
    """By country, the regions that have holidays of their own."""
    # Imported late: it takes a while, and a configuration without public holidays needs none of it.
    from holidays import list_supported_countries

    return list_supported_countries()
