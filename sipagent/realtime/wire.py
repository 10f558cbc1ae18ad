"""Messages of the server, from JSON text to values. Pure; the unknown survives, and nothing raises.

Read by hand rather than validated by a library, for what `sipagent.realtime.wire_frequent` cannot decode at
once: a field that the server adds or leaves out must not cost the conversation. A message that lacks what
its type documents becomes `RealtimeModelOtherEvent` with the problem named.
Source: API reference "Realtime server events".
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable

import msgspec

from sipagent.identifiers import ItemId
from sipagent.realtime.events import (
    RateLimit,
    RealtimeModelAudioDoneEvent,
    RealtimeModelAudioEvent,
    RealtimeModelCallerSpeechStartedEvent,
    RealtimeModelCallerSpeechStoppedEvent,
    RealtimeModelDtmfEvent,
    RealtimeModelErrorEvent,
    RealtimeModelEvent,
    RealtimeModelInputAudioTimeoutTriggeredEvent,
    RealtimeModelInputAudioTranscriptionCompletedEvent,
    RealtimeModelInputAudioTranscriptionDeltaEvent,
    RealtimeModelInputAudioTranscriptionFailedEvent,
    RealtimeModelItemDeletedEvent,
    RealtimeModelItemPlacedEvent,
    RealtimeModelItemTruncatedEvent,
    RealtimeModelItemUpdatedEvent,
    RealtimeModelOtherEvent,
    RealtimeModelOutputTextDeltaEvent,
    RealtimeModelPlaybackEvent,
    RealtimeModelRateLimitsEvent,
    RealtimeModelSessionEvent,
    RealtimeModelTranscriptDeltaEvent,
    RealtimeModelTranscriptDoneEvent,
)
from sipagent.realtime.usage import TranscriptionUsage
from sipagent.realtime.value import ItemStatus
from sipagent.realtime.wire_fields import (
    MalformedError,
    Message,
    count_at,
    item_id_at,
    object_at,
    objects_at,
    optional_float,
    optional_int,
    optional_object,
    optional_response_id,
    optional_text,
    response_id_at,
    text_at,
)
from sipagent.realtime.wire_items import parse_item
from sipagent.realtime.wire_mcp import MCP_ITEMS, MCP_PARSERS, approval_requested
from sipagent.realtime.wire_responses import response_created, response_done, tool_call

Events = tuple[RealtimeModelEvent, ...]
_SHOWN_CHARACTERS = 200
_decode = msgspec.json.Decoder().decode


def parse_text(text: str | bytes) -> Message | str:
    """A frame of the socket as a JSON object, or the start of its text when it is none."""
    try:
        message = _decode(text)
    except (msgspec.MsgspecError, RecursionError):
        message = _parse_leniently(text)
    if isinstance(message, dict):
        return message
    shown = text[:_SHOWN_CHARACTERS]
    return shown.decode(errors="replace") if isinstance(shown, bytes) else shown


def _parse_leniently(text: str | bytes) -> object:
    """What the standard library lets pass and a strict reader does not: NaN, half a surrogate pair."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def parse_message(message: Message | str) -> Events:
    """What a message means; () for one that says nothing a session needs."""
    if isinstance(message, str):
        return (RealtimeModelOtherEvent(data=message, problem="the message is no JSON object"),)
    event_type = message.get("type")
    if not isinstance(event_type, str):
        return (RealtimeModelOtherEvent(data=message, problem="the message has no type"),)
    parser = _PARSERS.get(event_type)
    if parser is None:
        if event_type in _SAYS_NOTHING:
            return ()
        return (RealtimeModelOtherEvent(data=message, event_type=event_type),)
    try:
        return parser(message)
    except (MalformedError, AttributeError, TypeError, ValueError, ArithmeticError) as error:
        return (RealtimeModelOtherEvent(data=message, event_type=event_type, problem=str(error)),)


# Session --------------------------------------------------------------------------------------------


def _session(message: Message) -> Events:
    session = object_at(message, "session")
    audio = optional_object(session, "audio")
    given, taken = optional_object(audio, "input"), optional_object(audio, "output")
    voice = taken.get("voice")
    turn_detection = optional_object(given, "turn_detection")
    # On unless the server says otherwise, wherever turn detection is on.
    interrupts = turn_detection.get("interrupt_response", True) if turn_detection else None
    answers = turn_detection.get("create_response", True) if turn_detection else None
    return (
        RealtimeModelSessionEvent(
            created=message["type"] == "session.created",
            session_id=optional_text(session, "id"),
            model=optional_text(session, "model"),
            voice=voice if isinstance(voice, str) else optional_text(optional_object(taken, "voice"), "id"),
            input_format=optional_text(optional_object(given, "format"), "type"),
            output_format=optional_text(optional_object(taken, "format"), "type"),
            interrupt_response=interrupts if isinstance(interrupts, bool) else None,
            create_response=answers if isinstance(answers, bool) else None,
            instructions=optional_text(session, "instructions"),
            tools=_tool_names(session.get("tools")),
            expires_at=optional_int(session, "expires_at"),
        ),
    )


def _tool_names(tools: object) -> frozenset[str] | None:
    if not isinstance(tools, list):
        return None
    offered = [tool for tool in tools if isinstance(tool, dict)]
    names = [tool.get("server_label" if tool.get("type") == "mcp" else "name") for tool in offered]
    return frozenset(name for name in names if isinstance(name, str))


def _error(message: Message) -> Events:
    return (RealtimeModelErrorEvent(error=object_at(message, "error")),)


def _rate_limits(message: Message) -> Events:
    limits = tuple(
        RateLimit(
            name=str(limit.get("name")),
            limit=optional_int(limit, "limit"),
            remaining=optional_int(limit, "remaining"),
            reset_s=optional_float(limit, "reset_seconds"),
        )
        for limit in objects_at(message, "rate_limits")
    )
    return (RealtimeModelRateLimitsEvent(rate_limits=limits),)


# Items ----------------------------------------------------------------------------------------------


def _item_added(message: Message) -> Events:
    raw = object_at(message, "item")
    default: ItemStatus | None = None
    if raw.get("type") in MCP_ITEMS:
        # They have no status of their own, and only one that was just added may be less than whole.
        default = "in_progress" if message["type"] == "conversation.item.added" else "completed"
    previous = message.get("previous_item_id")
    item = parse_item(raw, previous, default=default)
    if item is None:
        # Answers of tools are kept with their calls; what comes behind one names it as its predecessor.
        if not isinstance(raw.get("id"), str) or "previous_item_id" not in message:
            return ()
        before = ItemId(previous) if isinstance(previous, str) else None
        return (RealtimeModelItemPlacedEvent(item_id=ItemId(raw["id"]), previous_item_id=before),)
    updated = RealtimeModelItemUpdatedEvent(item=item, placed="previous_item_id" in message)
    return (updated, *approval_requested(item, None))


def _output_item(message: Message) -> Events:
    raw = object_at(message, "item")
    done = message["type"] == "response.output_item.done"
    item = parse_item(raw, None, default="completed" if done else "in_progress")
    if item is None:
        return ()
    response_id = optional_response_id(message)
    updated = RealtimeModelItemUpdatedEvent(item=item, response_id=response_id)
    if not done:
        return (updated,)
    return (updated, *tool_call(item, response_id), *approval_requested(item, response_id))


def _committed(message: Message) -> Events:
    previous = optional_text(message, "previous_item_id")
    return (
        RealtimeModelItemPlacedEvent(
            item_id=item_id_at(message), previous_item_id=None if previous is None else ItemId(previous)
        ),
    )


def _truncated(message: Message) -> Events:
    return (
        RealtimeModelItemTruncatedEvent(
            item_id=item_id_at(message), audio_end_ms=optional_int(message, "audio_end_ms")
        ),
    )


# Words ----------------------------------------------------------------------------------------------


def _transcript_delta(message: Message) -> Events:
    return (
        RealtimeModelTranscriptDeltaEvent(
            item_id=item_id_at(message),
            delta=text_at(message, "delta"),
            response_id=response_id_at(message),
            content_index=count_at(message, "content_index"),
        ),
    )


def _transcript_done(message: Message) -> Events:
    return (
        RealtimeModelTranscriptDoneEvent(
            item_id=item_id_at(message),
            transcript=text_at(message, "transcript"),
            response_id=response_id_at(message),
            content_index=count_at(message, "content_index"),
        ),
    )


def _text_delta(message: Message) -> Events:
    return (
        RealtimeModelOutputTextDeltaEvent(
            item_id=item_id_at(message), delta=text_at(message, "delta"), response_id=response_id_at(message)
        ),
    )


def _heard_delta(message: Message) -> Events:
    delta = optional_text(message, "delta")
    if delta is None:
        return ()
    return (RealtimeModelInputAudioTranscriptionDeltaEvent(item_id=item_id_at(message), delta=delta),)


def _heard(message: Message) -> Events:
    usage = optional_object(message, "usage")
    return (
        RealtimeModelInputAudioTranscriptionCompletedEvent(
            item_id=item_id_at(message),
            transcript=text_at(message, "transcript"),
            usage=_transcription_usage(usage) if usage else None,
        ),
    )


def _transcription_usage(usage: Message) -> TranscriptionUsage:
    given = optional_object(usage, "input_token_details")
    return TranscriptionUsage(
        input_tokens=count_at(usage, "input_tokens"),
        output_tokens=count_at(usage, "output_tokens"),
        total_tokens=count_at(usage, "total_tokens"),
        input_text_tokens=count_at(given, "text_tokens"),
        input_audio_tokens=count_at(given, "audio_tokens"),
        duration_s=optional_float(usage, "seconds") or 0.0,
    )


def _not_heard(message: Message) -> Events:
    error = optional_object(message, "error")
    words = optional_text(error, "message") or optional_text(error, "code") or "no reason was given"
    return (RealtimeModelInputAudioTranscriptionFailedEvent(item_id=item_id_at(message), message=words),)


# Sound ----------------------------------------------------------------------------------------------


def _audio_delta(message: Message) -> Events:
    try:
        data = base64.b64decode(text_at(message, "delta"), validate=True)
    except binascii.Error as error:
        raise MalformedError(f"delta is no base64: {error}") from error
    return (
        RealtimeModelAudioEvent(
            data=data,
            response_id=response_id_at(message),
            item_id=item_id_at(message),
            content_index=count_at(message, "content_index"),
        ),
    )


def _audio_done(message: Message) -> Events:
    return (
        RealtimeModelAudioDoneEvent(
            item_id=item_id_at(message),
            content_index=count_at(message, "content_index"),
            response_id=optional_response_id(message),
        ),
    )


def _speech_started(message: Message) -> Events:
    start = optional_int(message, "audio_start_ms")
    return (RealtimeModelCallerSpeechStartedEvent(item_id=item_id_at(message), audio_start_ms=start),)


def _speech_stopped(message: Message) -> Events:
    end = optional_int(message, "audio_end_ms")
    return (RealtimeModelCallerSpeechStoppedEvent(item_id=item_id_at(message), audio_end_ms=end),)


def _timeout_triggered(message: Message) -> Events:
    return (
        RealtimeModelInputAudioTimeoutTriggeredEvent(
            item_id=item_id_at(message),
            audio_start_ms=optional_int(message, "audio_start_ms"),
            audio_end_ms=optional_int(message, "audio_end_ms"),
        ),
    )


def _playback_started(message: Message) -> Events:
    return (RealtimeModelPlaybackEvent(change="started", response_id=response_id_at(message)),)


def _playback_stopped(message: Message) -> Events:
    return (RealtimeModelPlaybackEvent(change="stopped", response_id=response_id_at(message)),)


def _playback_cleared(message: Message) -> Events:
    return (RealtimeModelPlaybackEvent(change="cleared", response_id=response_id_at(message)),)


def _dtmf(message: Message) -> Events:
    received_at = optional_float(message, "received_at")
    return (RealtimeModelDtmfEvent(digit=text_at(message, "event"), received_at=received_at),)


_TRANSCRIPTION = "conversation.item.input_audio_transcription."
_PARSERS: dict[str, Callable[[Message], Events]] = {
    "session.created": _session,
    "session.updated": _session,
    "error": _error,
    "rate_limits.updated": _rate_limits,
    "response.created": response_created,
    "response.done": response_done,
    "response.output_item.added": _output_item,
    "response.output_item.done": _output_item,
    "conversation.item.added": _item_added,
    "conversation.item.done": _item_added,
    "conversation.item.created": _item_added,
    "conversation.item.retrieved": _item_added,
    "conversation.item.deleted": lambda message: (
        RealtimeModelItemDeletedEvent(item_id=item_id_at(message)),
    ),
    "conversation.item.truncated": _truncated,
    _TRANSCRIPTION + "delta": _heard_delta,
    _TRANSCRIPTION + "completed": _heard,
    _TRANSCRIPTION + "failed": _not_heard,
    "input_audio_buffer.speech_started": _speech_started,
    "input_audio_buffer.speech_stopped": _speech_stopped,
    "input_audio_buffer.committed": _committed,
    "input_audio_buffer.timeout_triggered": _timeout_triggered,
    "input_audio_buffer.dtmf_event_received": _dtmf,
    "output_audio_buffer.started": _playback_started,
    "output_audio_buffer.stopped": _playback_stopped,
    "output_audio_buffer.cleared": _playback_cleared,
    "response.output_text.delta": _text_delta,
    "response.output_audio_transcript.delta": _transcript_delta,
    "response.output_audio_transcript.done": _transcript_done,
    "response.output_audio.delta": _audio_delta,
    "response.output_audio.done": _audio_done,
    **MCP_PARSERS,
}
_SAYS_NOTHING = frozenset(
    {
        "conversation.created",
        "input_audio_buffer.cleared",
        "response.content_part.added",
        "response.content_part.done",
        "response.output_text.done",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        _TRANSCRIPTION + "segment",
        "response.mcp_call_arguments.delta",
    }
)
"""Documented, and repeated or completed by another message that is read."""
