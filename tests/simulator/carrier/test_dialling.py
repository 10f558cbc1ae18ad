"""Calls that a pretended carrier connects to a real SIP address."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import openai
import pytest

from sipagent.simulator.call_values import EndedBy
from sipagent.simulator.carrier import CarrierCall, Person, SipPhone, sip_party
from sipagent.simulator.carrier.leg import LegStatus
from sipagent.simulator.phone import Phone, Say
from sipagent.simulator.voice import Voice
from tests.simulator.carrier.rig import World, over, transcribed, world
from tests.simulator.carrier.service import LIMIT_S
from tests.simulator.carrier.twiml import Dial, VoiceResponse

BOSS: Final = "+15550100777"
NOBODY = "We cannot connect you."


@pytest.fixture
async def everybody() -> AsyncIterator[World]:
    async with world() as found:
        yield found


def dial_sip(world: World, uri: str, *, timeout_s: int = 10, refer: bool = False) -> None:
    """The service dials ``uri``, and says something when that fails."""
    response = VoiceResponse()
    dial = Dial(
        action="/next",
        timeout=timeout_s,
        answer_on_bridge=True,
        refer_url="/refer" if refer else None,
    )
    dial.sip(uri, status_callback=world.site.address("/child"), status_callback_event="initiated completed")
    response.append(dial)
    world.site.tell("/voice", response)
    sorry = VoiceResponse()
    sorry.say(NOBODY)
    world.site.tell("/next", sorry)


async def connected(world: World, uri: str) -> tuple[CarrierCall, str]:
    """A call that the agent has greeted; with the agent's call id."""
    dial_sip(world, uri)
    call = await world.twilio.call(caller="+15550100123", does=(Say(text="Hello."),))
    webhook, _ = await world.accepted()
    await world.greet(webhook)
    return call, webhook.call_id


@pytest.mark.parametrize("secure", [False, True])
async def test_the_caller_talks_to_the_agent(everybody: World, secure: bool) -> None:
    uri = everybody.secure_project if secure else everybody.project
    dial_sip(everybody, f"{uri}?X-Sipagent-Leg=a%20token&X-Other=1")
    call = await everybody.twilio.call(caller="+15550100123", does=(Say(text="Is it Ann?"),))
    webhook, simulated = await everybody.accepted()
    headers = {header["name"]: header["value"] for header in webhook.data["sip_headers"]}
    assert headers["X-Sipagent-Leg"] == "a token"
    assert headers["X-Other"] == "1"
    assert headers["X-Twilio-CallSid"] == call.sid
    assert "+15550100123" in headers["From"]
    assert webhook.data["sip_media_security"] == ("srtp" if secure else "rtp")
    await everybody.greet(webhook)
    async with asyncio.timeout(LIMIT_S):
        await call.caller.other_finished()
        await call.heard.until_loud(0.4)
        await call.said.until_loud(0.4)
        await transcribed(simulated)
    await everybody.client.realtime.calls.hangup(webhook.call_id)
    assert await over(call) is LegStatus.COMPLETED
    (outcome,) = everybody.site.forms("/next")
    assert outcome["DialCallStatus"] == "completed"
    assert outcome["DialSipResponseCode"] == "200"
    assert outcome["DialSipCallId"]
    assert simulated.leg.statistics().frames_received > 20


async def test_a_caller_who_hangs_up_ends_the_agents_leg(everybody: World) -> None:
    call, call_id = await connected(everybody, everybody.project)
    call.caller.hang_up()
    simulated = everybody.openai.calls.find(call_id)
    assert simulated is not None
    async with asyncio.timeout(LIMIT_S):
        await simulated.wait_over()
    assert simulated.ended_by is EndedBy.CALLER
    (asked,) = await everybody.site.has("/next")
    assert asked.form["DialCallStatus"] == "completed"


async def test_a_caller_who_gives_up_cancels_the_agents_leg(everybody: World) -> None:
    dial_sip(everybody, everybody.project)
    call = await everybody.twilio.call()
    webhook = await everybody.webhooks.next()
    call.caller.hang_up()
    assert await over(call) is LegStatus.CANCELED
    simulated = everybody.openai.calls.find(webhook.call_id)
    assert simulated is not None
    async with asyncio.timeout(LIMIT_S):
        await simulated.wait_over()


@pytest.mark.parametrize(
    ("faults", "status", "code"),
    [
        ("carrier.sip_status=486", "busy", "486"),
        ("carrier.sip_status=503", "failed", "503"),
        ("carrier.sip_status=404", "failed", "404"),
        ("carrier.sip_closed", "failed", "503"),
        ("carrier.sip_silent", "no-answer", None),
    ],
)
async def test_a_leg_that_fails_asks_what_is_next(
    everybody: World, faults: str, status: str, code: str | None
) -> None:
    dial_sip(everybody, everybody.project, timeout_s=1)
    call = await everybody.twilio.call(faults=faults)
    await over(call)
    (outcome,) = everybody.site.forms("/next")
    assert outcome["DialCallStatus"] == status
    assert outcome.get("DialSipResponseCode") == code
    assert call.sentences == (NOBODY,)


async def test_an_agent_sends_the_caller_to_somebody_else(everybody: World) -> None:
    everybody.twilio.network.numbers[BOSS] = Person(does=(Say(text="Boss here.", waits=False),))
    call, call_id = await connected(everybody, everybody.project)
    await everybody.client.realtime.calls.refer(call_id, target_uri=f"tel:{BOSS}")
    boss = await call.leg_answered(BOSS)
    simulated = everybody.openai.calls.find(call_id)
    assert simulated is not None
    async with asyncio.timeout(LIMIT_S):
        await simulated.wait_over()
        await call.until(lambda: len(call.moments("bridged")) == 2)
    assert not call.leg.is_over
    call.caller.hang_up()
    await over(call)
    async with asyncio.timeout(LIMIT_S):
        await boss.until(lambda: boss.is_over)
    assert boss.status is LegStatus.COMPLETED
    assert simulated.ended_by is EndedBy.TRANSFER


async def test_a_service_with_a_refer_url_decides_itself(everybody: World) -> None:
    dial_sip(everybody, everybody.project, refer=True)
    thanks = VoiceResponse()
    thanks.say("You are being sent on.")
    everybody.site.tell("/refer", thanks)
    call = await everybody.twilio.call()
    webhook, _ = await everybody.accepted()
    await everybody.greet(webhook)
    await everybody.client.realtime.calls.refer(webhook.call_id, target_uri=f"tel:{BOSS}")
    await over(call)
    (form,) = everybody.site.forms("/refer")
    assert form["ReferTransferTarget"] == f"tel:{BOSS}"
    assert call.sentences == ("You are being sent on.",)


async def test_a_refer_may_be_declined(everybody: World) -> None:
    everybody.twilio.refers = "decline"
    call, call_id = await connected(everybody, everybody.project)
    with pytest.raises(openai.InternalServerError, match="did not take the REFER"):
        await everybody.client.realtime.calls.refer(call_id, target_uri=f"tel:{BOSS}")
    assert call.moments("refer")
    assert not call.leg.is_over
    assert not call.legs_to(BOSS)


async def test_headers_that_are_not_allowed_are_not_sent(everybody: World) -> None:
    dial_sip(everybody, f"{everybody.project}?Subject=hi&X-Twilio-CallSid=CAevil&X-Good=1")
    call = await everybody.twilio.call()
    webhook, _ = await everybody.accepted()
    names = [header["name"] for header in webhook.data["sip_headers"]]
    assert "Subject" not in names
    assert names.count("X-Twilio-CallSid") == 1
    assert "X-Good" in names
    assert [notice.code for notice in call.notices] == [13252, 13252]


async def test_a_real_telephone_calls_through_the_carrier(everybody: World) -> None:
    dial_sip(everybody, everybody.project)
    async with await Phone.open(voice=Voice("tones")) as phone:
        port = everybody.twilio.network.sip[0].port
        ringing = await phone.dial(f"sip:+15550100100@127.0.0.1:{port}", says=["Hello, it is me."])
        webhook, simulated = await everybody.accepted()
        headers = {header["name"]: header["value"] for header in webhook.data["sip_headers"]}
        assert headers["X-Sipagent-Caller-Says"] == "Hello%2C%20it%20is%20me."
        async with asyncio.timeout(LIMIT_S):
            await ringing.answered()
        await everybody.greet(webhook)
        async with asyncio.timeout(LIMIT_S):
            assert await ringing.agent_finished()
            await transcribed(simulated)
        await ringing.hang_up()
        assert await over(everybody.twilio.calls[0]) is LegStatus.COMPLETED
        assert ringing.heard_rms > 100


async def test_a_real_telephone_presses_keys(everybody: World) -> None:
    everybody.site.tell("/voice", "<Response><Gather numDigits='3' action='/keys' timeout='10'/></Response>")
    everybody.site.tell("/keys", "<Response><Say>Thank you.</Say></Response>")
    async with await Phone.open(voice=Voice("tones")) as phone:
        port = everybody.twilio.network.sip[0].port
        ringing = await phone.dial(f"sip:+15550100100@127.0.0.1:{port}")
        async with asyncio.timeout(LIMIT_S):
            await ringing.answered()
            call = everybody.twilio.calls[0]
            await call.until(lambda: bool(call.moments("answered")))
            await asyncio.sleep(0.1)
            await ringing.press("42#")
        (asked,) = await everybody.site.has("/keys")
        assert asked.form["Digits"] == "42"
        async with asyncio.timeout(LIMIT_S):
            await ringing.ended()
        assert ringing.heard_rms > 100


async def test_a_telephone_is_rejected_as_the_document_says(everybody: World) -> None:
    everybody.site.tell("/voice", '<Response><Reject reason="busy"/></Response>')
    async with await Phone.open(voice=Voice("tones")) as phone:
        ringing = await phone.dial(f"sip:+15550100100@127.0.0.1:{everybody.twilio.network.sip[0].port}")
        async with asyncio.timeout(LIMIT_S):
            await ringing.ended()
        assert ringing.status == 486


async def test_a_telephone_that_vanishes_is_noticed(
    everybody: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sip_party, "MEDIA_TIMEOUT_S", 0.5)
    everybody.site.tell("/voice", "<Response><Pause length='60'/></Response>")
    async with await Phone.open(voice=Voice("tones")) as phone:
        ringing = await phone.dial(f"sip:+15550100100@127.0.0.1:{everybody.twilio.network.sip[0].port}")
        async with asyncio.timeout(LIMIT_S):
            await ringing.answered()
        ringing.media.stream.stall(True)
        assert await over(everybody.twilio.calls[0]) is LegStatus.COMPLETED


async def test_a_number_may_be_a_real_telephone(everybody: World) -> None:
    async with await Phone.open(user=BOSS, voice=Voice("tones")) as phone:
        everybody.twilio.network.numbers[BOSS] = SipPhone(f"sip:boss@127.0.0.1:{phone.address.port}")
        response = VoiceResponse()
        response.dial(BOSS)
        everybody.site.tell("/voice", response)
        call = await everybody.twilio.call(does=(Say(text="Are you there?", waits=False),))
        taken = await phone.next_call()
        async with asyncio.timeout(LIMIT_S):
            await taken.answered()
            await taken.agent_finished()
        await taken.hang_up()
        await over(call)
