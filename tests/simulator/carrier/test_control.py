"""The control API of a carrier, over real HTTP."""

from __future__ import annotations

import io
import wave
from collections.abc import AsyncIterator
from typing import Any, Final

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from sipagent.simulator.carrier import Busy, CarrierFaults, PretendedTwilio
from sipagent.simulator.carrier.control import CarrierControlApi
from tests.simulator.carrier.service import Service

BOSS: Final = "+15550100777"


class Client:
    """Asks in JSON."""

    def __init__(self, http: aiohttp.ClientSession, base: str) -> None:
        self.http = http
        self.base = base

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        async with self.http.request(method, self.base + path, json=body) as response:
            return response.status, await response.json()


@pytest.fixture
async def client(twilio: PretendedTwilio) -> AsyncIterator[Client]:
    async with TestServer(CarrierControlApi(twilio).application()) as server, aiohttp.ClientSession() as http:
        yield Client(http, str(server.make_url("")).rstrip("/"))


async def test_a_call_is_placed_and_shown(site: Service, client: Client) -> None:
    site.tell("/voice", "<Response><Say>We are closed.</Say></Response>")
    status, placed = await client.ask("POST", "/calls", {"from": "+15550100124", "to": "+15550100101"})
    assert status == 201
    _, shown = await client.ask("GET", f"/calls/{placed['call_id']}?wait_s=30")
    assert shown["state"] == "completed"
    assert (shown["from"], shown["to"]) == ("+15550100124", "+15550100101")
    assert shown["sentences"] == ["We are closed."]
    assert [each["purpose"] for each in shown["requests"]] == ["voice"]
    assert shown["legs"][0]["heard_s"] > 0.3
    assert any(each["what"] == "answered" for each in shown["timeline"])
    _, listed = await client.ask("GET", "/calls")
    assert [each["call_id"] for each in listed["calls"]] == [placed["call_id"]]
    async with client.http.get(f"{client.base}/calls/{placed['call_id']}/heard.wav") as response:
        with wave.open(io.BytesIO(await response.read())) as sound:
            assert sound.getnframes() > 4000


async def test_a_caller_is_moved(site: Service, client: Client) -> None:
    site.tell("/voice", "<Response><Gather numDigits='1' action='/keys'/></Response>")
    site.tell("/keys", "<Response><Pause length='60'/></Response>")
    _, placed = await client.ask("POST", "/calls")
    await site.has("/voice")
    path = f"/calls/{placed['call_id']}"
    _, shown = await client.ask("GET", path)
    while shown["state"] != "in-progress":
        _, shown = await client.ask("GET", f"{path}?wait_s=0.05")
    assert (await client.ask("POST", f"{path}/say", {"text": "One, please."}))[0] == 200
    assert (await client.ask("POST", f"{path}/digits", {"digits": "1"}))[0] == 200
    await site.has("/keys")
    assert (await client.ask("POST", f"{path}/hangup"))[1]["state"] == "completed"


async def test_numbers_and_faults(twilio: PretendedTwilio, client: Client) -> None:
    assert (await client.ask("PUT", "/numbers", {"numbers": {BOSS: "busy"}}))[0] == 200
    assert twilio.network.numbers[BOSS] == Busy()
    _, shown = await client.ask("PUT", "/faults", {"faults": "carrier.late=30"})
    assert shown == {"faults": "carrier.late=30"}
    assert twilio.faults == CarrierFaults.parse("carrier.late=30")
    assert (await client.ask("GET", "/faults"))[1] == shown


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/calls", {"does": [{"say": "a", "press": "1"}]}, 400),
        ("POST", "/calls", {"faults": "carrier.earthquake"}, 400),
        ("POST", "/calls", {"nonsense": 1}, 400),
        ("PUT", "/numbers", {"numbers": {BOSS: "perhaps"}}, 400),
        ("GET", "/calls/CA0", None, 404),
        ("GET", "/calls/CA0?wait_s=long", None, 404),
    ],
)
async def test_what_cannot_be_is_explained(
    client: Client, method: str, path: str, body: Any, status: int
) -> None:
    found, answer = await client.ask(method, path, body)
    assert found == status
    assert answer["error"]
