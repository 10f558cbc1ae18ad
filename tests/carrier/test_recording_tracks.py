"""Both sides of a call on one line of time, and the header of the file they go into."""

from __future__ import annotations

import io
import struct

from hypothesis import given
from hypothesis import strategies as st

from sipagent.carrier.recording_tracks import (
    HEADER_BYTES,
    NEARLY_SAMPLES,
    SIZES_AT,
    Track,
    interleaved,
    wav_header,
    wav_sizes,
)


def test_pieces_stand_where_they_were_heard_with_silence_around() -> None:
    track = Track()
    track.put(1000, b"a" * 100)
    track.put(1100 + NEARLY_SAMPLES, b"b" * 100)  # nearly: right behind
    track.put(3000, b"c" * 100)
    assert track.take(500) == b"\xff" * 500
    taken = track.take(4000)
    assert taken == b"\xff" * 500 + b"a" * 100 + b"b" * 100 + b"\xff" * 1800 + b"c" * 100 + b"\xff" * 900


def test_a_piece_can_be_taken_by_halves() -> None:
    track = Track()
    track.put(0, b"0123456789")
    assert [track.take(4), track.take(7), track.take(12)] == [b"0123", b"456", b"789\xff\xff"]
    track.put(12, b"ab")
    track.put(14, b"cd")
    assert track.take(16) == b"abcd"


def test_what_was_not_heard_is_cut_off_and_the_next_begins_there() -> None:
    track = Track()
    track.put(0, b"a" * 800)
    track.put(800, b"b" * 800)
    track.put(1600, b"c" * 800)
    track.cut(1000)
    assert track.end == 1000
    track.put(1000, b"d" * 100)
    assert track.take(2000) == b"a" * 800 + b"b" * 200 + b"d" * 100 + b"\xff" * 900
    track.cut(500)  # what was taken is written
    track.put(2000, b"e" * 10)
    assert track.take(2010) == b"e" * 10


def placed(track: Track, end: int) -> bytes:
    """All of a side, with what came late in its place."""
    whole = bytearray(track.take(end))
    for start, audio in track.take_late():
        whole[start : start + len(audio)] = audio
    return bytes(whole)


def test_what_comes_after_its_place_was_taken_is_told_as_late() -> None:
    track = Track()
    track.put(0, b"a" * 160)
    taken = track.take(1000)
    track.put(160, b"b" * 800)
    track.put(960, b"c" * 160)
    assert track.take_late() == [(160, b"b" * 800), (960, b"c" * 40)]
    assert track.take_late() == []
    assert taken + track.take(1200) == b"a" * 160 + b"\xff" * 840 + b"c" * 120 + b"\xff" * 80


def test_a_voice_that_is_quicker_than_the_clock_does_not_run_away() -> None:
    track = Track()
    for number in range(3000):
        track.put(number * 159, b"x" * 160)  # 0.6 % too much
        assert abs(track.end - (number + 1) * 159) <= NEARLY_SAMPLES + 160


def test_what_comes_all_at_once_is_moved_back_into_the_silence_before() -> None:
    track = Track()
    track.put(0, b"a" * 160)
    # Held up, and counted from when it came.
    for byte in b"bcdefghij":
        track.put(2000, bytes((byte,)) * 160)
    track.put(2160, b"k" * 160)
    ten = b"".join(bytes((byte,)) * 160 for byte in b"bcdefghijk")
    whole = placed(track, 4000)
    assert ten in whole, "nothing is lost"
    assert abs(whole.index(ten) + len(ten) - 2320) <= NEARLY_SAMPLES
    assert whole.startswith(b"a" * 160 + b"\xff")


def test_what_was_said_before_the_beginning_is_left_out() -> None:
    track = Track()
    track.put(-8000, b"x" * 160)
    track.put(-400, b"y" * 480)
    assert track.take(1000) == b"y" * 80 + b"\xff" * 920


@given(
    st.lists(st.tuples(st.integers(-500, 9000), st.integers(0, 900), st.sampled_from(["put", "cut", "take"])))
)
def test_whatever_comes_what_is_taken_is_as_long_as_time(acts: list[tuple[int, int, str]]) -> None:
    track, taken = Track(), 0
    for position, length, act in acts:
        match act:
            case "put":
                track.put(position, b"x" * length)
            case "cut":
                track.cut(position)
            case _:
                end = max(taken, position)
                assert len(track.take(end)) == end - taken
                taken = end
        for start, audio in track.take_late():
            assert 0 <= start < start + len(audio) <= taken


@given(st.lists(st.tuples(st.integers(-400, 6000), st.integers(1, 900), st.booleans()), max_size=40))
def test_nothing_is_written_over_what_was_said(acts: list[tuple[int, int, bool]]) -> None:
    track, whole = Track(), bytearray()

    def take(end: int) -> None:
        for start, audio in track.take_late():
            assert whole[start : start + len(audio)] == b"\xff" * len(audio)
            whole[start : start + len(audio)] = audio
        whole.extend(track.take(max(end, len(whole))))

    put = 0
    for position, length, is_put in acts:
        if is_put:
            track.put(position, b"x" * length)
            put += length
        else:
            take(position)
    take(20_000)
    take(20_000)
    assert whole.count(b"x") <= put


def test_stereo_has_the_caller_on_the_left() -> None:
    assert interleaved(b"abc", b"xyz") == b"axbycz"


def test_the_header_is_that_of_a_stereo_file_in_mu_law() -> None:
    file = io.BytesIO(wav_header(1000))
    assert file.read(4) == b"RIFF"
    assert struct.unpack("<I", file.read(4))[0] == HEADER_BYTES - 8 + 2000
    assert file.read(8) == b"WAVEfmt "
    size, tag, channels, rate, byte_rate, block, bits, extra = struct.unpack("<IHHIIHHH", file.read(22))
    assert (size, tag, channels, rate, byte_rate, block, bits, extra) == (18, 7, 2, 8000, 16000, 2, 8, 0)
    assert file.read(4) == b"fact"
    assert struct.unpack("<II", file.read(8)) == (4, 1000)
    assert file.read(4) == b"data"
    assert struct.unpack("<I", file.read(4))[0] == 2000
    assert file.tell() == HEADER_BYTES
    header = bytearray(wav_header(0))
    for position, written in zip(SIZES_AT, wav_sizes(1000), strict=True):
        header[position : position + 4] = written
    assert bytes(header) == wav_header(1000)
