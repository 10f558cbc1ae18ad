"""Session events as tests write them."""

from __future__ import annotations

from typing import Any

from sipagent.identifiers import ItemId, ResponseId, ToolCallId
from sipagent.realtime import FunctionTool, RealtimeAgent, RunContextWrapper, ToolContext
from sipagent.realtime.session_events import RealtimeEventInfo, RealtimeToolEnd, RealtimeToolStart

INFO = RealtimeEventInfo(context=RunContextWrapper(None))
AGENT: RealtimeAgent[Any] = RealtimeAgent(name="front-desk")


def item(number: int) -> ItemId:
    return ItemId(f"item_{number}")


def response(number: int) -> ResponseId:
    return ResponseId(f"resp_{number}")


async def _nothing(context: ToolContext[Any], arguments: str) -> str:
    return ""


def tool(name: str) -> FunctionTool:
    schema = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    return FunctionTool(name=name, description="", params_json_schema=schema, on_invoke_tool=_nothing)


def tool_start(name: str = "look_up", number: int = 1, arguments: str = "{}") -> RealtimeToolStart:
    return RealtimeToolStart(
        agent=AGENT,
        tool=tool(name),
        arguments=arguments,
        tool_call_id=ToolCallId(f"call_{number}"),
        info=INFO,
    )


def tool_end(
    name: str = "look_up", number: int = 1, output: str = "found", *, is_error: bool = False
) -> RealtimeToolEnd:
    return RealtimeToolEnd(
        agent=AGENT,
        tool=tool(name),
        arguments="{}",
        output=output,
        output_text=output,
        is_error=is_error,
        duration_ms=12.5,
        tool_call_id=ToolCallId(f"call_{number}"),
        info=INFO,
    )
