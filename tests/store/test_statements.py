from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.dialects.sqlite import insert

from sipagent.store.records import Fact
from sipagent.store.statements import Batch, FactStatements
from sipagent.store.statements import batch as batch_of
from tests.store.facts import (
    CALL,
    START,
    at,
    ended,
    latency,
    line,
    loaded,
    note,
    opened,
    recording,
    report,
    state,
    tool,
)

STATEMENTS = FactStatements(insert)


def batch(facts: Sequence[Fact], *, now: datetime) -> Batch:
    return batch_of(facts, STATEMENTS, now=now)


def rows_by_table(facts: Any) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for statement, rows in batch(facts, now=START):
        found.setdefault(str(statement).split()[2 if str(statement).startswith("INSERT") else 1], []).extend(
            rows
        )
    return found


def test_many_calls_need_no_more_statements_than_one() -> None:
    def facts(calls: int) -> list[Any]:
        names = [f"rtc_{number}" for number in range(calls)]
        return [
            fact for name in names for fact in (opened(name), state(1, "talking", name), ended(call_id=name))
        ]

    one, many = batch(facts(1), now=START), batch(facts(300), now=START)
    assert len(one) == len(many) == 5
    assert {len(rows) for _, rows in many} == {300}


def test_facts_of_one_identity_are_merged_before_they_are_written() -> None:
    rows = rows_by_table(
        [
            opened(),
            line("item_1", 1.0, "Good"),
            line("item_1", 1.0, "Good morning."),
            tool(),
            tool(output="nine"),
            tool(),
        ]
    )
    assert [row["text"] for row in rows["transcript_lines"]] == ["Good morning."]
    assert [row["output"] for row in rows["tool_runs"]] == ["nine"]


def test_room_is_made_only_for_calls_whose_opening_is_missing() -> None:
    rows = rows_by_table([opened(), state(1, "talking"), line("item_9", 4.0, "Hello?", call_id="rtc_lost")])
    made = [row for row in rows["calls"] if set(row) == {"call_id", "started_at"}]
    assert made == [{"call_id": "rtc_lost", "started_at": at(4)}]


def test_a_call_of_which_no_time_is_known_starts_now() -> None:
    (room, _) = batch([latency("accept", 0, 1.0)], now=at(77))
    assert room[1] == [{"call_id": CALL, "started_at": at(77)}]


def test_a_configuration_makes_no_room_for_a_call() -> None:
    rows = rows_by_table([loaded(), loaded(number=2), note(0), note(0, "wrap_up", "{}")])
    assert [row["number"] for row in rows["configurations"]] == [1]
    assert [row["kind"] for row in rows["call_notes"]] == ["wrap_up"]
    assert [set(row) for row in rows["calls"]] == [{"call_id", "started_at"}]
    assert len(batch([loaded()], now=START)) == 1


def test_a_report_makes_no_room_for_a_call_and_a_recording_does() -> None:
    rows = rows_by_table([report("ringing", call_id=CALL), report("completed"), recording(seconds=None)])
    assert [row["kind"] for row in rows["carrier_reports"]] == ["ringing"]  # one event, told twice
    assert [row["call_id"] for row in rows["calls"]] == [CALL]
    assert len(batch([report()], now=START)) == 1


def test_a_recording_that_is_whole_stays_so_within_a_batch() -> None:
    rows = rows_by_table([recording(seconds=None), recording(), recording(seconds=None)])
    assert [row["seconds"] for row in rows["recordings"]] == [57.5]


def test_no_facts_no_statements() -> None:
    assert batch([], now=START) == []
