"""Twilio's REST API of a pretended account, asked by Twilio's own library where it can be."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any, Final

import aiohttp
import pytest

from sipagent.simulator.carrier import Busy, CarrierFaults, NoAnswer, Person, PretendedTwilio
from sipagent.simulator.carrier.leg import LegStatus
from sipagent.simulator.phone.settings import Press, Say
from tests.simulator.carrier.rig import over
from tests.simulator.carrier.service import LIMIT_S, Service
from tests.simulator.carrier.twiml import Dial, Gather, VoiceResponse

BOSS: Final = "+15550100777"
OURS: Final = "+15550100100"


@pytest.fixture
async def api(twilio: PretendedTwilio) -> AsyncIterator[Api]:
    key = base64.b64encode(f"{twilio.account_sid}:{twilio.auth_token}".encode()).decode()
    async with aiohttp.ClientSession(headers={"Authorization": f"Basic {key}"}) as http:
        yield Api(http, f"{twilio.api_base_url}/2010-04-01/Accounts/{twilio.account_sid}")


class Api:
    """A client that knows paths and forms."""

    def __init__(self, http: aiohttp.ClientSession, base: str) -> None:
        self.http = http
        self.base = base

    async def ask(self, method: str, path: str, **form: Any) -> tuple[int, Any]:
        pairs = [(name, each) for name, value in form.items() for each in _listed(value)]
        async with self.http.request(method, f"{self.base}/{path}", data=pairs) as response:
            body = await response.json() if response.content_type == "application/json" else None
            return response.status, body


def _listed(value: Any) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else [str(value)]


def waiting() -> str:
    response = VoiceResponse()
    response.pause(length=60)
    return str(response)


async def test_a_call_that_is_made_follows_its_document(
    site: Service, twilio: PretendedTwilio, api: Api
) -> None:
    twilio.network.numbers[BOSS] = Person(does=(Press(digits="1"),))
    response = VoiceResponse()
    gather = Gather(action=site.address("/taken"), num_digits=1)
    gather.say("A call for you. Press one.")
    response.append(gather)
    site.tell("/taken", VoiceResponse())
    status, made = await api.ask(
        "POST",
        "Calls.json",
        To=BOSS,
        From=OURS,
        Twiml=str(response),
        StatusCallback=site.address("/status"),
        StatusCallbackEvent=["initiated", "answered", "completed"],
    )
    assert status == 201
    assert made["direction"] == "outbound-api"
    assert await over(twilio.calls[0]) is LegStatus.COMPLETED
    assert site.forms("/taken")[0]["Digits"] == "1"
    reports = [asked.form["CallStatus"] for asked in await site.has("/status", 3)]
    assert reports == ["initiated", "in-progress", "completed"]
    status, shown = await api.ask("GET", f"Calls/{made['sid']}.json")
    assert (status, shown["status"]) == (200, "completed")


@pytest.mark.parametrize(("who", "status"), [(Busy(), "busy"), (NoAnswer(), "no-answer")])
async def test_a_call_that_nobody_takes(
    site: Service, twilio: PretendedTwilio, api: Api, who: Any, status: str
) -> None:
    twilio.network.numbers[BOSS] = who
    await api.ask(
        "POST",
        "Calls.json",
        To=BOSS,
        From=OURS,
        Twiml=waiting(),
        Timeout="1",
        StatusCallback=site.address("/status"),
    )
    (asked,) = await site.has("/status")
    assert asked.form["CallStatus"] == status


async def test_a_call_is_redirected_and_ended(site: Service, twilio: PretendedTwilio, api: Api) -> None:
    site.tell("/voice", waiting())
    call = await twilio.call()
    await call.answered()
    news = VoiceResponse()
    news.say("There is news.")
    news.pause(length=60)
    assert (await api.ask("POST", f"Calls/{call.sid}.json", Twiml=str(news)))[0] == 200
    async with asyncio.timeout(LIMIT_S):
        await call.until(lambda: call.sentences == ("There is news.",))
    assert (await api.ask("POST", f"Calls/{call.sid}.json", Status="completed"))[0] == 200
    assert await over(call) is LegStatus.COMPLETED
    status, error = await api.ask("POST", f"Calls/{call.sid}.json", Twiml=str(news))
    assert (status, error["code"]) == (400, 21220)


async def test_the_key_is_asked_for(twilio: PretendedTwilio, api: Api) -> None:
    async with aiohttp.ClientSession() as stranger:
        status, error = await Api(stranger, api.base).ask("GET", "Calls/CA1.json")
    assert (status, error["code"]) == (401, 20003)
    status, error = await api.ask("GET", "Calls/CA1.json")
    assert (status, error["code"], error["status"]) == (404, 20404, 404)


@pytest.mark.parametrize(
    ("form", "code"),
    [
        ({"From": OURS, "Twiml": "<Response/>"}, 21201),
        ({"To": BOSS, "Twiml": "<Response/>"}, 21213),
        ({"To": BOSS, "From": OURS}, 21205),
        ({"To": BOSS, "From": OURS, "Twiml": "<Response><Sing/></Response>"}, 12100),
    ],
)
async def test_what_lacks_something_is_refused(api: Api, form: dict[str, str], code: int) -> None:
    status, error = await api.ask("POST", "Calls.json", **form)
    assert (status, error["code"]) == (400, code)


async def test_faults_of_the_api(twilio: PretendedTwilio, api: Api) -> None:
    twilio.faults = CarrierFaults.parse("carrier.api_429=1")
    assert (await api.ask("GET", "Calls/CA1.json"))[0] == 429
    assert (await api.ask("GET", "Calls/CA1.json"))[0] == 404
    twilio.faults = CarrierFaults.parse("carrier.api_500")
    assert (await api.ask("GET", "Calls/CA1.json"))[0] == 500
    assert (await api.ask("GET", "Calls/CA1.json"))[0] == 500


async def test_a_person_is_brought_to_a_caller_in_a_conference(
    site: Service, twilio: PretendedTwilio, api: Api
) -> None:
    twilio.network.numbers[BOSS] = Person(does=(Say(text="Boss here.", waits=False),))
    site.tell("/voice", waiting())
    call = await twilio.call()
    await call.answered()
    status, member = await api.ask(
        "POST",
        "Conferences/warm-1/Participants.json",
        To=BOSS,
        From=OURS,
        EndConferenceOnExit="true",
        Label="boss",
        ConferenceStatusCallback=site.address("/room"),
        ConferenceStatusCallbackEvent=["start", "end", "join", "leave"],
    )
    assert status == 201
    async with asyncio.timeout(LIMIT_S):
        await twilio.calls[1].until(lambda: bool(twilio.calls[1].moments("joined")))
    joining = VoiceResponse()
    dial = Dial()
    dial.conference("warm-1", beep=False)
    joining.append(dial)
    await api.ask("POST", f"Calls/{call.sid}.json", Twiml=str(joining))
    async with asyncio.timeout(LIMIT_S):
        await call.until(lambda: bool(call.moments("joined")))
    status, listed = await api.ask("GET", f"Conferences/{member['conference_sid']}/Participants.json")
    assert {each["call_sid"] for each in listed["participants"]} == {call.sid, member["call_sid"]}
    heard_before = twilio.calls[1].heard.loud_s
    async with asyncio.timeout(LIMIT_S):
        await call.caller.say("It is about the boat.")
        await twilio.calls[1].heard.until_loud(heard_before + 0.1)
    status, held = await api.ask("POST", f"Conferences/warm-1/Participants/{call.sid}.json", Hold="true")
    assert held["hold"] is True
    assert (await api.ask("DELETE", "Conferences/warm-1/Participants/boss.json"))[0] == 204
    assert await over(call) is LegStatus.COMPLETED
    events = [asked.form["StatusCallbackEvent"] for asked in site.asked if asked.path == "/room"]
    assert events[:2] == ["participant-join", "conference-start"]


async def test_a_leg_that_was_dialled_can_be_taken_elsewhere(
    site: Service, twilio: PretendedTwilio, api: Api
) -> None:
    twilio.network.numbers[BOSS] = Person()
    response = VoiceResponse()
    response.dial(BOSS, action="/next")
    site.tell("/voice", response)
    site.tell("/next", waiting())
    call = await twilio.call()
    child = await call.leg_answered(BOSS)
    await api.ask("POST", f"Calls/{child.sid}.json", Twiml=waiting())
    await site.has("/next")
    assert not child.is_over
    assert not call.leg.is_over
