"""Conferences of a pretended carrier: who hears whom, when they start, when they end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from sipagent.simulator.carrier import CarrierCall, PretendedTwilio, TwilioOptions
from sipagent.simulator.carrier.leg import LegStatus
from tests.simulator.carrier.rig import Quick, over
from tests.simulator.carrier.service import LIMIT_S, Service
from tests.simulator.carrier.twiml import Dial, VoiceResponse


@pytest.fixture
async def twilio(site: Service) -> AsyncIterator[PretendedTwilio]:
    async with PretendedTwilio(TwilioOptions(voice=Quick(), people_voice=Quick())) as found:
        yield found


async def joined(site: Service, twilio: PretendedTwilio, path: str, **attributes: object) -> CarrierCall:
    """Somebody who has joined the room."""
    response = VoiceResponse()
    dial = Dial(action="/after")
    dial.conference(
        "room",
        status_callback=site.address("/room"),
        status_callback_event="start end join leave mute hold",
        **attributes,
    )
    response.append(dial)
    site.tell(path, response)
    site.tell("/after", "<Response><Say>It is over.</Say></Response>")
    twilio.webhook_url = site.address(path)
    call = await twilio.call()
    async with asyncio.timeout(LIMIT_S):
        await call.until(lambda: bool(call.moments("joined")))
    return call


def events(site: Service) -> list[str]:
    return [form["StatusCallbackEvent"] for form in site.forms("/room")]


async def test_everybody_hears_everybody_else(site: Service, twilio: PretendedTwilio) -> None:
    ann, ben, cleo = [await joined(site, twilio, f"/{name}", beep="false") for name in ("a", "b", "c")]
    async with asyncio.timeout(LIMIT_S):
        await ann.caller.say("Hello, everybody.")
        for other in (ben, cleo):
            await other.heard.until_loud(0.4)
    assert ann.heard.loud_s == 0
    async with asyncio.timeout(LIMIT_S):
        await asyncio.gather(ann.caller.say("Both at once."), ben.caller.say("Both at once."))
        await cleo.heard.until_loud(0.9)


async def test_who_waits_hears_music_until_it_starts(site: Service, twilio: PretendedTwilio) -> None:
    guest = await joined(site, twilio, "/guest", start_conference_on_enter="false")
    async with asyncio.timeout(LIMIT_S):
        await guest.heard.until_loud(0.3)
    room = twilio.rooms["room"]
    assert "conference-start" not in events(site)
    host = await joined(site, twilio, "/host", beep="false", end_conference_on_exit="true")
    assert room.started
    music_s = guest.heard.loud_s
    await asyncio.sleep(0.3)
    assert guest.heard.loud_s <= music_s + 0.05
    host.caller.hang_up()
    assert await over(guest) is LegStatus.COMPLETED
    assert guest.sentences == ("It is over.",)
    forms = await site.has("/room", 6)
    ended = [asked.form for asked in forms if asked.form["StatusCallbackEvent"] == "conference-end"]
    assert len(ended) == 1
    assert ended[0]["ReasonConferenceEnded"] == "participant-with-end-conference-on-exit-left"
    assert events(site)[:2] == ["participant-join", "participant-join"]
    assert not twilio.rooms


async def test_who_is_held_or_muted_is_not_heard(site: Service, twilio: PretendedTwilio) -> None:
    ann = await joined(site, twilio, "/a", beep="false")
    ben = await joined(site, twilio, "/b", beep="false")
    room = twilio.rooms["room"]
    room.set_muted(room.members[ann.sid], True)
    async with asyncio.timeout(LIMIT_S):
        await ann.caller.say("Nobody hears this.")
    assert ben.heard.loud_s == 0
    room.set_muted(room.members[ann.sid], False)
    room.set_held(room.members[ann.sid], True)
    async with asyncio.timeout(LIMIT_S):
        await ann.heard.until_loud(0.2)
        await ben.caller.say("Ann is away.")
    room.set_held(room.members[ann.sid], False)
    async with asyncio.timeout(LIMIT_S):
        await ann.caller.say("Back again.")
        await ben.heard.until_loud(0.4)


async def test_a_full_room_takes_nobody(site: Service, twilio: PretendedTwilio) -> None:
    await joined(site, twilio, "/a", max_participants="1", wait_url="")
    twilio.webhook_url = site.address("/a")
    late = await twilio.call()
    await over(late)
    assert [notice.code for notice in late.notices] == [13282]
