"""A store that tells what it has kept, for whoever shows calls as they go."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime

from sipagent.identifiers import CallId
from sipagent.store import (
    CallRecord,
    CallStore,
    CallSummary,
    CarrierReported,
    ConfigurationLoaded,
    Fact,
    RecordingFile,
    UsageTotal,
)


class WatchedStore:
    """A `CallStore` that tells ``watch`` of every fact it has kept, and is otherwise ``store``."""

    def __init__(self, store: CallStore, watch: Callable[[Fact], None]) -> None:
        self._store = store
        self._watch = watch

    async def open(self) -> None:
        """As `CallStore.open`."""
        await self._store.open()

    async def aclose(self) -> None:
        """As `CallStore.aclose`."""
        await self._store.aclose()

    async def ping(self) -> None:
        """As `CallStore.ping`."""
        await self._store.ping()

    async def apply(self, facts: Sequence[Fact]) -> None:
        """As `CallStore.apply`; only what was kept is told."""
        await self._store.apply(facts)
        for fact in facts:
            self._watch(fact)

    async def call(self, call_id: CallId) -> CallRecord | None:
        """As `CallStore.call`."""
        return await self._store.call(call_id)

    async def calls(
        self,
        *,
        limit: int = 50,
        before: datetime | None = None,
        agent: str | None = None,
        reason: str | None = None,
    ) -> tuple[CallSummary, ...]:
        """As `CallStore.calls`."""
        return await self._store.calls(limit=limit, before=before, agent=agent, reason=reason)

    async def configuration(self, fingerprint: str) -> ConfigurationLoaded | None:
        """As `CallStore.configuration`."""
        return await self._store.configuration(fingerprint)

    async def configurations(self, *, limit: int = 50) -> tuple[ConfigurationLoaded, ...]:
        """As `CallStore.configurations`."""
        return await self._store.configurations(limit=limit)

    async def unfinished(self, before: datetime) -> tuple[CallSummary, ...]:
        """As `CallStore.unfinished`."""
        return await self._store.unfinished(before)

    async def carrier_reports(
        self, carrier_call_id: str, *, carrier: str | None = None
    ) -> tuple[CarrierReported, ...]:
        """As `CallStore.carrier_reports`."""
        return await self._store.carrier_reports(carrier_call_id, carrier=carrier)

    async def calls_of_leg(self, carrier_call_id: str) -> tuple[CallSummary, ...]:
        """As `CallStore.calls_of_leg`."""
        return await self._store.calls_of_leg(carrier_call_id)

    async def recordings_due(
        self, now: datetime, *, limit: int = 100, after: RecordingFile | None = None
    ) -> tuple[RecordingFile, ...]:
        """As `CallStore.recordings_due`."""
        return await self._store.recordings_due(now, limit=limit, after=after)

    async def recordings_at(self, paths: Collection[str]) -> tuple[RecordingFile, ...]:
        """As `CallStore.recordings_at`."""
        return await self._store.recordings_at(paths)

    async def usage_since(self, moment: datetime) -> tuple[UsageTotal, ...]:
        """As `CallStore.usage_since`."""
        return await self._store.usage_since(moment)
