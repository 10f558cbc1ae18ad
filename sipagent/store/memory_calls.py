"""Records of calls in memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, assert_never

from sipagent.clock import utc_now
from sipagent.identifiers import CallId, ItemId, ToolCallId
from sipagent.store.carrier_records import CarrierReported, RecordingDeleted, RecordingFile, RecordingKept
from sipagent.store.memory_reports import MemoryReports
from sipagent.store.records import (
    FIRST_STATE,
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
    UsageTotal,
    moment_of,
    with_one_end,
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
    recordings: dict[str, RecordingKept] = field(default_factory=dict)
    deletions: dict[str, RecordingDeleted] = field(default_factory=dict)

    def apply(self, fact: CallFact) -> None:
        match fact:
            case CallOpened():
                self.opened = self.opened or fact
            case StateChanged():
                self.states[fact.sequence] = fact
            case TranscriptLineSaid():
                line = self.lines.get(fact.item_id)
                if line is None or line.at <= fact.at:
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
            case RecordingKept():
                begun = self.recordings.get(fact.path)
                if begun is None or begun.seconds is None or fact.seconds is not None:
                    self.recordings[fact.path] = fact
            case RecordingDeleted():
                if fact.path in self.recordings:
                    self.deletions.setdefault(fact.path, fact)
            case CallCheckpointed():
                pass  # belongs to the claim
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

    def files(self) -> list[RecordingFile]:
        files = []
        for path, kept in self.recordings.items():
            deleted = self.deletions.get(path)
            files.append(
                RecordingFile(
                    call_id=kept.call_id,
                    path=path,
                    host=kept.host,
                    started_at=kept.started_at,
                    seconds=kept.seconds,
                    consent=kept.consent,
                    keep_until=kept.keep_until,
                    deleted_at=deleted.at if deleted else None,
                    deleted_because=deleted.reason if deleted else None,
                )
            )
        return sorted(files, key=lambda file: (file.started_at, file.path))

    def record(self, call_id: CallId, reports: MemoryReports) -> CallRecord:
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
            states=with_one_end(states.values(), self.ended.at if self.ended else None),
            transcript=tuple(sorted(self.lines.values(), key=lambda line: (line.position, line.item_id))),
            tools=tuple(sorted(self.tools.values(), key=lambda run: run.started_at)),
            usage=tuple(sorted(self.usage.values(), key=lambda usage: usage.at)),
            latencies=tuple(self.latencies.values()),
            notes=tuple(self.notes[sequence] for sequence in sorted(self.notes)),
            line=opened.line if opened else "sip",
            carrier=opened.carrier if opened else None,
            carrier_call_id=opened.carrier_call_id if opened else None,
            carrier_reports=reports.of_call(call_id, opened),
            recordings=tuple(self.files()),
        )


class MemoryCalls:
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
        self.reports = MemoryReports()

    def apply(self, fact: Fact) -> None:
        """Remember ``fact``; see `CallStore.apply`."""
        if isinstance(fact, ConfigurationLoaded):
            self._configurations.setdefault(fact.fingerprint, fact)
            return
        if isinstance(fact, CarrierReported):
            self.reports.apply(fact)
            return
        call = self._calls.get(fact.call_id)
        if call is None:
            call = self._calls[fact.call_id] = _Call(first_heard_at=moment_of(fact) or utc_now())
        call.apply(fact)

    def shrink(self) -> list[CallId]:
        """Forget what is too much; the calls that were forgotten."""
        too_many = list(self._calls)[: max(0, len(self._calls) - self._capacity)]
        for call_id in too_many:
            del self._calls[call_id]
        while len(self._configurations) > self._most_configurations:
            del self._configurations[next(iter(self._configurations))]
        return too_many

    def has_ended(self, call_id: CallId) -> bool:
        """Whether the terminal fact of a call is known."""
        call = self._calls.get(call_id)
        return call is not None and call.ended is not None

    def record(self, call_id: CallId) -> CallRecord | None:
        """All that is known of a call."""
        call = self._calls.get(call_id)
        return None if call is None else call.record(call_id, self.reports)

    def of_leg(self, carrier_call_id: str) -> tuple[CallSummary, ...]:
        """See `CallStore.calls_of_leg`."""

        def is_of_leg(summary: CallSummary) -> bool:
            opened = self._calls[summary.call_id].opened
            return opened is not None and opened.carrier_call_id == carrier_call_id

        return tuple(self.summaries(is_of_leg))

    def recordings_due(self, now: datetime) -> list[RecordingFile]:
        """See `CallStore.recordings_due`; all of them."""
        due = [file for file in self._files() if file.deleted_at is None and file.keep_until <= now]
        return sorted(due, key=due_order)

    def recordings_at(self, paths: Collection[str]) -> list[RecordingFile]:
        """See `CallStore.recordings_at`."""
        return sorted(
            (file for file in self._files() if file.path in paths), key=lambda file: (file.path, file.call_id)
        )

    def _files(self) -> Iterator[RecordingFile]:
        return (file for call in self._calls.values() if call.recordings for file in call.files())

    def summaries(self, wanted: Callable[[CallSummary], bool]) -> list[CallSummary]:
        """The ``wanted`` calls, newest first."""
        summaries = (call.summary(call_id) for call_id, call in self._calls.items())
        found = [summary for summary in summaries if wanted(summary)]
        return sorted(found, key=lambda summary: (summary.started_at, summary.call_id), reverse=True)

    def configuration(self, fingerprint: str) -> ConfigurationLoaded | None:
        """The configuration of this fingerprint."""
        return self._configurations.get(fingerprint)

    def configurations(self) -> list[ConfigurationLoaded]:
        """All configurations, the one loaded last first."""
        return sorted(self._configurations.values(), key=lambda one: (one.at, one.fingerprint), reverse=True)

    def usage_since(self, moment: datetime) -> tuple[UsageTotal, ...]:
        """See `CallStore.usage_since`."""
        groups: dict[tuple[str | None, Literal["response", "transcription"]], list[TokensUsed]] = {}
        for call in self._calls.values():
            model = call.opened.model if call.opened else None
            for used in call.usage.values():
                if used.at >= moment:
                    groups.setdefault((model, used.kind), []).append(used)
        return tuple(
            UsageTotal(
                model=model,
                kind=kind,
                input_tokens=sum(used.input_tokens for used in group),
                cached_tokens=sum(used.cached_tokens for used in group),
                output_tokens=sum(used.output_tokens for used in group),
                input_audio_tokens=sum(used.input_audio_tokens for used in group),
                output_audio_tokens=sum(used.output_audio_tokens for used in group),
                duration_s=sum(used.duration_s for used in group),
                cached_audio_tokens=sum(used.cached_audio_tokens for used in group),
            )
            for (model, kind), group in sorted(groups.items(), key=lambda one: (one[0][0] or "", one[0][1]))
        )


def due_order(file: RecordingFile) -> tuple[datetime, str, str]:
    """In which order `CallStore.recordings_due` gives recordings."""
    return file.keep_until, file.call_id, file.path
