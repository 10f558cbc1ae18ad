"""Greetings, silence, time, loops and costs in whole calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from sipagent.calls import (
    EndReason,
    FrontDoor,
    Greeting,
    IdleStep,
    LoopLimits,
    Manners,
    WrapUp,
)
from sipagent.calls.conversation_keeping import SpendingBrake
from sipagent.calls.reception import Reception
from sipagent.calls.template import Template
from sipagent.realtime import RealtimeAgent
from sipagent.realtime.session_events import RealtimeResponseEnded, RealtimeSessionEvent
from sipagent.simulator.call_values import CallSettings as SimulatedCallSettings
from sipagent.simulator.call_values import EndedBy
from sipagent.simulator.caller import AfterAgent, At, CallPlan, DuringAgent, HangUp, Press, Say, VirtualCaller
from sipagent.simulator.calls import SimulatedCall
from sipagent.simulator.faults import FaultSet
from sipagent.simulator.speech import SilentVoice
from sipagent.store import CallRecord
from tests.calls.mannered import desk_with, door_with, notes, one_call, said
from tests.support.eventually import eventually
from tests.support.practice import QUICK

TALKS = """
greeting: Hello.
otherwise: I see.
"""
LEISURELY = SilentVoice(ms_per_character=30)
PATIENTLY = HangUp(when=AfterAgent(pause_s=1.3))
"""Longer than the machine stands still between what was said and its answer."""
SILENT = CallPlan(steps=(), hangs_up=False)
QUESTION = "Are you still there?"
FAREWELL = "Nobody seems to be there. Goodbye."
LADDER = Manners(
    idle=(
        IdleStep(after_s=0.6, say=Template(QUESTION)),
        IdleStep(after_s=0.6, hang_up=Template(FAREWELL)),
    )
)


def heard(call: SimulatedCall, words: str) -> bool:
    """Whether the caller heard ``words`` to their end."""
    assert call.conversation is not None
    return any(line.text == words and not line.interrupted for line in call.conversation.transcript)


def states(record: CallRecord) -> list[str]:
    return [state.state for state in record.states]


# The greeting -----------------------------------------------------------------------------------------

LONG_GREETING = "Harbor Dental, good morning, this is the front desk speaking. How can I help you today?"


def with_greeting(*, interruptible: bool) -> FrontDoor:
    greeting = Greeting(text=Template(LONG_GREETING), interruptible=interruptible)
    door = door_with()
    (profile,) = door.profiles.values()
    return replace(door, profiles={profile.name: replace(profile, greeting=greeting)})


SPEAKS_OVER = CallPlan(
    steps=(
        Say(text="Hello? Is anybody there?", when=DuringAgent(since_start_s=0.2), duration_s=0.5),
        HangUp(when=AfterAgent()),
    ),
    hangs_up=False,
)


@pytest.mark.parametrize("ms_per_character", [15, 30, 60], ids=["fast", "leisurely", "slow"])
@pytest.mark.parametrize("since_start_s", [0.0, 0.2, 0.6, 1.0], ids=["at once", "soon", "midway", "late"])
async def test_a_greeting_that_is_not_interruptible_is_heard_by_a_caller_who_speaks_over_it(
    ms_per_character: int, since_start_s: float
) -> None:
    voice = SilentVoice(ms_per_character=ms_per_character)
    call, record = await one_call(
        with_greeting(interruptible=False), TALKS, speaks_over(since_start_s), voice=voice
    )
    assert_heard_once_and_answered(call, record)


async def test_a_caller_who_speaks_twice_over_a_greeting_is_answered_once() -> None:
    script = TALKS + "pace: 50\n"  # made at once: what is said second falls behind the end of making it
    words = (Say(text="Hello?", when=DuringAgent(since_start_s=at), duration_s=0.3) for at in (0.1, 1.0))
    plan = CallPlan(steps=(*words, PATIENTLY), hangs_up=False)
    for each in (TALKS, script):
        call, record = await one_call(with_greeting(interruptible=False), each, plan, voice=LEISURELY)
        assert_heard_once_and_answered(call, record)
        assert said(record, "caller") == ["Hello?", "Hello?"]


async def test_a_caller_who_is_not_done_when_the_greeting_ends_is_answered_once() -> None:
    steps = (
        Say(text="Hello?", when=DuringAgent(since_start_s=0.1), duration_s=0.2),
        Say(text="I would like to come.", when=DuringAgent(since_start_s=0.8), duration_s=3.5),
        PATIENTLY,
    )
    plan = CallPlan(steps=steps, hangs_up=False)
    call, record = await one_call(with_greeting(interruptible=False), TALKS, plan, voice=LEISURELY)
    assert_heard_once_and_answered(call, record)


async def test_a_caller_who_presses_a_digit_during_the_greeting_is_not_answered() -> None:
    steps = (Press(digits="5", when=DuringAgent(since_start_s=0.3)), PATIENTLY)
    plan = CallPlan(steps=steps, hangs_up=False)
    call, record = await one_call(with_greeting(interruptible=False), TALKS, plan, voice=LEISURELY)
    assert heard(call, LONG_GREETING)
    assert said(record) == [LONG_GREETING]


async def test_an_agent_that_nobody_may_interrupt_says_nothing_twice_and_answers_once() -> None:
    door = with_greeting(interruptible=True)
    (profile,) = door.profiles.values()
    turns = {"type": "server_vad", "interrupt_response": False}
    settings: Any = {**profile.settings, "turn_detection": turns}
    stubborn = replace(door, profiles={profile.name: replace(profile, settings=settings)})
    call, record = await one_call(stubborn, TALKS, speaks_over(0.2), voice=LEISURELY)
    assert heard(call, LONG_GREETING)
    assert said(record) == [LONG_GREETING, "I see."]


def speaks_over(since_start_s: float) -> CallPlan:
    question = Say(
        text="Hello? Is anybody there?", when=DuringAgent(since_start_s=since_start_s), duration_s=0.5
    )
    return CallPlan(steps=(question, PATIENTLY), hangs_up=False)


def assert_heard_once_and_answered(call: SimulatedCall, record: CallRecord) -> None:
    assert heard(call, LONG_GREETING)
    assert said(record) == [LONG_GREETING, "I see."], "and what the caller said is answered after it"
    assert notes(record, "greeting_kept") == []
    assert call.conversation is not None
    assert call.conversation.events_sent["error"] == 0
    assert call.conversation.events_sent["response.created"] == 2


async def test_a_greeting_that_was_cut_off_at_once_is_woven_into_the_answer() -> None:
    slow = SilentVoice(ms_per_character=30)
    call, record = await one_call(with_greeting(interruptible=True), TALKS, SPEAKS_OVER, voice=slow)
    assert not heard(call, LONG_GREETING)
    assert len(notes(record, "greeting_kept")) == 1
    assert call.conversation is not None
    assert call.conversation.events_received["conversation.item.create"] == 1
    assert said(record)[-1] == "I see."


@pytest.mark.parametrize("since_start_s", [0.0, 1.0, 2.2], ids=["at once", "midway", "late"])
async def test_a_caller_who_cuts_a_greeting_off_is_answered_once(since_start_s: float) -> None:
    call, record = await one_call(
        with_greeting(interruptible=True), TALKS, speaks_over(since_start_s), voice=LEISURELY
    )
    assert said(record)[1:] == ["I see."]
    assert call.conversation is not None
    assert call.conversation.events_sent["error"] == 0
    assert call.conversation.events_sent["response.created"] == 2


async def test_a_caller_who_speaks_before_the_greeting_begins_hears_it_all_the_same() -> None:
    steps = (Say(text="Hello?", when=At(since_answer_s=0.01), duration_s=0.3), HangUp(when=AfterAgent()))
    script = TALKS + "delay_ms: 600\n"
    plan = CallPlan(steps=steps, hangs_up=False)
    call, record = await one_call(with_greeting(interruptible=False), script, plan)
    assert heard(call, LONG_GREETING)
    call, record = await one_call(with_greeting(interruptible=True), script, plan)
    assert heard(call, LONG_GREETING) or notes(record, "greeting_kept")


# Silence ----------------------------------------------------------------------------------------------


async def test_a_silent_caller_is_asked_told_goodbye_and_hung_up_on() -> None:
    call, record = await one_call(door_with(manners=LADDER), TALKS, SILENT)
    assert call.ended_by is EndedBy.HANGUP
    assert record.summary.end_reason == EndReason.CALLER_UNRESPONSIVE.value
    assert record.summary.fault_owner == "caller"
    assert said(record) == ["Hello.", QUESTION, FAREWELL]
    assert heard(call, FAREWELL)
    assert [note["step"] for note in notes(record, "idle_step")] == [1, 2]


async def test_a_step_counts_from_the_end_of_what_is_heard_not_of_what_is_made() -> None:
    greeting = "This greeting is made at once, and takes two seconds to be heard."
    script = "pace: 50\notherwise: I see.\n"
    slow = SilentVoice(ms_per_character=2000 / len(greeting))
    _, record = await one_call(door_with(greeting=greeting, manners=LADDER), script, SILENT, voice=slow)
    talking = next(state.at for state in record.states if state.state == "talking")
    asked = next(note.at for note in record.notes if note.kind == "idle_step")
    assert (asked - talking).total_seconds() >= 2.5


@pytest.mark.parametrize(
    "sign", [lambda caller: caller.say("Yes!"), lambda caller: caller.press("5")], ids=["speaks", "presses"]
)
async def test_a_caller_who_answers_begins_the_ladder_anew(sign: Callable[[VirtualCaller], None]) -> None:
    # The caller speaks up in the middle of the pause after the question, whatever comes late.
    question, goodbye = LADDER.idle
    patient = replace(LADDER, idle=(question, replace(goodbye, after_s=3.0)))
    async with desk_with(door_with(manners=patient), TALKS) as desk:
        call = desk.simulator.place_call(SILENT)
        await eventually(lambda: call.conversation is not None and heard(call, QUESTION))
        caller = desk.simulator.calls.caller_of(call)
        assert caller is not None
        await eventually(lambda: call.conversation is not None and call.conversation.agent_is_idle)
        sign(caller)
        record = await desk.ended_record(call.call_id)
    assert [note["step"] for note in notes(record, "idle_step")] == [1, 1, 2]


async def test_a_caller_who_speaks_up_during_the_goodbye_keeps_the_call() -> None:
    goodbye = FAREWELL * 8
    manners = Manners(idle=(IdleStep(after_s=0.5, hang_up=Template(goodbye)),))
    steps = (
        Say(text="Wait, I am here!", when=DuringAgent(since_start_s=0.3)),
        HangUp(when=AfterAgent(pause_s=0.1)),
    )
    door = door_with(greeting=None, manners=manners)
    call, record = await one_call(door, TALKS, CallPlan(steps=steps, hangs_up=False))
    assert call.ended_by is EndedBy.CALLER
    assert record.summary.end_reason == EndReason.CALLER_HUNG_UP.value
    assert len(notes(record, "goodbye_taken_back")) == 1
    assert not heard(call, goodbye)
    assert said(record)[-1] == "I see."


async def test_a_caller_who_hangs_up_during_the_goodbye_ends_a_call_that_was_ending() -> None:
    manners = Manners(idle=(IdleStep(after_s=0.5, hang_up=Template(FAREWELL * 8)),))
    plan = CallPlan(steps=(HangUp(when=DuringAgent(since_start_s=0.3)),), hangs_up=False)
    call, record = await one_call(door_with(greeting=None, manners=manners), TALKS, plan)
    assert call.ended_by is EndedBy.CALLER
    assert record.summary.end_reason == EndReason.CALLER_UNRESPONSIVE.value


async def test_a_service_that_stops_while_the_goodbye_is_said_hangs_up_once() -> None:
    manners = Manners(idle=(IdleStep(after_s=0.3, hang_up=Template(FAREWELL * 10)),))
    async with desk_with(door_with(manners=manners), TALKS) as desk:
        call = desk.simulator.place_call(SILENT)
        await eventually(lambda: call.conversation and FAREWELL in str(call.conversation.transcript))
        await desk.service.drain(0.05)
        record = await desk.ended_record(call.call_id)
    assert call.ended_by is EndedBy.HANGUP
    assert record.summary.end_reason == EndReason.SERVICE_STOPPED.value
    assert states(record)[-2:] == ["ending", "ended"]


async def test_a_goodbye_whose_end_is_never_told_is_bounded() -> None:
    plan = replace(SILENT, faults=FaultSet.parse("playback_stop_missing"))
    manners = Manners(idle=(), maximum_duration_s=3.0, wrap_up=WrapUp(before_s=0.2), goodbye=Template("Bye."))
    settings = replace(QUICK, finish_speaking_timeout_s=0.7)
    call, record = await one_call(door_with(manners=manners), TALKS, plan, calls=settings)
    assert call.ended_by is EndedBy.HANGUP
    assert record.summary.end_reason == EndReason.MAXIMUM_DURATION.value


# Another agent leads ----------------------------------------------------------------------------------

HANDS_OVER = """
greeting: Hello.
turns:
  - call: {tool: send_to_agent_night-desk, then: This is the night desk.}
otherwise: I see.
"""


def two_desks(first: Manners, second: Manners) -> FrontDoor:
    """The front desk answers, and may hand over to the night desk."""
    door = door_with(manners=first, handoffs=("night-desk",))
    (desk,) = door.profiles.values()
    night = replace(
        desk,
        name="night-desk",
        agent=RealtimeAgent(name="night-desk", handoff_description="At night."),
        manners=second,
        handoffs=(),
    )
    return replace(door, profiles={desk.name: desk, night.name: night})


async def test_after_a_handoff_the_ladder_is_that_of_the_agent_who_took_over() -> None:
    never = Manners(idle=(IdleStep(after_s=5.0, hang_up=Template("The front desk hangs up.")),))
    plan = CallPlan(steps=(Say(text="The night desk, please."),), hangs_up=False)
    _, record = await one_call(two_desks(never, LADDER), HANDS_OVER, plan)
    assert said(record)[-3:] == ["This is the night desk.", QUESTION, FAREWELL]
    assert record.summary.end_reason == EndReason.CALLER_UNRESPONSIVE.value


async def test_after_a_handoff_the_call_lasts_as_long_and_ends_as_the_other_agent_ends_calls() -> None:
    first = Manners(maximum_duration_s=6.0, wrap_up=WrapUp(before_s=1.0), goodbye=Template("From the front."))
    second = Manners(
        maximum_duration_s=0.1,
        wrap_up=WrapUp(before_s=1.0, say=Template("Soon over.")),
        goodbye=Template("Good night."),
    )
    plan = CallPlan(steps=(Say(text="The night desk, please."),), hangs_up=False)
    call, record = await one_call(two_desks(first, second), HANDS_OVER, plan)
    assert said(record)[-3:] == ["This is the night desk.", "Soon over.", "Good night."]
    assert heard(call, "Good night.")
    assert record.summary.end_reason == EndReason.MAXIMUM_DURATION.value


# Time ---------------------------------------------------------------------------------------------------


async def test_a_call_whose_time_is_over_is_wrapped_up_and_ends_with_a_goodbye() -> None:
    manners = Manners(
        maximum_duration_s=6.0,
        wrap_up=WrapUp(before_s=3.0, say=Template("We have one minute left.")),
        goodbye=Template("Our time is over. Goodbye."),
    )
    call, record = await one_call(door_with(manners=manners), TALKS, SILENT)
    assert said(record) == ["Hello.", "We have one minute left.", "Our time is over. Goodbye."]
    assert heard(call, "Our time is over. Goodbye.")
    assert record.summary.end_reason == EndReason.MAXIMUM_DURATION.value
    assert [sorted(note) for note in notes(record, "wrap_up")] == [["left_s", "reason"], ["over"]]


async def test_an_agent_finds_its_own_words_for_wrapping_up_and_goodbye() -> None:
    manners = Manners(maximum_duration_s=6.0, wrap_up=WrapUp(before_s=3.0))
    call, record = await one_call(door_with(manners=manners), TALKS, SILENT)
    assert said(record) == ["Hello.", "I see.", "I see."]
    assert call.conversation is not None
    assert call.conversation.events_received["conversation.item.create"] == 1
    assert record.summary.end_reason == EndReason.MAXIMUM_DURATION.value


async def test_a_call_is_over_before_the_api_closes_its_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipagent.calls.wrapping_up.SESSION_MARGIN_S", 3.0)
    simulated = SimulatedCallSettings(
        webhook_delay_s=0.02, answer_delay_s=0.05, accept_timeout_s=20, maximum_duration_s=9.0
    )
    manners = Manners(wrap_up=WrapUp(before_s=1.0), goodbye=Template("Goodbye."))
    call, record = await one_call(door_with(manners=manners), TALKS, SILENT, simulated=simulated)
    assert call.ended_by is EndedBy.HANGUP
    assert heard(call, "Goodbye.")
    assert record.summary.end_reason == EndReason.SESSION_LIMIT.value
    assert record.summary.fault_owner == "none"


async def test_without_a_wrap_up_a_call_whose_time_is_over_is_hung_up_at_once() -> None:
    settings = replace(QUICK, limits=replace(QUICK.limits, maximum_duration_s=3.0))
    call, record = await one_call(door_with(), TALKS, SILENT, calls=settings)
    assert call.ended_by is EndedBy.HANGUP
    assert said(record) == ["Hello."]
    assert record.summary.end_reason == EndReason.MAXIMUM_DURATION.value


# Loops --------------------------------------------------------------------------------------------------


async def test_an_agent_that_is_stuck_says_goodbye() -> None:
    manners = Manners(loops=LoopLimits(same_agent_lines=3), goodbye=Template("I cannot help you. Goodbye."))
    script = "greeting: Hello.\notherwise: I am sorry, I did not understand that.\n"
    plan = CallPlan(steps=tuple(Say(text=f"I want number {n}.") for n in range(9)), hangs_up=False)
    call, record = await one_call(door_with(manners=manners), script, plan)
    assert record.summary.end_reason == EndReason.AGENT_LOOP.value
    assert heard(call, "I cannot help you. Goodbye.")
    assert [note["reason"] for note in notes(record, "loop_detected")] == ["agent_loop"]
    assert said(record, "caller") == ["I want number 0.", "I want number 1.", "I want number 2."]


async def test_music_on_the_line_ends_the_call() -> None:
    manners = Manners(loops=LoopLimits(wordless_s=1.5), goodbye=Template("I only hear music. Goodbye."))
    plan = CallPlan(
        steps=tuple(Say(text="[Music]", duration_s=0.6, when=AfterAgent(pause_s=0.05)) for _ in range(20)),
        hangs_up=False,
    )
    call, record = await one_call(door_with(manners=manners), TALKS, plan)
    assert call.ended_by is EndedBy.HANGUP
    assert record.summary.end_reason == EndReason.HOLD_MUSIC.value
    assert record.summary.fault_owner == "caller"


# Costs --------------------------------------------------------------------------------------------------


class Brake:
    """Lets two responses pass."""

    def __init__(self) -> None:
        self.responses = 0

    @property
    def spent(self) -> float:
        return float(self.responses)

    def observe(self, event: RealtimeSessionEvent) -> str | None:
        self.responses += isinstance(event, RealtimeResponseEnded)
        return "2.50 EUR of 2.50 EUR." if self.responses >= 2 else None


async def test_a_call_that_costs_too_much_ends_politely(monkeypatch: pytest.MonkeyPatch) -> None:
    brake: SpendingBrake = Brake()
    monkeypatch.setattr(Reception, "brake", lambda *_: brake)
    manners = Manners(spend_say=Template("Our budget is used up. Goodbye."))
    plan = CallPlan(steps=(Say(text="Tell me everything."), Say(text="More.")), hangs_up=False)
    call, record = await one_call(door_with(manners=manners), TALKS, plan)
    assert said(record) == ["Hello.", "I see.", "Our budget is used up. Goodbye."]
    assert record.summary.end_reason == EndReason.SPEND_LIMIT.value
    assert record.end_detail == "2.50 EUR of 2.50 EUR."
    assert notes(record, "spend") == [{"detail": "2.50 EUR of 2.50 EUR."}]


# What a model leaves unsaid -------------------------------------------------------------------------------


async def test_the_agents_own_goodbye_ends_the_call_as_its_own() -> None:
    script = "greeting: Hello.\nturns:\n  - {say: Goodbye., call: hang_up}\notherwise: I see.\n"
    plan = CallPlan(steps=(Say(text="Bye."),), hangs_up=False)
    patient = Manners(idle=tuple(replace(step, after_s=5.0) for step in LADDER.idle))
    _, record = await one_call(door_with(manners=patient), script, plan)
    assert record.summary.end_reason == EndReason.AGENT_HUNG_UP.value
    assert said(record) == ["Hello.", "Goodbye."]
