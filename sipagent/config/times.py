"""Zones, days and hours as operators write them, and what they probably meant."""

from __future__ import annotations

import re
from datetime import date
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from sipagent.calls.calendar import DAY_MIN, Span
from sipagent.config.values import BadValueError, closest, suggestion

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_LONG_DAYS = dict(
    zip(("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"), DAYS, strict=True)
)
_TIME = re.compile(r"(?P<hours>[0-9]{2}):(?P<minutes>[0-9]{2})")
_LOOSE_TIME = re.compile(
    r"(?P<hours>[0-9]{1,2})(?:[:.h](?P<minutes>[0-9]{2}))?\s*(?P<half>am|pm)?", re.IGNORECASE
)
_DASH = re.compile(r"\s*(?:-|\u2013|\u2014|\bto\b|\buntil\b)\s*")
_DAY_OF_YEAR = re.compile(r"[0-9]{2}-[0-9]{2}")
_OFFSET = re.compile(r"(?:UTC|GMT|Z)?\s*[+-]\s*[0-9]{1,2}(?::?[0-9]{2})?", re.IGNORECASE)
_WITHOUT_SUMMER = {"EST": "America/New_York", "MST": "America/Denver", "HST": "Pacific/Honolulu"}
"""Abbreviations that are zones, and not the ones that are meant: they keep winter time all the year."""
_ABBREVIATIONS = {
    "ET": "America/New_York", "EDT": "America/New_York", "CT": "America/Chicago", "CST": "America/Chicago",
    "CDT": "America/Chicago", "MT": "America/Denver", "MDT": "America/Denver", "PT": "America/Los_Angeles",
    "PST": "America/Los_Angeles", "PDT": "America/Los_Angeles", "BST": "Europe/London",
    "CEST": "Europe/Berlin", "MEZ": "Europe/Berlin", "MESZ": "Europe/Berlin", "IST": "Asia/Kolkata",
    "JST": "Asia/Tokyo",
    "AEST": "Australia/Sydney", "AEDT": "Australia/Sydney",
}  # fmt: skip


def parse_zone(value: object) -> ZoneInfo:
    """A time zone by its IANA name. Raises :class:`BadValueError`."""
    remedy = "Write the zone by a city in it, such as Europe/Berlin or America/New_York."
    if not isinstance(value, str):
        raise BadValueError(f"{value!r} is no time zone.", remedy)
    if (meant := _WITHOUT_SUMMER.get(value)) is not None:
        raise BadValueError(f"`{value}` never changes to summer time.", f"Write {meant}.")
    if (meant := _ABBREVIATIONS.get(value.upper())) is not None:
        raise BadValueError(
            f"`{value}` is an abbreviation, no time zone.", f"Write {meant}, if that is where."
        )
    if _OFFSET.fullmatch(value.strip()):
        raise BadValueError(f"`{value}` is an offset, which knows no summer time.", remedy)
    try:
        zone = ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise BadValueError(f"There is no time zone `{value}`.", _zone_meant(value) or remedy) from error
    if value not in available_timezones():
        # Found all the same where file names have no case; on the next machine it would not be.
        raise BadValueError(f"There is no time zone `{value}`.", _zone_meant(value) or remedy)
    return zone


def parse_days(value: object) -> tuple[int, ...]:
    """The days of ``mon``, ``mon-thu`` or ``mon,wed``, Monday being 0. Raises :class:`BadValueError`."""
    remedy = "Write mon, tue, wed, thu, fri, sat or sun, or several: mon-thu, or sat,sun."
    if not isinstance(value, str):
        raise BadValueError(f"{value!r} is no day.", remedy)
    days: list[int] = []
    for part in value.split(","):
        ends = [_day(end.strip(), value, remedy) for end in part.split("-")]
        if len(ends) > 2:
            raise BadValueError(f"`{value}` has more than two ends.", remedy)
        first, last = ends[0], ends[-1]
        # fri-mon goes round the end of the week.
        days.extend((first + step) % 7 for step in range((last - first) % 7 + 1))
    if len(set(days)) < len(days):
        raise BadValueError(f"`{value}` names a day twice.", "Name each day once.")
    return tuple(days)


def parse_spans(value: object) -> tuple[Span, ...]:
    """Opening hours of one day: ``08:00-18:00``, ``24h``, ``closed`` or a list of spans, in order.

    ``22:00-02:00`` ends on the next day. Raises :class:`BadValueError`.
    """
    if value == "closed" or value == []:
        return ()
    if value == "24h":
        return (Span(begin_min=0, end_min=DAY_MIN),)
    written = value if isinstance(value, list) else [value]
    spans = sorted((_span(each) for each in written), key=lambda span: span.begin_min)
    for earlier, later in zip(spans, spans[1:], strict=False):
        if later.begin_min < earlier.end_min:
            raise BadValueError(
                f"{show_span(earlier)} and {show_span(later)} overlap.",
                f"Write one span, or end the first by {_clock(later.begin_min)}.",
            )
    return tuple(spans)


def parse_date(value: object) -> date:
    """A day as ``2026-12-27``. Raises :class:`BadValueError`."""
    remedy = 'Write year, month and day, in quotes: "2026-12-27".'
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        raise BadValueError(f"{value!r} is no date.", _date_meant(value) or remedy)
    try:
        return date.fromisoformat(value)
    except ValueError as error:
        raise BadValueError(f"There is no {value}.", "Compare it with a calendar.") from error


def parse_day_of_year(value: object) -> tuple[int, int]:
    """Month and day of ``12-24``, which comes every year. Raises :class:`BadValueError`."""
    remedy = 'Write month and day, in quotes: "12-24".'
    if not isinstance(value, str) or not _DAY_OF_YEAR.fullmatch(value):
        raise BadValueError(f"{value!r} is no day of the year.", remedy)
    month, day = int(value[:2]), int(value[3:])
    try:
        date(2024, month, day)
    except ValueError as error:
        swapped = f"{value[3:]}-{value[:2]}"
        if 1 <= day <= 12 and 1 <= month <= 31:
            raise BadValueError(
                f"`{value}` has no month {value[:2]}: the month comes first.", f'Write "{swapped}".'
            ) from error
        raise BadValueError(f"There is no {value}.", remedy) from error
    return month, day


def show_span(span: Span) -> str:
    """``span`` as it is written."""
    end = span.end_min if span.end_min <= DAY_MIN else span.end_min - DAY_MIN
    return f"{_clock(span.begin_min)}-{_clock(end)}"


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _span(value: object) -> Span:
    remedy = 'Write two times with a dash between them, in quotes: "08:00-18:00"; or 24h, or closed.'
    if not isinstance(value, str):
        raise BadValueError(f"{value!r} is no opening hours.", remedy)
    ends = _DASH.split(value.strip())
    if len(ends) == 2:
        strict = [_TIME.fullmatch(end) for end in ends]
        if f"{ends[0]}-{ends[1]}" == value and all(strict):
            begin, end = (_minutes(each) for each in ends)
            if begin is not None and end is not None and begin < DAY_MIN:
                if begin == end:
                    raise BadValueError(f"{value!r} ends when it begins.", "Write 24h for the whole day.")
                return Span(begin_min=begin, end_min=end if end > begin else end + DAY_MIN)
            raise BadValueError(f"{value!r} has a time that no clock shows.", 'A day ends at "24:00".')
        loose = [_loosely(end) for end in ends]
        if all(each is not None for each in loose):
            raise BadValueError(
                f"{value!r} is not written as opening hours are here.", f'Write "{loose[0]}-{loose[1]}".'
            )
    raise BadValueError(f"{value!r} is no opening hours.", remedy)


def _minutes(time: str) -> int | None:
    hours, minutes = int(time[:2]), int(time[3:])
    total = hours * 60 + minutes
    return total if minutes < 60 and total <= DAY_MIN else None


def _loosely(time: str) -> str | None:
    """A time that is written in another way, as it is written here."""
    match = _LOOSE_TIME.fullmatch(time)
    if match is None:
        return None
    hours, minutes, half = int(match["hours"]), int(match["minutes"] or 0), (match["half"] or "").lower()
    if half:
        if not 1 <= hours <= 12:
            return None
        hours = hours % 12 + (12 if half == "pm" else 0)
    return _clock(hours * 60 + minutes) if hours * 60 + minutes <= DAY_MIN and minutes < 60 else None


def _day(word: str, value: str, remedy: str) -> int:
    if word in DAYS:
        return DAYS.index(word)
    lower = word.lower()
    if (short := _LONG_DAYS.get(lower, lower)) in DAYS:
        raise BadValueError(f"`{word}` is not how days are written here.", f"Write {short}.")
    close = closest(word, (*DAYS, *_LONG_DAYS))
    if close is not None:
        raise BadValueError(f"`{word}` is no day.", f"Did you mean `{_LONG_DAYS.get(close, close)}`?")
    raise BadValueError(f"`{value}` is no day." if value else "A day is missing.", remedy)


def _zone_meant(value: str) -> str | None:
    zones = sorted(zone for zone in available_timezones() if "/" in zone)
    city = value.rpartition("/")[2].strip().replace(" ", "_").lower()
    for zone in zones:
        if zone.lower() == value.lower() or zone.rpartition("/")[2].lower() == city:
            return f"Did you mean `{zone}`?"
    said = suggestion(value, zones)
    return said if said.startswith("Did") else None


def _date_meant(value: object) -> str | None:
    """What to write for a day that was written as it is spoken in some country."""
    if not isinstance(value, str):
        return None
    if match := re.fullmatch(r"([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{4})", value.strip()):
        day, month, year = match.groups()
        return f'Write "{year}-{int(month):02}-{int(day):02}".'
    if match := re.fullmatch(r"([0-9]{4})[-/.]([0-9]{1,2})[-/.]([0-9]{1,2})", value.strip()):
        year, month, day = match.groups()
        return f'Write "{year}-{int(month):02}-{int(day):02}".'
    return None
