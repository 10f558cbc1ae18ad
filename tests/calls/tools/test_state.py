"""What the tools of one call know of the conversation."""

from __future__ import annotations

import asyncio

from sipagent.calls.tools.state import ToolState
from tests.calls.controls import call
from tests.calls.events import tool_start
from tests.calls.tools.using import caller_silent, caller_speaks, key, response_started
from tests.support.virtual_time import run_virtually


def test_keys_from_before_the_agents_turn_are_stale() -> None:
    state = ToolState()
    state.observe(key("1"))
    state.observe(response_started(1))
    state.observe(key("2"))
    assert state.keys.take() == "2"


def test_keys_that_a_tool_reads_are_kept_whatever_the_agent_says() -> None:
    state = ToolState()
    state.collecting = True
    state.observe(key("1"))
    state.observe(response_started(1))
    assert state.keys.take() == "1"


def test_it_is_known_who_speaks() -> None:
    state = ToolState()
    state.observe(caller_speaks())
    assert (state.caller_is_speaking, state.caller_turns) == (True, 0)
    state.observe(caller_silent())
    assert (state.caller_is_speaking, state.caller_turns) == (False, 1)


def test_what_was_typed_is_a_value_of_the_call() -> None:
    context = call(variables={"caller": "Ann"})
    context.tools.typed["pin"] = "1234"
    assert context.values == {"caller": "Ann", "digits.pin": "1234"}


def test_one_guardrail_speaks_for_each_response() -> None:
    state = ToolState()
    assert [state.claim_words(), state.claim_words()] == [True, False]
    state.observe(response_started(1))
    assert [state.claim_words(), state.claim_words()] == [True, False]


def test_a_tool_learns_when_everything_before_it_was_observed() -> None:
    async def run() -> None:
        state, loop = ToolState(), asyncio.get_running_loop()
        assert not await state.caught_up("call_1", 5.0)
        assert loop.time() == 5.0
        waiting = [asyncio.create_task(state.caught_up(f"call_{number}", 5.0)) for number in (1, 2)]
        await asyncio.sleep(1)
        state.observe(tool_start(number=2))
        assert await waiting[1]
        assert loop.time() == 6.0
        state.observe(tool_start(number=1))
        assert await waiting[0]
        assert await state.caught_up("call_1", 5.0)
        assert loop.time() == 6.0

    run_virtually(run())


def test_it_is_known_when_an_answer_begins() -> None:
    async def run() -> None:
        state, loop = ToolState(), asyncio.get_running_loop()
        assert await state.answer_begun()
        state.observe(caller_speaks())
        state.observe(caller_silent())
        assert not await state.answer_begun(1.0)
        assert loop.time() == 1.0
        waiting = asyncio.create_task(state.answer_begun(1.0))
        await asyncio.sleep(0.5)
        state.observe(response_started(1))
        assert await waiting
        assert loop.time() == 1.5

    run_virtually(run())
