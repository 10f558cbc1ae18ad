"""What most messages of a server look like, for a decoder that reads JSON straight into structs. Pure.

Each shape names the type of its messages, holds what a session needs of them, and says what that means; or
None where the message is out of the ordinary, which `sipagent.realtime.wire` then reads field by field, with
suspicion. Both must say the same of whatever a shape takes. Source: API reference "Realtime server events".
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from sipagent.identifiers import ItemId, ResponseId
from sipagent.realtime.events import (
    RealtimeModelEvent,
    RealtimeModelInputAudioTranscriptionCompletedEvent,
    RealtimeModelItemUpdatedEvent,
    RealtimeModelPlaybackEvent,
    RealtimeModelTurnEndedEvent,
    RealtimeModelTurnStartedEvent,
    RealtimeModelUsageEvent,
)
from sipagent.realtime.usage import ResponseUsage, TranscriptionUsage
from sipagent.realtime.wire_item_shapes import ItemShape, called

Events = tuple[RealtimeModelEvent, ...]
_RESPONSE_STATUSES: Final = frozenset({"completed", "cancelled", "incomplete", "failed"})


class Shape(msgspec.Struct, frozen=True, tag_field="type"):
    """A message that was decoded, and may mean several events."""

    def events(self) -> Events | None:
        """What it means; None where that must be read field by field."""
        return ()


# Items ----------------------------------------------------------------------------------------------


class _ItemAdded(Shape, frozen=True, tag="conversation.item.added"):
    item: ItemShape
    previous_item_id: ItemId | None | UnsetType = UNSET

    def events(self) -> Events | None:
        previous = self.previous_item_id
        item = self.item.item(None if previous is UNSET else previous, None)
        if item is None:
            return None
        return (RealtimeModelItemUpdatedEvent(item=item, placed=previous is not UNSET),)


class _ItemDone(_ItemAdded, frozen=True, tag="conversation.item.done"):
    """Says the same once more."""


class _OutputAdded(Shape, frozen=True, tag="response.output_item.added"):
    item: ItemShape
    response_id: ResponseId | None = None

    def events(self) -> Events | None:
        item = self.item.item(None, "in_progress")
        if item is None:
            return None
        return (RealtimeModelItemUpdatedEvent(item=item, response_id=self.response_id),)


class _OutputDone(Shape, frozen=True, tag="response.output_item.done"):
    item: ItemShape
    response_id: ResponseId | None = None

    def events(self) -> Events | None:
        item = self.item.item(None, "completed")
        if item is None:
            return None
        calls = called(item, self.response_id)
        if calls is None:
            return None
        return (RealtimeModelItemUpdatedEvent(item=item, response_id=self.response_id), *calls)


# Responses ------------------------------------------------------------------------------------------


class _Begun(msgspec.Struct, frozen=True):
    id: ResponseId
    conversation_id: str | None | UnsetType = UNSET


class _ResponseCreated(Shape, frozen=True, tag="response.created"):
    response: _Begun

    def events(self) -> Events | None:
        begun = self.response
        return (
            RealtimeModelTurnStartedEvent(response_id=begun.id, out_of_band=begun.conversation_id is None),
        )


class _Failure(msgspec.Struct, frozen=True):
    code: str | None = None
    message: str | None = None


class _Details(msgspec.Struct, frozen=True):
    reason: str | None = None
    error: _Failure | None = None


class _Cached(msgspec.Struct, frozen=True):
    text_tokens: int = 0
    audio_tokens: int = 0
    image_tokens: int = 0


class _Given(msgspec.Struct, frozen=True):
    text_tokens: int = 0
    audio_tokens: int = 0
    image_tokens: int = 0
    cached_tokens: int = 0
    cached_tokens_details: _Cached = _Cached()


class _Made(msgspec.Struct, frozen=True):
    text_tokens: int = 0
    audio_tokens: int = 0
    reasoning_tokens: int = 0


class _Usage(msgspec.Struct, frozen=True):
    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_token_details: _Given = _Given()
    output_token_details: _Made = _Made()

    def usage(self) -> ResponseUsage:
        given, made = self.input_token_details, self.output_token_details
        cached = given.cached_tokens_details
        return ResponseUsage(
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            total_tokens=self.total_tokens or self.input_tokens + self.output_tokens,
            input_text_tokens=given.text_tokens,
            input_audio_tokens=given.audio_tokens,
            input_image_tokens=given.image_tokens,
            cached_tokens=given.cached_tokens,
            cached_text_tokens=cached.text_tokens,
            cached_audio_tokens=cached.audio_tokens,
            cached_image_tokens=cached.image_tokens,
            output_text_tokens=made.text_tokens,
            output_audio_tokens=made.audio_tokens,
            reasoning_tokens=made.reasoning_tokens,
        )


class _Ended(msgspec.Struct, frozen=True):
    id: ResponseId
    status: str | None = None
    status_details: _Details | None = None
    output: list[ItemShape] = []
    usage: _Usage | None = None
    conversation_id: str | None | UnsetType = UNSET


class _ResponseDone(Shape, frozen=True, tag="response.done"):
    response: _Ended

    def events(self) -> Events | None:
        ended = self.response
        response_id = ended.id
        events: list[RealtimeModelEvent] = []
        for each in ended.output:
            item = each.item(None, None)
            calls = None if item is None else called(item, response_id)
            if item is None or calls is None:
                return None
            events.append(RealtimeModelItemUpdatedEvent(item=item, response_id=response_id))
            events.extend(calls)
        usage = None if ended.usage is None else ended.usage.usage()
        if usage is not None:
            events.append(RealtimeModelUsageEvent(usage=usage))
        status: Any = ended.status if ended.status in _RESPONSE_STATUSES else "unknown"
        details = ended.status_details or _Details()
        failure = details.error or _Failure()
        events.append(
            RealtimeModelTurnEndedEvent(
                response_id=response_id,
                status=status,
                reason=details.reason or failure.code,
                error_message=failure.message,
                usage=usage,
                out_of_band=ended.conversation_id is None,
            )
        )
        return tuple(events)


# Words and sound ------------------------------------------------------------------------------------


class _HeardDetails(msgspec.Struct, frozen=True):
    text_tokens: int = 0
    audio_tokens: int = 0


class _HeardUsage(msgspec.Struct, frozen=True):
    type: str
    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    input_token_details: _HeardDetails = _HeardDetails()
    seconds: float = 0.0


class _Heard(Shape, frozen=True, tag="conversation.item.input_audio_transcription.completed"):
    item_id: ItemId
    transcript: str
    usage: _HeardUsage | None = None

    def events(self) -> Events | None:
        used, usage = self.usage, None
        if used is not None:
            usage = TranscriptionUsage(
                input_tokens=used.input_tokens,
                output_tokens=used.output_tokens,
                total_tokens=used.total_tokens,
                input_text_tokens=used.input_token_details.text_tokens,
                input_audio_tokens=used.input_token_details.audio_tokens,
                duration_s=used.seconds,
            )
        return (
            RealtimeModelInputAudioTranscriptionCompletedEvent(
                item_id=self.item_id, transcript=self.transcript, usage=usage
            ),
        )


class _Started(Shape, frozen=True, tag="output_audio_buffer.started"):
    response_id: ResponseId

    def events(self) -> Events | None:
        return (RealtimeModelPlaybackEvent(change="started", response_id=self.response_id),)


class _Stopped(Shape, frozen=True, tag="output_audio_buffer.stopped"):
    response_id: ResponseId

    def events(self) -> Events | None:
        return (RealtimeModelPlaybackEvent(change="stopped", response_id=self.response_id),)


class _Cleared(Shape, frozen=True, tag="output_audio_buffer.cleared"):
    response_id: ResponseId

    def events(self) -> Events | None:
        return (RealtimeModelPlaybackEvent(change="cleared", response_id=self.response_id),)


# What says nothing ----------------------------------------------------------------------------------


class _PartAdded(Shape, frozen=True, tag="response.content_part.added"):
    pass


class _PartDone(Shape, frozen=True, tag="response.content_part.done"):
    pass


class _TextDone(Shape, frozen=True, tag="response.output_text.done"):
    pass


class _ArgumentsGrow(Shape, frozen=True, tag="response.function_call_arguments.delta"):
    pass


class _ArgumentsDone(Shape, frozen=True, tag="response.function_call_arguments.done"):
    pass


AnyShape = (
    _ItemAdded
    | _ItemDone
    | _OutputAdded
    | _OutputDone
    | _ResponseCreated
    | _ResponseDone
    | _Heard
    | _Started
    | _Stopped
    | _Cleared
    | _PartAdded
    | _PartDone
    | _TextDone
    | _ArgumentsGrow
    | _ArgumentsDone
)
"""What a decoder needs to know of them."""
