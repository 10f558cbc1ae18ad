"""How much time a call has left, with time passed in."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from sipagent.calls.endings import EndReason
from sipagent.calls.wrapping_up import SESSION_MARGIN_S, TimeLeft


def time_left(before_s: float | None = 60, maximum_s: float = 600) -> TimeLeft:
    return TimeLeft(began=1000, maximum_s=maximum_s, wrap_up_before_s=before_s)


def test_a_signal_to_wrap_up_and_one_that_time_is_over() -> None:
    left = time_left()
    assert left.deadline(free=True) == 1540
    assert left.due(1539.9, free=True) is None
    assert left.due(1540, free=True) == "wrap_up"
    assert left.left_s(1540) == 60
    assert left.due(1550, free=True) is None
    assert left.deadline(free=True) == 1600
    assert left.due(1600, free=True) == "over"
    assert left.reason is EndReason.MAXIMUM_DURATION
    assert left.deadline(free=True) == math.inf
    assert left.due(2000, free=True) is None


def test_wrapping_up_waits_for_a_free_moment_but_not_for_ever() -> None:
    left = time_left()
    assert left.due(1540, free=False) is None
    assert left.deadline(free=False) == 1570
    assert left.due(1550, free=True) == "wrap_up"
    left = time_left()
    assert left.due(1570, free=False) == "wrap_up"


def test_without_a_wrap_up_there_is_the_end_alone() -> None:
    left = time_left(None)
    assert left.deadline(free=True) == 1600
    assert left.due(1600, free=False) == "over"


def test_a_short_call_is_not_wrapped_up_from_its_beginning() -> None:
    assert time_left(60, maximum_s=40).deadline(free=True) == 1020


def test_another_time_to_wrap_up_counts_from_when_it_is_known() -> None:
    left = time_left(60)
    left.wrap_up(None)
    assert left.deadline(free=True) == 1600
    left.wrap_up(120)
    assert left.due(1480, free=True) == "wrap_up"
    left.wrap_up(60)
    assert left.due(1560, free=True) is None, "the signal is given once"
    short = time_left(None, maximum_s=40)
    short.wrap_up(60)
    assert short.deadline(free=True) == 1020


def test_the_end_of_the_session_comes_first_where_it_is_nearer() -> None:
    left = time_left(maximum_s=3600)
    left.session_ends(1900)
    assert left.ends_at == 1900 - SESSION_MARGIN_S
    assert left.reason is EndReason.SESSION_LIMIT
    assert left.due(1810, free=True) == "wrap_up"


def test_a_session_that_outlasts_the_call_changes_nothing() -> None:
    left = time_left()
    left.session_ends(9000)
    assert left.ends_at == 1600
    assert left.reason is EndReason.MAXIMUM_DURATION


def test_a_moment_that_was_missed_gives_the_later_signal_only() -> None:
    assert time_left().due(5000, free=True) == "over"


@given(
    st.lists(st.tuples(st.floats(0, 200), st.booleans()), max_size=30),
    st.one_of(st.none(), st.floats(0.1, 1000)),
)
def test_there_is_always_something_due_at_the_deadline(
    steps: list[tuple[float, bool]], before_s: float | None
) -> None:
    left, now, signals = time_left(before_s), 1000.0, []
    for pause, free in steps:
        now += pause
        deadline = left.deadline(free=free)
        signal = left.due(now, free=free)
        assert (signal is not None) == (now >= deadline)
        signals.append(signal)
    assert [each for each in signals if each] in ([], ["wrap_up"], ["over"], ["wrap_up", "over"])
