"""Items of a conversation, from the server's JSON to values. Pure."""

from __future__ import annotations

from sipagent.identifiers import ItemId, ToolCallId
from sipagent.realtime.items import (
    AssistantAudio,
    AssistantContent,
    AssistantMessageItem,
    AssistantText,
    InputAudio,
    InputImage,
    InputText,
    ItemStatus,
    RealtimeItem,
    RealtimeToolCallItem,
    SystemMessageItem,
    UserContent,
    UserMessageItem,
)
from sipagent.realtime.wire_fields import (
    MalformedError,
    Message,
    item_id_at,
    objects_at,
    optional_text,
    text_at,
)
from sipagent.realtime.wire_mcp import MCP_ITEMS, parse_mcp_item


def parse_item(raw: Message, previous: object, *, default: ItemStatus | None) -> RealtimeItem | None:
    """An item of a kind that a history holds; None for the others. ``default`` is the status of one that has
    none of its own."""
    kind, role = raw.get("type"), raw.get("role")
    if kind not in ("message", "function_call") and kind not in MCP_ITEMS:
        return None
    item_id = item_id_at(raw, "id")
    before = ItemId(previous) if isinstance(previous, str) else None
    given = raw.get("status")
    status: ItemStatus | None = given if given in ("in_progress", "completed", "incomplete") else default
    if kind in MCP_ITEMS:
        return parse_mcp_item(raw, before, status)
    parts = objects_at(raw, "content")
    if kind == "function_call":
        return RealtimeToolCallItem(
            item_id=item_id,
            call_id=ToolCallId(optional_text(raw, "call_id") or ""),
            name=optional_text(raw, "name") or "",
            arguments=optional_text(raw, "arguments") or "",
            previous_item_id=before,
            status=status,
        )
    if role == "assistant":
        spoken = tuple(made for one in parts if (made := _assistant_part(one)) is not None)
        return AssistantMessageItem(item_id=item_id, content=spoken, previous_item_id=before, status=status)
    if role == "system":
        texts = tuple(
            InputText(text=text_at(one, "text")) for one in parts if one.get("type") == "input_text"
        )
        return SystemMessageItem(item_id=item_id, content=texts, previous_item_id=before, status=status)
    if role == "user":
        heard = tuple(part for one in parts if (part := _user_part(one)) is not None)
        return UserMessageItem(item_id=item_id, content=heard, previous_item_id=before, status=status)
    raise MalformedError(f"an item has the unknown role {role!r}")


def _assistant_part(part: Message) -> AssistantContent | None:
    match part.get("type"):
        case "audio" | "output_audio":
            return AssistantAudio(transcript=optional_text(part, "transcript"))
        case "text" | "output_text":
            return AssistantText(text=optional_text(part, "text") or "")
        case _:
            return None


def _user_part(part: Message) -> UserContent | None:
    match part.get("type"):
        case "input_audio":
            return InputAudio(transcript=optional_text(part, "transcript"))
        case "input_text":
            return InputText(text=optional_text(part, "text") or "")
        case "input_image" if isinstance(part.get("image_url"), str):
            detail = part.get("detail")
            return InputImage(
                image_url=part["image_url"], detail=detail if detail in ("auto", "low", "high") else None
            )
        case _:
            return None
