"""Remembers calls: facts go in, records come out."""

from __future__ import annotations

from sipagent.store.base import CallStore
from sipagent.store.calls import SqlCallStore
from sipagent.store.memory import MemoryCallStore
from sipagent.store.places import spill_folder
from sipagent.store.records import (
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
)
from sipagent.store.urls import DEFAULT_URL, open_store

__all__ = [
    "DEFAULT_URL",
    "CallEnded",
    "CallFact",
    "CallNoted",
    "CallOpened",
    "CallRecord",
    "CallStore",
    "CallSummary",
    "ConfigurationLoaded",
    "Fact",
    "LatencyMeasured",
    "MemoryCallStore",
    "SqlCallStore",
    "StateChanged",
    "TokensUsed",
    "ToolRan",
    "TranscriptLineSaid",
    "TranscriptRole",
    "open_store",
    "spill_folder",
]
