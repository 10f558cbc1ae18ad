"""What happens in a session, as values for whoever listens to it.

The first group carries the names of the OpenAI Agents SDK; the second says what its events do not:
who speaks, what was said, how a response ended, and how the connection fares. Times within the caller's
audio (``audio_start_ms``, ``audio_end_ms``) count from the start of the session.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from sipagent.identifiers import ItemId, ResponseId
from sipagent.realtime.agent_events import (
    RealtimeAgentEndEvent as RealtimeAgentEndEvent,
)
from sipagent.realtime.agent_events import (
    RealtimeAgentStartEvent as RealtimeAgentStartEvent,
)
from sipagent.realtime.agent_events import (
    RealtimeAudio as RealtimeAudio,
)
from sipagent.realtime.agent_events import (
    RealtimeAudioEnd as RealtimeAudioEnd,
)
from sipagent.realtime.agent_events import (
    RealtimeAudioInterrupted as RealtimeAudioInterrupted,
)
from sipagent.realtime.agent_events import (
    RealtimeError as RealtimeError,
)
from sipagent.realtime.agent_events import (
    RealtimeEventInfo as RealtimeEventInfo,
)
from sipagent.realtime.agent_events import (
    RealtimeGuardrailTripped as RealtimeGuardrailTripped,
)
from sipagent.realtime.agent_events import (
    RealtimeHandoffEvent as RealtimeHandoffEvent,
)
from sipagent.realtime.agent_events import (
    RealtimeHistoryAdded as RealtimeHistoryAdded,
)
from sipagent.realtime.agent_events import (
    RealtimeHistoryUpdated as RealtimeHistoryUpdated,
)
from sipagent.realtime.agent_events import (
    RealtimeInputGuardrailTripped as RealtimeInputGuardrailTripped,
)
from sipagent.realtime.agent_events import (
    RealtimeRawModelEvent as RealtimeRawModelEvent,
)
from sipagent.realtime.agent_events import (
    RealtimeToolApprovalRequired as RealtimeToolApprovalRequired,
)
from sipagent.realtime.agent_events import (
    RealtimeToolEnd as RealtimeToolEnd,
)
from sipagent.realtime.agent_events import (
    RealtimeToolStart as RealtimeToolStart,
)
from sipagent.realtime.events import RateLimit
from sipagent.realtime.mcp_session_events import (
    RealtimeMcpApprovalRequired as RealtimeMcpApprovalRequired,
)
from sipagent.realtime.mcp_session_events import (
    RealtimeMcpCallEnd as RealtimeMcpCallEnd,
)
from sipagent.realtime.mcp_session_events import (
    RealtimeMcpCallStart as RealtimeMcpCallStart,
)
from sipagent.realtime.mcp_session_events import (
    RealtimeMcpToolList as RealtimeMcpToolList,
)
from sipagent.realtime.turn_metrics import (
    RealtimeTurnMetrics as RealtimeTurnMetrics,
)
from sipagent.realtime.usage import ResponseUsage, TranscriptionUsage
from sipagent.realtime.value import Value

# Who speaks -----------------------------------------------------------------------------------------


class RealtimeCallerSpeechStarted(Value, frozen=True, kw_only=True):
    """The server hears the caller speak."""

    item_id: ItemId
    audio_start_ms: int | None
    info: RealtimeEventInfo
    type: Literal["caller_speech_started"] = "caller_speech_started"


class RealtimeCallerSpeechStopped(Value, frozen=True, kw_only=True):
    """The caller fell silent."""

    item_id: ItemId
    audio_end_ms: int | None
    info: RealtimeEventInfo
    type: Literal["caller_speech_stopped"] = "caller_speech_stopped"


class RealtimeAgentSpeechStarted(Value, frozen=True, kw_only=True):
    """The agent can be heard (SIP: ``output_audio_buffer.started``; socket: the first audio)."""

    response_id: ResponseId
    info: RealtimeEventInfo
    type: Literal["agent_speech_started"] = "agent_speech_started"


class RealtimeAgentSpeechStopped(Value, frozen=True, kw_only=True):
    """All that the agent said was played."""

    response_id: ResponseId
    info: RealtimeEventInfo
    type: Literal["agent_speech_stopped"] = "agent_speech_stopped"


class RealtimeAgentSpeechCleared(Value, frozen=True, kw_only=True):
    """The agent was cut off: what was not played yet never will be."""

    response_id: ResponseId
    info: RealtimeEventInfo
    type: Literal["agent_speech_cleared"] = "agent_speech_cleared"


class RealtimeDtmfReceived(Value, frozen=True, kw_only=True):
    """The caller pressed a key; the model was not told."""

    digit: str
    """One of ``0``-``9``, ``*``, ``#``, ``A``-``D``."""
    received_at: float | None
    """Seconds since 1970 UTC, by the server's clock."""
    info: RealtimeEventInfo
    type: Literal["dtmf_received"] = "dtmf_received"


class RealtimeInputAudioTimeoutTriggered(Value, frozen=True, kw_only=True):
    """Nobody spoke for the configured time; the server makes the agent speak."""

    item_id: ItemId
    audio_start_ms: int | None
    audio_end_ms: int | None
    info: RealtimeEventInfo
    type: Literal["input_audio_timeout_triggered"] = "input_audio_timeout_triggered"


# What was said --------------------------------------------------------------------------------------

TranscriptRole = Literal["caller", "agent"]


class RealtimeTranscriptDelta(Value, frozen=True, kw_only=True):
    """Some more words of a line that is being spoken."""

    role: TranscriptRole
    item_id: ItemId
    delta: str
    info: RealtimeEventInfo
    type: Literal["transcript_delta"] = "transcript_delta"


class RealtimeTranscriptLine(Value, frozen=True, kw_only=True):
    """A line as far as it is known. It comes when the line is final, and again whenever it changes."""

    role: TranscriptRole
    item_id: ItemId
    position: float
    """Sorts the lines of one session in conversation order."""
    text: str
    interrupted: bool
    """The agent was cut off: not all of ``text`` was heard."""
    final: bool
    """False: the connection ended, or the line was cut, before its text was complete."""
    info: RealtimeEventInfo
    type: Literal["transcript_line"] = "transcript_line"


class RealtimeTranscriptionFailed(Value, frozen=True, kw_only=True):
    """What the caller said could not be transcribed; the model heard it all the same."""

    item_id: ItemId
    message: str
    info: RealtimeEventInfo
    type: Literal["transcription_failed"] = "transcription_failed"


class RealtimeTranscriptionUsage(Value, frozen=True, kw_only=True):
    """What a transcription was billed by."""

    item_id: ItemId
    usage: TranscriptionUsage
    info: RealtimeEventInfo
    type: Literal["transcription_usage"] = "transcription_usage"


# Responses ------------------------------------------------------------------------------------------


class RealtimeResponseRequested(Value, frozen=True, kw_only=True):
    """A request for a response was sent; the server has not said yes yet."""

    info: RealtimeEventInfo
    type: Literal["response_requested"] = "response_requested"


class RealtimeResponseStarted(Value, frozen=True, kw_only=True):
    """The server began a response, asked for by us or by its own turn detection."""

    response_id: ResponseId
    info: RealtimeEventInfo
    type: Literal["response_started"] = "response_started"


ResponseStatus = Literal["completed", "cancelled", "incomplete", "failed", "unknown"]


class RealtimeResponseEnded(Value, frozen=True, kw_only=True):
    """The server ended a response; its speech may still be playing."""

    response_id: ResponseId
    status: ResponseStatus
    reason: str | None
    """``turn_detected``, ``client_cancelled``, ``max_output_tokens``, ``content_filter``, or the error's
    code when it failed (``rate_limit_exceeded``…)."""
    error_message: str | None
    usage: ResponseUsage | None
    info: RealtimeEventInfo
    type: Literal["response_ended"] = "response_ended"


class RealtimeRateLimitsUpdated(Value, frozen=True, kw_only=True):
    """How much of the project's limits is left."""

    rate_limits: tuple[RateLimit, ...]
    info: RealtimeEventInfo
    type: Literal["rate_limits_updated"] = "rate_limits_updated"


# Connection -----------------------------------------------------------------------------------------


class RealtimeConnectionLost(Value, frozen=True, kw_only=True):
    """The socket broke; it is being opened again. Either it comes back or the session ends."""

    close_code: int | None
    info: RealtimeEventInfo
    type: Literal["connection_lost"] = "connection_lost"


class RealtimeConnectionRestored(Value, frozen=True, kw_only=True):
    """The socket is back. What the server said meanwhile is lost."""

    info: RealtimeEventInfo
    type: Literal["connection_restored"] = "connection_restored"


class RealtimeUnknownEvent(Value, frozen=True, kw_only=True):
    """A message of the server that we do not know, or that lacks what its type documents."""

    event_type: str
    """As the server named it; empty when the message named none."""
    raw: Mapping[str, Any] | str
    """The message, or the start of its text when it was no JSON object."""
    info: RealtimeEventInfo
    type: Literal["unknown_event"] = "unknown_event"


RealtimeSessionEvent = (
    RealtimeAgentStartEvent
    | RealtimeAgentEndEvent
    | RealtimeHandoffEvent
    | RealtimeToolStart
    | RealtimeToolEnd
    | RealtimeToolApprovalRequired
    | RealtimeMcpToolList
    | RealtimeMcpCallStart
    | RealtimeMcpCallEnd
    | RealtimeMcpApprovalRequired
    | RealtimeGuardrailTripped
    | RealtimeInputGuardrailTripped
    | RealtimeHistoryAdded
    | RealtimeHistoryUpdated
    | RealtimeAudio
    | RealtimeAudioEnd
    | RealtimeAudioInterrupted
    | RealtimeError
    | RealtimeRawModelEvent
    | RealtimeCallerSpeechStarted
    | RealtimeCallerSpeechStopped
    | RealtimeAgentSpeechStarted
    | RealtimeAgentSpeechStopped
    | RealtimeAgentSpeechCleared
    | RealtimeDtmfReceived
    | RealtimeInputAudioTimeoutTriggered
    | RealtimeTranscriptDelta
    | RealtimeTranscriptLine
    | RealtimeTranscriptionFailed
    | RealtimeTranscriptionUsage
    | RealtimeResponseRequested
    | RealtimeResponseStarted
    | RealtimeResponseEnded
    | RealtimeTurnMetrics
    | RealtimeRateLimitsUpdated
    | RealtimeConnectionLost
    | RealtimeConnectionRestored
    | RealtimeUnknownEvent
)
"""Everything a session tells; match on the class or on ``type``."""
