"""What happens between processes that share calls, for ``/metrics``."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge


class WorkerMetrics:
    """The part of the metrics of one service that is about workers. Never waits and never raises."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._adopted = Counter(
            "sipagent_calls_adopted", "Calls taken over from a worker that was gone.", registry=registry
        )
        self._let_go = Counter(
            "sipagent_calls_let_go",
            "Calls left to other workers: handed over, or taken over while this process did not run.",
            registry=registry,
        )
        self._deferred = Counter(
            "sipagent_claims_deferred",
            "Calls answered before the database had taken their claim.",
            registry=registry,
        )
        self._stalls = Counter(
            "sipagent_worker_stalls", "Times this process did not run for long.", registry=registry
        )
        self._database_up = Gauge(
            "sipagent_worker_heartbeat_ok", "1 while the database takes heartbeats.", registry=registry
        )

    def adopted(self) -> None:
        """A call was taken over."""
        self._adopted.inc()

    def let_go(self) -> None:
        """A call was left to another worker."""
        self._let_go.inc()

    def claim_deferred(self) -> None:
        """A call was answered before its claim was stored."""
        self._deferred.inc()

    def stalled(self) -> None:
        """This process did not run for long."""
        self._stalls.inc()

    def watch_heartbeat(self, is_ok: Callable[[], bool]) -> None:
        """Ask ``is_ok`` whether the database takes heartbeats."""
        self._database_up.set_function(lambda: float(is_ok()))
