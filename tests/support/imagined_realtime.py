"""A server of the Realtime API in memory, one step at a time: its rules, and the faults of a network.

It behaves as the API is described: one response of the conversation at a time, some begun by itself, requests
refused meanwhile, every call told twice, the end of every response told once. Nothing moves by itself; a test
says what happens next. `connect` stands in for ``websockets.connect``.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

import websockets.exceptions
from websockets.datastructures import Headers
from websockets.frames import Close
from websockets.http11 import Response

Json = dict[str, Any]


class Wire:
    """One connection: what is on its way, either way, and what the client makes of it."""

    def __init__(self, server: ImaginedRealtime) -> None:
        self.to_server: deque[Json] = deque()
        self.to_client: deque[Json] = deque()
        self.inbox: deque[str] = deque()
        self.closed: Close | None = None
        self.open = True
        self.closed_by_client = False
        self.transport = self
        self._server = server
        self._changed = asyncio.Event()

    # What the client calls -------------------------------------------------------------------------

    async def send(self, text: str) -> None:
        """Put a command on its way."""
        if not self.open:
            raise websockets.exceptions.ConnectionClosedError(self.closed, None)
        command = json.loads(text)
        self.to_server.append(command)
        self._server.was_sent(command)
        await asyncio.sleep(0)  # room to be cancelled, and for others to come between

    async def recv(self, decode: bool | None = None) -> str | bytes:
        """The next message; as bytes when ``decode`` is False."""
        while not self.inbox:
            if not self.open:
                raise websockets.exceptions.ConnectionClosedError(self.closed, None)
            self._changed.clear()
            await self._changed.wait()
        text = self.inbox.popleft()
        self._server.was_told(json.loads(text))
        return text.encode() if decode is False else text

    async def close(self) -> None:
        """Close from the client's side."""
        self.closed_by_client = True
        self.end()

    def abort(self) -> None:
        """Cut off from the client's side."""
        self.closed_by_client = True
        self.end()

    # What the test calls ---------------------------------------------------------------------------

    def deliver(self) -> None:
        """Let the next message arrive."""
        self.inbox.append(json.dumps(self.to_client.popleft()))
        self._changed.set()

    def end(self, closed: Close | None = None) -> None:
        """Nothing moves over this any more; what was on its way is lost."""
        if self.open:
            self.open, self.closed = False, closed
            self.to_server.clear()
            self.to_client.clear()
            self._changed.set()


@dataclass
class Call:
    """A tool call of the model."""

    call_id: str
    name: str
    outputs: list[str] = field(default_factory=list)
    """The answers that came."""


class ImaginedRealtime:
    """The conversation, and the connection to it."""

    def __init__(self) -> None:
        self.wire: Wire | None = None
        self.statuses: deque[int] = deque()
        """Answers to the next handshakes; 101 once they have run out."""
        self.over = False
        self.names_requests = True
        """Errors say which request they are about; else only where that is not clear without."""
        self.refuses: deque[str] = deque()
        """Codes for the next requests for a response."""
        self.refuses_updates = False
        self.order: list[str] = []
        """All items, as they stand in the conversation."""
        self.items: dict[str, Json] = {}
        """How each item stands, by id."""
        self.calls: dict[str, Call] = {}
        self.active: str | None = None
        self.outside: list[str] = []
        self.speaks: set[str] = set()
        """Responses whose speech is being played."""
        self.output: dict[str, list[Json]] = {}
        """The items of each response that runs."""
        self.log: list[tuple[str, Any]] = []
        """Everything that the client sent (``sent``) and was told (``told``), that the server granted
        (``granted``), turned down (``refused``) or took up (``answered``), and each beginning (``began``)."""
        self.sent = Counter[str]()
        self._count = 0

    async def connect(self, url: str, **options: Any) -> Wire:
        """Stands in for ``websockets.connect``."""
        await asyncio.sleep(0)
        status = 404 if self.over else (self.statuses.popleft() if self.statuses else 101)
        if status != 101:
            raise websockets.exceptions.InvalidStatus(Response(status, "no", Headers()))
        self.wire = Wire(self)
        return self.wire

    def was_sent(self, command: Json) -> None:
        """The client sent something."""
        self.sent[command["type"]] += 1
        self.log.append(("sent", command))

    def was_told(self, message: Json) -> None:
        """The client has read something."""
        self.log.append(("told", message))

    # What is told ----------------------------------------------------------------------------------

    def tell(self, kind: str, **fields: Any) -> None:
        """Put a message on its way."""
        if self.wire is not None and self.wire.open:
            self._count += 1
            self.wire.to_client.append({"type": kind, "event_id": f"event_{self._count}", **fields})

    def answer(self, kind: str, **fields: Any) -> None:
        """Tell something to whoever has asked for it."""
        self.tell(kind, **fields)

    def new(self, kind: str) -> str:
        """A name that nobody has."""
        self._count += 1
        return f"{kind}_{self._count}"

    def error(self, code: str | None, event_id: str | None) -> None:
        """Something did not work."""
        self.tell(
            "error",
            error={
                "type": "invalid_request_error",
                "code": code,
                "message": "no",
                "param": None,
                "event_id": event_id,
            },
        )

    def add(self, item: Json, *, behind: str | None = None) -> None:
        """Put an item at the end of the conversation, or behind another (``root``: before all)."""
        place = len(self.order)
        if behind is not None:
            place = 0 if behind == "root" else self.order.index(behind) + 1
        previous = self.order[place - 1] if place else None
        self.order.insert(place, item["id"])
        self.items[item["id"]] = item
        self.tell("conversation.item.added", item=item, previous_item_id=previous)

    # What the server does by itself ----------------------------------------------------------------

    def begin(self, *, outside: bool = False) -> str:
        """A response begins."""
        response_id = self.new("resp")
        self.output[response_id] = []
        if outside:
            self.outside.append(response_id)
        else:
            assert self.active is None
            self.active = response_id
            self.log.append(("began", response_id))
        self.tell("response.created", response=self._response(response_id, "in_progress", outside=outside))
        return response_id

    def speak(self, response_id: str, text: str) -> None:
        """A response speaks; its sound starts to play."""
        item_id = self.new("item")
        item: Json = {"id": item_id, "type": "message", "role": "assistant", "content": []}
        where = {"response_id": response_id, "output_index": 0}
        self.tell("response.output_item.added", item={**item, "status": "in_progress"}, **where)
        if response_id not in self.outside:
            self.add({**item, "status": "in_progress"})
            self.tell("output_audio_buffer.started", response_id=response_id)
            self.speaks.add(response_id)
        part = {**where, "item_id": item_id, "content_index": 0}
        for word in text.split():
            self.tell("response.output_audio_transcript.delta", delta=f"{word} ", **part)
        self.tell("response.output_audio_transcript.done", transcript=text, **part)
        done = {**item, "status": "completed", "content": [{"type": "output_audio", "transcript": text}]}
        self.tell("response.output_item.done", item=done, **where)
        self.output[response_id].append(done)

    def call(self, response_id: str, name: str, arguments: str) -> None:
        """A response calls a tool."""
        call_id = self.new("call")
        item = {
            "id": self.new("item"),
            "type": "function_call",
            "status": "completed",
            "name": name,
            "call_id": call_id,
            "arguments": arguments,
        }
        self.calls[call_id] = Call(call_id, name)
        self.add({**item, "status": "in_progress", "arguments": ""})
        self.items[item["id"]] = item
        self.tell("response.output_item.done", item=item, response_id=response_id, output_index=0)
        self.output[response_id].append(item)

    def end(self, response_id: str, status: str = "completed", reason: str | None = None) -> None:
        """A response ends."""
        outside = response_id in self.outside
        if outside:
            self.outside.remove(response_id)
        else:
            assert response_id == self.active
            self.active = None
        response = self._response(response_id, status, outside=outside)
        response["output"] = self.output.pop(response_id)
        response["status_details"] = {"type": status, "reason": reason}
        self.tell("response.done", response=response)

    def play_to_the_end(self) -> None:
        """All sound has been heard."""
        for response_id in sorted(self.speaks):
            self.tell("output_audio_buffer.stopped", response_id=response_id)
        self.speaks.clear()

    def caller_interrupts(self) -> None:
        """The caller begins to speak: what runs and what plays is cut off."""
        item_id = self.new("item")
        self.tell("input_audio_buffer.speech_started", item_id=item_id, audio_start_ms=0)
        self._clear()
        if self.active is not None:
            self.end(self.active, "cancelled", "turn_detected")
        self.caller_falls_silent(item_id)

    def caller_falls_silent(self, item_id: str) -> None:
        """The caller has said something, whose words are known at once or later."""
        self.tell("input_audio_buffer.speech_stopped", item_id=item_id, audio_end_ms=100)
        previous = self.order[-1] if self.order else None
        self.tell("input_audio_buffer.committed", item_id=item_id, previous_item_id=previous)
        content = [{"type": "input_audio", "transcript": None}]
        item = {"id": item_id, "type": "message", "role": "user", "status": "completed", "content": content}
        self.add(item)
        self.tell(
            "conversation.item.input_audio_transcription.completed",
            item_id=item_id,
            content_index=0,
            transcript=f"words of {item_id}",
        )

    # What the server makes of commands -------------------------------------------------------------

    def read(self) -> None:
        """Read the next command and do what it says."""
        assert self.wire is not None
        command = self.wire.to_server.popleft()
        event_id = command.get("event_id")
        named = event_id if self.names_requests or self._must_be_named() else None
        match command["type"]:
            case "session.update" if self.refuses_updates:
                self.error("invalid_value", event_id)
            case "session.update":
                self.tell("session.updated", session=command["session"])
            case "response.create":
                self._create(command.get("response") or {}, named)
            case "response.cancel":
                self._cancel(command.get("response_id"), named)
            case "output_audio_buffer.clear":
                self._clear()
            case "conversation.item.create":
                self._take_item(command["item"], event_id, behind=command.get("previous_item_id"))
            case "conversation.item.retrieve":
                if (item := self.items.get(command["item_id"])) is None:
                    self.error("item_retrieve_invalid_item_id", event_id)
                else:
                    self.answer("conversation.item.retrieved", item=item)
            case "conversation.item.delete":
                if self.items.pop(command["item_id"], None) is None:
                    self.error("item_delete_invalid_item_id", event_id)
                else:
                    self.order.remove(command["item_id"])
                    self.tell("conversation.item.deleted", item_id=command["item_id"])
            case other:
                raise AssertionError(f"nobody sends {other}")

    def _must_be_named(self) -> bool:
        """Whether there are, or will be, several requests that an error may be about."""
        assert self.wire is not None
        sent = [command["type"] for command in self.wire.to_server]
        told = [message["type"] for message in self.wire.to_client]
        return "response.create" in sent or "response.done" in told or "error" in told

    def _create(self, wanted: Json, event_id: str | None) -> None:
        if self.refuses:
            self.log.append(("refused", wanted))
            self.error(self.refuses.popleft(), event_id)
        elif wanted.get("conversation") == "none":
            self.begin(outside=True)
        elif self.active is not None:
            self.error("conversation_already_has_active_response", event_id)
        else:
            self.log.append(("granted", wanted))
            self.begin()

    def _cancel(self, response_id: str | None, event_id: str | None) -> None:
        if self.active is not None and response_id in (None, self.active):
            self.end(self.active, "cancelled", "client_cancelled")
        elif response_id is not None and response_id in self.outside:
            self.end(response_id, "cancelled", "client_cancelled")
        else:
            self.error("response_cancel_not_active", event_id)

    def _clear(self) -> None:
        for response_id in sorted(self.speaks):
            self.tell("output_audio_buffer.cleared", response_id=response_id)
        self.speaks.clear()

    def _take_item(self, item: Json, event_id: str | None, *, behind: str | None = None) -> None:
        if item.get("id") in self.order:
            self.error("item_already_exists", event_id)
            return
        if behind not in (None, "root", *self.order):
            self.error("invalid_value", event_id)
            return
        if item["type"] == "function_call_output":
            call = self.calls.get(item["call_id"])
            if call is None:
                self.error("invalid_value", event_id)
                return
            call.outputs.append(item["output"])
            self.log.append(("answered", call.call_id))
        self.add({"id": self.new("item"), "status": "completed", **item}, behind=behind)

    def _response(self, response_id: str, status: str, *, outside: bool) -> Json:
        return {
            "id": response_id,
            "object": "realtime.response",
            "status": status,
            "conversation_id": None if outside else "conv_1",
            "output": [],
        }
