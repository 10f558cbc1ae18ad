"""The three limits of a call, with time passed in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.calls.endings import EndReason
from sipagent.calls.watch import LONGEST_SPEECH_S, CallLimits, CallWatch
from sipagent.realtime.session_events import (
    RealtimeAgentSpeechCleared,
    RealtimeAgentSpeechStarted,
    RealtimeAgentSpeechStopped,
    RealtimeCallerSpeechStarted,
    RealtimeCallerSpeechStopped,
    RealtimeDtmfReceived,
    RealtimeRateLimitsUpdated,
    RealtimeResponseEnded,
    RealtimeResponseRequested,
    RealtimeResponseStarted,
    RealtimeSessionEvent,
)
from tests.calls.events import INFO, item, response, tool_end, tool_start

LIMITS = CallLimits(model_silence_s=10, caller_silence_s=60, maximum_duration_s=1000)

REQUESTED = RealtimeResponseRequested(info=INFO)
STARTED = RealtimeResponseStarted(response_id=response(1), info=INFO)
ENDED = RealtimeResponseEnded(
    response_id=response(1), status="completed", reason=None, error_message=None, usage=None, info=INFO
)
AGENT_SPEAKS = RealtimeAgentSpeechStarted(response_id=response(1), info=INFO)
AGENT_STOPS = RealtimeAgentSpeechStopped(response_id=response(1), info=INFO)
AGENT_CUT = RealtimeAgentSpeechCleared(response_id=response(1), info=INFO)
CALLER_SPEAKS = RealtimeCallerSpeechStarted(item_id=item(1), audio_start_ms=0, info=INFO)
CALLER_STOPS = RealtimeCallerSpeechStopped(item_id=item(1), audio_end_ms=0, info=INFO)
DIGIT = RealtimeDtmfReceived(digit="5", received_at=None, info=INFO)
LIMITS_EVENT = RealtimeRateLimitsUpdated(rate_limits=(), info=INFO)


def watch_after(*events: tuple[float, RealtimeSessionEvent]) -> CallWatch:
    watch = CallWatch(LIMITS, 0.0)
    for now, event in events:
        watch.observe(event, now)
    return watch


@pytest.mark.parametrize(
    "owed", [REQUESTED, STARTED, CALLER_STOPS], ids=["requested", "started", "caller stopped"]
)
def test_a_model_that_owes_a_response_and_says_nothing_is_dead(owed: RealtimeSessionEvent) -> None:
    watch = watch_after((5, owed))
    assert watch.deadline() == 15
    assert watch.due(14.9) is None
    assert watch.due(15) is EndReason.MODEL_SILENT


def test_a_model_that_is_heard_may_owe_its_answer_until_it_has_finished() -> None:
    watch = watch_after((1, AGENT_SPEAKS), (5, CALLER_STOPS))
    assert watch.due(50) is None
    watch.observe(AGENT_STOPS, 50)
    assert watch.due(60) is EndReason.MODEL_SILENT


def test_a_speech_whose_end_is_never_told_hides_a_dead_socket_not_for_ever() -> None:
    longest = CallWatch(CallLimits(model_silence_s=10, caller_silence_s=900), 0.0)
    longest.observe(AGENT_SPEAKS, 1)
    longest.observe(CALLER_STOPS, 5)
    assert longest.due(5 + LONGEST_SPEECH_S + 9.9) is None
    assert longest.due(5 + LONGEST_SPEECH_S + 10) is EndReason.MODEL_SILENT


def test_other_limits_count_from_the_same_beginning() -> None:
    watch = watch_after((10, DIGIT))
    watch.allow(CallLimits(model_silence_s=10, caller_silence_s=25, maximum_duration_s=1000))
    assert watch.due(34.9) is None
    assert watch.due(35) is EndReason.CALLER_SILENT


def test_any_event_shows_that_the_socket_lives() -> None:
    watch = watch_after((5, REQUESTED), (14, LIMITS_EVENT))
    assert watch.due(15) is None
    assert watch.due(24) is EndReason.MODEL_SILENT


def test_a_response_that_ended_is_not_owed() -> None:
    watch = watch_after((5, REQUESTED), (6, STARTED), (7, ENDED))
    assert watch.due(60) is None
    assert watch.due(67) is EndReason.CALLER_SILENT


@pytest.mark.parametrize(
    "event", [DIGIT, AGENT_STOPS, AGENT_CUT, tool_end()], ids=["digit", "stops", "cut", "tool"]
)
def test_whatever_happens_in_the_call_starts_the_silence_anew(event: RealtimeSessionEvent) -> None:
    watch = (
        watch_after((1, tool_start()), (50, event)) if event.type == "tool_end" else watch_after((50, event))
    )
    assert watch.due(109) is None
    assert watch.due(110) is EndReason.CALLER_SILENT


def test_events_that_are_no_activity_do_not_keep_a_silent_call() -> None:
    assert watch_after((59, LIMITS_EVENT)).due(60) is EndReason.CALLER_SILENT


@pytest.mark.parametrize(
    "event", [AGENT_SPEAKS, CALLER_SPEAKS, tool_start()], ids=["agent", "caller", "tool"]
)
def test_somebody_speaking_buys_one_more_span_but_no_immunity(event: RealtimeSessionEvent) -> None:
    watch = watch_after((10, event))
    assert watch.due(129) is None
    assert watch.due(130) is EndReason.CALLER_SILENT


def test_the_longest_call_ends_whatever_happens() -> None:
    watch = watch_after(*[(float(now), DIGIT) for now in range(0, 1000, 50)])
    assert watch.due(999) is None
    assert watch.due(1000) is EndReason.MAXIMUM_DURATION


EVENTS = [REQUESTED, STARTED, ENDED, AGENT_SPEAKS, AGENT_STOPS, AGENT_CUT, CALLER_SPEAKS, CALLER_STOPS, DIGIT]


@given(st.lists(st.tuples(st.floats(0, 30), st.sampled_from(EVENTS)), max_size=40))
def test_no_sequence_of_events_leaves_a_call_without_an_end(
    steps: list[tuple[float, RealtimeSessionEvent]],
) -> None:
    watch, now = CallWatch(LIMITS, 0.0), 0.0
    for pause, event in steps:
        now += pause
        watch.observe(event, now)
    deadline = watch.deadline()
    assert deadline <= max(now + 2 * LIMITS.caller_silence_s, LIMITS.maximum_duration_s)
    assert watch.due(deadline - 0.001) is None
    assert watch.due(deadline) is not None
