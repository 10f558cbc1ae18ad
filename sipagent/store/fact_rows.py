"""Facts as rows of the tables. Pure; the other direction is `sipagent.store.rows`."""

from __future__ import annotations

from typing import Any, TypeAlias

from sipagent.store.carrier_records import CarrierReported, RecordingDeleted, RecordingKept
from sipagent.store.records import (
    CallCheckpointed,
    CallEnded,
    CallNoted,
    CallOpened,
    ConfigurationLoaded,
    LatencyMeasured,
    StateChanged,
    TokensUsed,
    ToolRan,
    TranscriptLineSaid,
)

Row: TypeAlias = dict[str, Any]


def opened_row(fact: CallOpened) -> Row:
    """A `CallOpened`."""
    return {
        "call_id": fact.call_id,
        "started_at": fact.at,
        "webhook_id": fact.webhook_id,
        "caller": fact.caller,
        "dialled": fact.dialled,
        "agent": fact.agent,
        "model": fact.model,
        "sip_call_id": fact.sip_call_id,
        "configuration": fact.configuration,
        "line": fact.line,
        "carrier": fact.carrier,
        "carrier_call_id": fact.carrier_call_id,
    }


def state_row(fact: StateChanged) -> Row:
    """A `StateChanged`."""
    return {"call_id": fact.call_id, "sequence": fact.sequence, "state": fact.state, "at": fact.at}


def line_row(fact: TranscriptLineSaid) -> Row:
    """A `TranscriptLineSaid`."""
    return {
        "call_id": fact.call_id,
        "item_id": fact.item_id,
        "position": fact.position,
        "role": fact.role,
        "text": fact.text,
        "interrupted": fact.interrupted,
        "at": fact.at,
    }


def run_row(fact: ToolRan) -> Row:
    """A `ToolRan`."""
    return {
        "call_id": fact.call_id,
        "tool_call_id": fact.tool_call_id,
        "name": fact.name,
        "arguments": fact.arguments,
        "started_at": fact.started_at,
        "output": fact.output,
        "is_error": fact.is_error,
        "duration_ms": fact.duration_ms,
    }


def usage_row(fact: TokensUsed) -> Row:
    """A `TokensUsed`."""
    return {
        "call_id": fact.call_id,
        "kind": fact.kind,
        "source_id": fact.source_id,
        "at": fact.at,
        "input_tokens": fact.input_tokens,
        "cached_tokens": fact.cached_tokens,
        "output_tokens": fact.output_tokens,
        "input_audio_tokens": fact.input_audio_tokens,
        "output_audio_tokens": fact.output_audio_tokens,
        "duration_s": fact.duration_s,
        "cached_audio_tokens": fact.cached_audio_tokens,
    }


def latency_row(fact: LatencyMeasured) -> Row:
    """A `LatencyMeasured`."""
    return {
        "call_id": fact.call_id,
        "name": fact.name,
        "sequence": fact.sequence,
        "milliseconds": fact.milliseconds,
    }


def note_row(fact: CallNoted) -> Row:
    """A `CallNoted`."""
    return {
        "call_id": fact.call_id,
        "sequence": fact.sequence,
        "at": fact.at,
        "kind": fact.kind,
        "data": fact.data,
    }


def checkpoint_row(fact: CallCheckpointed) -> Row:
    """A `CallCheckpointed`."""
    return {
        "of_call": fact.call_id,
        "new_checkpoint": fact.data,
        "new_epoch": fact.epoch,
        "new_sequence": fact.sequence,
    }


def order_of(checkpoint: Row) -> tuple[int, int]:
    """A `Row`."""
    return checkpoint["new_epoch"], checkpoint["new_sequence"]


def ended_row(fact: CallEnded) -> Row:
    """A `CallEnded`."""
    return {
        "of_call": fact.call_id,
        "new_ended_at": fact.at,
        "new_reason": fact.reason,
        "new_owner": fact.fault_owner,
        "new_detail": fact.detail,
    }


def configuration_row(fact: ConfigurationLoaded) -> Row:
    """A `ConfigurationLoaded`."""
    return {
        "fingerprint": fact.fingerprint,
        "number": fact.number,
        "loaded_at": fact.at,
        "text": fact.text,
        "summary": fact.summary,
    }


def report_row(fact: CarrierReported) -> Row:
    """A `CarrierReported`."""
    return {
        "carrier": fact.carrier,
        "event_id": fact.event_id,
        "carrier_call_id": fact.carrier_call_id,
        "parent_call_id": fact.parent_call_id,
        "call_id": fact.call_id,
        "at": fact.at,
        "kind": fact.kind,
        "data": fact.data,
    }


def recording_row(fact: RecordingKept) -> Row:
    """A `RecordingKept`."""
    return {
        "call_id": fact.call_id,
        "path": fact.path,
        "host": fact.host,
        "started_at": fact.started_at,
        "seconds": fact.seconds,
        "consent": fact.consent,
        "keep_until": fact.keep_until,
    }


def deletion_row(fact: RecordingDeleted) -> Row:
    """A `RecordingDeleted`."""
    return {
        "of_call": fact.call_id,
        "of_path": fact.path,
        "new_deleted_at": fact.at,
        "new_reason": fact.reason,
    }
