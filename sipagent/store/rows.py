"""Rows of the tables as records. Pure; the other direction is `sipagent.store.statements`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Row

from sipagent.identifiers import CallId
from sipagent.store.carrier_records import CarrierReported, RecordingFile, in_order
from sipagent.store.records import (
    FIRST_STATE,
    CallNoted,
    CallRecord,
    CallSummary,
    ConfigurationLoaded,
    LatencyMeasured,
    StateChanged,
    TokensUsed,
    ToolRan,
    TranscriptLineSaid,
    UsageTotal,
    with_one_end,
)

Rows = Iterable[Row[Any]]


def summary_of(call: Row[Any]) -> CallSummary:
    """A row of ``calls``, as the list of calls shows it."""
    return CallSummary(
        call_id=CallId(call.call_id),
        started_at=call.started_at,
        ended_at=call.ended_at,
        state=call.state,
        caller=call.caller,
        dialled=call.dialled,
        agent=call.agent,
        end_reason=call.end_reason,
        fault_owner=call.fault_owner,
    )


def record_of(
    call: Row[Any],
    *,
    states: Rows,
    transcript: Rows,
    tools: Rows,
    usage: Rows,
    latencies: Rows,
    notes: Rows,
    reports: Rows,
    recordings: Rows,
) -> CallRecord:
    """A row of ``calls`` with the rows of its other tables, each already in its order."""
    call_id = CallId(call.call_id)
    return CallRecord(
        summary=summary_of(call),
        webhook_id=call.webhook_id or "",
        model=call.model,
        sip_call_id=call.sip_call_id,
        configuration=call.configuration,
        end_detail=call.end_detail,
        states=_states_of(call, states),
        transcript=tuple(
            TranscriptLineSaid(
                call_id=call_id,
                item_id=row.item_id,
                position=row.position,
                role=row.role,
                text=row.text,
                interrupted=row.interrupted,
                at=row.at,
            )
            for row in transcript
        ),
        tools=tuple(
            ToolRan(
                call_id=call_id,
                tool_call_id=row.tool_call_id,
                name=row.name,
                arguments=row.arguments,
                started_at=row.started_at,
                output=row.output,
                is_error=row.is_error,
                duration_ms=row.duration_ms,
            )
            for row in tools
        ),
        usage=tuple(_usage_of(call_id, row) for row in usage),
        latencies=tuple(
            LatencyMeasured(
                call_id=call_id, name=row.name, sequence=row.sequence, milliseconds=row.milliseconds
            )
            for row in latencies
        ),
        notes=tuple(
            CallNoted(call_id=call_id, sequence=row.sequence, at=row.at, kind=row.kind, data=row.data)
            for row in notes
        ),
        line=call.line,
        carrier=call.carrier,
        carrier_call_id=call.carrier_call_id,
        carrier_reports=in_order(report_of(row) for row in reports),
        recordings=tuple(recording_of(row) for row in recordings),
    )


def report_of(row: Row[Any]) -> CarrierReported:
    """A row of ``carrier_reports``."""
    return CarrierReported(
        carrier=row.carrier,
        carrier_call_id=row.carrier_call_id,
        at=row.at,
        kind=row.kind,
        data=row.data,
        event_id=row.event_id,
        call_id=None if row.call_id is None else CallId(row.call_id),
        parent_call_id=row.parent_call_id,
    )


def recording_of(row: Row[Any]) -> RecordingFile:
    """A row of ``recordings``."""
    return RecordingFile(
        call_id=CallId(row.call_id),
        path=row.path,
        host=row.host,
        started_at=row.started_at,
        seconds=row.seconds,
        consent=row.consent,
        keep_until=row.keep_until,
        deleted_at=row.deleted_at,
        deleted_because=row.deleted_because,
    )


def configuration_of(row: Row[Any]) -> ConfigurationLoaded:
    """A row of ``configurations``."""
    return ConfigurationLoaded(
        fingerprint=row.fingerprint,
        number=row.number,
        at=row.loaded_at,
        text=row.text,
        summary=row.summary,
    )


def _states_of(call: Row[Any], rows: Rows) -> tuple[StateChanged, ...]:
    call_id = CallId(call.call_id)
    states = tuple(
        StateChanged(call_id=call_id, sequence=row.sequence, state=row.state, at=row.at) for row in rows
    )
    if call.webhook_id is not None and not (states and states[0].sequence == 0):
        # The opening is the first state; it is not written twice.
        opening = StateChanged(call_id=call_id, sequence=0, state=FIRST_STATE, at=call.started_at)
        states = (opening, *states)
    return with_one_end(states, call.ended_at)


def _usage_of(call_id: CallId, row: Row[Any]) -> TokensUsed:
    return TokensUsed(
        call_id=call_id,
        source_id=row.source_id,
        kind=row.kind,
        at=row.at,
        input_tokens=row.input_tokens,
        cached_tokens=row.cached_tokens,
        output_tokens=row.output_tokens,
        input_audio_tokens=row.input_audio_tokens,
        output_audio_tokens=row.output_audio_tokens,
        duration_s=row.duration_s,
        cached_audio_tokens=row.cached_audio_tokens,
    )


def usage_total_of(row: Row[Any]) -> UsageTotal:
    """A row of sums over ``usage``."""
    return UsageTotal(
        model=row.model,
        kind=row.kind,
        input_tokens=row.input_tokens,
        cached_tokens=row.cached_tokens,
        output_tokens=row.output_tokens,
        input_audio_tokens=row.input_audio_tokens,
        output_audio_tokens=row.output_audio_tokens,
        duration_s=row.duration_s,
        cached_audio_tokens=row.cached_audio_tokens,
    )
