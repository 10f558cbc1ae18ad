"""A pretended Asterisk: its dialplan's requests, and its AudioSocket on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import pytest

from sipagent.audio.g711 import decode_pcmu
from sipagent.simulator.carrier import AsteriskOptions, PretendedAsterisk
from sipagent.simulator.carrier.announcer import tone
from sipagent.simulator.carrier.asterisk import NOBODY
from sipagent.simulator.carrier.leg import LegStatus
from sipagent.simulator.phone.settings import Pause, Press
from tests.simulator.carrier.rig import Quick, over
from tests.simulator.carrier.service import LIMIT_S, Service, service


class Server:
    """The service's end of AudioSocket: raw bytes, no code of the simulator's."""

    def __init__(self) -> None:
        self.kinds: list[int] = []
        self.payloads: list[bytes] = []
        self.came = asyncio.Event()
        self.gone = asyncio.Event()
        self.writer: asyncio.StreamWriter

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        try:
            while True:
                kind, high, low = await reader.readexactly(3)
                self.payloads.append(await reader.readexactly(high * 256 + low))
                self.kinds.append(kind)
                self.came.set()
        except (asyncio.IncompleteReadError, ConnectionError):
            self.gone.set()
        finally:
            writer.close()

    async def until(self, kind: int, count: int = 1) -> list[bytes]:
        """The payloads of one kind, once there are so many."""
        async with asyncio.timeout(LIMIT_S):
            while self.kinds.count(kind) < count:
                self.came.clear()
                await self.came.wait()
        return [payload for found, payload in zip(self.kinds, self.payloads, strict=False) if found == kind]


@asynccontextmanager
async def audio_server() -> AsyncIterator[tuple[Server, int]]:
    server = Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    async with listening:
        yield server, listening.sockets[0].getsockname()[1]
        if server.kinds:
            async with asyncio.timeout(LIMIT_S):
                await server.gone.wait()


@pytest.fixture
async def site() -> AsyncIterator[Service]:
    async with service() as found:
        found.check = lambda asked, url: asked.form.get("token") == "pretended-dialplan-token"
        yield found


def options(site: Service, port: int) -> AsteriskOptions:
    return AsteriskOptions(
        webhook_url=site.address("/call"),
        outcome_url=site.address("/outcome"),
        audio_socket=("127.0.0.1", port),
        voice=Quick(),
        people_voice=Quick(),
    )


async def test_a_call_is_announced_and_connected(site: Service) -> None:
    site.tell("/outcome", "ended")
    async with audio_server() as (server, port), PretendedAsterisk(options(site, port)) as asterisk:
        call = await asterisk.call(does=(Pause(seconds=0.3), Press(digits="5", waits=False)))
        (identifier,) = await server.until(0x01)
        (asked,) = await site.has("/call")
        assert str(UUID(bytes=identifier)) == asked.form["uuid"] == call.sid
        assert (asked.form["caller"], asked.form["dialled"]) == ("+15550100123", "+15550100100")
        frames = await server.until(0x10, 20)
        assert {len(frame) for frame in frames} == {320}
        assert await server.until(0x03) == [b"5"]
        sound = decode_pcmu(tone((400,), seconds=0.2))
        for start in range(0, len(sound), 320):
            server.writer.write(b"\x10\x01\x40" + sound[start : start + 320])
        async with asyncio.timeout(LIMIT_S):
            await call.caller.hears_speech()
        server.writer.write(b"\x00\x00\x00")
        assert await over(call) is LegStatus.COMPLETED
        assert call.leg.extra["outcome"] == "ended"
        assert call.sentences == ()


async def test_a_caller_who_hangs_up_is_told(site: Service) -> None:
    async with audio_server() as (server, port), PretendedAsterisk(options(site, port)) as asterisk:
        call = await asterisk.call()
        await server.until(0x10, 3)
        call.caller.hang_up()
        assert await server.until(0x00) == [b""]
        assert await over(call) is LegStatus.COMPLETED


@pytest.mark.parametrize("faults", ["carrier.forged", "carrier.unsigned", "carrier.stream_refused"])
async def test_a_call_that_is_not_taken_hears_why(site: Service, faults: str) -> None:
    async with audio_server() as (server, port), PretendedAsterisk(options(site, port)) as asterisk:
        call = await asterisk.call(faults=faults)
        await over(call)
        assert call.sentences == (NOBODY,)
        assert server.kinds == []


async def test_a_connection_is_cut(site: Service) -> None:
    async with audio_server() as (server, port), PretendedAsterisk(options(site, port)) as asterisk:
        call = await asterisk.call(faults="carrier.stream_cut=0.3")
        await server.until(0x10, 3)
        await over(call)
        assert 0x00 not in server.kinds
        assert call.streams[0].end is not None
        assert call.streams[0].end.value == "cut"
