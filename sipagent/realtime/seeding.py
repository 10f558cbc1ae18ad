"""An earlier conversation, as a new session is told of it. Pure.

The items get ids of our own, so that they are known before the server answers and never meet those of the
session itself. What cannot be told in the same way is told as it can be: speech by its transcript, a call of
a hosted tool as one of a function. What says nothing to the model is left out: speech that was never
transcribed, calls without an answer, pictures that cannot be fetched. Source: API reference "Realtime client
events", ``conversation.item.create``, which cannot create audio of the assistant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, assert_never, get_args

from msgspec.structs import replace

from sipagent.errors import UserError
from sipagent.identifiers import ItemId, ToolCallId
from sipagent.realtime.inputs import RealtimeModelSendRawMessage
from sipagent.realtime.items import (
    AssistantAudio,
    AssistantContent,
    AssistantMessageItem,
    AssistantText,
    InputAudio,
    InputImage,
    InputText,
    RealtimeItem,
    RealtimeMessageItem,
    RealtimeToolCallItem,
    SystemMessageItem,
    UserContent,
    UserMessageItem,
    text_of,
)
from sipagent.realtime.mcp_items import RealtimeMcpCallItem
from sipagent.realtime.user_input import is_picture_url


class RealtimeEarlierMessage(TypedDict):
    """Something that was said or written before a session began."""

    role: Literal["user", "assistant", "system"]
    text: str


RealtimeEarlierItem = RealtimeItem | RealtimeEarlierMessage
"""A part of an earlier conversation: an item of another session's history, or who said what."""
_ITEMS: tuple[type, ...] = get_args(RealtimeItem)
_Seeded = RealtimeMessageItem | RealtimeToolCallItem


@dataclass(frozen=True, slots=True, kw_only=True)
class Seed:
    """One item of a new session that stands for one of an earlier conversation."""

    item: _Seeded
    commands: Mapping[str, Mapping[str, Any]]
    """What creates it, in this order: items as the API writes them, by the id of the event."""

    def inputs(self) -> Iterable[RealtimeModelSendRawMessage]:
        """The same for a model."""
        for event_id, item in self.commands.items():
            yield RealtimeModelSendRawMessage(
                message={
                    "type": "conversation.item.create",
                    "other_data": {"event_id": event_id, "item": dict(item)},
                }
            )


def seeds_of(history: Iterable[RealtimeEarlierItem]) -> tuple[Seed, ...]:
    """What to create for ``history``, in its order; raises `UserError` for what is no part of one."""
    seeds: list[Seed] = []
    for number, earlier in enumerate(history, start=1):
        item_id = ItemId(f"earlier_{number}")
        if isinstance(earlier, Mapping):
            item: _Seeded | None = _message(earlier, item_id, number)
        elif isinstance(earlier, _ITEMS):
            item = _told_again(earlier, item_id)
        else:
            raise UserError(
                f"part {number} of the history is a {type(earlier).__name__}; give items of a session's "
                "history, or mappings of role and text"
            )
        if item is not None:
            item = replace(item, previous_item_id=seeds[-1].item.item_id if seeds else None)
            seeds.append(Seed(item=item, commands=_commands(item)))
    return tuple(seeds)


# Items ----------------------------------------------------------------------------------------------


def _message(earlier: Mapping[str, Any], item_id: ItemId, number: int) -> _Seeded | None:
    text = earlier.get("text")
    if not isinstance(text, str) or earlier.keys() != {"role", "text"}:
        raise UserError(f"part {number} of the history is a mapping of role and text, and of nothing else")
    if not text:
        return None
    match earlier["role"]:
        case "user":
            return _user(item_id, (InputText(text=text),))
        case "assistant":
            return _assistant(item_id, text)
        case "system":
            return _system(item_id, text)
        case other:
            raise UserError(
                f"the role of part {number} of the history is user, assistant or system, not {other!r}"
            )


def _told_again(earlier: RealtimeItem, item_id: ItemId) -> _Seeded | None:
    match earlier:
        case UserMessageItem():
            parts = tuple(part for each in earlier.content if (part := _part(each)) is not None)
            return _user(item_id, parts) if parts else None
        case AssistantMessageItem():
            return _assistant(item_id, text) if (text := text_of(earlier)) else None
        case SystemMessageItem():
            return _system(item_id, text) if (text := text_of(earlier)) else None
        case RealtimeToolCallItem():
            return _call(item_id, earlier.call_id, earlier.name, earlier.arguments, earlier.output)
        case RealtimeMcpCallItem():
            call_id = ToolCallId(f"call_{item_id}")
            return _call(item_id, call_id, earlier.name, earlier.arguments, earlier.output)
        case _:
            return None  # what hosted tools there were, and who approved of what, is for each session to know


def _user(item_id: ItemId, content: tuple[UserContent, ...]) -> UserMessageItem:
    return UserMessageItem(item_id=item_id, content=content, status="completed")


def _assistant(item_id: ItemId, text: str) -> AssistantMessageItem:
    return AssistantMessageItem(item_id=item_id, content=(AssistantText(text=text),), status="completed")


def _system(item_id: ItemId, text: str) -> SystemMessageItem:
    return SystemMessageItem(item_id=item_id, content=(InputText(text=text),), status="completed")


def _call(
    item_id: ItemId, call_id: ToolCallId, name: str, arguments: str, output: str | None
) -> RealtimeToolCallItem | None:
    if output is None:
        return None
    return RealtimeToolCallItem(
        item_id=item_id, call_id=call_id, name=name, arguments=arguments, output=output, status="completed"
    )


def _part(part: UserContent) -> UserContent | None:
    match part:
        case InputText(text=text):
            return part if text else None
        case InputAudio(transcript=transcript):
            return InputText(text=transcript) if transcript else None
        case InputImage(image_url=url):
            return part if is_picture_url(url) else None
        case _:
            assert_never(part)


# Commands -------------------------------------------------------------------------------------------


def _commands(item: _Seeded) -> dict[str, dict[str, Any]]:
    event_id = f"sipagent_{item.item_id}"
    if isinstance(item, RealtimeToolCallItem):
        call = {
            "id": item.item_id,
            "type": "function_call",
            "call_id": item.call_id,
            "name": item.name,
            "arguments": item.arguments,
        }
        output = {
            "id": f"{item.item_id}_output",
            "type": "function_call_output",
            "call_id": item.call_id,
            "output": item.output,
        }
        return {event_id: call, f"{event_id}_output": output}
    content = [_written(part) for part in item.content]
    return {event_id: {"id": item.item_id, "type": "message", "role": item.role, "content": content}}


def _written(part: UserContent | AssistantContent) -> dict[str, Any]:
    match part:
        case InputImage(image_url=url, detail=None):
            return {"type": "input_image", "image_url": url}
        case InputImage(image_url=url, detail=detail):
            return {"type": "input_image", "image_url": url, "detail": detail}
        case InputText(text=text):
            return {"type": "input_text", "text": text}
        case AssistantText(text=text):
            return {"type": "output_text", "text": text}
        case InputAudio() | AssistantAudio():
            raise AssertionError("a seed has no sound")
        case _:
            assert_never(part)
