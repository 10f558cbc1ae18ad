"""What a conversation needs beside being led, with time passed in."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.calls.acts import Act, EndCall, Note, SayGoodbye, SayWords, TellAgent
from sipagent.calls.endings import EndReason
from sipagent.calls.manners import IdleStep, LoopLimits, Manners, WrapUp
from sipagent.calls.minder import CallMinder
from sipagent.calls.template import Template
from sipagent.calls.watch import CallLimits
from sipagent.realtime.session_events import (
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
    RealtimeToolEnd,
    RealtimeToolStart,
    RealtimeTranscriptDelta,
    RealtimeTranscriptLine,
    ResponseStatus,
)
from tests.calls.events import INFO, item, response, tool_end, tool_start

LIMITS = CallLimits(model_silence_s=20, caller_silence_s=180, maximum_duration_s=600)
LADDER = (
    IdleStep(after_s=8, say=Template("Are you there, {{name | dear caller}}?")),
    IdleStep(after_s=10, hang_up=Template("Nobody is there. Goodbye.")),
)
POLITE = Manners(
    idle=LADDER, wrap_up=WrapUp(before_s=60), goodbye=Template("Thank you, goodbye."), loops=LoopLimits()
)
FINISH_S = 20.0

REQUESTED = RealtimeResponseRequested(info=INFO)
STARTED = RealtimeResponseStarted(response_id=response(1), info=INFO)
AGENT_SPEAKS = RealtimeAgentSpeechStarted(response_id=response(1), info=INFO)
AGENT_STOPS = RealtimeAgentSpeechStopped(response_id=response(1), info=INFO)
CALLER_SPEAKS = RealtimeCallerSpeechStarted(item_id=item(1), audio_start_ms=0, info=INFO)
CALLER_STOPS = RealtimeCallerSpeechStopped(item_id=item(1), audio_end_ms=0, info=INFO)
DIGIT = RealtimeDtmfReceived(digit="5", received_at=None, info=INFO)
NOTHING = RealtimeRateLimitsUpdated(rate_limits=(), info=INFO)
WORD = RealtimeTranscriptDelta(role="agent", item_id=item(1), delta="so", info=INFO)


def ended(status: ResponseStatus = "completed", reason: str | None = None) -> RealtimeResponseEnded:
    return RealtimeResponseEnded(
        response_id=response(1), status=status, reason=reason, error_message=None, usage=None, info=INFO
    )


def minder(manners: Manners = POLITE, *, quiet: bool = True, limits: CallLimits = LIMITS) -> CallMinder:
    made = CallMinder(
        manners, limits, now=0.0, finish_s=FINISH_S, write=lambda words: words.render({"name": "Ann"})
    )
    made.settle(0.0, quiet=quiet)
    return made


def say_goodbye(mind: CallMinder, now: float) -> SayGoodbye:
    act = mind.due(now)
    assert isinstance(act, SayGoodbye), act
    mind.settle(now, quiet=False)
    return act


# Silence --------------------------------------------------------------------------------------------


def test_a_silent_caller_is_asked_and_at_last_told_goodbye() -> None:
    mind = minder()
    assert mind.deadline() == 8
    assert mind.due(8) == SayWords(
        words="Are you there, Ann?", note=Note(kind="idle_step", data={"step": 1, "hangs_up": False})
    )
    mind.settle(8, quiet=False)
    mind.observe(AGENT_STOPS, 11, quiet=True)
    assert mind.deadline() == 21
    goodbye = say_goodbye(mind, 21)
    assert goodbye.words == "Nobody is there. Goodbye."
    assert goodbye.interruptible
    assert goodbye.note == Note(kind="idle_step", data={"step": 2, "hangs_up": True})
    assert mind.saying_goodbye is EndReason.CALLER_UNRESPONSIVE
    mind.observe(AGENT_SPEAKS, 22, quiet=False)
    assert mind.due(24) is None
    mind.observe(AGENT_STOPS, 25, quiet=True)
    assert mind.deadline() <= 25
    end = mind.due(25)
    assert isinstance(end, EndCall)
    assert end.reason is EndReason.CALLER_UNRESPONSIVE
    assert mind.due(1e6) is None
    assert mind.deadline() == math.inf


@pytest.mark.parametrize("event", [CALLER_SPEAKS, DIGIT], ids=["speaks", "digit"])
def test_a_caller_who_answers_the_goodbye_keeps_the_call(event: RealtimeSessionEvent) -> None:
    mind = minder(replace(POLITE, idle=LADDER[1:]))
    say_goodbye(mind, 10)
    mind.observe(event, 12, quiet=False)
    assert not mind.ending
    assert mind.saying_goodbye is None
    mind.observe(CALLER_STOPS, 14, quiet=True)
    assert mind.due(23.9) is None
    say_goodbye(mind, 24)


@pytest.mark.parametrize(
    ("event", "quiet"),
    [(CALLER_SPEAKS, True), (AGENT_SPEAKS, False), (tool_start(), True), (REQUESTED, False)],
    ids=["caller", "agent", "tool", "asked"],
)
def test_the_ladder_waits_while_anything_goes_on(event: RealtimeSessionEvent, quiet: bool) -> None:
    mind = minder(limits=replace(LIMITS, model_silence_s=1000))
    mind.observe(event, 7, quiet=quiet)
    assert mind.due(60) is None


def test_a_tool_that_ends_lets_the_ladder_count_anew() -> None:
    mind = minder()
    mind.observe(tool_start(), 7, quiet=True)
    mind.observe(tool_end(), 40, quiet=True)
    assert mind.deadline() == 48


def test_words_of_the_agent_that_are_still_coming_change_nothing() -> None:
    mind = minder()
    mind.observe(WORD, 5, quiet=False)
    assert mind.deadline() == 8


def test_the_limits_leave_a_long_ladder_its_time() -> None:
    patient = Manners(idle=(IdleStep(after_s=300, say=Template("Hello?")),))
    mind = minder(patient)
    assert mind.due(299) is None
    assert isinstance(mind.due(300), SayWords)
    assert isinstance(minder(Manners()).due(180), EndCall)


# Time -----------------------------------------------------------------------------------------------


def test_time_is_wrapped_up_and_ends_with_a_goodbye() -> None:
    mind = minder(replace(POLITE, idle=()))
    mind.observe(DIGIT, 500, quiet=True)
    tell = mind.due(540)
    assert isinstance(tell, TellAgent)
    assert "60 seconds" in tell.text
    assert tell.note == Note(kind="wrap_up", data={"left_s": 60, "reason": "maximum_duration"})
    assert mind.due(599) is None
    goodbye = say_goodbye(mind, 600)
    assert goodbye.words == "Thank you, goodbye."
    assert not goodbye.interruptible
    mind.observe(CALLER_SPEAKS, 601, quiet=False)
    mind.observe(CALLER_STOPS, 602, quiet=False)
    assert mind.due(603) is None, "what the caller says does not take this goodbye back"
    mind.observe(AGENT_STOPS, 604, quiet=True)
    assert mind.due(604) == EndCall(
        reason=EndReason.MAXIMUM_DURATION, detail="The call reached the longest time we allow."
    )


def test_a_wrap_up_of_fixed_words_is_said() -> None:
    mind = minder(Manners(wrap_up=WrapUp(before_s=30, say=Template("Half a minute left."))))
    mind.observe(DIGIT, 500, quiet=True)
    act = mind.due(570)
    assert isinstance(act, SayWords)
    assert act.words == "Half a minute left."


def test_whoever_speaks_when_time_is_over_may_finish_within_a_bound() -> None:
    mind = minder(replace(POLITE, idle=()))
    mind.observe(CALLER_SPEAKS, 539, quiet=True)
    assert isinstance(mind.due(570), TellAgent)
    mind.settle(570, quiet=True)
    assert mind.due(600) is None
    assert mind.ending
    assert mind.saying_goodbye is None
    mind.observe(CALLER_STOPS, 610, quiet=True)
    say_goodbye(mind, 610)
    talker = minder(replace(POLITE, idle=()))
    talker.observe(CALLER_SPEAKS, 539, quiet=True)
    assert isinstance(talker.due(570), TellAgent)
    assert talker.due(600) is None
    assert talker.due(619.9) is None
    assert isinstance(talker.due(620), SayGoodbye)


def test_without_a_wrap_up_time_ends_the_call_at_once() -> None:
    mind = minder(Manners(maximum_duration_s=100))
    mind.observe(AGENT_SPEAKS, 90, quiet=False)
    end = mind.due(100)
    assert isinstance(end, EndCall)
    assert end.reason is EndReason.MAXIMUM_DURATION


def test_nobody_is_given_more_time_than_every_call_has() -> None:
    mind = minder(Manners(maximum_duration_s=10_000, idle=()), limits=replace(LIMITS, caller_silence_s=1e6))
    assert mind.deadline() == 600


def test_the_session_ends_before_the_call_may() -> None:
    mind = minder(replace(POLITE, idle=()))
    mind.session_ends(330)
    mind.observe(DIGIT, 200, quiet=True)
    assert isinstance(mind.due(240), TellAgent)
    mind.observe(DIGIT, 290, quiet=True)
    say_goodbye(mind, 300)
    assert mind.saying_goodbye is EndReason.SESSION_LIMIT


def test_a_transfer_under_way_is_not_broken_off() -> None:
    mind = minder(replace(POLITE, idle=()))
    mind.observe(tool_start("transfer"), 590, quiet=True)
    mind.stop(EndReason.SPEND_LIMIT, "It cost too much.", now=591)
    assert mind.deadline() == math.inf
    assert mind.due(700) is None
    mind.observe(tool_end("transfer"), 701, quiet=True)
    say_goodbye(mind, 701)


# Reasons from elsewhere -----------------------------------------------------------------------------


def test_a_call_that_costs_too_much_is_told_so() -> None:
    mind = minder(replace(POLITE, spend_say=Template("Our budget is used up. Goodbye.")))
    note = Note(kind="spend", data={"detail": "2.50 EUR"})
    mind.stop(EndReason.SPEND_LIMIT, "2.50 EUR of 2.50 EUR.", now=3, note=note)
    goodbye = say_goodbye(mind, 3)
    assert goodbye.words == "Our budget is used up. Goodbye."
    assert goodbye.note == note
    mind.observe(AGENT_STOPS, 6, quiet=True)
    assert mind.due(6) == EndCall(reason=EndReason.SPEND_LIMIT, detail="2.50 EUR of 2.50 EUR.")


def test_the_first_reason_counts() -> None:
    mind = minder()
    mind.stop(EndReason.SPEND_LIMIT, "first", now=3)
    mind.stop(EndReason.HOLD_MUSIC, "second", now=4)
    say_goodbye(mind, 4)
    mind.stop(EndReason.HOLD_MUSIC, "third", now=5)
    assert mind.saying_goodbye is EndReason.SPEND_LIMIT


def test_an_agent_without_words_of_ours_finds_its_own() -> None:
    mind = minder(Manners())
    mind.stop(EndReason.SPEND_LIMIT, "", now=3)
    assert say_goodbye(mind, 3).words is None


def test_a_loop_ends_politely() -> None:
    mind = minder()
    for number in range(6):
        said = RealtimeTranscriptLine(
            role="agent",
            item_id=item(number),
            position=float(number),
            text="I did not understand that.",
            interrupted=False,
            final=True,
            info=INFO,
        )
        mind.observe(said, 1.0, quiet=True)
    goodbye = say_goodbye(mind, 1.0)
    assert goodbye.note is not None
    assert goodbye.note.kind == "loop_detected"
    assert mind.saying_goodbye is EndReason.AGENT_LOOP


def test_music_without_a_pause_ends_when_its_time_has_come() -> None:
    mind = minder(replace(POLITE, idle=()))
    mind.observe(CALLER_SPEAKS, 10, quiet=True)
    assert mind.deadline() == 130
    assert mind.due(130) is None
    assert mind.ending
    assert isinstance(mind.due(150), SayGoodbye)
    assert mind.saying_goodbye is EndReason.HOLD_MUSIC


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (None, EndReason.MODEL_SILENT),
        ("server_error", EndReason.MODEL_FAILED),
        ("rate_limit_exceeded", EndReason.MODEL_RATE_LIMITED),
        ("insufficient_quota", EndReason.MODEL_RATE_LIMITED),
    ],
)
def test_a_model_that_says_nothing_leaves_nobody_to_say_goodbye(
    failure: str | None, reason: EndReason
) -> None:
    mind = minder()
    mind.observe(REQUESTED, 5, quiet=False)
    if failure is not None:
        mind.observe(ended("failed", failure), 5, quiet=False)
    end = mind.due(25)
    assert isinstance(end, EndCall)
    assert end.reason is reason


# Another agent leads --------------------------------------------------------------------------------

OTHER = Manners(
    idle=(IdleStep(after_s=3, say=Template("Hello, {{name}}?")),),
    maximum_duration_s=30,
    wrap_up=WrapUp(before_s=30, say=Template("Half a minute left.")),
    goodbye=Template("The night desk says goodbye."),
    spend_say=Template("Nothing left to spend."),
)


def test_another_agent_has_its_own_ladder_and_a_silence_that_begins_anew() -> None:
    mind = minder()
    assert isinstance(mind.due(8), SayWords)
    mind.observe(AGENT_STOPS, 9, quiet=True)
    mind.led_by(OTHER)
    mind.settle(10, quiet=True)
    assert mind.due(12.9) is None
    question = mind.due(13)
    assert isinstance(question, SayWords)
    assert question.words == "Hello, Ann?"
    assert question.note is not None
    assert question.note.data["step"] == 1


def test_an_agent_without_a_ladder_leaves_the_silence_to_the_limits() -> None:
    patient = Manners(idle=(IdleStep(after_s=300, say=Template("Hello?")),))
    mind = minder(patient)
    mind.led_by(Manners())
    mind.settle(0, quiet=True)
    assert mind.deadline() == 180
    mind.led_by(patient)
    mind.settle(0, quiet=True)
    assert mind.due(299) is None


def test_another_agent_wraps_up_as_it_does_and_the_call_lasts_no_longer_or_shorter() -> None:
    mind = minder(replace(POLITE, idle=()))
    mind.led_by(replace(OTHER, idle=()))
    mind.observe(DIGIT, 500, quiet=True)
    assert mind.due(569) is None, "its own longest duration is that of calls which it answers"
    act = mind.due(570)
    assert isinstance(act, SayWords)
    assert act.words == "Half a minute left."
    assert say_goodbye(mind, 600).words == "The night desk says goodbye."


def test_an_agent_that_does_not_wrap_up_ends_the_call_at_once() -> None:
    mind = minder(replace(POLITE, idle=()))
    mind.led_by(Manners())
    mind.observe(DIGIT, 500, quiet=True)
    assert mind.due(599) is None
    assert isinstance(mind.due(600), EndCall)


def test_the_words_at_the_end_are_those_of_whoever_leads() -> None:
    mind = minder()
    mind.led_by(OTHER)
    mind.stop(EndReason.SPEND_LIMIT, "", now=1)
    assert say_goodbye(mind, 1).words == "Nothing left to spend."


def test_a_goodbye_that_is_decided_stays_as_it_is() -> None:
    mind = minder(replace(POLITE, idle=LADDER[1:]))
    assert say_goodbye(mind, 10).words == "Nobody is there. Goodbye."
    mind.observe(ended("failed"), 11, quiet=True)
    mind.led_by(OTHER)
    assert say_goodbye(mind, 11).words == "Nobody is there. Goodbye."
    assert mind.saying_goodbye is EndReason.CALLER_UNRESPONSIVE


def stuck(mind: CallMinder, *numbers: int) -> None:
    for number in numbers:
        said = RealtimeTranscriptLine(
            role="agent",
            item_id=item(number),
            position=float(number),
            text="I connect you with somebody else.",
            interrupted=False,
            final=True,
            info=INFO,
        )
        mind.observe(said, 1.0, quiet=True)


def test_two_agents_that_send_the_caller_to_and_fro_are_a_loop() -> None:
    mind = minder()
    for number in range(6):
        mind.led_by(POLITE)
        stuck(mind, number)
    say_goodbye(mind, 1.0)
    assert mind.saying_goodbye is EndReason.AGENT_LOOP


def test_an_agent_that_looks_for_no_loops_ends_the_count() -> None:
    mind = minder()
    stuck(mind, 1, 2, 3, 4, 5)
    mind.led_by(OTHER)
    stuck(mind, *range(6, 20))
    assert not mind.ending
    mind.led_by(POLITE)
    stuck(mind, *range(20, 25))
    assert not mind.ending
    stuck(mind, 25)
    assert mind.ending


# The goodbye ----------------------------------------------------------------------------------------


def test_a_goodbye_whose_end_is_never_told_is_bounded_by_its_length() -> None:
    mind = minder()
    mind.stop(EndReason.SPEND_LIMIT, "", now=0)
    words = say_goodbye(mind, 0).words
    mind.observe(AGENT_SPEAKS, 1, quiet=False)
    bound = FINISH_S + 0.1 * len(words or "")
    assert mind.deadline() == bound
    assert mind.due(bound - 0.1) is None
    assert isinstance(mind.due(bound), EndCall)


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_a_goodbye_that_did_not_work_is_tried_once_more(status: ResponseStatus) -> None:
    mind = minder()
    mind.stop(EndReason.SPEND_LIMIT, "", now=0, note=Note(kind="spend"))
    say_goodbye(mind, 0)
    mind.observe(ended(status), 1, quiet=True)
    again = say_goodbye(mind, 1)
    assert again.note is None, "it is one ending, noted once"
    mind.observe(ended(status), 2, quiet=True)
    assert isinstance(mind.due(2), EndCall)


def test_a_goodbye_that_the_caller_talks_over_is_waited_for() -> None:
    mind = minder(Manners())
    mind.stop(EndReason.SPEND_LIMIT, "", now=0)
    say_goodbye(mind, 0)
    mind.observe(CALLER_SPEAKS, 1, quiet=False)
    mind.observe(ended("cancelled"), 1, quiet=True)
    assert mind.due(2) is None
    mind.observe(CALLER_STOPS, 3, quiet=True)
    say_goodbye(mind, 3)


def test_a_goodbye_that_could_not_be_asked_for_ends_the_call() -> None:
    mind = minder()
    mind.stop(EndReason.SPEND_LIMIT, "", now=0)
    assert isinstance(mind.due(0), SayGoodbye)
    mind.settle(0, quiet=True)
    assert isinstance(mind.due(0), EndCall)


# Whatever happens -----------------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(
        st.floats(0, 40),
        st.sampled_from(
            [
                REQUESTED,
                STARTED,
                ended(),
                ended("failed"),
                ended("cancelled"),
                AGENT_SPEAKS,
                AGENT_STOPS,
                CALLER_SPEAKS,
                CALLER_STOPS,
                DIGIT,
                NOTHING,
                WORD,
                tool_start(),
                tool_end(),
                tool_start("transfer"),
                tool_end("transfer"),
            ]  # fmt: skip
        ),
        st.booleans(),
    ),
    max_size=60,
)
MANNERS = st.builds(
    Manners,
    idle=st.sampled_from([(), LADDER, LADDER[:1], LADDER[1:]]),
    maximum_duration_s=st.one_of(st.none(), st.floats(1, 800)),
    wrap_up=st.one_of(st.none(), st.builds(WrapUp, before_s=st.floats(1, 700))),
    goodbye=st.one_of(st.none(), st.just(Template("Goodbye."))),
    loops=st.one_of(st.none(), st.just(LoopLimits())),
)


class Line:
    """A telephone line on which acts are carried out: what the agent was asked to say plays when it plays."""

    def __init__(self, manners: Manners) -> None:
        self.mind = minder(manners)
        self.now = 0.0
        self.quiet = True
        self.goodbye_at: float | None = None
        """When the goodbye was asked for that has not been heard."""
        self.ends: list[EndReason] = []
        self.stops_asked = 0

    def happen(self, event: RealtimeSessionEvent, *, quiet: bool) -> None:
        self.quiet = quiet
        was_ending = self.mind.ending
        self.mind.observe(event, self.now, quiet=quiet)
        if quiet or (was_ending and not self.mind.ending):
            self.goodbye_at = None
        self.act()

    def wait_until(self, moment: float) -> None:
        while (deadline := self.mind.deadline()) <= moment:
            self.now = max(self.now, deadline)
            assert self.act() > 0, f"at its deadline {deadline} there is nothing to do"
        self.now = moment

    def act(self) -> int:
        done = 0
        while (act := self.mind.due(self.now)) is not None:
            done += 1
            assert done < 10, "it never comes to rest"
            self._carry_out(act)
        # Deciding to end a call is something, too, though nothing is done about it yet.
        return done + self.mind.ending

    def _carry_out(self, act: Act) -> None:
        match act:
            case EndCall(reason=reason):
                self.ends.append(reason)
                if self.goodbye_at is not None:
                    assert self.now >= self.goodbye_at + FINISH_S, "hung up while the goodbye played"
            case SayGoodbye():
                assert not self.ends
                self.quiet = False
                self.goodbye_at = self.now
            case SayWords() | TellAgent():
                assert not self.ends
                assert not self.mind.ending
                self.quiet = False
        self.mind.settle(self.now, quiet=self.quiet)


@given(MANNERS, STEPS, st.one_of(st.none(), st.integers(0, 60)))
def test_a_call_ends_for_one_reason_and_never_in_the_middle_of_its_goodbye(
    manners: Manners, steps: list[tuple[float, RealtimeSessionEvent, bool]], stopped_at: int | None
) -> None:
    line, running = Line(manners), Counter[str]()
    for number, (pause, event, quiet) in enumerate(steps):
        line.wait_until(line.now + pause)
        if number == stopped_at:
            line.mind.stop(EndReason.SPEND_LIMIT, "", now=line.now)
        match event:
            case RealtimeToolStart(tool=tool):
                running[tool.name] += 1
            case RealtimeToolEnd(tool=tool):
                if not running[tool.name]:
                    continue
                running[tool.name] -= 1
            case _:
                pass
        line.happen(event, quiet=quiet)
    for name in running.elements():  # tools end by their own bounds
        line.happen(tool_end(name), quiet=False)
    while not line.ends:
        line.wait_until(line.now + 50)
        assert line.now < 1e5, "the call never ends"
    line.happen(CALLER_SPEAKS, quiet=True)
    line.wait_until(line.now + 1000)
    assert len(line.ends) == 1
