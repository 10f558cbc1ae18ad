"""The scripted model is honest: it checks, records, reports in order, and forgets no surprise."""

from __future__ import annotations

import asyncio

import pytest

from sipagent.errors import AttachError, ConnectionLostError
from sipagent.realtime import (
    HostedMCPTool,
    McpHttpError,
    RealtimeAgent,
    RealtimeMcpApprovalRequired,
    RealtimeMcpCallEnd,
    RealtimeModelRequestResponse,
    RealtimeModelSendMcpApproval,
    RealtimeModelSendSystemMessage,
    RealtimeModelSendToolOutput,
    RealtimeModelSendUserInput,
    RealtimeRunner,
    RealtimeSession,
    RealtimeToolEnd,
    RealtimeTranscriptLine,
    function_tool,
)
from sipagent.realtime.events import RealtimeModelEvent, RealtimeModelRateLimitsEvent
from sipagent.realtime.model import RealtimeModelListener
from sipagent.realtime.testing import ScriptedRealtimeModel, UnexpectedInputError
from tests.realtime.peer import PATIENCE_S

ASK = RealtimeModelRequestResponse()
HINT = RealtimeModelSendSystemMessage(text="The caller pressed 1.")
RATE_LIMITS = RealtimeModelRateLimitsEvent(rate_limits=())


@function_tool
def next_free_slot(treatment: str) -> str:
    """Find the next free slot."""
    return f"Tuesday at ten for a {treatment}"


class Listener(RealtimeModelListener):
    def __init__(self) -> None:
        self.heard: list[RealtimeModelEvent] = []

    async def on_event(self, event: RealtimeModelEvent) -> None:
        self.heard.append(event)


async def connected(model: ScriptedRealtimeModel) -> Listener:
    listener = Listener()
    model.add_listener(listener)
    await model.connect({"call_id": "rtc_1"})
    return listener


async def session_with(model: ScriptedRealtimeModel) -> RealtimeSession:
    agent = RealtimeAgent[None](name="front-desk", tools=[next_free_slot])
    return await RealtimeRunner(agent, model=model).run()


async def test_what_is_expected_may_be_sent_and_is_answered() -> None:
    model = ScriptedRealtimeModel()
    model.expect(RealtimeModelRequestResponse, RATE_LIMITS)
    listener = await connected(model)
    await model.send_event(ASK)
    assert model.sent == [ASK]
    assert listener.heard == [RATE_LIMITS]
    model.verify()


async def test_what_is_not_expected_raises_and_is_remembered() -> None:
    model = ScriptedRealtimeModel()
    model.expect(RealtimeModelSendUserInput)
    await connected(model)
    with pytest.raises(UnexpectedInputError, match="RealtimeModelSendUserInput was expected"):
        await model.send_event(HINT)
    with pytest.raises(UnexpectedInputError, match="pressed 1.*never sent: RealtimeModelSendUserInput"):
        model.verify()


async def test_something_may_be_allowed_at_any_time() -> None:
    model = ScriptedRealtimeModel()
    model.allow(RealtimeModelSendSystemMessage)
    model.expect(lambda event: event == ASK)
    await connected(model)
    for event in (HINT, ASK, HINT):
        await model.send_event(event)
    model.verify()


async def test_a_model_that_expects_nothing_only_records() -> None:
    model = ScriptedRealtimeModel()
    await connected(model)
    await model.send_event(HINT)
    assert model.sent == [HINT]
    model.verify()


async def test_nothing_can_be_sent_without_a_connection() -> None:
    model = ScriptedRealtimeModel()
    with pytest.raises(ConnectionLostError):
        await model.send_event(ASK)
    await connected(model)
    with pytest.raises(AssertionError, match="Already connected"):
        await model.connect({})
    await model.end()
    with pytest.raises(ConnectionLostError):
        await model.send_event(ASK)
    await model.connect({})
    await model.close()
    with pytest.raises(ConnectionLostError):
        await model.send_event(ASK)


async def test_connecting_can_be_made_to_fail() -> None:
    model = ScriptedRealtimeModel(connect_error=AttachError("no", status=403))
    session = await session_with(model)
    with pytest.raises(AttachError):
        await session.enter()


async def test_what_a_listener_emits_comes_after_what_it_hears() -> None:
    class Echo(RealtimeModelListener):
        async def on_event(self, event: RealtimeModelEvent) -> None:
            if event is first:
                await model.emit(last)

    model = ScriptedRealtimeModel()
    first, second, last = (RealtimeModelRateLimitsEvent(rate_limits=()) for _ in range(3))
    model.add_listener(Echo())
    listener = await connected(model)
    await model.emit(first, second)
    assert [id(event) for event in listener.heard] == [id(first), id(second), id(last)]


async def test_a_listener_that_was_removed_hears_nothing() -> None:
    model = ScriptedRealtimeModel()
    listener = await connected(model)
    model.add_listener(listener)
    model.remove_listener(listener)
    model.remove_listener(listener)
    await model.emit(RATE_LIMITS)
    assert listener.heard == []


async def test_waiting_for_an_input_ends_when_it_is_sent_or_the_time_has_passed() -> None:
    model = ScriptedRealtimeModel()
    await connected(model)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(model.wait_until_sent(RealtimeModelSendSystemMessage, count=2))
        await asyncio.sleep(0)
        for event in (HINT, ASK, HINT):
            await model.send_event(event)
    assert waiting.result() == HINT
    with pytest.raises(TimeoutError):
        await model.wait_until_sent(RealtimeModelSendUserInput, timeout_s=0.01)


async def test_a_function_may_answer_whatever_is_sent() -> None:
    model = ScriptedRealtimeModel(answer=lambda event: [RATE_LIMITS] if event == ASK else [])
    listener = await connected(model)
    for event in (HINT, ASK):
        await model.send_event(event)
    assert listener.heard == [RATE_LIMITS]


async def test_a_whole_conversation_needs_no_server() -> None:
    model = ScriptedRealtimeModel()
    model.expect(RealtimeModelRequestResponse, *model.agent_says("Good morning."))
    model.expect(
        lambda event: isinstance(event, RealtimeModelSendToolOutput) and "Tuesday" in event.output,
        *model.agent_says("You can come on Tuesday at ten."),
    )
    async with await session_with(model) as session:
        await session.say("Good morning.")
        assert not session.response_active
        await model.emit(*model.caller_says("Have you a free slot for a filling?"))
        await model.emit(*model.agent_calls("next_free_slot", {"treatment": "filling"}))
        await model.wait_until_sent(RealtimeModelSendToolOutput)
        await model.end("call_over")
        happened = [event async for event in session]
    model.verify()
    lines = [event for event in happened if isinstance(event, RealtimeTranscriptLine)]
    assert [(line.role, line.text) for line in sorted(lines, key=lambda line: line.position)] == [
        ("agent", "Good morning."),
        ("caller", "Have you a free slot for a filling?"),
        ("agent", "You can come on Tuesday at ten."),
    ]
    ended = [event for event in happened if isinstance(event, RealtimeToolEnd)]
    assert [event.output for event in ended] == ["Tuesday at ten for a filling"]
    assert session.end is not None
    assert session.end.cause == "call_over"


async def test_a_response_is_pending_until_it_begins() -> None:
    model = ScriptedRealtimeModel()
    await connected(model)
    pending = [model.response_pending]
    for event in (HINT, ASK):
        await model.send_event(event)
        pending.append(model.response_pending)
    await model.emit(*model.agent_says("Yes?"))
    assert [*pending, model.response_pending] == [False, False, True, False]


async def test_a_surprise_in_the_task_of_a_tool_is_not_lost() -> None:
    model = ScriptedRealtimeModel()
    model.allow(RealtimeModelRequestResponse)
    async with await session_with(model) as session:
        await model.emit(*model.agent_calls("next_free_slot", '{"treatment": "filling"}'))
        await model.wait_until_sent(RealtimeModelSendToolOutput)
        assert session.history
    with pytest.raises(UnexpectedInputError, match="nothing was expected"):
        model.verify()


async def test_hosted_tools_are_played_too() -> None:
    model = ScriptedRealtimeModel()
    model.expect(RealtimeModelSendMcpApproval, *model.agent_calls_hosted("docs", "order", output="Ordered."))
    server = {"type": "mcp", "server_label": "docs", "server_url": "https://docs.example"}
    agent = RealtimeAgent[None](name="front-desk", tools=[HostedMCPTool(tool_config=server)])
    busy = McpHttpError(code=503, message="Busy.")
    ends: list[RealtimeMcpCallEnd] = []
    async with await RealtimeRunner(agent, model=model).run() as session:
        await model.emit(
            *model.agent_calls_hosted("docs", "search", {"q": 1}, output="Nine."),
            *model.agent_calls_hosted("docs", "search", error=busy),
            *model.agent_asks_for_approval("docs", "order", request_id="mcpr_1"),
        )
        async with asyncio.timeout(PATIENCE_S):
            async for event in session:
                if isinstance(event, RealtimeMcpApprovalRequired):
                    assert event.call_id == "mcpr_1"
                    await session.approve_tool_call("mcpr_1")
                if isinstance(event, RealtimeMcpCallEnd):
                    ends.append(event)
                if len(ends) == 3:
                    break
    assert [(each.output, each.error) for each in ends] == [
        ("Nine.", None),
        (None, busy),
        ("Ordered.", None),
    ]
    assert ends[0].arguments == '{"q": 1}'
    model.verify()
