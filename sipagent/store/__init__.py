"""Remembers calls: facts go in, records come out; and knows which worker holds which call."""

from __future__ import annotations

from sipagent.store.base import CallStore, Store
from sipagent.store.calls import SqlCallStore
from sipagent.store.carrier_records import (
    CarrierReported,
    DeletionReason,
    RecordingDeleted,
    RecordingFile,
    RecordingKept,
)
from sipagent.store.leases import (
    AuditLine,
    CallCommand,
    CallLeases,
    ClaimedCall,
    CommandOutcome,
    Effect,
    EffectAnswer,
    EffectBegun,
    EffectFenced,
    EffectKnown,
    SignalKind,
    WorkerSeen,
    WorkerState,
)
from sipagent.store.memory import MemoryCallStore
from sipagent.store.memory_leases import MemoryDatabase
from sipagent.store.places import spill_folder
from sipagent.store.records import (
    CallCheckpointed,
    CallEnded,
    CallFact,
    CallNoted,
    CallOpened,
    CallRecord,
    CallSummary,
    ConfigurationLoaded,
    Fact,
    LatencyMeasured,
    StateChanged,
    TokensUsed,
    ToolRan,
    TranscriptLineSaid,
    TranscriptRole,
    UsageTotal,
)
from sipagent.store.urls import DEFAULT_URL, open_store

__all__ = [
    "AuditLine",
    "CallCheckpointed",
    "CallCommand",
    "CallEnded",
    "CallFact",
    "CallLeases",
    "CallNoted",
    "CallOpened",
    "CallRecord",
    "CallStore",
    "CallSummary",
    "CarrierReported",
    "ClaimedCall",
    "CommandOutcome",
    "ConfigurationLoaded",
    "DEFAULT_URL",
    "DeletionReason",
    "Effect",
    "EffectAnswer",
    "EffectBegun",
    "EffectFenced",
    "EffectKnown",
    "Fact",
    "LatencyMeasured",
    "MemoryCallStore",
    "MemoryDatabase",
    "RecordingDeleted",
    "RecordingFile",
    "RecordingKept",
    "SignalKind",
    "SqlCallStore",
    "StateChanged",
    "Store",
    "TokensUsed",
    "ToolRan",
    "TranscriptLineSaid",
    "TranscriptRole",
    "UsageTotal",
    "WorkerSeen",
    "WorkerState",
    "open_store",
    "spill_folder",
]
