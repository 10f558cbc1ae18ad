"""The official client, unmodified, pointed at the simulator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import openai
import pytest
import websockets.exceptions
from openai import AsyncOpenAI
from openai.resources.realtime.realtime import AsyncRealtimeConnection
from openai.types.realtime import RealtimeServerEvent

from sipagent.simulator.call_values import CallSettings, CallState, EndedBy
from sipagent.simulator.caller import CallPlan, HangUp, Press, Say
from sipagent.simulator.faults import FaultSet
from sipagent.simulator.script import Script, Step, ToolUse
from sipagent.simulator.server import Simulator, SimulatorOptions
from sipagent.simulator.speech import SilentVoice
from sipagent.simulator.virtual import VirtualLeg
from tests.simulator.receiver import LIMIT_S, Webhook, WebhookReceiver

SLOT_TOOL = {
    "type": "function",
    "name": "next_free_slot",
    "parameters": {"type": "object", "properties": {"treatment": {"type": "string"}}},
}

SCRIPT = Script(
    greeting=Step(say="Good morning."),
    turns=(
        Step(
            calls=(
                ToolUse(
                    name="next_free_slot",
                    arguments={"treatment": "checkup"},
                    then=Step(say="Our next free slot is {output}."),
                ),
            )
        ),
    ),
    delay_ms=1,
)


@pytest.fixture
async def simulator(receiver: WebhookReceiver) -> AsyncIterator[Simulator]:
    options = SimulatorOptions(
        media="virtual",
        script=SCRIPT,
        webhook_url=receiver.url,
        virtual_voice=SilentVoice(ms_per_character=3),
        calls=CallSettings(webhook_delay_s=0, answer_delay_s=0.01),
    )
    async with Simulator(options) as simulator:
        yield simulator


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(
        api_key="sk-test",
        base_url=simulator.base_url,
        webhook_secret=simulator.webhook_secret,
        max_retries=0,
        timeout=LIMIT_S,
    ) as client:
        yield client


def unwrapped_call_id(client: AsyncOpenAI, webhook: Webhook) -> str:
    event = client.webhooks.unwrap(webhook.body, webhook.headers)
    assert event.type == "realtime.call.incoming"
    return event.data.call_id


async def until(connection: AsyncRealtimeConnection, kind: str) -> RealtimeServerEvent:
    async with asyncio.timeout(LIMIT_S):
        while True:
            event = await connection.recv()
            if event.type == kind:
                return event


async def test_a_whole_call(simulator: Simulator, receiver: WebhookReceiver, client: AsyncOpenAI) -> None:
    plan = CallPlan(
        caller="+15550100111",
        dialled="+15550100222",
        headers=(("X-Thing", "1"), ("X-Thing", "2")),
        steps=(Say(text="When is your next free slot?", duration_s=0.02), Press(digits="5")),
        hangs_up=False,
    )
    call = simulator.place_call(plan)
    webhook = await receiver.next()
    call_id = unwrapped_call_id(client, webhook)
    assert call_id == call.call_id
    names = [header["name"] for header in webhook.data["sip_headers"]]
    assert names.count("X-Thing") == 2
    assert any("+15550100222" in header["value"] for header in webhook.data["sip_headers"])

    await client.realtime.calls.accept(
        call_id,
        type="realtime",
        model="gpt-realtime-2.1",
        instructions="Be brief.",
        audio={"input": {"transcription": {"model": "gpt-transcribe"}}, "output": {"voice": "marin"}},
    )
    async with client.realtime.connect(call_id=call_id) as connection:
        created = await until(connection, "session.created")
        assert created.type == "session.created"
        await connection.session.update(session={"type": "realtime", "tools": [SLOT_TOOL]})  # type: ignore[list-item]
        await until(connection, "session.updated")
        await connection.response.create()
        said = await until(connection, "response.output_audio_transcript.done")
        assert said.type == "response.output_audio_transcript.done"
        assert said.transcript == "Good morning."
        await until(connection, "output_audio_buffer.stopped")
        await until(connection, "input_audio_buffer.speech_started")
        asked = await until(connection, "response.function_call_arguments.done")
        assert asked.type == "response.function_call_arguments.done"
        assert asked.name == "next_free_slot"
        await until(connection, "response.done")
        await connection.conversation.item.create(
            item={"type": "function_call_output", "call_id": asked.call_id, "output": "Tuesday"}
        )
        await connection.response.create()
        said = await until(connection, "response.output_audio_transcript.done")
        assert said.type == "response.output_audio_transcript.done"
        assert said.transcript == "Our next free slot is Tuesday."
        digit = await until(connection, "input_audio_buffer.dtmf_event_received")
        assert digit.type == "input_audio_buffer.dtmf_event_received"
        assert digit.event == "5"

        await client.realtime.calls.hangup(call_id)
        with pytest.raises(websockets.exceptions.ConnectionClosedError) as closed:
            await until(connection, "never")
        assert closed.value.rcvd is None  # no close frame: 1006
    assert call.state is CallState.ENDED
    assert call.ended_by is EndedBy.HANGUP
    assert call.conversation is not None
    assert [line.role for line in call.conversation.transcript] == ["agent", "caller", "agent"]


async def test_a_caller_who_hangs_up_breaks_the_socket(
    simulator: Simulator, receiver: WebhookReceiver, client: AsyncOpenAI
) -> None:
    call = simulator.place_call(CallPlan(steps=(HangUp(),), hangs_up=False))
    call_id = unwrapped_call_id(client, await receiver.next())
    await client.realtime.calls.accept(call_id, type="realtime")
    async with client.realtime.connect(call_id=call_id) as connection:
        await connection.response.create()
        with pytest.raises(websockets.exceptions.ConnectionClosedError):
            await until(connection, "never")
    assert call.ended_by is EndedBy.CALLER
    with pytest.raises(openai.NotFoundError) as gone:
        await client.realtime.calls.hangup(call_id)
    assert gone.value.code == "call_id_not_found"


async def test_a_rejected_call(simulator: Simulator, receiver: WebhookReceiver, client: AsyncOpenAI) -> None:
    call = simulator.place_call(CallPlan())
    await client.realtime.calls.reject(unwrapped_call_id(client, await receiver.next()), status_code=486)
    assert call.state is CallState.REJECTED
    assert isinstance(call.leg, VirtualLeg)
    assert call.leg.final_status == 486
    other = simulator.place_call(CallPlan())
    await client.realtime.calls.reject(unwrapped_call_id(client, await receiver.next()))
    assert isinstance(other.leg, VirtualLeg)
    assert other.leg.final_status == 603


async def test_a_transferred_call(
    simulator: Simulator, receiver: WebhookReceiver, client: AsyncOpenAI
) -> None:
    call = simulator.place_call(CallPlan(steps=(), hangs_up=False))
    call_id = unwrapped_call_id(client, await receiver.next())
    await client.realtime.calls.accept(call_id, type="realtime")
    async with client.realtime.connect(call_id=call_id) as connection:
        await connection.response.create()
        await until(connection, "output_audio_buffer.started")
        await client.realtime.calls.refer(call_id, target_uri="tel:+15550100001")
        with pytest.raises(websockets.exceptions.ConnectionClosedError):
            await until(connection, "never")
    assert call.ended_by is EndedBy.TRANSFER
    assert isinstance(call.leg, VirtualLeg)
    assert call.leg.referred_to == "tel:+15550100001"


async def test_the_official_retries_get_through_a_short_failure(
    simulator: Simulator, receiver: WebhookReceiver, client: AsyncOpenAI
) -> None:
    call = simulator.place_call(CallPlan(steps=(), faults=FaultSet.parse("accept_500=1, accept_429=1")))
    call_id = unwrapped_call_id(client, await receiver.next())
    with pytest.raises(openai.RateLimitError) as limited:
        await client.realtime.calls.accept(call_id, type="realtime")
    assert limited.value.code == "rate_limit_exceeded"
    with pytest.raises(openai.InternalServerError):
        await client.realtime.calls.accept(call_id, type="realtime")
    await client.realtime.calls.accept(call_id, type="realtime")
    assert call.conversation is not None


async def test_mistakes_become_the_clients_own_errors(
    simulator: Simulator, receiver: WebhookReceiver, client: AsyncOpenAI
) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        await client.realtime.calls.accept("rtc_nobody", type="realtime")
    assert unknown.value.code == "call_id_not_found"
    simulator.place_call(CallPlan())
    call_id = unwrapped_call_id(client, await receiver.next())
    with pytest.raises(openai.BadRequestError) as wrong:
        await client.realtime.calls.accept(
            call_id, type="realtime", extra_body={"audio": {"output": {"speeed": 1}}}
        )
    assert wrong.value.code == "unknown_parameter"
    assert wrong.value.param == "session.audio.output.speeed"
    with pytest.raises(openai.BadRequestError):
        await client.realtime.calls.reject(call_id, status_code=200)
    with pytest.raises(openai.BadRequestError):
        await client.realtime.calls.refer(call_id, target_uri="+15550100001")


async def test_another_key_is_refused() -> None:
    async with Simulator(SimulatorOptions(media="virtual", api_key="sk-right")) as simulator:
        for key, status in (("sk-wrong", 401), ("sk-right", 404)):
            async with AsyncOpenAI(api_key=key, base_url=simulator.base_url, max_retries=0) as client:
                with pytest.raises(openai.APIStatusError) as refused:
                    await client.realtime.calls.hangup("rtc_nobody")
                assert refused.value.status_code == status
                with pytest.raises(websockets.exceptions.InvalidStatus) as no_socket:
                    await client.realtime.connect(call_id="rtc_nobody").enter()
                assert no_socket.value.response.status_code == status


async def test_a_socket_for_nobody_is_refused_with_404(client: AsyncOpenAI) -> None:
    with pytest.raises(websockets.exceptions.InvalidStatus) as refused:
        await client.realtime.connect(call_id="rtc_nobody").enter()
    assert refused.value.response.status_code == 404


async def test_a_session_by_model_carries_its_audio_over_the_socket(client: AsyncOpenAI) -> None:
    async with client.realtime.connect(model="gpt-realtime-2.1") as connection:
        created = await until(connection, "session.created")
        assert created.type == "session.created"
        await connection.response.create()
        delta = await until(connection, "response.output_audio.delta")
        assert delta.type == "response.output_audio.delta"
        assert delta.delta
        await until(connection, "response.done")
