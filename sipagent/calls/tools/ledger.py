"""What was done in the world during one call, so that nothing is done twice. Pure.

Work is named by its tool and its arguments: a model that was interrupted, or lost its connection, asks for
the same thing again under another call id. A piece of work is in one of four states::

    (unknown to the ledger) ── begin ──► running ── done ──────────────► done
              ▲                              │
              │                              ├─ failed, no effect ─► forgotten: it may be tried again
              └──────────────────────────────┘
                                             └─ failed, effect unknown ► unclear, for ever

Every call of the model is remembered as well, whatever became of the work: a call that is told twice has one
outcome.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Literal

from sipagent.calls.tools.failures import Effect

MOST_ENTRIES = 1000
"""Calls of one conversation that are remembered. None is ever forgotten: beyond, nothing more is begun."""

LONGEST_ARGUMENTS = 300
"""Characters; longer ones are named by their digest. PostgreSQL finds nothing by more than 2.7 kB."""

State = Literal["running", "done", "failed", "unclear", "full"]


@dataclass(slots=True, kw_only=True, eq=False)
class Entry:
    """One piece of work that was begun."""

    tool_call_id: str
    state: State
    outcome: Any = None
    """Of one that is done, what the tool returned; of one that failed, the sentence for the model."""


class Ledger:
    """The side effects of one call."""

    def __init__(self) -> None:
        self._by_key: dict[str, Entry] = {}
        self._by_id: dict[str, Entry] = {}

    def earlier(self, key: str, tool_call_id: str) -> Entry | None:
        """What became of the same call of the model, or else of the same work; None when it is new."""
        return self._by_id.get(tool_call_id) or self._by_key.get(key)

    def begin(self, key: str, tool_call_id: str) -> Entry | None:
        """Begin a piece of work, and return None; it must be ended by `done` or `failed`.

        When it is not new, or the ledger is full, nothing is begun, and the entry says why.
        """
        found = self.earlier(key, tool_call_id)
        if found is not None:
            return found
        if len(self._by_id) >= MOST_ENTRIES:
            return Entry(tool_call_id=tool_call_id, state="full")
        self._by_key[key] = self._by_id[tool_call_id] = Entry(tool_call_id=tool_call_id, state="running")
        return None

    def remember(self, key: str, tool_call_id: str, *, state: State, outcome: Any) -> None:
        """What another process did for this call, before anything is begun here."""
        entry = Entry(tool_call_id=tool_call_id, state=state, outcome=outcome)
        self._by_id[tool_call_id] = entry
        if state != "failed":
            self._by_key[key] = entry

    def done(self, key: str, outcome: Any) -> None:
        """The work that runs under ``key`` is done."""
        entry = self._running(key)
        entry.state, entry.outcome = "done", outcome

    def failed(self, key: str, effect: Effect, sentence: str) -> None:
        """The work that runs under ``key`` failed. Without effect it may be begun again by another call."""
        entry = self._running(key)
        entry.outcome = sentence
        if effect == "unknown":
            entry.state = "unclear"
        else:
            entry.state = "failed"
            del self._by_key[key]

    def _running(self, key: str) -> Entry:
        entry = self._by_key[key]
        assert entry.state == "running", f"work that is {entry.state} cannot end once more"
        return entry


def work_key(tool_name: str, arguments_json: str) -> str:
    """The name of a piece of work: equal for arguments that mean the same as JSON, however written. Never
    long: databases look it up."""
    try:
        arguments = json.dumps(_normal(json.loads(arguments_json or "{}")), sort_keys=True)
    except (ValueError, RecursionError):
        arguments = arguments_json
    if len(arguments) > LONGEST_ARGUMENTS:
        arguments = hashlib.sha256(arguments.encode(errors="surrogatepass")).hexdigest()
    return f"{tool_name} {arguments}"


def _normal(value: Any) -> Any:
    match value:
        case float() if value.is_integer():
            return int(value)
        case dict():
            return {key: _normal(inner) for key, inner in value.items()}
        case list():
            return [_normal(inner) for inner in value]
        case _:
            return value


def state_after(effect: Effect) -> State:
    """How work stands that failed with ``effect``."""
    return "unclear" if effect == "unknown" else "failed"
