"""Conversations that lead nowhere, and many that do not look so."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.calls.endings import EndReason
from sipagent.calls.loops import Loop, LoopWatch, normalised
from sipagent.calls.manners import LoopLimits
from sipagent.realtime.session_events import (
    RealtimeCallerSpeechStarted,
    RealtimeCallerSpeechStopped,
    RealtimeDtmfReceived,
    RealtimeSessionEvent,
    RealtimeTranscriptionUsage,
    RealtimeTranscriptLine,
    TranscriptRole,
)
from sipagent.realtime.usage import TranscriptionUsage
from tests.calls.events import INFO, item

LIMITS = LoopLimits()
DIGIT = RealtimeDtmfReceived(digit="5", received_at=None, info=INFO)


def line(
    text: str, number: int, role: TranscriptRole = "agent", *, final: bool = True
) -> RealtimeTranscriptLine:
    return RealtimeTranscriptLine(
        role=role,
        item_id=item(number),
        position=float(number),
        text=text,
        interrupted=False,
        final=final,
        info=INFO,
    )


def speaks(number: int) -> RealtimeCallerSpeechStarted:
    return RealtimeCallerSpeechStarted(item_id=item(number), audio_start_ms=0, info=INFO)


def stops(number: int) -> RealtimeCallerSpeechStopped:
    return RealtimeCallerSpeechStopped(item_id=item(number), audio_end_ms=0, info=INFO)


def transcribed(number: int) -> RealtimeTranscriptionUsage:
    return RealtimeTranscriptionUsage(item_id=item(number), usage=TranscriptionUsage(), info=INFO)


def after(*events: tuple[float, RealtimeSessionEvent], ours: tuple[str, ...] = ()) -> LoopWatch:
    watch = LoopWatch(LIMITS, ours=ours)
    for now, event in events:
        watch.observe(event, now)
    return watch


def lines(*said: tuple[TranscriptRole, str], ours: tuple[str, ...] = ()) -> EndReason | None:
    watch = after(*[(0.0, line(text, n, role)) for n, (role, text) in enumerate(said)], ours=ours)
    loop = watch.due(0.0)
    return None if loop is None else loop.reason


STUCK = "I am sorry, I did not understand that."


def test_an_agent_that_says_the_same_again_and_again_is_stuck() -> None:
    said: list[tuple[TranscriptRole, str]] = []
    for number in range(LIMITS.same_agent_lines):
        assert lines(*said) is None
        said += [("caller", f"I want number {number} of those things"), ("agent", STUCK)]
    assert lines(*said) is EndReason.AGENT_LOOP


def test_two_hearings_of_a_line_are_the_same() -> None:
    assert normalised("  I'm SORRY –  say again…") == normalised("i'm sorry, say again")
    assert normalised("♪ … ") == ""


def test_a_queue_that_repeats_its_announcement_is_a_machine() -> None:
    said: list[tuple[TranscriptRole, str]] = [("caller", "Your call is important to us. Please hold.")] * 5
    assert lines(*said[:4]) is None
    assert lines(*said) is EndReason.MACHINE_CALLER


def test_two_machines_that_thank_each_other_are_found_sooner() -> None:
    pair: list[tuple[TranscriptRole, str]] = [
        ("caller", "You're very welcome, goodbye!"),
        ("agent", "Thank you so much, goodbye!"),
    ]
    assert lines(*pair * 2) is None
    assert lines(*pair * 3) is EndReason.MACHINE_CALLER


def test_short_lines_and_lines_of_ours_may_be_said_for_ever() -> None:
    digits: list[tuple[TranscriptRole, str]] = [("agent", "And next?"), ("caller", "Four.")] * 20
    assert lines(*digits) is None
    asked: list[tuple[TranscriptRole, str]] = [("agent", "Are you still there?")] * 20
    assert lines(*asked, ours=("Are you still there?",)) is None
    assert lines(*asked) is EndReason.AGENT_LOOP


def test_a_line_that_is_told_again_is_one_line() -> None:
    watch = after(*[(0.0, line(STUCK, 1)) for _ in range(20)], (0.0, line(STUCK, 2, final=False)))
    assert watch.due(0.0) is None


def test_what_another_agent_says_counts_with_what_was_said_before_it() -> None:
    watch = after(*[(0.0, line(STUCK, number)) for number in range(3)])
    watch.go_on(LoopLimits(same_agent_lines=4), ours=["One moment please, I look it up."])
    for number in range(10, 16):
        watch.observe(line("One moment please, I look it up.", number), 0.0)
    assert watch.due(0.0) is None, "its own words never count"
    watch.observe(line(STUCK, 20), 0.0)
    assert watch.due(0.0) == Loop(reason=EndReason.AGENT_LOOP, detail="The agent said the same 4 times.")


def music(
    turns: int, seconds: float, *, line_of: str | None = None
) -> list[tuple[float, RealtimeSessionEvent]]:
    """A line on which something is heard, ``seconds`` a turn, and no word found."""
    events: list[tuple[float, RealtimeSessionEvent]] = []
    now = 0.0
    for number in range(turns):
        events += [(now, speaks(number)), (now + seconds, stops(number))]
        said = transcribed(number) if line_of is None else line(line_of, number, "caller")
        events.append((now + seconds + 0.3, said))
        now += seconds + 1
    return events


@pytest.mark.parametrize("heard", [None, "[Music]", "(beeping)", "♪ ♪", "*on hold*", "..."])
def test_speech_without_words_for_long_is_music(heard: str | None) -> None:
    assert after(*music(11, 10, line_of=heard)).due(130.0) is None
    loop = after(*music(12, 10, line_of=heard)).due(140.0)
    assert loop is not None
    assert loop.reason is EndReason.HOLD_MUSIC


def test_where_nothing_is_transcribed_only_speech_without_any_pause_is_music() -> None:
    untold = [each for each in music(60, 10) if not isinstance(each[1], RealtimeTranscriptionUsage)]
    assert after(*untold).due(1000.0) is None
    watch = after((5.0, speaks(1)))
    assert watch.deadline() == 125
    assert watch.due(124.9) is None
    loop = watch.due(125)
    assert loop is not None
    assert loop.reason is EndReason.HOLD_MUSIC


@pytest.mark.parametrize("sign", [line("Yes, I am here.", 99, "caller"), DIGIT], ids=["word", "digit"])
def test_a_sign_of_a_person_begins_it_anew(sign: RealtimeSessionEvent) -> None:
    watch = after(*music(11, 10), (125.0, sign), (125.0, speaks(70)))
    assert watch.deadline() == 245
    assert watch.due(200.0) is None


def test_words_that_come_before_their_usage_are_words() -> None:
    events: list[tuple[float, RealtimeSessionEvent]] = []
    for number in range(30):
        events += [
            (number * 20.0, speaks(number)),
            (number * 20.0 + 10, stops(number)),
            (number * 20.0 + 10, line(f"This is thing number {number}.", number, "caller")),
            (number * 20.0 + 11, transcribed(number)),
        ]
    assert after(*events).due(700.0) is None


EVENTS = st.one_of(
    st.builds(speaks, st.integers(0, 5)),
    st.builds(stops, st.integers(0, 5)),
    st.builds(transcribed, st.integers(0, 5)),
    st.builds(line, st.sampled_from(["[Music]", "Yes.", STUCK]), st.integers(0, 9), st.just("caller")),
    st.just(DIGIT),
)


@given(st.lists(st.tuples(st.floats(0, 60), EVENTS), max_size=40))
def test_at_its_deadline_there_is_something_to_say(steps: list[tuple[float, RealtimeSessionEvent]]) -> None:
    watch, now = LoopWatch(LIMITS), 0.0
    for pause, event in steps:
        now += pause
        watch.observe(event, now)
        deadline = watch.deadline()
        if deadline < math.inf:
            assert watch.due(deadline) is not None
