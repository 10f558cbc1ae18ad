"""What a model reports of tools that the API itself calls, as values beside those of `events`.

The messages of the server name an item and little else; what was listed, called and given is in the item
itself, which comes as `RealtimeModelItemUpdatedEvent`, before or behind. Source: API reference "Realtime
server events", ``mcp_list_tools.*`` and ``response.mcp_call*``.
"""

from __future__ import annotations

from typing import Literal

from sipagent.identifiers import ItemId, ResponseId
from sipagent.realtime.mcp_items import RealtimeMcpApprovalRequestItem
from sipagent.realtime.value import Value

McpProgress = Literal["in_progress", "completed", "failed"]


class RealtimeModelMcpListToolsEvent(Value, frozen=True, kw_only=True):
    """The tools of a server are being listed, were listed, or could not be."""

    change: McpProgress
    item_id: ItemId
    """Of the list."""
    type: Literal["mcp_list_tools"] = "mcp_list_tools"


class RealtimeModelMcpCallArgumentsEvent(Value, frozen=True, kw_only=True):
    """What the model wants to call a hosted tool with is known whole."""

    item_id: ItemId
    """Of the call."""
    arguments: str
    """JSON, as the model wrote it."""
    response_id: ResponseId | None = None
    type: Literal["mcp_call_arguments"] = "mcp_call_arguments"


class RealtimeModelMcpCallEvent(Value, frozen=True, kw_only=True):
    """A hosted tool runs, has run, or has failed."""

    change: McpProgress
    item_id: ItemId
    """Of the call."""
    type: Literal["mcp_call"] = "mcp_call"


class RealtimeModelMcpApprovalRequestedEvent(Value, frozen=True, kw_only=True):
    """A call of a hosted tool waits until somebody approves it. May come more than once."""

    request: RealtimeMcpApprovalRequestItem
    response_id: ResponseId | None = None
    """The response that wants to call, where the server says."""
    type: Literal["mcp_approval_requested"] = "mcp_approval_requested"


RealtimeModelMcpEvent = (
    RealtimeModelMcpListToolsEvent
    | RealtimeModelMcpCallArgumentsEvent
    | RealtimeModelMcpCallEvent
    | RealtimeModelMcpApprovalRequestedEvent
)
"""Everything a model reports of hosted tools; match on the class or on ``type``."""
