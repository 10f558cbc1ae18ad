"""A WebSocket taken over from the HTTP server, with clients that share no code with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import pytest
import websockets.asyncio.client
import websockets.exceptions
from aiohttp import web

from sipagent.calls.connections import serve_http
from sipagent.carrier import web_socket
from sipagent.carrier.web_socket import MOST_WAITING, CarrierSocket, TakenOver, is_handshake, take_over
from sipagent.errors import MediaStreamError
from tests.support.eventually import eventually

Talk = Callable[[CarrierSocket], Awaitable[None]]


@asynccontextmanager
async def listening(talk: Talk) -> AsyncIterator[tuple[str, list[CarrierSocket]]]:
    """A server behind the guard of the service; the URL of its socket."""
    sockets: list[CarrierSocket] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        if not is_handshake(request):
            return web.Response(text="plain")
        try:
            socket = take_over(request)
        except MediaStreamError as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        sockets.append(socket)
        await talk(socket)
        return TakenOver()

    app = web.Application()
    app.router.add_get("/socket", handle)
    async with AsyncExitStack() as stack:
        port = await serve_http(app, "127.0.0.1", 0, stack)
        yield f"ws://127.0.0.1:{port}/socket", sockets


async def echo(socket: CarrierSocket) -> None:
    socket.listen(socket.send)
    await socket.closed()


async def test_messages_go_both_ways_by_two_kinds_of_clients() -> None:
    async with listening(echo) as (url, sockets):
        async with websockets.asyncio.client.connect(url, proxy=None) as one:
            for message in ("", "x", "y" * 126, "z" * 60_000):
                await one.send(message)
                assert await one.recv() == message
            await one.send(["in ", "three ", "parts"])
            assert await one.recv() == "in three parts"
            await (await one.ping())
            await one.send(b"binary is passed over")
            await one.send("still there")
            assert await one.recv() == "still there"
        async with aiohttp.ClientSession() as http, http.ws_connect(url) as two:
            await two.send_str("hello")
            assert await two.receive_str() == "hello"
        await eventually(lambda: all(socket.close_code == 1000 for socket in sockets))


async def test_what_came_before_anybody_listened_is_not_lost() -> None:
    async def slow(socket: CarrierSocket) -> None:
        first = await socket.receive()
        assert first == b"one"
        await eventually(lambda: len(socket._waiting) == 2)
        await echo(socket)

    async with (
        listening(slow) as (url, _),
        websockets.asyncio.client.connect(url, proxy=None) as client,
    ):
        for message in ("one", "two", "three"):
            await client.send(message)
        assert [await client.recv(), await client.recv()] == ["two", "three"]


async def test_the_end_is_seen_by_whoever_waits_for_a_message() -> None:
    seen: list[bytes | None] = []

    async def receive(socket: CarrierSocket) -> None:
        seen.append(await socket.receive())
        seen.append(await socket.receive())
        await socket.closed()

    async with listening(receive) as (url, sockets):
        async with websockets.asyncio.client.connect(url, proxy=None):
            pass
        await eventually(lambda: len(seen) == 2)
        assert seen == [None, None]
        await eventually(lambda: sockets[0].close_code == 1000)
        await sockets[0].close()
        sockets[0].send(b"lost")


async def test_we_close_in_order_and_say_why() -> None:
    async def leave(socket: CarrierSocket) -> None:
        await socket.close(4401)
        await socket.close()

    async with listening(leave) as (url, sockets):
        async with websockets.asyncio.client.connect(url, proxy=None) as client:
            with pytest.raises(websockets.exceptions.ConnectionClosed):
                await client.recv()
            assert client.close_code == 4401
        assert sockets[0].close_code == 4401


async def test_a_peer_that_does_not_answer_a_close_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_socket, "CLOSE_WITHIN_S", 0.1)
    done = asyncio.Event()

    async def leave(socket: CarrierSocket) -> None:
        await socket.close()
        done.set()

    async with listening(leave) as (url, _):
        reader, writer = await raw_client(url)
        async with asyncio.timeout(20):
            await done.wait()
            await reader.read(-1)
        writer.close()


async def raw_client(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A client that has shaken hands and knows nothing else."""
    port = int(url.split(":")[2].split("/")[0])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"GET /socket HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    async with asyncio.timeout(20):
        head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    return reader, writer


async def test_frames_that_break_the_protocol_end_the_socket_with_their_code() -> None:
    async with listening(echo) as (url, sockets):
        reader, writer = await raw_client(url)
        writer.write(b"\x81\x05hello")  # not masked
        async with asyncio.timeout(20):
            assert await reader.read(-1) == b"\x88\x02\x03\xea"
        assert sockets[0].close_code == 1002
        writer.close()


async def test_a_broken_connection_is_no_close() -> None:
    async with listening(echo) as (url, sockets):
        _, writer = await raw_client(url)
        await eventually(lambda: sockets)
        writer.transport.abort()
        await eventually(lambda: sockets[0].close_code == 1006)


async def test_too_much_before_anybody_listens_ends_the_socket() -> None:
    async with listening(lambda socket: socket.closed()) as (url, sockets):
        async with websockets.asyncio.client.connect(url, proxy=None) as client:
            for _ in range(MOST_WAITING + 1):
                await client.send("x")
            with pytest.raises(websockets.exceptions.ConnectionClosed):
                await client.recv()
        assert sockets[0].close_code == 1002


async def test_a_defect_of_a_listener_ends_its_socket_and_no_other(caplog: pytest.LogCaptureFixture) -> None:
    async def bad(socket: CarrierSocket) -> None:
        def take(message: bytes) -> None:
            if message == b"bad":
                raise RuntimeError("a defect")
            socket.send(message)

        socket.listen(take)
        await socket.closed()

    async with (
        listening(bad) as (url, _),
        websockets.asyncio.client.connect(url, proxy=None) as good,
        websockets.asyncio.client.connect(url, proxy=None) as other,
    ):
        await other.send("bad")
        with pytest.raises(websockets.exceptions.ConnectionClosed):
            await other.recv()
        await good.send("good")
        assert await good.recv() == "good"
        assert "a defect of ours" in caplog.text


async def test_a_peer_that_says_nothing_is_asked_and_then_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_socket, "HEARTBEAT_S", 0.1)
    async with (
        listening(echo) as (url, sockets),
        websockets.asyncio.client.connect(url, proxy=None) as alive,
    ):
        reader, writer = await raw_client(url)
        async with asyncio.timeout(20):
            assert (await reader.read(-1)).startswith(b"\x89\x00"), "asked"
        assert sockets[1].close_code == 1006
        writer.close()
        await alive.send("alive")
        assert await alive.recv() == "alive"


async def test_a_peer_that_does_not_read_is_seen() -> None:
    async with listening(echo) as (url, sockets):
        reader, writer = await raw_client(url)
        await eventually(lambda: sockets)
        socket, message, sent = sockets[0], bytes(320), 0
        seen = [socket.can_send]
        while socket.can_send and sent < 50 * 60:
            socket.send(message)
            sent += 1
            await asyncio.sleep(0)
        assert sent < 50 * 60, "a minute of speech found room, where nobody can take it back"
        seen.append(socket.can_send)
        left = sent * (len(message) + 4)
        async with asyncio.timeout(20):
            while left:
                left -= len(await reader.read(1 << 20))
        await eventually(lambda: socket.can_send)
        assert seen == [True, False]
        writer.close()


async def test_cancelling_a_close_cuts_the_peer_off() -> None:
    cancelled = asyncio.Event()

    async def leave(socket: CarrierSocket) -> None:
        closing = asyncio.create_task(socket.close())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait([closing])
        assert closing.cancelled()
        await socket.closed()
        cancelled.set()

    async with listening(leave) as (url, _):
        _, writer = await raw_client(url)
        async with asyncio.timeout(20):
            await cancelled.wait()
        writer.close()


@pytest.mark.parametrize(
    "head",
    [
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: no\r\n",
        b"Sec-WebSocket-Version: 13\r\n",
    ],
)
async def test_a_handshake_without_a_key_is_refused(head: bytes) -> None:
    async with listening(echo) as (url, sockets):
        port = int(url.split(":")[2].split("/")[0])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"GET /socket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            + head
            + b"\r\n"
        )
        async with asyncio.timeout(20):
            assert (await reader.readline()).startswith(b"HTTP/1.1 400 ")
        assert not sockets
        writer.close()


async def test_http_goes_on_beside_it() -> None:
    async with listening(echo) as (url, _), aiohttp.ClientSession() as http:
        plain = url.replace("ws://", "http://")
        for _ in range(2):
            async with http.get(plain) as response:
                assert await response.text() == "plain"
        headers = {"Connection": "Upgrade", "Upgrade": "h2c"}
        async with http.get(plain, headers=headers) as response:
            assert await response.text() == "plain"
