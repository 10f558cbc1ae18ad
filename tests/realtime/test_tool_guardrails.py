"""Guardrails of tools: whatever they decide, the model gets an answer."""

from __future__ import annotations

from typing import Any, cast

import pytest

from sipagent.errors import UserError
from sipagent.realtime import (
    RealtimeAgent,
    RealtimeError,
    RealtimeModelSendToolOutput,
    RealtimeRunner,
    RealtimeToolEnd,
    RealtimeToolStart,
    ToolContext,
    ToolGuardrailFunctionOutput,
    ToolInputGuardrailData,
    ToolOutputGuardrailData,
    function_tool,
    tool_input_guardrail,
    tool_output_guardrail,
)
from sipagent.realtime.testing import ScriptedRealtimeModel
from sipagent.realtime.tool_guardrails import STOPPED_AFTER, STOPPED_BEFORE, run_guarded_tool
from tests.realtime.peer import PATIENCE_S

Verdict = ToolGuardrailFunctionOutput


class Rig:
    """A tool whose guardrails say what a test wants, and what became of it."""

    def __init__(self, before: Any = None, after: Any = None) -> None:
        self.ran = False
        self.seen: list[ToolInputGuardrailData] = []

        @tool_input_guardrail
        def look_before(data: ToolInputGuardrailData) -> Verdict:
            self.seen.append(data)
            return said(before)

        @tool_output_guardrail
        async def look_after(data: ToolOutputGuardrailData) -> Verdict:
            self.seen.append(data)
            return said(after)

        @function_tool(
            tool_input_guardrails=[look_before], tool_output_guardrails=[look_after], starts_response=False
        )
        async def pay(amount: int) -> str:
            self.ran = True
            return f"paid {amount}"

        self.tool = pay

    def context(self) -> ToolContext[Any]:
        return ToolContext(
            context="Ann", tool_name="pay", tool_call_id="call_1", tool_arguments='{"amount": 5}'
        )


def said(what: Any) -> Verdict:
    if isinstance(what, Exception):
        raise what
    return Verdict.allow() if what is None else what


async def test_a_tool_whose_guardrails_allow_it_runs() -> None:
    rig = Rig()
    agent = RealtimeAgent[Any](name="a")
    result = await run_guarded_tool(rig.tool, rig.context(), '{"amount": 5}', agent=agent)
    assert (result.output, result.is_error, rig.ran) == ("paid 5", False, True)
    before, after = rig.seen
    assert before.context.tool_arguments == '{"amount": 5}'
    assert before.agent is agent
    assert isinstance(after, ToolOutputGuardrailData)
    assert after.output == "paid 5"


@pytest.mark.parametrize(
    ("before", "text", "alarm"),
    [
        (Verdict.reject_content("Ask for less."), "Ask for less.", False),
        (Verdict.raise_exception(output_info="limit"), STOPPED_BEFORE, True),
        (ValueError("a secret"), STOPPED_BEFORE, False),
        (Verdict(behavior=cast(Any, {"type": "mistyped"})), STOPPED_BEFORE, False),
    ],
)
async def test_a_guardrail_before_a_tool_answers_in_its_place(before: Any, text: str, alarm: bool) -> None:
    rig = Rig(before=before)
    result = await run_guarded_tool(rig.tool, rig.context(), '{"amount": 5}')
    assert (result.text, result.output, result.is_error, rig.ran) == (text, text, True, False)
    assert (result.error is not None) is alarm
    if result.error is not None:
        assert result.error["type"] == "tool_guardrail_tripped"
        assert (result.error["tool"], result.error["guardrail"]) == ("pay", "look_before")
        assert result.error["output_info"] == "limit"


@pytest.mark.parametrize(
    ("after", "text", "alarm"),
    [
        (Verdict.reject_content("I may not say."), "I may not say.", False),
        (Verdict.raise_exception(), STOPPED_AFTER, True),
        (ValueError("a secret"), STOPPED_AFTER, False),
        ("no verdict", STOPPED_AFTER, False),
    ],
)
async def test_a_guardrail_after_a_tool_withholds_what_it_gave(after: Any, text: str, alarm: bool) -> None:
    rig = Rig(after=after)
    result = await run_guarded_tool(rig.tool, rig.context(), '{"amount": 5}')
    assert (result.text, result.output, result.is_error, rig.ran) == (text, text, True, True)
    assert (result.error is not None) is alarm


async def test_the_first_guardrail_that_refuses_decides() -> None:
    asked: list[str] = []

    @tool_input_guardrail(name="first")
    def refuse(data: ToolInputGuardrailData) -> Verdict:
        asked.append("first")
        return Verdict.reject_content("no")

    @tool_input_guardrail(name="second")
    def allow(data: ToolInputGuardrailData) -> Verdict:
        asked.append("second")
        return Verdict.allow()

    @function_tool(tool_input_guardrails=[allow, refuse, allow])
    def pay() -> str:
        return "paid"

    result = await run_guarded_tool(pay, Rig().context(), "{}")
    assert (result.text, asked) == ("no", ["second", "first"])
    assert [each.get_name() for each in (refuse, allow)] == ["first", "second"]


@pytest.mark.parametrize("option", ["tool_input_guardrails", "tool_output_guardrails", "needs_approval"])
def test_what_is_no_guardrail_and_no_approval_is_refused_when_the_tool_is_made(option: str) -> None:
    def pay() -> str:
        return "paid"

    make: Any = function_tool
    with pytest.raises(UserError, match="'pay'"):
        make(pay, **{option: ["nothing"]})


async def test_a_refused_call_is_answered_told_about_and_the_session_goes_on() -> None:
    rig = Rig(before=Verdict.raise_exception())
    model = ScriptedRealtimeModel()
    agent = RealtimeAgent[Any](name="front-desk", tools=[rig.tool])
    session = await (await RealtimeRunner(agent, model=model).run()).enter()
    await model.emit(*model.agent_calls("pay", {"amount": 5}))
    sent = await model.wait_until_sent(RealtimeModelSendToolOutput, timeout_s=PATIENCE_S)
    # The tool itself is silent, its refusal is not.
    assert (sent.output, sent.start_response) == (STOPPED_BEFORE, True)
    seen: list[type] = []
    async for event in session:
        seen.append(type(event))
        if isinstance(event, RealtimeError):
            assert event.error["guardrail"] == "look_before"
        if isinstance(event, RealtimeToolEnd):
            assert event.is_error
            break
    assert [each for each in seen if each in (RealtimeToolStart, RealtimeError, RealtimeToolEnd)] == [
        RealtimeToolStart,
        RealtimeError,
        RealtimeToolEnd,
    ]
    assert session.end is None
    await session.close()
