from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.audio.pacing import PaceWheel


def test_an_empty_wheel_waits_for_nobody() -> None:
    wheel: PaceWheel[str] = PaceWheel()
    assert wheel.next_due_s() is None
    assert wheel.due(1000.0) == []
    assert len(wheel) == 0


def test_a_stream_is_due_within_its_first_frame_and_then_every_20_ms() -> None:
    wheel: PaceWheel[str] = PaceWheel()
    wheel.add("a", 100.0)
    times = []
    for _ in range(50):
        due_s = wheel.next_due_s()
        assert due_s is not None
        assert wheel.due(due_s) == ["a"]
        times.append(due_s)
    assert 100.0 < times[0] <= 100.02
    gaps = [after - before for before, after in zip(times, times[1:], strict=False)]
    assert gaps == pytest.approx([0.02] * 49)


def test_nobody_is_due_before_the_deadline() -> None:
    wheel: PaceWheel[str] = PaceWheel()
    wheel.add("a", 0.0)
    due_s = wheel.next_due_s()
    assert due_s is not None
    assert wheel.due(due_s - 0.0011) == []


@given(lateness_s=st.lists(st.floats(0, 0.015), min_size=100, max_size=100))
def test_lateness_does_not_add_up(lateness_s: list[float]) -> None:
    wheel: PaceWheel[str] = PaceWheel()
    wheel.add("a", 0.0)
    count = 0
    now_s = 0.0
    for late_s in lateness_s:
        due_s = wheel.next_due_s()
        assert due_s is not None
        now_s = due_s + late_s
        count += len(wheel.due(now_s))
    assert count == pytest.approx(now_s / 0.02, abs=1)
    assert wheel.turns_skipped == 0


def test_streams_are_spread_over_the_frame() -> None:
    wheel: PaceWheel[int] = PaceWheel()
    for number in range(40):
        wheel.add(number, 5.0)
    seen: list[int] = []
    for _ in range(20):
        due_s = wheel.next_due_s()
        assert due_s is not None
        together = wheel.due(due_s)
        assert len(together) == 2
        seen += together
    assert sorted(seen) == list(range(40))


def test_a_short_stall_is_made_up_for_and_a_long_one_given_up() -> None:
    wheel: PaceWheel[str] = PaceWheel(max_backlog_frames=5)
    wheel.add("a", 0.0)
    assert wheel.due(0.08) == ["a"] * 4
    assert wheel.due(10.0) == ["a"] * 5
    assert wheel.turns_skipped > 400
    due_s = wheel.next_due_s()
    assert due_s is not None
    assert 10.0 < due_s <= 10.021


def test_an_idle_wheel_has_no_backlog() -> None:
    wheel: PaceWheel[str] = PaceWheel()
    wheel.add("a", 0.0)
    wheel.due(0.02)
    wheel.remove("a")
    wheel.add("b", 60.0)
    assert wheel.due(60.0) == []
    due_s = wheel.next_due_s()
    assert due_s is not None
    assert 60.0 < due_s <= 60.02
    assert wheel.turns_skipped == 0


def test_members_come_and_go_once() -> None:
    wheel: PaceWheel[str] = PaceWheel()
    wheel.add("a", 0.0)
    wheel.add("a", 0.0)
    assert len(wheel) == 1
    assert "a" in wheel
    wheel.remove("stranger")
    wheel.remove("a")
    assert "a" not in wheel
    assert wheel.due(1.0) == []
