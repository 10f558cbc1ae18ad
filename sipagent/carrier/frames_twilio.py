"""The messages of Twilio Media Streams, as values. Pure.

Lenient in what is read: what is unknown is passed over, and only a message without which the stream cannot
go on is an error. Source: Twilio, "Media Streams - WebSocket Messages".
"""

from __future__ import annotations

import binascii

import msgspec

from sipagent.carrier.frames_json import (
    NO_MESSAGE,
    UnreadableFrameError,
    call_id_of,
    digit_of,
    number_of,
    parameters_of,
)
from sipagent.carrier.stream import (
    CallerAudio,
    MarkPlayed,
    StreamEvent,
    StreamFormat,
    StreamStart,
    StreamStopped,
)

LEAD_MS = 300
"""Twilio keeps what it cannot play yet, whatever its length, and empties its buffer on demand."""
_NAME_MOST = 128


class _Media(msgspec.Struct):
    payload: bytes = b""
    track: str = "inbound"
    chunk: str | int | None = None
    timestamp: str | int | None = None


class _Format(msgspec.Struct):
    encoding: str = "audio/x-mulaw"
    sample_rate: int = msgspec.field(name="sampleRate", default=8000)
    channels: int = 1


class _Start(msgspec.Struct):
    stream_sid: str = msgspec.field(name="streamSid", default="")
    call_sid: str = msgspec.field(name="callSid", default="")
    media_format: _Format = msgspec.field(name="mediaFormat", default_factory=_Format)
    parameters: dict[str, msgspec.Raw] = msgspec.field(name="customParameters", default_factory=dict)


class _Dtmf(msgspec.Struct):
    digit: str = ""


class _Mark(msgspec.Struct):
    name: str = ""


class _Message(msgspec.Struct):
    event: str = ""
    stream_sid: str = msgspec.field(name="streamSid", default="")
    media: _Media | None = None
    start: _Start | None = None
    dtmf: _Dtmf | None = None
    mark: _Mark | None = None


_DECODER = msgspec.json.Decoder(_Message)


def read(message: bytes | str) -> StreamStart | StreamEvent | None:
    """What a message of Twilio says; None for one that says nothing to us.

    Raises `UnreadableFrameError` for what is no message, and for a start that cannot be used.
    """
    try:
        read = _DECODER.decode(message)
    except NO_MESSAGE as error:
        raise UnreadableFrameError(f"not a message of Twilio's: {error}") from error
    match read.event:
        case "media" if read.media is not None:
            return _audio(read.media)
        case "mark" if read.mark is not None:
            return MarkPlayed(name=read.mark.name[:_NAME_MOST])
        case "dtmf" if read.dtmf is not None:
            return digit_of(read.dtmf.digit)
        case "start":
            return _start(read)
        case "stop":
            return StreamStopped(reason="stopped")
        case _:
            return None


def _audio(media: _Media) -> CallerAudio | None:
    if media.track != "inbound":
        return None  # an echo of what we said, where somebody asked for both tracks
    if not media.payload:
        return None
    return CallerAudio(
        audio=media.payload, sequence=number_of(media.chunk), timestamp_ms=number_of(media.timestamp)
    )


def _start(message: _Message) -> StreamStart:
    start = message.start
    if start is None:
        raise UnreadableFrameError("a start of Twilio's without its contents")
    spoken = start.media_format
    if spoken.encoding != "audio/x-mulaw" or spoken.sample_rate != 8000 or spoken.channels != 1:
        raise UnreadableFrameError("Twilio speaks another format than mono mu-law at 8000 Hz")
    return StreamStart(
        stream_id=call_id_of(start.stream_sid or message.stream_sid, "stream"),
        carrier_call_id=call_id_of(start.call_sid, "call"),
        parameters=parameters_of(start.parameters),
        hears=StreamFormat(),
        plays=StreamFormat(),
    )


class TwilioWriter:
    """Writes what we say to Twilio in one stream."""

    def __init__(self, start: StreamStart) -> None:
        sid = msgspec.json.encode(start.stream_id)
        self._media = b'{"event":"media","streamSid":' + sid + b',"media":{"payload":"'
        self._mark = b'{"event":"mark","streamSid":' + sid + b',"mark":{"name":'
        self.clear = b'{"event":"clear","streamSid":' + sid + b"}"
        """Has Twilio throw away what it has not played."""

    def media(self, audio: bytes) -> bytes:
        """``audio`` to be played."""
        return self._media + binascii.b2a_base64(audio, newline=False) + b'"}}'

    def mark(self, name: str) -> bytes:
        """A mark behind the audio before it."""
        return self._mark + msgspec.json.encode(name) + b"}}"
