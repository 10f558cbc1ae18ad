"""The packets of Asterisk's AudioSocket."""

from __future__ import annotations

import contextlib
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.carrier.frames_audio_socket import (
    LinearAudio,
    PacketReader,
    StreamNamed,
    read_audio,
    write_audio,
    write_hangup,
)
from sipagent.carrier.frames_json import UnreadableFrameError
from sipagent.carrier.stream import CallerAudio, CallerDigit, StreamFault, StreamFormat, StreamStopped

NAME = UUID("6ba7b810-9dad-41d1-80b4-00c04fd430c8")
SLIN = StreamFormat(encoding="pcm16", rate_hz=8000)


def packet(kind: int, payload: bytes = b"") -> bytes:
    return bytes((kind,)) + len(payload).to_bytes(2, "big") + payload


WHOLE = (
    packet(0x01, NAME.bytes)
    + packet(0x10, bytes(320))
    + packet(0x77, b"unknown")
    + packet(0x03, b"5")
    + packet(0x12, bytes(640))
    + packet(0xFF, b"\x02")
    + packet(0x00)
)
MEANT = [
    StreamNamed(uuid=NAME),
    LinearAudio(audio=bytes(320), spoken=SLIN),
    CallerDigit(digit="5"),
    LinearAudio(audio=bytes(640), spoken=StreamFormat(encoding="pcm16", rate_hz=16000)),
    StreamFault(detail="a frame could not be forwarded"),
    StreamStopped(reason="stopped"),
]


@given(st.lists(st.integers(1, 400), max_size=20))
def test_packets_are_found_however_they_are_cut(lengths: list[int]) -> None:
    reader = PacketReader()
    found = []
    position = 0
    for length in [*lengths, len(WHOLE)]:
        found += reader.feed(WHOLE[position : position + length])
        position += length
    assert found == MEANT


def test_a_packet_that_no_asterisk_sends_is_an_error() -> None:
    with pytest.raises(UnreadableFrameError):
        PacketReader().feed(b"\x10\xff\xff")
    with pytest.raises(UnreadableFrameError):
        PacketReader().feed(packet(0x01, b"short"))


def test_odd_ends_and_empty_packets_say_nothing() -> None:
    reader = PacketReader()
    assert reader.feed(packet(0x10, b"\x01") + packet(0x03, b"") + packet(0x03, b"\xff")) == []
    assert reader.feed(packet(0x10, b"\x01\x02\x03")) == [LinearAudio(audio=b"\x01\x02", spoken=SLIN)]
    assert reader.feed(packet(0xFF)) == [StreamFault(detail="error 0")]


def test_audio_of_another_rate_than_the_calls_is_left_out() -> None:
    sound = LinearAudio(audio=bytes(320), spoken=SLIN)
    assert read_audio(sound, SLIN) == CallerAudio(audio=bytes(320))
    assert read_audio(sound, StreamFormat(encoding="pcm16", rate_hz=16000)) is None


@given(st.binary(max_size=100_000).map(lambda data: data[: len(data) // 2 * 2]))
def test_what_is_written_can_be_read(audio: bytes) -> None:
    packets = PacketReader().feed(write_audio(audio, SLIN) + write_hangup())
    assert packets.pop() == StreamStopped(reason="stopped")
    assert b"".join(each.audio for each in packets if isinstance(each, LinearAudio)) == audio


@given(st.binary(max_size=300))
def test_nothing_else_is_raised_whatever_comes(data: bytes) -> None:
    with contextlib.suppress(UnreadableFrameError):
        PacketReader().feed(data)
