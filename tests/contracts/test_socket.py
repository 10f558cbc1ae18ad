"""What every transport of a session does alike, whichever package carries it."""

from __future__ import annotations

import asyncio
import base64
import builtins
import hashlib
import socket
import ssl
import struct
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trustme

from sipagent import __version__
from sipagent.errors import AttachError, AttachNotFoundError, ConnectionLostError, UserError
from sipagent.realtime import TransportConfig
from sipagent.realtime.connection import Address, Closed, Socket, open_socket
from tests.realtime.peer import PATIENCE_S, Peer, RealtimeServer, realtime_server

LIBRARIES: tuple[TransportConfig, ...] = ({"library": "websockets"}, {"library": "picows"})
pytestmark = pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library["library"])


def here(server: RealtimeServer, headers: Mapping[str, str] | None = None) -> Address:
    return Address(
        url=server.base_url.replace("http", "ws", 1) + "/realtime?call_id=rtc_1", headers=headers or {}
    )


@asynccontextmanager
async def connected(library: TransportConfig, **options: Any) -> AsyncIterator[tuple[Socket, Peer]]:
    """Both ends of an open socket."""
    async with realtime_server() as server, asyncio.timeout(PATIENCE_S):
        transport: TransportConfig = {**library, **options}  # type: ignore[typeddict-item]
        one = await open_socket(here(server), transport)
        yield one, await server.peer()
        await one.close()


@asynccontextmanager
async def mute_server() -> AsyncIterator[tuple[Address, list[socket.socket]]]:
    """Shakes hands and never says or reads anything again; the connections it has."""
    taken: list[socket.socket] = []
    done = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        key = next(
            line.split(b":")[1].strip()
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"sec-websocket-key")
        )
        proof = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + proof + b"\r\n\r\n"
        )
        await writer.drain()
        transport = writer.transport
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()
        taken.append(writer.get_extra_info("socket"))
        await done.wait()
        transport.abort()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    try:
        yield Address(url=f"ws://127.0.0.1:{port}/", headers={}), taken
    finally:
        done.set()
        listening.close()
        await asyncio.sleep(0)


# Opening --------------------------------------------------------------------------------------------


async def test_the_handshake_says_who_we_are(library: TransportConfig) -> None:
    async with realtime_server() as server:
        one = await open_socket(here(server, {"Authorization": "Bearer sk-test"}), library)
        peer = await server.peer()
        assert peer.path == "/v1/realtime?call_id=rtc_1"
        assert peer.headers["Authorization"] == "Bearer sk-test"
        assert peer.headers["User-Agent"] == f"sipagent/{__version__}"
        assert "Sec-WebSocket-Extensions" not in peer.headers, "no compression"
        await one.close()


@pytest.mark.parametrize(
    ("status", "kind"), [(404, AttachNotFoundError), (401, AttachError), (429, AttachError)]
)
async def test_a_refused_handshake(library: TransportConfig, status: int, kind: type[AttachError]) -> None:
    async with realtime_server([status]) as server:
        with pytest.raises(AttachError, match=f"answered {status}") as caught:
            await open_socket(here(server), library)
    assert type(caught.value) is kind
    assert caught.value.status == status


async def test_nobody_there(library: TransportConfig) -> None:
    async with realtime_server() as server:
        address = here(server)
    with pytest.raises(AttachError, match="could not be opened") as caught:
        await open_socket(address, library)
    assert caught.value.status is None


@pytest.mark.parametrize("answer", [b"", b"220 mail.example ESMTP\r\n\r\n"])
async def test_a_peer_that_speaks_something_else(library: TransportConfig, answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, asyncio.timeout(PATIENCE_S):
        with pytest.raises(AttachError, match="could not be opened"):
            await open_socket(Address(url=f"ws://127.0.0.1:{port}/", headers={}), library)


async def test_the_handshake_has_a_time_limit(library: TransportConfig) -> None:
    async with realtime_server() as server:
        server.hold = asyncio.Event()
        with pytest.raises(AttachError, match="TimeoutError"):
            await open_socket(here(server), {**library, "handshake_timeout": 0.05})


async def test_tls_is_checked(library: TransportConfig) -> None:
    authority = trustme.CA()
    ours, trusting = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(ours)
    authority.configure_trust(trusting)
    async with realtime_server(tls=ours) as server, asyncio.timeout(PATIENCE_S):
        with pytest.raises(AttachError, match="(?i)certificate.verify.failed"):
            await open_socket(here(server), library)
        one = await open_socket(here(server), {**library, "ssl_context": trusting})
        peer = await server.peer()
        await one.send('{"type":"hello"}')
        await peer.receive("hello")
        await peer.send("text")
        assert await one.receive() == b"text"
        await one.close()
        assert (await peer.gone())[0] == 1000


async def test_a_certificate_for_another_name_is_refused(library: TransportConfig) -> None:
    authority = trustme.CA()
    ours, trusting = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("other.test").configure_cert(ours)
    authority.configure_trust(trusting)
    async with realtime_server(tls=ours) as server:
        with pytest.raises(AttachError, match="(?i)certificate.verify.failed"):
            await open_socket(here(server), {**library, "ssl_context": trusting})


# Messages -------------------------------------------------------------------------------------------


async def test_messages_go_both_ways_in_order(library: TransportConfig) -> None:
    async with connected(library) as (one, peer):
        for number in range(50):
            await one.send(f'{{"type":"n","number":{number}}}')
        assert [(await peer.receive("n"))["number"] for _ in range(50)] == list(range(50))
        sending = asyncio.create_task(peer.send(*(f"ä{number}" for number in range(500)), b"\x00\xff"))
        assert [await one.receive() for _ in range(500)] == [f"ä{number}".encode() for number in range(500)]
        assert await one.receive() == b"\x00\xff"
        await sending


async def test_large_messages(library: TransportConfig) -> None:
    async with connected(library) as (one, peer):
        words = "x" * 900_000
        await one.send(f'{{"type":"big","words":"{words}"}}')
        assert (await peer.receive("big"))["words"] == words
        sending = asyncio.create_task(peer.send("y" * 3_000_000))
        assert await one.receive() == b"y" * 3_000_000
        await sending


async def test_a_message_in_several_frames_is_one(library: TransportConfig) -> None:
    async with connected(library) as (one, peer):
        await peer._connection.send(["ein", "e Gr", "üße"])
        await peer._connection.send([b"\x01", b"\x02"])
        assert await one.receive() == "eine Grüße".encode()
        assert await one.receive() == b"\x01\x02"


@pytest.mark.parametrize("parts", [1, 4])
async def test_a_message_beyond_the_limit_ends_the_socket(library: TransportConfig, parts: int) -> None:
    async with connected(library, max_size=100) as (one, peer):
        await peer.send("x" * 100)
        text = "y" * 104
        await peer._connection.send(text if parts == 1 else [text[:26], text[26:52], text[52:78], text[78:]])
        assert await one.receive() == b"x" * 100
        ended = await one.receive()
        assert isinstance(ended, Closed)
        assert ended.code in (1006, 1009), "what the peer answers may come in time or not"
        assert (await peer.gone())[0] == 1009


async def test_a_limit_can_be_switched_off(library: TransportConfig) -> None:
    async with connected(library, max_size=None) as (one, peer):
        sending = asyncio.create_task(peer.send("y" * 9_000_000))
        received = await one.receive()
        assert not isinstance(received, Closed)
        assert len(received) == 9_000_000
        await sending


async def test_text_that_is_none_ends_nothing(library: TransportConfig) -> None:
    async with connected(library) as (one, peer):
        await peer._connection.send(b"\xff\xfe", text=True)
        await peer._connection.send("go on")
        assert await one.receive() == b"\xff\xfe"
        assert await one.receive() == b"go on"


async def test_who_does_not_receive_holds_the_peer_back(library: TransportConfig) -> None:
    async with connected(library) as (one, peer):
        sent = 0

        async def send() -> None:
            nonlocal sent
            for _ in range(400):
                await peer.send("z" * 100_000)
                sent += 1

        sending = asyncio.create_task(send())
        before = -1
        while sent != before:
            before = sent
            await asyncio.sleep(0.1)
        assert 0 < sent < 300, "40 MB are waiting in memory"
        for _ in range(400):
            assert not isinstance(await one.receive(), Closed)
        await sending


async def test_a_peer_that_does_not_read_holds_the_sender_back(library: TransportConfig) -> None:
    async with mute_server() as (address, _), asyncio.timeout(PATIENCE_S):
        one = await open_socket(address, {**library, "close_timeout": 0.05})
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                for _ in range(400):
                    await one.send("z" * 100_000)
        await one.close()


# The end --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "an hour is over"), (4000, "ours")])
async def test_the_peer_closes_in_order(library: TransportConfig, code: int, reason: str) -> None:
    async with connected(library) as (one, peer):
        await peer.send("last words")
        await peer.close(code, reason)
        assert await one.receive() == b"last words"
        assert await one.receive() == Closed(code=code, reason=reason)
        assert await one.receive() == Closed(code=code, reason=reason)
        with pytest.raises(ConnectionLostError):
            await one.send("too late")
        assert (await peer.gone())[0] == code


async def test_a_break_tells_no_reason_and_loses_nothing(library: TransportConfig) -> None:
    async with connected(library) as (one, peer):
        await peer.send("one", "two")
        peer._connection.transport.write_eof()
        assert await one.receive() == b"one"
        assert await one.receive() == b"two"
        assert await one.receive() == Closed(code=1006, reason="")
        with pytest.raises(ConnectionLostError):
            await one.send("too late")


async def test_a_reset_wakes_whoever_receives(library: TransportConfig) -> None:
    async with connected(library) as (one, peer):
        receiving = asyncio.create_task(one.receive())
        await asyncio.sleep(0)
        raw = peer._connection.transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.drop()
        ended = await receiving
        assert isinstance(ended, Closed)
        assert ended.code == 1006


async def test_closing_says_1000_and_can_be_repeated(library: TransportConfig) -> None:
    async with connected(library) as (one, peer):
        await one.close()
        await one.close()
        assert (await peer.gone())[0] == 1000
        assert isinstance(await one.receive(), Closed)


async def test_closing_ends_with_messages_that_nobody_received(library: TransportConfig) -> None:
    async with connected(library, close_timeout=PATIENCE_S) as (one, peer):
        await peer.send(*("unread" for _ in range(10)))
        await one.close()
        await peer.gone()


async def test_closing_is_bounded(library: TransportConfig) -> None:
    async with mute_server() as (address, _):
        one = await open_socket(address, {**library, "close_timeout": 0.05})
        async with asyncio.timeout(PATIENCE_S):
            await one.close()
        assert isinstance(await one.receive(), Closed)


async def test_a_dead_peer_is_noticed(library: TransportConfig) -> None:
    async with mute_server() as (address, _), asyncio.timeout(PATIENCE_S):
        keepalive: TransportConfig = {"ping_interval": 0.05, "ping_timeout": 0.05, "close_timeout": 0.05}
        one = await open_socket(address, {**library, **keepalive})
        assert await one.receive() == Closed(code=1006, reason="")
        await one.close()


@pytest.mark.parametrize("ping_timeout", [1.5, None])
async def test_a_peer_that_answers_pings_stays(library: TransportConfig, ping_timeout: float | None) -> None:
    async with connected(library, ping_interval=0.02, ping_timeout=ping_timeout) as (one, peer):
        await asyncio.sleep(2.0 if ping_timeout else 0.5)
        await peer.send("still here")
        assert await one.receive() == b"still here"


# Cancelling -----------------------------------------------------------------------------------------


async def test_cancelling_the_handshake_leaves_nothing_open(library: TransportConfig) -> None:
    closed = asyncio.Event()
    asked = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await reader.read()
        closed.set()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    before = asyncio.all_tasks()
    async with server, asyncio.timeout(PATIENCE_S):
        opening = asyncio.create_task(
            open_socket(Address(url=f"ws://127.0.0.1:{port}/", headers={}), library)
        )
        await asked.wait()
        opening.cancel()
        await asyncio.wait([opening])
        assert opening.cancelled()
        await closed.wait()
        # One task serves the connection here, and ends in its own time.
        await asyncio.sleep(0.05)
        assert not asyncio.all_tasks() - before - {opening}


async def test_cancelling_while_receiving_loses_no_message(library: TransportConfig) -> None:
    async with connected(library) as (one, peer):
        for _ in range(3):
            receiving = asyncio.create_task(one.receive())
            await asyncio.sleep(0)
            receiving.cancel()
            await asyncio.wait([receiving])
        await peer.send("kept")
        assert await one.receive() == b"kept"


async def test_cancelling_a_close_cuts_the_peer_off(library: TransportConfig) -> None:
    async with mute_server() as (address, _), asyncio.timeout(PATIENCE_S):
        one = await open_socket(address, library)
        closing = asyncio.create_task(one.close())
        await asyncio.sleep(0.01)
        closing.cancel()
        await asyncio.wait([closing])
        assert closing.cancelled()
        assert isinstance(await one.receive(), Closed)


# The choice -----------------------------------------------------------------------------------------


async def test_a_package_that_is_not_installed_is_named(
    library: TransportConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **more: Any) -> Any:
        if name.partition(".")[0] == "picows":
            raise ImportError("No module named 'picows'")
        return real(name, *arguments, **more)

    monkeypatch.delitem(sys.modules, "sipagent.realtime.picows_connection", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    async with realtime_server() as server:
        if library["library"] == "picows":
            with pytest.raises(UserError, match=r"install sipagent\[picows\]"):
                await open_socket(here(server), library)
        else:
            await (await open_socket(here(server), library)).close()


async def test_a_package_that_is_none_is_refused(library: TransportConfig) -> None:
    wrong: Any = {**library, "library": "carrier pigeon"}
    with pytest.raises(UserError, match="use websockets or picows"):
        await open_socket(Address(url="ws://127.0.0.1:1/", headers={}), wrong)
