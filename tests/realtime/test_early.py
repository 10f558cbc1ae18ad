"""Connecting while the call is being accepted: all but the handshake, and nothing that stays behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sipagent.errors import AttachNotFoundError
from sipagent.realtime import AttachPolicy, OpenAIRealtimeSIPModel, RealtimeModelConfig
from sipagent.realtime.connection import Address, Hold, Socket, open_socket
from sipagent.realtime.early import EarlySocket
from tests.realtime.peer import PATIENCE_S, RealtimeServer, realtime_server
from tests.realtime.test_cancellation import at_every_turn, cancelled_after, everybody_left


class Silent:
    """A server that says nothing unless it is told to."""

    def __init__(self) -> None:
        self.connections: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        self.port = 0

    async def connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The next one."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.connections.get()

    def early(self) -> EarlySocket:
        """A socket that is on its way to it."""

        async def opening(hold: Hold) -> Socket:
            return await open_socket(Address(url=f"ws://127.0.0.1:{self.port}/", headers={}), {}, hold=hold)

        return EarlySocket(opening, busy_s=PATIENCE_S)


@asynccontextmanager
async def silent_server() -> AsyncIterator[Silent]:
    silent = Silent()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        silent.connections.put_nowait((reader, writer))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    silent.port = server.sockets[0].getsockname()[1]
    async with server:
        yield silent


def config(server: RealtimeServer) -> RealtimeModelConfig:
    return {"api_key": "sk-test", "base_url": server.base_url, "call_id": "rtc_1"}


async def test_it_connects_at_once_and_shakes_hands_when_it_is_taken() -> None:
    async with silent_server() as server, asyncio.timeout(PATIENCE_S):
        early = server.early()
        reader, writer = await server.connection()
        asked = asyncio.ensure_future(reader.readuntil(b"\r\n\r\n"))
        await asyncio.sleep(0.05)
        assert not asked.done()
        taking = asyncio.ensure_future(early.take())
        assert (await asked).startswith(b"GET / HTTP/1.1\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        with pytest.raises(AttachNotFoundError):
            await taking
        writer.close()


async def test_one_that_broke_meanwhile_is_none() -> None:
    async with silent_server() as server, asyncio.timeout(PATIENCE_S):
        early = server.early()
        _, writer = await server.connection()
        writer.close()
        await writer.wait_closed()
        await asyncio.sleep(0.05)
        assert await early.take() is None


async def test_a_busy_process_connects_when_it_must() -> None:
    async def opening(_hold: Hold) -> Socket:
        raise AssertionError("others come first")

    early = EarlySocket(opening, busy_s=-1.0)
    await asyncio.sleep(0)
    assert await early.take() is None
    unneeded = EarlySocket(opening, busy_s=-1.0)
    await asyncio.sleep(0)
    await unneeded.close()


async def test_one_that_is_not_needed_leaves_nothing_open() -> None:
    async with silent_server() as server, asyncio.timeout(PATIENCE_S):
        early = server.early()
        reader, writer = await server.connection()
        await early.close()
        await early.close()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await reader.readexactly(1)
        writer.close()


async def test_a_model_goes_on_with_the_connection_that_it_has_begun() -> None:
    async with realtime_server() as server:
        model = OpenAIRealtimeSIPModel()
        model.approach(config(server))
        model.approach(config(server))
        await asyncio.sleep(0.05)
        assert server.handshakes == []
        await model.connect(config(server))
        peer = await server.peer()
        await peer.receive("session.update")
        assert server.handshakes == ["/v1/realtime?call_id=rtc_1"]
        await model.close()
        await peer.gone()


async def test_a_session_that_is_not_there_yet_is_looked_for_again() -> None:
    async with realtime_server([404, 404]) as server:
        model = OpenAIRealtimeSIPModel(attach_policy=AttachPolicy(first_retry_s=0.01))
        model.approach(config(server))
        await model.connect(config(server))
        assert len(server.handshakes) == 3
        await model.close()


async def test_what_goes_wrong_early_is_tried_anew() -> None:
    async def opening(_hold: Hold) -> Socket:
        raise OSError("the function that gives the key failed")

    early = EarlySocket(opening, busy_s=PATIENCE_S)
    await asyncio.sleep(0.01)
    assert await early.take() is None
    unneeded = EarlySocket(opening, busy_s=PATIENCE_S)
    await asyncio.sleep(0.01)
    await unneeded.close()


async def test_cancelling_leaves_nothing_open() -> None:
    async with realtime_server() as server:

        async def attempt(turns: int) -> bool:
            model = OpenAIRealtimeSIPModel()
            model.approach(config(server))
            was_cancelled = await cancelled_after(turns, model.connect(config(server)))
            if was_cancelled:
                await everybody_left(server)
            await model.close()
            await everybody_left(server)
            return was_cancelled

        await at_every_turn(attempt)
