from __future__ import annotations

from contextlib import AsyncExitStack

import aiohttp
import pytest
from aiohttp import web

from sipagent.errors import SimulatorError
from sipagent.simulator.listening import serve_http


async def hello(request: web.Request) -> web.Response:
    return web.Response(text="Hello.")


def greeter() -> web.Application:
    application = web.Application()
    application.router.add_get("/", hello)
    return application


async def test_it_serves_until_the_stack_is_left() -> None:
    async with aiohttp.ClientSession() as http:
        async with AsyncExitStack() as stack:
            host, port = await serve_http(greeter(), host="127.0.0.1", port=0, until=stack)
            async with http.get(f"http://{host}:{port}/") as response:
                assert await response.text() == "Hello."
        with pytest.raises(aiohttp.ClientConnectorError):
            await http.get(f"http://{host}:{port}/")


async def test_a_port_that_is_taken_is_named() -> None:
    async with AsyncExitStack() as stack:
        _, port = await serve_http(greeter(), host="127.0.0.1", port=0, until=stack)
        with pytest.raises(SimulatorError, match=f"cannot listen for HTTP on 127.0.0.1:{port}"):
            await serve_http(greeter(), host="127.0.0.1", port=port, until=stack)
