"""Responses, from the server's JSON to events: their beginning, their end, and what they made. Pure.

Source: API reference "Realtime server events", ``response.created`` and ``response.done``.
"""

from __future__ import annotations

from sipagent.identifiers import ResponseId
from sipagent.realtime.events import (
    RealtimeModelEvent,
    RealtimeModelItemUpdatedEvent,
    RealtimeModelToolCallEvent,
    RealtimeModelTurnEndedEvent,
    RealtimeModelTurnStartedEvent,
    RealtimeModelUsageEvent,
)
from sipagent.realtime.items import RealtimeItem
from sipagent.realtime.usage import ResponseUsage
from sipagent.realtime.wire_fields import (
    MalformedError,
    Message,
    count_at,
    object_at,
    objects_at,
    optional_object,
    optional_text,
    text_at,
)
from sipagent.realtime.wire_item_shapes import called
from sipagent.realtime.wire_items import parse_item
from sipagent.realtime.wire_mcp import MCP_ITEMS, approval_requested

Events = tuple[RealtimeModelEvent, ...]

_STATUSES = ("completed", "cancelled", "incomplete", "failed")


def _out_of_band(response: Message) -> bool:
    # The API names the conversation of a response, and null for one that belongs to none.
    return "conversation_id" in response and response["conversation_id"] is None


def response_created(message: Message) -> Events:
    """``response.created``."""
    response = object_at(message, "response")
    return (
        RealtimeModelTurnStartedEvent(
            response_id=ResponseId(text_at(response, "id")), out_of_band=_out_of_band(response)
        ),
    )


def response_done(message: Message) -> Events:
    """``response.done``."""
    response = object_at(message, "response")
    details = optional_object(response, "status_details")
    error = optional_object(details, "error")
    status = response.get("status")
    counts = optional_object(response, "usage")
    usage = _response_usage(counts) if counts else None
    ended = RealtimeModelTurnEndedEvent(
        response_id=ResponseId(text_at(response, "id")),
        status=status if status in _STATUSES else "unknown",
        reason=optional_text(details, "reason") or optional_text(error, "code"),
        error_message=optional_text(error, "message"),
        usage=usage,
        out_of_band=_out_of_band(response),
    )
    output = _output_once_more(response, ended.response_id)
    return (*output, ended) if usage is None else (*output, RealtimeModelUsageEvent(usage=usage), ended)


def _output_once_more(response: Message, response_id: ResponseId) -> Events:
    """The items of a response that ended. All of them came one by one before; here they are again, for
    whoever missed one while the connection was away."""
    events: list[RealtimeModelEvent] = []
    for raw in objects_at(response, "output"):
        try:
            item = parse_item(raw, None, default="completed" if raw.get("type") in MCP_ITEMS else None)
            if item is not None:
                events.append(RealtimeModelItemUpdatedEvent(item=item, response_id=response_id))
                events.extend(tool_call(item, response_id))
                events.extend(approval_requested(item, response_id))
        except MalformedError:
            continue  # that the response ended matters more
    return tuple(events)


def _response_usage(usage: Message) -> ResponseUsage:
    given = optional_object(usage, "input_token_details")
    cached = optional_object(given, "cached_tokens_details")
    made = optional_object(usage, "output_token_details")
    input_tokens, output_tokens = count_at(usage, "input_tokens"), count_at(usage, "output_tokens")
    return ResponseUsage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        total_tokens=count_at(usage, "total_tokens") or input_tokens + output_tokens,
        input_text_tokens=count_at(given, "text_tokens"),
        input_audio_tokens=count_at(given, "audio_tokens"),
        input_image_tokens=count_at(given, "image_tokens"),
        cached_tokens=count_at(given, "cached_tokens"),
        cached_text_tokens=count_at(cached, "text_tokens"),
        cached_audio_tokens=count_at(cached, "audio_tokens"),
        cached_image_tokens=count_at(cached, "image_tokens"),
        output_text_tokens=count_at(made, "text_tokens"),
        output_audio_tokens=count_at(made, "audio_tokens"),
        reasoning_tokens=count_at(made, "reasoning_tokens"),
    )


def tool_call(
    item: RealtimeItem | None, response_id: ResponseId | None
) -> tuple[RealtimeModelToolCallEvent, ...]:
    """The call that a completed item stands for; () for any other item. Raises `MalformedError` for one that
    cannot be answered."""
    found = () if item is None else called(item, response_id)
    if found is None:
        raise MalformedError("a function call has no call_id or no name: it cannot be answered")
    return found
