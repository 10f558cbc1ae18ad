"""How much of what was sent to a carrier its caller has heard, on a clock that is an argument."""

from __future__ import annotations

import asyncio

import pytest

from sipagent.carrier.agent_voice import AgentVoice
from sipagent.carrier.heard import Heard, _Mark
from sipagent.carrier.pacer import Pacer
from tests.carrier.pretended_stream import PretendedStream
from tests.carrier.test_agent_voice import ITEM, OTHER, SPEECH, voice_of
from tests.support.virtual_time import run_virtually


def heard_with_round_trip(seconds: float) -> Heard:
    heard = Heard(confirms=True)
    heard.marks("way", 0.0)
    heard.confirms("way", seconds)
    return heard


def test_the_mark_of_one_sound_that_comes_back_in_the_next_moves_nothing_ahead() -> None:
    heard = heard_with_round_trip(0.3)
    heard.sends(1600, 1.0)
    heard.marks("end", 1.0)
    # 200 ms are played by 1.2 s; the next begins at 1.3 s; the word of the first comes at 1.5 s.
    heard.sends(8000, 1.3)
    heard.confirms("end", 1.5)
    assert heard.position(1.5) == pytest.approx(1600 + 1600, abs=8)
    assert heard.position(1.7) == pytest.approx(1600 + 3200, abs=8)


def test_a_mark_that_comes_back_late_says_that_the_next_sound_began_late_too() -> None:
    heard = heard_with_round_trip(0.1)
    heard.sends(1600, 1.0)
    heard.marks("end", 1.0)
    heard.sends(8000, 1.3)
    heard.confirms("end", 1.5)  # passed at 1.4: the first was held back for 0.2 s
    assert heard.position(1.5) == pytest.approx(1600 + 800, abs=8)


@pytest.mark.parametrize("pause_s", [1.005, 1.02, 1.05, 1.1, 1.2])
def test_an_interruption_soon_after_a_pause_is_told_as_it_was_heard(pause_s: float) -> None:
    async def scene() -> None:
        with Pacer() as pacer:
            stream = PretendedStream(way_s=0.15)
            voice: AgentVoice = voice_of(stream, pacer)
            await asyncio.sleep(0.5)
            voice.play(ITEM, 0, SPEECH[:8000])
            voice.finish(ITEM, 0)
            await asyncio.sleep(pause_s)
            voice.play(OTHER, 0, SPEECH[8000:])
            await asyncio.sleep(0.25)
            state = voice.get_state()
            voice.on_interrupted()
            await asyncio.sleep(1.0)
            assert state["current_item_id"] == OTHER
            assert state["elapsed_ms"] == pytest.approx((len(stream.heard) - 8000) / 8, abs=20)

    run_virtually(scene())


def test_a_mark_that_is_sent_when_all_was_played_says_nothing_of_when_that_was() -> None:
    heard = heard_with_round_trip(0.1)
    heard.sends(1600, 1.0)
    heard.marks("end", 2.0)
    heard.confirms("end", 2.1)
    assert heard.is_quiet
    heard.sends(8000, 3.0)
    assert heard.position(3.2) == pytest.approx(1600 + 1600, abs=8), "this carrier begins at once"
    # One that has to wait says so all the same.
    heard = heard_with_round_trip(0.1)
    heard.sends(1600, 1.0)
    heard.marks("end", 1.25)
    heard.confirms("end", 1.45)
    heard.sends(8000, 3.0)
    assert heard.position(3.25) == pytest.approx(1600 + 800, abs=8), "it begins 150 ms later"


def test_one_word_that_is_held_up_moves_nothing_and_two_do() -> None:
    heard = heard_with_round_trip(0.1)
    heard.sends(16000, 1.0)
    for name, position in (("a", 1600), ("b", 3200), ("c", 4800), ("d", 6400), ("e", 8000)):
        heard._marks.append(_Mark(name=name, position=position))
    heard.confirms("a", 1.3)  # in time
    assert heard.position(1.45) == pytest.approx(3600, abs=8)
    heard.confirms("b", 1.56)  # 60 ms late, by the network or the carrier: nobody knows
    assert heard.position(1.6) == pytest.approx(4800, abs=8)
    heard.confirms("c", 1.70)  # in time: it was the network
    assert heard.position(1.7) == pytest.approx(5600, abs=8)
    heard.confirms("d", 1.96)
    heard.confirms("e", 2.15)  # 50 ms late: it is the carrier, which stood still
    assert heard.position(2.2) == pytest.approx(9600 - 400, abs=8)


def test_a_mark_that_was_played_already_is_no_measure_of_the_way() -> None:
    heard = heard_with_round_trip(0.3)
    heard.sends(800, 1.0)
    heard.marks("early", 1.0)
    heard.sends(1600, 1.0)
    # Played at 1.1 s: the word of it is on its way, and arrives much sooner than one that the clear causes.
    heard.cleared(1.2)
    heard.confirms("early", 1.25)
    assert heard.round_trip_s == pytest.approx(0.3)


def test_a_mark_that_the_clear_throws_away_measures_the_way() -> None:
    heard = heard_with_round_trip(0.3)
    heard.sends(8000, 1.0)
    heard.marks("far", 1.0)
    heard.cleared(1.2)
    heard.confirms("far", 1.4)
    assert heard.round_trip_s == pytest.approx(0.2)
