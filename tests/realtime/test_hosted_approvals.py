"""Who answers when a hosted tool may not be called without approval."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipagent.errors import ConnectionLostError
from sipagent.identifiers import ItemId, ToolCallId
from sipagent.realtime import (
    HostedMCPTool,
    MCPToolApprovalFunctionResult,
    MCPToolApprovalRequest,
    RealtimeAgent,
    RealtimeError,
    RealtimeMcpApprovalRequired,
    RealtimeMcpApprovalResponseItem,
    RealtimeModelItemUpdatedEvent,
    RealtimeModelSendEvent,
    RealtimeModelSendMcpApproval,
    RealtimeRunner,
    RealtimeSession,
    RealtimeSessionModelSettings,
)
from sipagent.realtime import hosted_approvals as approvals_module
from sipagent.realtime.hosted_approvals import COULD_NOT_ASK, NOBODY_TO_ASK
from sipagent.realtime.testing import ScriptedRealtimeModel
from tests.realtime.peer import PATIENCE_S

SERVER = {"type": "mcp", "server_label": "docs", "server_url": "https://docs.example/mcp"}


def server_tool(decide: Any = None, label: str = "docs") -> HostedMCPTool:
    return HostedMCPTool(tool_config={**SERVER, "server_label": label}, on_approval_request=decide)


class Judge:
    """A function that decides, and remembers what it was asked."""

    def __init__(self, approve: bool) -> None:
        self.approve = approve
        self.asked: list[MCPToolApprovalRequest] = []

    def __call__(self, request: MCPToolApprovalRequest) -> bool:
        self.asked.append(request)
        return self.approve


class Rig:
    """A session with tools of one server."""

    def __init__(self, tool: HostedMCPTool | None = None) -> None:
        self.model = ScriptedRealtimeModel()
        self.tool = tool or server_tool()
        self.agent = RealtimeAgent[Any](name="front-desk", tools=[self.tool])

    async def session(self, context: Any = None, **model_settings: Any) -> RealtimeSession:
        initial: RealtimeSessionModelSettings = {**model_settings}  # type: ignore[typeddict-item]
        runner = RealtimeRunner(self.agent, model=self.model)
        session = await runner.run(context=context, model_config={"initial_model_settings": initial})
        return await session.enter()

    async def ask(self, request_id: str = "mcpr_1", name: str = "search", *, label: str = "docs") -> None:
        await self.model.emit(
            *self.model.agent_asks_for_approval(label, name, {"q": 1}, request_id=request_id)
        )

    async def answer(self, number: int = 1) -> tuple[str, bool, str | None]:
        sent = await self.model.wait_until_sent(
            RealtimeModelSendMcpApproval, count=number, timeout_s=PATIENCE_S
        )
        return sent.approval_request_id, sent.approve, sent.reason

    @property
    def answers(self) -> list[RealtimeModelSendMcpApproval]:
        return [each for each in self.model.sent if isinstance(each, RealtimeModelSendMcpApproval)]


async def asked(session: RealtimeSession) -> RealtimeMcpApprovalRequired:
    """The next question."""
    async with asyncio.timeout(PATIENCE_S):
        async for event in session:
            if isinstance(event, RealtimeMcpApprovalRequired):
                return event
    raise AssertionError("nobody was asked")


# The tool's own function ----------------------------------------------------------------------------


def yes(request: MCPToolApprovalRequest) -> bool:
    return True


async def yes_later(request: MCPToolApprovalRequest) -> bool:
    await asyncio.sleep(0)
    return True


def yes_in_full(request: MCPToolApprovalRequest) -> MCPToolApprovalFunctionResult:
    return {"approve": True}


async def no_with_a_reason(request: MCPToolApprovalRequest) -> MCPToolApprovalFunctionResult:
    return {"approve": False, "reason": f"{request.ctx_wrapper.context} must not {request.data.name}."}


@pytest.mark.parametrize(
    ("decide", "answer"),
    [
        (yes, (True, None)),
        (yes_later, (True, None)),
        (yes_in_full, (True, None)),
        (no_with_a_reason, (False, "Ann must not search.")),
    ],
)
async def test_a_function_of_the_tool_answers(decide: Any, answer: tuple[bool, str | None]) -> None:
    rig = Rig(server_tool(decide))
    session = await rig.session(context="Ann")
    await rig.ask()
    assert await rig.answer() == ("mcpr_1", *answer)
    await session.close()
    async for event in session:
        assert not isinstance(event, RealtimeMcpApprovalRequired | RealtimeError)


async def test_the_function_is_told_what_is_wanted() -> None:
    judge = Judge(approve=True)
    rig = Rig(server_tool(judge))
    session = await rig.session(context="Ann")
    await rig.ask()
    await rig.answer()
    (request,) = judge.asked
    assert request.ctx_wrapper.context == "Ann"
    data = request.data
    assert (data.id, data.server_label, data.name, data.arguments) == (
        "mcpr_1",
        "docs",
        "search",
        '{"q": 1}',
    )
    await session.close()


def raises(request: MCPToolApprovalRequest) -> bool:
    raise ValueError("a secret")


def leaves(request: MCPToolApprovalRequest) -> bool:
    raise SystemExit


@pytest.mark.parametrize(
    "decide",
    [raises, leaves, lambda _: None, lambda _: {"approve": "yes"}, lambda _: {}, lambda _: 1],
)
async def test_a_function_that_gives_no_answer_refuses_and_is_reported(
    decide: Any, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig(server_tool(decide))
    session = await rig.session()
    await rig.ask()
    assert await rig.answer() == ("mcpr_1", False, COULD_NOT_ASK)
    async with asyncio.timeout(PATIENCE_S):
        async for event in session:
            if isinstance(event, RealtimeError):
                assert event.error["type"] == "approval_failed"
                assert "docs.search" in event.error["message"]
                assert "secret" not in event.error["message"]
                break
    assert "docs.search is not approved" in caplog.text
    await session.close()


async def test_a_reason_that_is_no_text_is_left_out() -> None:
    rig = Rig(server_tool(lambda _: {"approve": False, "reason": 3}))
    session = await rig.session()
    await rig.ask()
    assert await rig.answer() == ("mcpr_1", False, None)
    await session.close()


# The application ------------------------------------------------------------------------------------


async def test_the_application_says_yes_or_no() -> None:
    rig = Rig()
    session = await rig.session()
    await rig.ask()
    event = await asked(session)
    assert (event.tool, event.agent, event.info.context) == (rig.tool, rig.agent, session._info.context)
    assert (event.server_label, event.name, event.arguments) == ("docs", "search", '{"q": 1}')
    await session.approve_tool_call("unheard of")
    assert rig.answers == []
    await session.approve_tool_call(event.call_id)
    await session.reject_tool_call(event.call_id)
    assert await rig.answer() == ("mcpr_1", True, None)
    await rig.ask("mcpr_2")
    await session.reject_tool_call((await asked(session)).call_id, rejection_message="Too dear.")
    assert await rig.answer(2) == ("mcpr_2", False, "Too dear.")
    await session.close()


@pytest.mark.parametrize("approved", [True, False])
async def test_an_answer_for_good_holds_for_the_tool_and_no_other(approved: bool) -> None:
    rig = Rig()
    session = await rig.session()
    await rig.ask()
    event = await asked(session)
    if approved:
        await session.approve_tool_call(event.call_id, always=True)
    else:
        await session.reject_tool_call(event.call_id, always=True, rejection_message="Never.")
    await rig.answer()
    await rig.ask("mcpr_2")
    assert await rig.answer(2) == ("mcpr_2", approved, None if approved else "Never.")
    await rig.ask("mcpr_3", "write")
    assert (await asked(session)).call_id == "mcpr_3"
    await session.close()
    assert len(rig.answers) == 2


async def test_a_question_that_comes_again_is_asked_once() -> None:
    rig = Rig()
    session = await rig.session()
    await rig.ask()
    await rig.ask()
    event = await asked(session)
    await session.approve_tool_call(event.call_id)
    await rig.answer()
    await rig.ask()
    await session.close()
    async for each in session:
        assert not isinstance(each, RealtimeMcpApprovalRequired)
    assert len(rig.answers) == 1


async def test_a_server_that_the_settings_name_is_asked_about_too() -> None:
    rig = Rig()
    other = {**SERVER, "server_label": "other"}
    session = await rig.session(hosted_tools=[other, server_tool(yes, label="third")])
    await rig.ask(label="other")
    event = await asked(session)
    assert (event.tool, event.server_label) == (None, "other")
    await rig.ask("mcpr_2", label="third")
    assert await rig.answer() == ("mcpr_2", True, None)
    await session.close()


async def test_somebody_else_may_answer() -> None:
    rig = Rig()
    session = await rig.session()
    await rig.ask()
    event = await asked(session)
    answer = RealtimeMcpApprovalResponseItem(
        item_id=ItemId("item_9"), approval_request_id=ItemId("mcpr_1"), approve=True
    )
    await rig.model.emit(RealtimeModelItemUpdatedEvent(item=answer))
    await session.reject_tool_call(event.call_id)
    later = RealtimeMcpApprovalResponseItem(
        item_id=ItemId("item_8"), approval_request_id=ItemId("mcpr_2"), approve=True
    )
    await rig.model.emit(RealtimeModelItemUpdatedEvent(item=later))
    await rig.ask("mcpr_2")
    await session.close()
    assert rig.answers == []
    async for each in session:
        assert not isinstance(each, RealtimeMcpApprovalRequired)


async def test_a_function_that_is_still_thinking_when_somebody_else_has_answered_is_not_heard() -> None:
    decided, may_decide = asyncio.Event(), asyncio.Event()

    async def slowly(request: MCPToolApprovalRequest) -> bool:
        await may_decide.wait()
        decided.set()
        return True

    rig = Rig(server_tool(slowly))
    session = await rig.session()
    await rig.ask()
    answer = RealtimeMcpApprovalResponseItem(
        item_id=ItemId("item_9"), approval_request_id=ItemId("mcpr_1"), approve=False
    )
    await rig.model.emit(RealtimeModelItemUpdatedEvent(item=answer))
    may_decide.set()
    async with asyncio.timeout(PATIENCE_S):
        await decided.wait()
    await session.close()
    assert rig.answers == []


# Nobody ---------------------------------------------------------------------------------------------


async def test_a_question_that_nobody_can_hear_is_refused(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(approvals_module, "UNHEARD_S", 0.01)
    rig = Rig()
    session = await rig.session()
    await rig.ask()
    assert await rig.answer() == ("mcpr_1", False, NOBODY_TO_ASK)
    assert "nobody iterates" in caplog.text
    await session.approve_tool_call("mcpr_1")
    await session.close()
    assert len(rig.answers) == 1


async def test_whoever_iterates_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approvals_module, "UNHEARD_S", 0.01)
    rig = Rig()
    session = await rig.session()
    await rig.ask()
    event = await asked(session)
    await asyncio.sleep(0.05)
    assert rig.answers == []
    await session.approve_tool_call(event.call_id)
    assert await rig.answer() == ("mcpr_1", True, None)
    await session.close()


async def test_closing_ends_the_wait() -> None:
    rig = Rig()
    session = await rig.session()
    await rig.ask()
    await asked(session)
    async with asyncio.timeout(PATIENCE_S):
        await session.close()
    await rig.ask("mcpr_2")
    assert rig.model.sent == []


# Handoffs -------------------------------------------------------------------------------------------


async def test_the_agent_that_asked_decides_although_another_leads_by_then() -> None:
    mine: list[str] = []
    waiting = asyncio.Event()

    async def slowly(request: MCPToolApprovalRequest) -> bool:
        mine.append(request.data.id)
        await waiting.wait()
        return True

    rig = Rig(server_tool(slowly))
    session = await rig.session()
    await rig.ask()
    judge = Judge(approve=False)
    await session.update_agent(RealtimeAgent[Any](name="billing", tools=[server_tool(judge)]))
    waiting.set()
    assert await rig.answer() == ("mcpr_1", True, None)
    await rig.ask("mcpr_2")
    assert await rig.answer(2) == ("mcpr_2", False, None)
    assert (mine, [each.data.id for each in judge.asked]) == (["mcpr_1"], ["mcpr_2"])
    await session.close()


async def test_an_answer_for_good_is_not_for_another_agents_server() -> None:
    rig = Rig()
    session = await rig.session()
    await rig.ask()
    await session.approve_tool_call((await asked(session)).call_id, always=True)
    await session.update_agent(RealtimeAgent[Any](name="billing", tools=[server_tool()]))
    await rig.ask("mcpr_2")
    event = await asked(session)
    assert (event.call_id, event.agent.name) == ("mcpr_2", "billing")
    await session.close()


# The end --------------------------------------------------------------------------------------------


async def test_an_answer_after_the_end_of_the_connection_hurts_nobody() -> None:
    rig = Rig()
    session = await rig.session()
    await rig.ask()
    event = await asked(session)
    await rig.model.end("call_over")
    await session.approve_tool_call(event.call_id)
    async for _ in session:
        pass
    with pytest.raises(ConnectionLostError):
        await session.request_response()
    await session.close()


class Refusing(ScriptedRealtimeModel):
    """A model that cannot send an approval."""

    async def send_event(self, event: RealtimeModelSendEvent) -> None:
        if isinstance(event, RealtimeModelSendMcpApproval):
            raise ValueError("not sent")
        await super().send_event(event)


async def test_an_answer_that_cannot_be_sent_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    rig = Rig(server_tool(yes))
    rig.model = Refusing()
    session = await rig.session()
    await rig.ask()
    async with asyncio.timeout(PATIENCE_S):
        async for event in session:
            if isinstance(event, RealtimeError):
                assert str(event.error) == "not sent"
                break
    await session.close()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["ask", "approve", "reject", "always", "settled", "loop"]), st.sampled_from("123")
    ),
    max_size=25,
)


@settings(max_examples=60)
@given(STEPS)
def test_every_question_is_told_once_and_answered_at_most_once(steps: list[tuple[str, str]]) -> None:
    async def play() -> tuple[list[RealtimeModelSendMcpApproval], list[ToolCallId]]:
        rig = Rig()
        session = await rig.session()
        for step, number in steps:
            request_id = f"mcpr_{number}"
            match step:
                case "ask":
                    await rig.ask(request_id)
                case "approve" | "always":
                    await session.approve_tool_call(request_id, always=step == "always")
                case "reject":
                    await session.reject_tool_call(request_id)
                case "settled":
                    answer = RealtimeMcpApprovalResponseItem(
                        item_id=ItemId(f"mcpa_{number}"), approval_request_id=ItemId(request_id), approve=True
                    )
                    await rig.model.emit(RealtimeModelItemUpdatedEvent(item=answer))
                case _:
                    await asyncio.sleep(0)
        for _ in range(5):
            await asyncio.sleep(0)
        await session.close()
        told = [each.call_id async for each in session if isinstance(each, RealtimeMcpApprovalRequired)]
        return rig.answers, told

    answers, told = asyncio.run(play())
    ids = [each.approval_request_id for each in answers]
    assert len(set(ids)) == len(ids)
    assert len(set(told)) == len(told)
    asked = {f"mcpr_{number}" for step, number in steps if step == "ask"}
    assert set(ids) <= asked
    assert set(told) <= asked


def test_a_mapping_of_another_kind_is_an_answer_too() -> None:
    class Answer(Mapping[str, Any]):
        def __getitem__(self, key: str) -> Any:
            return {"approve": True}[key]

        def __iter__(self) -> Any:
            return iter(["approve"])

        def __len__(self) -> int:
            return 1

    assert approvals_module._decision(Answer()).approved
