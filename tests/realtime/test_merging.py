"""What is told later of an item takes nothing back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from sipagent.identifiers import ItemId, ToolCallId
from sipagent.realtime.items import (
    AssistantAudio,
    AssistantMessageItem,
    InputAudio,
    InputImage,
    InputText,
    RealtimeItem,
    RealtimeToolCallItem,
    SystemMessageItem,
    UserMessageItem,
)
from sipagent.realtime.merging import merged_item, with_heard

HERE, BEFORE = ItemId("item_2"), ItemId("item_1")


def user(*content: Any, status: Any = "completed", previous: ItemId | None = None) -> UserMessageItem:
    return UserMessageItem(item_id=HERE, content=content, status=status, previous_item_id=previous)


def agent(words: str | None, status: Any = "completed", *, interrupted: bool = False) -> AssistantMessageItem:
    content = () if words is None else (AssistantAudio(transcript=words),)
    return AssistantMessageItem(item_id=HERE, content=content, status=status, interrupted=interrupted)


def call(arguments: str, status: Any, output: str | None = None) -> RealtimeToolCallItem:
    return RealtimeToolCallItem(
        item_id=HERE,
        call_id=ToolCallId("call_1"),
        name="look_up",
        arguments=arguments,
        status=status,
        output=output,
    )


HEARD, UNHEARD = InputAudio(transcript="yes"), InputAudio()
PICTURE = InputImage(image_url="data:image/png;base64,AA==")


@dataclass(frozen=True, kw_only=True)
class Case:
    """What was known, what is told, and what is known then."""

    old: RealtimeItem
    new: RealtimeItem
    known: RealtimeItem


CASES = {
    "words stay": Case(old=user(HEARD), new=user(UNHEARD), known=user(HEARD)),
    "words stay when none are told": Case(old=user(HEARD), new=user(), known=user(HEARD)),
    "new words are believed": Case(
        old=user(HEARD), new=user(InputAudio(transcript="no")), known=user(InputAudio(transcript="no"))
    ),
    "a picture stays": Case(
        old=user(PICTURE, InputText(text="this")),
        new=user(InputText(text="this")),
        known=user(PICTURE, InputText(text="this")),
    ),
    "the place stays": Case(
        old=user(HEARD, previous=BEFORE), new=user(HEARD), known=user(HEARD, previous=BEFORE)
    ),
    "what ended does not begin again": Case(
        old=user(HEARD), new=user(UNHEARD, status="in_progress"), known=user(HEARD)
    ),
    "what the agent said stays": Case(old=agent("Hello"), new=agent(None), known=agent("Hello")),
    "more words are believed": Case(
        old=agent("Hel", "in_progress"), new=agent("Hello"), known=agent("Hello")
    ),
    "fewer words come too late": Case(
        old=agent("Hello"), new=agent("Hel", "in_progress"), known=agent("Hello")
    ),
    "an interruption stays": Case(
        old=agent("Hello", interrupted=True), new=agent("Hello"), known=agent("Hello", interrupted=True)
    ),
    "an output stays": Case(
        old=call("{}", "completed", "found"),
        new=call("{}", "completed"),
        known=call("{}", "completed", "found"),
    ),
    "arguments stay": Case(
        old=call("{}", "completed"), new=call("", "in_progress"), known=call("{}", "completed")
    ),
    "arguments grow": Case(
        old=call("", "in_progress"), new=call("{}", "completed"), known=call("{}", "completed")
    ),
    "another kind is believed": Case(
        old=user(HEARD, previous=BEFORE),
        new=SystemMessageItem(item_id=HERE, status="completed"),
        known=SystemMessageItem(item_id=HERE, status="completed", previous_item_id=BEFORE),
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_is_known_then(case: Case) -> None:
    assert merged_item(case.old, case.new) == case.known


def test_what_was_heard_goes_where_the_speech_is() -> None:
    assert with_heard(user(PICTURE, UNHEARD, status="in_progress"), "yes") == user(PICTURE, HEARD)
    assert with_heard(user(InputText(text="hm")), "yes") == user(InputText(text="hm"), HEARD)
