"""Calls in a database, whichever it is."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from sipagent.clock import utc_now
from sipagent.identifiers import CallId
from sipagent.store.backend import Backend
from sipagent.store.carrier_queries import (
    batched,
    due_after,
    files_at,
    legs_calls,
    reports_of_call,
    reports_of_leg,
)
from sipagent.store.carrier_records import CarrierReported, RecordingFile, in_order
from sipagent.store.database import Database
from sipagent.store.records import CallRecord, CallSummary, ConfigurationLoaded, Fact, UsageTotal
from sipagent.store.rows import (
    configuration_of,
    record_of,
    recording_of,
    report_of,
    summary_of,
    usage_total_of,
)
from sipagent.store.sql_leases import SqlLeases
from sipagent.store.statements import FactStatements, batch
from sipagent.store.tables import (
    call_notes,
    call_states,
    calls,
    configurations,
    latencies,
    live_calls,
    recordings,
    tool_runs,
    transcript_lines,
    usage,
)


class SqlCallStore(SqlLeases):
    """See `Store`."""

    def __init__(self, backend: Backend) -> None:
        database = Database(backend)
        super().__init__(database, backend)
        self._statements = FactStatements(backend.insert)

    async def open(self) -> None:
        """See `CallStore.open`. When it raises `StoreError`, nothing is left open."""
        await self._database.open()

    async def aclose(self) -> None:
        """See `CallStore.aclose`. Waits for whatever is under way."""
        await self._presence.aclose()
        await self._database.aclose()

    async def ping(self) -> None:
        """See `CallStore.ping`. Cancelling is safe."""
        await self._database.run("reach", sa.select(sa.literal(1)), {})

    async def apply(self, facts: Sequence[Fact]) -> None:
        """See `CallStore.apply`. One transaction; one statement for each kind of fact."""
        steps = batch(facts, self._statements, now=utc_now())
        if steps:
            await self._database.write(steps)

    async def call(self, call_id: CallId) -> CallRecord | None:
        """See `CallStore.call`."""

        def of_this_call(table: sa.Table, *order: sa.Column[Any]) -> sa.Select[Any]:
            return sa.select(table).where(table.c.call_id == call_id).order_by(*order)

        found, *lists = await self._database.read(
            of_this_call(calls),
            of_this_call(call_states, call_states.c.sequence),
            of_this_call(transcript_lines, transcript_lines.c.position, transcript_lines.c.item_id),
            of_this_call(tool_runs, tool_runs.c.started_at, tool_runs.c.arrival),
            of_this_call(usage, usage.c.at, usage.c.arrival),
            of_this_call(latencies, latencies.c.arrival),
            of_this_call(call_notes, call_notes.c.sequence),
            reports_of_call(call_id),
            of_this_call(recordings, recordings.c.started_at, recordings.c.path),
        )
        if not found:
            return None
        names = ("states", "transcript", "tools", "usage", "latencies", "notes", "reports", "recordings")
        return record_of(found[0], **dict(zip(names, lists, strict=True)))

    async def calls(
        self,
        *,
        limit: int = 50,
        before: datetime | None = None,
        agent: str | None = None,
        reason: str | None = None,
    ) -> tuple[CallSummary, ...]:
        """See `CallStore.calls`."""
        query = sa.select(calls).order_by(calls.c.started_at.desc(), calls.c.call_id.desc()).limit(limit)
        if before is not None:
            query = query.where(calls.c.started_at < before)
        if agent is not None:
            query = query.where(calls.c.agent == agent)
        if reason is not None:
            query = query.where(calls.c.end_reason == reason)
        (rows,) = await self._database.read(query)
        return tuple(summary_of(row) for row in rows)

    async def configuration(self, fingerprint: str) -> ConfigurationLoaded | None:
        """See `CallStore.configuration`."""
        query = sa.select(configurations).where(configurations.c.fingerprint == fingerprint)
        (rows,) = await self._database.read(query)
        return configuration_of(rows[0]) if rows else None

    async def configurations(self, *, limit: int = 50) -> tuple[ConfigurationLoaded, ...]:
        """See `CallStore.configurations`."""
        newest_first = (configurations.c.loaded_at.desc(), configurations.c.fingerprint.desc())
        query = sa.select(configurations).order_by(*newest_first).limit(limit)
        (rows,) = await self._database.read(query)
        return tuple(configuration_of(row) for row in rows)

    async def unfinished(self, before: datetime) -> tuple[CallSummary, ...]:
        """See `CallStore.unfinished`."""
        is_claimed = sa.exists().where(live_calls.c.call_id == calls.c.call_id)
        query = (
            sa.select(calls)
            .where(calls.c.ended_at.is_(None), calls.c.started_at < before, ~is_claimed)
            .order_by(calls.c.started_at, calls.c.call_id)
        )
        (rows,) = await self._database.read(query)
        return tuple(summary_of(row) for row in rows)

    async def carrier_reports(
        self, carrier_call_id: str, *, carrier: str | None = None
    ) -> tuple[CarrierReported, ...]:
        """See `CallStore.carrier_reports`."""
        (rows,) = await self._database.read(reports_of_leg(carrier_call_id, carrier))
        return in_order(report_of(row) for row in rows)

    async def calls_of_leg(self, carrier_call_id: str) -> tuple[CallSummary, ...]:
        """See `CallStore.calls_of_leg`."""
        (rows,) = await self._database.read(legs_calls(carrier_call_id))
        return tuple(summary_of(row) for row in rows)

    async def recordings_due(
        self, now: datetime, *, limit: int = 100, after: RecordingFile | None = None
    ) -> tuple[RecordingFile, ...]:
        """See `CallStore.recordings_due`."""
        (rows,) = await self._database.read(due_after(now, limit, after))
        return tuple(recording_of(row) for row in rows)

    async def recordings_at(self, paths: Collection[str]) -> tuple[RecordingFile, ...]:
        """See `CallStore.recordings_at`."""
        queries = [files_at(some) for some in batched(sorted(paths))]
        return tuple(recording_of(row) for rows in await self._database.read(*queries) for row in rows)

    async def usage_since(self, moment: datetime) -> tuple[UsageTotal, ...]:
        """See `CallStore.usage_since`."""
        counted = (
            "input_tokens", "cached_tokens", "output_tokens", "input_audio_tokens", "output_audio_tokens",
            "duration_s", "cached_audio_tokens",
        )  # fmt: skip
        group = (calls.c.model, usage.c.kind)
        query = (
            sa.select(*group, *(sa.func.sum(usage.c[name]).label(name) for name in counted))
            .join_from(usage, calls, usage.c.call_id == calls.c.call_id)
            .where(usage.c.at >= moment)
            .group_by(*group)
            .order_by(sa.func.coalesce(calls.c.model, ""), usage.c.kind)
        )
        (rows,) = await self._database.read(query)
        return tuple(usage_total_of(row) for row in rows)
