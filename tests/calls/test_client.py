"""The Calls API client against a server that misbehaves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from sipagent.calls.client import CallsClient, CallsClientSettings
from sipagent.errors import (
    CallControlRateLimitedError,
    CallControlRefusedError,
    CallControlUnavailableError,
    CallGoneError,
    UserError,
)
from sipagent.identifiers import CallId
from sipagent.realtime.provider import RealtimeProvider

CALL = CallId("rtc_u1/odd id")
QUICK = CallsClientSettings(try_timeout_s=2.0, first_retry_s=0.01, longest_retry_s=0.02)


Answer = Callable[[], Awaitable[web.Response]]


def refusal(status: int, code: str | None = None) -> Answer:
    error = {"type": "invalid_request_error", "code": code, "message": "no", "param": None}

    async def answer() -> web.Response:
        return web.json_response({"error": error}, status=status)

    return answer


async def no_json() -> web.Response:
    return web.Response(status=502, text="<html>")


@dataclass
class FakeApi:
    """Answers from a list, the last answer for ever; keeps what it was asked."""

    answers: list[Answer] = field(default_factory=list)
    requests: list[tuple[str, str, Any, str]] = field(default_factory=list)
    keys: list[tuple[str | None, str | None]] = field(default_factory=list)
    """Of each request, the two headers in which a key may be shown."""
    base_url: str = ""
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.requests.append(
            (
                request.method,
                request.raw_path,
                json.loads(body) if body else None,
                request.headers.get("Authorization", ""),
            )
        )
        self.keys.append((request.headers.get("Authorization"), request.headers.get("api-key")))
        self.asked.set()
        return await self.answers.pop(0)() if self.answers else web.Response()


@asynccontextmanager
async def api(*answers: Answer) -> AsyncIterator[FakeApi]:
    fake = FakeApi(answers=list(answers))
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", fake.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        fake.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1/"
        yield fake
    finally:
        await runner.cleanup()


def client(fake: FakeApi) -> CallsClient:
    return CallsClient(api_key="key-1", base_url=fake.base_url, settings=QUICK)


def soon(seconds: float = 30.0) -> float:
    return asyncio.get_running_loop().time() + seconds


async def never() -> web.Response:
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


async def test_the_four_requests_are_as_documented() -> None:
    async with api() as fake, client(fake) as calls:
        await calls.accept(CALL, b'{"type":"realtime"}', deadline=soon())
        await calls.reject(CALL, 486, deadline=soon())
        await calls.refer(CALL, "tel:+15550100001")
        await calls.hang_up(CALL)
    base = "/v1/realtime/calls/rtc_u1%2Fodd%20id/"
    key = "Bearer key-1"
    assert fake.requests == [
        ("POST", base + "accept", {"type": "realtime"}, key),
        ("POST", base + "reject", {"status_code": 486}, key),
        ("POST", base + "refer", {"target_uri": "tel:+15550100001"}, key),
        ("POST", base + "hangup", None, key),
    ]


@pytest.mark.parametrize(
    "answer", [refusal(404, "call_id_not_found"), refusal(400, "call_id_not_found"), refusal(404)]
)
async def test_a_call_that_is_over_is_gone_and_not_tried_again(answer: Answer) -> None:
    async with api(answer) as fake, client(fake) as calls:
        with pytest.raises(CallGoneError):
            await calls.accept(CALL, b"{}", deadline=soon())
    assert len(fake.requests) == 1


async def test_another_api_is_shown_the_key_in_its_own_header_and_gets_its_query() -> None:
    async with api() as fake:
        provider = RealtimeProvider(base_url=f"{fake.base_url}?tenant=a%20b", key_header="api-key")
        async with CallsClient(api_key="key-1", base_url=provider, settings=QUICK) as calls:
            await calls.accept(CALL, b"{}", deadline=soon())
            await calls.reject(CALL, 486, deadline=soon())
            await calls.refer(CALL, "tel:+15550100001")
            await calls.hang_up(CALL)
    assert fake.keys == [(None, "key-1")] * 4
    for (_, path, _, _), action in zip(fake.requests, ("accept", "reject", "refer", "hangup"), strict=True):
        path, _, query = path.partition("?")
        assert path == f"/v1/realtime/calls/rtc_u1%2Fodd%20id/{action}"
        assert query in ("tenant=a%20b", "tenant=a+b")


async def test_a_base_that_is_no_url_is_refused_at_once() -> None:
    with pytest.raises(UserError, match="is no URL"):
        CallsClient(api_key="key-1", base_url="api.openai.com/v1")


@pytest.mark.parametrize("status", [400, 401, 403, 409, 422])
async def test_a_refusal_is_not_tried_again_and_keeps_its_words(status: int) -> None:
    async with api(refusal(status, "unknown_parameter")) as fake, client(fake) as calls:
        with pytest.raises(CallControlRefusedError) as caught:
            await calls.accept(CALL, b"{}", deadline=soon())
    assert (caught.value.status, caught.value.code) == (status, "unknown_parameter")
    assert "key-1" not in str(caught.value)
    assert len(fake.requests) == 1


async def test_busy_and_broken_servers_are_tried_again_until_they_answer() -> None:
    async with (
        api(refusal(429), refusal(500), no_json) as fake,
        client(fake) as calls,
    ):
        await calls.accept(CALL, b"{}", deadline=soon())
    assert len(fake.requests) == 4


@pytest.mark.parametrize(
    ("status", "error"), [(429, CallControlRateLimitedError), (500, CallControlUnavailableError)]
)
async def test_accept_gives_up_at_its_deadline(status: int, error: type[Exception]) -> None:
    async with api(*[refusal(status)] * 1000) as fake, client(fake) as calls:
        with pytest.raises(error):
            await calls.accept(CALL, b"{}", deadline=soon(1.5))
    assert len(fake.requests) >= 2


async def test_refer_and_hang_up_are_tried_a_fixed_number_of_times() -> None:
    async with api(*[refusal(500)] * 10) as fake, client(fake) as calls:
        with pytest.raises(CallControlUnavailableError):
            await calls.refer(CALL, "tel:+15550100001")
        assert len(fake.requests) == QUICK.refer_tries
        with pytest.raises(CallControlUnavailableError):
            await calls.hang_up(CALL)
        assert len(fake.requests) == QUICK.refer_tries + QUICK.hang_up_tries


async def test_a_server_that_never_answers_is_unavailable() -> None:
    async with api(*[never] * 3) as fake, client(fake) as calls:
        with pytest.raises(CallControlUnavailableError, match="no answer within"):
            await calls.hang_up(CALL)


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    async with api() as fake:
        gone = client(fake)
    async with gone as calls:
        with pytest.raises(CallControlUnavailableError, match="did not reach"):
            await calls.hang_up(CALL)


async def test_an_accept_that_timed_out_may_have_succeeded() -> None:
    async with api(never, refusal(404, "call_id_not_found")) as fake, client(fake) as calls:
        await calls.accept(CALL, b"{}", deadline=soon())
    assert len(fake.requests) == 2


async def test_cancelling_a_request_ends_it_at_once() -> None:
    async with api(never) as fake, client(fake) as calls:
        task = asyncio.ensure_future(calls.hang_up(CALL))
        await fake.asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert len(fake.requests) == 1
