"""The conversation's items, in order, as the server keeps them."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from sipagent.identifiers import ItemId, ToolCallId
from sipagent.simulator.server_events import Json

ROOT: Final = "root"
"""As a ``previous_item_id``: in front of everything."""


@dataclass(slots=True, kw_only=True)
class Item:
    """One item. ``body`` is its wire form, always as the server would send it now."""

    item_id: ItemId
    body: Json
    audio: bytes = b""
    """Mu-law, for `conversation.item.retrieve`; empty for text and for calls without sound."""
    audio_ms: float = 0.0
    """How much audio the item holds. After a truncation: how much of it was heard."""
    spoken: str = ""
    """The words, also those that the wire form has lost by truncation."""
    is_assistant_audio: bool = False
    """Whether the agent says this aloud."""
    truncated: bool = False
    """Whether a part of it was never heard."""

    def truncate(self, audio_end_ms: float) -> None:
        """Keep only the audio up to ``audio_end_ms``; the transcript goes: nobody knows where it was cut."""
        self.audio_ms = min(self.audio_ms, audio_end_ms)
        self.audio = self.audio[: int(self.audio_ms * 8)]
        self.truncated = True
        if self.body["content"]:
            self.body["content"] = [{"type": "output_audio"}]

    def finish_speech(self, said: str) -> None:
        """Note what the agent said; kept from the wire form, if a part of it was cut off already."""
        self.spoken = said
        part = {"type": "output_audio"} if self.truncated else {"type": "output_audio", "transcript": said}
        self.body["content"] = [part]

    def finish_text(self, written: str) -> None:
        """Note what the agent wrote."""
        self.spoken = written
        self.body["content"] = [{"type": "output_text", "text": written}]

    def set_transcript(self, transcript: str) -> None:
        """Note what a user's audio item said."""
        self.spoken = transcript
        for part in self.body["content"]:
            if part["type"] == "input_audio":
                part["transcript"] = transcript

    def with_audio(self, encoded: bytes) -> Json:
        """The wire form with the sound in it, for ``conversation.item.retrieved``."""
        body = dict(self.body)
        if encoded and body.get("content"):
            first, *rest = body["content"]
            body["content"] = [{**first, "audio": base64.b64encode(encoded).decode("ascii")}, *rest]
        return body


def user_audio(item_id: ItemId, *, audio: bytes, audio_ms: float, spoken: str) -> Item:
    """A turn of the caller. Its transcript is not known yet, or never asked for."""
    content = [{"type": "input_audio", "transcript": None}]
    body = _message(item_id, role="user", status="completed", content=content)
    return Item(item_id=item_id, body=body, audio=audio, audio_ms=audio_ms, spoken=spoken)


def assistant_message(item_id: ItemId, *, aloud: bool) -> Item:
    """A turn of the agent that has just begun: in progress, without content."""
    body = _message(item_id, role="assistant", status="in_progress", content=[])
    return Item(item_id=item_id, body=body, is_assistant_audio=aloud)


def function_call(item_id: ItemId, *, name: str, tool_call_id: ToolCallId) -> Item:
    """A function call that has just begun: in progress, without arguments."""
    body = {
        "id": item_id,
        "object": "realtime.item",
        "type": "function_call",
        "status": "in_progress",
        "name": name,
        "call_id": tool_call_id,
        "arguments": "",
    }
    return Item(item_id=item_id, body=body)


def tool_list(item_id: ItemId, *, server_label: str, names: Iterable[str]) -> Item:
    """What an MCP server offers."""
    tools = [{"name": name, "input_schema": {"type": "object", "properties": {}}} for name in names]
    body = {"id": item_id, "type": "mcp_list_tools", "server_label": server_label, "tools": tools}
    return Item(item_id=item_id, body=body)


def hosted_call(item_id: ItemId, *, server_label: str, name: str) -> Item:
    """A call of a tool of an MCP server that has just begun, without arguments."""
    body = {"id": item_id, "type": "mcp_call", "server_label": server_label, "name": name, "arguments": ""}
    return Item(item_id=item_id, body=body)


def approval_request(item_id: ItemId, *, server_label: str, name: str, arguments: str) -> Item:
    """The question whether such a tool may be called."""
    body = {
        "id": item_id,
        "type": "mcp_approval_request",
        "server_label": server_label,
        "name": name,
        "arguments": arguments,
    }
    return Item(item_id=item_id, body=body)


def from_client(item_id: ItemId, sent: Json) -> Item:
    """An item a client added; ``sent`` has been checked. Items of clients are complete at once."""
    body = {**sent, "id": item_id}
    if sent["type"] != "mcp_approval_response":
        body |= {"object": "realtime.item", "status": "completed"}
    texts: list[str] = []
    audio_ms = 0.0
    for part in body.get("content", []):
        texts.extend(
            part[name] for name in ("text", "transcript") if isinstance(part.get(name), str) and part[name]
        )
        if isinstance(part.get("audio"), str):
            # Audio of a client is 24 kHz PCM here: 48,000 bytes a second before base64.
            audio_ms += len(part["audio"]) * 3 / 4 / 48
    return Item(item_id=item_id, body=body, audio_ms=audio_ms, spoken=" ".join(texts))


def _message(item_id: ItemId, *, role: str, status: str, content: list[Json]) -> Json:
    return {
        "id": item_id,
        "object": "realtime.item",
        "type": "message",
        "status": status,
        "role": role,
        "content": content,
    }


@dataclass(slots=True)
class ItemList:
    """All items of the default conversation."""

    _items: dict[ItemId, Item] = field(default_factory=dict)
    _order: list[ItemId] = field(default_factory=list)

    def __iter__(self) -> Iterator[Item]:
        return (self._items[item_id] for item_id in self._order)

    def __len__(self) -> int:
        return len(self._order)

    @property
    def last_id(self) -> ItemId | None:
        """The newest item's id, None in an empty conversation."""
        return self._order[-1] if self._order else None

    def get(self, item_id: str) -> Item | None:
        """The item, or None."""
        return self._items.get(ItemId(item_id))

    def previous_id(self, item_id: ItemId) -> ItemId | None:
        """The id in front of ``item_id``; None for the first item and for one that is gone."""
        if item_id not in self._items:
            return None
        index = self._order.index(item_id)
        return self._order[index - 1] if index else None

    def add(self, item: Item, *, after: str | None = None) -> ItemId | None:
        """Put ``item`` behind ``after`` (an id that exists, or `ROOT`), else at the end.

        Returns the id in front of it.
        """
        assert item.item_id not in self._items, f"{item.item_id} is in the conversation already"
        self._items[item.item_id] = item
        match after:
            case None:
                self._order.append(item.item_id)
            case "root":
                self._order.insert(0, item.item_id)
            case _:
                self._order.insert(self._order.index(ItemId(after)) + 1, item.item_id)
        return self.previous_id(item.item_id)

    def remove(self, item_id: ItemId) -> None:
        """Take an item that exists out."""
        del self._items[item_id]
        self._order.remove(item_id)

    def knows_tool_call(self, tool_call_id: str) -> bool:
        """Whether the model, or the client in its name, has made this function call."""
        return any(
            item.body["type"] == "function_call" and item.body.get("call_id") == tool_call_id for item in self
        )
