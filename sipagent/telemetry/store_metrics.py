"""Metrics of what is remembered: whether the database takes it, and what becomes of it until then."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge


class StoreMetrics:
    """The ``sipagent_store_*`` metrics of one service. Never waits and never raises."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._up = Gauge(
            "sipagent_store_up", "1 while the database takes what it is given.", registry=registry
        )
        self._up.set(1)
        self._queue_depth = Gauge(
            "sipagent_store_queue_facts", "Facts that wait in memory to be written.", registry=registry
        )
        self._dropped = Counter(
            "sipagent_store_facts_dropped", "Facts that were never written.", registry=registry
        )
        self._rejected = Counter(
            "sipagent_store_facts_rejected",
            "Facts that the database will never take, or that cannot be read; set aside on disk.",
            registry=registry,
        )
        self._spilled = Counter(
            "sipagent_store_facts_spilled", "Facts that were put on disk to wait.", registry=registry
        )
        self._replayed = Counter(
            "sipagent_store_facts_replayed", "Facts on disk that the database took.", registry=registry
        )
        self._spill_bytes = Gauge(
            "sipagent_store_spill_bytes", "What waits on disk to be written.", registry=registry
        )
        self._spill_ok = Gauge(
            "sipagent_store_spill_ok", "1 unless facts could not be put on disk.", registry=registry
        )
        self._spill_ok.set(1)

    def up(self, answers: bool) -> None:
        """Whether the database took what it was given last."""
        self._up.set(answers)

    def queue_depth(self, facts: int) -> None:
        """So many facts wait in memory now."""
        self._queue_depth.set(facts)

    def dropped(self, facts: int = 1) -> None:
        """So many facts are lost."""
        self._dropped.inc(facts)

    def rejected(self, facts: int) -> None:
        """So many facts were set aside for people to look at."""
        self._rejected.inc(facts)

    def spilled(self, facts: int) -> None:
        """So many facts were put on disk."""
        self._spilled.inc(facts)

    def replayed(self, facts: int) -> None:
        """So many facts that were on disk are in the database."""
        self._replayed.inc(facts)

    def spill_bytes(self, size: int) -> None:
        """So much waits on disk now."""
        self._spill_bytes.set(size)

    def spill_ok(self, works: bool) -> None:
        """Whether facts could be put on disk when it was last tried."""
        self._spill_ok.set(works)
