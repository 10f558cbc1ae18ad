"""Tool calls that wait for somebody's word."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sipagent.errors import ConnectionLostError
from sipagent.realtime import (
    FunctionTool,
    RealtimeAgent,
    RealtimeModelSendToolOutput,
    RealtimeRunConfig,
    RealtimeRunner,
    RealtimeSession,
    RealtimeToolApprovalRequired,
    RealtimeToolEnd,
    RunContextWrapper,
    ToolContext,
    ToolErrorFormatterArgs,
    ToolGuardrailFunctionOutput,
    ToolInputGuardrailData,
    function_tool,
    tool_input_guardrail,
)
from sipagent.realtime.approvals import NOT_APPROVED
from sipagent.realtime.testing import ScriptedRealtimeModel
from tests.realtime.peer import PATIENCE_S


class Rig:
    """A session with one tool that costs money."""

    def __init__(self, needs_approval: Any = True, **options: Any) -> None:
        self.runs: list[str] = []
        self.model = ScriptedRealtimeModel()

        async def pay(context: ToolContext[Any], arguments: str) -> str:
            self.runs.append(context.tool_call_id)
            return f"paid {context.tool_call_id}"

        self.tool = FunctionTool(
            name="pay",
            description="",
            params_json_schema={"type": "object", "properties": {}},
            on_invoke_tool=pay,
            needs_approval=needs_approval,
            **options,
        )

    async def session(self, **config: Any) -> RealtimeSession:
        agent = RealtimeAgent[Any](name="front-desk", tools=[self.tool, free])
        run_config: RealtimeRunConfig = {**config}  # type: ignore[typeddict-item]
        return await (await RealtimeRunner(agent, model=self.model, config=run_config).run()).enter()

    async def call(self, call_id: str, arguments: str = "{}", *, name: str = "pay") -> None:
        await self.model.emit(*self.model.agent_calls(name, arguments, call_id=call_id))

    async def output(self, number: int = 1) -> str:
        sent = await self.model.wait_until_sent(
            RealtimeModelSendToolOutput, count=number, timeout_s=PATIENCE_S
        )
        assert sent.start_response
        return sent.output


@function_tool
async def free() -> str:
    """Costs nothing."""
    return "free"


async def asked(session: RealtimeSession) -> RealtimeToolApprovalRequired:
    """The next call that waits."""
    async with asyncio.timeout(PATIENCE_S):
        async for event in session:
            if isinstance(event, RealtimeToolApprovalRequired):
                return event
            assert not isinstance(event, RealtimeToolEnd)
    raise AssertionError("nobody was asked")


async def test_an_approved_call_runs() -> None:
    rig = Rig()
    session = await rig.session()
    await rig.call("call_1", '{"amount": 5}')
    event = await asked(session)
    assert (event.call_id, event.arguments) == ("call_1", '{"amount": 5}')
    assert (event.tool, event.agent) == (rig.tool, session.agent)
    assert rig.runs == []
    await session.approve_tool_call(event.call_id)
    assert await rig.output() == "paid call_1"
    await rig.call("call_2")
    assert (await asked_again(session)).call_id == "call_2"
    await session.close()


async def asked_again(session: RealtimeSession) -> RealtimeToolApprovalRequired:
    """As `asked`, behind the end of an earlier call."""
    async with asyncio.timeout(PATIENCE_S):
        async for event in session:
            if isinstance(event, RealtimeToolApprovalRequired):
                return event
    raise AssertionError("nobody was asked")


@pytest.mark.parametrize(("message", "heard"), [(None, NOT_APPROVED), ("Too expensive.", "Too expensive.")])
async def test_a_rejected_call_is_answered_without_running(message: str | None, heard: str) -> None:
    rig = Rig(starts_response=False)
    session = await rig.session()
    await rig.call("call_1")
    await session.reject_tool_call((await asked(session)).call_id, rejection_message=message)
    assert await rig.output() == heard
    assert rig.runs == []
    async for event in session:
        if isinstance(event, RealtimeToolEnd):
            assert (event.is_error, event.output_text) == (True, heard)
            break
    await session.close()


async def test_a_word_for_always_holds_for_the_tool_and_for_no_other() -> None:
    rig = Rig()
    session = await rig.session()
    await rig.call("call_1")
    await session.approve_tool_call((await asked(session)).call_id, always=True)
    await rig.output()
    await rig.call("call_2")
    assert await rig.output(2) == "paid call_2"
    # Another object is another tool, whatever its name.
    other = Rig()
    await session.update_agent(RealtimeAgent[Any](name="billing", tools=[other.tool]))
    await rig.call("call_3")
    await session.reject_tool_call((await asked_again(session)).call_id, always=True, rejection_message="no")
    assert await rig.output(3) == "no"
    await rig.call("call_4")
    assert await rig.output(4) == "no"
    assert other.runs == []
    await session.close()


async def test_what_comes_late_or_names_nothing_changes_nothing() -> None:
    rig = Rig()
    session = await rig.session()
    await session.approve_tool_call("call_1", always=True)
    await session.reject_tool_call("call_9", always=True)
    await rig.call("call_1")
    event = await asked(session)
    await session.reject_tool_call(event.call_id, rejection_message="first")
    await session.approve_tool_call(event.call_id, always=True)
    assert await rig.output() == "first"
    await session.close()
    await session.approve_tool_call("call_1")
    await session.reject_tool_call("call_1")
    assert rig.runs == []


async def over_ten(context: RunContextWrapper[Any], arguments: dict[str, Any], call_id: str) -> bool:
    return bool(arguments["amount"] > 10)


def over_ten_plainly(context: RunContextWrapper[Any], arguments: dict[str, Any], call_id: str) -> bool:
    return bool(arguments["amount"] > 10)


@pytest.mark.parametrize("needs_approval", [over_ten, over_ten_plainly])
@pytest.mark.parametrize(
    ("arguments", "waits"),
    [
        ('{"amount": 5}', False),
        ('{"amount": 50}', True),
        ('{"amount": "many"}', True),
        ("{}", True),
        ("[1]", True),
        ("no JSON", True),
    ],
)
async def test_what_cannot_be_looked_at_needs_approval(
    needs_approval: Any, arguments: str, waits: bool
) -> None:
    rig = Rig(needs_approval)
    session = await rig.session()
    await rig.call("call_1", arguments)
    if waits:
        await session.reject_tool_call((await asked(session)).call_id)
    assert await rig.output() == (NOT_APPROVED if waits else "paid call_1")
    await session.close()


async def test_a_tool_that_needs_none_asks_nobody() -> None:
    rig = Rig(needs_approval=False)
    session = await rig.session()
    await rig.call("call_1", "no JSON")
    assert await rig.output() == "paid call_1"
    await session.close()


async def test_no_other_tool_waits_meanwhile_even_where_they_run_one_after_the_other() -> None:
    rig = Rig()
    session = await rig.session(async_tool_calls=False)
    await rig.call("call_1")
    await rig.call("call_2", name="free")
    assert await rig.output() == "free"
    await session.approve_tool_call("call_1")
    assert await rig.output(2) == "paid call_1"
    await session.close()


async def test_closing_ends_the_wait() -> None:
    rig = Rig()
    session = await rig.session()
    await rig.call("call_1")
    await asked(session)
    async with asyncio.timeout(PATIENCE_S):
        await session.close()
    assert rig.model.sent == []


async def test_a_word_after_the_end_of_the_connection_hurts_nobody() -> None:
    rig = Rig()
    session = await rig.session()
    await rig.call("call_1")
    event = await asked(session)
    await rig.model.end("call_over")
    await session.approve_tool_call(event.call_id)
    async for _ in session:
        pass
    with pytest.raises(ConnectionLostError):
        await session.request_response()
    await session.close()


def in_words(about: ToolErrorFormatterArgs) -> str:
    return f"{about.tool_name} {about.call_id} {about.kind}: {about.run_context.context}"


async def in_no_words(about: ToolErrorFormatterArgs) -> None:
    return None


def in_vain(about: ToolErrorFormatterArgs) -> str:
    raise ValueError("a secret")


@pytest.mark.parametrize(
    ("formatter", "heard"),
    [
        (in_words, "pay call_1 approval_rejected: None"),
        (in_no_words, NOT_APPROVED),
        (in_vain, NOT_APPROVED),
    ],
)
async def test_a_formatter_may_write_what_the_model_hears(formatter: Any, heard: str) -> None:
    rig = Rig()
    session = await rig.session(tool_error_formatter=formatter)
    await rig.call("call_1")
    await session.reject_tool_call((await asked(session)).call_id)
    assert await rig.output() == heard
    # Words of one's own win over it.
    await rig.call("call_2")
    await session.reject_tool_call((await asked_again(session)).call_id, rejection_message="mine")
    assert await rig.output(2) == "mine"
    await session.close()


@pytest.mark.parametrize("first", [True, False])
async def test_guardrails_may_look_before_anybody_is_asked(first: bool) -> None:
    looked: list[str] = []

    @tool_input_guardrail
    def never(data: ToolInputGuardrailData) -> ToolGuardrailFunctionOutput:
        looked.append(data.context.tool_call_id)
        return ToolGuardrailFunctionOutput.reject_content("never")

    rig = Rig(tool_input_guardrails=[never])
    session = await rig.session(tool_execution={"pre_approval_tool_input_guardrails": first})
    await rig.call("call_1")
    if not first:
        event = await asked(session)
        assert looked == []
        await session.approve_tool_call(event.call_id)
    assert await rig.output() == "never"
    assert (looked, rig.runs) == (["call_1"], [])
    await session.close()
