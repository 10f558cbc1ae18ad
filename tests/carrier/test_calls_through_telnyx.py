"""Whole calls through a pretended Telnyx, by TeXML and by Call Control."""

from __future__ import annotations

import asyncio

import pytest

from sipagent.carrier.settings import AnswerBySip, AnswerByStream
from sipagent.simulator.carrier import Busy, Person, Subscriber
from sipagent.simulator.phone.settings import Pause, Press
from tests.carrier.bringing_in import (
    hangs_up_while_it_rings,
    is_brought_in,
    is_told_that_nobody_comes,
    stays_with_the_agent,
)
from tests.carrier.town import LIMIT_S, CarrierKind, town
from tests.carrier.trouble import (
    ENDINGS,
    SIP_FAULTS,
    Heard,
    counted,
    hears,
    hears_the_last_words,
    no_tls,
    talk_to_each_other,
    until_counted,
)

INTERFACES: tuple[CarrierKind, ...] = ("texml", "call_control")
DECLINES = Person(does=(Pause(seconds=0.3), Press(digits="2", waits=False)))


@pytest.mark.parametrize("by", INTERFACES)
@pytest.mark.parametrize("step", [AnswerBySip(), AnswerByStream()])
async def test_caller_and_agent_hear_each_other(step: AnswerBySip | AnswerByStream, by: CarrierKind) -> None:
    await talk_to_each_other(step, by)


@pytest.mark.parametrize("by", INTERFACES)
@pytest.mark.parametrize(
    ("faults", "heard"), [(fault, ENDINGS[index % 3]) for index, fault in enumerate(SIP_FAULTS)]
)
async def test_a_sip_leg_that_fails_is_not_the_end(faults: str, heard: Heard, by: CarrierKind) -> None:
    await hears(heard, faults, by)


@pytest.mark.parametrize("by", INTERFACES)
async def test_a_sip_leg_without_tls_is_not_the_end(by: CarrierKind) -> None:
    async with no_tls() as target:
        await hears("sentence", "", by, sip=target)


@pytest.mark.parametrize("by", INTERFACES)
@pytest.mark.parametrize("stream", ["stream_refused", "stream_cut=0.2"])
async def test_when_everything_fails_the_caller_hears_so(stream: str, by: CarrierKind) -> None:
    await hears_the_last_words(f"sip_status=503, {stream}", by)


@pytest.mark.parametrize("by", INTERFACES)
@pytest.mark.parametrize(
    ("faults", "result"), [("forged", "bad_signature"), ("unsigned", "bad_signature"), ("late=600", "late")]
)
async def test_nobody_else_may_say_that_a_call_comes(faults: str, result: str, by: CarrierKind) -> None:
    async with town(by=by) as place:
        call = await place.call(faults=faults)
        await until_counted(place, result)
        call.caller.hang_up()
        await place.over(call)
        assert await place.store.calls() == ()
        assert not call.legs_to("sip:")


@pytest.mark.parametrize("by", INTERFACES)
async def test_a_copy_of_a_webhook_has_no_second_effect(by: CarrierKind) -> None:
    async with town(AnswerByStream(), by=by) as place, asyncio.timeout(LIMIT_S):
        call = await place.call(faults="duplicate, replayed=0.1")
        assert await call.caller.hears_speech()
        call.caller.hang_up()
        await place.over(call)
        assert len(await place.calls_of(call)) == 1
        assert await counted(place, "duplicate") >= 1
        assert not call.notices


@pytest.mark.parametrize("step", [AnswerBySip(), AnswerByStream()])
@pytest.mark.parametrize("by", INTERFACES)
async def test_a_colleague_takes_the_call(step: AnswerBySip | AnswerByStream, by: CarrierKind) -> None:
    await is_brought_in(by, step)


@pytest.mark.parametrize("by", INTERFACES)
@pytest.mark.parametrize("colleague", [Busy(), DECLINES], ids=["busy", "declines"])
async def test_a_colleague_who_does_not_take_it_leaves_the_caller_with_the_agent(
    colleague: Subscriber, by: CarrierKind
) -> None:
    await stays_with_the_agent(by, colleague)


@pytest.mark.parametrize("by", INTERFACES)
async def test_a_caller_who_hangs_up_calls_nobody_any_more(
    by: CarrierKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sipagent.calls.transferring.WARM_ANSWER_S", 40.0)
    await hangs_up_while_it_rings(by)


@pytest.mark.parametrize("by", INTERFACES)
async def test_a_colleague_whose_caller_nobody_brings_is_told_so(
    by: CarrierKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sipagent.carrier.plan.PERSON_WAITS_S", 2)
    await is_told_that_nobody_comes(by)
