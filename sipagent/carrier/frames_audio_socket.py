"""The packets of Asterisk's AudioSocket, as values. Pure.

Each is a kind, a length of two bytes in network order, and so many bytes. Source: Asterisk, "AudioSocket".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sipagent.audio.pcm import SAMPLE_BYTES
from sipagent.carrier.frames_json import UnreadableFrameError, digit_of
from sipagent.carrier.stream import CallerAudio, CallerDigit, StreamFault, StreamFormat, StreamStopped

LEAD_MS = 40
"""Asterisk hands on at once what it gets, so the beat of the audio is ours; one frame bridges a late one."""
_HEAD_BYTES: Final = 3
_HANGUP: Final = 0x00
_UUID: Final = 0x01
_DIGIT: Final = 0x03
_ERROR: Final = 0xFF
_FIRST_AUDIO: Final = 0x10
_RATES_HZ: Final = (8000, 12000, 16000, 24000, 32000, 44100, 48000, 96000, 192000)
"""Of the kinds from 0x10 on."""
_MOST_PACKET_BYTES: Final = 40_000
"""A tenth of a second at the highest rate."""
_ERRORS: Final = {0x01: "the caller hung up", 0x02: "a frame could not be forwarded", 0x04: "no memory"}


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamNamed:
    """The first packet: which call this is."""

    uuid: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearAudio:
    """Audio, in a format of which the first is the call's."""

    audio: bytes
    spoken: StreamFormat


Packet = StreamNamed | LinearAudio | CallerDigit | StreamFault | StreamStopped


class PacketReader:
    """Takes packets out of a stream of bytes."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[Packet]:
        """The packets that ``data`` completes; kinds that are unknown are passed over.

        Raises `UnreadableFrameError` for a packet that no Asterisk sends.
        """
        rest = self._rest
        rest += data
        packets: list[Packet] = []
        position, end = 0, len(rest)
        while position + _HEAD_BYTES <= end:
            length = int.from_bytes(rest[position + 1 : position + _HEAD_BYTES], "big")
            if length > _MOST_PACKET_BYTES:
                raise UnreadableFrameError(f"a packet of {length} bytes; {_MOST_PACKET_BYTES} are the most")
            start = position + _HEAD_BYTES
            if start + length > end:
                break
            packet = _packet(rest[position], bytes(rest[start : start + length]))
            if packet is not None:
                packets.append(packet)
            position = start + length
        del rest[:position]
        return packets


def _packet(kind: int, payload: bytes) -> Packet | None:
    if _FIRST_AUDIO <= kind < _FIRST_AUDIO + len(_RATES_HZ):
        audio = payload[: len(payload) - len(payload) % SAMPLE_BYTES]
        if not audio:
            return None
        spoken = StreamFormat(encoding="pcm16", rate_hz=_RATES_HZ[kind - _FIRST_AUDIO])
        return LinearAudio(audio=audio, spoken=spoken)
    if kind == _HANGUP:
        return StreamStopped(reason="stopped")
    if kind == _UUID:
        if len(payload) != 16:
            raise UnreadableFrameError(f"a call's id of {len(payload)} bytes instead of 16")
        return StreamNamed(uuid=UUID(bytes=payload))
    if kind == _DIGIT:
        return digit_of(payload.decode("ascii", errors="replace"))
    if kind == _ERROR:
        code = payload[0] if payload else 0
        return StreamFault(detail=_ERRORS.get(code, f"error {code}"))
    return None


def write_audio(audio: bytes, spoken: StreamFormat) -> bytes:
    """``audio`` as packets."""
    kind = _FIRST_AUDIO + _RATES_HZ.index(spoken.rate_hz)
    return b"".join(
        bytes((kind,)) + len(piece).to_bytes(2, "big") + piece
        for piece in (audio[at : at + _MOST_PACKET_BYTES] for at in range(0, len(audio), _MOST_PACKET_BYTES))
    )


def write_hangup() -> bytes:
    """The call is to go on in the dialplan."""
    return bytes((_HANGUP, 0, 0))


def read_audio(packet: LinearAudio, spoken: StreamFormat) -> CallerAudio | None:
    """The audio of a packet, if it is in the call's format."""
    return CallerAudio(audio=packet.audio) if packet.spoken == spoken else None
