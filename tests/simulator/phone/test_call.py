from __future__ import annotations

import asyncio
import wave
from dataclasses import replace
from pathlib import Path

import pytest

from sipagent.errors import SimulatorError
from sipagent.simulator.phone import HangUp, Pause, PhoneSettings, Say
from sipagent.simulator.rtp.receiver import SILENT_FRAME
from sipagent.simulator.sip.call import SipEnd
from sipagent.simulator.voice import Voice
from tests.simulator.phone.rig import DEADLINE_S, QUICK, SPOKEN_RMS, address_of, pair
from tests.support.eventually import eventually


async def test_a_user_played_by_hand_waits_says_and_presses() -> None:
    async with pair() as phones, asyncio.timeout(DEADLINE_S):
        ann, ben = await phones.connected()
        assert await ben.say("Who is there?")
        assert await ann.agent_finished()
        assert await ann.say("It is me")
        assert await ben.agent_finished()
        assert await ben.press("5")
        await eventually(lambda: ann.statistics().digits == "5")
        await ann.hang_up()
        assert await ben.ended() is SipEnd.BYE
        assert not await ann.say("anybody?"), "the call is over"
        assert not await ann.press("1")
        assert not await ben.agent_finished()
        assert not await ben.agent_speaking()


async def test_it_is_noticed_when_the_other_side_begins_to_speak() -> None:
    async with pair() as phones, asyncio.timeout(DEADLINE_S):
        ann, ben = await phones.connected()
        speaking = asyncio.ensure_future(
            ben.say("A long sentence that is interrupted somewhere in the middle")
        )
        assert await ann.agent_speaking()
        assert not speaking.done()
        assert await ann.say("Stop")
        await speaking


async def test_a_cancelled_speaker_falls_silent() -> None:
    async with pair() as phones, asyncio.timeout(DEADLINE_S):
        ann, ben = await phones.connected()
        speaking = asyncio.ensure_future(ben.say("word " * 100))
        await ann.agent_speaking()
        speaking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await speaking
        await eventually(lambda: ann.recording.right.endswith(SILENT_FRAME * 10))
        assert await ben.say("short")


async def test_lines_are_spoken_one_at_a_time() -> None:
    async with pair() as phones, asyncio.timeout(DEADLINE_S):
        ann, _ = await phones.connected()
        await asyncio.gather(ann.say("One"), ann.say("Two"))
        voice = Voice("tones", speaker="caller")
        said = ann.recording.left
        assert await voice.speak("One") in said
        assert await voice.speak("Two") in said


async def test_the_caller_gives_up_while_it_rings() -> None:
    async with pair(ben_settings=replace(QUICK, rings_for_s=60)) as phones, asyncio.timeout(DEADLINE_S):
        ann = await phones.ann.dial(phones.target)
        assert await ann.ringing()
        assert ann.status == 180
        await ann.hang_up()
        await ann.hang_up()
        ben = await phones.ben.next_call()
        assert await ben.ended() is SipEnd.CANCELLED
        assert await ann.ended() is SipEnd.LOCAL
        with pytest.raises(SimulatorError, match="not answered: local"):
            await ann.answered()


async def test_hold_and_resume() -> None:
    async with pair() as phones, asyncio.timeout(DEADLINE_S):
        ann, ben = await phones.connected()
        await eventually(lambda: ann.statistics().frames_received > 2)
        assert await ann.hold() == 200
        await asyncio.sleep(0.1)
        received = ann.statistics().frames_received
        await ben.say("Hello?")
        assert ann.statistics().frames_received == received
        assert await ann.resume() == 200
        await eventually(lambda: ann.statistics().frames_received > received + 5)
        assert await ben.hold() == 200
        assert await ben.resume() == 200
        await ben.hang_up()
        await ann.ended()
        assert await ann.hold() == 481


async def test_media_that_do_not_fit_end_the_call() -> None:
    ulaw, alaw = PhoneSettings(codecs=("PCMU",)), PhoneSettings(codecs=("PCMA",))
    async with pair(settings=ulaw, ben_settings=alaw) as phones, asyncio.timeout(DEADLINE_S):
        ann = await phones.ann.dial(phones.target)
        assert await ann.ended() is SipEnd.REJECTED
        assert ann.status == 488
        ben = await phones.ben.next_call()
        with pytest.raises(SimulatorError, match="PCMA"):
            await ben.ended()
        assert ben.failure is not None


async def test_an_impatient_user_speaks_into_the_silence() -> None:
    impatient = replace(QUICK, patience_s=0.3)
    async with pair(settings=impatient) as phones, asyncio.timeout(DEADLINE_S):
        ann = await phones.ann.dial(phones.target, steps=[Say(text="Hello?"), HangUp()])
        ben = await phones.ben.next_call()
        assert await ben.ended() is SipEnd.BYE
        assert await ann.ended() is SipEnd.LOCAL
        assert ben.media.ears.turns_begun == 1


async def test_steps_end_with_the_call() -> None:
    async with pair(ben_does=[HangUp(waits=False)]) as phones, asyncio.timeout(DEADLINE_S):
        ann = await phones.ann.dial(
            phones.target, steps=[Pause(seconds=0.2), Say(text="Hello?", waits=False)]
        )
        assert await ann.ended() is SipEnd.BYE
        await eventually(lambda: ann._life is not None and ann._life.done())
    assert ann.said_rms == 0


async def test_a_voice_that_fails_ends_the_call_and_is_told(tmp_path: Path) -> None:
    program = tmp_path / "espeak-ng"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    async with pair() as phones, asyncio.timeout(DEADLINE_S):
        phones.ann._voice = Voice("command", program=str(program))
        ann = await phones.ann.dial(phones.target, steps=[Say(text="Hello?", waits=False)])
        with pytest.raises(SimulatorError, match="no speech"):
            await ann.ended()
        assert await (await phones.ben.next_call()).ended() is SipEnd.BYE


async def test_the_recording_holds_both_sides(tmp_path: Path) -> None:
    async with pair() as phones, asyncio.timeout(DEADLINE_S):
        ann, ben = await phones.connected()
        await ann.say("This is on the left")
        assert ann.said_rms > SPOKEN_RMS
        assert ann.heard_rms == 0
        await ben.say("This is on the right")
        await eventually(lambda: ann.heard_rms > 0)
        await ann.agent_finished()
        path = tmp_path / "call.wav"
        await ann.write_wav(path)
        left, right = ann.recording.left, ann.recording.right
    with wave.open(str(path)) as reader:
        assert reader.getnchannels() == 2
        assert reader.getframerate() == 8000
    first_left = next(index for index, code in enumerate(left) if code != 0xFF)
    first_right = next(index for index, code in enumerate(right) if code != 0xFF)
    assert first_left < first_right, "Ann spoke first"
    assert abs(len(left) - len(right)) < 8000, "both sides are equally long, but for packets on their way"


async def test_a_transfer_leads_to_a_second_phone() -> None:
    async with pair() as phones, pair() as others, asyncio.timeout(DEADLINE_S):
        ann, ben = await phones.connected()
        assert await ben.sip.refer(address_of(others.ben)) == 202
        assert await ann.transferred()
        assert ann.transferred_to is not None
        person = await others.ben.next_call()
        await ann.transferred_to.answered()
        assert await person.say("Billing, how can I help?")
        assert await ann.transferred_to.agent_finished()
        await ben.hang_up()
        assert await ann.ended() is SipEnd.BYE
        assert not person.is_over, "the new call outlives the old one"


async def test_a_transfer_to_a_phone_that_refuses_leaves_the_call_alone() -> None:
    async with pair() as phones, pair(auto_answer=False) as others, asyncio.timeout(DEADLINE_S):
        ann, ben = await phones.connected()
        assert await ben.sip.refer(address_of(others.ben)) == 202
        assert await ann.transferred()
        assert ann.transferred_to is not None
        assert await ann.transferred_to.ended() is SipEnd.REJECTED
        assert not ann.is_over
        assert await ben.sip.refer("tel:+15550100001") == 416
