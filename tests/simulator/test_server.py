"""The simulator as a whole: its ports, its callers on SIP, its end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final

import aiohttp
import openai
import pytest
from openai import AsyncOpenAI

from sipagent.errors import SimulatorError
from sipagent.simulator.call_values import CallSettings, CallState, EndedBy
from sipagent.simulator.caller import CallPlan, HangUp
from sipagent.simulator.faults import FaultSet
from sipagent.simulator.rtp import Pacer, RtpStream
from sipagent.simulator.script import Script, Step
from sipagent.simulator.server import Simulator, SimulatorOptions, server_tls
from sipagent.simulator.sip.call import OutgoingSipCall, SipCallListener
from sipagent.simulator.sip.endpoint import SipEndpoint
from sipagent.simulator.sip.sdp import choose_audio, parse_sdp
from sipagent.simulator.sip.settings import ListenAddress
from sipagent.simulator.speech import SilentVoice
from sipagent.simulator.voice import Voice
from tests.simulator.receiver import LIMIT_S, WebhookReceiver

UDP = ListenAddress(transport="udp", host="127.0.0.1", port=0)
TCP = ListenAddress(transport="tcp", host="127.0.0.1", port=0)
OFFER = b"".join(
    line + b"\r\n"
    for line in (
        b"v=0",
        b"o=- 1 1 IN IP4 127.0.0.1",
        b"s=-",
        b"c=IN IP4 127.0.0.1",
        b"t=0 0",
        b"m=audio 9 RTP/AVP 0 101",
        b"a=rtpmap:101 telephone-event/8000",
    )
)
TRANSCRIBED: Final = "conversation.item.input_audio_transcription.completed"
NO_G711 = OFFER.replace(b"RTP/AVP 0 101", b"RTP/AVP 18 101")


def options(receiver: WebhookReceiver, *, sip: tuple[ListenAddress, ...] = (UDP, TCP)) -> SimulatorOptions:
    return SimulatorOptions(
        sip=sip,
        media="rtp" if sip else "virtual",
        script=Script(greeting=Step(say="Good morning."), otherwise=Step(say="I see."), delay_ms=1),
        voice=Voice("tones"),
        virtual_voice=SilentVoice(ms_per_character=2),
        webhook_url=receiver.url,
        calls=CallSettings(webhook_delay_s=0, answer_delay_s=0),
    )


@pytest.fixture
async def simulator(receiver: WebhookReceiver) -> AsyncIterator[Simulator]:
    async with Simulator(options(receiver)) as simulator:
        yield simulator


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(api_key="sk-test", base_url=simulator.base_url, max_retries=0) as client:
        yield client


@pytest.fixture
async def telephone() -> AsyncIterator[SipEndpoint]:
    endpoint = SipEndpoint(on_call=lambda call: call.reject(603))
    yield endpoint
    await endpoint.aclose()


async def dial(
    telephone: SipEndpoint,
    address: ListenAddress,
    *,
    user: str = "agent",
    offer: bytes = OFFER,
    headers: tuple[tuple[str, str], ...] = (),
    listener: SipCallListener | None = None,
) -> OutgoingSipCall:
    target = f"sip:{user}@{address.host}:{address.port};transport={address.transport}"
    return await telephone.dial(target, offer=offer, headers=headers, listener=listener)


async def final_status(call: OutgoingSipCall) -> int:
    async with asyncio.timeout(LIMIT_S):
        return (await call.final_response()).status


async def until_live(simulator: Simulator, count: int) -> None:
    for _ in range(5_000):
        if simulator.calls.live_count == count:
            return
        await asyncio.sleep(0.001)
    raise AssertionError(f"{simulator.calls.live_count} calls are live")


# Ports


async def test_ports_are_told_and_given_back(receiver: WebhookReceiver) -> None:
    async with Simulator(options(receiver)) as simulator:
        host, port = simulator.http
        assert host == "127.0.0.1"
        assert simulator.base_url == f"http://127.0.0.1:{port}/v1"
        assert [address.transport for address in simulator.sip] == ["udp", "tcp"]
        assert all(address.port > 0 for address in simulator.sip)
        assert simulator.webhook_secret.startswith("whsec_")
        with pytest.raises(SimulatorError, match="cannot listen for HTTP"):
            async with Simulator(SimulatorOptions(http_port=port)):
                pass
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))


async def test_a_sip_address_that_cannot_be_had_leaves_nothing_open(receiver: WebhookReceiver) -> None:
    async with Simulator(options(receiver)) as simulator:
        with pytest.raises(SimulatorError):
            async with Simulator(SimulatorOptions(sip=(simulator.sip[1],))):
                pass


def test_options_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(SimulatorError, match="virtual"):
        Simulator(SimulatorOptions(media="virtual", sip=(UDP,)))
    with pytest.raises(SimulatorError, match="voice"):
        Simulator(SimulatorOptions(script=Script(voice="opera")))


def test_a_certificate_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    nonsense = tmp_path / "cert.pem"
    nonsense.write_text("no certificate")
    for path in (nonsense, tmp_path / "missing.pem"):
        with pytest.raises(SimulatorError, match="cannot be used"):
            server_tls(str(path), str(path))


async def test_a_secret_that_cannot_sign_is_refused() -> None:
    with pytest.raises(SimulatorError, match="base64"):
        async with Simulator(SimulatorOptions(webhook_secret="whsec_%%%")):
            pass


# Calls over SIP


@pytest.mark.parametrize("which", [0, 1])
async def test_a_telephone_calls(
    simulator: Simulator,
    receiver: WebhookReceiver,
    client: AsyncOpenAI,
    telephone: SipEndpoint,
    which: int,
) -> None:
    headers = (("X-Thing", "1"), ("Proxy-Authorization", "Digest no"), ("X-Thing", "2"))
    outgoing = await dial(telephone, simulator.sip[which], headers=headers)
    webhook = await receiver.next()
    names = [header["name"] for header in webhook.data["sip_headers"]]
    assert names.count("X-Thing") == 2
    assert "Proxy-Authorization" not in names
    assert webhook.data["sip_media_security"] == "rtp"
    await client.realtime.calls.accept(webhook.call_id, type="realtime")
    assert await final_status(outgoing) == 200
    call = simulator.calls.find(webhook.call_id)
    assert call is not None
    assert simulator.calls.caller_of(call) is None
    async with client.realtime.connect(call_id=webhook.call_id) as connection:
        await connection.response.create()
        async with asyncio.timeout(LIMIT_S):
            while (await connection.recv()).type != "output_audio_buffer.stopped":
                pass
    await client.realtime.calls.hangup(webhook.call_id)
    async with asyncio.timeout(LIMIT_S):
        await outgoing.wait_ended()
        await call.wait_over()
    assert call.ended_by is EndedBy.HANGUP
    assert call.leg.statistics().frames_sent > 0


async def test_a_telephone_that_hangs_up(
    simulator: Simulator, receiver: WebhookReceiver, client: AsyncOpenAI, telephone: SipEndpoint
) -> None:
    outgoing = await dial(telephone, simulator.sip[0])
    call_id = (await receiver.next()).call_id
    await client.realtime.calls.accept(call_id, type="realtime")
    assert await final_status(outgoing) == 200
    outgoing.bye()
    call = simulator.calls.find(call_id)
    assert call is not None
    async with asyncio.timeout(LIMIT_S):
        await call.wait_over()
    assert call.ended_by is EndedBy.CALLER


async def test_a_telephone_that_gives_up(
    simulator: Simulator, receiver: WebhookReceiver, client: AsyncOpenAI, telephone: SipEndpoint
) -> None:
    outgoing = await dial(telephone, simulator.sip[0])
    call_id = (await receiver.next()).call_id
    outgoing.cancel()
    assert await final_status(outgoing) == 487
    call = simulator.calls.find(call_id)
    assert call is not None
    async with asyncio.timeout(LIMIT_S):
        await call.wait_over()
    assert (call.state, call.ended_by) == (CallState.CANCELLED, EndedBy.CALLER)


async def test_a_rejected_telephone(
    simulator: Simulator, receiver: WebhookReceiver, client: AsyncOpenAI, telephone: SipEndpoint
) -> None:
    outgoing = await dial(telephone, simulator.sip[0])
    await client.realtime.calls.reject((await receiver.next()).call_id, status_code=486)
    assert await final_status(outgoing) == 486


async def test_a_telephone_without_g711_and_one_with_an_unknown_fault(
    simulator: Simulator, receiver: WebhookReceiver, telephone: SipEndpoint
) -> None:
    mute = await dial(telephone, simulator.sip[0], offer=NO_G711)
    assert await final_status(mute) == 488
    gremlins = await dial(telephone, simulator.sip[0], headers=(("X-Sipagent-Fault", "gremlins"),))
    assert await final_status(gremlins) == 400
    assert receiver.webhooks.empty()


async def test_a_project_nobody_knows(receiver: WebhookReceiver, telephone: SipEndpoint) -> None:
    async with Simulator(replace(options(receiver), project="proj_ours")) as simulator:
        stranger = await dial(telephone, simulator.sip[0])
        assert await final_status(stranger) == 404
        ours = await dial(telephone, simulator.sip[0], user="proj_ours")
        call = simulator.calls.find((await receiver.next()).call_id)
        assert call is not None
        call.reject(486)
        assert await final_status(ours) == 486


async def test_faults_come_with_the_invite(
    simulator: Simulator, receiver: WebhookReceiver, client: AsyncOpenAI, telephone: SipEndpoint
) -> None:
    dead = await dial(telephone, simulator.sip[0], headers=(("x-sipagent-fault", "accept_dead"),))
    await client.realtime.calls.accept((await receiver.next()).call_id, type="realtime")
    assert await final_status(dead) == 400
    hurried = await dial(
        telephone, simulator.sip[0], headers=(("X-Sipagent-Fault", "caller_hangs_up_ringing"),)
    )
    assert await final_status(hurried) == 487


async def test_what_a_telephone_says_and_presses_reaches_the_session(
    simulator: Simulator, receiver: WebhookReceiver, client: AsyncOpenAI, telephone: SipEndpoint
) -> None:
    async with Pacer() as pacer, AsyncExitStack() as stack:
        stream = await RtpStream.open(
            "127.0.0.1", pacer=pacer, payload_type=0, codec="PCMU", telephone_event=101
        )
        stack.push_async_callback(stream.aclose)
        heard_frames: list[bytes] = []
        stream.on_audio = heard_frames.append
        outgoing = await dial(
            telephone,
            simulator.sip[0],
            offer=OFFER.replace(b"audio 9 ", b"audio %d " % stream.local_port),
            headers=(("X-Sipagent-Caller-Says", "A%20table%20for%20two%2C%20please."),),
        )
        call_id = (await receiver.next()).call_id
        await client.realtime.calls.accept(
            call_id,
            type="realtime",
            audio={"input": {"transcription": {"model": "gpt-transcribe"}}},
        )
        async with asyncio.timeout(LIMIT_S):
            answer = await outgoing.final_response()
        there = choose_audio(parse_sdp(answer.body))
        stream.set_remote(there.remote_host, there.remote_port)
        async with client.realtime.connect(call_id=call_id) as connection:
            stream.start()
            stream.play(await Voice("tones", speaker="caller").speak("A table for two, please."))
            stream.finish()
            seen: list[str] = []
            async with asyncio.timeout(LIMIT_S):
                while not {"response.done", TRANSCRIBED} <= set(seen):
                    event = await connection.recv()
                    seen.append(event.type)
                    if event.type == TRANSCRIBED:
                        assert event.transcript == "A table for two, please."
                stream.send_digit("7#")
                digits = ""
                while len(digits) < 2:
                    event = await connection.recv()
                    if event.type == "input_audio_buffer.dtmf_event_received":
                        digits += event.event
        assert digits == "7#"
        started = seen.index("input_audio_buffer.speech_started")
        assert started < seen.index("input_audio_buffer.speech_stopped") < seen.index("response.created")
        call = simulator.calls.find(call_id)
        assert call is not None
        statistics = call.leg.statistics()
        assert statistics.frames_received > 50
        assert statistics.frames_lost == 0
        assert statistics.digits == "7#"
        assert any(set(frame) != {0xFF} for frame in heard_frames)


class Transferable(SipCallListener):
    """A telephone that does what a REFER asks, and reports how it went."""

    def __init__(self, outcome: int) -> None:
        self.outcome = outcome
        self.asked: list[str] = []
        self.call: OutgoingSipCall | None = None

    def refer_requested(self, target_uri: str) -> int:
        self.asked.append(target_uri)
        asyncio.get_running_loop().call_soon(self._report)
        return 202

    def _report(self) -> None:
        assert self.call is not None
        self.call.notify_refer(100)
        self.call.notify_refer(self.outcome)


@pytest.mark.parametrize(("outcome", "state"), [(200, CallState.ENDED), (486, CallState.ANSWERED)])
async def test_a_transferred_telephone_is_released_only_when_it_arrived(
    simulator: Simulator,
    receiver: WebhookReceiver,
    client: AsyncOpenAI,
    telephone: SipEndpoint,
    outcome: int,
    state: CallState,
) -> None:
    phone = Transferable(outcome)
    phone.call = await dial(telephone, simulator.sip[0], listener=phone)
    call_id = (await receiver.next()).call_id
    await client.realtime.calls.accept(call_id, type="realtime")
    assert await final_status(phone.call) == 200
    await client.realtime.calls.refer(call_id, target_uri="tel:+15550100001")
    assert phone.asked == ["tel:+15550100001"]
    call = simulator.calls.find(call_id)
    assert call is not None
    if state is CallState.ENDED:
        async with asyncio.timeout(LIMIT_S):
            await call.wait_over()
            await phone.call.wait_ended()
        assert call.ended_by is EndedBy.TRANSFER
    else:
        await asyncio.sleep(0.1)
    assert call.state is state


async def test_a_telephone_that_will_not_be_transferred(
    simulator: Simulator, receiver: WebhookReceiver, client: AsyncOpenAI, telephone: SipEndpoint
) -> None:
    outgoing = await dial(telephone, simulator.sip[0])
    call_id = (await receiver.next()).call_id
    await client.realtime.calls.accept(call_id, type="realtime")
    assert await final_status(outgoing) == 200
    with pytest.raises(openai.InternalServerError, match="did not take the REFER"):
        await client.realtime.calls.refer(call_id, target_uri="tel:+15550100001")


# Many calls, and the end


async def test_calls_are_limited_and_forgotten_in_the_end(receiver: WebhookReceiver) -> None:
    small = SimulatorOptions(
        sip=(UDP,), webhook_url=receiver.url, maximum_calls=2, remembered_calls=1, calls=CallSettings()
    )
    telephone = SipEndpoint(on_call=lambda call: call.reject(603))
    async with Simulator(small) as simulator:
        first, second = simulator.place_call(CallPlan()), simulator.place_call(CallPlan())
        with pytest.raises(SimulatorError, match="2 calls"):
            simulator.place_call(CallPlan())
        assert await final_status(await dial(telephone, simulator.sip[0])) == 503
        for call in (first, second):
            call.hang_up_as_caller()
        await until_live(simulator, 0)
        assert len(simulator.calls.all_calls()) == 1
        await telephone.aclose()


async def test_leaving_hangs_up_and_breaks_the_sockets(
    receiver: WebhookReceiver, telephone: SipEndpoint
) -> None:
    async with aiohttp.ClientSession(headers={"Authorization": "Bearer sk"}) as http:
        async with Simulator(options(receiver)) as simulator:
            outgoing = await dial(telephone, simulator.sip[0])
            call_id = (await receiver.next()).call_id
            await http.post(
                f"{simulator.base_url}/realtime/calls/{call_id}/accept", json={"type": "realtime"}
            )
            assert await final_status(outgoing) == 200
            on_call = await http.ws_connect(f"{simulator.base_url}/realtime", params={"call_id": call_id})
            alone = await http.ws_connect(f"{simulator.base_url}/realtime", params={"model": "m"})
            virtual = simulator.place_call(CallPlan())
        assert virtual.ended_by is EndedBy.SIMULATOR_STOPPED
        async with asyncio.timeout(LIMIT_S):
            await outgoing.wait_ended()
            for connection in (on_call, alone):
                async for _ in connection:
                    pass
                assert connection.close_code == 1006


async def test_a_call_that_breaks_hurts_no_other(
    receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with Simulator(options(receiver, sip=())) as simulator:
        broken, whole = simulator.place_call(CallPlan()), simulator.place_call(CallPlan())

        async def fail() -> None:
            raise RuntimeError("a defect")

        monkeypatch.setattr(broken, "_notify", fail)
        assert (await receiver.next()).call_id == whole.call_id
        await until_live(simulator, 1)
    assert f"call {broken.call_id} broke" in caplog.text


async def test_many_virtual_calls_at_once_are_not_mixed_up(receiver: WebhookReceiver) -> None:
    count = 40
    async with (
        Simulator(options(receiver, sip=())) as simulator,
        aiohttp.ClientSession(headers={"Authorization": "Bearer sk"}) as http,
    ):
        plan = CallPlan(steps=(HangUp(),), hangs_up=False, faults=FaultSet.of())
        calls = [simulator.place_call(plan) for _ in range(count)]

        async def answer() -> None:
            call_id = (await receiver.next()).call_id
            url = f"{simulator.base_url}/realtime"
            async with http.post(f"{url}/calls/{call_id}/accept", json={"type": "realtime"}) as accepted:
                assert accepted.status == 200
            async with http.ws_connect(url, params={"call_id": call_id}) as connection:
                words = f'Say exactly "I am {call_id}."'
                await connection.send_json({"type": "response.create", "response": {"instructions": words}})
                async for _ in connection:
                    pass

        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(answer())
            for call in calls:
                await call.wait_over()
        for call in calls:
            assert call.ended_by is EndedBy.CALLER
            assert call.conversation is not None
            assert [line.text for line in call.conversation.transcript] == [f"I am {call.call_id}."]
