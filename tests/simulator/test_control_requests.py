from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from sipagent.simulator.control_requests import (
    Body,
    Digits,
    Seconds,
    explain_errors,
    read_body,
    wait_as_asked,
)


class Pause(Body):
    seconds: Seconds = 1.0


async def press(request: web.Request) -> web.Response:
    return web.json_response({"digits": (await read_body(request, Digits)).digits})


async def pause(request: web.Request) -> web.Response:
    return web.json_response({"seconds": (await read_body(request, Pause)).seconds})


async def never_over(request: web.Request) -> web.Response:
    await wait_as_asked(request, asyncio.Event().wait)
    return web.json_response({})


@pytest.fixture
async def base() -> AsyncIterator[str]:
    app = web.Application(middlewares=[explain_errors])
    app.router.add_post("/digits", press)
    app.router.add_post("/pause", pause)
    app.router.add_get("/call", never_over)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("POST", "/digits", b'{"digits": "12#"}', 200, {"digits": "12#"}),
        ("POST", "/digits", b"{}", 400, {"error": "digits: Field required"}),
        ("POST", "/pause", b"", 200, {"seconds": 1.0}),
        (
            "POST",
            "/pause",
            b'{"seconds": -1}',
            400,
            {"error": "seconds: Input should be greater than or equal to 0"},
        ),
        ("GET", "/call", b"", 200, {}),
        ("GET", "/call?wait_s=0.01", b"", 200, {}),
        ("GET", "/call?wait_s=soon", b"", 400, {"error": "wait_s is a number of seconds, not 'soon'"}),
        ("GET", "/nowhere", b"", 404, {"error": "Not Found"}),
    ],
)
async def test_what_is_asked_is_answered_or_explained(
    base: str, method: str, path: str, body: bytes, status: int, said: dict[str, object]
) -> None:
    async with aiohttp.ClientSession() as http, http.request(method, base + path, data=body) as response:
        assert (response.status, await response.json()) == (status, said)


async def test_a_body_that_is_no_json_is_said_to_be_none(base: str) -> None:
    async with aiohttp.ClientSession() as http, http.post(f"{base}/digits", data=b"12#") as response:
        assert response.status == 400
        assert (await response.json())["error"].startswith("the body is no JSON: ")
