"""A user's message says all that it was given, or says what is wrong with it."""

from __future__ import annotations

from typing import Any, cast

import pydantic
import pytest
from openai.types.realtime import ConversationItemCreateEvent, RealtimeConversationItemUserMessage

from sipagent.errors import UserError
from sipagent.realtime import RealtimeModelUserInput, RealtimeModelUserInputMessage, commands
from sipagent.realtime.user_input import is_picture_url, user_content

PICTURE = "data:image/png;base64,iVBORw0KGgo="


def message(*content: Any, **fields: Any) -> RealtimeModelUserInputMessage:
    return cast(
        RealtimeModelUserInputMessage,
        {"type": "message", "role": "user", "content": list(content), **fields},
    )


def as_the_api_reads_it(given: RealtimeModelUserInput) -> RealtimeConversationItemUserMessage:
    """Through the types of the official package, which know every field and every value it may have."""
    event = ConversationItemCreateEvent.model_validate(commands.user_message(given))
    assert isinstance(event.item, RealtimeConversationItemUserMessage)
    return event.item


def test_text_and_pictures_arrive_in_their_order() -> None:
    item = as_the_api_reads_it(
        message(
            {"type": "input_text", "text": "What is this?"},
            {"type": "input_image", "image_url": PICTURE, "detail": "low"},
            {"type": "input_image", "image_url": "https://example.com/a.jpg"},
            {"type": "input_text", "text": ""},
        )
    )
    assert [(part.type, part.text, part.image_url, part.detail) for part in item.content] == [
        ("input_text", "What is this?", None, None),
        ("input_image", None, PICTURE, "low"),
        ("input_image", None, "https://example.com/a.jpg", None),
        ("input_text", "", None, None),
    ]


@pytest.mark.parametrize("detail", ["auto", "low", "high"])
def test_every_detail_that_the_api_knows_may_be_asked_for(detail: str) -> None:
    part = {"type": "input_image", "image_url": PICTURE, "detail": detail}
    assert as_the_api_reads_it(message(part)).content[0].detail == detail


def test_there_is_no_detail_besides() -> None:
    with pytest.raises(pydantic.ValidationError):
        ConversationItemCreateEvent.model_validate(
            {
                "type": "conversation.item.create",
                "item": message({"type": "input_image", "image_url": PICTURE, "detail": "enormous"}),
            }
        )
    with pytest.raises(UserError, match="detail of part 1 .* auto, low, high or left out, not 'enormous'"):
        user_content(message({"type": "input_image", "image_url": PICTURE, "detail": "enormous"}))


def test_a_string_is_a_message_of_its_words() -> None:
    assert [part.text for part in as_the_api_reads_it("Ça va ?").content] == ["Ça va ?"]


def test_what_is_always_the_same_may_be_left_out() -> None:
    given: Any = {"content": [{"type": "input_text", "text": "Hello."}]}
    assert as_the_api_reads_it(given).role == "user"


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        (7, "a string or a mapping, not a int"),
        (message({"type": "input_text", "text": "x"}, role="assistant"), "role .* 'user', not 'assistant'"),
        (message({"type": "input_text", "text": "x"}, type="item"), "type .* 'message', not 'item'"),
        ({"type": "message", "role": "user"}, "a list of parts, not None"),
        ({"type": "message", "role": "user", "content": "Hello."}, "a list of parts, not a str"),
        (message(), "at least one text or image"),
        (message("Hello."), "part 1 .* a mapping with a type, not a str"),
        (message({"type": "input_text", "text": "x"}, {"type": "input_text"}), "part 2 .* no text, but None"),
        (message({"type": "input_text", "text": 7}), "part 1 .* no text, but a int"),
        (message({"type": "input_sound"}), "'input_sound'; use input_text or input_image"),
        (message({"type": "input_image"}), "image_url of part 1 .*, not None"),
        (message({"type": "input_image", "image_url": ""}), "image_url of part 1 .*, not ''"),
        (message({"type": "input_image", "image_url": "/home/me.png"}), "not '/home/me.png'"),
        (message({"type": "input_image", "image_url": "data:text/html,x"}), "not 'data:text/html,x'"),
    ],
)
def test_what_the_api_would_not_take_is_named(given: Any, wrong: str) -> None:
    with pytest.raises(UserError, match=wrong):
        user_content(given)


def test_what_is_named_is_not_shown_at_length() -> None:
    with pytest.raises(UserError) as raised:
        user_content(message({"type": "input_image", "image_url": "x" * 1000}))
    assert len(str(raised.value)) < 200


@pytest.mark.parametrize(("url", "good"), [(PICTURE, True), ("file:///a.png", False), (None, False)])
def test_a_picture_is_data_or_on_the_network(url: object, good: bool) -> None:
    assert is_picture_url(url) is good
