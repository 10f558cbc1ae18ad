"""What a conversation is made of: messages, and calls of tools (those of hosted ones: `mcp_items`).

Values, as the history holds them. Audio bytes are never in them; a part that was spoken carries its
transcript, or None as long as none is known.
"""

from __future__ import annotations

from typing import Literal

from sipagent.identifiers import ItemId, ToolCallId
from sipagent.realtime.mcp_items import RealtimeMcpItem
from sipagent.realtime.value import ItemStatus as ItemStatus
from sipagent.realtime.value import Value

# Parts of a message ---------------------------------------------------------------------------------


class InputText(Value, frozen=True, kw_only=True):
    """Text that a user or the system put in."""

    text: str
    type: Literal["input_text"] = "input_text"


class InputAudio(Value, frozen=True, kw_only=True):
    """Speech of the caller."""

    transcript: str | None = None
    type: Literal["input_audio"] = "input_audio"


class InputImage(Value, frozen=True, kw_only=True):
    """A picture, by URL or as a data URL."""

    image_url: str
    detail: Literal["auto", "low", "high"] | None = None
    type: Literal["input_image"] = "input_image"


class AssistantText(Value, frozen=True, kw_only=True):
    """Text that the model wrote."""

    text: str
    type: Literal["text"] = "text"


class AssistantAudio(Value, frozen=True, kw_only=True):
    """Speech of the model."""

    transcript: str | None = None
    type: Literal["audio"] = "audio"


UserContent = InputText | InputAudio | InputImage
"""A part of what came from the caller's side; match on the class or on ``type``."""
AssistantContent = AssistantText | AssistantAudio
"""A part of what came from the model; match on the class or on ``type``."""

# Items ----------------------------------------------------------------------------------------------


class SystemMessageItem(Value, frozen=True, kw_only=True):
    """A message of the application to the model."""

    item_id: ItemId
    content: tuple[InputText, ...] = ()
    previous_item_id: ItemId | None = None
    status: ItemStatus | None = None
    position: float = 0.0
    """Sorts the items of one session in conversation order."""
    role: Literal["system"] = "system"
    type: Literal["message"] = "message"


class UserMessageItem(Value, frozen=True, kw_only=True):
    """What the caller said, or what was written on the caller's behalf."""

    item_id: ItemId
    content: tuple[UserContent, ...] = ()
    previous_item_id: ItemId | None = None
    status: ItemStatus | None = None
    position: float = 0.0
    """As in `SystemMessageItem`."""
    role: Literal["user"] = "user"
    type: Literal["message"] = "message"


class AssistantMessageItem(Value, frozen=True, kw_only=True):
    """What the model said."""

    item_id: ItemId
    content: tuple[AssistantContent, ...] = ()
    previous_item_id: ItemId | None = None
    status: ItemStatus | None = None
    position: float = 0.0
    """As in `SystemMessageItem`."""
    interrupted: bool = False
    """The model was cut off: not all of the content was heard."""
    role: Literal["assistant"] = "assistant"
    type: Literal["message"] = "message"


class RealtimeToolCallItem(Value, frozen=True, kw_only=True):
    """A call of a tool, and its answer once there is one."""

    item_id: ItemId
    call_id: ToolCallId
    name: str
    arguments: str
    """JSON, as the model wrote it."""
    output: str | None = None
    """What the model was told; None until it was."""
    previous_item_id: ItemId | None = None
    status: ItemStatus | None = None
    position: float = 0.0
    """As in `SystemMessageItem`."""
    type: Literal["function_call"] = "function_call"


RealtimeMessageItem = SystemMessageItem | UserMessageItem | AssistantMessageItem
"""What somebody said or wrote; match on the class or on ``role``."""
RealtimeItem = RealtimeMessageItem | RealtimeToolCallItem | RealtimeMcpItem
"""Everything a conversation is made of; match on the class, or on ``type`` and then ``role``."""


def text_of(item: RealtimeMessageItem) -> str:
    """All words of a message, parts joined by a space; pictures and unknown transcripts have none."""
    if len(item.content) == 1:
        return _words(item.content[0])  # as nearly always
    return " ".join(words for part in item.content if (words := _words(part)))


def _words(part: UserContent | AssistantContent) -> str:
    if type(part) is AssistantAudio:
        return part.transcript or ""  # as mostly
    match part:
        case InputAudio() | AssistantAudio():
            return part.transcript or ""
        case InputText() | AssistantText():
            return part.text
        case InputImage():
            return ""
