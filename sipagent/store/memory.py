"""A store that forgets everything when the process ends: for trials and tests."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sipagent.identifiers import CallId
from sipagent.store.carrier_records import CarrierReported, RecordingFile
from sipagent.store.memory_calls import DEFAULT_CAPACITY, DEFAULT_CONFIGURATIONS, MemoryCalls, due_order
from sipagent.store.memory_leases import MemoryDatabase, MemoryLeases
from sipagent.store.records import (
    CallCheckpointed,
    CallEnded,
    CallRecord,
    CallSummary,
    ConfigurationLoaded,
    Fact,
    UsageTotal,
)


class MemoryCallStore(MemoryLeases):
    """See `Store`. Keeps the last ``capacity`` calls and ``configurations``; beyond it the one that was heard
    of first is forgotten. Stores that are given the same ``database`` share everything, its bounds too."""

    def __init__(
        self,
        *,
        capacity: int = DEFAULT_CAPACITY,
        configurations: int = DEFAULT_CONFIGURATIONS,
        database: MemoryDatabase | None = None,
    ) -> None:
        calls = MemoryCalls(capacity=capacity, configurations=configurations)
        super().__init__(database or MemoryDatabase(calls=calls))

    async def open(self) -> None:
        """There is nothing to open."""

    async def aclose(self) -> None:
        """The liveness of workers that have not left is freed; what was remembered can still be read."""
        self._let_go()

    async def ping(self) -> None:
        """Memory always answers."""

    async def apply(self, facts: Sequence[Fact]) -> None:
        """See `CallStore.apply`; never waits."""
        for fact in facts:
            self._database.calls.apply(fact)
            if isinstance(fact, CallCheckpointed):
                self._database.checkpoint(fact)
            elif isinstance(fact, CallEnded):
                self._database.end(fact.call_id)
        for call_id in self._database.calls.shrink():
            self._database.forget(call_id)

    async def call(self, call_id: CallId) -> CallRecord | None:
        """See `CallStore.call`; never waits."""
        return self._database.calls.record(call_id)

    async def calls(
        self,
        *,
        limit: int = 50,
        before: datetime | None = None,
        agent: str | None = None,
        reason: str | None = None,
    ) -> tuple[CallSummary, ...]:
        """See `CallStore.calls`; never waits."""

        def is_wanted(summary: CallSummary) -> bool:
            return (
                (before is None or summary.started_at < before)
                and (agent is None or summary.agent == agent)
                and (reason is None or summary.end_reason == reason)
            )

        return tuple(self._database.calls.summaries(is_wanted)[:limit])

    async def configuration(self, fingerprint: str) -> ConfigurationLoaded | None:
        """See `CallStore.configuration`; never waits."""
        return self._database.calls.configuration(fingerprint)

    async def configurations(self, *, limit: int = 50) -> tuple[ConfigurationLoaded, ...]:
        """See `CallStore.configurations`; never waits."""
        return tuple(self._database.calls.configurations()[:limit])

    async def unfinished(self, before: datetime) -> tuple[CallSummary, ...]:
        """See `CallStore.unfinished`; never waits."""

        def is_wanted(summary: CallSummary) -> bool:
            is_claimed = summary.call_id in self._database.claims
            return summary.ended_at is None and summary.started_at < before and not is_claimed

        return tuple(reversed(self._database.calls.summaries(is_wanted)))

    async def carrier_reports(
        self, carrier_call_id: str, *, carrier: str | None = None
    ) -> tuple[CarrierReported, ...]:
        """See `CallStore.carrier_reports`; never waits."""
        return self._database.calls.reports.of_leg(carrier_call_id, carrier)

    async def calls_of_leg(self, carrier_call_id: str) -> tuple[CallSummary, ...]:
        """See `CallStore.calls_of_leg`; never waits."""
        return self._database.calls.of_leg(carrier_call_id)

    async def recordings_due(
        self, now: datetime, *, limit: int = 100, after: RecordingFile | None = None
    ) -> tuple[RecordingFile, ...]:
        """See `CallStore.recordings_due`; never waits."""
        due = self._database.calls.recordings_due(now)
        rest = due if after is None else [file for file in due if due_order(file) > due_order(after)]
        return tuple(rest[:limit])

    async def recordings_at(self, paths: Collection[str]) -> tuple[RecordingFile, ...]:
        """See `CallStore.recordings_at`; never waits."""
        return tuple(self._database.calls.recordings_at(frozenset(paths)))

    async def usage_since(self, moment: datetime) -> tuple[UsageTotal, ...]:
        """See `CallStore.usage_since`; never waits."""
        return self._database.calls.usage_since(moment)
