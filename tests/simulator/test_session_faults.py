"""Faults that strike inside a session."""

from __future__ import annotations

from sipagent.simulator.speech import SilentVoice
from tests.simulator.session_rig import Rig

LONG = "greeting: This is a rather long sentence with a good many words in it.\n"
DELTA = "response.output_audio_transcript.delta"


async def test_the_socket_is_dropped_once_in_the_middle_of_a_response() -> None:
    async with Rig(LONG, faults="socket_dropped", voice=SilentVoice(ms_per_character=300)) as rig:
        rig.send("response.create")
        await rig.host.until("dropped")
        assert DELTA in rig.client.types
        assert "response.done" not in rig.client.types
        await rig.client.until("response.done")
        rig.leg.play_out()
        rig.say("Hello?")
        await rig.client.until("response.done", 2)
        assert rig.host.done.count("dropped") == 1


async def test_a_socket_fault_waits_until_there_is_a_socket() -> None:
    async with Rig(LONG, faults="socket_dropped", attached=False) as rig:
        rig.say("Hello?")
        await rig.leg.until_finishing()
        assert rig.host.done == []
        rig.leg.play_out()
        rig.conversation.attach(rig.client.take)
        rig.say("Hello?")
        await rig.host.until("dropped")


async def test_a_stalled_socket_says_nothing_more_until_another_is_attached() -> None:
    async with Rig(LONG, faults="socket_stalled") as rig:
        rig.send("response.create")
        await rig.leg.until_finishing()
        assert "response.done" not in rig.client.types
        assert DELTA in rig.client.types
        seen = len(rig.client.events)
        rig.send("session.update", session={"type": "realtime"})
        rig.send("nonsense")
        assert len(rig.client.events) == seen
        rig.conversation.attach(rig.client.take)
        rig.leg.play_out()
        assert rig.client.types[seen:] == ["session.created", "output_audio_buffer.stopped"]


async def test_playback_stop_may_be_missing() -> None:
    async with Rig(faults="playback_stop_missing") as rig:
        for turn in (1, 2):
            rig.say("Hello?")
            await rig.client.until("response.done", turn)
            rig.leg.play_out()
        assert len(rig.client.of("output_audio_buffer.started")) == 2
        assert not rig.client.of("output_audio_buffer.stopped")
        assert rig.host.done == ["finished", "finished"], "the caller hears silence all the same"


async def test_broken_and_unknown_events_come_between_good_ones() -> None:
    async with Rig(faults="malformed_event, unknown_event") as rig:
        rig.send("response.create")
        done = await rig.client.until("response.done")
        assert done["response"]["status"] == "completed"
        assert len(rig.client.broken) == 3
        unknown = rig.client.of("response.gesture.delta")
        assert len(unknown) == 1
        assert unknown[0]["event_id"].startswith("event_")


async def test_the_caller_hangs_up_in_the_middle_of_a_word() -> None:
    voice = SilentVoice(ms_per_character=300)
    async with Rig(LONG, faults="caller_hangs_up_speaking", attached=False, voice=voice) as rig:
        rig.say("Hello?")
        await rig.host.until("hung up")
        assert rig.leg.queued
        assert not rig.leg.finishing


async def test_the_caller_hangs_up_while_a_tool_runs() -> None:
    async with Rig("turns: [{call: next_free_slot}]\n", faults="caller_hangs_up_tool") as rig:
        rig.say("When?")
        await rig.client.until("response.done")
        assert rig.host.done == []
        await rig.host.until("hung up")


async def test_without_faults_nothing_goes_wrong() -> None:
    async with Rig(LONG) as rig:
        rig.send("response.create")
        await rig.client.until("response.done")
        rig.leg.play_out()
        assert rig.host.done == ["finished"]
        assert rig.client.broken == []
