"""What happens in a session, as values for whoever listens to it.

The first group carries the names of the OpenAI Agents SDK; the second says what its events do not:
who speaks, what was said, how a response ended, and how the connection fares. Times within the caller's
audio (``audio_start_ms``, ``audio_end_ms``) count from the start of the session.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from sipagent.identifiers import ItemId, ResponseId, ToolCallId
from sipagent.realtime.agent import RealtimeAgent
from sipagent.realtime.events import RateLimit, RealtimeModelAudioEvent, RealtimeModelEvent
from sipagent.realtime.guardrails import InputGuardrailResult, OutputGuardrailResult
from sipagent.realtime.items import RealtimeItem
from sipagent.realtime.run_context import RunContextWrapper
from sipagent.realtime.tools import FunctionTool
from sipagent.realtime.usage import ResponseUsage, TranscriptionUsage
from sipagent.realtime.value import Value


class RealtimeEventInfo(Value, frozen=True, kw_only=True):
    """What every event carries: the user's context, and the usage so far."""

    context: RunContextWrapper[Any]


# Names of the Agents SDK ----------------------------------------------------------------------------


class RealtimeAgentStartEvent(Value, frozen=True, kw_only=True):
    """``agent`` began a turn."""

    agent: RealtimeAgent[Any]
    info: RealtimeEventInfo
    type: Literal["agent_start"] = "agent_start"


class RealtimeAgentEndEvent(Value, frozen=True, kw_only=True):
    """``agent``, which began the turn, ended it; its speech may still be playing."""

    agent: RealtimeAgent[Any]
    info: RealtimeEventInfo
    type: Literal["agent_end"] = "agent_end"


class RealtimeHandoffEvent(Value, frozen=True, kw_only=True):
    """``to_agent`` leads from now on; a server that refuses it is reported as an error of type
    ``handoff_refused``, and ``from_agent`` leads again."""

    from_agent: RealtimeAgent[Any]
    to_agent: RealtimeAgent[Any]
    info: RealtimeEventInfo
    type: Literal["handoff"] = "handoff"


class RealtimeToolStart(Value, frozen=True, kw_only=True):
    """A tool starts to run. It comes for a refused call too, so that each `RealtimeToolEnd` has one."""

    agent: RealtimeAgent[Any]
    tool: FunctionTool
    arguments: str
    """JSON, as the model wrote it."""
    tool_call_id: ToolCallId
    info: RealtimeEventInfo
    type: Literal["tool_start"] = "tool_start"


class RealtimeToolEnd(Value, frozen=True, kw_only=True):
    """A tool has run, and its output was handed to the model."""

    agent: RealtimeAgent[Any]
    tool: FunctionTool
    arguments: str
    output: Any
    """What the tool returned, or the sentence that stands for its failure."""
    output_text: str
    """What the model was told."""
    is_error: bool
    duration_ms: float
    tool_call_id: ToolCallId
    info: RealtimeEventInfo
    type: Literal["tool_end"] = "tool_end"


class RealtimeToolApprovalRequired(Value, frozen=True, kw_only=True):
    """A tool call waits for `RealtimeSession.approve_tool_call` or ``reject_tool_call``."""

    agent: RealtimeAgent[Any]
    tool: FunctionTool
    arguments: str
    """JSON, as the model wrote it."""
    call_id: ToolCallId
    info: RealtimeEventInfo
    type: Literal["tool_approval_required"] = "tool_approval_required"


class RealtimeGuardrailTripped(Value, frozen=True, kw_only=True):
    """What the agent says must not go on: the response is being cut off. Once for each response."""

    guardrail_results: tuple[OutputGuardrailResult, ...]
    message: str
    """The words that were looked at; the caller may have heard more of them, or less."""
    response_id: ResponseId
    item_id: ItemId
    info: RealtimeEventInfo
    type: Literal["guardrail_tripped"] = "guardrail_tripped"


class RealtimeInputGuardrailTripped(Value, frozen=True, kw_only=True):
    """What the caller said must not be answered: the response to it is being cut off. Once for each item."""

    guardrail_results: tuple[InputGuardrailResult, ...]
    message: str
    """The transcript that was looked at."""
    item_id: ItemId
    info: RealtimeEventInfo
    type: Literal["input_guardrail_tripped"] = "input_guardrail_tripped"


class RealtimeHistoryAdded(Value, frozen=True, kw_only=True):
    """An item is new in the history."""

    item: RealtimeItem
    info: RealtimeEventInfo
    type: Literal["history_added"] = "history_added"


class RealtimeHistoryUpdated(Value, frozen=True, kw_only=True):
    """An item changed or went; ``history`` is all of it, in conversation order."""

    history: tuple[RealtimeItem, ...]
    info: RealtimeEventInfo
    type: Literal["history_updated"] = "history_updated"


class RealtimeAudio(Value, frozen=True, kw_only=True):
    """Speech of the agent, where it comes over the socket; never on SIP."""

    audio: RealtimeModelAudioEvent
    item_id: ItemId
    content_index: int
    info: RealtimeEventInfo
    type: Literal["audio"] = "audio"


class RealtimeAudioEnd(Value, frozen=True, kw_only=True):
    """All audio of one part was generated; on SIP it may still be playing."""

    item_id: ItemId
    content_index: int
    info: RealtimeEventInfo
    type: Literal["audio_end"] = "audio_end"


class RealtimeAudioInterrupted(Value, frozen=True, kw_only=True):
    """Stop playing: the agent was cut off."""

    item_id: ItemId
    content_index: int
    info: RealtimeEventInfo
    type: Literal["audio_interrupted"] = "audio_interrupted"


class RealtimeError(Value, frozen=True, kw_only=True):
    """The server, or something of ours, reports an error; the session goes on."""

    error: Any
    """A mapping with ``message``, and with ``code``, ``type``, ``param`` and ``event_id`` where known."""
    info: RealtimeEventInfo
    type: Literal["error"] = "error"


class RealtimeRawModelEvent(Value, frozen=True, kw_only=True):
    """Every event of the model as it came; only when the run configuration asks for ``raw_events``."""

    data: RealtimeModelEvent
    info: RealtimeEventInfo
    type: Literal["raw_model_event"] = "raw_model_event"


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
    | RealtimeRateLimitsUpdated
    | RealtimeConnectionLost
    | RealtimeConnectionRestored
    | RealtimeUnknownEvent
)
"""Everything a session tells; match on the class or on ``type``."""
