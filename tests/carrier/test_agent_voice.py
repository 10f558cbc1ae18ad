"""What the agent says, on its way to the caller, on a clock that jumps."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipagent.audio.g711 import decode_pcmu
from sipagent.carrier.agent_voice import AgentVoice
from sipagent.carrier.pacer import Pacer
from sipagent.carrier.stream import MarkPlayed, StreamEvent, StreamFormat
from sipagent.identifiers import ItemId
from tests.carrier.pretended_stream import PretendedStream
from tests.support.virtual_time import run_virtually

ITEM = ItemId("item_1")
OTHER = ItemId("item_2")
SPEECH = bytes(random.Random(7).randrange(0, 120) for _ in range(8000 * 6))
"""Six seconds that repeat nowhere."""


def voice_of(stream: PretendedStream, pacer: Pacer) -> AgentVoice:
    voice = AgentVoice(stream, pacer)

    def hear(event: StreamEvent) -> None:
        assert isinstance(event, MarkPlayed)
        voice.confirmed(event.name)

    stream.listen(hear)
    voice.probe()
    return voice


@pytest.mark.parametrize("way_s", [0.0, 0.04, 0.15])
@pytest.mark.parametrize("late_s", [0.0, 0.06])
@pytest.mark.parametrize("confirms", [True, False])
def test_what_is_told_at_an_interruption_is_what_was_heard(
    way_s: float, late_s: float, confirms: bool
) -> None:
    if not confirms and (late_s or way_s):
        pytest.skip("without marks nobody can know")

    async def interrupt_after(pause_s: float) -> float:
        with Pacer() as pacer:
            stream = PretendedStream(way_s=way_s, late_s=late_s, confirms=confirms)
            voice = voice_of(stream, pacer)
            await asyncio.sleep(0.5)
            for at in range(0, len(SPEECH), 1600):
                voice.play(ITEM, 0, SPEECH[at : at + 1600])
            await asyncio.sleep(pause_s)
            state = voice.get_state()
            voice.on_interrupted()
            await asyncio.sleep(1.0)
            heard = stream.heard
            assert SPEECH.startswith(heard)
            assert state["current_item_id"] == ITEM
            assert state["elapsed_ms"] is not None
            return state["elapsed_ms"] - len(heard) / 8

    for pause_s in (0.31, 0.55, 1.0, 1.234, 2.71, 4.4):
        if late_s and pause_s < 2 * way_s + late_s + 0.02:
            continue  # nobody can know that yet
        error_ms = run_virtually(interrupt_after(pause_s))
        assert abs(error_ms) <= 20, f"after {pause_s} s: {error_ms} ms"


def test_a_way_that_is_now_longer_and_now_shorter_is_not_taken_for_what_was_heard() -> None:
    jitter_s = 0.03

    async def interrupt_after(pause_s: float) -> float:
        with Pacer() as pacer:
            stream = PretendedStream(way_s=0.08, jitter_s=jitter_s)
            voice = voice_of(stream, pacer)
            probing = asyncio.create_task(voice.keep_probing())
            await asyncio.sleep(1.0)
            voice.play(ITEM, 0, SPEECH)
            await asyncio.sleep(pause_s)
            told_ms = voice.get_state()["elapsed_ms"]
            voice.on_interrupted()
            await asyncio.sleep(1.0)
            probing.cancel()
            await asyncio.wait([probing])
            assert told_ms is not None
            return told_ms - len(stream.heard) / 8

    errors_ms = [abs(run_virtually(interrupt_after(0.7 + number * 0.171))) for number in range(25)]
    assert max(errors_ms) <= 1.5 * jitter_s * 1000
    assert sum(errors_ms) / len(errors_ms) <= 0.7 * jitter_s * 1000


def test_a_carrier_that_begins_late_is_known_from_the_second_sound_on() -> None:
    async def scene() -> None:
        with Pacer() as pacer:
            stream = PretendedStream(way_s=0.1, late_s=0.08)
            voice = voice_of(stream, pacer)
            await asyncio.sleep(0.5)
            voice.play(ITEM, 0, SPEECH[:8000])
            voice.finish(ITEM, 0)
            await asyncio.sleep(3.0)
            before = len(stream.heard)
            voice.play(OTHER, 0, SPEECH)
            await asyncio.sleep(0.15)
            state = voice.get_state()
            voice.on_interrupted()
            await asyncio.sleep(1.0)
            assert state["current_item_id"] == OTHER
            assert state["elapsed_ms"] == pytest.approx((len(stream.heard) - before) / 8, abs=20)

    run_virtually(scene())


def test_an_interruption_is_passed_on_in_the_same_turn_and_nothing_follows() -> None:
    async def scene() -> None:
        with Pacer() as pacer:
            stream = PretendedStream()
            voice = voice_of(stream, pacer)
            voice.play(ITEM, 0, SPEECH)
            await asyncio.sleep(1.0)
            sent = sum(length for _, length in stream.arrivals)
            voice.on_interrupted()
            assert stream.clears == [1.0]
            assert len(pacer) == 0
            await asyncio.sleep(1.0)
            assert sum(length for _, length in stream.arrivals) == sent
            assert voice.get_state() == {
                "current_item_id": None,
                "current_item_content_index": None,
                "elapsed_ms": None,
            }
            voice.on_interrupted()
            assert len(stream.clears) == 1, "nothing to be cleared"
            voice.play(OTHER, 0, SPEECH[:1600])
            voice.finish(OTHER, 0)
            await asyncio.sleep(0.1)
            state = voice.get_state()
            assert state["current_item_id"] == OTHER
            assert state["elapsed_ms"] == pytest.approx(100, abs=2)

    run_virtually(scene())


def test_the_carrier_never_holds_more_than_the_lead_and_never_runs_dry() -> None:
    async def scene() -> None:
        with Pacer() as pacer:
            stream = PretendedStream(lead_ms=200)
            voice = voice_of(stream, pacer)
            voice.play(ITEM, 0, SPEECH)
            voice.finish(ITEM, 0)
            began = asyncio.get_running_loop().time()
            while (passed := asyncio.get_running_loop().time() - began) < 5.7:
                assert 0.14 <= stream.ahead_s <= 0.215, passed
                await asyncio.sleep(0.003)
            await asyncio.sleep(1.0)
            assert stream.heard == SPEECH
            assert len(stream.sounds) == len(SPEECH) // 160
            assert all(length == 160 for _, length in stream.arrivals)
            ends = [sound.begins_at + len(sound.audio) / 8000 for sound in stream.sounds]
            starts = [sound.begins_at for sound in stream.sounds]
            assert all(abs(a - b) < 1e-6 for a, b in zip(ends, starts[1:], strict=False)), "no gap"
            assert len(pacer) == 0
            assert stream.marks_confirmed >= 6 / 0.2

    run_virtually(scene())


def test_what_comes_in_drops_is_heard_without_waiting_for_more() -> None:
    async def scene() -> None:
        with Pacer() as pacer:
            stream = PretendedStream()
            voice = voice_of(stream, pacer)
            voice.play(ITEM, 0, SPEECH[:1000])
            assert [length for _, length in stream.arrivals] == [160] * 6, "at once, but for the rest"
            await asyncio.sleep(0.2)
            assert [length for _, length in stream.arrivals] == [160] * 7, "the rest, before it is missed"
            voice.play(ITEM, 0, SPEECH[1000:1500])
            voice.finish(ITEM, 0)
            await asyncio.sleep(0.5)
            assert stream.heard == (SPEECH[:1000] + b"\xff" * 120 + SPEECH[1000:1500] + b"\xff" * 140)
            state = voice.get_state()
            assert state["elapsed_ms"] == 187.5

    run_virtually(scene())


def test_speech_that_comes_frame_by_frame_needs_no_mark_for_each() -> None:
    async def scene() -> None:
        with Pacer() as pacer:
            stream = PretendedStream()
            voice = voice_of(stream, pacer)
            for at in range(0, 16000, 160):
                voice.play(ITEM, 0, SPEECH[at : at + 160])
                await asyncio.sleep(0.02)
            voice.finish(ITEM, 0)
            await asyncio.sleep(1.0)
            assert stream.heard == SPEECH[:16000]
            assert 10 <= stream.marks_confirmed <= 14
            assert voice.heard.is_quiet, "the last of them says that all was heard"

    run_virtually(scene())


def test_parts_follow_one_another_and_one_can_be_withdrawn() -> None:
    async def scene() -> None:
        with Pacer() as pacer:
            stream = PretendedStream()
            voice = voice_of(stream, pacer)
            voice.play(ITEM, 0, SPEECH[:8000])
            voice.finish(ITEM, 0)
            voice.play(OTHER, 0, SPEECH[8000:16000])
            voice.finish(OTHER, 0)
            voice.play(ItemId("item_3"), 1, SPEECH[16000:24000])
            await asyncio.sleep(0.1)
            voice.withdraw(OTHER, 0)
            await asyncio.sleep(1.15)
            state = voice.get_state()
            assert (state["current_item_id"], state["current_item_content_index"]) == ("item_3", 1)
            assert state["elapsed_ms"] == pytest.approx(250, abs=2)
            await asyncio.sleep(2)
            assert stream.heard == SPEECH[:8000] + SPEECH[16000:24000]

    run_virtually(scene())


def test_marks_that_never_come_back_do_not_hold_the_place_for_ever() -> None:
    async def scene() -> None:
        with Pacer() as pacer:
            stream = PretendedStream()
            stream.mute_marks = True
            voice = voice_of(stream, pacer)
            voice.play(ITEM, 0, SPEECH)
            await asyncio.sleep(1.0)
            state = voice.get_state()
            assert state["elapsed_ms"] == 20.0, "not beyond the first that is not confirmed"
            await asyncio.sleep(2.5)
            state = voice.get_state()
            assert state["elapsed_ms"] == pytest.approx(3500, abs=25), "the clock alone"

    run_virtually(scene())


def test_a_socket_that_is_not_read_holds_speech_back_instead_of_losing_it() -> None:
    async def scene() -> None:
        with Pacer() as pacer:
            stream = PretendedStream()
            voice = voice_of(stream, pacer)
            voice.play(ITEM, 0, SPEECH[:16000])
            voice.finish(ITEM, 0)
            await asyncio.sleep(0.5)
            stream.can_send = False
            await asyncio.sleep(2.0)
            stream.can_send = True
            await asyncio.sleep(2.0)
            assert stream.heard == SPEECH[:16000]
            state = voice.get_state()
            assert state["elapsed_ms"] == 2000.0

    run_virtually(scene())


def test_linear_audio_is_played_to_a_carrier_that_speaks_it() -> None:
    async def scene() -> None:
        with Pacer() as pacer:
            spoken = StreamFormat(encoding="pcm16", rate_hz=8000)
            stream = PretendedStream(plays=spoken, confirms=False, lead_ms=40)
            voice = voice_of(stream, pacer)
            assert voice.session_format == "g711_ulaw"
            voice.play(ITEM, 0, SPEECH[:8000])
            voice.finish(ITEM, 0)
            for _ in range(45):
                await asyncio.sleep(0.02)
                assert stream.ahead_s <= 0.055
            await asyncio.sleep(1.0)
            assert stream.heard == decode_pcmu(SPEECH[:8000])

    run_virtually(scene())


class Listener:
    """Hears when the caller hears what."""

    def __init__(self) -> None:
        self.heard: list[tuple[float, int]] = []
        self.cuts: list[float] = []

    def caller_said(self, audio: bytes, at_s: float) -> None:
        raise AssertionError("nobody speaks")

    def agent_said(self, audio: bytes, at_s: float) -> None:
        self.heard.append((at_s, len(audio)))

    def agent_cut(self, at_s: float) -> None:
        self.cuts.append(at_s)


def test_what_a_recording_is_told_has_no_gap_where_the_caller_heard_none() -> None:
    async def scene() -> None:
        with Pacer() as pacer:
            stream, tap = PretendedStream(way_s=0.1, late_s=0.2), Listener()
            voice = voice_of(stream, pacer)
            await asyncio.sleep(0.5)
            voice.tap = tap
            voice.play(ITEM, 0, SPEECH[:24000])
            voice.finish(ITEM, 0)
            await asyncio.sleep(4.0)
            voice.play(OTHER, 0, SPEECH[24000:])
            await asyncio.sleep(1.0)
            voice.on_interrupted()
            await asyncio.sleep(1.0)
            gaps = [
                number
                for number, ((at, length), (then, _)) in enumerate(
                    zip(tap.heard, tap.heard[1:], strict=False)
                )
                if abs(then - at - length / 8000) > 0.001
            ]
            assert gaps == [149], "one, between the two sounds"
            # That this carrier begins late is known by then. What it brings from there takes 100 ms.
            began_at = stream.sounds[150].begins_at
            assert tap.heard[150][0] == pytest.approx(began_at + 0.1, abs=0.02)
            assert tap.cuts == [pytest.approx(stream.clears[0] + 0.1, abs=0.02)]

    run_virtually(scene())


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["play", "other", "finish", "interrupt", "withdraw", "wait"]),
            st.integers(1, 5000),
        ),
        max_size=25,
    ),
    st.sampled_from([0.0, 0.03, 0.2]),
)
def test_whatever_happens_the_place_is_within_what_was_said(
    acts: list[tuple[str, int]], way_s: float
) -> None:
    async def scene() -> None:
        with Pacer() as pacer:
            stream = PretendedStream(way_s=way_s)
            voice = voice_of(stream, pacer)
            said = {ITEM: 0, OTHER: 0}
            for act, size in acts:
                match act:
                    case "play":
                        voice.play(ITEM, 0, SPEECH[:size])
                        said[ITEM] += size
                    case "other":
                        voice.play(OTHER, 0, SPEECH[:size])
                        said[OTHER] += size
                    case "finish":
                        voice.finish(ITEM, 0)
                    case "withdraw":
                        voice.withdraw(OTHER, 0)
                    case "interrupt":
                        voice.on_interrupted()
                        said = {ITEM: 0, OTHER: 0}
                    case _:
                        await asyncio.sleep(size / 8000)
                state = voice.get_state()
                if state["current_item_id"] is not None:
                    assert state["elapsed_ms"] is not None
                    limit = said[ItemId(state["current_item_id"])] / 8
                    assert 0 <= state["elapsed_ms"] <= limit
            await asyncio.sleep(30.0)
            assert len(pacer) == 0

    run_virtually(scene())
