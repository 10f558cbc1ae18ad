"""What a model reports, as values: the language between a model and a session.

Names and meaning as in the OpenAI Agents SDK where it has them; the others say what a telephone call
needs beyond that. Sources: API reference "Realtime server events".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import msgspec

from sipagent.identifiers import ItemId, ResponseId, ToolCallId
from sipagent.realtime.items import RealtimeItem
from sipagent.realtime.mcp_events import (
    RealtimeModelMcpApprovalRequestedEvent,
    RealtimeModelMcpCallArgumentsEvent,
    RealtimeModelMcpCallEvent,
    RealtimeModelMcpListToolsEvent,
)
from sipagent.realtime.sound_events import (
    RealtimeModelAudioDoneEvent as RealtimeModelAudioDoneEvent,
)
from sipagent.realtime.sound_events import (
    RealtimeModelAudioEvent as RealtimeModelAudioEvent,
)
from sipagent.realtime.sound_events import (
    RealtimeModelAudioInterruptedEvent as RealtimeModelAudioInterruptedEvent,
)
from sipagent.realtime.sound_events import (
    RealtimeModelCallerSpeechStartedEvent as RealtimeModelCallerSpeechStartedEvent,
)
from sipagent.realtime.sound_events import (
    RealtimeModelCallerSpeechStoppedEvent as RealtimeModelCallerSpeechStoppedEvent,
)
from sipagent.realtime.sound_events import (
    RealtimeModelDtmfEvent as RealtimeModelDtmfEvent,
)
from sipagent.realtime.sound_events import (
    RealtimeModelInputAudioTimeoutTriggeredEvent as RealtimeModelInputAudioTimeoutTriggeredEvent,
)
from sipagent.realtime.sound_events import (
    RealtimeModelPlaybackEvent as RealtimeModelPlaybackEvent,
)
from sipagent.realtime.token_details import (
    RealtimeModelInputTokensDetails,
    RealtimeModelOutputTokensDetails,
)
from sipagent.realtime.usage import ResponseUsage, TranscriptionUsage
from sipagent.realtime.value import Value

# Session and connection -----------------------------------------------------------------------------

ConnectionStatus = Literal["connecting", "connected", "lost", "disconnected"]
EndCause = Literal["closed_by_us", "call_over", "closed", "expired", "lost"]
"""Why a connection is no more: we closed it; the call is over (404 when attaching again); the server
closed it in order; the session reached its maximum length; or it broke and could not be had again."""


class RealtimeModelConnectionStatusEvent(Value, frozen=True, kw_only=True):
    """The state of the connection changed."""

    status: ConnectionStatus
    cause: EndCause | None = None
    """Set when ``disconnected``."""
    close_code: int | None = None
    """WebSocket close code (RFC 6455 section 7.4); 1006 when there was no close frame."""
    detail: str = ""
    """For people: the reason given by the server, or the last failure."""
    reattached: bool = False
    """With ``connected``: the connection is back after it was lost."""
    type: Literal["connection_status"] = "connection_status"


class RealtimeModelEndOfStreamEvent(Value, frozen=True, kw_only=True):
    """Nothing follows."""

    type: Literal["end_of_stream"] = "end_of_stream"


class RealtimeModelSessionEvent(Value, frozen=True, kw_only=True):
    """The session in force, after it was created or changed."""

    created: bool
    session_id: str | None = None
    model: str | None = None
    voice: str | None = None
    input_format: str | None = None
    """``audio/pcmu``, ``audio/pcma``, ``audio/pcm``, or None when the server does not say."""
    output_format: str | None = None
    interrupt_response: bool | None = None
    """Whether the server itself cancels a response when the caller speaks; None without turn detection."""
    create_response: bool | None = None
    """Whether the server itself answers the caller; None without turn detection."""
    instructions: str | None = None
    tools: frozenset[str] | None = None
    """The names of functions and the labels of MCP servers that are offered; None when the server does not
    say."""
    expires_at: int | None = None
    """Seconds since 1970 UTC."""
    type: Literal["session"] = "session"


class RealtimeModelErrorEvent(Value, frozen=True, kw_only=True):
    """The server reports an error; most leave the session open."""

    error: Mapping[str, Any]
    """``message``, and ``type``, ``code``, ``param``, ``event_id`` where known."""
    type: Literal["error"] = "error"


class RealtimeModelExceptionEvent(Value, frozen=True, kw_only=True):
    """Something of ours raised; the session goes on."""

    exception: Exception
    context: str | None = None
    type: Literal["exception"] = "exception"


class RateLimit(Value, frozen=True, kw_only=True):
    """One limit of the project, as of now."""

    name: str
    """``requests`` or ``tokens``."""
    limit: int | None
    remaining: int | None
    reset_s: float | None = msgspec.field(name="reset_seconds")


class RealtimeModelRateLimitsEvent(
    Value, frozen=True, kw_only=True, tag_field="type", tag="rate_limits.updated"
):
    """How much of the project's limits is left."""

    rate_limits: tuple[RateLimit, ...]
    type: ClassVar[Literal["rate_limits"]] = "rate_limits"


# Responses ------------------------------------------------------------------------------------------


class RealtimeModelResponseRequestedEvent(Value, frozen=True, kw_only=True):
    """A request for a response was sent."""

    event_id: str
    type: Literal["response_requested"] = "response_requested"


class RealtimeModelTurnStartedEvent(Value, frozen=True, kw_only=True):
    """The server began a response."""

    response_id: ResponseId
    out_of_band: bool = False
    """The response does not write to the conversation."""
    type: Literal["turn_started"] = "turn_started"


class RealtimeModelUsageEvent(Value, frozen=True, kw_only=True):
    """What a response consumed; comes right before its end."""

    usage: ResponseUsage
    type: Literal["usage"] = "usage"

    @property
    def input_tokens_details(self) -> RealtimeModelInputTokensDetails:
        """What the model read, by modality."""
        return RealtimeModelInputTokensDetails.of(self.usage)

    @property
    def output_tokens_details(self) -> RealtimeModelOutputTokensDetails:
        """What the model made, by modality."""
        return RealtimeModelOutputTokensDetails.of(self.usage)


class RealtimeModelTurnEndedEvent(Value, frozen=True, kw_only=True):
    """The server ended a response."""

    response_id: ResponseId
    status: Literal["completed", "cancelled", "incomplete", "failed", "unknown"] = "unknown"
    reason: str | None = None
    """``turn_detected``, ``client_cancelled``, ``max_output_tokens``, ``content_filter``, or the error's
    code."""
    error_message: str | None = None
    usage: ResponseUsage | None = None
    out_of_band: bool = False
    type: Literal["turn_ended"] = "turn_ended"


class RealtimeModelToolCallEvent(Value, frozen=True, kw_only=True):
    """The model calls a tool."""

    name: str
    call_id: ToolCallId
    arguments: str
    """JSON, as the model wrote it."""
    id: ItemId | None = None
    response_id: ResponseId | None = None
    type: Literal["function_call"] = "function_call"


# Items and words ------------------------------------------------------------------------------------


class RealtimeModelItemUpdatedEvent(Value, frozen=True, kw_only=True):
    """An item of the conversation is new, or known better."""

    item: RealtimeItem
    response_id: ResponseId | None = None
    """The response that makes the item, where the server says."""
    placed: bool = False
    """``item.previous_item_id`` says where the item belongs; None stands before the first item."""
    type: Literal["item_updated"] = "item_updated"


class RealtimeModelItemPlacedEvent(
    Value, frozen=True, kw_only=True, tag_field="type", tag="input_audio_buffer.committed"
):
    """Where an item that is still to come belongs (``input_audio_buffer.committed``)."""

    item_id: ItemId
    previous_item_id: ItemId | None
    type: ClassVar[Literal["item_placed"]] = "item_placed"


class RealtimeModelItemDeletedEvent(Value, frozen=True, kw_only=True):
    """An item left the conversation."""

    item_id: ItemId
    type: Literal["item_deleted"] = "item_deleted"


class RealtimeModelItemTruncatedEvent(Value, frozen=True, kw_only=True):
    """The server cut an item to what was heard."""

    item_id: ItemId
    audio_end_ms: int | None = None
    type: Literal["item_truncated"] = "item_truncated"


class RealtimeModelTranscriptDeltaEvent(
    Value, frozen=True, kw_only=True, tag_field="type", tag="response.output_audio_transcript.delta"
):
    """More words of what the agent is saying.

    With the other events that have a tag, most of what a call brings: `sipagent.realtime.wire_frequent`
    decodes them from the server's text straight into what they are.
    """

    item_id: ItemId
    delta: str
    response_id: ResponseId
    content_index: int = 0
    type: ClassVar[Literal["transcript_delta"]] = "transcript_delta"


class RealtimeModelTranscriptDoneEvent(
    Value, frozen=True, kw_only=True, tag_field="type", tag="response.output_audio_transcript.done"
):
    """All words of one part of what the agent says."""

    item_id: ItemId
    transcript: str
    response_id: ResponseId
    content_index: int = 0
    type: ClassVar[Literal["transcript_done"]] = "transcript_done"


class RealtimeModelOutputTextDeltaEvent(
    Value, frozen=True, kw_only=True, tag_field="type", tag="response.output_text.delta"
):
    """More words of what the agent writes."""

    item_id: ItemId
    delta: str
    response_id: ResponseId
    type: ClassVar[Literal["output_text_delta"]] = "output_text_delta"


class RealtimeModelInputAudioTranscriptionDeltaEvent(
    Value,
    frozen=True,
    kw_only=True,
    tag_field="type",
    tag="conversation.item.input_audio_transcription.delta",
):
    """More words of what the caller said."""

    item_id: ItemId
    delta: str
    type: ClassVar[Literal["input_audio_transcription_delta"]] = "input_audio_transcription_delta"


class RealtimeModelInputAudioTranscriptionCompletedEvent(Value, frozen=True, kw_only=True):
    """All words of what the caller said."""

    item_id: ItemId
    transcript: str
    usage: TranscriptionUsage | None = None
    type: Literal["input_audio_transcription_completed"] = "input_audio_transcription_completed"


class RealtimeModelInputAudioTranscriptionFailedEvent(Value, frozen=True, kw_only=True):
    """What the caller said could not be transcribed."""

    item_id: ItemId
    message: str
    type: Literal["input_audio_transcription_failed"] = "input_audio_transcription_failed"


# The rest -------------------------------------------------------------------------------------------


class RealtimeModelOtherEvent(Value, frozen=True, kw_only=True):
    """A message we do not know, or that lacks what its type documents."""

    data: Mapping[str, Any] | str
    """The message, or the start of its text when it was no JSON object."""
    event_type: str = ""
    problem: str | None = None
    """What is wrong with it; None when its type is simply unknown."""
    type: Literal["other"] = "other"


class RealtimeModelRawServerEvent(Value, frozen=True, kw_only=True):
    """A message of the server, unchanged; only when the model was asked for ``raw_events``."""

    data: Mapping[str, Any] | str
    type: Literal["raw_server_event"] = "raw_server_event"


RealtimeModelEvent = (
    RealtimeModelConnectionStatusEvent
    | RealtimeModelEndOfStreamEvent
    | RealtimeModelSessionEvent
    | RealtimeModelErrorEvent
    | RealtimeModelExceptionEvent
    | RealtimeModelRateLimitsEvent
    | RealtimeModelResponseRequestedEvent
    | RealtimeModelTurnStartedEvent
    | RealtimeModelUsageEvent
    | RealtimeModelTurnEndedEvent
    | RealtimeModelToolCallEvent
    | RealtimeModelMcpListToolsEvent
    | RealtimeModelMcpCallArgumentsEvent
    | RealtimeModelMcpCallEvent
    | RealtimeModelMcpApprovalRequestedEvent
    | RealtimeModelItemUpdatedEvent
    | RealtimeModelItemPlacedEvent
    | RealtimeModelItemDeletedEvent
    | RealtimeModelItemTruncatedEvent
    | RealtimeModelTranscriptDeltaEvent
    | RealtimeModelTranscriptDoneEvent
    | RealtimeModelOutputTextDeltaEvent
    | RealtimeModelInputAudioTranscriptionDeltaEvent
    | RealtimeModelInputAudioTranscriptionCompletedEvent
    | RealtimeModelInputAudioTranscriptionFailedEvent
    | RealtimeModelAudioEvent
    | RealtimeModelAudioInterruptedEvent
    | RealtimeModelAudioDoneEvent
    | RealtimeModelInputAudioTimeoutTriggeredEvent
    | RealtimeModelCallerSpeechStartedEvent
    | RealtimeModelCallerSpeechStoppedEvent
    | RealtimeModelPlaybackEvent
    | RealtimeModelDtmfEvent
    | RealtimeModelOtherEvent
    | RealtimeModelRawServerEvent
)
"""Everything a model reports; match on the class or on ``type``."""
