"""Reports: written once, told to whoever waits, wherever they came in."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest

from sipagent.carrier.base import LINE_ENDED, LegReport, StepResult
from sipagent.carrier.reports import MOST_LEGS, MOST_REPORTS, LegReports, data_of
from sipagent.errors import StoreError
from tests.carrier.legs import LEG, NOW_S, token

AT = datetime.fromtimestamp(NOW_S, UTC)
RINGING = LegReport(
    carrier="twilio", carrier_call_id="CA1", parent_call_id=None, kind="ringing", at=AT, event_id="e1"
)
ANSWERED = replace(RINGING, kind="answered", event_id="e2", sip_status=200, duration_s=1.5, detail={"a": "b"})
OFFERED = replace(RINGING, carrier_call_id="CA2", parent_call_id="CA1", event_id="e3", offer="o")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Implements `StoredReport`."""

    carrier_call_id: str
    kind: str
    at: datetime
    data: str
    event_id: str


def stored(report: LegReport) -> Stored:
    return Stored(
        carrier_call_id=report.carrier_call_id,
        kind=report.kind,
        at=report.at,
        data=data_of(report),
        event_id=report.event_id,
    )


class Shelf:
    """A store that other processes write to."""

    def __init__(self) -> None:
        self.reports: list[LegReport] = []
        self.asked = 0
        self.away = False

    async def look_up(self, carrier: str, leg_id: str) -> Iterable[Stored]:
        self.asked += 1
        if self.away:
            raise StoreError("away")
        return [stored(one) for one in self.reports if leg_id in (one.carrier_call_id, one.parent_call_id)]


def soon(seconds: float = 5.0) -> float:
    return asyncio.get_running_loop().time() + seconds


async def test_a_report_is_written_once_and_told_once() -> None:
    written: list[LegReport] = []
    reports = LegReports(record=written.append)
    reports.note(RINGING)
    reports.note(RINGING)
    with reports.follow("twilio", "CA1") as following:
        assert await following.next(soon()) == RINGING
        reports.note(ANSWERED)
        reports.note(ANSWERED)
        assert await following.next(soon()) == ANSWERED
        assert await following.next(soon(0.05)) is None
    assert written == [RINGING, ANSWERED]


async def test_a_waiter_is_woken() -> None:
    reports = LegReports(record=lambda _: None)
    with reports.follow("twilio", "CA1") as following:
        waiting = asyncio.create_task(following.next(soon(30)))
        await asyncio.sleep(0)
        reports.note(replace(RINGING, carrier_call_id="CA9"))
        reports.note(RINGING)
        assert await waiting == RINGING


async def test_what_another_process_heard_is_found_in_the_store() -> None:
    shelf = Shelf()
    reports = LegReports(record=lambda _: None, look_up=shelf.look_up, poll_s=0.02)
    shelf.reports = [ANSWERED, OFFERED]
    with reports.follow("twilio", "CA1") as following:
        found = await following.next(soon())
        assert found is not None
        assert (found.kind, found.detail) == ("answered", {"a": "b"})
        assert await following.next(soon(0.1)) is None, "the other leg's are not its own"
        reports.note(ANSWERED)
        assert await following.next(soon(0.1)) is None, "it was told before"
    with reports.follow("twilio", "CA1", offer="o") as following:
        found = await following.next(soon())
        assert found is not None
        assert (found.carrier_call_id, found.offer) == ("CA2", "o")
    with reports.follow("twilio", "CA1", offer="another") as following:
        assert await following.next(soon(0.05)) is None
    assert shelf.asked < 30, "it is not asked without a pause"


async def test_reports_of_an_offer_are_told_at_once() -> None:
    reports = LegReports(record=lambda _: None)
    with reports.follow("twilio", "CA1", offer="o") as following:
        reports.note(RINGING)
        reports.note(OFFERED)
        assert await following.next(soon()) == OFFERED


async def test_a_store_that_is_away_is_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    shelf = Shelf()
    shelf.away = True
    shelf.reports = [RINGING]
    reports = LegReports(record=lambda _: None, look_up=shelf.look_up, poll_s=0.02)
    with reports.follow("twilio", "CA1") as following:
        assert await following.next(soon(0.05)) is None
        shelf.away = False
        assert await following.next(soon()) is not None
    shelf.away = True
    assert await reports.heard_of("twilio", "CA1", within_s=1) is None


async def test_a_store_that_does_not_answer_is_not_waited_for() -> None:
    async def never(carrier: str, leg_id: str) -> Iterable[Stored]:
        await asyncio.Event().wait()
        return []

    reports = LegReports(record=lambda _: None, look_up=never)
    assert await reports.heard_of("twilio", "CA1", within_s=0.02) is None
    assert await reports.line_result(token(), within_s=0.02) is None


async def test_cancelling_loses_nothing() -> None:
    reports = LegReports(record=lambda _: None)
    with reports.follow("twilio", "CA1") as following:
        waiting = asyncio.create_task(following.next(soon(30)))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        reports.note(RINGING)
        assert await following.next(soon()) == RINGING


async def test_when_a_leg_was_first_heard_of() -> None:
    shelf = Shelf()
    reports = LegReports(record=lambda _: None, look_up=shelf.look_up)
    assert await reports.heard_of("twilio", "CA1", within_s=5) is None
    shelf.reports = [RINGING, replace(ANSWERED, at=datetime(2020, 1, 1, tzinfo=UTC))]
    assert await reports.heard_of("twilio", "CA1", within_s=5) == datetime(2020, 1, 1, tzinfo=UTC)
    assert await LegReports(record=lambda _: None).heard_of("twilio", "CA1", within_s=5) is None


@pytest.mark.parametrize("result", ["ended", "failed", "rejected", "transferred"])
async def test_how_a_stream_went_is_known_here_and_elsewhere(result: StepResult) -> None:
    shelf = Shelf()
    here = LegReports(record=shelf.reports.append, look_up=shelf.look_up, poll_s=0.02)
    elsewhere = LegReports(record=lambda _: None, look_up=shelf.look_up, poll_s=0.02)
    here.line_ended(token(step=1), result, AT)
    assert [report.kind for report in shelf.reports] == [LINE_ENDED]
    for reports in (here, elsewhere):
        assert await reports.line_result(token(step=1), within_s=5) == result
        assert await reports.line_result(token(step=2), within_s=0.05) is None, "another step"


async def test_a_result_that_nobody_knows_is_a_failure() -> None:
    shelf = Shelf()
    reports = LegReports(record=lambda _: None, look_up=shelf.look_up, poll_s=0.02)
    shelf.reports = [replace(RINGING, kind=LINE_ENDED, detail={"step": "0", "result": "something new"})]
    assert await reports.line_result(token(), within_s=5) == "failed"


async def test_data_that_cannot_be_read_is_left_out() -> None:
    async def odd(carrier: str, leg_id: str) -> Iterable[Stored]:
        texts = ["", "[]", "{}", '{"detail":1}', '{"detail":{},"offer":5}']
        return [replace(stored(RINGING), data=text, event_id=f"e{n}") for n, text in enumerate(texts)]

    reports = LegReports(record=lambda _: None, look_up=odd)
    with reports.follow("twilio", "CA1") as following:
        for _ in range(5):
            found = await following.next(soon())
            assert found is not None
            assert (found.detail, found.offer) == ({}, None)


async def test_memory_is_bounded() -> None:
    written: list[LegReport] = []
    reports = LegReports(record=written.append)
    for number in range(MOST_REPORTS + 10):
        reports.note(replace(RINGING, event_id=str(number)))
    with reports.follow(LEG.carrier, "CA1") as following:
        told = 0
        while await following.next(soon(0.0)) is not None:
            told += 1
    assert told == MOST_REPORTS
    for number in range(MOST_LEGS):
        reports.note(replace(RINGING, carrier_call_id=f"CB{number}"))
    with reports.follow(LEG.carrier, "CA1") as following:
        assert await following.next(soon(0.0)) is None
    assert len(written) == MOST_REPORTS + 10 + MOST_LEGS, "all of them are written"
