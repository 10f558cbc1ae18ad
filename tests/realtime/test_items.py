"""What a message says."""

from __future__ import annotations

from sipagent.identifiers import ItemId
from sipagent.realtime.items import (
    AssistantAudio,
    AssistantMessageItem,
    AssistantText,
    InputAudio,
    InputImage,
    InputText,
    SystemMessageItem,
    UserMessageItem,
    text_of,
)

ID = ItemId("item_1")


def test_the_words_of_every_part_are_joined() -> None:
    item = UserMessageItem(
        item_id=ID,
        content=(
            InputAudio(transcript="one"),
            InputImage(image_url="data:,"),
            InputAudio(),
            InputText(text="two"),
        ),
    )
    assert text_of(item) == "one two"
    spoken = AssistantMessageItem(
        item_id=ID, content=(AssistantText(text="a"), AssistantAudio(transcript="b"))
    )
    assert text_of(spoken) == "a b"


def test_a_message_without_words_says_nothing() -> None:
    assert text_of(AssistantMessageItem(item_id=ID, content=(AssistantAudio(),))) == ""
    assert text_of(SystemMessageItem(item_id=ID)) == ""
