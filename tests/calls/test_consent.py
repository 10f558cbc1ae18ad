"""What counts as having heard that the call is recorded."""

from __future__ import annotations

import pytest

from sipagent.calls.consent import ConsentWatch, Heard
from sipagent.realtime.session_events import (
    RealtimeAgentSpeechCleared,
    RealtimeAgentSpeechStarted,
    RealtimeAgentSpeechStopped,
    RealtimeSessionEvent,
    RealtimeTranscriptLine,
)
from tests.calls.events import INFO, item, response

SENTENCE = "This call is recorded so that we can serve you better."
STARTS = RealtimeAgentSpeechStarted(response_id=response(1), info=INFO)
STOPS = RealtimeAgentSpeechStopped(response_id=response(1), info=INFO)
CUT = RealtimeAgentSpeechCleared(response_id=response(1), info=INFO)


def line(text: str, role: str = "agent") -> RealtimeTranscriptLine:
    return RealtimeTranscriptLine(
        role=role,  # type: ignore[arg-type]
        item_id=item(1),
        position=0.0,
        text=text,
        interrupted=False,
        final=True,
        info=INFO,
    )


def outcome(*events: RealtimeSessionEvent) -> list[Heard]:
    watch = ConsentWatch(SENTENCE)
    return [heard for event in events if (heard := watch.observe(event)) is not None]


@pytest.mark.parametrize(
    "said",
    [
        f"Harbor Dental, good morning. {SENTENCE}",
        "Harbor Dental! this call is recorded, so that we can serve you better",
    ],
)
def test_both_the_words_and_their_end_are_waited_for(said: str) -> None:
    assert outcome(STARTS, line(said)) == []
    assert outcome(STARTS, line(said), STOPS) == [Heard.IN_FULL]
    assert outcome(STARTS, STOPS, line(said)) == [Heard.IN_FULL]


@pytest.mark.parametrize(
    "said", ["Harbor Dental, good morning.", "", "We serve you better when the call is over. This is it."]
)
def test_other_words_are_no_consent(said: str) -> None:
    assert outcome(STARTS, line(said), STOPS) == [Heard.NOT_SAID]


def test_words_that_were_cut_off_are_none() -> None:
    assert outcome(STARTS, line(SENTENCE), CUT) == [Heard.CUT_OFF]


def test_what_the_caller_says_does_not_count() -> None:
    assert outcome(line(SENTENCE, "caller"), STARTS, STOPS) == []


def test_the_outcome_is_told_once() -> None:
    assert outcome(STARTS, line(SENTENCE), STOPS, STARTS, line("Yes?"), CUT) == [Heard.IN_FULL]
