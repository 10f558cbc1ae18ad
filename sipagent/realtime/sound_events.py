"""What a model reports of sound, as values: what the agent and the caller let be heard, and when.

Part of `sipagent.realtime.events`, where they are to be imported from. Sources: API reference "Realtime
server events".
"""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

from sipagent.identifiers import ItemId, ResponseId
from sipagent.realtime.value import Value


class RealtimeModelAudioEvent(
    Value, frozen=True, kw_only=True, tag_field="type", tag="response.output_audio.delta"
):
    """Audio of the agent, where it comes over the socket."""

    data: bytes = msgspec.field(name="delta")
    """In the session's output format; on the wire it is base64."""
    response_id: ResponseId
    item_id: ItemId
    content_index: int = 0
    type: ClassVar[Literal["audio"]] = "audio"


class RealtimeModelAudioInterruptedEvent(Value, frozen=True, kw_only=True):
    """Playing must stop."""

    item_id: ItemId
    content_index: int
    heard_in_full: bool = False
    """There was nothing left to play: whoever speaks now speaks after the agent, and not into its words."""
    type: Literal["audio_interrupted"] = "audio_interrupted"


class RealtimeModelAudioDoneEvent(
    Value, frozen=True, kw_only=True, tag_field="type", tag="response.output_audio.done"
):
    """All audio of one part was generated."""

    item_id: ItemId
    content_index: int
    response_id: ResponseId | None = None
    type: ClassVar[Literal["audio_done"]] = "audio_done"


class RealtimeModelInputAudioTimeoutTriggeredEvent(Value, frozen=True, kw_only=True):
    """Nobody spoke for the configured time."""

    item_id: ItemId
    audio_start_ms: int | None = None
    audio_end_ms: int | None = None
    type: Literal["input_audio_timeout_triggered"] = "input_audio_timeout_triggered"


class RealtimeModelCallerSpeechStartedEvent(
    Value, frozen=True, kw_only=True, tag_field="type", tag="input_audio_buffer.speech_started"
):
    """The server hears the caller speak."""

    item_id: ItemId
    audio_start_ms: int | None = None
    type: ClassVar[Literal["caller_speech_started"]] = "caller_speech_started"


class RealtimeModelCallerSpeechStoppedEvent(
    Value, frozen=True, kw_only=True, tag_field="type", tag="input_audio_buffer.speech_stopped"
):
    """The caller fell silent."""

    item_id: ItemId
    audio_end_ms: int | None = None
    type: ClassVar[Literal["caller_speech_stopped"]] = "caller_speech_stopped"


class RealtimeModelPlaybackEvent(Value, frozen=True, kw_only=True):
    """A response began to play, was played to its end, or was cut off.

    On SIP and WebRTC the server says so of its output buffer. Where the audio comes over the socket, the
    model says so itself: ``started`` before the first audio that is heard at once, ``stopped`` when all of a
    response that has ended was played, by the playback tracker or the clock, ``cleared`` at an interruption.
    """

    change: Literal["started", "stopped", "cleared"]
    response_id: ResponseId
    type: Literal["playback"] = "playback"


class RealtimeModelDtmfEvent(Value, frozen=True, kw_only=True):
    """The caller pressed a key (SIP only)."""

    digit: str
    received_at: float | None = None
    """Seconds since 1970 UTC."""
    type: Literal["dtmf"] = "dtmf"
