"""What tools that the API itself calls leave in a conversation: their list, their calls, and approvals.

Values, as the history holds them beside those of `items`. Source: API reference, "Realtime conversation
item", ``mcp_list_tools``, ``mcp_call``, ``mcp_approval_request`` and ``mcp_approval_response``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, get_args

from msgspec.structs import replace

from sipagent.identifiers import ItemId
from sipagent.realtime.value import ItemStatus, Value

# Why a call failed ----------------------------------------------------------------------------------


class McpProtocolError(Value, frozen=True, kw_only=True):
    """The server answered with an error of the Model Context Protocol."""

    code: int | None
    """As in JSON-RPC 2.0; None when the API does not say."""
    message: str
    type: Literal["protocol_error"] = "protocol_error"


class McpToolExecutionError(Value, frozen=True, kw_only=True):
    """The tool ran and failed; also an error of a kind that is not documented."""

    message: str
    type: Literal["tool_execution_error"] = "tool_execution_error"


class McpHttpError(Value, frozen=True, kw_only=True):
    """The server could not be spoken to."""

    code: int | None
    """The HTTP status; None when the API does not say."""
    message: str
    type: Literal["http_error"] = "http_error"


McpCallError = McpProtocolError | McpToolExecutionError | McpHttpError
"""Why a hosted call failed; match on the class or on ``type``."""

# Items ----------------------------------------------------------------------------------------------


class McpTool(Value, frozen=True, kw_only=True):
    """One tool that a server offers."""

    name: str
    description: str | None = None
    input_schema: Mapping[str, Any] | None = None
    """JSON Schema of the arguments."""
    annotations: Mapping[str, Any] | None = None
    """As the server wrote them, such as ``readOnlyHint``."""


class RealtimeMcpListToolsItem(Value, frozen=True, kw_only=True):
    """What a server offers; empty until its list was loaded."""

    item_id: ItemId
    server_label: str
    tools: tuple[McpTool, ...] = ()
    previous_item_id: ItemId | None = None
    status: ItemStatus | None = None
    position: float = 0.0
    """As in `SystemMessageItem`."""
    type: Literal["mcp_list_tools"] = "mcp_list_tools"


class RealtimeMcpApprovalRequestItem(Value, frozen=True, kw_only=True):
    """The model wants to call a hosted tool, and may not before somebody says so."""

    item_id: ItemId
    """Named by the answer."""
    server_label: str
    name: str
    arguments: str
    """JSON, as the model wrote it."""
    previous_item_id: ItemId | None = None
    status: ItemStatus | None = None
    position: float = 0.0
    """As in `SystemMessageItem`."""
    type: Literal["mcp_approval_request"] = "mcp_approval_request"


class RealtimeMcpApprovalResponseItem(Value, frozen=True, kw_only=True):
    """What was said to a `RealtimeMcpApprovalRequestItem`."""

    item_id: ItemId
    approval_request_id: ItemId
    approve: bool
    reason: str | None = None
    """For the model."""
    previous_item_id: ItemId | None = None
    status: ItemStatus | None = None
    position: float = 0.0
    """As in `SystemMessageItem`."""
    type: Literal["mcp_approval_response"] = "mcp_approval_response"


class RealtimeMcpCallItem(Value, frozen=True, kw_only=True):
    """A call of a hosted tool, and what came of it once that is known."""

    item_id: ItemId
    server_label: str
    name: str
    arguments: str
    """JSON, as the model wrote it."""
    output: str | None = None
    error: McpCallError | None = None
    approval_request_id: ItemId | None = None
    """The request that was approved, where there was one."""
    previous_item_id: ItemId | None = None
    status: ItemStatus | None = None
    position: float = 0.0
    """As in `SystemMessageItem`."""
    type: Literal["mcp_call"] = "mcp_call"


RealtimeMcpItem = (
    RealtimeMcpListToolsItem
    | RealtimeMcpApprovalRequestItem
    | RealtimeMcpApprovalResponseItem
    | RealtimeMcpCallItem
)
"""Everything that hosted tools leave in a conversation; match on the class or on ``type``."""
MCP_ITEM_TYPES: Final = frozenset[type](get_args(RealtimeMcpItem))
"""The classes of them: to ask for one of these is quicker than ``isinstance``, and most items are none."""


def merged_mcp(old: RealtimeMcpItem, new: RealtimeMcpItem) -> RealtimeMcpItem:
    """``new``, with what only ``old`` knows. What an item is part of (its place, its status) is the history's
    affair. Two items of one id that are not of one kind: the newer."""
    match old, new:
        case RealtimeMcpListToolsItem(), RealtimeMcpListToolsItem():
            label = new.server_label or old.server_label
            return replace(new, tools=new.tools or old.tools, server_label=label)
        case RealtimeMcpCallItem(), RealtimeMcpCallItem():
            return replace(
                new,
                server_label=new.server_label or old.server_label,
                name=new.name or old.name,
                arguments=new.arguments or old.arguments,
                output=new.output if new.output is not None else old.output,
                error=new.error or old.error,
                approval_request_id=new.approval_request_id or old.approval_request_id,
            )
        case RealtimeMcpApprovalRequestItem(), RealtimeMcpApprovalRequestItem():
            return replace(new, arguments=new.arguments or old.arguments)
        case _:
            return new
