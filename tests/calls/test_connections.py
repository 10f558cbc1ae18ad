"""Connections that bring nothing, too much, or come in masses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from aiohttp import web

from sipagent.calls.connections import MAXIMUM_HEAD_BYTES, ConnectionGate, serve_http
from tests.support.eventually import eventually

PATIENCE_S = 30.0


async def hello(request: web.Request) -> web.Response:
    return web.Response(text=f"{len(await request.read())} bytes")


@asynccontextmanager
async def serving(*, head_timeout_s: float = PATIENCE_S) -> AsyncIterator[int]:
    app = web.Application()
    app.router.add_post("/", hello)
    async with AsyncExitStack() as stack:
        yield await serve_http(app, "127.0.0.1", 0, stack, head_timeout_s=head_timeout_s)


REQUEST = b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\n\r\nhi"


async def answer(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(PATIENCE_S):
        head = await reader.readuntil(b"\r\n\r\n")
        return head + await reader.readexactly(7)


async def closed(reader: asyncio.StreamReader) -> bool:
    """Whether the other side closes without a word; it has ``PATIENCE_S`` for it."""
    async with asyncio.timeout(PATIENCE_S):
        try:
            return await reader.read(1) == b""
        except ConnectionError:
            return True


@pytest.mark.parametrize("pieces", [1, 2, 7, len(REQUEST)])
async def test_a_request_in_pieces_is_answered_and_the_connection_kept(pieces: int) -> None:
    async with serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        size = -(-len(REQUEST) // pieces)
        for _ in range(2):
            for at in range(0, len(REQUEST), size):
                writer.write(REQUEST[at : at + size])
                await writer.drain()
                await asyncio.sleep(0)
            assert (await answer(reader)).endswith(b"2 bytes")
        writer.close()


@pytest.mark.parametrize("first", [b"", b"POST / HTTP/1.1\r\nHost: here\r\nX-Slow: "])
async def test_a_head_that_does_not_end_ends_the_connection(first: bytes) -> None:
    async with serving(head_timeout_s=0.2) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(first)
        assert await closed(reader)
        writer.close()


async def test_a_body_may_take_its_time_once_the_head_is_there() -> None:
    async with serving(head_timeout_s=1.5) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST[:-1])
        await asyncio.sleep(2.5)  # well past the time of the head
        writer.write(REQUEST[-1:])
        assert (await answer(reader)).endswith(b"2 bytes")
        writer.close()


async def test_a_head_that_grows_for_ever_ends_the_connection() -> None:
    async with serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\n")
        line = b"X-Filler: " + b"x" * 1000 + b"\r\n"
        for _ in range(2 * MAXIMUM_HEAD_BYTES // len(line)):
            writer.write(line)
        async with asyncio.timeout(PATIENCE_S):
            try:
                said = await reader.read(4096)
            except ConnectionError:
                said = b""
        assert said == b"" or said.startswith(b"HTTP/1.1 4"), "refused or closed, and never served"
        writer.close()


async def test_there_are_only_so_many_connections() -> None:
    class Counted(asyncio.Protocol):
        pass

    gate = ConnectionGate(Counted, maximum_connections=3)
    server = await asyncio.get_running_loop().create_server(gate, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        made = [await asyncio.open_connection("127.0.0.1", port) for _ in range(5)]
        kept = made[:3]
        for reader, _ in made[3:]:
            assert await closed(reader)
        assert (gate.open, gate.turned_away) == (3, 2)
        for _, writer in kept:
            writer.close()
            await writer.wait_closed()
        await eventually(lambda: gate.open == 0)  # the other end learns of it in its own time
        made.append(await asyncio.open_connection("127.0.0.1", port))
        await eventually(lambda: gate.open == 1)
        for _, writer in made:
            writer.close()
