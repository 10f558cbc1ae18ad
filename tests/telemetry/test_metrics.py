from __future__ import annotations

from datetime import UTC, datetime

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sipagent.telemetry import Latency, Metrics
from sipagent.telemetry.metrics import MAXIMUM_TOOL_NAMES


def value(metrics: Metrics, sample_name: str, /, **labels: str) -> float | None:
    """One sample, as Prometheus would read it."""
    body, _ = metrics.render()
    for family in text_string_to_metric_families(body.decode()):
        for sample in family.samples:
            if sample.name == sample_name and sample.labels == labels:
                return sample.value
    return None


def test_live_calls_rise_and_fall() -> None:
    metrics = Metrics()
    metrics.call_started()
    metrics.call_started()
    metrics.call_left()
    assert value(metrics, "sipagent_live_calls") == 1
    assert value(metrics, "sipagent_calls_started_total") == 2


def test_ended_calls_are_counted_by_reason_and_owner() -> None:
    metrics = Metrics()
    for reason, owner in [("caller_hung_up", "none"), ("caller_hung_up", "none"), ("model_silent", "openai")]:
        metrics.call_ended(reason, owner)
    assert value(metrics, "sipagent_calls_ended_total", reason="caller_hung_up", fault_owner="none") == 2
    assert value(metrics, "sipagent_calls_ended_total", reason="model_silent", fault_owner="openai") == 1


def test_webhooks_accept_errors_and_tools_are_counted_by_outcome() -> None:
    metrics = Metrics()
    metrics.webhook("call")
    metrics.webhook("bad_signature")
    metrics.accept_failed(429)
    metrics.accept_failed(None)
    metrics.tool_ran("next_free_slot", is_error=False)
    metrics.tool_ran("next_free_slot", is_error=True)
    assert value(metrics, "sipagent_webhooks_total", result="call") == 1
    assert value(metrics, "sipagent_webhooks_total", result="bad_signature") == 1
    assert value(metrics, "sipagent_accept_errors_total", status="429") == 1
    assert value(metrics, "sipagent_accept_errors_total", status="none") == 1
    assert value(metrics, "sipagent_tool_runs_total", tool="next_free_slot", outcome="ok") == 1
    assert value(metrics, "sipagent_tool_runs_total", tool="next_free_slot", outcome="error") == 1


def test_generations_and_reloads_of_the_configuration() -> None:
    metrics = Metrics()
    loaded_at = datetime(2026, 11, 20, tzinfo=UTC)
    metrics.configuration_serves(1, loaded_at)
    metrics.watch_generations_in_use(lambda: 3)
    assert value(metrics, "sipagent_configuration_generation") == 1
    assert value(metrics, "sipagent_configuration_generations_in_use") == 3
    assert value(metrics, "sipagent_configuration_loaded_timestamp_seconds") == loaded_at.timestamp()
    for result, usable in [("loaded", 1), ("failed", 0), ("failed", 0), ("unchanged", 1)]:
        metrics.configuration_reloaded(result)
        assert value(metrics, "sipagent_configuration_reload_ok") == usable
    assert value(metrics, "sipagent_configuration_reloads_total", result="failed") == 2
    assert value(metrics, "sipagent_configuration_reloads_total", result="loaded") == 1


def test_mcp_servers_are_those_there_are_at_the_scrape() -> None:
    metrics, states = Metrics(), {"shop": True, "shelf": False}
    metrics.watch_mcp_servers(lambda: states)
    assert value(metrics, "sipagent_mcp_server_up", server="shop") == 1
    assert value(metrics, "sipagent_mcp_server_up", server="shelf") == 0
    del states["shelf"]
    assert value(metrics, "sipagent_mcp_server_up", server="shelf") is None


def test_latencies_are_in_seconds_and_fall_into_buckets() -> None:
    metrics = Metrics()
    for milliseconds in (80.0, 120.0, 40_000.0):
        metrics.latency(Latency(name="webhook_to_accept", milliseconds=milliseconds))
    name = "webhook_to_accept"
    assert value(metrics, "sipagent_latency_seconds_count", name=name) == 3
    assert value(metrics, "sipagent_latency_seconds_sum", name=name) == pytest.approx(40.2)
    assert value(metrics, "sipagent_latency_seconds_bucket", name=name, le="0.1") == 1
    assert value(metrics, "sipagent_latency_seconds_bucket", name=name, le="0.2") == 2
    assert value(metrics, "sipagent_latency_seconds_bucket", name=name, le="30.0") == 2
    assert value(metrics, "sipagent_latency_seconds_bucket", name=name, le="+Inf") == 3


def test_invented_tool_names_do_not_fill_the_memory() -> None:
    metrics = Metrics()
    for number in range(MAXIMUM_TOOL_NAMES + 50):
        metrics.tool_ran(f"tool_{number}", is_error=True)
    metrics.tool_ran("tool_0", is_error=False)
    assert value(metrics, "sipagent_tool_runs_total", tool="other", outcome="error") == 50
    assert value(metrics, "sipagent_tool_runs_total", tool="tool_0", outcome="ok") == 1
    assert metrics.render()[0].count(b"sipagent_tool_runs_total{") == MAXIMUM_TOOL_NAMES + 2


def test_two_services_in_one_process_count_for_themselves() -> None:
    one, other = Metrics(), Metrics()
    one.call_started()
    assert value(other, "sipagent_live_calls") == 0


def test_a_scrape_says_what_it_is_and_what_the_process_uses() -> None:
    body, content_type = Metrics().render()
    assert content_type.startswith("text/plain; version=")
    assert b"process_cpu_seconds_total" in body
    assert body.endswith(b"\n")
