"""The server that Asterisk connects to."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import pytest

from sipagent.carrier import audio_socket
from sipagent.carrier.audio_socket import AudioSocketServer, AudioSocketStream
from sipagent.carrier.stream import CallerAudio, CallerDigit, StreamEvent, StreamFormat, StreamStopped
from tests.support.eventually import eventually

NAME = UUID("6ba7b810-9dad-41d1-80b4-00c04fd430c8")


def packet(kind: int, payload: bytes = b"") -> bytes:
    return bytes((kind,)) + len(payload).to_bytes(2, "big") + payload


class Served:
    """What a server's owner sees."""

    def __init__(self) -> None:
        self.streams: list[AudioSocketStream] = []
        self.events: list[StreamEvent] = []
        self.names: list[UUID] = []
        self.broken = False

    async def serve(self, stream: AudioSocketStream, uuid: UUID) -> None:
        self.names.append(uuid)
        if self.broken:
            raise RuntimeError("a defect")
        over = asyncio.Event()

        def hear(event: StreamEvent) -> None:
            self.events.append(event)
            if isinstance(event, StreamStopped):
                over.set()

        self.streams.append(stream)
        stream.listen(hear)
        await over.wait()


@asynccontextmanager
async def server() -> AsyncIterator[tuple[Served, AudioSocketServer]]:
    served = Served()
    async with AudioSocketServer("127.0.0.1", 0, serve=served.serve) as listening:
        yield served, listening


async def begin(
    listening: AudioSocketServer, audio_kind: int = 0x10
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", listening.port)
    writer.write(packet(0x01, NAME.bytes) + packet(audio_kind, bytes(320)))
    return reader, writer


async def ended(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(20):
        return await reader.read(-1)


async def test_a_call_over_its_socket() -> None:
    async with server() as (served, listening):
        reader, writer = await begin(listening)
        await eventually(lambda: served.streams)
        stream = served.streams[0]
        assert stream.start.carrier_call_id == str(NAME)
        assert stream.start.hears == stream.start.plays == StreamFormat(encoding="pcm16", rate_hz=8000)
        assert not stream.confirms
        writer.write(packet(0x10, b"\x01\x02" * 160)[:100])
        await writer.drain()
        writer.write(packet(0x10, b"\x01\x02" * 160)[100:] + packet(0x03, b"7") + packet(0x12, bytes(640)))
        await eventually(lambda: len(served.events) == 2)
        assert served.events == [CallerAudio(audio=b"\x01\x02" * 160), CallerDigit(digit="7")]
        stream.send_audio(b"\x03\x04" * 160)
        stream.send_mark("none")
        stream.clear()
        async with asyncio.timeout(20):
            assert await reader.readexactly(323) == packet(0x10, b"\x03\x04" * 160)
        writer.write(packet(0x00))
        assert await ended(reader) == b""
        assert served.events[-1] == StreamStopped(reason="stopped")
        stream.send_audio(bytes(320))
        writer.close()


async def test_to_hang_up_is_said_and_the_socket_closed() -> None:
    async with server() as (served, listening):
        reader, writer = await begin(listening, 0x12)
        await eventually(lambda: served.streams)
        assert served.streams[0].start.plays.rate_hz == 16000
        closing = asyncio.create_task(served.streams[0].close())
        assert await ended(reader) == packet(0x00)
        writer.close()
        async with asyncio.timeout(20):
            await closing
        assert served.events == [StreamStopped(reason="closed")]
        await served.streams[0].close()


@pytest.mark.parametrize(
    "data",
    [
        packet(0x10, bytes(320)),
        packet(0x01, NAME.bytes) * 2,
        packet(0x01, b"short"),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 2,
        b"\x10\xff\xff",
    ],
)
async def test_what_is_no_asterisk_is_cut_off(data: bytes) -> None:
    async with server() as (served, listening):
        reader, writer = await asyncio.open_connection("127.0.0.1", listening.port)
        writer.write(data)
        writer.write_eof()
        assert await ended(reader) == b""
        assert served.names == []
        writer.close()


async def test_whoever_says_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio_socket, "NAMED_WITHIN_S", 0.1)
    async with server() as (served, listening):
        reader, writer = await asyncio.open_connection("127.0.0.1", listening.port)
        writer.write(packet(0x01, NAME.bytes))
        assert await ended(reader) == b""
        assert served.names == []
        writer.close()


async def test_too_many_are_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio_socket, "MOST_CONNECTIONS", 1)
    async with server() as (served, listening):
        _, first = await begin(listening)
        await eventually(lambda: served.streams)
        reader, second = await asyncio.open_connection("127.0.0.1", listening.port)
        assert await ended(reader) == b""
        assert listening.turned_away == 1
        first.close()
        second.close()


async def test_a_defect_in_one_call_closes_its_socket_and_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with server() as (served, listening):
        _, good = await begin(listening)
        await eventually(lambda: served.streams)
        served.broken = True
        reader, bad = await begin(listening)
        assert await ended(reader) == b""
        assert "a defect of ours" in caplog.text
        good.write(packet(0x03, b"1"))
        await eventually(lambda: CallerDigit(digit="1") in served.events)
        good.close()
        bad.close()


async def test_leaving_the_server_ends_all_its_calls() -> None:
    async with server() as (served, listening):
        reader, writer = await begin(listening)
        await eventually(lambda: served.streams)
    assert await ended(reader) == b""
    assert served.events[-1] == StreamStopped(reason="closed")
    writer.close()


@pytest.mark.parametrize("leaves", [True, False])
async def test_a_peer_that_does_not_read_cannot_keep_a_call_from_ending(
    leaves: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audio_socket, "CLOSE_WITHIN_S", 0.1)
    async with server() as (served, listening):
        _, writer = await begin(listening)
        await eventually(lambda: served.streams)
        stream = served.streams[0]
        for _ in range(200):
            stream.send_audio(bytes(32_000))
        assert not stream.can_send
        if leaves:
            writer.write(packet(0x00))
            await eventually(lambda: served.events)
        async with asyncio.timeout(20):
            await stream.close()
        writer.transport.abort()


async def test_a_peer_that_vanished_is_missed() -> None:
    async with server() as (served, listening):
        _, writer = await begin(listening)
        await eventually(lambda: served.streams)
        assert served.streams[0]._transport is not None
        opened = served.streams[0]._transport.get_extra_info("socket")
        assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        writer.close()


async def test_a_peer_that_does_not_read_is_seen() -> None:
    async with server() as (served, listening):
        reader, writer = await begin(listening)
        await eventually(lambda: served.streams)
        stream = served.streams[0]
        seen = [stream.can_send]
        for _ in range(200):
            stream.send_audio(bytes(32_000))
        seen.append(stream.can_send)
        async with asyncio.timeout(20):
            left = 200 * 32_003
            while left:
                left -= len(await reader.read(1 << 20))
        await eventually(lambda: stream.can_send)
        assert seen == [True, False]
        writer.close()
