from __future__ import annotations

import asyncio

import pytest

from sipagent.calls import CallsClients
from sipagent.errors import CallGoneError, UserError
from sipagent.identifiers import CallId
from sipagent.simulator.server import Simulator, SimulatorOptions
from tests.support.practice import API_KEY


async def test_an_address_has_one_client_until_it_is_let_go() -> None:
    async with CallsClients(api_key="key") as clients:
        one = await clients.open("http://127.0.0.1:1/v1")
        other = await clients.open("http://127.0.0.1:2/v1")
        assert await clients.open("http://127.0.0.1:1/v1") is one
        assert len(clients) == 2
        clients.keep_only({"http://127.0.0.1:2/v1"})
        assert len(clients) == 1
        assert await clients.open("http://127.0.0.1:2/v1") is other
        assert await clients.open("http://127.0.0.1:1/v1") is not one


async def test_what_is_no_address_is_refused_and_leaves_nothing() -> None:
    async with CallsClients(api_key="key") as clients:
        with pytest.raises(UserError):
            await clients.open("nowhere")
        assert len(clients) == 0


async def test_what_is_kept_goes_on_working() -> None:
    async with (
        Simulator(SimulatorOptions(api_key=API_KEY)) as there,
        CallsClients(api_key=API_KEY) as clients,
    ):
        kept = await clients.open(there.base_url)
        await clients.open("http://127.0.0.1:1/v1")
        clients.keep_only({there.base_url})
        with pytest.raises(CallGoneError):
            await kept.accept(CallId("rtc_x"), b"[]", deadline=asyncio.get_running_loop().time() + 10)
