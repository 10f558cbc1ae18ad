"""What counts as having heard that the call is recorded."""

from __future__ import annotations

import pytest

from sipagent.calls.consent import ConsentWatch, Heard
from sipagent.realtime.session_events import (
    RealtimeAgentSpeechCleared,
    RealtimeAgentSpeechStarted,
    RealtimeAgentSpeechStopped,
    RealtimeResponseStarted,
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


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        ("This call is recorded.", "This call is not recorded."),
        ("This call is recorded.", "This is no trouble, I call you back, it is all recorded."),
        ("Dieses Gespräch wird aufgezeichnet.", "Dieses Gespräch wird nicht aufgezeichnet."),
        ("この通話は録音されます。", "この通話は予約のためです。"),
        ("This call is recorded.", "Cette conversation est enregistrée."),
    ],
)
def test_a_sentence_that_says_something_else_is_no_consent(sentence: str, said: str) -> None:
    watch = ConsentWatch(sentence)
    assert watch.observe(line(said)) is None
    assert watch.observe(STOPS) is Heard.NOT_SAID


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        ("この通話は録音されます。", "お電話ありがとうございます、この通話は録音されます"),
        ("这通电话会被录音，请知悉。", "您好。这通电话会被录音请知悉。"),
        ("Dieses Gespräch wird aufgezeichnet.", "Guten Tag! Dieses Gespra\u0308ch wird aufgezeichnet."),
        ("यह कॉल रिकॉर्ड की जा रही है।", "नमस्ते, यह कॉल रिकॉर्ड की जा रही है।"),
        ("สายนี้มีการบันทึกเสียง", "สวัสดีค่ะ สายนี้มีการ บันทึกเสียง"),
    ],
)
def test_the_sentence_is_known_in_scripts_without_spaces_and_marks_in_pieces(
    sentence: str, said: str
) -> None:
    watch = ConsentWatch(sentence)
    assert watch.observe(line(said)) is None
    assert watch.observe(STOPS) is Heard.IN_FULL


def test_of_a_long_sentence_one_word_may_differ() -> None:
    ten = "one two three four five six seven eight nine ten"
    for said in (ten.replace("five", "5"), ten.replace("five ", ""), ten.replace("five", "five er")):
        watch = ConsentWatch(ten)
        watch.observe(STOPS)
        assert watch.observe(line(said)) is Heard.IN_FULL
    watch = ConsentWatch(ten)
    watch.observe(STOPS)
    assert watch.observe(line(ten.replace("five", "5").replace("six", "6"))) is Heard.NOT_SAID


def test_the_end_of_a_response_that_said_nothing_is_not_the_end_of_the_next() -> None:
    begins = [RealtimeResponseStarted(response_id=response(number), info=INFO) for number in (1, 2)]
    stops = RealtimeAgentSpeechStopped(response_id=response(2), info=INFO)
    assert outcome(begins[0], STARTS, STOPS, begins[1], line(SENTENCE)) == []
    assert outcome(begins[0], STARTS, begins[1], STOPS, line(SENTENCE)) == []
    assert outcome(begins[0], STARTS, STOPS, begins[1], line(SENTENCE), stops) == [Heard.IN_FULL]
    # What comes behind the words is another matter.
    assert outcome(begins[0], STARTS, line(SENTENCE), begins[1], stops) == []
    assert outcome(begins[0], STARTS, line(SENTENCE), begins[1], STOPS) == [Heard.IN_FULL]


def test_words_that_were_cut_off_are_none() -> None:
    assert outcome(STARTS, line(SENTENCE), CUT) == [Heard.CUT_OFF]


def test_what_the_caller_says_does_not_count() -> None:
    assert outcome(line(SENTENCE, "caller"), STARTS, STOPS) == []


def test_the_outcome_is_told_once() -> None:
    assert outcome(STARTS, line(SENTENCE), STOPS, STARTS, line("Yes?"), CUT) == [Heard.IN_FULL]
