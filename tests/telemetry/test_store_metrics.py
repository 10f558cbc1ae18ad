from __future__ import annotations

from sipagent.telemetry import Metrics
from tests.telemetry.test_metrics import value


def test_the_stores_queue_and_its_losses_can_be_seen() -> None:
    metrics = Metrics()
    assert value(metrics, "sipagent_store_up") == 1
    assert value(metrics, "sipagent_store_spill_ok") == 1
    metrics.store.queue_depth(7)
    metrics.store.queue_depth(3)
    metrics.store.dropped()
    metrics.store.dropped(2)
    metrics.store.up(False)
    metrics.store.spilled(10)
    metrics.store.replayed(8)
    metrics.store.rejected(1)
    metrics.store.spill_bytes(4096)
    metrics.store.spill_ok(False)
    assert value(metrics, "sipagent_store_queue_facts") == 3
    assert value(metrics, "sipagent_store_facts_dropped_total") == 3
    assert value(metrics, "sipagent_store_up") == 0
    assert value(metrics, "sipagent_store_facts_spilled_total") == 10
    assert value(metrics, "sipagent_store_facts_replayed_total") == 8
    assert value(metrics, "sipagent_store_facts_rejected_total") == 1
    assert value(metrics, "sipagent_store_spill_bytes") == 4096
    assert value(metrics, "sipagent_store_spill_ok") == 0
