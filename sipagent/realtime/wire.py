"""Messages of the server, from JSON text to values. Pure; the unknown survives, and nothing raises.

Read by hand rather than validated by a library: a call brings some twenty messages a second, and a field
the server adds or leaves out must not cost the conversation. A message that lacks what its type documents
becomes `RealtimeModelOtherEvent` with the problem named.
Source: API reference "Realtime server events".
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from typing import Any

from sipagent.identifiers import ItemId, ResponseId, ToolCallId
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
    RealtimeModelToolCallEvent,
    RealtimeModelTranscriptDeltaEvent,
    RealtimeModelTranscriptDoneEvent,
    RealtimeModelTurnEndedEvent,
    RealtimeModelTurnStartedEvent,
    RealtimeModelUsageEvent,
)
from sipagent.realtime.items import (
    AssistantAudio,
    AssistantContent,
    AssistantMessageItem,
    AssistantText,
    InputAudio,
    InputImage,
    InputText,
    ItemStatus,
    RealtimeItem,
    RealtimeToolCallItem,
    SystemMessageItem,
    UserContent,
    UserMessageItem,
)
from sipagent.realtime.usage import ResponseUsage, TranscriptionUsage

Message = Mapping[str, Any]
Events = tuple[RealtimeModelEvent, ...]
_SHOWN_CHARACTERS = 200


class _MalformedError(Exception):
    """A message lacks what its type documents; caught in `parse_message`."""


def parse_text(text: str | bytes) -> Message | str:
    """A frame of the socket as a JSON object, or the start of its text when it is none."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        message = None
    if isinstance(message, dict):
        return message
    shown = text[:_SHOWN_CHARACTERS]
    return shown.decode(errors="replace") if isinstance(shown, bytes) else shown


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
    except (_MalformedError, AttributeError, TypeError, ValueError) as error:
        return (RealtimeModelOtherEvent(data=message, event_type=event_type, problem=str(error)),)


# Fields ---------------------------------------------------------------------------------------------


def _text(message: Message, key: str) -> str:
    value = message.get(key)
    if not isinstance(value, str):
        raise _MalformedError(f"{key} is {type(value).__name__}, not a string")
    return value


def _object(message: Message, key: str) -> Message:
    value = message.get(key)
    if not isinstance(value, dict):
        raise _MalformedError(f"{key} is {type(value).__name__}, not an object")
    return value


def _optional_text(message: Message, key: str) -> str | None:
    value = message.get(key)
    return value if isinstance(value, str) else None


def _optional_int(message: Message, key: str) -> int | None:
    value = message.get(key)
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _count(message: Message, key: str) -> int:
    return _optional_int(message, key) or 0


def _item_id(message: Message, key: str = "item_id") -> ItemId:
    return ItemId(_text(message, key))


def _response_id(message: Message) -> ResponseId:
    return ResponseId(_text(message, "response_id"))


def _optional_response_id(message: Message) -> ResponseId | None:
    value = _optional_text(message, "response_id")
    return None if value is None else ResponseId(value)


# Session --------------------------------------------------------------------------------------------


def _session(message: Message) -> Events:
    session = _object(message, "session")
    audio = session.get("audio") or {}
    given, taken = audio.get("input") or {}, audio.get("output") or {}
    voice = taken.get("voice")
    turn_detection = given.get("turn_detection") or {}
    interrupts = turn_detection.get("interrupt_response")
    return (
        RealtimeModelSessionEvent(
            created=message["type"] == "session.created",
            session_id=_optional_text(session, "id"),
            model=_optional_text(session, "model"),
            voice=voice if isinstance(voice, str) else _optional_text(voice or {}, "id"),
            input_format=_optional_text(given.get("format") or {}, "type"),
            output_format=_optional_text(taken.get("format") or {}, "type"),
            interrupt_response=interrupts if isinstance(interrupts, bool) else None,
            expires_at=_optional_int(session, "expires_at"),
        ),
    )


def _error(message: Message) -> Events:
    return (RealtimeModelErrorEvent(error=_object(message, "error")),)


def _rate_limits(message: Message) -> Events:
    limits = tuple(
        RateLimit(
            name=str(limit.get("name")),
            limit=_optional_int(limit, "limit"),
            remaining=_optional_int(limit, "remaining"),
            reset_s=float(limit["reset_seconds"]) if "reset_seconds" in limit else None,
        )
        for limit in message.get("rate_limits") or ()
    )
    return (RealtimeModelRateLimitsEvent(rate_limits=limits),)


# Responses ------------------------------------------------------------------------------------------

_STATUSES = ("completed", "cancelled", "incomplete", "failed")


def _out_of_band(response: Message) -> bool:
    # The API names the conversation of a response, and null for one that belongs to none.
    return "conversation_id" in response and response["conversation_id"] is None


def _response_created(message: Message) -> Events:
    response = _object(message, "response")
    return (
        RealtimeModelTurnStartedEvent(
            response_id=ResponseId(_text(response, "id")), out_of_band=_out_of_band(response)
        ),
    )


def _response_done(message: Message) -> Events:
    response = _object(message, "response")
    details = response.get("status_details") or {}
    error = details.get("error") or {}
    status = response.get("status")
    usage = _response_usage(response["usage"]) if isinstance(response.get("usage"), dict) else None
    ended = RealtimeModelTurnEndedEvent(
        response_id=ResponseId(_text(response, "id")),
        status=status if status in _STATUSES else "unknown",
        reason=_optional_text(details, "reason") or _optional_text(error, "code"),
        error_message=_optional_text(error, "message"),
        usage=usage,
        out_of_band=_out_of_band(response),
    )
    return (ended,) if usage is None else (RealtimeModelUsageEvent(usage=usage), ended)


def _response_usage(usage: Message) -> ResponseUsage:
    given = usage.get("input_token_details") or {}
    cached = given.get("cached_tokens_details") or {}
    made = usage.get("output_token_details") or {}
    input_tokens, output_tokens = _count(usage, "input_tokens"), _count(usage, "output_tokens")
    return ResponseUsage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        total_tokens=_count(usage, "total_tokens") or input_tokens + output_tokens,
        input_text_tokens=_count(given, "text_tokens"),
        input_audio_tokens=_count(given, "audio_tokens"),
        input_image_tokens=_count(given, "image_tokens"),
        cached_tokens=_count(given, "cached_tokens"),
        cached_text_tokens=_count(cached, "text_tokens"),
        cached_audio_tokens=_count(cached, "audio_tokens"),
        cached_image_tokens=_count(cached, "image_tokens"),
        output_text_tokens=_count(made, "text_tokens"),
        output_audio_tokens=_count(made, "audio_tokens"),
        reasoning_tokens=_count(made, "reasoning_tokens"),
    )


# Items ----------------------------------------------------------------------------------------------


def _item_added(message: Message) -> Events:
    item = _item(_object(message, "item"), message.get("previous_item_id"), default=None)
    if item is None:
        return ()
    return (RealtimeModelItemUpdatedEvent(item=item, placed="previous_item_id" in message),)


def _output_item(message: Message) -> Events:
    raw = _object(message, "item")
    done = message["type"] == "response.output_item.done"
    item = _item(raw, None, default="completed" if done else "in_progress")
    if item is None:
        return ()
    response_id = _optional_response_id(message)
    updated = RealtimeModelItemUpdatedEvent(item=item, response_id=response_id)
    if not isinstance(item, RealtimeToolCallItem) or not done or item.status != "completed":
        return (updated,)
    called = RealtimeModelToolCallEvent(
        name=item.name,
        call_id=item.call_id,
        arguments=item.arguments,
        id=item.item_id,
        response_id=response_id,
    )
    return updated, called


def _item(raw: Message, previous: object, *, default: ItemStatus | None) -> RealtimeItem | None:
    """An item of a kind that a history holds; None for the others (MCP)."""
    kind, role = raw.get("type"), raw.get("role")
    if kind not in ("message", "function_call"):
        return None
    item_id = _item_id(raw, "id")
    before = ItemId(previous) if isinstance(previous, str) else None
    given = raw.get("status")
    status: ItemStatus | None = given if given in ("in_progress", "completed", "incomplete") else default
    parts = [part for part in raw.get("content") or () if isinstance(part, dict)]
    if kind == "function_call":
        return RealtimeToolCallItem(
            item_id=item_id,
            call_id=ToolCallId(_optional_text(raw, "call_id") or ""),
            name=_optional_text(raw, "name") or "",
            arguments=_optional_text(raw, "arguments") or "",
            previous_item_id=before,
            status=status,
        )
    if role == "assistant":
        spoken = tuple(made for one in parts if (made := _assistant_part(one)) is not None)
        return AssistantMessageItem(item_id=item_id, content=spoken, previous_item_id=before, status=status)
    if role == "system":
        texts = tuple(InputText(text=_text(one, "text")) for one in parts if one.get("type") == "input_text")
        return SystemMessageItem(item_id=item_id, content=texts, previous_item_id=before, status=status)
    if role == "user":
        heard = tuple(part for one in parts if (part := _user_part(one)) is not None)
        return UserMessageItem(item_id=item_id, content=heard, previous_item_id=before, status=status)
    raise _MalformedError(f"an item has the unknown role {role!r}")


def _assistant_part(part: Message) -> AssistantContent | None:
    match part.get("type"):
        case "audio" | "output_audio":
            return AssistantAudio(transcript=_optional_text(part, "transcript"))
        case "text" | "output_text":
            return AssistantText(text=_optional_text(part, "text") or "")
        case _:
            return None


def _user_part(part: Message) -> UserContent | None:
    match part.get("type"):
        case "input_audio":
            return InputAudio(transcript=_optional_text(part, "transcript"))
        case "input_text":
            return InputText(text=_optional_text(part, "text") or "")
        case "input_image" if isinstance(part.get("image_url"), str):
            return InputImage(image_url=part["image_url"])
        case _:
            return None


def _committed(message: Message) -> Events:
    previous = _optional_text(message, "previous_item_id")
    return (
        RealtimeModelItemPlacedEvent(
            item_id=_item_id(message), previous_item_id=None if previous is None else ItemId(previous)
        ),
    )


def _truncated(message: Message) -> Events:
    return (
        RealtimeModelItemTruncatedEvent(
            item_id=_item_id(message), audio_end_ms=_optional_int(message, "audio_end_ms")
        ),
    )


# Words ----------------------------------------------------------------------------------------------


def _transcript_delta(message: Message) -> Events:
    return (
        RealtimeModelTranscriptDeltaEvent(
            item_id=_item_id(message), delta=_text(message, "delta"), response_id=_response_id(message)
        ),
    )


def _transcript_done(message: Message) -> Events:
    return (
        RealtimeModelTranscriptDoneEvent(
            item_id=_item_id(message),
            transcript=_text(message, "transcript"),
            response_id=_response_id(message),
        ),
    )


def _text_delta(message: Message) -> Events:
    return (
        RealtimeModelOutputTextDeltaEvent(
            item_id=_item_id(message), delta=_text(message, "delta"), response_id=_response_id(message)
        ),
    )


def _heard_delta(message: Message) -> Events:
    delta = _optional_text(message, "delta")
    if not delta:
        return ()
    return (RealtimeModelInputAudioTranscriptionDeltaEvent(item_id=_item_id(message), delta=delta),)


def _heard(message: Message) -> Events:
    usage = message.get("usage")
    return (
        RealtimeModelInputAudioTranscriptionCompletedEvent(
            item_id=_item_id(message),
            transcript=_text(message, "transcript"),
            usage=_transcription_usage(usage) if isinstance(usage, dict) else None,
        ),
    )


def _transcription_usage(usage: Message) -> TranscriptionUsage:
    given = usage.get("input_token_details") or {}
    seconds = usage.get("seconds")
    return TranscriptionUsage(
        input_tokens=_count(usage, "input_tokens"),
        output_tokens=_count(usage, "output_tokens"),
        total_tokens=_count(usage, "total_tokens"),
        input_text_tokens=_count(given, "text_tokens"),
        input_audio_tokens=_count(given, "audio_tokens"),
        duration_s=float(seconds) if isinstance(seconds, int | float) else 0.0,
    )


def _not_heard(message: Message) -> Events:
    error = message.get("error") or {}
    words = _optional_text(error, "message") or _optional_text(error, "code") or "no reason was given"
    return (RealtimeModelInputAudioTranscriptionFailedEvent(item_id=_item_id(message), message=words),)


# Sound ----------------------------------------------------------------------------------------------


def _audio_delta(message: Message) -> Events:
    try:
        data = base64.b64decode(_text(message, "delta"), validate=True)
    except binascii.Error as error:
        raise _MalformedError(f"delta is no base64: {error}") from error
    return (
        RealtimeModelAudioEvent(
            data=data,
            response_id=_response_id(message),
            item_id=_item_id(message),
            content_index=_count(message, "content_index"),
        ),
    )


def _audio_done(message: Message) -> Events:
    return (
        RealtimeModelAudioDoneEvent(
            item_id=_item_id(message),
            content_index=_count(message, "content_index"),
            response_id=_optional_response_id(message),
        ),
    )


def _speech_started(message: Message) -> Events:
    start = _optional_int(message, "audio_start_ms")
    return (RealtimeModelCallerSpeechStartedEvent(item_id=_item_id(message), audio_start_ms=start),)


def _speech_stopped(message: Message) -> Events:
    end = _optional_int(message, "audio_end_ms")
    return (RealtimeModelCallerSpeechStoppedEvent(item_id=_item_id(message), audio_end_ms=end),)


def _timeout_triggered(message: Message) -> Events:
    return (
        RealtimeModelInputAudioTimeoutTriggeredEvent(
            item_id=_item_id(message),
            audio_start_ms=_optional_int(message, "audio_start_ms"),
            audio_end_ms=_optional_int(message, "audio_end_ms"),
        ),
    )


def _playback_started(message: Message) -> Events:
    return (RealtimeModelPlaybackEvent(change="started", response_id=_response_id(message)),)


def _playback_stopped(message: Message) -> Events:
    return (RealtimeModelPlaybackEvent(change="stopped", response_id=_response_id(message)),)


def _playback_cleared(message: Message) -> Events:
    return (RealtimeModelPlaybackEvent(change="cleared", response_id=_response_id(message)),)


def _dtmf(message: Message) -> Events:
    at = message.get("received_at")
    received_at = float(at) if isinstance(at, int | float) else None
    return (RealtimeModelDtmfEvent(digit=_text(message, "event"), received_at=received_at),)


_TRANSCRIPTION = "conversation.item.input_audio_transcription."
_PARSERS: dict[str, Callable[[Message], Events]] = {
    "session.created": _session,
    "session.updated": _session,
    "error": _error,
    "rate_limits.updated": _rate_limits,
    "response.created": _response_created,
    "response.done": _response_done,
    "response.output_item.added": _output_item,
    "response.output_item.done": _output_item,
    "conversation.item.added": _item_added,
    "conversation.item.done": _item_added,
    "conversation.item.created": _item_added,
    "conversation.item.retrieved": _item_added,
    "conversation.item.deleted": lambda message: (RealtimeModelItemDeletedEvent(item_id=_item_id(message)),),
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
        "mcp_list_tools.in_progress",
        "mcp_list_tools.completed",
        "response.mcp_call_arguments.delta",
        "response.mcp_call_arguments.done",
        "response.mcp_call.in_progress",
        "response.mcp_call.completed",
    }
)
"""Documented, and repeated or completed by another message that is read."""
