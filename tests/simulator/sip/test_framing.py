from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sipagent.simulator.sip.framing import StreamFramer

PING = b"\r\n\r\n"
ONE = b"OPTIONS sip:a SIP/2.0\r\nCall-ID: 1\r\nContent-Length: 3\r\n\r\nabc"
TWO = b"OPTIONS sip:a SIP/2.0\r\nCall-ID: 2\r\n\r\n"


@given(st.lists(st.sampled_from([ONE, TWO, PING]), max_size=6), st.data())
def test_messages_come_out_whole_however_the_stream_is_cut(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    framer = StreamFramer(max_message_bytes=1000)
    found: list[bytes] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += framer.feed(stream[start:end])
    assert found == parts
    assert not framer.broken


def test_stray_line_ends_between_messages_are_skipped() -> None:
    framer = StreamFramer(max_message_bytes=1000)
    assert framer.feed(ONE + b"\r\n" + TWO + b"\n\n\n" + ONE) == [ONE, TWO, ONE]


def test_a_head_that_never_ends_breaks_the_stream() -> None:
    framer = StreamFramer(max_message_bytes=100)
    assert framer.feed(b"OPTIONS sip:a SIP/2.0\r\n" + b"X: y\r\n" * 40) == []
    assert framer.broken
    assert framer.feed(ONE) == []


def test_a_length_that_cannot_be_followed_returns_the_head_for_an_answer() -> None:
    for length in (b"banana", b"100000"):
        framer = StreamFramer(max_message_bytes=1000)
        head = ONE.partition(b"abc")[0].replace(b"Content-Length: 3", b"Content-Length: " + length)
        assert framer.feed(head + b"abc" + TWO) == [head]
        assert framer.broken


@given(st.lists(st.binary(max_size=60), max_size=10))
def test_no_stream_breaks_the_framer(chunks: list[bytes]) -> None:
    framer = StreamFramer(max_message_bytes=200)
    for chunk in chunks:
        framer.feed(chunk)
