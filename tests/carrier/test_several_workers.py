"""Carriers that speak with several workers of one service, which share a database."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from urllib.parse import urlencode

import aiohttp
import pytest

from sipagent.calls import Route
from sipagent.calls.checkpoint import Checkpoint, Ringing, encode, encode_ringing
from sipagent.calls.endings import EndReason
from sipagent.calls.incoming import IncomingCall
from sipagent.carrier.settings import AnswerBySip, AnswerByStream, SayMessage
from sipagent.clock import utc_now
from sipagent.identifiers import CallId, WorkerId
from sipagent.simulator.carrier import Person, PretendedTwilio
from sipagent.simulator.phone.settings import Pause
from sipagent.store import CallCheckpointed
from tests.carrier.bringing_in import SORRY, asked_for, call_to_colleague
from tests.carrier.doorway import ringing
from tests.carrier.legs import LEG
from tests.carrier.signing import twilio_headers
from tests.carrier.town import LIMIT_S, CarrierKind, Town, town
from tests.support.practice import front_door

WORDS = "Please call again in a minute."


async def announce(place: Town) -> list[str]:
    """The carrier announces one call to both workers at the same time; what they answer."""
    assert place.other is not None
    assert isinstance(place.carrier, PretendedTwilio)
    form, path = ringing(), "/carriers/twilio/voice"
    url = place.service.webhook_url.replace("/webhooks/openai", path)
    headers = twilio_headers(url, form, place.carrier.auth_token)
    addresses = [each.webhook_url.replace("/webhooks/openai", path) for each in (place.service, place.other)]

    async def post(http: aiohttp.ClientSession, address: str) -> str:
        async with http.post(address, data=urlencode(form).encode(), headers=headers) as response:
            assert response.status == 200
            return await response.text()

    async with aiohttp.ClientSession() as http:
        return list(await asyncio.gather(*(post(http, address) for address in addresses)))


async def refused_calls(place: Town) -> float:
    """How many calls the workers say that they have refused."""
    assert place.other is not None
    count = 0.0
    async with aiohttp.ClientSession() as http:
        for each in (place.service, place.other):
            async with http.get(each.webhook_url.replace("/webhooks/openai", "/metrics")) as response:
                text = await response.text()
            found = re.findall(
                r'^sipagent_calls_ended_total{.*"rejected_by_route".*} (\S+)$', text, re.MULTILINE
            )
            count += sum(float(value) for value in found)
    return count


async def test_a_call_that_is_refused_by_two_workers_has_one_record() -> None:
    nobody = replace(front_door(), routes=(Route(reject=486),))
    async with asyncio.timeout(LIMIT_S), town(door=nobody, workers=2) as place:
        answers = await announce(place)
        assert all("<Reject" in answer for answer in answers)
        while not (found := await place.store.calls_of_leg(LEG.carrier_call_id)) or not found[0].end_reason:  # noqa: ASYNC110 - a store is asked, it does not tell
            await asyncio.sleep(0.02)
        assert await refused_calls(place) == 1
        record = await place.store.call(found[0].call_id)
    assert record is not None
    assert record.line == "none"
    assert record.summary.end_reason == "rejected_by_route"
    assert [note.kind for note in record.notes].count("route") == 1
    assert [change.state for change in record.states].count("ended") == 1


async def test_a_stream_that_opens_at_a_worker_that_leaves_goes_on_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sipagent.carrier.switchboard.LINE_RESULT_WAIT_S", 60.0)
    async with (
        asyncio.timeout(LIMIT_S),
        town(AnswerByStream(), SayMessage(words=WORDS), workers=2) as place,
    ):
        assert await place.service.drain(5.0) == 0
        call = await place.call()
        await place.over(call)
        assert call.sentences == (WORDS,)
        record = await place.record(call)
    assert record.summary.end_reason == "rejected_draining"
    assert [change.state for change in record.states].count("ended") == 1


async def test_a_worker_that_dies_while_it_refuses_leaves_a_true_record() -> None:
    """Nothing is left to be done for the caller, least of all at the Calls API, which has no such call."""
    gone = WorkerId("worker_gone")
    async with asyncio.timeout(LIMIT_S), town() as place:
        incoming = IncomingCall(
            call_id=CallId("twilio:CA1:refused"),
            webhook_id="twilio:CA1",
            caller=LEG.caller,
            dialled=LEG.dialled,
            sip_call_id=None,
            sip_headers=(),
            media_security=None,
            line="none",
            leg=LEG,
        )
        now = utc_now()
        checkpoint = Checkpoint(
            incoming=incoming,
            received_at=now,
            configuration="c0ffee",
            profile=None,
            refusal=(EndReason.REJECTED_CLOSED.value, 480, "Closed until Monday."),
        )
        await place.store.join(gone, name="gone", lease_s=0.1)
        await place.store.claim_all(
            gone, {incoming.call_id: encode_ringing(Ringing(incoming=incoming, received_at=now))}
        )
        await place.store.apply(
            [CallCheckpointed(call_id=incoming.call_id, epoch=1, sequence=1, at=now, data=encode(checkpoint))]
        )
        while (record := await place.store.call(incoming.call_id)) is None or not record.summary.end_reason:  # noqa: ASYNC110 - a store is asked, it does not tell
            await asyncio.sleep(0.02)
    assert record.summary.end_reason == "rejected_closed"
    assert record.end_detail == "Closed until Monday. Refused with SIP status 480."


@pytest.mark.parametrize(
    ("colleague", "hears"),
    [(Person(answers_after_s=40.0), ()), (Person(does=(Pause(seconds=40.0),)), (SORRY,))],
    ids=["rings", "listens"],
)
@pytest.mark.parametrize("by", ["twilio", "call_control"])
async def test_a_worker_that_dies_while_it_brings_a_colleague_in(
    by: CarrierKind, colleague: Person, hears: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever goes on with the call lets the colleague go, and the caller talks with the agent."""

    async def died(*_: object) -> None:
        """Nothing more is done by the first worker."""

    monkeypatch.setattr("sipagent.carrier.offer.let_go", died)
    async with asked_for(by, colleague, AnswerBySip(), workers=2) as (place, call):
        theirs = await call_to_colleague(place)
        if hears:
            await theirs.until(lambda: bool(theirs.moments("saying") or theirs.moments("said")))
        assert place.other is not None
        await place.service.drain(10.0)
        await place.over(theirs)
        assert theirs.sentences[-len(hears) :] == hears or not hears
        assert not call.leg.is_over
        assert place.other.live_calls == 1
        call.caller.hang_up()
        await place.over(call)
        record = await place.record(call)
    assert "adopted" in [note.kind for note in record.notes]
