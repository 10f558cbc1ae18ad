"""What lies below a connection to a carrier, over real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sipagent.carrier.peer_socket import ask_whether_alive, keep_little
from tests.support.eventually import eventually

FRAME = bytes(320)
"""As much as 20 ms are on a carrier's WebSocket."""


class Sender(asyncio.Protocol):
    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.can_send = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def pause_writing(self) -> None:
        self.can_send = False

    def resume_writing(self) -> None:
        self.can_send = True


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[Sender, asyncio.StreamReader]]:
    sender = Sender()
    server = await asyncio.get_running_loop().create_server(lambda: sender, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2], limit=1024)
    try:
        await eventually(lambda: sender.transport)
        yield sender, reader
    finally:
        assert sender.transport is not None
        sender.transport.abort()
        writer.transport.abort()
        server.close()


async def test_a_peer_that_does_not_read_is_seen_before_minutes_of_speech_lie_below() -> None:
    async with connected() as (sender, reader):
        assert sender.transport is not None
        keep_little(sender.transport, 4096)
        sent = 0
        while sender.can_send and sent < 2000 * len(FRAME):
            sender.transport.write(FRAME)
            sent += len(FRAME)
            await asyncio.sleep(0)
        assert not sender.can_send, "forty seconds of speech found room"
        left = sent
        async with asyncio.timeout(20):
            while left:
                left -= len(await reader.read(1 << 16))
        await eventually(lambda: sender.can_send)


async def test_a_peer_that_vanished_is_asked_for() -> None:
    async with connected() as (sender, _):
        assert sender.transport is not None
        ask_whether_alive(sender.transport)
        opened = sender.transport.get_extra_info("socket")
        assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


async def test_what_is_no_network_has_nothing_below() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        transport, _ = await asyncio.get_running_loop().create_connection(Sender, sock=ours)
        keep_little(transport, 100)
        ask_whether_alive(transport)
        transport.abort()
        await asyncio.sleep(0)
