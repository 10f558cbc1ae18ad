"""A pretended Twilio in front of a service: signed requests, documents carried out, calls that end well."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any, Final

import pytest

from sipagent.simulator.carrier import (
    Busy,
    Declines,
    NoAnswer,
    Person,
    PretendedTwilio,
    TwilioOptions,
)
from sipagent.simulator.carrier.announcer import tone
from sipagent.simulator.carrier.leg import LegStatus
from sipagent.simulator.phone.settings import HangUp, Pause, Press, Say
from tests.simulator.carrier.rig import Quick, over
from tests.simulator.carrier.service import LIMIT_S, Service
from tests.simulator.carrier.twiml import Connect, Dial, Gather, RequestValidator, VoiceResponse

EVENTS: Final = "initiated answered completed"
BOSS: Final = "+15550100777"


@pytest.fixture
async def twilio(site: Service) -> AsyncIterator[PretendedTwilio]:
    options = TwilioOptions(
        webhook_url=site.address("/voice?tenant=a%20b"),
        report_url=site.address("/report"),
        report_events=frozenset({"initiated", "ringing", "answered", "completed"}),
        turn_gap_ms=300,
        voice=Quick(),
        people_voice=Quick(),
    )
    async with PretendedTwilio(options) as found:
        yield found


async def test_a_sentence_is_said_to_whoever_calls(site: Service, twilio: PretendedTwilio) -> None:
    response = VoiceResponse()
    response.say("We are closed.")
    response.hangup()
    site.tell("/voice", response)
    call = await twilio.call(caller="+15550100123", to="+15550100100")
    assert await over(call) is LegStatus.COMPLETED
    assert call.sentences == ("We are closed.",)
    assert call.heard.loud_s > 0.3
    (asked,) = [asked for asked in site.asked if asked.path == "/voice"]
    assert asked.signed
    assert asked.query == {"tenant": "a b"}
    assert asked.form["CallSid"] == call.sid
    assert asked.form["From"] == "+15550100123"
    assert asked.form["To"] == "+15550100100"
    assert asked.form["CallStatus"] == "ringing"
    assert asked.form["Direction"] == "inbound"
    assert asked.headers["I-Twilio-Idempotency-Token"]


async def test_status_callbacks_tell_the_course_in_order(site: Service, twilio: PretendedTwilio) -> None:
    response = VoiceResponse()
    response.say("Hello.")
    site.tell("/voice", response)
    call = await twilio.call()
    await over(call)
    reports = [asked.form for asked in await site.has("/report", 3)]
    assert [report["CallStatus"] for report in reports] == ["ringing", "in-progress", "completed"]
    assert [report["SequenceNumber"] for report in reports] == ["0", "1", "2"]
    assert all(report["CallbackSource"] == "call-progress-events" for report in reports)
    assert int(reports[-1]["CallDuration"]) >= 0


async def test_a_service_that_fails_is_apologised_for(site: Service, twilio: PretendedTwilio) -> None:
    site.statuses["/voice"] = 500
    call = await twilio.call()
    assert await over(call) is LegStatus.COMPLETED
    assert call.sentences == ("We are sorry, an application error has occurred. Goodbye.",)
    assert [notice.code for notice in call.notices] == [11200]


@pytest.mark.parametrize("document", ["<Response><Sing/></Response>", "<Response>", "Hello"])
async def test_a_document_nobody_understands_is_an_error(
    site: Service, twilio: PretendedTwilio, document: str
) -> None:
    site.tell("/voice", document)
    call = await twilio.call()
    await over(call)
    assert [notice.code for notice in call.notices] == [12100]


async def test_a_rejected_call_is_never_answered(site: Service, twilio: PretendedTwilio) -> None:
    response = VoiceResponse()
    response.reject(reason="busy")
    site.tell("/voice", response)
    call = await twilio.call()
    assert await over(call) is LegStatus.BUSY
    assert not call.moments("answered")


async def test_a_dialled_person_and_the_caller_hear_each_other(
    site: Service, twilio: PretendedTwilio
) -> None:
    twilio.network.numbers[BOSS] = Person(does=(Say(text="Yes, what is it?", waits=False), HangUp()))
    response = VoiceResponse()
    dial = Dial(action="/next", timeout=5, answer_on_bridge=True)
    dial.number(BOSS, status_callback=site.address("/child"), status_callback_event=EVENTS)
    response.append(dial)
    site.tell("/voice", response)
    done = VoiceResponse()
    done.hangup()
    site.tell("/next", done)
    call = await twilio.call(does=(Say(text="Here is Ann, about the boat."),))
    await over(call)
    assert call.heard.loud_s > 0.5
    (child,) = call.legs_to(BOSS)
    assert child.heard.loud_s > 0.5
    (outcome,) = site.forms("/next")
    assert outcome["DialCallStatus"] == "completed"
    assert outcome["DialCallSid"] == child.sid
    assert outcome["DialBridged"] == "true"
    reports = [asked.form for asked in await site.has("/child", 3)]
    assert [report["CallStatus"] for report in reports] == ["initiated", "in-progress", "completed"]
    assert reports[0]["ParentCallSid"] == call.sid
    # With answerOnBridge the caller is not connected before the person is.
    (answers, answered) = (call.moments("answered")[0], call.moments("answered")[1])
    assert answers.leg == child.sid
    assert answered.leg == call.sid


@pytest.mark.parametrize(
    ("subscriber", "status"),
    [(Busy(), "busy"), (Declines(), "busy"), (NoAnswer(), "no-answer"), (None, "failed")],
)
async def test_a_dial_that_fails_asks_what_is_next(
    site: Service, twilio: PretendedTwilio, subscriber: Any, status: str
) -> None:
    if subscriber is not None:
        twilio.network.numbers[BOSS] = subscriber
    response = VoiceResponse()
    response.dial(BOSS, action="/next", timeout=1)
    site.tell("/voice", response)
    sorry = VoiceResponse()
    sorry.say("Nobody is there.")
    site.tell("/next", sorry)
    call = await twilio.call()
    await over(call)
    (outcome,) = site.forms("/next")
    assert outcome["DialCallStatus"] == status
    assert outcome["DialBridged"] == "false"
    assert call.sentences == ("Nobody is there.",)


async def test_keys_are_gathered(site: Service, twilio: PretendedTwilio) -> None:
    response = VoiceResponse()
    gather = Gather(action="/keys", num_digits=2, timeout=5)
    gather.say("Press two keys, please, whichever you like best of all.")
    response.append(gather)
    site.tell("/voice", response)
    site.tell("/keys", str(VoiceResponse()))
    call = await twilio.call(does=(Press(digits="42", waits=False),))
    await over(call)
    assert [form["Digits"] for form in site.forms("/keys")] == ["42"]
    assert call.sentences == ()  # a key cuts the prompt off


async def test_without_keys_the_document_goes_on(site: Service, twilio: PretendedTwilio) -> None:
    response = VoiceResponse()
    response.gather(action="/keys", timeout=1)
    response.say("Then not.")
    site.tell("/voice", response)
    call = await twilio.call()
    await over(call)
    assert call.sentences == ("Then not.",)
    assert site.forms("/keys") == []


def streaming(site: Service) -> VoiceResponse:
    response = VoiceResponse()
    connect = Connect(action="/next")
    stream = connect.stream(url=site.media_url, status_callback=site.address("/stream"))
    stream.parameter(name="t", value="a token")
    response.append(connect)
    return response


async def test_a_stream_carries_the_caller_at_an_even_pace(site: Service, twilio: PretendedTwilio) -> None:
    site.tell("/voice", streaming(site))
    call = await twilio.call(does=(Pause(seconds=0.5), Press(digits="7", waits=False)))
    socket = await site.next_socket()
    await socket.until("dtmf")
    await socket.until("media", 50)
    assert socket.messages[0][1] == {"event": "connected", "protocol": "Call", "version": "1.0.0"}
    start: Any = socket.messages[1][1]
    assert start["event"] == "start"
    assert start["sequenceNumber"] == "1"
    assert start["start"]["callSid"] == call.sid
    assert start["start"]["customParameters"] == {"t": "a token"}
    assert start["start"]["mediaFormat"] == {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
    frames: list[Any] = socket.events("media")
    assert [frame["media"]["timestamp"] for frame in frames[:3]] == ["0", "20", "40"]
    assert {len(base64.b64decode(frame["media"]["payload"])) for frame in frames} == {160}
    dtmf: Any = socket.events("dtmf")[0]
    assert dtmf["dtmf"]["digit"] == "7"
    sent = call.streams[0].sent_at_s
    # A machine that stands still makes a few gaps longer, and none after them shorter.
    gaps = sorted(later - earlier for earlier, later in pairwise(sent))
    assert abs(gaps[len(gaps) // 2] - 0.02) < 0.008
    assert (sent[-1] - sent[0]) / (len(sent) - 1) > 0.018
    call.caller.hang_up()
    await socket.until("stop")
    events = [asked.form["StreamEvent"] for asked in await site.has("/stream", 2)]
    assert events == ["stream-started", "stream-stopped"]


async def test_what_the_service_sends_is_heard_and_marked_when_it_was(
    site: Service, twilio: PretendedTwilio
) -> None:
    site.tell("/voice", streaming(site))
    call = await twilio.call()
    socket = await site.next_socket()
    start: Any = (await socket.until("start"))[0]
    sid = start["streamSid"]
    sound = tone((400,), seconds=0.5)
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    payload = base64.b64encode(sound).decode()
    await socket.send({"event": "media", "streamSid": sid, "media": {"payload": payload}})
    await socket.send({"event": "mark", "streamSid": sid, "mark": {"name": "half"}})
    mark: Any = (await socket.until("mark"))[0]
    assert mark["mark"]["name"] == "half"
    assert loop.time() - began_s > 0.45
    assert call.heard.audio() == sound
    # A mark behind nothing comes back at once.
    await socket.send({"event": "mark", "streamSid": sid, "mark": {"name": "at once"}})
    await socket.until("mark", 2)
    await socket.response.close()
    assert await over(call) is LegStatus.COMPLETED
    await site.has("/next")


async def test_the_request_for_a_socket_is_signed(site: Service, twilio: PretendedTwilio) -> None:
    site.tell("/voice", streaming(site))
    await twilio.call()
    socket = await site.next_socket()
    signature = socket.headers["X-Twilio-Signature"]
    assert RequestValidator(twilio.auth_token).validate(site.media_url, {}, signature)


async def test_old_calls_are_forgotten(site: Service) -> None:
    site.tell("/voice", "<Response><Hangup/></Response>")
    options = TwilioOptions(webhook_url=site.address("/voice"), remembered_calls=2)
    async with PretendedTwilio(options) as twilio:
        calls = [await twilio.call() for _ in range(3)]
        for call in calls:
            await over(call)
        latest = await twilio.call()
        await over(latest)
        assert twilio.calls == [calls[2], latest]


async def test_a_caller_who_interrupts_a_request_does_not_break_it(
    site: Service, twilio: PretendedTwilio
) -> None:
    waiting = asyncio.Event()
    site.pauses["/voice"] = waiting
    call = await twilio.call()
    await site.has("/voice")
    call.caller.hang_up()
    assert await over(call) is LegStatus.CANCELED
    waiting.set()
    async with asyncio.timeout(LIMIT_S):
        await call.until(lambda: bool(twilio.exchanges_for("voice")))
    assert [exchange.status for exchange in twilio.exchanges_for("voice")] == [204]


async def test_clearing_silences_and_returns_the_marks(site: Service, twilio: PretendedTwilio) -> None:
    site.tell("/voice", streaming(site))
    call = await twilio.call()
    socket = await site.next_socket()
    start: Any = (await socket.until("start"))[0]
    sid = start["streamSid"]
    payload = base64.b64encode(tone((400,), seconds=20)).decode()
    await socket.send({"event": "media", "streamSid": sid, "media": {"payload": payload}})
    await socket.send({"event": "mark", "streamSid": sid, "mark": {"name": "end"}})
    async with asyncio.timeout(LIMIT_S):
        await call.caller.hears_speech()
    await socket.send({"event": "clear", "streamSid": sid})
    await socket.until("mark")
    (cleared,) = call.streams[0].named("clear")
    (echoed,) = call.streams[0].named("mark_echoed")
    assert echoed.at_s - cleared.at_s < 0.1
    await asyncio.sleep(0.1)
    last_s = call.heard.last_loud_at_s
    assert last_s is not None
    assert last_s <= cleared.at_s + 0.02


async def test_the_wrong_stream_is_complained_about(site: Service, twilio: PretendedTwilio) -> None:
    site.tell("/voice", streaming(site))
    call = await twilio.call()
    socket = await site.next_socket()
    await socket.until("start")
    await socket.send({"event": "clear"})
    async with asyncio.timeout(LIMIT_S):
        await call.until(lambda: bool(call.notices))
    assert call.notices[0].code == 31951


async def test_the_caller_who_hangs_up_is_told_to_the_action(site: Service, twilio: PretendedTwilio) -> None:
    twilio.network.numbers[BOSS] = Person()
    response = VoiceResponse()
    response.dial(BOSS, action="/next")
    site.tell("/voice", response)
    call = await twilio.call()
    await call.leg_answered(BOSS)
    call.caller.hang_up()
    await over(call)
    (asked,) = await site.has("/next")
    assert asked.form["CallStatus"] == "completed"
    assert asked.form["DialCallStatus"] == "completed"
    assert call.legs_to(BOSS)[0].status is LegStatus.COMPLETED
