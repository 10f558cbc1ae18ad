"""Calls that are answered, or whose ways fail, and what their callers hear in the end."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal, assert_never

import aiohttp

from sipagent.carrier.settings import (
    AnswerBySip,
    AnswerByStream,
    CallNumber,
    SayMessage,
    SipTarget,
    Step,
)
from sipagent.simulator.carrier import Busy, Person, Sound
from sipagent.simulator.carrier.announcer import tone
from tests.carrier.town import LIMIT_S, CarrierKind, Town, town

PERSON = "+15550100199"
WORDS = "Nobody can take your call."
SIP_FAULTS = (
    *(f"sip_status={code}" for code in (400, 403, 404, 408, 480, 486, 487, 488, 500, 503, 603)),
    "sip_silent",
    "sip_closed",
)
"""Each way in which a SIP leg fails, by the fault menu."""

Heard = Literal["agent", "person", "sentence"]
ENDINGS: tuple[Heard, ...] = ("agent", "person", "sentence")


def rescue(heard: Heard) -> tuple[Step, ...]:
    """The plan whose SIP leg is followed by something else."""
    first = AnswerBySip(answer_timeout_s=1)
    match heard:
        case "agent":
            return first, AnswerByStream()
        case "person":
            return first, CallNumber(number=PERSON)
        case "sentence":
            return first, SayMessage(words=WORDS)
        case _:
            assert_never(heard)


def somebody() -> Person:
    """Somebody who answers with a tone of a second."""
    return Person(does=(Sound(ulaw=tone((400,), seconds=1.0)),))


async def hears(heard: Heard, faults: str, by: CarrierKind, *, sip: SipTarget | None = None) -> None:
    """A call whose SIP leg fails by ``faults`` ends with ``heard``."""
    carrier = {"numbers": {PERSON: somebody()}}
    async with town(*rescue(heard), by=by, carrier=carrier, sip=sip) as place, asyncio.timeout(LIMIT_S):
        call = await place.call(faults=faults)
        match heard:
            case "agent":
                assert await call.caller.hears_speech()
                assert call.streams, "the agent speaks by an audio socket"
                assert not call.sentences
            case "person":
                await call.leg_answered(PERSON)
                assert await call.caller.hears_speech()
                assert not call.streams
            case "sentence":
                await call.ended()
                assert call.sentences == (WORDS,)
            case _:
                assert_never(heard)
        call.caller.hang_up()
        await place.over(call)


@asynccontextmanager
async def no_tls() -> AsyncIterator[SipTarget]:
    """An address at which TLS is asked for and something else is spoken."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SIP/2.0 400 This is no TLS\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield SipTarget(project="proj_demo", host="127.0.0.1", port=port, transport="tls", secure=False)


async def hears_the_last_words(faults: str, by: CarrierKind) -> None:
    """A call with ``faults``, for which all other ways fail as well, ends with words of the carrier."""
    steps = (
        AnswerBySip(answer_timeout_s=1),
        AnswerByStream(),
        CallNumber(number=PERSON),
        SayMessage(words=WORDS),
    )
    async with town(*steps, by=by, carrier={"numbers": {PERSON: Busy()}}) as place:
        call = await place.call(faults=faults)
        await place.over(call)
        assert call.sentences == (WORDS,)


async def talk_to_each_other(step: AnswerBySip | AnswerByStream, by: CarrierKind) -> None:
    """A call that ``step`` answers: caller and agent hear each other, until the caller hangs up."""
    async with town(step, by=by) as place, asyncio.timeout(LIMIT_S):
        call = await place.call()
        assert await call.caller.hears_speech()
        assert await call.caller.other_finished()
        await call.caller.say("Good morning, do you have a slot?")
        assert await call.caller.hears_speech(), "the agent answers what it heard"
        call.caller.hang_up()
        await place.over(call)
        record = await place.record(call)
        assert record.line == ("sip" if isinstance(step, AnswerBySip) else "stream")
        assert record.summary.caller == "+15550100123"
        assert record.summary.end_reason == "caller_hung_up"
        assert not call.notices


async def until_counted(place: Town, result: str) -> None:
    """Wait until a webhook of the carrier has ended with ``result``."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            if await counted(place, result):
                return
            await asyncio.sleep(0.05)


async def counted(place: Town, result: str) -> float:
    """How many webhooks of the carrier ended with ``result``, as the service says."""
    url = place.service.webhook_url.replace("/webhooks/openai", "/metrics")
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        text = await response.text()
    found = re.findall(
        rf'^sipagent_carrier_webhooks_total{{.*result="{result}".*}} (\S+)$', text, re.MULTILINE
    )
    return sum(float(value) for value in found)
