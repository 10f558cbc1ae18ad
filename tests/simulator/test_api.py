"""The Calls API and the Realtime socket, byte by byte where the official client hides it."""

from __future__ import annotations

import asyncio
import io
import json
import socket as socket_module
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from sipagent.simulator.api import MAX_BODY_BYTES, REJECT_STATUSES
from sipagent.simulator.call_values import CallSettings, CallState, EndedBy
from sipagent.simulator.caller import CallPlan
from sipagent.simulator.calls import SimulatedCall
from sipagent.simulator.faults import FaultSet
from sipagent.simulator.realtime_socket import QUEUE_LIMIT, RealtimeSocket
from sipagent.simulator.script import Script, Step
from sipagent.simulator.server import Simulator, SimulatorOptions
from sipagent.simulator.speech import SilentVoice
from sipagent.simulator.virtual import VirtualLeg
from tests.simulator.receiver import LIMIT_S, WebhookReceiver
from tests.support.eventually import eventually

SESSION = {"type": "realtime", "model": "gpt-realtime-2.1"}


class Client:
    """Raw HTTP with the right key."""

    def __init__(self, http: aiohttp.ClientSession, simulator: Simulator) -> None:
        self._http = http
        self._base_url = simulator.base_url

    async def post(self, path: str, body: object = None) -> tuple[int, dict[str, Any]]:
        """Status and error object (empty on success)."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        data = None if body is None else io.BytesIO(raw)
        async with self._http.post(f"{self._base_url}/realtime/calls/{path}", data=data) as answer:
            assert answer.headers["x-request-id"].startswith("req_")
            raw = await answer.read()
            error: dict[str, Any] = json.loads(raw)["error"] if raw else {}
            return answer.status, error

    async def open(self, **query: str) -> aiohttp.ClientWebSocketResponse:
        return await self._http.ws_connect(f"{self._base_url}/realtime", params=query)

    async def refused(self, **query: str) -> int:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await self.open(**query)
        return refused.value.status


@pytest.fixture
async def simulator(receiver: WebhookReceiver) -> AsyncIterator[Simulator]:
    options = SimulatorOptions(
        media="virtual",
        api_key="sk-test",
        script=Script(greeting=Step(say="Good morning."), delay_ms=1),
        webhook_url=receiver.url,
        virtual_voice=SilentVoice(ms_per_character=2),
        calls=CallSettings(webhook_delay_s=0, answer_delay_s=0),
    )
    async with Simulator(options) as simulator:
        yield simulator


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer sk-test"}) as http:
        yield Client(http, simulator)


def place(simulator: Simulator, *, faults: str = "", refer_status: int = 202) -> SimulatedCall:
    return simulator.place_call(
        CallPlan(steps=(), hangs_up=False, faults=FaultSet.parse(faults), refer_status=refer_status)
    )


async def answered(simulator: Simulator, client: Client, *, refer_status: int = 202) -> SimulatedCall:
    call = place(simulator, refer_status=refer_status)
    assert await client.post(f"{call.call_id}/accept", SESSION) == (200, {})
    async with asyncio.timeout(LIMIT_S):
        assert await call.wait_answered()
    return call


# Keys and paths


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ({}, None),
        ({"Authorization": "Bearer"}, None),
        ({"Authorization": "Basic sk-test"}, None),
        ({"Authorization": "Bearer sk-other"}, "invalid_api_key"),
    ],
)
async def test_without_the_key_nothing_is_told(
    simulator: Simulator, header: dict[str, str], code: str | None
) -> None:
    call = place(simulator)
    async with aiohttp.ClientSession(headers=header) as http:
        url = f"{simulator.base_url}/realtime/calls/{call.call_id}/hangup"
        async with http.post(url) as answer:
            assert answer.status == 401
            error = (await answer.json())["error"]
        assert error["type"] == "invalid_request_error"
        assert error["code"] == code
    assert not call.state.is_over


@pytest.mark.parametrize("action", ["accept", "reject", "refer", "hangup"])
async def test_a_call_nobody_knows(client: Client, action: str) -> None:
    status, error = await client.post(f"rtc_nobody/{action}", {"type": "realtime"})
    assert status == 404
    assert error["code"] == "call_id_not_found"
    assert error["type"] == "invalid_request_error"


async def test_what_is_not_there_is_an_error_in_the_usual_shape(simulator: Simulator, client: Client) -> None:
    call = place(simulator)
    status, error = await client.post(f"{call.call_id}/sing")
    assert (status, error["type"]) == (404, "invalid_request_error")
    status, error = await client.post(f"{call.call_id}/accept", b" " * (MAX_BODY_BYTES + 1))
    assert (status, error["type"]) == (413, "invalid_request_error")
    assert not call.state.is_over


# Accept


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b"not json", None, None),
        (b"[]", None, None),
        (b"\xff", None, None),
        (b"", "missing_required_parameter", "session.type"),
        ({}, "missing_required_parameter", "session.type"),
        ({"type": "transcription"}, "invalid_value", "session.type"),
        ({"type": "realtime", "temperature": 1}, "unknown_parameter", "session.temperature"),
        ({"type": "realtime", "instructions": 5}, "invalid_value", "session.instructions"),
    ],
)
async def test_a_wrong_session_is_refused_and_can_be_mended(
    simulator: Simulator, client: Client, body: object, code: str | None, param: str | None
) -> None:
    call = place(simulator)
    status, error = await client.post(f"{call.call_id}/accept", body)
    assert (status, error["code"], error["param"]) == (400, code, param)
    assert (await client.post(f"{call.call_id}/accept", SESSION))[0] == 200


async def test_a_second_decision_is_refused(simulator: Simulator, client: Client) -> None:
    call = await answered(simulator, client)
    for action, body in (("accept", SESSION), ("reject", {})):
        status, error = await client.post(f"{call.call_id}/{action}", body)
        assert (status, error["code"]) == (400, "decision_already_made")


async def test_the_faults_of_accept(simulator: Simulator, client: Client) -> None:
    gone = place(simulator, faults="accept_404")
    assert (await client.post(f"{gone.call_id}/accept", SESSION))[1]["code"] == "call_id_not_found"
    limited = place(simulator, faults="accept_429=1")
    status, error = await client.post(f"{limited.call_id}/accept", SESSION)
    assert (status, error["type"]) == (429, "rate_limit_error")
    assert (await client.post(f"{limited.call_id}/accept", SESSION))[0] == 200
    broken = place(simulator, faults="accept_500")
    for _ in range(2):
        status, error = await client.post(f"{broken.call_id}/accept", SESSION)
        assert (status, error["type"]) == (500, "server_error")


async def test_a_slow_accept_finds_the_caller_gone(simulator: Simulator, client: Client) -> None:
    call = place(simulator, faults="accept_slow=2")
    accept = asyncio.ensure_future(client.post(f"{call.call_id}/accept", SESSION))
    await asyncio.sleep(0.2)
    call.hang_up_as_caller()
    assert (await accept)[0] == 404


# Reject, refer, hang up


@pytest.mark.parametrize("status_code", [REJECT_STATUSES[0] - 1, 700, "486", True, 4.5])
async def test_a_reject_with_no_sip_error_status(
    simulator: Simulator, client: Client, status_code: object
) -> None:
    call = place(simulator)
    status, error = await client.post(f"{call.call_id}/reject", {"status_code": status_code})
    assert (status, error["param"]) == (400, "status_code")
    assert not call.state.is_over


async def test_a_reject_needs_no_body(simulator: Simulator, client: Client) -> None:
    call = place(simulator)
    assert await client.post(f"{call.call_id}/reject") == (200, {})
    assert call.state is CallState.REJECTED
    assert isinstance(call.leg, VirtualLeg)
    assert call.leg.final_status == 603


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "missing_required_parameter"),
        ({"target_uri": "+15550100001"}, "invalid_value"),
        ({"target_uri": "tel:"}, "invalid_value"),
        ({"target_uri": "sip:a b"}, "invalid_value"),
        ({"target_uri": "sip:a\r\nX: y"}, "invalid_value"),
        ({"target_uri": 5}, "invalid_value"),
        ({"target_uri": "tel:+15550100001", "headers": {}}, "unknown_parameter"),
    ],
)
async def test_a_wrong_refer(simulator: Simulator, client: Client, body: object, code: str) -> None:
    call = await answered(simulator, client)
    status, error = await client.post(f"{call.call_id}/refer", body)
    assert (status, error["code"]) == (400, code)
    assert call.state is CallState.ANSWERED


async def test_a_refer_that_is_too_early_or_not_wanted(simulator: Simulator, client: Client) -> None:
    early = place(simulator)
    body = {"target_uri": "tel:+15550100001"}
    assert (await client.post(f"{early.call_id}/refer", body))[1]["code"] == "call_not_answered"
    unwanted = await answered(simulator, client, refer_status=405)
    assert (await client.post(f"{unwanted.call_id}/refer", body))[0] == 500
    assert unwanted.state is CallState.ANSWERED


async def test_the_faults_of_refer(simulator: Simulator, client: Client) -> None:
    call = await answered(simulator, client)
    call.set_faults(FaultSet.parse("refer_500=1, refer_lost"))
    body = {"target_uri": "sip:desk@example.invalid"}
    assert (await client.post(f"{call.call_id}/refer", body))[0] == 500
    assert (await client.post(f"{call.call_id}/refer", body))[0] == 200
    assert isinstance(call.leg, VirtualLeg)
    assert call.leg.referred_to is None


async def test_a_hang_up_ends_the_call_and_the_next_finds_none(simulator: Simulator, client: Client) -> None:
    call = await answered(simulator, client)
    assert await client.post(f"{call.call_id}/hangup") == (200, {})
    assert call.ended_by is EndedBy.HANGUP
    assert (await client.post(f"{call.call_id}/hangup"))[0] == 404


# The socket


async def test_a_socket_needs_a_session(simulator: Simulator, client: Client) -> None:
    assert await client.refused() == 400
    call = place(simulator)
    assert await client.refused(call_id=call.call_id) == 404
    dead = place(simulator, faults="accept_dead")
    await client.post(f"{dead.call_id}/accept", SESSION)
    assert await client.refused(call_id=dead.call_id) == 404
    call.hang_up_as_caller()
    assert await client.refused(call_id=call.call_id) == 404


async def test_a_socket_may_be_refused_a_few_times(simulator: Simulator, client: Client) -> None:
    call = await answered(simulator, client)
    call.set_faults(FaultSet.parse("socket_404=2"))
    assert [await client.refused(call_id=call.call_id) for _ in range(2)] == [404, 404]
    socket = await client.open(call_id=call.call_id)
    assert (await socket.receive_json(timeout=LIMIT_S))["type"] == "session.created"
    await socket.close()


async def test_closing_the_socket_does_not_end_the_call(simulator: Simulator, client: Client) -> None:
    call = await answered(simulator, client)
    for _ in range(2):
        socket = await client.open(call_id=call.call_id)
        assert (await socket.receive_json(timeout=LIMIT_S))["type"] == "session.created"
        await socket.close()
    assert call.state is CallState.ANSWERED


async def test_the_end_of_the_call_breaks_the_socket(simulator: Simulator, client: Client) -> None:
    call = await answered(simulator, client)
    socket = await client.open(call_id=call.call_id)
    await socket.receive_json(timeout=LIMIT_S)
    call.hang_up_as_caller()
    async with asyncio.timeout(LIMIT_S):
        async for _ in socket:
            pass
    assert socket.close_code == 1006


async def test_another_socket_goes_on_when_the_first_one_dies(simulator: Simulator, client: Client) -> None:
    call = await answered(simulator, client)
    first = await client.open(call_id=call.call_id)
    await first.receive_json(timeout=LIMIT_S)
    second = await client.open(call_id=call.call_id)
    await second.receive_json(timeout=LIMIT_S)
    both = call.controllers.sockets
    assert len(both) == 2
    await first.send_str('{"type": "response.cancel"}')
    async with asyncio.timeout(LIMIT_S):
        while (await first.receive_json())["type"] != "error":
            pass
    transport = first.get_extra_info("socket")
    transport.shutdown(socket_module.SHUT_RDWR)  # as when the process behind it is killed
    await second.send_str('{"type": "response.cancel"}')
    async with asyncio.timeout(LIMIT_S):
        while (await second.receive_json())["type"] != "error":
            pass
    await eventually(lambda: len(call.controllers.sockets) == 1)
    times = [each.detached_at_s for each in call.controllers.attachments]
    assert times[0] is not None
    assert times[1] is None
    await first.close()
    await second.close()


async def test_a_peer_that_is_frozen_loses_its_own_socket_and_holds_up_nobody(
    simulator: Simulator, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = await answered(simulator, client)
    first = await client.open(call_id=call.call_id)
    second = await client.open(call_id=call.call_id)
    await second.receive_json(timeout=LIMIT_S)
    frozen, _ = call.controllers.sockets
    assert isinstance(frozen, RealtimeSocket)

    async def full(text: str) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(frozen._websocket, "send_str", full)  # as once the buffers of the network are full
    assert call.conversation is not None
    for _ in range(QUEUE_LIMIT // 100 + 2):
        for _ in range(100):
            call.conversation.receive("no json")
        for _ in range(100):
            assert (await second.receive_json(timeout=LIMIT_S))["type"] == "error"
    await eventually(lambda: frozen not in call.controllers)
    assert len(call.controllers.sockets) == 1
    assert call.state is CallState.ANSWERED
    await first.close()
    await second.close()


async def test_a_reader_who_never_reads_loses_the_socket(simulator: Simulator, client: Client) -> None:
    call = await answered(simulator, client)
    socket = await client.open(call_id=call.call_id)
    await socket.receive_json(timeout=LIMIT_S)
    conversation = call.conversation
    assert conversation is not None
    for _ in range(QUEUE_LIMIT + 10):  # in one turn of the loop: nothing can be written meanwhile
        conversation.receive("no json")
    async with asyncio.timeout(LIMIT_S):
        async for _ in socket:
            pass
    assert socket.close_code == 1006
    assert call.state is CallState.ANSWERED


@pytest.mark.parametrize("text", ["", "null", "[]", '{"type": 5}', "\x00", '{"type": "session.update"}'])
async def test_nonsense_on_the_socket_is_an_error_event(
    simulator: Simulator, client: Client, text: str
) -> None:
    call = await answered(simulator, client)
    socket = await client.open(call_id=call.call_id)
    await socket.send_bytes(b"ignored")
    await socket.send_str(text)
    async with asyncio.timeout(LIMIT_S):
        while (event := await socket.receive_json())["type"] != "error":
            pass
    assert event["error"]["type"] == "invalid_request_error"
    await socket.close()


async def test_a_session_that_is_too_long_is_closed_with_1001(
    simulator: Simulator, client: Client, receiver: WebhookReceiver
) -> None:
    short = replace(
        simulator.options, calls=CallSettings(webhook_delay_s=0, answer_delay_s=0, maximum_duration_s=0.2)
    )
    async with (
        Simulator(short) as other,
        aiohttp.ClientSession(headers={"Authorization": "Bearer sk-test"}) as http,
    ):
        there = Client(http, other)
        call = await answered(other, there)
        socket = await there.open(call_id=call.call_id)
        async with asyncio.timeout(LIMIT_S):
            async for _ in socket:
                pass
        assert socket.close_code == 1001
        assert call.ended_by is EndedBy.EXPIRY


async def test_a_session_by_model_ends_with_its_socket(simulator: Simulator, client: Client) -> None:
    socket = await client.open(model="gpt-realtime-2.1")
    created = await socket.receive_json(timeout=LIMIT_S)
    assert created["session"]["model"] == "gpt-realtime-2.1"
    await socket.send_json({"type": "response.create"})
    async with asyncio.timeout(LIMIT_S):
        while (await socket.receive_json())["type"] != "response.output_audio.delta":
            pass
    await socket.close()


async def test_a_session_by_model_has_faults_of_its_own(simulator: Simulator, client: Client) -> None:
    simulator.faults = FaultSet.parse("socket_404")
    assert await client.refused(model="gpt-realtime-2.1") == 404
    simulator.faults = FaultSet.parse("socket_dropped")
    socket = await client.open(model="gpt-realtime-2.1")
    await socket.send_json({"type": "response.create"})
    async with asyncio.timeout(LIMIT_S):
        async for _ in socket:
            pass
    assert socket.close_code == 1006


async def test_models_are_listed_for_a_key_of_the_right_project() -> None:
    options = SimulatorOptions(media="virtual", api_key="sk-right", project="proj_desk")
    async with Simulator(options) as simulator, aiohttp.ClientSession() as http:
        url, right = f"{simulator.base_url}/models", {"Authorization": "Bearer sk-right"}
        async with http.get(url, headers={**right, "OpenAI-Project": "proj_desk"}) as answer:
            assert (answer.status, answer.headers["openai-project"]) == (200, "proj_desk")
            assert "gpt-realtime-2.1" in [model["id"] for model in (await answer.json())["data"]]
        async with http.get(url, headers=right) as answer:
            assert answer.status == 200
        async with http.get(url, headers={**right, "OpenAI-Project": "proj_other"}) as answer:
            assert (answer.status, (await answer.json())["error"]["code"]) == (401, "mismatched_project")
        async with http.get(url, headers={"Authorization": "Bearer sk-wrong"}) as answer:
            assert answer.status == 401
