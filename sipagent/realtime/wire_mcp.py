"""Messages and items of hosted tools, from the server's JSON to values. Pure.

Source: API reference, "Realtime server events", ``mcp_list_tools.*`` and ``response.mcp_call*``, and
"Realtime conversation item".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from sipagent.identifiers import ItemId, ResponseId
from sipagent.realtime.mcp_events import (
    McpProgress,
    RealtimeModelMcpApprovalRequestedEvent,
    RealtimeModelMcpCallArgumentsEvent,
    RealtimeModelMcpCallEvent,
    RealtimeModelMcpEvent,
    RealtimeModelMcpListToolsEvent,
)
from sipagent.realtime.mcp_items import (
    McpCallError,
    McpHttpError,
    McpProtocolError,
    McpTool,
    McpToolExecutionError,
    RealtimeMcpApprovalRequestItem,
    RealtimeMcpApprovalResponseItem,
    RealtimeMcpCallItem,
    RealtimeMcpItem,
    RealtimeMcpListToolsItem,
)
from sipagent.realtime.value import ItemStatus
from sipagent.realtime.wire_fields import (
    MalformedError,
    Message,
    item_id_at,
    objects_at,
    optional_int,
    optional_response_id,
    optional_text,
    text_at,
)

MCP_ITEMS: Final = frozenset({"mcp_list_tools", "mcp_approval_request", "mcp_approval_response", "mcp_call"})
"""The kinds of item that `parse_mcp_item` reads."""

# Items ----------------------------------------------------------------------------------------------


def parse_mcp_item(raw: Message, before: ItemId | None, status: ItemStatus | None) -> RealtimeMcpItem:
    """An item of one of the `MCP_ITEMS`; raises `MalformedError` for one that cannot be used.

    These items are documented without a status, so ``status`` says how far they are.
    """
    item_id = item_id_at(raw, "id")
    label, name = optional_text(raw, "server_label") or "", optional_text(raw, "name") or ""
    arguments = optional_text(raw, "arguments") or ""
    match raw["type"]:
        case "mcp_list_tools":
            return RealtimeMcpListToolsItem(
                item_id=item_id,
                server_label=label,
                tools=tuple(_tool(each) for each in objects_at(raw, "tools") if each.get("name")),
                previous_item_id=before,
                status=status,
            )
        case "mcp_approval_request":
            return RealtimeMcpApprovalRequestItem(
                item_id=item_id,
                server_label=label,
                name=name,
                arguments=arguments,
                previous_item_id=before,
                status=status,
            )
        case "mcp_approval_response":
            return RealtimeMcpApprovalResponseItem(
                item_id=item_id,
                approval_request_id=item_id_at(raw, "approval_request_id"),
                approve=_flag(raw, "approve"),
                reason=optional_text(raw, "reason"),
                previous_item_id=before,
                status=status,
            )
        case _:
            request = optional_text(raw, "approval_request_id")
            output, error = optional_text(raw, "output"), _error(raw.get("error"))
            # The item may be told whole while its call still waits, or runs.
            ended = output is not None or error is not None
            return RealtimeMcpCallItem(
                item_id=item_id,
                server_label=label,
                name=name,
                arguments=arguments,
                output=output,
                error=error,
                approval_request_id=None if request is None else ItemId(request),
                previous_item_id=before,
                status="completed" if ended else "incomplete" if status == "incomplete" else "in_progress",
            )


def _tool(raw: Message) -> McpTool:
    schema, annotations = raw.get("input_schema"), raw.get("annotations")
    return McpTool(
        name=text_at(raw, "name"),
        description=optional_text(raw, "description"),
        input_schema=schema if isinstance(schema, Mapping) else None,
        annotations=annotations if isinstance(annotations, Mapping) else None,
    )


def _flag(raw: Message, key: str) -> bool:
    value = raw.get(key)
    if not isinstance(value, bool):
        raise MalformedError(f"{key} is {type(value).__name__}, not a boolean")
    return value


def _error(raw: Any) -> McpCallError | None:
    if not raw:
        return None
    if not isinstance(raw, dict):
        return McpToolExecutionError(message=raw if isinstance(raw, str) else json.dumps(raw))
    message = optional_text(raw, "message") or ""
    match raw.get("type"):
        case "protocol_error":
            return McpProtocolError(code=optional_int(raw, "code"), message=message)
        case "http_error":
            return McpHttpError(code=optional_int(raw, "code"), message=message)
        case _:
            return McpToolExecutionError(message=message or json.dumps(raw))


def approval_requested(
    item: object, response_id: ResponseId | None
) -> tuple[RealtimeModelMcpApprovalRequestedEvent, ...]:
    """The question that a complete item stands for; () for any other item."""
    if not isinstance(item, RealtimeMcpApprovalRequestItem) or item.status != "completed":
        return ()
    if not item.server_label or not item.name:
        raise MalformedError("an approval request has no server_label or no name: nobody can decide on it")
    return (RealtimeModelMcpApprovalRequestedEvent(request=item, response_id=response_id),)


# Messages -------------------------------------------------------------------------------------------


def _list(change: McpProgress) -> Callable[[Message], tuple[RealtimeModelMcpEvent, ...]]:
    return lambda message: (RealtimeModelMcpListToolsEvent(change=change, item_id=item_id_at(message)),)


def _call(change: McpProgress) -> Callable[[Message], tuple[RealtimeModelMcpEvent, ...]]:
    return lambda message: (RealtimeModelMcpCallEvent(change=change, item_id=item_id_at(message)),)


def _arguments(message: Message) -> tuple[RealtimeModelMcpEvent, ...]:
    return (
        RealtimeModelMcpCallArgumentsEvent(
            item_id=item_id_at(message),
            arguments=text_at(message, "arguments"),
            response_id=optional_response_id(message),
        ),
    )


MCP_PARSERS: Final[Mapping[str, Callable[[Message], tuple[RealtimeModelMcpEvent, ...]]]] = {
    "mcp_list_tools.in_progress": _list("in_progress"),
    "mcp_list_tools.completed": _list("completed"),
    "mcp_list_tools.failed": _list("failed"),
    "response.mcp_call_arguments.done": _arguments,
    "response.mcp_call.in_progress": _call("in_progress"),
    "response.mcp_call.completed": _call("completed"),
    "response.mcp_call.failed": _call("failed"),
}
"""By the type of a message, what reads it; each may raise `MalformedError`."""
