"""What a turn took, from facts and the times at which they came."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.identifiers import ResponseId
from sipagent.realtime import RunContextWrapper
from sipagent.realtime.agent_events import RealtimeEventInfo
from sipagent.realtime.turn_metrics import RealtimeTurnMetrics, TurnMeasure

R1, R2 = ResponseId("resp_1"), ResponseId("resp_2")
INFO = RealtimeEventInfo(context=RunContextWrapper(None))


def measure() -> TurnMeasure:
    return TurnMeasure(INFO)


def ended(measured: TurnMeasure, now: float = 60.0, *, cut_off: bool = False) -> RealtimeTurnMetrics:
    metrics = measured.end(now, cut_off=cut_off)
    assert metrics is not None
    assert not measured.goes_on
    return metrics


def test_a_turn_is_measured_from_the_callers_end() -> None:
    turn = measure()
    turn.caller_started()
    turn.caller_stopped(10.0)
    assert not turn.goes_on
    turn.began(R1, 10.1)
    turn.has_text(R1, 10.4)
    turn.has_text(R1, 10.6)
    turn.plays(R1, 10.5)
    turn.has_sound(R1, 10.7)
    turn.played(R1, cut_off=False)
    metrics = ended(turn)
    assert metrics.first_word_ms == pytest.approx(500)
    assert metrics.first_text_ms == pytest.approx(400)
    assert (metrics.response_ids, metrics.responses) == ((R1,), 1)
    assert (metrics.requested_ms, metrics.tool_ms, metrics.tool_calls) == (None, 0.0, 0)
    assert not metrics.interrupted
    assert turn.end(60.0) is None


def test_where_nobody_spoke_the_request_counts() -> None:
    turn = measure()
    turn.requested(1.0)
    turn.requested(2.0)  # it was asked again
    turn.began(R1, 2.1)
    turn.has_text(R1, 2.5)
    turn.has_sound(R1, 2.75)
    metrics = ended(turn)
    assert metrics.first_word_ms is None
    assert metrics.first_text_ms == pytest.approx(500)
    assert metrics.requested_ms == pytest.approx(750)


def test_a_request_of_long_ago_does_not_count() -> None:
    turn = measure()
    turn.requested(1.0)
    turn.began(R1, 1.1)
    turn.requested(1.2)
    turn.began(R2, 1.3)
    ended(turn)
    turn.began(ResponseId("resp_3"), 50.0)
    turn.has_sound(ResponseId("resp_3"), 50.5)
    metrics = ended(turn)
    assert (metrics.first_word_ms, metrics.first_text_ms, metrics.requested_ms) == (None, None, None)


def test_a_caller_who_goes_on_has_not_ended() -> None:
    turn = measure()
    turn.caller_stopped(10.0)
    turn.caller_started()
    turn.caller_stopped(12.0)
    turn.began(R1, 12.1)
    turn.has_sound(R1, 12.5)
    assert ended(turn).first_word_ms == pytest.approx(500)


def test_a_turn_goes_on_over_its_responses_until_the_caller_is_answered_again() -> None:
    turn = measure()
    turn.caller_stopped(10.0)
    assert turn.began(R1, 10.1) is None
    assert turn.began(R2, 11.0) is None
    turn.caller_started()
    turn.caller_stopped(12.0)
    metrics = turn.began(ResponseId("resp_3"), 12.1)
    assert metrics is not None
    assert metrics.response_ids == (R1, R2)
    assert ended(turn).response_ids == ("resp_3",)


def test_what_belongs_to_no_turn_is_not_measured() -> None:
    turn = measure()
    turn.has_text(R1, 1.0)
    turn.plays(R1, 1.0)
    turn.cancelled(R1)
    turn.played(R1, cut_off=True)
    turn.tool_called("call_1")
    turn.began(R2, 2.0)
    turn.has_text(R1, 3.0)
    turn.plays(R1, 3.0)
    turn.cancelled(R1)
    turn.tool_starts("call_1", 3.0)
    turn.tool_ends("call_1", 4.0)
    assert not turn.waits_for_tools
    metrics = ended(turn)
    assert (metrics.first_text_ms, metrics.tool_calls, metrics.tool_ms) == (None, 0, 0.0)
    assert not metrics.interrupted


def test_tools_at_the_same_time_are_counted_once() -> None:
    turn = measure()
    turn.began(R1, 1.0)
    for call_id in ("a", "b", "c"):
        turn.tool_called(call_id)
    turn.tool_starts("a", 1.0)
    turn.tool_starts("b", 1.5)
    turn.tool_ends("a", 2.0)
    turn.tool_ends("b", 3.0)
    turn.tool_starts("c", 5.0)
    waits = [turn.waits_for_tools]
    for call_id in ("a", "b", "c"):
        turn.tool_answered(call_id)
    assert [*waits, turn.waits_for_tools] == [True, False]
    metrics = ended(turn, 5.25)  # one still runs
    assert metrics.tool_calls == 3
    assert metrics.tool_ms == pytest.approx(2250)


@pytest.mark.parametrize("how", ["cleared", "cancelled", "hung up"])
def test_an_agent_that_is_cut_off_was_interrupted(how: str) -> None:
    turn = measure()
    turn.began(R1, 1.0)
    turn.plays(R1, 1.0)
    if how == "cleared":
        turn.played(R1, cut_off=True)
    elif how == "cancelled":
        turn.cancelled(R1)
    assert ended(turn, cut_off=how == "hung up").interrupted


def test_what_was_heard_to_its_end_cannot_be_cut_off_any_more() -> None:
    turn = measure()
    turn.began(R1, 1.0)
    turn.plays(R1, 1.0)
    turn.played(R1, cut_off=False)
    turn.played(R1, cut_off=True)
    assert not ended(turn).interrupted


@dataclass
class Run:
    """When one tool runs."""

    start: float
    length: float
    call_id: str = field(default="")


@given(st.lists(st.builds(Run, st.floats(0, 50), st.floats(0, 50)), max_size=8))
def test_the_time_of_tools_is_the_time_in_which_any_runs(runs: list[Run]) -> None:
    turn = measure()
    turn.began(R1, 0.0)
    moments: list[tuple[float, int, str]] = []
    for number, run in enumerate(runs):
        turn.tool_called(str(number))
        moments += [(run.start, 0, str(number)), (run.start + run.length, 1, str(number))]
    for now, ends, call_id in sorted(moments):
        (turn.tool_ends if ends else turn.tool_starts)(call_id, now)
    covered, until = 0.0, 0.0
    for run in sorted(runs, key=lambda each: each.start):
        end = run.start + run.length
        covered += max(0.0, end - max(run.start, until))
        until = max(until, end)
    assert ended(turn, 200.0).tool_ms == pytest.approx(covered * 1000, abs=1e-6)
