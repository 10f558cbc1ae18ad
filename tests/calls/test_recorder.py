"""The writer of facts, with a database that comes, goes and refuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from sipagent.calls.recorder import Recorder
from sipagent.errors import StoreError
from sipagent.identifiers import CallId
from sipagent.store import (
    CallEnded,
    CallOpened,
    ConfigurationLoaded,
    Fact,
    LatencyMeasured,
    MemoryCallStore,
)
from sipagent.telemetry import Metrics
from tests.store.facts import loaded

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
    return fact.fingerprint if isinstance(fact, ConfigurationLoaded) else fact.call_id


class MoodyStore(MemoryCallStore):
    """Is away while ``away`` is set, and never takes the facts of ``poison``."""

    def __init__(self, *, poison: str = "") -> None:
        super().__init__()
        self.away = False
        self.poison = poison
        self.applied: list[int] = []
        self.refused = asyncio.Event()

    async def ping(self) -> None:
        if self.away:
            raise StoreError("away")

    async def apply(self, facts: Sequence[Fact]) -> None:
        if self.away or any(identity(fact) == self.poison for fact in facts):
            self.refused.set()
            raise StoreError("no")
        self.applied.append(len(facts))
        await super().apply(facts)


@asynccontextmanager
async def running(recorder: Recorder) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        group.create_task(recorder.run())
        yield
        await recorder.aclose()


def dropped(metrics: Metrics) -> int:
    lines = metrics.render()[0].decode().splitlines()
    value = next(line for line in lines if line.startswith("sipagent_store_facts_dropped_total"))
    return int(float(value.split()[1]))


async def test_facts_of_a_burst_are_written_together_and_all_at_the_end() -> None:
    store = MoodyStore()
    await store.open()
    recorder = Recorder(store, Metrics(), gather_s=0.01)
    async with running(recorder):
        for number in range(300):
            recorder.record(opened(number))
    assert len(await store.calls(limit=1000)) == 300
    assert len(store.applied) <= 2


async def test_a_database_that_is_away_loses_nothing() -> None:
    store, metrics = MoodyStore(), Metrics()
    await store.open()
    store.away = True
    recorder = Recorder(store, metrics, gather_s=0)
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
    recorder = Recorder(store, metrics, gather_s=0)
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
    recorder = Recorder(store, metrics, gather_s=0)
    async with running(recorder):
        recorder.record(loaded())
        recorder.record(opened(1))
    assert len(await store.calls()) == 1
    assert dropped(metrics) == 1
    assert "configuration c0ffee is lost" in caplog.text


async def test_a_full_queue_keeps_that_calls_began_and_ended() -> None:
    store, metrics = MoodyStore(), Metrics()
    await store.open()
    recorder = Recorder(store, metrics, capacity=2)
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
    recorder = Recorder(store, metrics, gather_s=0, longest_retry_s=0.1)
    async with running(recorder):
        recorder.record(opened(1))
        recorder.record(ended(1))
    assert dropped(metrics) == 2
