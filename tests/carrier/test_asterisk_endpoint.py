"""Calls that an Asterisk brings to us, from their announcement to how they went."""

from __future__ import annotations

import asyncio
from uuid import UUID

import aiohttp

from sipagent.identifiers import CallId
from tests.carrier.test_media_endpoint import door
from tests.support.eventually import eventually

UUID_TEXT = "6ba7b810-9dad-41d1-80b4-00c04fd430c8"


async def test_an_asterisk_announces_its_calls_and_asks_how_they_went() -> None:
    async with door() as it, aiohttp.ClientSession(it.base_url) as http:
        form = {"uuid": UUID_TEXT, "caller": "+15550100123", "dialled": "100", "token": "dialplan"}
        async with http.post("/carriers/asterisk/call", data=form) as response:
            assert (response.status, await response.text()) == (200, "ok")
        async with http.post("/carriers/asterisk/outcome", data=form) as response:
            assert await response.text() == "unknown"
        reader, writer = await asyncio.open_connection("127.0.0.1", it.asterisk_port)
        writer.write(b"\x01\x00\x10" + UUID(UUID_TEXT).bytes + b"\x10\x01\x40" + bytes(320))
        async with asyncio.timeout(30):
            heard = await reader.readexactly(323 * 20)
        assert heard[:3] == b"\x10\x01\x40"
        writer.write(b"\x00\x00\x00")
        record = await it.practice.ended_record(CallId(f"asterisk:{UUID_TEXT}:0"))
        assert record.summary.end_reason == "caller_hung_up"
        assert record.summary.caller == "+15550100123"

        await eventually(lambda: it.endpoint.live == 0)
        async with http.post("/carriers/asterisk/outcome", data=form) as response:
            assert await response.text() == "ended"
        writer.close()


async def test_an_asterisk_that_nobody_knows_is_refused() -> None:
    async with door() as it, aiohttp.ClientSession(it.base_url) as http:
        for form, status in (
            ({"uuid": UUID_TEXT, "token": "wrong"}, 403),
            ({"uuid": UUID_TEXT}, 403),
            ({"uuid": "no", "token": "dialplan"}, 400),
            ({"token": "dialplan", "caller": "x" * 9000}, 413),
        ):
            async with http.post("/carriers/asterisk/call", data=form) as response:
                assert response.status == status
        reader, writer = await asyncio.open_connection("127.0.0.1", it.asterisk_port)
        writer.write(b"\x01\x00\x10" + UUID(UUID_TEXT).bytes + b"\x10\x01\x40" + bytes(320))
        async with asyncio.timeout(20):
            assert await reader.read(-1) == b""
        writer.close()
        assert it.metrics.webhooks[-1] == ("asterisk", "bad_signature")
        assert it.practice.service.live_calls == 0


async def test_a_dialplan_that_is_faster_than_the_end_of_its_call() -> None:
    async with door() as it, aiohttp.ClientSession(it.base_url) as http:
        form = {"uuid": UUID_TEXT, "caller": "+15550100123", "dialled": "100", "token": "dialplan"}
        async with http.post("/carriers/asterisk/call", data=form) as response:
            assert response.status == 200
        reader, writer = await asyncio.open_connection("127.0.0.1", it.asterisk_port)
        writer.write(b"\x01\x00\x10" + UUID(UUID_TEXT).bytes + b"\x10\x01\x40" + bytes(320))
        async with asyncio.timeout(30):
            await reader.readexactly(323 * 20)

        async def asked() -> str:
            async with http.post("/carriers/asterisk/outcome", data=form) as response:
                return await response.text()

        asking = asyncio.create_task(asked())
        await asyncio.sleep(0.1)
        writer.write(b"\x00\x00\x00")
        assert await asking == "ended"
        writer.close()
