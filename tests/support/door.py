"""A door in front of a server, which counts who has come in and has not left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_CHUNK_BYTES = 65536
LEAVING_S = 5.0
"""Everybody who leaves has left by then; a server gives up a handshake that nobody ends somewhat later."""


class Door:
    """Passes on what comes, either way."""

    def __init__(self, behind: int) -> None:
        """``behind`` is the port of the server."""
        self.port = 0
        self.came = 0
        """Connections so far, with those whose handshake was never ended."""
        self.inside = 0
        """Connections that the other side has not closed."""
        self.deaf = False
        """Nobody inside hears anything any more, and so nobody answers."""
        self._behind = behind
        self._changed = asyncio.Event()

    async def empty(self) -> None:
        """Return when everybody has left; `TimeoutError` when somebody does not."""
        async with asyncio.timeout(LEAVING_S):
            while self.inside:
                self._changed.clear()
                await self._changed.wait()

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""
        self.came += 1
        self.inside += 1
        try:
            behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", self._behind)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass(reader, behind_writer), name="door in")
                group.create_task(self._pass(behind_reader, writer), name="door out")
        finally:
            self.inside -= 1
            self._changed.set()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(_CHUNK_BYTES):
                if not self.deaf:
                    writer.write(data)
                    await writer.drain()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


@asynccontextmanager
async def door_before(port: int) -> AsyncIterator[Door]:
    """A door on a free port of the loopback, before the server on ``port``."""
    door = Door(port)
    listening = await asyncio.start_server(door.pass_on, "127.0.0.1", 0)
    door.port = listening.sockets[0].getsockname()[1]
    try:
        yield door
        await door.empty()
    finally:
        door.deaf = False
        listening.close()
        await listening.wait_closed()
