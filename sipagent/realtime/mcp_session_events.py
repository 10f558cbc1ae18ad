"""What happens with tools that the API itself calls, as a session tells it: values beside `session_events`.

They go with `RealtimeToolStart`, ``…End`` and ``…ApprovalRequired``, which tell the same of tools that run
here.
"""

from __future__ import annotations

from typing import Any, Literal

from sipagent.identifiers import ItemId, ToolCallId
from sipagent.realtime.agent import RealtimeAgent
from sipagent.realtime.agent_events import RealtimeEventInfo
from sipagent.realtime.hosted_mcp import HostedMCPTool
from sipagent.realtime.mcp_events import McpProgress
from sipagent.realtime.mcp_items import McpCallError, McpTool
from sipagent.realtime.value import Value


class RealtimeMcpToolList(Value, frozen=True, kw_only=True):
    """The tools of a server are being listed, can be called from now on, or could not be listed.

    A failure is no end of anything: the conversation goes on without these tools.
    """

    status: McpProgress
    item_id: ItemId
    server_label: str | None
    """None as long as the API has not said whose tools these are."""
    tools: tuple[McpTool, ...]
    """Empty unless ``status`` is ``completed``."""
    info: RealtimeEventInfo
    type: Literal["mcp_tool_list"] = "mcp_tool_list"


class RealtimeMcpCallStart(Value, frozen=True, kw_only=True):
    """The API calls a tool of a server."""

    agent: RealtimeAgent[Any]
    """Who led when the model decided on it."""
    item_id: ItemId
    """Of the call, in the history."""
    server_label: str
    name: str
    arguments: str
    """JSON, as the model wrote it."""
    info: RealtimeEventInfo
    type: Literal["mcp_call_start"] = "mcp_call_start"


class RealtimeMcpCallEnd(Value, frozen=True, kw_only=True):
    """A tool of a server has run or failed, and the model knows. Once for each call, behind its start."""

    agent: RealtimeAgent[Any]
    item_id: ItemId
    server_label: str
    name: str
    arguments: str
    output: str | None
    """What the tool gave; None when it failed, and when the API does not say."""
    error: McpCallError | None
    """Why it failed, where the API says."""
    is_error: bool
    duration_ms: float | None
    """From the start of the call to its end, as told here; None when the start was not told."""
    info: RealtimeEventInfo
    type: Literal["mcp_call_end"] = "mcp_call_end"


class RealtimeMcpApprovalRequired(Value, frozen=True, kw_only=True):
    """A call of a hosted tool waits for `RealtimeSession.approve_tool_call` or ``reject_tool_call``.

    Only for tools without an ``on_approval_request`` of their own.
    """

    agent: RealtimeAgent[Any]
    tool: HostedMCPTool | None
    """As the agent offers it; None when it was offered otherwise than by a `HostedMCPTool`."""
    server_label: str
    name: str
    arguments: str
    """JSON, as the model wrote it."""
    call_id: ToolCallId
    """To be named by the answer."""
    info: RealtimeEventInfo
    type: Literal["mcp_approval_required"] = "mcp_approval_required"
