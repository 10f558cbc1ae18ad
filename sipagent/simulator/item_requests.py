"""What a client does to items: create, delete, retrieve, truncate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NoReturn

from sipagent.identifiers import ItemId, ToolCallId
from sipagent.simulator import client_events as client
from sipagent.simulator import server_events
from sipagent.simulator.client_events import ClientEvent, ClientEventError
from sipagent.simulator.hosted_tools import HostedTools
from sipagent.simulator.items import ROOT, Item, ItemList, from_client
from sipagent.simulator.parameters import ParameterProblem
from sipagent.simulator.server_events import EventSender, IdSource
from sipagent.simulator.session_config import SessionConfig
from sipagent.simulator.socket_audio import SocketEncoder

_FAILED = {"delete": "deleting", "retrieve": "retrieving", "truncate": "truncating"}


class ItemRequests:
    """Carries them out on the default conversation. Every method may raise `ClientEventError`, and has
    changed nothing then. ``wrote`` and ``answered`` hear what the model has to react to."""

    def __init__(
        self,
        items: ItemList,
        *,
        config: SessionConfig,
        sender: EventSender,
        ids: IdSource,
        hosted: HostedTools,
        wrote: Callable[[str], None],
        answered: Callable[[ToolCallId, str], None],
    ) -> None:
        self._items = items
        self._config = config
        self._sender = sender
        self._ids = ids
        self._hosted = hosted
        self._wrote = wrote
        self._answered = answered

    def create(self, event: client.ItemCreate) -> None:
        """Add an item, at the end or behind another."""
        item_id = ItemId(event.item.get("id") or self._ids.new("item"))
        after = event.previous_item_id
        if self._items.get(item_id) is not None:
            refuse(event, "invalid_value", f"An item with id '{item_id}' exists already.", "item.id")
        if after not in (None, ROOT) and self._items.get(str(after)) is None:
            message = f"Previous item with id '{after}' not found in conversation."
            refuse(event, "invalid_value", message, "previous_item_id")
        kind, role = event.item["type"], event.item.get("role")
        if role == "assistant" and any(part.get("audio") for part in event.item["content"]):
            refuse(event, "invalid_value", "Assistant audio cannot be added.", "item.content")
        item = from_client(item_id, dict(event.item))
        if kind == "function_call_output":
            tool_call_id = ToolCallId(event.item["call_id"])
            if not self._items.knows_tool_call(tool_call_id):
                message = f"Tool call ID '{tool_call_id}' not found in conversation."
                refuse(event, "invalid_tool_call_id", message, "item.call_id")
            self._answered(tool_call_id, event.item["output"])
        elif kind == "mcp_approval_response":
            self._take_approval(event, item, after)
            return
        elif role == "user" and item.spoken:
            self._wrote(item.spoken)
        self._add(item, after)

    def _add(self, item: Item, after: str | None) -> None:
        previous_id = self._items.add(item, after=after)
        self._sender.emit(server_events.item_added(item.body, previous_id))
        self._sender.emit(server_events.item_done(item.body, previous_id))

    def _take_approval(self, event: client.ItemCreate, item: Item, after: str | None) -> None:
        request_id: str = event.item["approval_request_id"]
        if not self._hosted.is_waiting(request_id):
            message = f"Approval request with id '{request_id}' not found, or answered already."
            refuse(event, "invalid_value", message, "item.approval_request_id")
        # The answer stands in the conversation before what comes of it.
        self._add(item, after)
        self._hosted.answer(request_id, approve=event.item["approve"], reason=event.item.get("reason"))

    def delete(self, event: client.ItemDelete) -> None:
        """Take an item out."""
        item = self._find(event, "delete")
        self._items.remove(item.item_id)
        self._sender.emit(server_events.item_deleted(item.item_id))

    def retrieve(self, event: client.ItemRetrieve) -> None:
        """Send an item with the sound in it."""
        item = self._find(event, "retrieve")
        sound = SocketEncoder().feed(item.audio, self._config.input_format)
        self._sender.answer(server_events.item_retrieved(item.with_audio(sound)))

    def truncate(self, event: client.ItemTruncate) -> None:
        """Cut off what the client says was not heard."""
        item = self._find(event, "truncate")
        if not item.is_assistant_audio or event.content_index != 0:
            message = "Only model output audio messages can be truncated."
            refuse(event, "invalid_value", message, "content_index")
        if event.audio_end_ms > item.audio_ms:
            length_ms = int(item.audio_ms)
            message = f"Audio content of {length_ms}ms is already shorter than {event.audio_end_ms}ms"
            refuse(event, "invalid_value", message, "audio_end_ms")
        item.truncate(event.audio_end_ms)
        self._sender.emit(server_events.item_truncated(item.item_id, 0, event.audio_end_ms))

    def _find(
        self,
        event: client.ItemDelete | client.ItemRetrieve | client.ItemTruncate,
        action: Literal["delete", "retrieve", "truncate"],
    ) -> Item:
        item = self._items.get(event.item_id)
        if item is None:
            message = f"Error {_FAILED[action]} item: the item with id '{event.item_id}' does not exist."
            refuse(event, f"item_{action}_invalid_item_id", message, "item_id")
        return item


def refuse(event: ClientEvent, code: str, message: str, param: str = "") -> NoReturn:
    """Raise the `ClientEventError` that answers ``event``."""
    problem = ParameterProblem(code=code, message=message, param=param)
    raise ClientEventError(problem, event_id=event.event_id)
