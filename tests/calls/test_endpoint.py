"""The door under bad weather: 400 or 200 as documented, never 5xx, no call, and no secret in the log."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest

from sipagent.app import Service, ServiceSettings
from sipagent.calls.webhook import MAXIMUM_BODY_BYTES
from sipagent.clock import unix_s
from sipagent.store import MemoryCallStore
from tests.calls.test_webhook import NEW, OLD, incoming, sign
from tests.support.practice import front_door


@asynccontextmanager
async def door() -> AsyncIterator[tuple[Service, MemoryCallStore]]:
    """A service whose Calls API is nobody: a call that gets through is seen, and fails by itself."""
    store = MemoryCallStore()
    service = Service(
        front_door=front_door(),
        api_key="sk-secret-key",
        base_url="http://127.0.0.1:9/v1",
        webhook_secrets=[NEW, OLD],
        store=store,
        settings=ServiceSettings(port=0),
    )
    async with service:
        yield service, store


async def post(service: Service, body: bytes, headers: dict[str, str]) -> int:
    async with (
        aiohttp.ClientSession() as http,
        http.post(service.webhook_url, data=body, headers=headers) as response,
    ):
        return response.status


FOREIGN = json.dumps({"type": "batch.completed", "data": {"id": "b"}}).encode()
EMPTY = json.dumps({"type": "realtime.call.incoming", "data": {}}).encode()
BODY = incoming()
HUGE = json.dumps({"type": "realtime.call.incoming", "x": "x" * MAXIMUM_BODY_BYTES}).encode()


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (BODY, lambda: sign(BODY, secret="whsec_Zm9yZ2Vk"), 400),
        (BODY, lambda: sign(BODY, at=unix_s() - 400), 400),
        (BODY, lambda: sign(BODY, at=unix_s() + 400), 400),
        (BODY, dict, 400),
        (HUGE, lambda: sign(HUGE), 400),
        (b"no json", lambda: sign(b"no json"), 400),
        (b"[1]", lambda: sign(b"[1]"), 400),
        (b"", lambda: sign(b""), 400),
        (FOREIGN, lambda: sign(FOREIGN), 200),
        (EMPTY, lambda: sign(EMPTY), 200),
    ],
    ids=[
        "forged",
        "stale",
        "future",
        "unsigned",
        "oversized",
        "no json",
        "a list",
        "nothing",
        "foreign",
        "empty",
    ],
)
async def test_bad_weather(
    body: bytes, headers: Callable[[], dict[str, str]], status: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        async with door() as (service, store):
            # Signed now and not when tests are collected, which may be minutes ago.
            assert await post(service, body, headers()) == status
            assert service.live_calls == 0
        assert await store.calls() == ()
    assert any("webhook" in record.getMessage().lower() for record in caplog.records), (
        "it is explained in the log"
    )
    for secret in (NEW, OLD, "sk-secret-key"):
        assert secret not in caplog.text


async def test_a_body_without_a_length_is_cut_off_when_it_grows_too_large() -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(2 * MAXIMUM_BODY_BYTES // 65536):
            yield b"x" * 65536

    async with (
        door() as (service, _),
        aiohttp.ClientSession() as http,
        http.post(service.webhook_url, data=endless(), headers=sign(b"")) as response,
    ):
        assert response.status == 400
        assert (await response.json())["error"]["code"] == "bad_body"


async def test_a_replayed_webhook_is_taken_once() -> None:
    body, headers = incoming(call_id="rtc_once"), sign(incoming(call_id="rtc_once"), webhook_id="wh_5")
    async with door() as (service, store):
        statuses = await asyncio.gather(*(post(service, body, headers) for _ in range(10)))
        assert statuses == [200] * 10
        again = sign(body, webhook_id="wh_6")
        assert await post(service, body, again) == 200, "the same call through another endpoint"
        content, _ = service.metrics.render()
    assert len(await store.calls()) == 1
    assert b'sipagent_webhooks_total{result="call"} 1.0' in content
    assert b'sipagent_webhooks_total{result="duplicate"} 10.0' in content


async def test_both_secrets_open_the_door_during_a_rotation() -> None:
    async with door() as (service, store):
        for number, secret in enumerate((NEW, OLD)):
            body = incoming(call_id=f"rtc_{number}")
            assert await post(service, body, sign(body, secret=secret, webhook_id=f"wh_{number}")) == 200
    assert len(await store.calls()) == 2


async def test_get_is_not_a_webhook() -> None:
    async with (
        door() as (service, _),
        aiohttp.ClientSession() as http,
        http.get(service.webhook_url) as response,
    ):
        assert response.status == 405
