"""A real PostgreSQL is stopped, killed and started again under the writer of facts."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sipagent.calls.recorder import Recorder, RecorderSettings
from sipagent.calls.spill import Spill
from sipagent.identifiers import CallId
from sipagent.store import CallStore, Fact, MemoryCallStore, open_store
from sipagent.telemetry import Metrics
from tests.store import facts
from tests.support.eventually import eventually
from tests.support.postgres import PostgresServer, StopMode
from tests.telemetry.test_metrics import value

CALLS = 20
PATIENCE = RecorderSettings(gather_s=0.05, batch_facts=50, spill_after_s=0.5, longest_retry_s=0.5)


def day_of_calls() -> list[Fact]:
    """Many calls at once. Each line is said again and again: a wrong order would leave old words behind."""
    calls = [CallId(f"rtc_{number}") for number in range(CALLS)]
    found: list[Fact] = [facts.opened(call_id) for call_id in calls]
    for sequence in range(1, 40):
        for call_id in calls:
            words = f"Words, as of {sequence}."
            found.append(facts.line(f"item_{sequence % 3}", sequence % 3, words, call_id=call_id))
            found.append(facts.note(sequence, call_id=call_id))
    return found + [facts.ended(call_id=call_id) for call_id in calls]


async def records(store: CallStore) -> list[object]:
    return [await store.call(CallId(f"rtc_{number}")) for number in range(CALLS)]


@pytest.mark.parametrize("mode", ["fast", "immediate", "killed"])
async def test_all_records_arrive_whatever_becomes_of_the_server(
    stoppable_postgres: PostgresServer, tmp_path: Path, mode: StopMode
) -> None:
    server = stoppable_postgres
    name = await asyncio.to_thread(server.create_database)
    store, metrics = open_store(server.url(name)), Metrics()
    await store.open()
    spill = Spill(tmp_path, began_at=datetime.now(UTC))
    recorder = Recorder(store, metrics, spill=spill, settings=PATIENCE)
    day = day_of_calls()
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(recorder.run())
            for number, fact in enumerate(day):
                if number == len(day) // 4:
                    await asyncio.to_thread(server.stop, mode)
                if number == len(day) // 2:
                    await eventually(lambda: not spill.empty)
                    assert value(metrics, "sipagent_store_up") == 0
                    await asyncio.to_thread(server.start)
                recorder.record(fact)
                if number % 50 == 0:
                    await asyncio.sleep(0.01)
            assert await recorder.flush(60)
            await recorder.aclose()
        quiet = MemoryCallStore()
        await quiet.apply(day)
        assert await records(store) == await records(quiet)
    finally:
        await store.aclose()
    assert value(metrics, "sipagent_store_up") == 1
    for lost in ("dropped", "rejected"):
        assert value(metrics, f"sipagent_store_facts_{lost}_total") == 0
    assert os.listdir(tmp_path) == []
