"""The messages that make up most of a call, from JSON text straight to events. Pure.

Most messages bring a few words or a little sound. Everything else, and whatever is not as documented,
takes the way of `sipagent.realtime.wire`, which names what is wrong. Source: API reference "Realtime server
events"; the tags of these events name the messages.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from sipagent.realtime.events import (
    RealtimeModelAudioEvent,
    RealtimeModelInputAudioTranscriptionDeltaEvent,
    RealtimeModelOutputTextDeltaEvent,
    RealtimeModelTranscriptDeltaEvent,
)

FrequentEvent = (
    RealtimeModelTranscriptDeltaEvent
    | RealtimeModelAudioEvent
    | RealtimeModelOutputTextDeltaEvent
    | RealtimeModelInputAudioTranscriptionDeltaEvent
)

_decode: Callable[[bytes], FrequentEvent] = msgspec.json.Decoder(FrequentEvent).decode
_AGENT = b'"response.output_'
_CALLER = b'_audio_transcription.delta"'
_HEAD = 160
"""The type stands within so many bytes, behind the id of the event at most."""


def parse_frequent(text: bytes) -> FrequentEvent | None:
    """The event that ``text`` is; None when it is another, or not certainly this one."""
    if text.find(_AGENT, 0, _HEAD) < 0 and text.find(_CALLER, 0, _HEAD) < 0:
        return None
    try:
        return _decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return None
