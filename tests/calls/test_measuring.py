"""Measures reach the record and the metrics; how long call tools take is none."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from sipagent.calls import CallJournal
from sipagent.calls.measuring import CallMeasures
from sipagent.identifiers import CallId
from sipagent.store import Fact, LatencyMeasured
from sipagent.telemetry import Metrics
from tests.calls.events import tool_end


async def test_a_measure_is_remembered_and_counted() -> None:
    facts: list[Fact] = []
    metrics = Metrics()
    journal = CallJournal(CallId("rtc_1"), facts.append, lambda: datetime(2026, 11, 20, tzinfo=UTC))
    now = asyncio.get_running_loop().time()
    measures = CallMeasures(journal, metrics, received_at=now - 0.5)
    measures.reached("accept_asked")
    measures.reached("accept_asked")
    measures.observe(tool_end(), now)
    for name in ("hang_up", "transfer"):
        measures.observe(tool_end(name), now)
    measured = [fact for fact in facts if isinstance(fact, LatencyMeasured)]
    assert [fact.name for fact in measured] == ["webhook_to_accept", "tool_time"]
    assert 500 <= measured[0].milliseconds < 20_000
    text = metrics.render()[0].decode()
    assert 'sipagent_latency_seconds_count{name="tool_time"} 1.0' in text
