"""What we send to the server, as JSON-able values. Pure.

Source: API reference "Realtime client events".
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from sipagent.identifiers import ItemId
from sipagent.realtime.inputs import RealtimeModelUserInput
from sipagent.realtime.playback import Heard
from sipagent.realtime.user_input import user_content

Command = dict[str, Any]

_as_json = json.JSONEncoder(separators=(",", ":")).encode
"""Made once: `json.dumps` makes an encoder for each call that wants it compact."""


class CommandWriter:
    """Commands as text. Each gets an id, so that the server's errors name the command they are about."""

    def __init__(self) -> None:
        self._count = 0

    def write(self, command: Mapping[str, Any]) -> str:
        """``command`` as JSON; an ``event_id`` of its own is kept."""
        if "event_id" not in command:
            self._count += 1
            command = {**command, "event_id": f"sipagent_{self._count}"}
        return _as_json(command)

    def write_audio(self, audio: bytes) -> str:
        """What adds audio of the caller: by far the most frequent command, and base64 needs no escapes."""
        self._count += 1
        in_base64 = base64.b64encode(audio).decode("ascii")
        named = f'"event_id":"sipagent_{self._count}"'
        return f'{{"type":"input_audio_buffer.append","audio":"{in_base64}",{named}}}'


def response_create(event_id: str, response: Mapping[str, Any] | None) -> Command:
    """Ask for a response, with parameters of its own unless ``response`` is None."""
    command: Command = {"type": "response.create", "event_id": event_id}
    if response is not None:
        command["response"] = dict(response)
    return command


def response_cancel(response_id: str | None = None) -> Command:
    """End a response: the one that runs, or only this one, so that a newer one is not hit by mistake."""
    if response_id is None:
        return {"type": "response.cancel"}
    return {"type": "response.cancel", "response_id": response_id}


def session_update(session: Mapping[str, Any]) -> Command:
    """Change the session."""
    return {"type": "session.update", "session": session}


def interruptions_update(turn_detection: Mapping[str, Any], *, interruptible: bool) -> Command:
    """Let the caller's speech cut a response off and be answered, as far as ``turn_detection`` wants it to,
    or neither."""
    wanted = undisturbed(turn_detection) if not interruptible else spelled_out(turn_detection)
    return session_update({"type": "realtime", "audio": {"input": {"turn_detection": wanted}}})


def undisturbed(turn_detection: Mapping[str, Any]) -> dict[str, Any]:
    """``turn_detection`` that tells of the caller's turns and does nothing about them. A server that answered
    one while a response runs would only report that it cannot."""
    return {**turn_detection, "create_response": False, "interrupt_response": False}


def spelled_out(turn_detection: Mapping[str, Any]) -> dict[str, Any]:
    """``turn_detection`` with what it does about the caller's turns: what an update leaves out may stay as it
    was."""
    return {"create_response": True, "interrupt_response": True, **turn_detection}


def audio_commit() -> Command:
    """End the caller's turn."""
    return {"type": "input_audio_buffer.commit"}


def playback_clear() -> Command:
    """Empty the server's output buffer (WebRTC and SIP only)."""
    return {"type": "output_audio_buffer.clear"}


def truncate(heard: Heard) -> Command:
    """Cut an item to what was heard of it; never on SIP, where the server knows better."""
    return {
        "type": "conversation.item.truncate",
        "item_id": heard.item_id,
        "content_index": heard.content_index,
        "audio_end_ms": heard.heard_ms,
    }


def tool_output(call_id: str, output: str) -> Command:
    """Answer a tool call. Its id is always the same, so that the server takes only one answer."""
    item_id = f"fco_{_digest(call_id)}"
    item = {"type": "function_call_output", "id": item_id, "call_id": call_id, "output": output}
    return {**_item_create(item), "event_id": f"sipagent_{item_id}"}


def approval_id(approval_request_id: str) -> ItemId:
    """The id of the answer to an approval request: always the same, so that the server takes only one."""
    return ItemId(f"mcpa_{_digest(approval_request_id)}")


def approval_response(approval_request_id: str, *, approve: bool, reason: str | None) -> Command:
    """Let a call of a hosted tool go, or not."""
    item_id = approval_id(approval_request_id)
    item: Command = {
        "type": "mcp_approval_response",
        "id": item_id,
        "approval_request_id": approval_request_id,
        "approve": approve,
    }
    if reason is not None:
        item["reason"] = reason
    return {**_item_create(item), "event_id": f"sipagent_{item_id}"}


def item_retrieve(item_id: str, event_id: str) -> Command:
    """Ask how an item stands."""
    return {"type": "conversation.item.retrieve", "event_id": event_id, "item_id": item_id}


def system_message(text: str) -> Command:
    """Tell the model something."""
    return _item_create(
        {"type": "message", "role": "system", "content": [{"type": "input_text", "text": text}]}
    )


def user_message(given: RealtimeModelUserInput) -> Command:
    """Put in a message of the user; raises `UserError` for one that the API would not take."""
    return _item_create({"type": "message", "role": "user", "content": user_content(given)})


def _digest(name: str) -> str:
    # Derived rather than appended to: the API takes ids of at most 32 characters.
    return hashlib.blake2s(name.encode(errors="surrogatepass"), digest_size=12).hexdigest()


def _item_create(item: Mapping[str, Any]) -> Command:
    return {"type": "conversation.item.create", "item": item}
