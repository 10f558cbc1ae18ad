"""Virtual callers: when they do what."""

from __future__ import annotations

import asyncio

import pytest

from sipagent.errors import SimulatorError
from sipagent.simulator.caller import (
    At,
    DuringAgent,
    HangUp,
    Press,
    Say,
    Step,
    VirtualCaller,
    speaking_time_s,
)
from sipagent.simulator.virtual import VirtualLeg
from tests.simulator.ears import LIMIT_S, SHORT, Listener, offered, sound


def calling(*steps: Step, patience_s: float = LIMIT_S) -> tuple[VirtualLeg, Listener, VirtualCaller]:
    leg, listener = offered()
    caller = VirtualCaller(leg, steps, patience_s=patience_s)
    leg.answer()
    return leg, listener, caller


async def agent_says(leg: VirtualLeg, listener: Listener, caller: VirtualCaller) -> None:
    before = listener.heard.count("playback stopped")
    leg.play(sound(SHORT))
    leg.finish_playing()
    await listener.until("playback stopped", times=before + 1)
    caller.agent_finished()


async def test_a_caller_speaks_in_turn_and_hangs_up() -> None:
    leg, listener, caller = calling(
        Say(text="one", duration_s=SHORT), Say(text="two", duration_s=SHORT), HangUp()
    )
    await agent_says(leg, listener, caller)
    await listener.until("said one")
    await asyncio.sleep(0.05)
    assert "said two" not in listener.heard
    await agent_says(leg, listener, caller)
    await listener.until("said two")
    await agent_says(leg, listener, caller)
    await listener.until("ended hung_up")
    turn = ["playback started", "playback stopped"]
    assert listener.heard == [
        *turn, "speaks", "said one", *turn, "speaks", "said two", *turn, "ended hung_up"
    ]  # fmt: skip
    assert leg.statistics().frames_received == 2


async def test_an_agent_who_is_only_pausing_is_not_interrupted() -> None:
    leg, listener, _ = calling(Say(text="one", duration_s=SHORT))
    leg.play(sound(SHORT))
    leg.finish_playing()
    await listener.until("playback stopped")
    await asyncio.sleep(0.6)
    assert "speaks" not in listener.heard
    leg.hang_up()


async def test_a_caller_who_hears_nothing_goes_on_in_the_end() -> None:
    _, listener, _ = calling(Say(text="hello?", duration_s=SHORT), HangUp(), patience_s=0.05)
    await listener.until("ended hung_up")
    assert listener.heard == ["speaks", "said hello?", "ended hung_up"]


async def test_a_stalled_caller_does_not_notice_the_agent() -> None:
    leg, listener, _ = calling(HangUp(), patience_s=0.1)
    leg.set_send_faults(stalled=True)
    leg.play(sound(5))
    await listener.until("ended hung_up")
    assert leg.statistics().frames_sent < 250


async def test_a_step_at_a_moment_waits_for_nobody() -> None:
    leg, listener, _ = calling(Say(text="now", when=At(since_answer_s=0.05), duration_s=SHORT))
    leg.play(sound(5))
    await listener.until("said now")
    assert "playback stopped" not in listener.heard
    leg.hang_up()


async def test_a_caller_interrupts() -> None:
    leg, listener, _ = calling(
        Say(text="stop", when=DuringAgent(since_start_s=0.03), duration_s=SHORT), patience_s=LIMIT_S
    )
    await asyncio.sleep(0.1)
    assert listener.heard == []
    leg.play(sound(5))
    await listener.until("speaks")
    assert 20 <= leg.clear_playback() < 4900
    await listener.until("said stop")
    leg.hang_up()


async def test_keys_are_pressed_one_after_the_other() -> None:
    leg, listener, _ = calling(Press(digits="15#", when=At(since_answer_s=0)), HangUp(), patience_s=0.05)
    await listener.until("ended hung_up")
    assert listener.heard == ["pressed 1", "pressed 5", "pressed #", "ended hung_up"]
    assert leg.statistics().digits == "15#"


async def test_a_caller_can_be_told_what_to_do() -> None:
    leg, listener, caller = calling()
    caller.say("by hand", duration_s=SHORT)
    with pytest.raises(SimulatorError, match="still speaking"):
        caller.press("1")
    await listener.until("said by hand")
    caller.press("1")
    with pytest.raises(SimulatorError, match="keys are"):
        caller.press("x")
    caller.hang_up()
    with pytest.raises(SimulatorError, match="not on the line"):
        caller.say("too late")
    assert listener.heard == ["speaks", "said by hand", "pressed 1", "ended hung_up"]
    assert leg.phase == "over"


async def test_nothing_is_done_after_the_end() -> None:
    leg, listener, _ = calling(Say(text="never", when=At(since_answer_s=0.02)), Press(digits="1"))
    leg.hang_up()
    await asyncio.sleep(0.05)
    assert listener.heard == []


def test_a_longer_line_takes_longer_within_bounds() -> None:
    assert speaking_time_s("") < speaking_time_s("a line of some length") < speaking_time_s("x" * 90)
    assert speaking_time_s("x" * 10_000) <= 10
