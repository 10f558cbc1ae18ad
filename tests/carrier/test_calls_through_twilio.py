"""Whole calls through a pretended Twilio: both ways, every way to fail, and who is let in."""

from __future__ import annotations

import asyncio

import pytest

from sipagent.carrier.settings import AnswerBySip, AnswerByStream
from sipagent.simulator.carrier import Subscriber
from tests.carrier.bringing_in import (
    NOT_THERE,
    hangs_up_while_it_rings,
    is_brought_in,
    is_told_that_nobody_comes,
    stays_with_the_agent,
)
from tests.carrier.town import LIMIT_S, town
from tests.carrier.trouble import (
    ENDINGS,
    SIP_FAULTS,
    Heard,
    counted,
    hears,
    hears_the_last_words,
    no_tls,
    talk_to_each_other,
)


@pytest.mark.parametrize("step", [AnswerBySip(), AnswerByStream()])
async def test_caller_and_agent_hear_each_other(step: AnswerBySip | AnswerByStream) -> None:
    await talk_to_each_other(step, "twilio")


@pytest.mark.parametrize(
    ("faults", "heard"),
    [(fault, ENDINGS[(index + turn) % 3]) for index, fault in enumerate(SIP_FAULTS) for turn in range(2)],
)
async def test_a_sip_leg_that_fails_is_not_the_end(faults: str, heard: Heard) -> None:
    await hears(heard, faults, "twilio")


@pytest.mark.parametrize("heard", ENDINGS)
async def test_a_sip_leg_without_tls_is_not_the_end(heard: Heard) -> None:
    async with no_tls() as target:
        await hears(heard, "", "twilio", sip=target)


@pytest.mark.parametrize("stream", ["stream_refused", "stream_never_starts", "stream_cut=0.2"])
async def test_when_everything_fails_the_caller_hears_so(stream: str) -> None:
    await hears_the_last_words(f"sip_status=503, {stream}", "twilio")


# Who is let in -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("faults", ["forged", "unsigned"])
async def test_nobody_else_may_say_that_a_call_comes(faults: str) -> None:
    async with town() as place:
        call = await place.call(faults=faults)
        await place.over(call)
        assert await counted(place, "bad_signature") >= 1
        assert await place.store.calls() == ()
        assert not call.legs_to("sip:")


async def test_a_copy_of_a_webhook_has_no_second_effect() -> None:
    async with town(AnswerByStream()) as place, asyncio.timeout(LIMIT_S):
        call = await place.call(faults="duplicate, replayed=0.1")
        assert await call.caller.hears_speech()
        call.caller.hang_up()
        await place.over(call)
        assert len(await place.calls_of(call)) == 1
        assert await counted(place, "duplicate") >= 1
        assert await counted(place, "bad_signature") == 0


# Warm transfers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [AnswerBySip(), AnswerByStream()])
async def test_a_colleague_takes_the_call(step: AnswerBySip | AnswerByStream) -> None:
    await is_brought_in("twilio", step)


@pytest.mark.parametrize("colleague", NOT_THERE, ids=repr)
async def test_a_colleague_who_does_not_take_it_leaves_the_caller_with_the_agent(
    colleague: Subscriber,
) -> None:
    await stays_with_the_agent("twilio", colleague)


async def test_a_caller_who_hangs_up_calls_nobody_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipagent.calls.transferring.WARM_ANSWER_S", 40.0)
    await hangs_up_while_it_rings("twilio")
    await hangs_up_while_it_rings("twilio", AnswerByStream())


async def test_a_colleague_whose_caller_nobody_brings_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipagent.carrier.plan.PERSON_WAITS_S", 2)
    await is_told_that_nobody_comes("twilio")
