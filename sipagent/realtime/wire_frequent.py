"""The messages of nearly every call, from JSON text straight to events. Pure.

Most messages bring a few words or a little sound, and are decoded into the very events they are; most others
into a shape (`sipagent.realtime.wire_shapes`) that says which events they are. Whatever else comes, and
whatever is not as documented, takes the way of `sipagent.realtime.wire`, which names what is wrong. Source:
API reference "Realtime server events"; the tags of these events name the messages.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from sipagent.realtime.events import (
    RealtimeModelAudioDoneEvent,
    RealtimeModelAudioEvent,
    RealtimeModelCallerSpeechStartedEvent,
    RealtimeModelCallerSpeechStoppedEvent,
    RealtimeModelEvent,
    RealtimeModelInputAudioTranscriptionDeltaEvent,
    RealtimeModelItemPlacedEvent,
    RealtimeModelOutputTextDeltaEvent,
    RealtimeModelRateLimitsEvent,
    RealtimeModelTranscriptDeltaEvent,
    RealtimeModelTranscriptDoneEvent,
)
from sipagent.realtime.wire import parse_message, parse_text
from sipagent.realtime.wire_shapes import AnyShape, Shape

Direct = (
    RealtimeModelTranscriptDeltaEvent
    | RealtimeModelAudioEvent
    | RealtimeModelInputAudioTranscriptionDeltaEvent
    | RealtimeModelOutputTextDeltaEvent
    | RealtimeModelTranscriptDoneEvent
    | RealtimeModelAudioDoneEvent
    | RealtimeModelCallerSpeechStartedEvent
    | RealtimeModelCallerSpeechStoppedEvent
    | RealtimeModelItemPlacedEvent
    | RealtimeModelRateLimitsEvent
)
"""Events that are one message, field by field."""

_decode: Callable[[bytes], Direct | Shape] = msgspec.json.Decoder(Direct | AnyShape).decode


def read(text: bytes) -> RealtimeModelEvent | tuple[RealtimeModelEvent, ...]:
    """What a message means: an event, or a tuple of events, of which there may be none. Never raises."""
    try:
        known = _decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return parse_message(parse_text(text))
    if type(known) is RealtimeModelTranscriptDeltaEvent or not isinstance(known, Shape):
        return known
    events = known.events()
    return parse_message(parse_text(text)) if events is None else events
