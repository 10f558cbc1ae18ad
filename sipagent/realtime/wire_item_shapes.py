"""Items as most messages of a server show them, for a decoder that reads JSON straight into structs. Pure.

For `sipagent.realtime.wire_shapes`; what `sipagent.realtime.wire_items` reads with suspicion, these take as
documented, or not at all. Source: API reference "Realtime conversation item".
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from sipagent.identifiers import ItemId, ResponseId, ToolCallId
from sipagent.realtime.events import RealtimeModelToolCallEvent
from sipagent.realtime.items import (
    AssistantAudio,
    AssistantContent,
    AssistantMessageItem,
    AssistantText,
    InputAudio,
    InputText,
    ItemStatus,
    RealtimeItem,
    RealtimeToolCallItem,
    UserContent,
    UserMessageItem,
)

_STATUSES: Final = frozenset({"in_progress", "completed", "incomplete"})


class PartShape(msgspec.Struct, frozen=True):
    """A part of a message."""

    type: str
    transcript: str | None = None
    text: str | None = None


class ItemShape(msgspec.Struct, frozen=True):
    """A message, or a call of a function; of what else there is, its kind."""

    id: ItemId
    type: str
    role: str | None = None
    status: str | None = None
    content: list[PartShape] = []
    call_id: ToolCallId = ToolCallId("")
    name: str = ""
    arguments: str = ""

    def item(self, previous: ItemId | None, default: ItemStatus | None) -> RealtimeItem | None:
        """The item; None for one of another kind than those of nearly every call."""
        status: Any = self.status if self.status in _STATUSES else default
        if self.type == "function_call":
            return RealtimeToolCallItem(
                item_id=self.id,
                call_id=self.call_id,
                name=self.name,
                arguments=self.arguments,
                previous_item_id=previous,
                status=status,
            )
        if self.type != "message":
            return None
        if self.role == "assistant":
            said = self._said()
            return (
                None
                if said is None
                else AssistantMessageItem(
                    item_id=self.id, content=said, previous_item_id=previous, status=status
                )
            )
        if self.role == "user":
            heard = self._heard()
            return (
                None
                if heard is None
                else UserMessageItem(item_id=self.id, content=heard, previous_item_id=previous, status=status)
            )
        return None

    def _said(self) -> tuple[AssistantContent, ...] | None:
        said: list[AssistantContent] = []
        for part in self.content:
            match part.type:
                case "output_audio":
                    said.append(AssistantAudio(transcript=part.transcript))
                case "output_text":
                    said.append(AssistantText(text=part.text or ""))
                case _:
                    return None
        return tuple(said)

    def _heard(self) -> tuple[UserContent, ...] | None:
        heard: list[UserContent] = []
        for part in self.content:
            match part.type:
                case "input_audio":
                    heard.append(InputAudio(transcript=part.transcript))
                case "input_text":
                    heard.append(InputText(text=part.text or ""))
                case _:
                    return None
        return tuple(heard)


def called(
    item: RealtimeItem, response_id: ResponseId | None
) -> tuple[RealtimeModelToolCallEvent, ...] | None:
    """The call that a completed item stands for, () for any other; None for one that cannot be answered."""
    if type(item) is not RealtimeToolCallItem or item.status != "completed":
        return ()
    if not item.call_id or not item.name:
        return None
    return (
        RealtimeModelToolCallEvent(
            name=item.name,
            call_id=item.call_id,
            arguments=item.arguments,
            id=item.item_id,
            response_id=response_id,
        ),
    )
