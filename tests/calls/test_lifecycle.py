"""The table of call states."""

from __future__ import annotations

import pytest

from sipagent.calls.lifecycle import TRANSITIONS, CallLifecycle, CallState


def test_every_state_has_a_row_and_can_reach_the_end() -> None:
    assert set(TRANSITIONS) == set(CallState)
    for state in CallState:
        reachable, frontier = {state}, {state}
        while frontier:
            frontier = {step for one in frontier for step in TRANSITIONS[one]} - reachable
            reachable |= frontier
        assert CallState.ENDED in reachable


def test_the_end_is_never_left() -> None:
    assert TRANSITIONS[CallState.ENDED] == frozenset()


def test_steps_are_counted_in_order() -> None:
    lifecycle = CallLifecycle()
    steps = [CallState.ACCEPTING, CallState.ATTACHING, CallState.TALKING, CallState.ENDING, CallState.ENDED]
    assert [lifecycle.enter(step) for step in steps] == [1, 2, 3, 4, 5]
    assert lifecycle.state is CallState.ENDED


@pytest.mark.parametrize("state", list(CallState))
def test_a_step_outside_the_table_is_our_mistake(state: CallState) -> None:
    for step in set(CallState) - TRANSITIONS[state]:
        lifecycle = CallLifecycle()
        lifecycle.state = state
        with pytest.raises(AssertionError, match="cannot go from"):
            lifecycle.enter(step)
