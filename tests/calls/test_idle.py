"""The ladder of a silent caller, with time passed in."""

from __future__ import annotations

import math

import pytest

from sipagent.calls.idle import IdleLadder
from sipagent.calls.manners import IdleStep
from sipagent.calls.template import Template
from sipagent.realtime.session_events import (
    RealtimeCallerSpeechStarted,
    RealtimeCallerSpeechStopped,
    RealtimeDtmfReceived,
    RealtimeRateLimitsUpdated,
    RealtimeSessionEvent,
)
from tests.calls.events import INFO, item

FIRST = IdleStep(after_s=8, say=Template("Are you still there?"))
SECOND = IdleStep(after_s=5, say=Template("Hello?"))
LAST = IdleStep(after_s=10, hang_up=Template("Goodbye."))

CALLER_SPEAKS = RealtimeCallerSpeechStarted(item_id=item(1), audio_start_ms=0, info=INFO)
CALLER_STOPS = RealtimeCallerSpeechStopped(item_id=item(1), audio_end_ms=0, info=INFO)
DIGIT = RealtimeDtmfReceived(digit="5", received_at=None, info=INFO)


def ladder() -> IdleLadder:
    made = IdleLadder((FIRST, SECOND, LAST))
    made.count(100.0, silent=True)
    return made


def test_the_steps_of_another_agent_begin_with_the_first_and_a_new_silence() -> None:
    climbing = ladder()
    assert climbing.due(108) is FIRST
    climbing.count(110, silent=True)
    climbing.climb((LAST,))
    assert climbing.taken == 0
    climbing.count(112, silent=True)
    assert climbing.due(121.9) is None
    assert climbing.due(122) is LAST


def test_each_step_counts_from_the_end_of_the_words_before() -> None:
    climbing = ladder()
    assert climbing.due(107.9) is None
    assert climbing.due(108) is FIRST
    assert climbing.deadline() == math.inf, "the question is not heard yet"
    climbing.count(108, silent=False)
    climbing.count(111, silent=True)
    assert climbing.due(115.9) is None
    assert climbing.due(116) is SECOND
    climbing.count(118, silent=True)
    assert climbing.due(128) is LAST
    climbing.count(140, silent=True)
    assert climbing.deadline() == math.inf


def test_time_in_which_something_goes_on_does_not_count() -> None:
    climbing = ladder()
    climbing.count(107, silent=False)
    climbing.count(200, silent=False)
    assert climbing.due(300) is None
    climbing.count(300, silent=True)
    assert climbing.deadline() == 308


def test_silence_that_goes_on_keeps_its_beginning() -> None:
    climbing = ladder()
    climbing.count(105, silent=True)
    assert climbing.deadline() == 108


@pytest.mark.parametrize("event", [CALLER_SPEAKS, CALLER_STOPS, DIGIT], ids=["speaks", "stops", "digit"])
def test_a_caller_who_is_there_begins_the_ladder_anew(event: RealtimeSessionEvent) -> None:
    climbing = ladder()
    assert climbing.due(108) is FIRST
    assert climbing.taken == 1
    climbing.observe(event, 109)
    assert climbing.taken == 0
    climbing.count(109, silent=True)
    assert climbing.due(117) is FIRST


def test_other_events_leave_it_alone() -> None:
    climbing = ladder()
    climbing.observe(RealtimeRateLimitsUpdated(rate_limits=(), info=INFO), 104)
    assert climbing.deadline() == 108


def test_a_ladder_without_steps_never_has_one() -> None:
    none = IdleLadder(())
    none.count(0, silent=True)
    assert none.deadline() == math.inf
    assert none.due(1e9) is None
