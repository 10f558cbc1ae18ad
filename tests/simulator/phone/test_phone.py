from __future__ import annotations

import asyncio
from dataclasses import replace
from urllib.parse import quote

import pytest

from sipagent.errors import SimulatorError
from sipagent.simulator.phone import HangUp, Pause, Phone, Press, Say, Step
from sipagent.simulator.sip.call import SipEnd
from sipagent.simulator.sip.settings import ListenAddress, Transport
from sipagent.simulator.voice import Voice
from tests.simulator.phone.rig import DEADLINE_S, QUICK, SPOKEN_RMS, pair
from tests.support.eventually import eventually


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_a_whole_conversation_over_every_transport(transport: Transport) -> None:
    ben_does: list[Step] = [
        Say(text="Good day", waits=False),
        Say(text="How nice"),
        Say(text="Goodbye"),
        HangUp(waits=False),
    ]
    settings = replace(QUICK, srtp=transport == "tls")
    async with (
        pair(transport=transport, ben_does=ben_does, settings=settings) as phones,
        asyncio.timeout(DEADLINE_S),
    ):
        call = await phones.ann.dial(phones.target, says=["It is me", "I must go"])
        assert await call.ended() is SipEnd.BYE
        other = await phones.ben.next_call()
        assert await other.ended() is SipEnd.LOCAL
    assert call.media.secured is (transport == "tls")
    assert (call.media.ears.turns_finished, other.media.ears.turns_finished) == (2, 2)
    for side in (call, other):
        assert side.said_rms > SPOKEN_RMS
        assert side.heard_rms > SPOKEN_RMS
        statistics = side.statistics()
        assert statistics.frames_lost == 0
        assert statistics.frames_received > 50


async def test_the_lines_are_announced_in_headers() -> None:
    async with pair() as phones, asyncio.timeout(DEADLINE_S):
        await phones.ann.dial(
            phones.target,
            steps=[Say(text="Schön: 5 %, ja?"), Pause(seconds=0), Press(digits="1")],
            will_say=["Later"],
            headers=[("X-Test", "one"), ("X-Test", "two")],
            to_uri='"Front desk" <sip:+15550100000@127.0.0.1>',
        )
        other = await phones.ben.next_call()
        headers = other.sip.headers
    said = [value for name, value in headers if name == "X-Sipagent-Caller-Says"]
    assert said == [quote("Schön: 5 %, ja?"), "Later"]
    assert [value for name, value in headers if name == "X-Test"] == ["one", "two"]
    by_name = dict(headers)
    assert by_name["To"].startswith('"Front desk" <sip:+15550100000@127.0.0.1>')
    assert by_name["From"].startswith("<sip:+15550100123@127.0.0.1>;tag=")


async def test_keys_are_pressed_after_the_lines() -> None:
    async with pair(ben_does=[Say(text="Press a key", waits=False)]) as phones, asyncio.timeout(DEADLINE_S):
        call = await phones.ann.dial(phones.target, digits="12#")
        other = await phones.ben.next_call()
        await eventually(lambda: other.statistics().digits == "12#")
        assert call.media.ears.turns_finished == 1, "not before Ben had finished"


async def test_a_busy_phone_refuses() -> None:
    async with pair(auto_answer=False) as phones, asyncio.timeout(DEADLINE_S):
        call = await phones.ann.dial(phones.target)
        with pytest.raises(SimulatorError, match="status 486"):
            await call.answered()
        assert await call.ended() is SipEnd.REJECTED
        assert call.status == 486
        assert not phones.ben.calls


async def test_bad_targets_and_keys_are_refused_at_once() -> None:
    async with pair() as phones, asyncio.timeout(DEADLINE_S):
        for target in ("mailto:ann@example.com", "sip:", "nonsense"):
            with pytest.raises(SimulatorError):
                await phones.ann.dial(target)
        with pytest.raises(SimulatorError, match="telephone key"):
            await phones.ann.dial(phones.target, digits="1x")
        assert not phones.ann.calls


async def test_an_address_in_use_is_an_error() -> None:
    async with pair() as phones:
        with pytest.raises(SimulatorError):
            await Phone.open(voice=Voice("tones"), listen=phones.ben.address)


async def test_several_addresses_and_a_shared_pacer() -> None:
    async with pair() as phones, asyncio.timeout(DEADLINE_S):
        addresses = [
            ListenAddress(transport=transport, host="127.0.0.1", port=0) for transport in ("udp", "tcp")
        ]
        async with await Phone.open(
            voice=Voice("tones"), listen=addresses, pacer=phones.ann._pacer, settings=QUICK
        ) as third:
            assert [address.transport for address in third.addresses] == ["udp", "tcp"]
            assert third.address == third.addresses[0]
            for address in third.addresses:
                call = await phones.ann.dial(f"sip:x@127.0.0.1:{address.port};transport={address.transport}")
                await call.answered()
                await call.hang_up()
        # The pacer goes on after the phone that borrowed it has gone.
        call, _ = await phones.connected()
        await eventually(lambda: call.statistics().frames_sent > 3)


async def test_unplugging_hangs_up_and_is_idempotent() -> None:
    async with pair() as phones, asyncio.timeout(DEADLINE_S):
        call, other = await phones.connected(says=["never said, as Ben is silent"])
        await phones.ann.aclose()
        await phones.ann.aclose()
        assert await call.ended() is SipEnd.LOCAL
        assert await other.ended() is SipEnd.BYE


async def test_unplugging_while_it_rings_elsewhere_cancels() -> None:
    async with pair(ben_settings=replace(QUICK, rings_for_s=60)) as phones, asyncio.timeout(DEADLINE_S):
        call = await phones.ann.dial(phones.target)
        assert await call.ringing()
        await phones.ann.aclose()
        assert await (await phones.ben.next_call()).ended() is SipEnd.CANCELLED


async def test_many_calls_that_nobody_asks_for_are_taken() -> None:
    async with pair() as phones, asyncio.timeout(DEADLINE_S):
        for _ in range(3):
            call = await phones.ann.dial(phones.target)
            await call.answered()
            await call.hang_up()
        await eventually(lambda: len(phones.ben.calls) == 3)
        assert len(phones.ann.calls) == 3
        assert await phones.ben.next_call() is phones.ben.calls[0]
