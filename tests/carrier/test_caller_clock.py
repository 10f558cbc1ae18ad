"""When a caller said what came just now."""

from __future__ import annotations

import pytest

from sipagent.carrier.caller_clock import CallerClock

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


def test_a_pause_begins_anew_where_frames_are_counted() -> None:
    clock = CallerClock()
    clock.began_at(FRAME, None, 10.02)
    assert clock.began_at(FRAME, None, 15.02) == pytest.approx(15.0)
    assert clock.began_at(FRAME, None, 15.04) == pytest.approx(15.02)
