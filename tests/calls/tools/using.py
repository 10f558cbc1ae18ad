"""Using tools as a session does, and telling the call what happens."""

from __future__ import annotations

from typing import Any

from sipagent.calls import CallContext
from sipagent.identifiers import ToolCallId
from sipagent.realtime import FunctionTool
from sipagent.realtime.items import InputText, UserMessageItem
from sipagent.realtime.session_events import (
    RealtimeAgentSpeechStarted,
    RealtimeAgentSpeechStopped,
    RealtimeCallerSpeechStarted,
    RealtimeCallerSpeechStopped,
    RealtimeDtmfReceived,
    RealtimeHistoryAdded,
    RealtimeResponseStarted,
    RealtimeSessionEvent,
    RealtimeToolStart,
    RealtimeTranscriptDelta,
)
from sipagent.realtime.tools import ToolResult, run_tool
from tests.calls.controls import tool_context
from tests.calls.events import AGENT, INFO, item, response


async def use(
    tool: FunctionTool, call: CallContext, arguments: str = "{}", tool_call_id: str = "call_1"
) -> ToolResult:
    """What the model is told, and whether it is told of a failure."""
    call.tools.observe(
        RealtimeToolStart(
            agent=AGENT, tool=tool, arguments=arguments, tool_call_id=ToolCallId(tool_call_id), info=INFO
        )
    )
    return await run_tool(tool, tool_context(call, tool.name, arguments, tool_call_id), arguments)


def response_started(number: int) -> RealtimeSessionEvent:
    return RealtimeResponseStarted(response_id=response(number), info=INFO)


def agent_speaks(number: int) -> RealtimeSessionEvent:
    return RealtimeAgentSpeechStarted(response_id=response(number), info=INFO)


def agent_silent(number: int) -> RealtimeSessionEvent:
    return RealtimeAgentSpeechStopped(response_id=response(number), info=INFO)


def agent_writes(words: str = "Shall I?") -> RealtimeSessionEvent:
    return RealtimeTranscriptDelta(role="agent", item_id=item(1), delta=words, info=INFO)


def caller_speaks() -> RealtimeSessionEvent:
    return RealtimeCallerSpeechStarted(item_id=item(2), audio_start_ms=0, info=INFO)


def caller_silent() -> RealtimeSessionEvent:
    return RealtimeCallerSpeechStopped(item_id=item(2), audio_end_ms=0, info=INFO)


def caller_writes(words: str = "yes") -> RealtimeSessionEvent:
    message = UserMessageItem(item_id=item(3), content=(InputText(text=words),))
    return RealtimeHistoryAdded(item=message, info=INFO)


def key(digit: str) -> RealtimeSessionEvent:
    return RealtimeDtmfReceived(digit=digit, received_at=None, info=INFO)


def question_put(call: CallContext, number: int = 7) -> None:
    """The agent asks, and is heard."""
    call.tools.observe(response_started(number))
    call.tools.observe(agent_speaks(number))


def caller_answers(call: CallContext) -> None:
    """The caller says something."""
    call.tools.observe(caller_speaks())
    call.tools.observe(caller_silent())


def told(notes: list[tuple[str, dict[str, Any]]], kind: str) -> list[dict[str, Any]]:
    """The notes of one kind."""
    return [data for each, data in notes if each == kind]
