"""The messages of Telnyx media streaming, as values. Pure.

Lenient in what is read, as `sipagent.carrier.frames_twilio`. The caller's audio comes as their network
brought it, which the start says; ours is written as the instruction asked that opened the stream. Source:
Telnyx, "Stream call media over WebSocket".
"""

from __future__ import annotations

import binascii
import sys

import msgspec

from sipagent.audio.pcm import SAMPLE_BYTES, audioop
from sipagent.carrier.frames_json import (
    NO_MESSAGE,
    UnreadableFrameError,
    call_id_of,
    digit_of,
    number_of,
    parameters_of,
)
from sipagent.carrier.stream import (
    AudioEncoding,
    CallerAudio,
    MarkPlayed,
    StreamEvent,
    StreamFault,
    StreamFormat,
    StreamStart,
    StreamStopped,
)

LEAD_MS = 300
"""Telnyx keeps what it cannot play yet, and empties its buffer on demand."""
_NAME_MOST = 128
_DETAIL_MOST = 300
_RATES_HZ = (8000, 16000, 24000)
_ENCODINGS: dict[str, AudioEncoding] = {"PCMU": "g711_ulaw", "PCMA": "g711_alaw", "L16": "pcm16"}


class _Media(msgspec.Struct):
    payload: bytes = b""
    track: str = "inbound"
    chunk: str | int | None = None
    timestamp: str | int | None = None


class _Format(msgspec.Struct):
    encoding: str = "PCMU"
    sample_rate: int = 8000
    channels: int = 1


class _Start(msgspec.Struct):
    call_control_id: str = ""
    media_format: _Format = msgspec.field(default_factory=_Format)
    custom_parameters: dict[str, msgspec.Raw] | None = None


class _Dtmf(msgspec.Struct):
    digit: str = ""


class _Mark(msgspec.Struct):
    name: str = ""


class _Error(msgspec.Struct):
    code: str | int | None = None
    title: str = ""
    detail: str = ""


class _Message(msgspec.Struct):
    event: str = ""
    stream_id: str = ""
    media: _Media | None = None
    start: _Start | None = None
    dtmf: _Dtmf | None = None
    mark: _Mark | None = None
    payload: _Error | None = None


_DECODER = msgspec.json.Decoder(_Message)


class TelnyxReader:
    """Reads what Telnyx says in one stream. Remembers how its audio is written."""

    def __init__(self, plays: StreamFormat | None = None) -> None:
        """``plays`` is what the instruction asked for that opened the stream; by default mu-law."""
        self._plays = plays or StreamFormat()
        self._linear = False
        self._started = False

    def read(self, message: bytes | str) -> StreamStart | StreamEvent | None:
        """What a message says; None for one that says nothing to us.

        Raises `UnreadableFrameError` for what is no message, and for a start that cannot be used.
        """
        try:
            read = _DECODER.decode(message)
        except NO_MESSAGE as error:
            raise UnreadableFrameError(f"not a message of Telnyx's: {error}") from error
        match read.event:
            case "media" if read.media is not None:
                return self._audio(read.media)
            case "mark" if read.mark is not None:
                return MarkPlayed(name=read.mark.name[:_NAME_MOST])
            case "dtmf" if read.dtmf is not None:
                return digit_of(read.dtmf.digit)
            case "start":
                return self._start(read)
            case "stop":
                return StreamStopped(reason="stopped")
            case "error":
                found = read.payload or _Error()
                said = f"{found.code or ''} {found.title} {found.detail}".strip()
                return StreamFault(detail=said[:_DETAIL_MOST])
            case _:
                return None

    def _audio(self, media: _Media) -> CallerAudio | None:
        audio = media.payload
        if self._linear:
            audio = _swapped(audio[: len(audio) - len(audio) % SAMPLE_BYTES])
        if media.track != "inbound" or not audio:
            return None
        return CallerAudio(
            audio=audio, sequence=number_of(media.chunk), timestamp_ms=number_of(media.timestamp)
        )

    def _start(self, message: _Message) -> StreamStart | None:
        if self._started:
            return None  # what comes is in the format that was agreed upon
        start = message.start
        if start is None:
            raise UnreadableFrameError("a start of Telnyx's without its contents")
        hears = _format(start.media_format)
        found = StreamStart(
            stream_id=call_id_of(message.stream_id, "stream"),
            carrier_call_id=call_id_of(start.call_control_id, "call"),
            parameters=parameters_of(start.custom_parameters or {}),
            hears=hears,
            plays=self._plays,
        )
        self._started, self._linear = True, hears.encoding == "pcm16"
        return found


class TelnyxWriter:
    """Writes what we say to Telnyx in one stream."""

    clear = b'{"event":"clear"}'
    """Has Telnyx throw away what it has not played."""

    def __init__(self, start: StreamStart) -> None:
        self._linear = start.plays.encoding == "pcm16"

    def media(self, audio: bytes) -> bytes:
        """``audio`` to be played; at least 20 ms, less is not taken."""
        if self._linear:
            audio = _swapped(audio)
        return b'{"event":"media","media":{"payload":"' + binascii.b2a_base64(audio, newline=False) + b'"}}'

    def mark(self, name: str) -> bytes:
        """A mark behind the audio before it."""
        return b'{"event":"mark","mark":{"name":' + msgspec.json.encode(name) + b"}}"


def _format(given: _Format) -> StreamFormat:
    encoding = _ENCODINGS.get(given.encoding.strip().upper())
    rate_hz = given.sample_rate
    if encoding is None or given.channels != 1:
        raise UnreadableFrameError(
            f"Telnyx speaks {given.encoding[:32]!r}; we speak PCMU, PCMA and L16, mono"
        )
    if rate_hz not in (_RATES_HZ if encoding == "pcm16" else (8000,)):
        raise UnreadableFrameError(f"Telnyx speaks {encoding} at {rate_hz} Hz, which nobody does")
    return StreamFormat(encoding=encoding, rate_hz=rate_hz)


def _swapped(audio: bytes) -> bytes:
    """L16 on the wire is in network order (RFC 3551 section 4.5.11); here it is not."""
    assert sys.byteorder == "little", "as sipagent.audio.pcm says"
    return audioop.byteswap(audio, SAMPLE_BYTES)
