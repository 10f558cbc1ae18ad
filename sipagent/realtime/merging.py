"""What is known of one item of a conversation when more is told of it. Pure.

What is told later need not be later, and need not say all: words, pictures and outputs that are known stay,
and what has ended does not begin again.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from sipagent.realtime.items import (
    AssistantMessageItem,
    InputAudio,
    InputImage,
    RealtimeItem,
    RealtimeToolCallItem,
    UserContent,
    UserMessageItem,
    text_of,
)
from sipagent.realtime.mcp_items import RealtimeMcpItem, merged_mcp

ENDED: Final = ("completed", "incomplete")
"""The statuses of items to which nothing more is added."""


def says_the_same(old: RealtimeItem, new: RealtimeItem) -> bool:
    """Whether ``new`` certainly adds nothing, so that `merged_item` need not be asked. Messages only."""
    if old.status != new.status:
        return False
    if type(old) is AssistantMessageItem and type(new) is AssistantMessageItem:
        return old.content == new.content
    return type(old) is UserMessageItem and type(new) is UserMessageItem and old.content == new.content


def merged_item(old: RealtimeItem, new: RealtimeItem) -> RealtimeItem:
    """``new``, with what only ``old`` knows: words, pictures, outputs, that it was cut off, that it ended."""
    previous = old.previous_item_id
    overtaken = old.status in ENDED and new.status not in ENDED
    status = old.status if overtaken else new.status
    if type(old) is AssistantMessageItem and type(new) is AssistantMessageItem:
        keep = old.content and (overtaken or not text_of(new))
        return replace(
            new,
            content=old.content if keep else new.content,
            status=status,
            interrupted=old.interrupted,
            previous_item_id=previous,
        )
    if isinstance(old, RealtimeMcpItem) and isinstance(new, RealtimeMcpItem):
        new = merged_mcp(old, new)
    match old, new:
        case UserMessageItem(), UserMessageItem():
            content = _merged_user(old, new)
            return replace(new, content=content, status=status, previous_item_id=previous)
        case RealtimeToolCallItem(), RealtimeToolCallItem():
            output = new.output if new.output is not None else old.output
            arguments = old.arguments if overtaken else new.arguments
            return replace(new, output=output, arguments=arguments, status=status, previous_item_id=previous)
        case _:
            return replace(new, status=status, previous_item_id=previous)


def _merged_user(old: UserMessageItem, new: UserMessageItem) -> tuple[UserContent, ...]:
    words = next((part.transcript for part in old.content if isinstance(part, InputAudio)), None)
    pictures = tuple(part for part in old.content if isinstance(part, InputImage))
    if not new.content:
        return old.content
    content = tuple(
        replace(part, transcript=words) if isinstance(part, InputAudio) and part.transcript is None else part
        for part in new.content
    )
    has_picture = any(isinstance(part, InputImage) for part in content)
    return content if has_picture else (*pictures, *content)


def with_heard(item: UserMessageItem, transcript: str) -> UserMessageItem:
    """``item``, whose speech turned out to be ``transcript``."""
    content = tuple(
        replace(part, transcript=transcript) if isinstance(part, InputAudio) else part
        for part in item.content
    )
    if not any(isinstance(part, InputAudio) for part in content):
        content = (*content, InputAudio(transcript=transcript))
    return replace(item, content=content, status="completed")
