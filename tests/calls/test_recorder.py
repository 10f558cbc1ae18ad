"""The writer of facts, with a database that comes, goes, hangs and refuses, and a disk that helps."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sipagent.calls.recorder import Recorder, RecorderSettings
from sipagent.calls.spill import REJECTED, Page, Spill
from sipagent.errors import SpillError, StoreError
from sipagent.identifiers import CallId
from sipagent.store import (
    CallEnded,
    CallOpened,
    CarrierReported,
    ConfigurationLoaded,
    Fact,
    LatencyMeasured,
    MemoryCallStore,
)
from sipagent.telemetry import Metrics
from tests.store import facts
from tests.store.facts import loaded
from tests.support.eventually import eventually
from tests.telemetry.test_metrics import value

AT = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


def opened(number: int) -> CallOpened:
    return CallOpened(
        call_id=CallId(f"rtc_{number}"),
        at=AT,
        webhook_id=f"wh_{number}",
        caller=None,
        dialled=None,
        agent=None,
        model=None,
        sip_call_id=None,
        configuration=None,
    )


def latency(number: int) -> LatencyMeasured:
    return LatencyMeasured(call_id=CallId(f"rtc_{number}"), name="accept", sequence=0, milliseconds=1)


def ended(number: int) -> CallEnded:
    return CallEnded(call_id=CallId(f"rtc_{number}"), at=AT, reason="x", fault_owner="none", detail="")


def identity(fact: Fact) -> str:
    if isinstance(fact, CarrierReported):
        return fact.event_id
    return fact.fingerprint if isinstance(fact, ConfigurationLoaded) else fact.call_id


class MoodyStore(MemoryCallStore):
    """Is away while ``away`` is set, hangs while ``hangs`` is, and never takes the facts of ``poison``."""

    def __init__(self, *, poison: str = "") -> None:
        super().__init__()
        self.away = False
        self.hangs = False
        self.poison = poison
        self.applied: list[int] = []
        self.refused = asyncio.Event()

    async def ping(self) -> None:
        if self.away:
            raise StoreError("away")

    async def apply(self, facts: Sequence[Fact]) -> None:
        while self.hangs:
            self.refused.set()
            await asyncio.sleep(0.01)
        if self.away or any(identity(fact) == self.poison for fact in facts):
            self.refused.set()
            raise StoreError("no")
        self.applied.append(len(facts))
        await super().apply(facts)


def recorder_of(
    store: MemoryCallStore,
    metrics: Metrics | None = None,
    *,
    spill: Spill | None = None,
    gather_s: float = 0.0,
    capacity: int = 200_000,
    spill_after_s: float = 0.05,
    apply_timeout_s: float = 30.0,
    close_timeout_s: float = 20.0,
    look_every_s: float = 15.0,
) -> Recorder:
    """A recorder that is in more of a hurry than a service's."""
    settings = RecorderSettings(
        gather_s=gather_s,
        capacity=capacity,
        spill_after_s=spill_after_s,
        longest_retry_s=0.1,
        apply_timeout_s=apply_timeout_s,
        opinion_pause_s=0,
        close_timeout_s=close_timeout_s,
        look_every_s=look_every_s,
    )
    return Recorder(store, metrics or Metrics(), spill=spill, settings=settings)


@asynccontextmanager
async def running(recorder: Recorder) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        group.create_task(recorder.run())
        yield
        await recorder.aclose()


def dropped(metrics: Metrics) -> int:
    return int(value(metrics, "sipagent_store_facts_dropped_total") or 0)


async def test_facts_of_a_burst_are_written_together_and_all_at_the_end() -> None:
    store = MoodyStore()
    await store.open()
    recorder = recorder_of(store, gather_s=0.01)
    async with running(recorder):
        for number in range(300):
            recorder.record(opened(number))
    assert len(await store.calls(limit=1000)) == 300
    assert len(store.applied) <= 2


async def test_a_database_that_is_away_loses_nothing() -> None:
    store, metrics = MoodyStore(), Metrics()
    await store.open()
    store.away = True
    recorder = recorder_of(store, metrics)
    async with running(recorder):
        recorder.record(opened(1))
        await store.refused.wait()
        recorder.record(ended(1))
        store.away = False
    record = await store.call(CallId("rtc_1"))
    assert record is not None
    assert record.summary.end_reason == "x"
    assert dropped(metrics) == 0


async def test_a_fact_that_the_database_never_takes_is_dropped_alone() -> None:
    store, metrics = MoodyStore(poison="rtc_5"), Metrics()
    await store.open()
    recorder = recorder_of(store, metrics)
    async with running(recorder):
        for number in range(10):
            recorder.record(opened(number))
    assert len(await store.calls()) == 9
    assert dropped(metrics) == 1


async def test_a_configuration_that_the_database_never_takes_is_named_and_dropped_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store, metrics = MoodyStore(poison="c0ffee"), Metrics()
    await store.open()
    recorder = recorder_of(store, metrics)
    async with running(recorder):
        recorder.record(loaded())
        recorder.record(opened(1))
    assert len(await store.calls()) == 1
    assert dropped(metrics) == 1
    assert "configuration c0ffee is not in the database" in caplog.text


async def test_a_full_queue_keeps_that_calls_began_and_ended() -> None:
    store, metrics = MoodyStore(), Metrics()
    await store.open()
    recorder = recorder_of(store, metrics, capacity=2)
    for fact in (opened(1), latency(1), latency(1), opened(2), ended(1), ended(2)):
        recorder.record(fact)
    async with running(recorder):
        pass
    assert dropped(metrics) == 1
    assert [call.end_reason for call in await store.calls()] == ["x", "x"]


async def test_stopping_with_a_database_that_stays_away_ends_and_counts_what_is_lost() -> None:
    store, metrics = MoodyStore(), Metrics()
    await store.open()
    store.away = True
    recorder = recorder_of(store, metrics, close_timeout_s=0.2)
    async with running(recorder):
        recorder.record(opened(1))
        recorder.record(ended(1))
    assert dropped(metrics) == 2


# On disk -------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spill"


def spill_in(folder: Path) -> Spill:
    return Spill(folder, began_at=datetime.now(UTC))


def line(number: int, text: str) -> Fact:
    return facts.line(f"item_{number}", number, text, call_id="rtc_1")


async def transcript(store: MemoryCallStore) -> list[str]:
    record = await store.call(CallId("rtc_1"))
    return [] if record is None else [line.text for line in record.transcript]


@pytest.mark.parametrize("mood", ["away", "hangs"])
async def test_what_a_database_does_not_take_goes_to_disk_and_then_into_it(folder: Path, mood: str) -> None:
    store, metrics, spill = MoodyStore(), Metrics(), spill_in(folder)
    setattr(store, mood, True)
    recorder = recorder_of(store, metrics, spill=spill)
    async with running(recorder):
        recorder.record(opened(1))
        recorder.record(line(1, "One."))
        await eventually(lambda: value(metrics, "sipagent_store_facts_spilled_total") == 2)
        await eventually(lambda: not spill.empty)
        recorder.record(line(1, "One, and more."))
        recorder.record(ended(1))
        await eventually(lambda: value(metrics, "sipagent_store_facts_spilled_total") == 4)
        assert value(metrics, "sipagent_store_queue_facts") in (0, 2)  # those of the attempt that hangs
        assert value(metrics, "sipagent_store_spill_bytes") == spill.size > 0
        setattr(store, mood, False)
        assert await recorder.flush(20)
        assert spill.empty
        assert await transcript(store) == ["One, and more."]
        recorder.record(line(2, "Two."))
    assert await transcript(store) == ["One, and more.", "Two."]
    assert (await store.calls())[0].end_reason == "x"
    assert value(metrics, "sipagent_store_facts_replayed_total") == 4
    assert value(metrics, "sipagent_store_spill_bytes") == 0
    assert value(metrics, "sipagent_store_up") == 1
    assert dropped(metrics) == 0
    assert os.listdir(folder) == []


async def test_what_comes_while_a_backlog_is_written_is_as_safe_as_the_backlog(folder: Path) -> None:
    store, metrics, spill = MoodyStore(), Metrics(), spill_in(folder)
    spill.append([opened(1)])
    store.hangs = True
    recorder = recorder_of(store, metrics, spill=spill, spill_after_s=3600)
    async with running(recorder):
        await store.refused.wait()
        recorder.record(ended(1))
        await eventually(lambda: value(metrics, "sipagent_store_facts_spilled_total") == 1)
        store.hangs = False
    assert [call.end_reason for call in await store.calls()] == ["x"]


async def test_the_log_says_once_that_the_database_is_away_and_once_that_it_is_back(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, metrics = MoodyStore(), Metrics()
    store.away = True
    recorder = recorder_of(store, metrics, spill=spill_in(folder))
    async with running(recorder):
        for number in range(5):
            recorder.record(opened(number))
            store.refused.clear()
            await store.refused.wait()
        assert value(metrics, "sipagent_store_up") == 0
        store.away = False
        assert await recorder.flush(20)
    assert caplog.text.count("The database does not take") == 1
    assert caplog.text.count("The database is back after") == 1


async def test_more_than_memory_should_hold_goes_to_disk_at_once(folder: Path) -> None:
    store, metrics, spill = MoodyStore(), Metrics(), spill_in(folder)
    store.away = True
    recorder = recorder_of(store, metrics, spill=spill, capacity=100, spill_after_s=3600)
    async with running(recorder):
        for number in range(20):
            recorder.record(latency(number))
        await store.refused.wait()
        assert spill.empty
        for number in range(20, 90):
            recorder.record(latency(number))
        await eventually(lambda: value(metrics, "sipagent_store_facts_spilled_total") == 90)
        store.away = False
    assert len(await store.calls(limit=100)) == 90
    assert dropped(metrics) == 0


async def test_what_is_left_at_the_end_is_there_at_the_next_start(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, metrics = MoodyStore(), Metrics()
    store.away = True
    recorder = recorder_of(store, metrics, spill=spill_in(folder), spill_after_s=3600, close_timeout_s=0.1)
    async with running(recorder):
        recorder.record(opened(1))
        recorder.record(line(1, "One."))
    assert dropped(metrics) == 0
    assert f"wait in {folder}" in caplog.text
    store.away = False
    following = recorder_of(store, metrics, spill=spill_in(folder))
    following.record(line(1, "One, and more."))
    async with running(following):
        assert await following.flush(20)
    assert await transcript(store) == ["One, and more."]
    assert os.listdir(folder) == []


async def test_the_end_does_not_wait_for_a_database_that_hangs(folder: Path) -> None:
    store, spill = MoodyStore(), spill_in(folder)
    store.hangs = True
    recorder = recorder_of(store, spill=spill, close_timeout_s=0.1)
    async with asyncio.timeout(20):
        async with running(recorder):
            recorder.record(opened(1))
            await store.refused.wait()
    store.hangs = False
    following = recorder_of(store, spill=spill_in(folder))
    async with running(following):
        pass
    assert len(await store.calls()) == 1


async def test_a_writer_that_is_cancelled_leaves_what_it_has_on_disk(folder: Path) -> None:
    store = MoodyStore()
    store.hangs = True
    recorder = recorder_of(store, spill=spill_in(folder), spill_after_s=3600)
    task = asyncio.create_task(recorder.run())
    recorder.record(opened(1))
    await store.refused.wait()
    recorder.record(ended(1))
    flushing = asyncio.create_task(recorder.flush(60))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert await flushing is False
    store.hangs = False
    following = recorder_of(store, spill=spill_in(folder))
    async with running(following):
        pass
    assert [call.end_reason for call in await store.calls()] == ["x"]


async def test_what_a_process_leaves_that_dies_later_is_found(folder: Path) -> None:
    store, other = MoodyStore(), spill_in(folder)
    other.append([opened(1)])
    recorder = recorder_of(store, spill=spill_in(folder), look_every_s=0.05)
    async with running(recorder):
        recorder.record(opened(2))
        assert await recorder.flush(20)
        assert len(await store.calls()) == 1
        other.close()
        await eventually(lambda: not os.listdir(folder))
    assert len(await store.calls()) == 2


async def test_what_the_database_never_takes_is_set_aside(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, metrics = MoodyStore(poison="rtc_5"), Metrics()
    spill = spill_in(folder)
    spill.append([opened(number) for number in range(10)])
    recorder = recorder_of(store, metrics, spill=spill, spill_after_s=3600)
    async with running(recorder):
        assert await recorder.flush(20)
        recorder.record(ended(5))
        recorder.record(ended(6))
        assert await recorder.flush(20)
    assert len(await store.calls()) == 9
    assert value(metrics, "sipagent_store_facts_rejected_total") == 2
    assert dropped(metrics) == 0
    rejected = (folder / REJECTED).read_text().splitlines()
    assert ["CallOpened" in one or "CallEnded" in one for one in rejected] == [True, True]
    assert all("rtc_5" in one for one in rejected)
    assert "A fact of call rtc_5 (CallEnded) is not in the database" in caplog.text


async def test_a_database_that_answers_and_takes_nothing_is_away(folder: Path) -> None:
    class ReadOnly(MoodyStore):
        read_only = False

        async def apply(self, facts: Sequence[Fact]) -> None:
            if self.read_only:
                self.refused.set()
                raise StoreError("cannot write in a read-only transaction")
            await super().apply(facts)

    store, metrics = ReadOnly(), Metrics()
    store.read_only = True
    recorder = recorder_of(store, metrics, spill=spill_in(folder))
    async with running(recorder):
        for known_good in (False, True):
            store.refused.clear()
            recorder.record(opened(1 + known_good))
            await store.refused.wait()
            await eventually(lambda: value(metrics, "sipagent_store_up") == 0)
            store.read_only = False
            assert await recorder.flush(20)
            store.read_only = True
        store.read_only = False
    assert len(await store.calls()) == 2
    assert value(metrics, "sipagent_store_facts_rejected_total") == 0


def leave_junk_in(folder: Path) -> None:
    spill = spill_in(folder)
    spill.append([opened(1)])
    spill.close()
    (file,) = folder.rglob("*.jsonl")
    file.write_bytes(b"junk\n" * 3 + file.read_bytes())


async def test_lines_that_hold_no_fact_are_set_aside_and_hold_nothing_up(folder: Path) -> None:
    leave_junk_in(folder)
    store, metrics = MoodyStore(), Metrics()
    async with running(recorder_of(store, metrics, spill=spill_in(folder))):
        pass
    assert len(await store.calls()) == 1
    assert value(metrics, "sipagent_store_facts_rejected_total") == 3
    assert (folder / REJECTED).read_bytes() == b"junk\n" * 3


async def test_without_a_disk_memory_has_to_do(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder.parent.joinpath("spill").write_text("no folder")
    store, metrics = MoodyStore(), Metrics()
    store.away = True
    recorder = recorder_of(store, metrics, spill=spill_in(folder), capacity=5)
    async with running(recorder):
        for number in range(10):
            recorder.record(latency(number))
        await eventually(lambda: value(metrics, "sipagent_store_spill_ok") == 0)
        for _ in range(3):
            store.refused.clear()
            await store.refused.wait()
        recorder.record(ended(1))
        store.away = False
    assert dropped(metrics) == 5
    assert len(await store.calls()) == 5
    assert caplog.text.count("Facts are kept in memory only") == 1


async def test_a_disk_that_fails_for_a_while_is_used_again(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class FailingSpill(Spill):
        fails = True

        def append(self, facts: Sequence[Fact]) -> None:
            if self.fails:
                raise SpillError("cannot write")
            super().append(facts)

    store, metrics = MoodyStore(), Metrics()
    store.away = True
    spill = FailingSpill(folder, began_at=datetime.now(UTC))
    recorder = recorder_of(store, metrics, spill=spill)
    async with running(recorder):
        recorder.record(opened(1))
        await eventually(lambda: value(metrics, "sipagent_store_spill_ok") == 0)
        spill.fails = False
        await eventually(lambda: value(metrics, "sipagent_store_spill_ok") == 1)
        store.away = False
    assert len(await store.calls()) == 1
    assert "Facts can be kept on disk again" in caplog.text


async def test_a_disk_that_cannot_be_read_for_a_moment_keeps_the_order(folder: Path) -> None:
    class FailingSpill(Spill):
        failures = 3

        def read(self, most: int) -> Page:
            if self.failures:
                self.failures -= 1
                raise SpillError("cannot read")
            return super().read(most)

    store = MoodyStore()
    spill = FailingSpill(folder, began_at=datetime.now(UTC))
    spill.append([opened(1), line(1, "One.")])
    recorder = recorder_of(store, spill=spill)
    async with running(recorder):
        recorder.record(line(1, "One, and more."))
        assert await recorder.flush(20)
    assert spill.failures == 0
    assert await transcript(store) == ["One, and more."]


async def test_a_disk_that_stays_unreadable_holds_nothing_up_for_ever(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class FailingSpill(Spill):
        def read(self, most: int) -> Page:
            raise SpillError("cannot read")

    monkeypatch.setattr("sipagent.calls.backlog.UNREADABLE_S", 0.05)
    store = MoodyStore()
    spill = FailingSpill(folder, began_at=datetime.now(UTC))
    spill.append([opened(1)])
    recorder = recorder_of(store, spill=spill, look_every_s=3600)
    async with running(recorder):
        recorder.record(opened(2))
        await eventually(lambda: spill.empty)
        recorder.record(opened(3))
        assert await recorder.flush(20)
    assert "stays there for the next start" in caplog.text
    following = recorder_of(store, spill=spill_in(folder))
    async with running(following):
        pass
    assert len(await store.calls()) == 3


async def test_flushing_waits_for_what_was_handed_over_before() -> None:
    store = MoodyStore()
    store.away = True
    recorder = recorder_of(store, gather_s=0.05)
    async with running(recorder):
        assert await recorder.flush(20)
        recorder.record(opened(1))
        assert not await recorder.flush(0.1)
        store.away = False
        assert await recorder.flush(20)
        assert len(await store.calls()) == 1


async def test_a_configuration_and_a_call_that_are_handed_over_at_once_stay_in_order(folder: Path) -> None:
    store = MoodyStore()
    recorder = recorder_of(store, spill=spill_in(folder))
    recorder.record(loaded())
    recorder.record(opened(1))
    async with running(recorder):
        pass
    assert (await store.configurations())[0].fingerprint == "c0ffee"
    assert store.applied == [2]
