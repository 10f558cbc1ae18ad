"""When a caller said what came just now."""

from __future__ import annotations

import random

import pytest

from sipagent.carrier.caller_clock import CallerClock
from sipagent.carrier.recording_tracks import Track

FRAME = bytes(160)


@pytest.mark.parametrize("counts", [True, False])
def test_what_was_held_up_counts_from_when_it_was_said(counts: bool) -> None:
    clock = CallerClock()

    def began(number: int, now: float) -> float:
        return clock.began_at(FRAME, 1000 + number * 20 if counts else None, now)

    assert began(0, 10.02) == pytest.approx(10.0)
    assert began(1, 10.04) == pytest.approx(10.02)
    # Three frames at once, late.
    assert [began(number, 10.30) for number in (2, 3, 4)] == pytest.approx([10.04, 10.06, 10.08])
    # One that came quicker than all before: that is the way itself.
    assert began(5, 10.115) == pytest.approx(10.095)
    assert began(6, 10.14) == pytest.approx(10.115)


@pytest.mark.parametrize("parts_per_million", [-300, 300])
@pytest.mark.parametrize("counts", [True, False])
def test_in_a_long_call_the_sides_of_a_recording_stay_together(parts_per_million: int, counts: bool) -> None:
    clock, track, chance = CallerClock(), Track(), random.Random(3)
    frame_s = 0.02 * (1 + parts_per_million / 1e6)
    worst = 0.0
    for number in range(600 * 50):
        said_s = number * frame_s
        now = said_s + frame_s + chance.choice((0.0, 0.003, 0.015))
        at_s = clock.began_at(FRAME, 1000 + number * 20 if counts else None, now)
        assert abs(at_s - said_s) < 0.03, number
        track.put(round(at_s * 8000), FRAME)
        worst = max(worst, abs(track.end / 8000 - said_s - frame_s))
        if number % 500 == 0:
            track.take(max(0, track.end - 800))
    assert worst < 0.08


def test_what_was_held_up_for_long_is_put_where_it_was_said() -> None:
    clock, track, speech = CallerClock(), Track(), bytes(random.Random(4).randbytes(8000 * 8))
    whole = bytearray()

    def take(end: int) -> None:
        for start, audio in track.take_late():
            whole[start : start + len(audio)] = audio
        whole.extend(track.take(end))

    for number in range(400):
        said_s = 1.0 + number * 0.02
        # From 2.5 s to 6.0 s nothing gets through.
        now = max(said_s + 0.02, 6.0) if 2.5 <= said_s < 6.0 else said_s + 0.02
        if number in (75, 250):
            take(round((now - 1.5) * 8000))
        at_s = clock.began_at(FRAME, number * 20 + 5, now)
        track.put(round(at_s * 8000), speech[number * 160 : number * 160 + 160])
    take(9 * 8000)
    take(9 * 8000)
    assert bytes(whole[8000:]) == speech


def test_a_time_that_stands_still_or_goes_back_is_not_gone_by() -> None:
    for times in ([7, 7, 7, 7], [900, 920, 0, 20]):
        clock = CallerClock()
        began = [
            clock.began_at(FRAME, time_ms, 10.02 + number * 0.02) for number, time_ms in enumerate(times)
        ]
        assert began == pytest.approx([10.0, 10.02, 10.04, 10.06])


def test_a_pause_begins_anew_where_frames_are_counted() -> None:
    clock = CallerClock()
    clock.began_at(FRAME, None, 10.02)
    assert clock.began_at(FRAME, None, 15.02) == pytest.approx(15.0)
    assert clock.began_at(FRAME, None, 15.04) == pytest.approx(15.02)
