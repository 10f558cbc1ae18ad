"""WebSocket frames, held against the `websockets` package."""

from __future__ import annotations

import base64
import contextlib
import os
import time
from collections.abc import Generator, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import OP_BINARY, OP_CLOSE, OP_CONT, OP_PING, OP_PONG, OP_TEXT, Opcode
from websockets.frames import Frame as TheirFrame
from websockets.utils import accept_key

from sipagent.carrier.web_frames import (
    NO_CODE,
    TOO_BIG,
    BrokenFrameError,
    Frame,
    FrameReader,
    accepted_key,
    close_frame,
    ping_frame,
    pong_frame,
    text_frame,
    unmasked,
)

MOST = 70_000


def theirs(opcode: Opcode, payload: bytes, *, fin: bool = True, mask: bool = True) -> bytes:
    """A frame as the package writes it."""
    return TheirFrame(opcode, payload, fin=fin).serialize(mask=mask)


def fed(data: bytes, lengths: Iterable[int] = ()) -> list[Frame]:
    reader, frames, position = FrameReader(MOST), [], 0
    for length in [*lengths, len(data)]:
        frames += reader.feed(data[position : position + length])
        position += length
    return frames


def read_by_them(data: bytes) -> TheirFrame:
    """A frame as the package reads it."""
    rest = bytearray(data)

    def read_exact(count: int) -> Generator[None, None, bytes]:
        taken = bytes(rest[:count])
        del rest[:count]
        yield from ()
        return taken

    parsing = TheirFrame.parse(read_exact, mask=False)
    try:
        next(parsing)
    except StopIteration as over:
        frame: TheirFrame = over.value
        return frame
    raise AssertionError("the frame is not whole")


@given(
    st.lists(st.binary(max_size=400) | st.binary(min_size=60_000, max_size=66_000), max_size=4),
    st.lists(st.integers(1, 3000), max_size=12),
)
def test_messages_are_found_however_they_are_cut(messages: list[bytes], lengths: list[int]) -> None:
    data = b"".join(theirs(OP_TEXT, message) for message in messages)
    assert fed(data, lengths) == [Frame(kind="text", payload=message) for message in messages]


def test_messages_in_parts_with_control_frames_between() -> None:
    data = (
        theirs(OP_TEXT, b"one, ", fin=False)
        + theirs(OP_PING, b"are you there")
        + theirs(OP_CONT, b"two, ", fin=False)
        + theirs(OP_PONG, b"")
        + theirs(OP_CONT, b"three")
        + theirs(OP_BINARY, b"\x00")
        + theirs(OP_CLOSE, (1001).to_bytes(2, "big") + b"bye")
        + theirs(OP_CLOSE, b"")
    )
    frames = fed(data)
    assert [(frame.kind, frame.payload) for frame in frames[:5]] == [
        ("ping", b"are you there"),
        ("pong", b""),
        ("text", b"one, two, three"),
        ("binary", b"\x00"),
        ("close", b"\x03\xe9bye"),
    ]
    assert [frame.close_code for frame in frames[4:]] == [1001, NO_CODE]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (theirs(OP_TEXT, b"not masked", mask=False), 1002),
        (b"\xc1\x80\x00\x00\x00\x00", 1002),
        (b"\x83\x80\x00\x00\x00\x00", 1002),
        (theirs(OP_CONT, b"of none"), 1002),
        (theirs(OP_TEXT, b"a", fin=False) + theirs(OP_TEXT, b"b"), 1002),
        (b"\x09\x80\x00\x00\x00\x00", 1002),
        (b"\x89\xfe\x00\x7e" + bytes(4) + bytes(126), 1002),
        (b"\x81\xff" + (1 << 40).to_bytes(8, "big") + bytes(4), TOO_BIG),
        (theirs(OP_TEXT, bytes(60_000), fin=False) + theirs(OP_CONT, bytes(60_000)), TOO_BIG),
    ],
)
def test_what_breaks_the_protocol_is_told_by_its_code(data: bytes, code: int) -> None:
    with pytest.raises(BrokenFrameError) as broken:
        fed(data)
    assert broken.value.code == code


@given(st.binary(max_size=300), st.lists(st.integers(1, 40), max_size=5))
def test_nothing_else_is_raised_whatever_comes(data: bytes, lengths: list[int]) -> None:
    with contextlib.suppress(BrokenFrameError):
        fed(data, lengths)


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65_535, 65_536])
def test_what_is_written_can_be_read_by_others(length: int) -> None:
    payload = os.urandom(length)
    assert read_by_them(text_frame(payload)) == TheirFrame(OP_TEXT, payload)
    assert read_by_them(ping_frame()).opcode is OP_PING
    assert read_by_them(pong_frame(b"x")) == TheirFrame(OP_PONG, b"x")
    assert read_by_them(close_frame(1001)).data == b"\x03\xe9"
    assert read_by_them(close_frame(NO_CODE)).data == b""


@given(st.binary(max_size=1000), st.binary(min_size=4, max_size=4))
def test_a_mask_taken_off_twice_is_on_again(payload: bytes, key: bytes) -> None:
    assert unmasked(unmasked(payload, key), key) == payload
    assert unmasked(payload, bytes(4)) == payload


def test_a_handshake_is_proved_as_others_prove_it() -> None:
    key = base64.b64encode(os.urandom(16)).decode()
    assert accepted_key(key) == accept_key(key)
    for wrong in ("", "short", "x" * 24, base64.b64encode(bytes(15)).decode(), "ü" * 24):
        with pytest.raises(BrokenFrameError):
            accepted_key(wrong)


def test_a_message_of_very_many_empty_parts_costs_no_more_than_its_bytes() -> None:
    reader = FrameReader(MOST)
    first = theirs(OP_TEXT, b"a", fin=False)
    empty = theirs(OP_CONT, b"", fin=False)
    began = time.process_time()
    assert reader.feed(first + empty * 100_000) == []
    took_s = time.process_time() - began
    assert took_s < 5, "with a sum over all parts for each of them, it is minutes"
    assert [frame.payload for frame in reader.feed(theirs(OP_CONT, b"b"))] == [b"ab"]
