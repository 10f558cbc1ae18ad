"""A store that forgets everything when the process ends: for trials and tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import assert_never

from sipagent.clock import utc_now
from sipagent.identifiers import CallId, ItemId, ToolCallId
from sipagent.store.records import (
    FIRST_STATE,
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
    moment_of,
)

DEFAULT_CAPACITY = 10_000
"""Calls."""

DEFAULT_CONFIGURATIONS = 100
"""Configurations; each holds the text of its files."""


@dataclass(slots=True, kw_only=True)
class _Call:
    """Everything remembered of one call; each dictionary is keyed by what makes a fact unique."""

    first_heard_at: datetime
    opened: CallOpened | None = None
    ended: CallEnded | None = None
    states: dict[int, StateChanged] = field(default_factory=dict)
    lines: dict[ItemId, TranscriptLineSaid] = field(default_factory=dict)
    tools: dict[ToolCallId, ToolRan] = field(default_factory=dict)
    usage: dict[tuple[str, str], TokensUsed] = field(default_factory=dict)
    latencies: dict[tuple[str, int], LatencyMeasured] = field(default_factory=dict)
    notes: dict[int, CallNoted] = field(default_factory=dict)

    def apply(self, fact: CallFact) -> None:
        match fact:
            case CallOpened():
                self.opened = self.opened or fact
            case StateChanged():
                self.states[fact.sequence] = fact
            case TranscriptLineSaid():
                self.lines[fact.item_id] = fact
            case ToolRan():
                known = self.tools.get(fact.tool_call_id)
                if known is None or known.output is None or fact.output is not None:
                    self.tools[fact.tool_call_id] = fact
            case TokensUsed():
                self.usage[fact.kind, fact.source_id] = fact
            case LatencyMeasured():
                self.latencies[fact.name, fact.sequence] = fact
            case CallNoted():
                self.notes[fact.sequence] = fact
            case CallEnded():
                self.ended = self.ended or fact
            case _:
                assert_never(fact)

    def summary(self, call_id: CallId) -> CallSummary:
        opened, ended = self.opened, self.ended
        state = self.states[max(self.states)].state if self.states else FIRST_STATE
        return CallSummary(
            call_id=call_id,
            started_at=opened.at if opened else self.first_heard_at,
            ended_at=ended.at if ended else None,
            state=state,
            caller=opened.caller if opened else None,
            dialled=opened.dialled if opened else None,
            agent=opened.agent if opened else None,
            end_reason=ended.reason if ended else None,
            fault_owner=ended.fault_owner if ended else None,
        )

    def record(self, call_id: CallId) -> CallRecord:
        opened = self.opened
        states = dict(self.states)
        if opened is not None:
            states.setdefault(0, StateChanged(call_id=call_id, sequence=0, state=FIRST_STATE, at=opened.at))
        return CallRecord(
            summary=self.summary(call_id),
            webhook_id=opened.webhook_id if opened else "",
            model=opened.model if opened else None,
            sip_call_id=opened.sip_call_id if opened else None,
            configuration=opened.configuration if opened else None,
            end_detail=self.ended.detail if self.ended else None,
            states=tuple(states[sequence] for sequence in sorted(states)),
            transcript=tuple(sorted(self.lines.values(), key=lambda line: (line.position, line.item_id))),
            tools=tuple(sorted(self.tools.values(), key=lambda run: run.started_at)),
            usage=tuple(sorted(self.usage.values(), key=lambda usage: usage.at)),
            latencies=tuple(self.latencies.values()),
            notes=tuple(self.notes[sequence] for sequence in sorted(self.notes)),
        )


class MemoryCallStore:
    """Keeps the last ``capacity`` calls and ``configurations``; beyond it the one that was heard of first is
    forgotten."""

    def __init__(
        self, *, capacity: int = DEFAULT_CAPACITY, configurations: int = DEFAULT_CONFIGURATIONS
    ) -> None:
        assert capacity > 0, "a store that keeps no call remembers nothing"
        assert configurations > 0, "a store that keeps no configuration cannot show the present one"
        self._capacity = capacity
        self._most_configurations = configurations
        self._calls: dict[CallId, _Call] = {}
        self._configurations: dict[str, ConfigurationLoaded] = {}

    async def open(self) -> None:
        """There is nothing to open."""

    async def aclose(self) -> None:
        """There is nothing to close; what was remembered can still be read."""

    async def ping(self) -> None:
        """Memory always answers."""

    async def apply(self, facts: Sequence[Fact]) -> None:
        """See `CallStore.apply`; never waits."""
        for fact in facts:
            if isinstance(fact, ConfigurationLoaded):
                self._configurations.setdefault(fact.fingerprint, fact)
                continue
            call = self._calls.get(fact.call_id)
            if call is None:
                call = self._calls[fact.call_id] = _Call(first_heard_at=moment_of(fact) or utc_now())
            call.apply(fact)
        while len(self._calls) > self._capacity:
            del self._calls[next(iter(self._calls))]
        while len(self._configurations) > self._most_configurations:
            del self._configurations[next(iter(self._configurations))]

    async def call(self, call_id: CallId) -> CallRecord | None:
        """See `CallStore.call`; never waits."""
        call = self._calls.get(call_id)
        return None if call is None else call.record(call_id)

    async def calls(
        self,
        *,
        limit: int = 50,
        before: datetime | None = None,
        agent: str | None = None,
        reason: str | None = None,
    ) -> tuple[CallSummary, ...]:
        """See `CallStore.calls`; never waits."""
        found = [
            summary
            for summary in (call.summary(call_id) for call_id, call in self._calls.items())
            if (before is None or summary.started_at < before)
            and (agent is None or summary.agent == agent)
            and (reason is None or summary.end_reason == reason)
        ]
        found.sort(key=lambda summary: (summary.started_at, summary.call_id), reverse=True)
        return tuple(found[:limit])

    async def configuration(self, fingerprint: str) -> ConfigurationLoaded | None:
        """See `CallStore.configuration`; never waits."""
        return self._configurations.get(fingerprint)

    async def configurations(self, *, limit: int = 50) -> tuple[ConfigurationLoaded, ...]:
        """See `CallStore.configurations`; never waits."""
        newest_first = sorted(
            self._configurations.values(), key=lambda one: (one.at, one.fingerprint), reverse=True
        )
        return tuple(newest_first[:limit])
