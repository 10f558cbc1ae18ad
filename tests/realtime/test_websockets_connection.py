"""Messages are cut out of what was read, however it comes; everything else is left to the package."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import struct
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Opcode
from websockets.uri import parse_uri

from sipagent.realtime.connection import Closed
from sipagent.realtime.websockets_connection import WebsocketsSocket, _Connection

MOST_BYTES = 70_000
TEXT, BINARY, MORE = 0x81, 0x82, 0x80
FIRST, MIDDLE = 0x01, 0x00
PING = 0x89


def frame(head: int, body: bytes, *, mask: int = 0) -> bytes:
    if len(body) < 126:
        return bytes((head, mask | len(body))) + body
    if len(body) < 1 << 16:
        return bytes((head, mask | 126)) + struct.pack("!H", len(body)) + body
    return bytes((head, mask | 127)) + struct.pack("!Q", len(body)) + body


class Wire(asyncio.Transport):
    """The other end, in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self._reading = True
        self.closed = False

    def is_reading(self) -> bool:
        return self._reading

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        return

    def pause_reading(self) -> None:
        assert self._reading
        self._reading = False

    def resume_reading(self) -> None:
        assert not self._reading
        self._reading = True

    def is_closing(self) -> bool:
        return self.closed

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        self.closed = True

    abort = close


class Link:
    """A connection whose handshake is answered by the test."""

    def __init__(self) -> None:
        protocol = ClientProtocol(parse_uri("ws://test/"), max_size=MOST_BYTES)
        self.connection = _Connection(protocol, most_bytes=MOST_BYTES, ping_interval=None, close_timeout=0.01)
        self.socket = WebsocketsSocket(self.connection, 0.01)
        self.wire = Wire()
        self.connection.connection_made(self.wire)
        self.answer = b""

    async def ask(self) -> None:
        """Let the handshake be asked for; `answer` answers it."""
        shaking = asyncio.create_task(self.connection.handshake())
        await asyncio.sleep(0)
        key = re.search(rb"(?i)sec-websocket-key: *(\S+)", self.wire.written)
        assert key is not None
        proof = base64.b64encode(hashlib.sha1(key[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        self.answer = (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + proof + b"\r\n\r\n"
        )
        self.shaking = shaking

    async def received(self, many: int) -> list[bytes | Closed]:
        async with asyncio.timeout(30):
            return [await self.socket.receive() for _ in range(many)]

    async def end(self) -> None:
        self.connection.connection_lost(None)
        await asyncio.wait([self.shaking])
        self.shaking.exception()


def with_link(play: Callable[[Link], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        link = Link()
        await link.ask()
        try:
            await play(link)
        finally:
            await link.end()

    asyncio.run(run())


async def opened(link: Link) -> None:
    link.connection.data_received(link.answer)
    await link.shaking


BODIES = st.binary(max_size=300) | st.integers(0, 3).map(lambda more: b"x" * (65_534 + more))
MESSAGES = st.lists(
    st.tuples(st.sampled_from(["text", "binary", "fragments", "ping"]), BODIES), min_size=1, max_size=12
)


def on_the_wire(kind: str, body: bytes) -> bytes:
    match kind:
        case "text":
            return frame(TEXT, body)
        case "binary":
            return frame(BINARY, body)
        case "ping":
            return frame(PING, body[:100])
        case _:
            third = len(body) // 3
            parts = body[:third], body[third : 2 * third], body[2 * third :]
            pinged = frame(PING, b"between")
            return frame(FIRST, parts[0]) + pinged + frame(MIDDLE, parts[1]) + frame(MORE, parts[2])


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    ends = sorted({place % (len(data) + 1) for place in places} | {len(data)})
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False) if start < end]


@given(MESSAGES, st.lists(st.integers(0, 1 << 20), max_size=20), st.booleans(), st.booleans())
def test_every_message_comes_once_and_in_order_however_it_is_cut(
    messages: list[tuple[str, bytes]], places: list[int], taken: bool, early: bool
) -> None:
    expected = [body for kind, body in messages if kind != "ping"]
    heard: list[bytes] = []

    def take(message: bytes) -> bool:
        # Every third is refused, and must come before those behind it all the same.
        if len(heard) % 3 == 2:
            return False
        heard.append(message)
        return True

    async def play(link: Link) -> None:
        if taken:
            link.socket.offer_to(take)
        data = b"".join(on_the_wire(*each) for each in messages)
        if early:
            data = link.answer + data
        else:
            await opened(link)

        async def read() -> None:
            while len(heard) < len(expected):
                message = await link.socket.receive()
                assert isinstance(message, bytes)
                heard.append(message)

        reading = asyncio.create_task(read())
        for piece in cut(data, places):
            await asyncio.sleep(0)
            link.connection.data_received(piece)
        await asyncio.wait_for(reading, 30) if len(heard) < len(expected) else reading.cancel()
        await asyncio.wait([reading])
        await link.shaking

    with_link(play)
    assert heard == expected


def test_the_package_answers_pings() -> None:
    async def play(link: Link) -> None:
        await opened(link)
        link.wire.written = b""
        link.connection.data_received(frame(TEXT, b"a") + frame(PING, b"there?") + frame(TEXT, b"b"))
        assert await link.received(2) == [b"a", b"b"]
        assert link.wire.written[0] == 0x80 | Opcode.PONG

    with_link(play)


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (frame(TEXT, b"abcd", mask=0x80), 1002),
        (frame(0xC1, b"compressed"), 1002),
        (frame(0x83, b"nothing known"), 1002),
        (frame(MORE, b"of nothing"), 1002),
        (frame(TEXT, b"x" * (MOST_BYTES + 1)), 1009),
        (frame(FIRST, b"begun") + frame(TEXT, b"and not ended"), 1002),
    ],
)
def test_what_is_against_the_protocol_ends_the_socket(fault: bytes, code: int) -> None:
    async def play(link: Link) -> None:
        await opened(link)
        link.wire.written = b""
        link.connection.data_received(frame(TEXT, b"before") + fault + frame(TEXT, b"behind"))
        assert await link.received(1) == [b"before"]
        sent = link.wire.written
        assert sent[0] == 0x80 | Opcode.CLOSE
        masked, mask = sent[6:8], sent[2:6]
        assert int.from_bytes(bytes(one ^ other for one, other in zip(masked, mask, strict=False))) == code
        link.connection.data_received(frame(TEXT, b"later"))
        link.connection.connection_lost(None)
        assert isinstance((await link.received(1))[0], Closed)

    async def run() -> None:
        link = Link()
        await link.ask()
        await play(link)
        await asyncio.wait([link.shaking])

    asyncio.run(run())


def test_a_peer_is_read_no_further_than_anybody_receives() -> None:
    async def play(link: Link) -> None:
        await opened(link)
        link.connection.data_received(b"".join(frame(TEXT, b"%d" % number) for number in range(20)))
        assert not link.wire.is_reading()
        assert link.socket.receive_now() == b"0"
        assert not link.wire.is_reading()
        assert await link.received(19) == [b"%d" % number for number in range(1, 20)]
        assert link.wire.is_reading()
        assert link.socket.receive_now() is None

    with_link(play)


def test_nothing_is_offered_while_nobody_waits() -> None:
    offered: list[bytes] = []

    def take(message: bytes) -> bool:
        offered.append(message)
        return True

    async def play(link: Link) -> None:
        await opened(link)
        link.socket.offer_to(take)
        link.connection.data_received(frame(TEXT, b"first"))
        assert await link.received(1) == [b"first"]
        receiving = asyncio.create_task(link.socket.receive())
        await asyncio.sleep(0)
        link.connection.data_received(frame(TEXT, b"offered"))
        receiving.cancel()
        await asyncio.wait([receiving])
        link.connection.data_received(frame(TEXT, b"kept"))
        assert await link.received(1) == [b"kept"]

    with_link(play)
    assert offered == [b"offered"]


def test_who_closes_reads_on_and_receives_nothing_more() -> None:
    async def play(link: Link) -> None:
        await opened(link)
        link.connection.data_received(b"".join(frame(TEXT, b"%d" % number) for number in range(16)))
        assert not link.wire.is_reading()
        closing = asyncio.create_task(link.socket.close())
        await asyncio.sleep(0)
        assert link.wire.is_reading()
        link.connection.data_received(frame(TEXT, b"late") + frame(FIRST, b"later") + frame(MORE, b"still"))
        assert len(link.connection.messages) == 16
        link.connection.connection_lost(None)
        await closing

    async def run() -> None:
        link = Link()
        await link.ask()
        await play(link)

    asyncio.run(run())


def test_an_answer_that_is_none_is_the_packages_affair() -> None:
    async def play(link: Link) -> None:
        link.connection.data_received(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n")
        link.connection.data_received(b"no")
        with pytest.raises(Exception, match="404"):
            await link.shaking

    with_link(play)
