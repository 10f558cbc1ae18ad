"""Opening a socket, and the one place where the exceptions of `websockets` end."""

from __future__ import annotations

import asyncio
import re
import ssl
from pathlib import Path
from typing import Any

import pytest
import websockets

import sipagent.realtime
from sipagent import __version__
from sipagent.errors import AttachError, AttachNotFoundError, ConnectionLostError
from sipagent.realtime import TransportConfig
from sipagent.realtime.connection import Address, Closed, open_socket
from sipagent.realtime.websockets_connection import WebsocketsSocket
from tests.realtime.peer import PATIENCE_S, RealtimeServer, realtime_server


def here(server: RealtimeServer) -> Address:
    return Address(
        url=server.base_url.replace("http", "ws", 1) + "/realtime?call_id=rtc_1", headers={"X-A": "b"}
    )


# Opening --------------------------------------------------------------------------------------------


async def test_the_handshake_says_who_we_are() -> None:
    async with realtime_server() as server:
        socket = await open_socket(here(server), {})
        peer = await server.peer()
        assert peer.path == "/v1/realtime?call_id=rtc_1"
        assert peer.headers["User-Agent"] == f"sipagent/{__version__}"
        assert peer.headers["X-A"] == "b"
        assert "Sec-WebSocket-Extensions" not in peer.headers, "no compression"
        await socket.close()


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (404, AttachNotFoundError, "answered 404"),
        (401, AttachError, "the key must belong to the project"),
        (403, AttachError, "the key must belong to the project"),
        (429, AttachError, "answered 429"),
        (500, AttachError, "answered 500"),
    ],
)
async def test_a_handshake_that_is_refused(status: int, kind: type[AttachError], words: str) -> None:
    async with realtime_server([status]) as server:
        with pytest.raises(AttachError, match=words) as caught:
            await open_socket(here(server), {})
    assert type(caught.value) is kind
    assert caught.value.status == status


async def test_nobody_there() -> None:
    async with realtime_server() as server:
        address = here(server)
    with pytest.raises(AttachError, match="could not be opened") as caught:
        await open_socket(address, {})
    assert caught.value.status is None


async def test_a_handshake_has_a_time_limit() -> None:
    async with realtime_server() as server:
        server.hold = asyncio.Event()
        with pytest.raises(AttachError, match="TimeoutError"):
            await open_socket(here(server), {"handshake_timeout": 0.05})


async def test_the_transport_is_configured_as_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []

    async def connect(url: str, **options: Any) -> object:
        seen.append({"url": url, **options})
        return object()

    monkeypatch.setattr(websockets, "connect", connect)
    context = ssl.create_default_context()
    own: TransportConfig = {
        "ping_interval": 5.0,
        "ping_timeout": None,
        "handshake_timeout": 3.0,
        "close_timeout": 1.0,
        "max_size": None,
        "ssl_context": context,
    }
    await open_socket(Address(url="ws://h/", headers={}), {})
    await open_socket(Address(url="wss://h/", headers={}), own)
    await open_socket(Address(url="wss://h/", headers={}), {})
    await open_socket(Address(url="wss://other/", headers={}), {})
    for options in seen:
        assert callable(options.pop("create_connection"))
    plain, chosen, first, second = seen
    assert plain == {
        "url": "ws://h/",
        "additional_headers": {},
        "user_agent_header": f"sipagent/{__version__}",
        "compression": None,
        "proxy": None,
        "max_size": 8 * 1024 * 1024,
        "open_timeout": 10.0,
        "ping_interval": 20.0,
        "ping_timeout": 20.0,
        "close_timeout": 2.0,
    }
    assert chosen["ping_interval"] == 5.0
    assert chosen["ping_timeout"] is None
    assert chosen["open_timeout"] == 3.0
    assert chosen["close_timeout"] == 1.0
    assert chosen["max_size"] is None
    assert chosen["ssl"] is context
    # Reading the authorities takes longer than answering a call: one context serves all sockets.
    assert isinstance(first["ssl"], ssl.SSLContext)
    assert first["ssl"] is second["ssl"]
    assert first["ssl"].verify_mode is ssl.CERT_REQUIRED
    assert first["ssl"].check_hostname


# Using ----------------------------------------------------------------------------------------------


async def test_messages_go_both_ways_and_then_the_end_is_told() -> None:
    async with realtime_server() as server:
        socket = await open_socket(here(server), {})
        peer = await server.peer()
        await socket.send('{"type":"hello","event_id":"1"}')
        assert (await peer.receive("hello"))["event_id"] == "1"
        await peer.send("text", b"bytes")
        assert await socket.receive() == b"text"
        assert await socket.receive() == b"bytes"
        await peer.close(1001, "an hour is over")
        assert await socket.receive() == Closed(code=1001, reason="an hour is over")
        assert await socket.receive() == Closed(code=1001, reason="an hour is over")
        with pytest.raises(ConnectionLostError):
            await socket.send("too late")
        await socket.close()


async def test_what_was_sent_before_a_break_is_still_read() -> None:
    async with realtime_server() as server:
        socket = await open_socket(here(server), {})
        peer = await server.peer()
        await peer.send("last words")
        peer.drop()
        async with asyncio.timeout(PATIENCE_S):
            assert await socket.receive() == b"last words"
            assert await socket.receive() == Closed(code=1006, reason="")
        await socket.close()
        await socket.close()


async def test_a_message_beyond_the_limit_ends_the_socket() -> None:
    async with realtime_server() as server:
        socket = await open_socket(here(server), {"max_size": 100})
        peer = await server.peer()
        await peer.send("x" * 101)
        async with asyncio.timeout(PATIENCE_S):
            assert isinstance(await socket.receive(), Closed)
        await socket.close()


async def test_cancelling_while_receiving_loses_no_message() -> None:
    async with realtime_server() as server:
        socket = await open_socket(here(server), {})
        peer = await server.peer()
        reader = asyncio.ensure_future(socket.receive())
        await asyncio.sleep(0)
        reader.cancel()
        await asyncio.wait([reader])
        await peer.send("kept")
        assert await socket.receive() == b"kept"
        await socket.close()


class Stubborn:
    """A connection whose peer never answers the closing."""

    def __init__(self) -> None:
        self.transport = self
        self.aborted = False

    async def close(self) -> None:
        await asyncio.Event().wait()

    def abort(self) -> None:
        self.aborted = True


async def test_cancelling_a_close_cuts_the_peer_off() -> None:
    connection = Stubborn()
    closing = asyncio.create_task(WebsocketsSocket(connection, 20.0).close())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing])
    assert closing.cancelled()
    assert connection.aborted


# The seam -------------------------------------------------------------------------------------------


def test_no_other_file_knows_the_package() -> None:
    assert sipagent.realtime.__file__ is not None
    folder = Path(sipagent.realtime.__file__).parent
    knows = {
        path.name
        for path in folder.glob("*.py")
        if re.search(r"^\s*(import|from) websockets\b", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert knows == {"websockets_connection.py"}
