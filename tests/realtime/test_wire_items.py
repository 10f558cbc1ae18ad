"""Items, from the server's JSON to values."""

from __future__ import annotations

from typing import Any

import pytest

from sipagent.identifiers import ItemId, ToolCallId
from sipagent.realtime.items import (
    AssistantAudio,
    AssistantMessageItem,
    AssistantText,
    InputAudio,
    InputImage,
    InputText,
    RealtimeToolCallItem,
    SystemMessageItem,
    UserMessageItem,
)
from sipagent.realtime.wire_fields import MalformedError
from sipagent.realtime.wire_items import parse_item

ID = ItemId("item_1")


def message(role: str, *content: Any, **fields: Any) -> dict[str, Any]:
    return {"id": "item_1", "type": "message", "role": role, "content": list(content), **fields}


def test_what_the_caller_says_writes_and_shows() -> None:
    raw = message(
        "user",
        {"type": "input_audio", "transcript": "hello", "audio": "AAAA"},
        {"type": "input_text", "text": "written"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA"},
        {"type": "input_image"},
        {"type": "input_future", "text": "?"},
        "no object",
        status="completed",
    )
    assert parse_item(raw, "item_0", default=None) == UserMessageItem(
        item_id=ID,
        content=(
            InputAudio(transcript="hello"),
            InputText(text="written"),
            InputImage(image_url="data:image/png;base64,AA"),
        ),
        previous_item_id=ItemId("item_0"),
        status="completed",
    )


@pytest.mark.parametrize("spelling", ["audio", "output_audio"])
def test_what_the_agent_says(spelling: str) -> None:
    raw = message("assistant", {"type": spelling, "transcript": "hi"}, {"type": "output_text", "text": "w"})
    assert parse_item(raw, None, default="in_progress") == AssistantMessageItem(
        item_id=ID,
        content=(AssistantAudio(transcript="hi"), AssistantText(text="w")),
        status="in_progress",
    )


def test_what_the_system_says() -> None:
    raw = message("system", {"type": "input_text", "text": "Be brief."}, {"type": "other"})
    assert parse_item(raw, None, default=None) == SystemMessageItem(
        item_id=ID, content=(InputText(text="Be brief."),)
    )


def test_a_call_of_a_tool() -> None:
    raw = {
        "id": "item_1",
        "type": "function_call",
        "call_id": "call_1",
        "name": "look_up",
        "arguments": '{"day": 1}',
        "status": "incomplete",
    }
    assert parse_item(raw, None, default="completed") == RealtimeToolCallItem(
        item_id=ID,
        call_id=ToolCallId("call_1"),
        name="look_up",
        arguments='{"day": 1}',
        status="incomplete",
    )


def test_a_status_the_documents_do_not_know_counts_as_none_given() -> None:
    item = parse_item(message("user", status="paused"), None, default=None)
    assert item is not None
    assert item.status is None


@pytest.mark.parametrize("kind", ["function_call_output", "item_of_the_future", None, 3])
def test_items_that_no_history_holds_are_passed_over(kind: Any) -> None:
    assert parse_item({"id": "item_1", "type": kind}, None, default=None) is None


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (message("narrator"), "unknown role 'narrator'"),
        ({"type": "message", "role": "user"}, "id is NoneType"),
        ({"type": "function_call", "id": 7}, "id is int"),
        (message("system", {"type": "input_text"}), "text is NoneType"),
    ],
)
def test_an_item_that_lacks_something_says_what(raw: dict[str, Any], problem: str) -> None:
    with pytest.raises(MalformedError, match=problem):
        parse_item(raw, None, default=None)


@pytest.mark.parametrize("content", [None, {}, "text", 3])
def test_content_that_is_no_list_is_no_content(content: Any) -> None:
    item = parse_item(
        {"id": "item_1", "type": "message", "role": "user", "content": content}, 5, default=None
    )
    assert item == UserMessageItem(item_id=ID)
