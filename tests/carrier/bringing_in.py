"""Warm transfers through a pretended carrier: a colleague is called, told, and asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from sipagent.calls import FrontDoor
from sipagent.carrier.base import OfferCall
from sipagent.carrier.plan import AFTER_THE_LAST
from sipagent.carrier.settings import OfferManner, Step
from sipagent.carrier.transfers import people_of
from sipagent.clock import utc_now
from sipagent.simulator.carrier import (
    Busy,
    CarrierCall,
    Declines,
    Person,
    Sound,
    Subscriber,
    Unreachable,
)
from sipagent.simulator.carrier.announcer import tone
from sipagent.simulator.phone.settings import HangUp, Pause, Press
from tests.carrier.town import LIMIT_S, CarrierKind, Town, town
from tests.support.practice import front_door

COLLEAGUE = "+15550100001"
SORRY = OfferManner().sorry
BRIEFING = "Ann has a question about a bill."
SCRIPT = f"""
greeting: Good morning.
delay_ms: 1
otherwise: {{say: One moment., call: {{tool: transfer, with: {{target: billing, briefing: {BRIEFING}}}}}}}
"""
TAKES_IT = Person(
    does=(Pause(seconds=0.3), Press(digits="1", waits=False), Sound(ulaw=tone((400,), seconds=2.0)))
)
NOT_THERE: tuple[Subscriber, ...] = (
    Busy(),
    Declines(),
    Unreachable(404),
    Person(does=(Pause(seconds=0.3), Press(digits="2", waits=False))),
    Person(does=(Pause(seconds=0.3), HangUp(waits=False))),
)
"""Who does not take a call, each in their own way."""


def warm_door() -> FrontDoor:
    """An agent that calls first before it transfers."""
    door = front_door(transfer_uri=f"tel:{COLLEAGUE}")
    profiles = {
        name: replace(
            profile, transfer_targets=tuple(replace(each, way="warm") for each in profile.transfer_targets)
        )
        for name, profile in door.profiles.items()
    }
    return replace(door, profiles=profiles)


@asynccontextmanager
async def asked_for(
    by: CarrierKind, colleague: Subscriber, *steps: Step, workers: int = 1
) -> AsyncIterator[tuple[Town, CarrierCall]]:
    """A call whose caller has just asked for the colleague."""
    carrier = {"numbers": {COLLEAGUE: colleague}}
    async with (
        asyncio.timeout(LIMIT_S),
        town(*steps, door=warm_door(), script=SCRIPT, carrier=carrier, by=by, workers=workers) as place,
    ):
        call = await place.call()
        assert await call.caller.hears_speech()
        assert await call.caller.other_finished()
        await call.caller.say("To billing, please.")
        yield place, call


async def call_to_colleague(place: Town) -> CarrierCall:
    """The call that the service makes."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            if len(place.carrier.calls) > 1:
                return place.carrier.calls[1]
            await asyncio.sleep(0.02)  # the network does not tell


async def is_brought_in(by: CarrierKind, *steps: Step) -> None:
    """The colleague hears what it is about, takes the call, and both hear each other."""
    async with asked_for(by, TAKES_IT, *steps) as (place, call):
        await call.until(lambda: bool(call.moments("joined")))
        theirs = await call_to_colleague(place)
        assert await call.caller.hears_speech()
        heard = theirs.heard.loud_s
        await call.caller.say("It is about the boat.")
        await theirs.leg.until(lambda: theirs.heard.loud_s > heard)
        record = await place.record(call)
        assert record.summary.end_reason == "transferred"
        theirs.caller.hang_up()
        # Nobody is left alone in a conference.
        await place.over(call)


async def stays_with_the_agent(by: CarrierKind, colleague: Subscriber, *steps: Step) -> None:
    """The caller talks with the agent on, as if nothing had been."""
    async with asked_for(by, colleague, *steps) as (place, call):
        theirs = await call_to_colleague(place)
        await place.over(theirs)
        assert not call.leg.is_over
        assert await call.caller.other_finished()
        await call.caller.say("Never mind.")
        assert await call.caller.hears_speech()
        call.caller.hang_up()
        await place.over(call)
        record = await place.record(call)
        assert record.summary.end_reason == "caller_hung_up"
        assert not call.moments("joined")


async def hangs_up_while_it_rings(by: CarrierKind, *steps: Step) -> None:
    """The colleague's telephone does not ring on for nobody."""
    async with asked_for(by, Person(answers_after_s=30.0), *steps) as (place, call):
        theirs = await call_to_colleague(place)
        call.caller.hang_up()
        await place.over(call)
        async with asyncio.timeout(4.0):
            await theirs.ended()
        record = await place.record(call)
        assert record.summary.end_reason == "transfer_abandoned"


async def is_told_that_nobody_comes(by: CarrierKind) -> None:
    """Whoever made the offer is gone when the colleague takes the call."""
    async with asyncio.timeout(LIMIT_S), town(by=by) as place:
        place.carrier.network.numbers[COLLEAGUE] = TAKES_IT
        call = await place.call()
        assert await call.caller.hears_speech()
        (live,) = place.service._running.movable_call_ids
        phone_call = place.service._running.live(live)
        assert phone_call is not None
        leg = phone_call._incoming.leg
        assert leg is not None
        assert place.service._carriers is not None
        desk = place.service._carriers._desks.current
        assert desk is not None
        people = people_of(desk, leg)
        assert people is not None
        callbacks = desk.planner.callbacks(leg, "", AFTER_THE_LAST, utc_now().timestamp(), "0123")
        words = OfferCall(
            briefing=BRIEFING,
            question="Press 1.",
            language=None,
            answer_timeout_s=20,
            callbacks=callbacks,
        )
        theirs_id = await people.call(COLLEAGUE, "+15550100000", words)
        theirs = await call_to_colleague(place)
        await theirs.answered()
        await people.brief(theirs_id or theirs.sid, words)
        await place.over(theirs)
        assert theirs.sentences[-1] == SORRY
        assert not call.leg.is_over, "the caller talks on"
        call.caller.hang_up()
        await place.over(call)
