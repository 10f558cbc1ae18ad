"""Servers that let anybody in, on bare protocols: one plays a recording to whoever connects, as fast as it is
taken; `tests.bench.crowd` plays it to many at the pace of a call."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import struct
from collections.abc import Sequence

from tests.bench.wire import WEBSOCKET_GUID

_KEY = re.compile(rb"sec-websocket-key: *([^\r]+)", re.IGNORECASE)
_CLOSE, _PING = 8, 9


def frame(text: str) -> bytes:
    """A text frame as a server sends it (RFC 6455 section 5.2)."""
    body = text.encode()
    if len(body) < 126:
        return bytes((0x81, len(body))) + body
    if len(body) < 1 << 16:
        return b"\x81\x7e" + struct.pack("!H", len(body)) + body
    return b"\x81\x7f" + struct.pack("!Q", len(body)) + body


class Connection(asyncio.Protocol):
    """The server's end of a WebSocket: says yes to the handshake, answers pings and closes, and skips what
    the client says, which is but told of."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self._buffer = b""
        self._open = False

    def opened(self, head: bytes) -> None:
        """The handshake, whose request was ``head``, is done."""

    def spoken_to(self) -> None:
        """The client sent something after its handshake."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._open and b"\r\n\r\n" in self._buffer:
            head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
            key = _KEY.search(head + b"\r\n")
            assert key is not None
            proof = base64.b64encode(hashlib.sha1(key[1].strip() + WEBSOCKET_GUID).digest())
            self.transport.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + proof + b"\r\n\r\n"
            )
            self._open = True
            self.opened(head)
        if not self._open or not self._buffer:
            return
        self.spoken_to()
        while (taken := self._next_frame()) is not None:
            opcode, body = taken
            if opcode == _CLOSE:
                self.transport.write(b"\x88\x02\x03\xe8")
                self.transport.close()
            elif opcode == _PING:
                self.transport.write(bytes((0x8A, len(body))) + body)

    def _next_frame(self) -> tuple[int, bytes] | None:
        """Take one whole frame out of the buffer (RFC 6455 section 5.2); None when there is none yet.

        Only the body of a control frame, which is short, is unmasked and returned.
        """
        if len(self._buffer) < 6:
            return None
        length, start = self._buffer[1] & 0x7F, 6
        if length == 126:
            if len(self._buffer) < 8:
                return None
            (length,), start = struct.unpack_from("!H", self._buffer, 2), 8
        elif length == 127:
            if len(self._buffer) < 14:
                return None
            (length,), start = struct.unpack_from("!Q", self._buffer, 2), 14
        if len(self._buffer) < start + length:
            return None
        opcode = self._buffer[0] & 0x0F
        body = b""
        if opcode >= _CLOSE:
            mask = self._buffer[start - 4 : start]
            masked = self._buffer[start : start + length]
            body = bytes(each ^ mask[place % 4] for place, each in enumerate(masked))
        self._buffer = self._buffer[start + length :]
        return opcode, body


class Player:
    """Plays one recording at a time, to whoever connects and sends a message."""

    def __init__(self) -> None:
        self.port = 0
        self.frames: Sequence[bytes] = ()
        self.per_second = 0
        """Frames a second, each written by itself; 0 writes them as fast as they are taken."""
        self.playing: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen on a free port of the loopback."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Listener(self), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close everything."""
        assert self._server is not None
        self._server.close()
        for task in self.playing:
            task.cancel()
        await asyncio.gather(*self.playing, return_exceptions=True)

    async def play(self, transport: asyncio.Transport) -> None:
        """Write every frame, at its moment."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0.1)  # whoever attaches finishes that first
        began = loop.time()
        for number, each in enumerate(self.frames):
            if self.per_second:
                # A timer of the loop is too coarse; this process has a processor of its own.
                while loop.time() < began + number / self.per_second:  # noqa: ASYNC110
                    await asyncio.sleep(0)
            while transport.get_write_buffer_size() > 1 << 20:  # noqa: ASYNC110 - a bench may poll
                await asyncio.sleep(0.001)
            if transport.is_closing():
                return
            transport.write(each)


class _Listener(Connection):
    def __init__(self, player: Player) -> None:
        super().__init__()
        self._player = player
        self._playing = False

    def spoken_to(self) -> None:
        if self._playing:
            return
        self._playing = True
        task = asyncio.get_running_loop().create_task(self._player.play(self.transport))
        self._player.playing.add(task)
        task.add_done_callback(self._player.playing.discard)
