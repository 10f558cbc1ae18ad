"""What Prometheus scrapes at ``/metrics``. Names and labels are an interface: dashboards read them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from sipagent.telemetry.carrier_metrics import CarrierMetrics
from sipagent.telemetry.latency import Latency
from sipagent.telemetry.store_metrics import StoreMetrics
from sipagent.telemetry.worker_metrics import WorkerMetrics

LATENCY_BUCKETS_S = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0
)  # fmt: skip

MAXIMUM_TOOL_NAMES = 200
"""Beyond it, tools are counted as ``other``: a name may come from the model, and each is kept for ever."""


class Metrics:
    """The metrics of one service, in a registry of their own. Never waits and never raises."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        registry = self._registry
        ProcessCollector(registry=registry)
        self.store = StoreMetrics(registry)
        self._live = Gauge("sipagent_live_calls", "Calls from webhook to last record.", registry=registry)
        self._started = Counter("sipagent_calls_started", "Calls taken.", registry=registry)
        self._ended = Counter(
            "sipagent_calls_ended",
            "Calls ended, by reason and by whose fault it was.",
            ["reason", "fault_owner"],
            registry=registry,
        )
        self._webhooks = Counter(
            "sipagent_webhooks", "Webhooks received, by what became of them.", ["result"], registry=registry
        )
        self._accept_errors = Counter(
            "sipagent_accept_errors",
            "Accepts given up, by HTTP status; none when no answer came.",
            ["status"],
            registry=registry,
        )
        self._tool_runs = Counter(
            "sipagent_tool_runs", "Tool runs, by tool and outcome.", ["tool", "outcome"], registry=registry
        )
        self._latency = Histogram(
            "sipagent_latency_seconds",
            "How long a caller waited, by what for.",
            ["name"],
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )
        self._reloads = Counter(
            "sipagent_configuration_reloads",
            "Times the configuration was read again, by what became of it.",
            ["result"],
            registry=registry,
        )
        self._generation = Gauge(
            "sipagent_configuration_generation",
            "Which configuration serves new calls, counted from 1.",
            registry=registry,
        )
        self._generations_in_use = Gauge(
            "sipagent_configuration_generations_in_use",
            "Configurations that serve calls, with those of calls in progress.",
            registry=registry,
        )
        self._reload_ok = Gauge(
            "sipagent_configuration_reload_ok",
            "1 unless the file as it is now cannot be used.",
            registry=registry,
        )
        self._loaded_at = Gauge(
            "sipagent_configuration_loaded_timestamp_seconds",
            "When the configuration that serves new calls was loaded.",
            registry=registry,
        )
        self._tool_names: set[str] = set()
        self.workers = WorkerMetrics(registry)
        """What happens between processes that share calls."""
        self.carriers = CarrierMetrics(registry)
        """What happens between carriers and us."""

    def webhook(self, result: str) -> None:
        """A webhook was answered; ``result`` is one of few words."""
        self._webhooks.labels(result).inc()

    def call_started(self) -> None:
        """A call was taken and is live now."""
        self._started.inc()
        self._live.inc()

    def call_left(self) -> None:
        """A call is live no more."""
        self._live.dec()

    def call_ended(self, reason: str, fault_owner: str) -> None:
        """A call got its verdict."""
        self._ended.labels(reason, fault_owner).inc()

    def accept_failed(self, status: int | None) -> None:
        """An accept was given up after ``status``; None when no answer came."""
        self._accept_errors.labels("none" if status is None else str(status)).inc()

    def tool_ran(self, name: str, *, is_error: bool) -> None:
        """A tool finished."""
        if name not in self._tool_names:
            if len(self._tool_names) >= MAXIMUM_TOOL_NAMES:
                name = "other"
            else:
                self._tool_names.add(name)
        self._tool_runs.labels(name, "error" if is_error else "ok").inc()

    def latency(self, latency: Latency) -> None:
        """A latency of a call was measured."""
        self._latency.labels(latency.name).observe(latency.milliseconds / 1000)

    def configuration_serves(self, number: int, loaded_at: datetime) -> None:
        """Generation ``number`` of the configuration serves new calls now."""
        self._generation.set(number)
        self._loaded_at.set(loaded_at.timestamp())
        self._reload_ok.set(1)

    def configuration_reloaded(self, result: str) -> None:
        """The configuration was read again; ``result`` is ``loaded``, ``unchanged`` or ``failed``."""
        self._reloads.labels(result).inc()
        self._reload_ok.set(result != "failed")

    def watch_generations_in_use(self, count: Callable[[], int]) -> None:
        """Ask ``count`` at every scrape how many generations have calls."""
        self._generations_in_use.set_function(count)

    def watch_mcp_servers(self, states: Callable[[], Mapping[str, bool]]) -> None:
        """Ask ``states`` at every scrape which MCP servers there are, by name, and whether each is up."""
        self._registry.register(_McpServerStates(states))

    def render(self) -> tuple[bytes, str]:
        """The body for a scrape, and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST


class _McpServerStates(Collector):
    """One gauge for each server there is now: those that went leave nothing behind."""

    def __init__(self, states: Callable[[], Mapping[str, bool]]) -> None:
        self._states = states

    def collect(self) -> Iterable[Metric]:
        gauge = GaugeMetricFamily(
            "sipagent_mcp_server_up",
            "1 while an MCP server that we ask ourselves is connected.",
            labels=["server"],
        )
        for name, up in self._states().items():
            gauge.add_metric([name], float(up))
        yield gauge

    def describe(self) -> Iterable[Metric]:
        return ()  # registering must not ask for states: there may be none yet
