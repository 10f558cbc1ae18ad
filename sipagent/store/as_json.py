"""Records as JSON can hold them; moments stay datetimes for whoever writes the JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from sipagent.store.carrier_records import CarrierReported
from sipagent.store.leases import AuditLine, WorkerSeen
from sipagent.store.records import CallRecord, CallSummary, ConfigurationLoaded


def summary_as_json(summary: CallSummary) -> dict[str, Any]:
    """The fields of ``summary``."""
    return asdict(summary)


def record_as_json(record: CallRecord) -> dict[str, Any]:
    """All of ``record``: the summary's fields at the top, lists below without repeating the call's id; what a
    note holds is JSON, no text."""
    fields = asdict(record)
    summary = fields.pop("summary")
    for name in ("states", "transcript", "tools", "usage", "latencies", "notes", "recordings"):
        fields[name] = [
            {key: value for key, value in row.items() if key != "call_id"} for row in fields[name]
        ]
    for note in (*fields["notes"], *fields["carrier_reports"]):
        note["data"] = note_data(note["data"])
    return {**summary, **fields}


def report_as_json(report: CarrierReported) -> dict[str, Any]:
    """The fields of ``report``; what it holds is JSON, no text."""
    return {**asdict(report), "data": note_data(report.data)}


def configuration_as_json(configuration: ConfigurationLoaded) -> dict[str, Any]:
    """All of ``configuration``, named as the list of configurations names it."""
    return {
        "fingerprint": configuration.fingerprint,
        "generation": configuration.number,
        "loaded_at": configuration.at,
        "summary": configuration.summary,
        "text": configuration.text,
    }


def audit_as_json(line: AuditLine) -> dict[str, Any]:
    """Who asked what of a call, and what came of it; None until somebody answered."""
    command, outcome = line.command, line.outcome
    return {
        "asked_at": command.asked_at,
        "asked_by": command.asked_by,
        "verb": command.verb,
        "argument": command.argument,
        "outcome": None if outcome is None else outcome.outcome,
        "detail": None if outcome is None else outcome.detail,
        "answered_at": None if outcome is None else outcome.answered_at,
    }


def worker_as_json(worker: WorkerSeen) -> dict[str, Any]:
    """The fields of ``worker``."""
    return asdict(worker)


def note_data(text: str) -> Any:
    """What a note holds; the text itself where that is no JSON."""
    try:
        return json.loads(text)
    except ValueError:  # somebody else's database, or a later version's
        return text
