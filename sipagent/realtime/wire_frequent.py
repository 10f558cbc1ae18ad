"""The two messages that make up most of a call, from JSON text straight to events. Pure.

Nine messages of ten are a few words or a little sound. Everything else, and whatever is not as documented,
takes the way of `sipagent.realtime.wire`, which names what is wrong. Source: API reference "Realtime server
events", ``response.output_audio_transcript.delta`` and ``response.output_audio.delta``.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from sipagent.realtime.events import RealtimeModelAudioEvent, RealtimeModelTranscriptDeltaEvent

FrequentEvent = RealtimeModelTranscriptDeltaEvent | RealtimeModelAudioEvent

_decode: Callable[[bytes], FrequentEvent] = msgspec.json.Decoder(FrequentEvent).decode
_MARK = b'"response.output_audio'
_HEAD = 160
"""The type stands within so many bytes, behind the id of the event at most."""


def parse_frequent(text: bytes) -> FrequentEvent | None:
    """The event that ``text`` is; None when it is another, or not certainly this one."""
    if text.find(_MARK, 0, _HEAD) < 0:
        return None
    try:
        return _decode(text)
    except (msgspec.MsgspecError, RecursionError):
        return None
