"""Requests of tools, to servers that answer as servers do, and what may have come of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from yarl import URL

from sipagent.calls.lookup import open_lookup_session
from sipagent.calls.tools.failures import ToolFailureError
from sipagent.calls.tools.requests import LARGEST_ANSWER_BYTES, Answer, Request, send
from tests.support.ports import free_port
from tests.support.web import serving, talking

SECRET = "s3cret-of-the-shop"


def request(base: str, method: str = "POST", **changes: Any) -> Request:
    given: dict[str, Any] = {
        "tool": "book",
        "method": method,
        "url": URL(f"{base}/orders?card=4711"),
        "headers": {"Authorization": f"Bearer {SECRET}"},
        "body": b"{}" if method != "GET" else None,
        "timeout_s": 10.0,
    }
    return Request(**{**given, **changes})


async def failing(what: Request) -> ToolFailureError:
    with pytest.raises(ToolFailureError) as caught:
        await send(what, None)
    assert SECRET not in str(caught.value)
    assert "4711" not in str(caught.value)
    assert "127.0.0.1" not in str(caught.value)
    return caught.value


def counting(
    *answers: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> tuple[Any, list[web.Request]]:
    """A handler that gives one answer after the other, and the last one for ever."""
    seen: list[web.Request] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        seen.append(request)
        return await answers[min(len(seen), len(answers)) - 1](request)

    return handle, seen


async def ok(request: web.Request) -> web.Response:
    return web.json_response({"method": request.method, "body": await request.text()})


def status(code: int, text: str = "", **headers: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=code, text=text, headers={**headers})

    return answer


async def hang_up(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def never(request: web.Request) -> web.Response:
    await asyncio.sleep(60)
    return web.Response()


async def test_an_answer_is_an_answer() -> None:
    async with serving(ok) as base, open_lookup_session() as http:
        for shared in (None, http):
            answer = await send(request(base, body=b'{"a": 1}'), shared)
            assert answer == Answer(
                status=200, charset="utf-8", content=b'{"method": "POST", "body": "{\\"a\\": 1}"}'
            )


async def test_a_closed_shared_connection_is_no_obstacle() -> None:
    http = open_lookup_session()
    await http.close()
    async with serving(ok) as base:
        assert (await send(request(base), http)).status == 200


@pytest.mark.parametrize(
    ("code", "effect"), [(400, "none"), (404, "none"), (409, "none"), (422, "none"), (429, "none")]
)
async def test_a_server_that_refuses_did_nothing(code: int, effect: str) -> None:
    async with serving(status(code, "the table is\ntaken")) as base:
        error = await failing(request(base))
    assert error.effect == effect
    assert f"status {code}" in str(error)
    assert "the table is taken" in str(error)
    assert "Nothing was done." in str(error)


@pytest.mark.parametrize("code", [408, 500, 502, 503, 504, 599])
async def test_a_server_that_failed_may_have_done_something(code: int) -> None:
    async with serving(status(code, "Traceback: secret things")) as base:
        error = await failing(request(base))
    assert error.effect == "unknown"
    assert "Nobody knows" in str(error)
    assert ("secret things" in str(error)) == (code == 408)


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(code: int) -> None:
    handler, seen = counting(status(code, Location="/elsewhere"))
    async with serving(handler) as base:
        error = await failing(request(base))
    assert len(seen) == 1
    assert "redirects are not followed" in str(error)
    assert error.effect == "unknown"


async def test_a_lost_connection_leaves_the_effect_unknown() -> None:
    handler, seen = counting(hang_up)
    async with serving(handler) as base:
        error = await failing(request(base, retries=3))
    assert error.effect == "unknown"
    assert len(seen) == 1


async def test_a_server_that_is_not_there_did_nothing() -> None:
    error = await failing(request(f"http://127.0.0.1:{free_port()}"))
    assert error.effect == "none"
    assert "could not be reached" in str(error)


async def test_a_server_that_never_answers_is_given_up_in_time() -> None:
    loop = asyncio.get_running_loop()
    async with serving(never) as base:
        began = loop.time()
        error = await failing(request(base, timeout_s=0.3, retries=5, idempotent=True))
        assert loop.time() - began < 5
    assert error.effect == "unknown"
    assert "0.3 seconds" in str(error)


async def test_reading_has_no_effect_whatever_happens() -> None:
    for answer in (status(500), hang_up, never):
        async with serving(answer) as base:
            error = await failing(request(base, "GET", timeout_s=0.5))
            assert error.effect == "none"
            assert "Nobody knows" not in str(error)


@pytest.mark.parametrize("first", [status(503), status(429), status(500), hang_up])
async def test_what_may_be_sent_twice_is_sent_again(first: Any) -> None:
    handler, seen = counting(first, ok)
    async with serving(handler) as base:
        answer = await send(request(base, "PUT", retries=1, idempotent=True), None)
    assert answer.status == 200
    assert len(seen) == 2


async def test_what_may_not_be_sent_twice_is_sent_again_only_if_it_was_not_taken() -> None:
    handler, seen = counting(status(429), ok)
    async with serving(handler) as base:
        assert (await send(request(base, retries=1), None)).status == 200
    assert len(seen) == 2
    handler, seen = counting(status(503), ok)
    async with serving(handler) as base:
        assert (await failing(request(base, retries=1))).effect == "unknown"
    assert len(seen) == 1


async def test_one_doubt_stays_a_doubt() -> None:
    # The first try may have had its effect, whatever the second one says.
    handler, seen = counting(status(503), status(409))
    async with serving(handler) as base:
        assert (await failing(request(base, retries=1, idempotent=True))).effect == "unknown"
    assert len(seen) == 2


async def test_tries_are_counted() -> None:
    handler, seen = counting(status(503))
    async with serving(handler) as base:
        await failing(request(base, "GET", retries=2, idempotent=True))
    assert len(seen) == 3


async def test_a_refusal_for_good_is_not_tried_again() -> None:
    handler, seen = counting(status(404))
    async with serving(handler) as base:
        await failing(request(base, "GET", retries=2, idempotent=True))
    assert len(seen) == 1


async def test_a_server_that_wants_to_be_left_alone_longer_than_the_caller_waits_is() -> None:
    handler, seen = counting(status(429, **{"Retry-After": "30"}), ok)
    loop = asyncio.get_running_loop()
    async with serving(handler) as base:
        began = loop.time()
        await failing(request(base, retries=3, timeout_s=20.0))
        assert loop.time() - began < 15
    assert len(seen) == 1


async def test_an_answer_too_large_went_through_all_the_same() -> None:
    async def large(request: web.Request) -> web.Response:
        return web.Response(body=b"x" * (LARGEST_ANSWER_BYTES + 1))

    async with serving(large) as base:
        answer = await send(request(base), None)
    assert answer.content == b""
    assert "went through (status 200)" in answer.remark
    assert "larger than" in answer.remark


async def test_an_answer_without_end_is_not_read_to_its_end() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    async with talking(endless) as base:
        answer = await send(request(base), None)
    assert "larger than" in answer.remark


async def test_an_answer_cut_off_went_through_all_the_same() -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{")
        await writer.drain()

    async with talking(cut) as base:
        answer = await send(request(base), None)
        assert "went through (status 201)" in answer.remark
        error = await failing(request(base, "GET", idempotent=True))
        assert error.effect == "none"


@pytest.mark.parametrize("words", [b"nonsense\r\n\r\n", b"", b"HTTP/1.1 abc\r\n\r\n", b"\x00" * 100])
async def test_a_server_that_speaks_something_else_is_a_failure(words: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(words)
        await writer.drain()

    async with talking(talk) as base:
        assert (await failing(request(base))).effect == "unknown"


async def test_the_log_has_the_reason_and_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="sipagent"):
        async with serving(status(500)) as base:
            await failing(request(base))
        await failing(request(f"http://127.0.0.1:{free_port()}"))
    assert "status 500" in caplog.text
    for hidden in (SECRET, "4711"):
        assert hidden not in caplog.text


def test_a_request_does_not_show_its_secrets() -> None:
    assert SECRET not in repr(request("http://shop.test"))


async def test_cancelling_ends_the_request() -> None:
    begun = asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        begun.set()
        return await never(request)

    async with serving(slow) as base:
        task = asyncio.create_task(send(request(base, timeout_s=60), None))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
