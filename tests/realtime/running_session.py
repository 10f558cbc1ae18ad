"""A session that runs already, in memory: what of the API somebody needs who takes it over."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sipagent.realtime import (
    RealtimeModelEvent,
    RealtimeModelSendEvent,
    RealtimeModelSendRawMessage,
    RealtimeModelSendToolOutput,
)
from sipagent.realtime.commands import tool_output
from sipagent.realtime.testing import ScriptedRealtimeModel
from sipagent.realtime.wire import parse_message

Json = dict[str, Any]


def said(item_id: str, text: str, *, role: str = "assistant", status: str = "completed") -> Json:
    """Something that was said aloud."""
    kind = "output_audio" if role == "assistant" else "input_audio"
    content = [{"type": kind, "transcript": text}]
    return {"id": item_id, "type": "message", "role": role, "status": status, "content": content}


def called(call_id: str, name: str, arguments: str = "{}", *, status: str = "completed") -> Json:
    """A tool call of the model."""
    return {
        "id": f"item_{call_id}",
        "type": "function_call",
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
        "status": status,
    }


def answered(call_id: str, output: str) -> Json:
    """The output of a tool, as every process of ours would have sent it."""
    item: Json = tool_output(call_id, output)["item"]
    return item


class RunningSession:
    """Answers a `ScriptedRealtimeModel`; pass it as ``answer``."""

    def __init__(
        self,
        *items: Json,
        session: Mapping[str, Any] | None = None,
        ignores: Iterable[str] = (),
        refuses: Iterable[str] = (),
    ) -> None:
        """``session`` is told before anything else; ``ignores`` and ``refuses`` name types of commands."""
        self.items = list(items)
        self.received: list[Json] = []
        """Every command that came as it is."""
        self._session = session
        self._ignores = frozenset(ignores)
        self._refuses = frozenset(refuses)

    def __call__(self, event: RealtimeModelSendEvent) -> Sequence[RealtimeModelEvent]:
        told: list[Json] = []
        if self._session is not None:
            told.append({"type": "session.created", "session": dict(self._session)})
            self._session = None
        match event:
            case RealtimeModelSendRawMessage(message=message):
                told += self._answer({"type": message["type"], **message.get("other_data", {})})
            case RealtimeModelSendToolOutput(tool_call=call, output=output):
                told += self._answer(tool_output(call.call_id, output))
            case _:
                pass
        return [each for message in told for each in parse_message(json.loads(json.dumps(message)))]

    @property
    def kinds(self) -> list[str]:
        """The types of the commands that came."""
        return [command["type"] for command in self.received]

    def outputs(self, call_id: str) -> list[str]:
        """What a tool call was given."""
        return [item["output"] for item in self.items if item.get("output") and item["call_id"] == call_id]

    def _answer(self, command: Json) -> list[Json]:
        self.received.append(command)
        kind = command["type"]
        if kind in self._ignores:
            return []
        if kind in self._refuses:
            return [self._error(command, "invalid_value")]
        match kind:
            case "conversation.item.create":
                return self._create(command)
            case "conversation.item.retrieve":
                item = self._find(command["item_id"])
                if item is None:
                    return [self._error(command, "item_retrieve_invalid_item_id")]
                return [{"type": "conversation.item.retrieved", "item": item}]
            case "conversation.item.delete":
                item = self._find(command["item_id"])
                if item is None:
                    return [self._error(command, "item_delete_invalid_item_id")]
                self.items.remove(item)
                return [{"type": "conversation.item.deleted", "item_id": command["item_id"]}]
            case _:
                raise AssertionError(f"nobody taking over a session sends {kind}")

    def _create(self, command: Json) -> list[Json]:
        item = command["item"]
        if self._find(item["id"]) is not None:
            return [self._error(command, "invalid_value")]
        behind = command.get("previous_item_id")
        if behind is not None and behind != "root" and self._find(behind) is None:
            return [self._error(command, "invalid_value")]
        ids = [each["id"] for each in self.items]
        place = len(ids) if behind is None else 0 if behind == "root" else ids.index(behind) + 1
        previous = ids[place - 1] if place else None
        self.items.insert(place, item)
        return [
            {"type": f"conversation.item.{step}", "previous_item_id": previous, "item": item}
            for step in ("added", "done")
        ]

    def _find(self, item_id: str) -> Json | None:
        return next((item for item in self.items if item["id"] == item_id), None)

    @staticmethod
    def _error(command: Json, code: str) -> Json:
        error = {"type": "invalid_request_error", "code": code, "message": code}
        return {"type": "error", "error": {**error, "event_id": command["event_id"]}}


class Yielding(ScriptedRealtimeModel):
    """A scripted model that lets others come between, so that it can be cancelled."""

    async def connect(self, options: Any) -> None:
        await asyncio.sleep(0)
        await super().connect(options)

    async def send_event(self, event: RealtimeModelSendEvent) -> None:
        await asyncio.sleep(0)
        await super().send_event(event)
        await asyncio.sleep(0)
