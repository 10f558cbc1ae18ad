"""A server that lets anybody in and, at the first message, plays a recording; on bare protocols."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import struct
from collections.abc import Sequence

from tests.bench.wire import WEBSOCKET_GUID

_KEY = re.compile(rb"sec-websocket-key: *([^\r]+)", re.IGNORECASE)


def frame(text: str) -> bytes:
    """A text frame as a server sends it (RFC 6455 section 5.2)."""
    body = text.encode()
    if len(body) < 126:
        return bytes((0x81, len(body))) + body
    if len(body) < 1 << 16:
        return b"\x81\x7e" + struct.pack("!H", len(body)) + body
    return b"\x81\x7f" + struct.pack("!Q", len(body)) + body


class Player:
    """Plays one recording at a time, to whoever connects."""

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
        self._server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", 0)
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


class _Connection(asyncio.Protocol):
    def __init__(self, player: Player) -> None:
        self._player = player
        self._buffer = b""
        self._open = self._playing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._open and b"\r\n\r\n" in self._buffer:
            head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
            key = _KEY.search(head + b"\r\n")
            assert key is not None
            proof = base64.b64encode(hashlib.sha1(key[1].strip() + WEBSOCKET_GUID).digest())
            self._transport.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + proof + b"\r\n\r\n"
            )
            self._open = True
        if not self._open or not self._buffer:
            return
        if not self._playing:
            self._playing = True
            task = asyncio.get_running_loop().create_task(self._player.play(self._transport))
            self._player.playing.add(task)
            task.add_done_callback(self._player.playing.discard)
        while (opcode := self._next_opcode()) is not None:
            if opcode == 8:
                self._transport.write(b"\x88\x02\x03\xe8")
                self._transport.close()

    def _next_opcode(self) -> int | None:
        """Take one whole frame out of the buffer (RFC 6455 section 5.2); None when there is none yet."""
        if len(self._buffer) < 6:
            return None
        length, start = self._buffer[1] & 0x7F, 6
        if length == 126:
            (length,), start = struct.unpack_from("!H", self._buffer, 2), 8
        elif length == 127 and len(self._buffer) >= 10:
            (length,), start = struct.unpack_from("!Q", self._buffer, 2), 14
        if len(self._buffer) < start + length:
            return None
        opcode = self._buffer[0] & 0x0F
        self._buffer = self._buffer[start + length :]
        return opcode
