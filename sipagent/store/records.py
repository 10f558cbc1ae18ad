"""What is remembered of calls: facts to write, and records to read.

A *fact* is one thing that happened; applying the same fact twice changes nothing. A *record* is what the
store gives back. Times are aware UTC datetimes. States, reasons and owners are plain strings here: the
store remembers them and `sipagent.calls` knows what they mean.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, assert_never

from sipagent.identifiers import CallId, ItemId, ResponseId, ToolCallId
from sipagent.store.carrier_records import CarrierReported, RecordingDeleted, RecordingFile, RecordingKept

TranscriptRole = Literal["caller", "agent"]

FIRST_STATE = "ringing"
"""The state of a call from the moment it is opened."""
LAST_STATE = "ended"
"""The state of a call that is over."""

# Facts ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOpened:
    """A call was heard of for the first time; its first state is ``ringing``."""

    call_id: CallId
    at: datetime
    webhook_id: str
    caller: str | None
    dialled: str | None
    agent: str | None
    """Name of the agent whom the routes chose, or None when no route matched."""
    model: str | None
    sip_call_id: str | None
    """The Call-ID header of the INVITE: what a carrier asks for when something went wrong."""
    configuration: str | None
    """Fingerprint of the configuration that serves this call."""
    line: str = "sip"
    """How the caller's voice comes: ``sip``, to the Realtime API; ``stream``, through us."""
    carrier: str | None = None
    """The telephone company that told us of the call; None where it has no door to us."""
    carrier_call_id: str | None = None
    """As that company names the caller's leg."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChanged:
    """The call entered ``state``; ``sequence`` counts from 1 within the call (``ringing`` is 0)."""

    call_id: CallId
    sequence: int
    state: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptLineSaid:
    """One line of the conversation, written again whenever more of it is known; the one with the last ``at``
    counts, since what a dead worker had still to write may come long after what its adopter wrote."""

    call_id: CallId
    item_id: ItemId
    position: float
    """Sorts the lines of one call in conversation order; compare only within a call."""
    role: TranscriptRole
    text: str
    interrupted: bool
    """The caller cut the agent off: not all of ``text`` was heard."""
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRan:
    """A tool began (``output`` None) or finished (the same ``tool_call_id``, with its output)."""

    call_id: CallId
    tool_call_id: ToolCallId
    name: str
    arguments: str
    """JSON, as the model wrote it."""
    started_at: datetime
    output: str | None = None
    is_error: bool = False
    duration_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokensUsed:
    """Usage of one response, or of one transcription. A total over a call is a lower bound: events
    in flight at hang-up are lost."""

    call_id: CallId
    source_id: ResponseId | ItemId
    """The response, or the item whose transcription was billed."""
    kind: Literal["response", "transcription"]
    at: datetime
    input_tokens: int = 0
    cached_tokens: int = 0
    """Part of ``input_tokens``."""
    output_tokens: int = 0
    input_audio_tokens: int = 0
    output_audio_tokens: int = 0
    duration_s: float = 0.0
    """Seconds of audio, when a transcription is billed by duration."""
    cached_audio_tokens: int = 0
    """Part of ``cached_tokens`` and of ``input_audio_tokens``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyMeasured:
    """A latency of a call. A name that repeats within a call (a turn's) has rising ``sequence``."""

    call_id: CallId
    name: str
    sequence: int
    milliseconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CallNoted:
    """Something worth knowing about the call that has no table of its own: why a route was taken, what a
    transfer came to, a message for somebody. ``sequence`` counts from 0 within the call."""

    call_id: CallId
    sequence: int
    at: datetime
    kind: str
    """One of few words, such as ``route`` or ``transfer_outcome``."""
    data: str
    """A JSON object; never a secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallCheckpointed:
    """What a worker that takes the call over must know of it. The last (``epoch``, ``sequence``) counts; one
    of an earlier epoch than the call has by now, or of a call that is not claimed (any more), is ignored."""

    call_id: CallId
    epoch: int
    """In which the worker that writes holds the call; see `sipagent.store.leases`."""
    sequence: int
    """Rises within the epoch."""
    at: datetime
    data: str
    """JSON; never a secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEnded:
    """The one terminal fact of a call; nobody holds the call from then on. A second one for the same call is
    ignored."""

    call_id: CallId
    at: datetime
    reason: str
    fault_owner: str
    detail: str
    """One sentence for people; never a secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationLoaded:
    """A configuration began to serve new calls. It is no fact of one call: `CallOpened.configuration` names
    it. The first of a fingerprint counts."""

    fingerprint: str
    number: int
    """Which generation it was in the life of the process that loaded it, from 1."""
    at: datetime
    text: str
    """Every file it was made of, without secrets; a reference to a secret stays a reference."""
    summary: str
    """One line for people: how many agents and routes."""


CallFact = (
    CallOpened
    | StateChanged
    | TranscriptLineSaid
    | ToolRan
    | TokensUsed
    | LatencyMeasured
    | CallNoted
    | CallCheckpointed
    | RecordingKept
    | RecordingDeleted
    | CallEnded
)
"""What happened in one call."""

Fact = CallFact | ConfigurationLoaded | CarrierReported


def moment_of(fact: Fact) -> datetime | None:
    """When ``fact`` happened, or None for a fact that does not say."""
    match fact:
        case CallOpened() | StateChanged() | TranscriptLineSaid() | TokensUsed():
            return fact.at
        case CallNoted() | CallCheckpointed() | CallEnded() | ConfigurationLoaded():
            return fact.at
        case CarrierReported() | RecordingDeleted():
            return fact.at
        case ToolRan() | RecordingKept():
            return fact.started_at
        case LatencyMeasured():
            return None
        case _:
            assert_never(fact)


# Records -------------------------------------------------------------------------------------------


def with_one_end(states: Iterable[StateChanged], ended_at: datetime | None) -> tuple[StateChanged, ...]:
    """``states`` in their order, with the end of the call at ``ended_at`` as the last of them.

    A call that two processes ended was entered as ended twice: a process that was frozen may write its end
    when another has closed the call long since. Only the end that was written first counts, and its state was
    entered just before it.
    """
    ordered = sorted(states, key=lambda state: state.sequence)
    ends = sorted((state for state in ordered if state.state == LAST_STATE), key=lambda state: state.at)
    if ended_at is None or len(ends) < 2:
        return tuple(ordered)
    end = next((state for state in reversed(ends) if state.at <= ended_at), ends[0])
    return (*(state for state in ordered if state.state != LAST_STATE), end)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSummary:
    """One row of the list of calls."""

    call_id: CallId
    started_at: datetime
    ended_at: datetime | None
    state: str
    caller: str | None
    dialled: str | None
    agent: str | None
    end_reason: str | None
    fault_owner: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """All that is known of a call. Every list is in the order in which things happened; the transcript
    is in conversation order."""

    summary: CallSummary
    webhook_id: str
    model: str | None
    sip_call_id: str | None
    configuration: str | None
    end_detail: str | None
    states: tuple[StateChanged, ...] = field(default=())
    transcript: tuple[TranscriptLineSaid, ...] = field(default=())
    tools: tuple[ToolRan, ...] = field(default=())
    usage: tuple[TokensUsed, ...] = field(default=())
    latencies: tuple[LatencyMeasured, ...] = field(default=())
    notes: tuple[CallNoted, ...] = field(default=())
    line: str = "sip"
    carrier: str | None = None
    carrier_call_id: str | None = None
    carrier_reports: tuple[CarrierReported, ...] = field(default=())
    """About the caller's leg, legs made for it, and whatever else names this call."""
    recordings: tuple[RecordingFile, ...] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageTotal:
    """What many calls used together, of one model and kind; the fields are those of `TokensUsed`."""

    model: str | None
    """The one the calls were opened with; None for calls whose opening was lost."""
    kind: Literal["response", "transcription"]
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    input_audio_tokens: int
    output_audio_tokens: int
    duration_s: float
    cached_audio_tokens: int
