"""The carrier's fault menu at work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from sipagent.simulator.carrier import PretendedTwilio, TwilioOptions
from sipagent.simulator.carrier.stream import StreamEnd
from tests.simulator.carrier.rig import Quick, over
from tests.simulator.carrier.service import LIMIT_S, Service, service
from tests.simulator.carrier.twiml import Connect, VoiceResponse

ALL = frozenset({"initiated", "ringing", "answered", "completed"})


@pytest.fixture
async def site() -> AsyncIterator[Service]:
    async with service() as found:
        response = VoiceResponse()
        connect = Connect(action="/next")
        connect.stream(url=found.media_url, status_callback=found.address("/stream"))
        response.append(connect)
        found.tell("/stream-call", response)
        sorry = VoiceResponse()
        sorry.say("Please hold on.")
        found.tell("/next", sorry)
        found.tell("/voice", sorry)
        yield found


@pytest.fixture
async def twilio(site: Service) -> AsyncIterator[PretendedTwilio]:
    options = TwilioOptions(
        webhook_url=site.address("/voice"),
        report_url=site.address("/report"),
        report_events=ALL,
        voice=Quick(),
        people_voice=Quick(),
    )
    async with PretendedTwilio(options) as found:
        yield found


async def test_forged_and_unsigned_requests_are_recognised(site: Service, twilio: PretendedTwilio) -> None:
    for fault in ("carrier.forged", "carrier.unsigned"):
        call = await twilio.call(faults=fault)
        await over(call)
        assert [notice.code for notice in call.notices] == [11200]
    assert not any(asked.signed for asked in site.asked)
    assert "X-Twilio-Signature" not in (await site.has("/voice", 2))[1].headers


async def test_a_replay_is_the_same_word_for_word(site: Service, twilio: PretendedTwilio) -> None:
    call = await twilio.call(faults="carrier.replayed=0.1")
    await over(call)
    first, second = await site.has("/voice", 2)
    assert first.body == second.body
    for name in ("X-Twilio-Signature", "I-Twilio-Idempotency-Token"):
        assert first.headers[name] == second.headers[name]
    assert call.sentences == ("Please hold on.",)
    again = twilio.exchanges_for("voice again")
    assert [exchange.status for exchange in again] == [200]


async def test_a_duplicate_has_the_same_token(site: Service, twilio: PretendedTwilio) -> None:
    call = await twilio.call(faults="carrier.duplicate")
    await over(call)
    first, second = await site.has("/voice", 2)
    assert first.headers["I-Twilio-Idempotency-Token"] == second.headers["I-Twilio-Idempotency-Token"]
    assert call.sentences == ("Please hold on.",)


async def reports(site: Service, count: int) -> list[str]:
    return [asked.form["CallStatus"] for asked in await site.has("/report", count)]


async def test_reports_in_the_wrong_order(site: Service, twilio: PretendedTwilio) -> None:
    await over(await twilio.call(faults="carrier.reports_unordered"))
    assert await reports(site, 3) == ["in-progress", "ringing", "completed"]


async def test_reports_that_come_twice(site: Service, twilio: PretendedTwilio) -> None:
    await over(await twilio.call(faults="carrier.reports_duplicate"))
    assert await reports(site, 6) == ["ringing", "ringing", "in-progress", "in-progress"] + ["completed"] * 2


async def test_reports_that_are_lost(site: Service, twilio: PretendedTwilio) -> None:
    await over(await twilio.call(faults="carrier.reports_lost"))
    await over(await twilio.call())
    assert await reports(site, 3) == ["ringing", "in-progress", "completed"]


async def test_a_stream_that_cannot_be_opened_leads_on(site: Service, twilio: PretendedTwilio) -> None:
    twilio.webhook_url = site.address("/stream-call")
    call = await twilio.call(faults="carrier.stream_refused")
    await over(call)
    assert call.sentences == ("Please hold on.",)
    assert [notice.code for notice in call.notices] == [31920]
    (asked,) = await site.has("/stream")
    assert asked.form["StreamEvent"] == "stream-error"


async def test_a_stream_that_never_starts(site: Service, twilio: PretendedTwilio) -> None:
    twilio.webhook_url = site.address("/stream-call")
    call = await twilio.call(faults="carrier.stream_never_starts")
    socket = await site.next_socket()
    await socket.until("connected")
    await asyncio.sleep(0.1)
    assert len(socket.messages) == 1
    await socket.response.close()
    await over(call)
    assert call.sentences == ("Please hold on.",)


async def test_a_stream_that_is_cut(site: Service, twilio: PretendedTwilio) -> None:
    twilio.webhook_url = site.address("/stream-call")
    call = await twilio.call(faults="carrier.stream_cut=0.3")
    socket = await site.next_socket()
    async with asyncio.timeout(LIMIT_S):
        await socket.closed.wait()
    assert not socket.events("stop")
    await over(call)
    assert call.streams[0].end is StreamEnd.CUT
    assert call.sentences == ("Please hold on.",)


async def test_a_stream_that_stalls(site: Service, twilio: PretendedTwilio) -> None:
    twilio.webhook_url = site.address("/stream-call")
    call = await twilio.call(faults="carrier.stream_stalled=0.2")
    socket = await site.next_socket()
    await socket.until("media", 5)
    await asyncio.sleep(0.5)
    count = len(socket.messages)
    await asyncio.sleep(0.2)
    assert len(socket.messages) == count
    assert not socket.closed.is_set()
    await socket.response.close()
    await over(call)
