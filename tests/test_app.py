"""What machines ask a service, and how it starts and stops."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import aiohttp
import pytest

from sipagent.app import Service, ServiceSettings
from sipagent.errors import StoreError, UserError
from sipagent.simulator.caller import CallPlan
from sipagent.store import MemoryCallStore, Store
from tests.calls.test_webhook import NEW
from tests.store.facts import CALL, opened, recording
from tests.support.eventually import eventually
from tests.support.practice import front_door, practice


def service(*, store: Store | None = None, port: int = 0, secrets: tuple[str, ...] = (NEW,)) -> Service:
    return Service(
        front_door=front_door(),
        api_key="sk-test",
        base_url="http://127.0.0.1:9/v1",
        webhook_secrets=secrets,
        store=store or MemoryCallStore(),
        settings=ServiceSettings(port=port),
    )


async def get(running: Service, path: str) -> tuple[int, str]:
    url = running.webhook_url.replace("/webhooks/openai", path)
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        return response.status, await response.text()


async def test_health_readiness_and_metrics() -> None:
    async with service() as running:
        assert (await get(running, "/healthz"))[0] == 200
        assert (await get(running, "/readyz"))[0] == 200
        status, text = await get(running, "/metrics")
        assert status == 200
        assert "sipagent_live_calls 0.0" in text


async def test_a_draining_service_is_healthy_but_not_ready() -> None:
    async with service() as running:
        assert await running.drain(1) == 0
        assert (await get(running, "/healthz"))[0] == 200
        status, text = await get(running, "/readyz")
    assert status == 503
    assert "draining" in text


async def test_a_database_that_does_not_answer_is_a_problem_but_calls_may_come() -> None:
    class Away(MemoryCallStore):
        async def ping(self) -> None:
            raise StoreError("away")

    async with service(store=Away()) as running:
        status, text = await get(running, "/readyz")
    assert status == 200
    assert "the database does not answer" in text


def test_a_service_without_a_secret_cannot_be_made() -> None:
    with pytest.raises(UserError, match="OPENAI_WEBHOOK_SECRET"):
        service(secrets=())


async def test_a_port_that_is_taken_fails_cleanly() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(BaseExceptionGroup) as caught:
            async with service(port=taken.getsockname()[1]):
                raise AssertionError("unreachable")
    assert caught.group_contains(OSError)


async def test_stop_ends_serving() -> None:
    async with service() as running:
        serving = asyncio.ensure_future(running.serve_until_stopped())
        await asyncio.sleep(0)
        running.stop()
        async with asyncio.timeout(30):
            assert await serving == 0


async def test_leaving_the_service_hangs_up_what_is_left() -> None:
    async with practice(script="greeting: Hello.\n") as desk:
        call = desk.simulator.place_call(CallPlan(steps=(), hangs_up=False))
        await call.wait_answered()
        await eventually(lambda: call.conversation and call.conversation.transcript)
        await desk.service.drain(0)
        async with asyncio.timeout(30):
            await call.wait_over()
        record = await desk.ended_record(call.call_id)
    assert record.summary.end_reason == "service_stopped"


async def test_a_call_that_outlasts_the_drain_is_told_goodbye_first() -> None:
    async with practice(script="greeting: Hello.\n") as desk:
        call = desk.simulator.place_call(CallPlan(steps=(), hangs_up=False))
        await eventually(lambda: call.conversation and call.conversation.transcript)
        assert await desk.service.drain(16) == 0, "nobody was cut off"
        async with asyncio.timeout(30):
            await call.wait_over()
        record = await desk.ended_record(call.call_id)
        said = [line.text for line in call.conversation.transcript] if call.conversation else []
    assert (record.summary.end_reason, record.summary.fault_owner) == ("service_stopped", "operator")
    assert len(said) >= 2, "the greeting, and a goodbye"


async def test_recordings_whose_time_is_over_are_deleted_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "20260301T090000Z_rtc_one_0a1b2c3d.wav"
    path.write_bytes(b"RIFF")
    store = MemoryCallStore()
    await store.apply([opened(), recording(str(path), keep_s=60)])
    async with service(store=store) as running:
        await eventually(lambda: not path.exists())
        status, text = await get(running, "/metrics")
    assert status == 200
    assert 'sipagent_recordings_ended_total{result="expired"} 1.0' in text
    record = await store.call(CALL)
    assert record is not None
    assert [one.deleted_because for one in record.recordings] == ["expired"]
