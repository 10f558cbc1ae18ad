"""A service that stops while carriers have callers' audio with it."""

from __future__ import annotations

import asyncio

import pytest

from sipagent.carrier.settings import AnswerByStream, CallNumber, SayMessage
from sipagent.simulator.carrier import Person, PretendedAsterisk
from sipagent.simulator.carrier.leg import Leg
from sipagent.simulator.carrier.posting import Exchange
from tests.carrier.town import CarrierKind, town
from tests.support.eventually import eventually

PERSON = "+15550100001"
SORRY = SayMessage(words="Please call again in a minute.")


@pytest.mark.parametrize("by", ["twilio", "texml", "call_control"])
async def test_who_is_cut_off_by_the_stop_hears_the_plans_words(by: CarrierKind) -> None:
    async with town(AnswerByStream(), SORRY, by=by) as place:
        call = await place.call()
        assert await call.caller.hears_speech()
        async with asyncio.timeout(20):
            await place.service.__aexit__(None, None, None)
        await eventually(lambda: call.sentences == (SORRY.words,))
        # Call Control asks what follows words, too; by then it is another worker who answers.
        call.caller.hang_up()
        await place.over(call)
        record = await place.record(call)
        assert record.summary.end_reason == "service_stopped"


async def test_who_was_told_goodbye_is_connected_with_nobody_else() -> None:
    async with town(AnswerByStream(), CallNumber(number=PERSON), SORRY) as place:
        place.carrier.network.numbers[PERSON] = Person()
        call = await place.call()
        assert await call.caller.hears_speech()
        assert await call.caller.other_finished()
        async with asyncio.timeout(30):
            assert await place.service.drain(4.0) == 0
            await place.service.__aexit__(None, None, None)
        await place.over(call)
        assert call.sentences == ()
        assert call.legs_to(PERSON) == []
        record = await place.record(call)
        assert record.summary.end_reason == "service_stopped"


async def test_an_asterisk_learns_how_a_call_went_that_the_stop_has_cut_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asks = PretendedAsterisk._ask

    async def slowly(asterisk: PretendedAsterisk, leg: Leg, url: str, purpose: str) -> Exchange:
        if purpose == "outcome":
            await asyncio.sleep(0.7)  # a dialplan runs other applications before
        return await asks(asterisk, leg, url, purpose)

    monkeypatch.setattr(PretendedAsterisk, "_ask", slowly)
    async with town(AnswerByStream(), by="asterisk") as place:
        call = await place.call()
        assert await call.caller.hears_speech()
        async with asyncio.timeout(20):
            await place.service.__aexit__(None, None, None)
        await place.over(call)
        assert call.leg.extra["outcome"] == "failed"
