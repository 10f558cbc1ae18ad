"""The door under bad weather: 400 or 200 as documented, never 5xx, no call, and no secret in the log."""

from __future__ import annotations

import ast
import asyncio
import gzip
import inspect
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import openai.lib._webhooks as openai_webhooks
import pytest

from sipagent.app import Service, ServiceSettings
from sipagent.calls import endpoint
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


async def post_as(service: Service, source: str, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
    """Post through a proxy on this machine, which says that it speaks for ``source``."""
    async with (
        aiohttp.ClientSession() as http,
        http.post(service.webhook_url, data=body, headers={**headers, "X-Forwarded-For": source}) as response,
    ):
        return response.status, response.headers.get("Retry-After", "")


async def test_who_sends_too_much_that_is_no_webhook_is_not_read_any_more() -> None:
    forged = sign(BODY, secret="whsec_Zm9yZ2Vk")
    async with door() as (service, store):
        for _ in range(endpoint.FAILURES_AT_ONCE):
            assert (await post_as(service, "198.51.100.7", BODY, forged))[0] == 400
        status, wait = await post_as(service, "198.51.100.7", BODY, sign(BODY))
        assert status == 429, "even a good one: it was not read"
        assert int(wait) >= 1
        assert (await post_as(service, "203.0.113.9", BODY, sign(BODY)))[0] == 200, "others are heard"
        content, _ = service.metrics.render()
    assert len(await store.calls()) == 1
    assert b'sipagent_webhooks_total{result="limited"} 1.0' in content


async def test_strangers_behind_a_proxy_that_names_nobody_cannot_lock_out_webhooks() -> None:
    async with door() as (service, _):
        for _ in range(2 * endpoint.FAILURES_AT_ONCE):
            assert await post(service, BODY, sign(BODY, secret="whsec_Zm9yZ2Vk")) == 400
        assert await post(service, BODY, sign(BODY)) == 200


async def test_only_so_many_bodies_are_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "MOST_AT_ONCE", 1)
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield BODY[:10]
        arrived.set()
        await go_on.wait()
        yield BODY[10:]

    async with door() as (service, _), aiohttp.ClientSession() as http:
        first = asyncio.ensure_future(http.post(service.webhook_url, data=slow(), headers=sign(BODY)))
        await arrived.wait()
        for _ in range(1000):
            answer = await post_as(service, "203.0.113.9", FOREIGN, sign(FOREIGN))
            if answer[0] != 200:
                break
        assert answer == (429, "1")
        assert b'{result="busy"} 1.0' in service.metrics.render()[0]
        go_on.set()
        async with await first as response:
            assert response.status == 200
        assert await post(service, FOREIGN, sign(FOREIGN)) == 200


async def test_a_compressed_body_is_refused_unread() -> None:
    bomb = gzip.compress(b"[" * 50_000_000)
    assert len(bomb) < MAXIMUM_BODY_BYTES
    headers = {**sign(bomb), "Content-Encoding": "gzip"}
    async with (
        door() as (service, _),
        aiohttp.ClientSession() as http,
        http.post(service.webhook_url, data=bomb, headers=headers) as response,
    ):
        assert response.status == 400
        assert "compressed" in await response.text()


async def test_a_body_that_does_not_arrive_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "BODY_TIMEOUT_S", 0.2)
    async with door() as (service, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        lines = ["POST /webhooks/openai HTTP/1.1", "Host: here", f"Content-Length: {len(BODY)}"]
        lines += [f"{name}: {value}" for name, value in sign(BODY).items()]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + BODY[:5])
        async with asyncio.timeout(20):
            answer = await reader.readuntil(b"\r\n")
        writer.close()
    assert answer.startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize(
    "extra",
    [
        {f"X-Header-{number}": "x" for number in range(5000)},
        {"X-Long": "x" * 100_000},
        {"webhook-signature": "v1," + "A" * 8000},
        {"webhook-timestamp": "9" * 5000},
        {"webhook-id": "wh_1 wh_2"},
        {"X-Forwarded-For": ", ".join(["198.51.100.7"] * 500)},
    ],
    ids=["many headers", "a long header", "a long signature", "a huge time", "an id of two", "many hops"],
)
async def test_odd_heads_are_refused_with_4xx_or_closed(extra: dict[str, str]) -> None:
    async with door() as (service, store):
        try:
            status = await post(service, BODY, {**sign(BODY, secret="whsec_Zm9yZ2Vk"), **extra})
        except aiohttp.ClientError:
            status = 400  # closed: no answer is an answer too
        assert 400 <= status < 500
        assert await post(service, FOREIGN, sign(FOREIGN)) == 200, "and the next one is served"
    assert await store.calls() == ()


def test_signatures_are_compared_in_constant_time() -> None:
    """The package does it; this notices a version of it that does not."""
    source = inspect.getsource(openai_webhooks)
    compared = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Compare)]
    assert "hmac.compare_digest(expected_signature" in source
    assert not any("signature" in ast.unparse(node) for node in compared)


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
