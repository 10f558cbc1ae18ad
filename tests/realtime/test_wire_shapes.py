"""Shapes of messages: what they leave to the suspicious reader, and what they say themselves."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from sipagent.realtime.events import RealtimeModelItemUpdatedEvent, RealtimeModelToolCallEvent
from sipagent.realtime.wire_shapes import AnyShape, Shape
from tests.realtime import mcp_messages, messages

DECODER = msgspec.json.Decoder[Any](AnyShape)


def shape(message: dict[str, Any]) -> Shape:
    decoded = DECODER.decode(json.dumps(message))
    assert isinstance(decoded, Shape)
    return decoded


def test_a_shape_says_nothing_unless_it_has_something_to_say() -> None:
    assert Shape().events() == ()
    assert shape({"type": "response.content_part.added", "part": {}}).events() == ()


@pytest.mark.parametrize(
    "item",
    [
        mcp_messages.mcp_call(),
        {"id": "item_1", "type": "function_call_output", "call_id": "call_1", "output": "{}"},
        {"id": "item_1", "type": "message", "role": "system", "content": []},
        {"id": "item_1", "type": "message", "role": "nobody", "content": []},
        {"id": "item_1", "type": "message", "role": "user", "content": [{"type": "input_image"}]},
        {"id": "item_1", "type": "message", "role": "assistant", "content": [{"type": "audio"}]},
        messages.function_call("", "call_1"),
    ],
)
def test_what_is_not_in_nearly_every_call_is_left_to_another(item: dict[str, Any]) -> None:
    assert shape(messages.output_item_done(item)).events() is None
    assert shape(messages.response_done(output=[item])).events() is None


def test_a_completed_call_is_one() -> None:
    item = messages.function_call("book", "call_1")
    events = shape(messages.output_item_done(item)).events()
    assert events is not None
    assert [type(each) for each in events] == [RealtimeModelItemUpdatedEvent, RealtimeModelToolCallEvent]
    begun = {**messages.output_item_done(item), "type": "response.output_item.added"}
    again = shape(begun).events()
    assert again is not None
    assert [type(each) for each in again] == [RealtimeModelItemUpdatedEvent]
