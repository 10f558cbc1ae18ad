"""Messages of the server about hosted tools, as tests write them."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def mcp_list(item_id: str = "mcpl_1", *names: str, server_label: str = "docs") -> Json:
    """The item of a list."""
    return {
        "id": item_id,
        "type": "mcp_list_tools",
        "server_label": server_label,
        "tools": [{"name": name, "input_schema": {"type": "object"}, "description": name} for name in names],
    }


def list_changed(change: str, item_id: str = "mcpl_1") -> Json:
    return {"type": f"mcp_list_tools.{change}", "event_id": "event_l", "item_id": item_id}


def mcp_call(item_id: str = "mcp_1", arguments: str = '{"q": "tyres"}', **more: Any) -> Json:
    """The item of a call."""
    return {
        "id": item_id,
        "type": "mcp_call",
        "server_label": "docs",
        "name": "search",
        "arguments": arguments,
        **more,
    }


def arguments_done(
    item_id: str = "mcp_1", arguments: str = '{"q": "tyres"}', response_id: str = "resp_1"
) -> Json:
    return {
        "type": "response.mcp_call_arguments.done",
        "event_id": "event_g",
        "response_id": response_id,
        "item_id": item_id,
        "output_index": 0,
        "arguments": arguments,
    }


def call_changed(change: str, item_id: str = "mcp_1") -> Json:
    return {
        "type": f"response.mcp_call.{change}",
        "event_id": "event_h",
        "item_id": item_id,
        "output_index": 0,
    }


def approval_request(item_id: str = "mcpr_1", arguments: str = '{"q": "tyres"}', **more: Any) -> Json:
    """The item that asks."""
    return {
        "id": item_id,
        "type": "mcp_approval_request",
        "server_label": "docs",
        "name": "search",
        "arguments": arguments,
        **more,
    }


def approval_response(item_id: str, request_id: str = "mcpr_1", *, approve: bool = True) -> Json:
    """The item that answers."""
    return {
        "id": item_id,
        "type": "mcp_approval_response",
        "approval_request_id": request_id,
        "approve": approve,
    }


def item_done(item: Json, previous_item_id: str | None = None) -> Json:
    return {
        "type": "conversation.item.done",
        "event_id": "event_o",
        "item": item,
        "previous_item_id": previous_item_id,
    }
