"""Items as most messages show them."""

from __future__ import annotations

import msgspec
import pytest

from sipagent.identifiers import ItemId, ResponseId
from sipagent.realtime.items import AssistantAudio, AssistantMessageItem, InputText, UserMessageItem
from sipagent.realtime.wire_item_shapes import ItemShape, PartShape, called
from tests.realtime import messages

SAID = messages.assistant_message("item_1", "Yes.", status="in_future")
TYPED = messages.user_message("item_2") | {"content": [{"type": "input_text", "text": "Hi."}]}


def test_an_item_has_the_status_that_it_names_if_it_is_one() -> None:
    shape = msgspec.convert(SAID, ItemShape)
    item = shape.item(ItemId("item_0"), "in_progress")
    assert item == AssistantMessageItem(
        item_id=ItemId("item_1"),
        content=(AssistantAudio(transcript="Yes."),),
        previous_item_id=ItemId("item_0"),
        status="in_progress",
    )


def test_what_was_typed_for_the_caller() -> None:
    item = msgspec.convert(TYPED, ItemShape).item(None, None)
    assert item == UserMessageItem(
        item_id=ItemId("item_2"), content=(InputText(text="Hi."),), status="completed"
    )


@pytest.mark.parametrize("role", ["system", "nobody", None])
def test_others_are_left_to_another(role: str | None) -> None:
    shape = ItemShape(id=ItemId("item_3"), type="message", role=role, content=[PartShape(type="input_text")])
    assert shape.item(None, None) is None


def test_a_call_that_cannot_be_answered_is_none() -> None:
    for name, found in (("book", 1), ("", None)):
        item = msgspec.convert(messages.function_call(name, "call_1"), ItemShape).item(None, "completed")
        assert item is not None
        calls = called(item, ResponseId("resp_1"))
        assert (None if calls is None else len(calls)) == found
    said = msgspec.convert(SAID, ItemShape).item(None, "completed")
    assert said is not None
    assert called(said, None) == ()
