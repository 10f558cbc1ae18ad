"""Calendars at their edges: days, nights, holidays, and the days on which the clocks change."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.calls.calendar import Calendar, Closure, HolidayRules, Span
from sipagent.errors import UserError

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


def test_a_span_that_ends_in_the_hour_that_does_not_come_ends_when_the_clocks_change() -> None:
    spring = datetime(2026, 3, 29, 0, 45, tzinfo=UTC)  # 01:45, a quarter before the clocks go forward
    opening = NIGHTLY.opening(spring)
    assert opening.open
    assert opening.until == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)


def test_the_hour_that_comes_twice_is_open_twice() -> None:
    for utc_hour in (0, 1):  # 02:15 summer time, and an hour later 02:15 winter time
        assert NIGHTLY.opening(datetime(2026, 10, 25, utc_hour, 15, tzinfo=UTC)).open
    assert not NIGHTLY.opening(datetime(2026, 10, 25, 1, 45, tzinfo=UTC)).open


def test_a_span_inside_of_the_hour_that_does_not_come_is_no_span() -> None:
    within = Calendar(zone=BERLIN, week=((Span(begin_min=130, end_min=170),),) * 7)
    before = within.opening(datetime(2026, 3, 29, 0, 59, tzinfo=UTC))
    assert (before.open, before.until) == (False, at("2026-03-30 02:10"))
    assert not within.opening(datetime(2026, 3, 29, 1, 0, tzinfo=UTC)).open


def test_two_spans_that_the_clocks_join_are_one() -> None:
    night = Calendar(
        zone=BERLIN, week=((Span(begin_min=60, end_min=120), Span(begin_min=180, end_min=240)),) * 7
    )
    opening = night.opening(datetime(2026, 3, 29, 0, 30, tzinfo=UTC))
    assert opening.until == datetime(2026, 3, 29, 2, 0, tzinfo=UTC)


def test_what_is_open_past_midnight_stays_open_into_a_holiday() -> None:
    bar = Calendar(zone=BERLIN, week=((span(20, 27),),) * 7, holidays=HolidayRules(country="DE"))
    late = bar.opening(at("2027-01-01 02:00"))
    assert (late.open, late.kind, late.until) == (True, "hours", at("2027-01-01 03:00"))
    after = bar.opening(at("2027-01-01 03:00"))
    assert (after.open, after.kind, after.reason) == (False, "holiday", "New Year's Day")
    assert after.until == at("2027-01-02 20:00")


def test_the_longer_of_two_spans_that_overlap_decides() -> None:
    calendar = Calendar(
        zone=BERLIN, week=((span(22, 34),),) + ((),) * 6, special={date(2026, 11, 24): (span(8, 9),)}
    )
    opening = calendar.opening(at("2026-11-24 08:30"))
    assert (opening.until, opening.kind) == (at("2026-11-24 10:00"), "hours")


def test_a_half_day_opens_no_day_that_is_closed_anyway() -> None:
    weekdays = replace(OFFICE, week=(WORKDAY,) * 5 + (NOBODY,) * 2)
    sunday = weekdays.opening(at("2028-12-24 09:00"))
    assert (sunday.open, sunday.kind, sunday.until) == (False, "closed", at("2028-12-28 08:00"))
    eve = Calendar(
        zone=BERLIN,
        week=((span(8, 18),),) * 7,
        holidays=HolidayRules(country="DE", half_days={(12, 31): (), (12, 26): (span(10, 12),)}),
    )
    assert (eve.opening(at("2026-12-31 10:00")).open, eve.opening(at("2026-12-31 10:00")).kind) == (
        False,
        "half_day",
    )
    boxing = eve.opening(at("2026-12-26 10:30"))
    assert (boxing.open, boxing.kind, boxing.reason) == (True, "half_day", "Second Day of Christmas")


def test_holidays_have_names_in_the_language_that_is_asked_for() -> None:
    def name(language: str, country: str = "DE") -> str:
        rules = HolidayRules(country=country, language=language)
        return Calendar(zone=UTC, holidays=rules).opening(datetime(2027, 1, 1, 12, tzinfo=UTC)).reason

    assert name("en") == name("a language that nobody speaks") == "New Year's Day"
    assert name("de") == "Neujahr"


def test_a_country_that_nobody_knows_is_said_to_be_unknown() -> None:
    calendar = Calendar(zone=UTC, holidays=HolidayRules(country="DE", region="Atlantis"))
    with pytest.raises(UserError, match="DE are not known.*Atlantis"):
        calendar.opening(datetime(2027, 1, 1, 12, tzinfo=UTC))


def test_holidays_of_many_years_are_not_kept() -> None:
    rules = HolidayRules(country="DE")
    for year in (*range(2020, 2060), 2020):
        assert rules.on(date(year, 12, 25)) == "Christmas Day"
    assert len(rules._years) <= 4


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
    between = min(moment + (opening.until - moment) * share, opening.until - timedelta.resolution)
    assert calendar.opening(between).open is opening.open
    assert calendar.opening(opening.until).open is not opening.open


CHANGES = st.sampled_from(
    [
        ("Europe/Berlin", datetime(2026, 3, 29, 1, tzinfo=UTC)),
        ("Europe/Berlin", datetime(2026, 10, 25, 1, tzinfo=UTC)),
        ("Australia/Lord_Howe", datetime(2026, 4, 4, 15, tzinfo=UTC)),  # by half an hour
        ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
        ("America/Havana", datetime(2026, 3, 8, 5, tzinfo=UTC)),  # at midnight
        ("America/Havana", datetime(2026, 11, 1, 5, tzinfo=UTC)),
        ("Pacific/Apia", datetime(2011, 12, 30, 10, tzinfo=UTC)),  # a day that never was
        ("Asia/Kathmandu", datetime(2026, 6, 1, 1, tzinfo=UTC)),
    ]
)
NIGHTS = st.lists(
    st.tuples(st.integers(0, 95), st.integers(1, 60)).map(
        lambda span: Span(begin_min=span[0] * 15, end_min=(span[0] + span[1]) * 15)
    ),
    min_size=1,
    max_size=2,
).map(lambda spans: sorted(spans, key=lambda span: span.begin_min))


def shown_open(spans: list[Span], zone: ZoneInfo, moment: datetime) -> bool:
    """Whether a clock on the wall showed the begin of a span by ``moment``, and shows its end later.

    Knows nothing of folds and gaps: it looks at the clock every quarter of an hour of five days.
    """
    quarter = timedelta(minutes=15)
    clock = [(moment + n * quarter).astimezone(zone).replace(tzinfo=None) for n in range(-288, 289)]
    begun, to_come = max(clock[:289]), min(clock[288:])
    for offset in range(-3, 2):
        midnight = datetime.combine(clock[288].date() + timedelta(days=offset), datetime.min.time())
        for span in spans:
            begin = midnight + timedelta(minutes=span.begin_min)
            if begin <= begun and to_come < midnight + timedelta(minutes=span.end_min):
                return True
    return False


@given(change=CHANGES, quarters=st.integers(-200, 200), spans=NIGHTS)
def test_on_days_on_which_clocks_change_the_clock_on_the_wall_decides(
    change: tuple[str, datetime], quarters: int, spans: list[Span]
) -> None:
    zone = ZoneInfo(change[0])
    moment = change[1] + quarters * timedelta(minutes=15)
    opening = Calendar(zone=zone, week=(tuple(spans),) * 7).opening(moment)
    assert opening.open is shown_open(spans, zone, moment)
    if opening.until is not None:
        until = opening.until.astimezone(UTC)
        assert until > moment
        assert shown_open(spans, zone, until) is not opening.open


@given(moment=MOMENTS, later_min=st.integers(-48 * 60, 48 * 60))
def test_an_answer_is_given_again_only_while_it_is_the_answer(moment: datetime, later_min: int) -> None:
    OFFICE.opening(moment)
    later = moment + timedelta(minutes=later_min)
    assert OFFICE.opening(later) == replace(OFFICE).opening(later)
