"""Calendars at their edges: days, nights, holidays, and the days on which the clocks change."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.calls.calendar import Calendar, Closure, HolidayRules, Span

BERLIN = ZoneInfo("Europe/Berlin")
NOBODY: tuple[Span, ...] = ()


def span(begin: int, end: int) -> Span:
    return Span(begin_min=begin * 60, end_min=end * 60)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN)


WORKDAY = (span(8, 12), span(13, 18))
OFFICE = Calendar(
    zone=BERLIN,
    week=(WORKDAY,) * 5 + (NOBODY, (span(22, 26),)),
    holidays=HolidayRules(country="DE", region="BE", half_days={(12, 24): (span(8, 12),)}),
    closures=(
        Closure(first=date(2026, 8, 3), last=date(2026, 8, 14), reason="Summer break"),
        Closure(yearly=(12, 27), reason="Inventory"),
    ),
    special={date(2026, 10, 3): (span(10, 14),), date(2026, 8, 4): (span(9, 10),)},
)


@pytest.mark.parametrize(
    ("moment", "is_open", "until", "kind", "reason"),
    [
        ("2026-11-20 07:59", False, "2026-11-20 08:00", "closed", ""),
        ("2026-11-20 08:00", True, "2026-11-20 12:00", "hours", ""),
        ("2026-11-20 12:00", False, "2026-11-20 13:00", "closed", ""),
        ("2026-11-20 18:00", False, "2026-11-22 22:00", "closed", ""),
        ("2026-11-22 23:30", True, "2026-11-23 02:00", "hours", ""),
        ("2026-11-23 01:59", True, "2026-11-23 02:00", "hours", ""),
        ("2026-11-23 02:00", False, "2026-11-23 08:00", "closed", ""),
        ("2026-12-24 09:00", True, "2026-12-24 12:00", "half_day", ""),
        ("2026-12-24 12:00", False, "2026-12-28 08:00", "half_day", ""),
        ("2026-12-25 10:00", False, "2026-12-28 08:00", "holiday", "Christmas Day"),
        ("2026-12-27 23:00", False, "2026-12-28 08:00", "closure", "Inventory"),
        ("2026-10-03 11:00", True, "2026-10-03 14:00", "special", ""),
        ("2026-08-03 10:00", False, "2026-08-04 09:00", "closure", "Summer break"),
        ("2026-08-04 09:30", True, "2026-08-04 10:00", "special", ""),
        ("2026-08-05 10:00", False, "2026-08-16 22:00", "closure", "Summer break"),
    ],
)
def test_what_a_business_with_everything_says(
    moment: str, is_open: bool, until: str, kind: str, reason: str
) -> None:
    opening = OFFICE.opening(at(moment))
    assert (opening.open, opening.until, opening.kind, opening.reason) == (is_open, at(until), kind, reason)


def test_a_region_has_holidays_of_its_own() -> None:
    women = at("2027-03-08 10:00")  # a holiday in Berlin, a Monday elsewhere
    elsewhere = Calendar(zone=BERLIN, week=OFFICE.week, holidays=HolidayRules(country="DE", region="HE"))
    assert OFFICE.opening(women).kind == "holiday"
    assert elsewhere.opening(women).open


def test_always_open_and_never_open_do_not_change() -> None:
    always = Calendar(zone=BERLIN, week=((span(0, 24),),) * 7)
    assert always.opening(at("2026-11-20 03:00")).open
    assert always.opening(at("2026-11-20 03:00")).until is None
    never = Calendar(zone=BERLIN).opening(at("2026-11-20 03:00"))
    assert (never.open, never.until) == (False, None)


def test_the_same_moment_is_the_same_wherever_it_is_told() -> None:
    there = datetime(2026, 11, 20, 11, 59, tzinfo=UTC)
    assert OFFICE.opening(there).kind == "closed"
    assert OFFICE.opening(there).until == at("2026-11-20 13:00")


NIGHTLY = Calendar(zone=BERLIN, week=((Span(begin_min=90, end_min=150),),) * 7)
"""Half past one to half past two: on two nights of the year, that is no hour."""


def test_a_span_that_ends_in_the_hour_that_does_not_exist_ends_behind_it() -> None:
    spring = datetime(2026, 3, 29, 0, 45, tzinfo=UTC)  # 01:45, a quarter before the clocks go forward
    opening = NIGHTLY.opening(spring)
    assert opening.open
    assert opening.until == datetime(2026, 3, 29, 0, 30, tzinfo=UTC) + timedelta(minutes=60)


def test_the_hour_that_comes_twice_is_open_twice() -> None:
    for utc_hour in (0, 1):  # 02:15 summer time, and an hour later 02:15 winter time
        assert NIGHTLY.opening(datetime(2026, 10, 25, utc_hour, 15, tzinfo=UTC)).open
    assert not NIGHTLY.opening(datetime(2026, 10, 25, 1, 45, tzinfo=UTC)).open


MOMENTS = st.integers(0, 2 * 365 * 24 * 60).map(
    lambda minutes: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
)
WEEKS = st.lists(
    st.lists(st.integers(0, 47), min_size=0, max_size=4, unique=True).map(sorted), min_size=7, max_size=7
)


@given(moment=MOMENTS, week=WEEKS, share=st.floats(0, 1, exclude_max=True))
def test_it_stays_as_it_is_until_it_says_so_and_is_otherwise_then(
    moment: datetime, week: list[list[int]], share: float
) -> None:
    spans = tuple(
        tuple(Span(begin_min=a * 30, end_min=b * 30) for a, b in zip(day[::2], day[1::2], strict=False))
        for day in week
    )
    calendar = Calendar(zone=BERLIN, week=spans, holidays=HolidayRules(country="DE"))
    opening = calendar.opening(moment)
    if opening.until is None:
        assert all(not day for day in spans) or opening.open
        return
    assert opening.until > moment
    between = moment + (opening.until - moment) * share
    assert calendar.opening(between).open is opening.open
    assert calendar.opening(opening.until).open is not opening.open
    assert moment < calendar.valid_until(moment, opening) <= opening.until
