"""The day's costs are the company's: before the restart, and of every worker."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from sipagent.calls import FrontDoor
from sipagent.calls.day_spend import DaySpendReader, midnight_before
from sipagent.calls.routing import Limits
from sipagent.calls.spend import DEFAULT_PRICES, DaySpend, SpendLimits, cost_of_fact
from sipagent.errors import StoreError
from sipagent.store import MemoryCallStore, UsageTotal, open_store
from tests.store import facts
from tests.support.eventually import eventually
from tests.support.practice import front_door, practice

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
"""Of the day of `tests.store.facts`."""
COST = cost_of_fact(facts.response_tokens(), DEFAULT_PRICES["gpt-realtime-2.1"])


class SlowStore(MemoryCallStore):
    fails = False
    hangs = False
    asked = 0

    async def usage_since(self, moment: datetime) -> tuple[UsageTotal, ...]:
        self.asked += 1
        if self.fails:
            raise StoreError("away")
        if self.hangs:
            await asyncio.Event().wait()
        return await super().usage_since(moment)


def door(limits: SpendLimits | None) -> FrontDoor:
    return replace(front_door(), limits=Limits(spend=limits))


def reader(
    store: MemoryCallStore, day: DaySpend, limits: SpendLimits | None, *, every_s: float = 60.0
) -> DaySpendReader:
    return DaySpendReader(
        store, day, door=lambda: door(limits), utc_now=lambda: NOW, every_s=every_s, retry_s=0.01
    )


async def test_what_the_store_remembers_of_the_day_counts() -> None:
    store, day, limits = SlowStore(), DaySpend(), SpendLimits(per_day=1.0)
    yesterday = replace(facts.response_tokens("resp_0"), at=NOW - timedelta(days=1))
    await store.apply([facts.opened(), facts.response_tokens(), facts.response_tokens("resp_2"), yesterday])
    assert await reader(store, day, limits).refresh()
    assert day.spent(NOW, UTC) == pytest.approx(2 * COST)


async def test_nothing_is_asked_where_nothing_is_limited() -> None:
    store = SlowStore()
    assert await reader(store, DaySpend(), None).refresh()
    assert store.asked == 0


async def test_a_store_that_does_not_answer_is_asked_again_soon(caplog: pytest.LogCaptureFixture) -> None:
    store, day, limits = SlowStore(), DaySpend(), SpendLimits(per_day=1.0)
    await store.apply([facts.opened(), facts.response_tokens()])
    store.hangs = True
    one = reader(store, day, limits, every_s=3600)
    assert not await one.refresh(within_s=0.01)
    store.hangs, store.fails = False, True
    assert not await one.refresh()
    assert caplog.text.count("cannot be read now") == 1
    running = asyncio.create_task(one.run())
    await eventually(lambda: store.asked > 3)
    store.fails = False
    await eventually(lambda: day.spent(NOW, UTC) > 0)
    running.cancel()
    await asyncio.wait({running})
    assert day.spent(NOW, UTC) == pytest.approx(COST)


async def test_what_another_worker_spends_counts_here_too() -> None:
    store, day, limits = SlowStore(), DaySpend(), SpendLimits(per_day=1.5 * COST)
    running = asyncio.create_task(reader(store, day, limits, every_s=0.01).run())
    await store.apply([facts.opened(), facts.response_tokens()])
    await eventually(lambda: day.spent(NOW, UTC) > 0)
    assert day.refusal(limits, NOW) is None
    await store.apply([facts.response_tokens("resp_2")])
    await eventually(lambda: day.refusal(limits, NOW))
    running.cancel()
    await asyncio.wait({running})


async def test_a_service_that_starts_again_counts_what_was_spent_before(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'calls.db'}"
    limits = SpendLimits(per_day=0.000_01)
    reasons = []
    for _ in range(2):
        async with practice(door=door(limits), store=open_store(url)) as desk:
            call = await desk.call()
            record = await desk.ended_record(call.call_id)
            reasons.append(record.summary.end_reason)
            if not reasons[1:]:
                assert sum(used.output_tokens for used in record.usage) > 0
    assert reasons[0] != "rejected_spent"
    assert reasons[1] == "rejected_spent"


@pytest.mark.parametrize(
    ("zone", "now", "midnight"),
    [
        ("UTC", "2026-03-01T12:00Z", "2026-03-01T00:00Z"),
        ("America/New_York", "2026-03-01T04:59Z", "2026-02-28T05:00Z"),
        ("America/New_York", "2026-11-01T20:00Z", "2026-11-01T04:00Z"),  # clocks were put back in between
        ("America/Santiago", "2026-09-06T20:00Z", "2026-09-06T04:00Z"),  # put forward at midnight
    ],
)
def test_the_day_begins_at_midnight_there(zone: str, now: str, midnight: str) -> None:
    found = midnight_before(datetime.fromisoformat(now), ZoneInfo(zone))
    assert found == datetime.fromisoformat(midnight)
