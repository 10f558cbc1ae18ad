"""Every event this side can send, one builder each, and the way out.

The builders are written from the API's description and held against `openai.types.realtime` by a test. They
return the event without its ``event_id``, which `EventSender` adds.
"""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

Json = dict[str, Any]
"""One JSON object on its way to the client."""

_WITHOUT_EVENT_ID: Final = frozenset({"input_audio_buffer.dtmf_event_received"})
"""The one type that is documented without an ``event_id``."""


class IdSource:
    """Makes the identifiers of one session: like those of no other, in an order a reader can follow."""

    def __init__(self) -> None:
        self._session = secrets.token_hex(6)
        self._count = 0

    def new(self, prefix: str) -> str:
        """``prefix_…``, never given before."""
        self._count += 1
        return f"{prefix}_{self._session}{self._count:06x}"


Send = Callable[[str], None]
"""Takes one event as text. Returns quickly, and does not raise."""


class EventSender:
    """Numbers, writes and sends events to all that are attached; to nobody when nobody is.

    Events are not kept for a later attachment: the real service replays nothing.
    """

    def __init__(self, ids: IdSource) -> None:
        self._ids = ids
        self._attached: dict[Send, bool] = {}
        """Each with whether it is stalled."""
        self.asking: Send | None = None
        """Whose event is being carried out: what answers it goes to nobody else."""
        self.sent: Counter[str] = Counter()
        """How many events of each type left, however many heard them."""

    @property
    def is_attached(self) -> bool:
        """Whether events go anywhere."""
        return bool(self._attached)

    def attach(self, send: Send) -> None:
        """Send to ``send`` too from now on."""
        self._attached[send] = False

    def detach(self, send: Send | None = None) -> None:
        """Send to ``send`` no more, or to nobody. Nothing happens when it is not attached."""
        if send is None:
            self._attached.clear()
        else:
            self._attached.pop(send, None)

    def stall(self) -> None:
        """Let nothing leave any more to those that are attached now, as on a socket that hangs."""
        self._attached = dict.fromkeys(self._attached, True)

    def emit(self, event: Json, *, to: Send | None = None) -> None:
        """Send ``event`` to all, or to one of them; it is lost where nobody is attached."""
        heard_by = [send for send in self._heard_by() if to in (None, send)]
        if not heard_by:
            return
        kind: str = event["type"]
        self.sent[kind] += 1
        if kind not in _WITHOUT_EVENT_ID:
            event = {"type": kind, "event_id": self._ids.new("event"), **event}
        # ASCII only: a client may have sent half a surrogate pair, which no UTF-8 can carry back.
        text = json.dumps(event, separators=(",", ":"))
        for send in heard_by:
            send(text)

    def answer(self, event: Json) -> None:
        """Send ``event`` to whoever asked for it by the event that is being carried out."""
        self.emit(event, to=self.asking)

    def emit_text(self, text: str) -> None:
        """Send ``text`` as it is; for frames that are broken on purpose."""
        for send in self._heard_by():
            send(text)

    def _heard_by(self) -> list[Send]:
        return [send for send, stalled in self._attached.items() if not stalled]


# Session and errors ----------------------------------------------------------------------------------


def session_created(session: Mapping[str, Any]) -> Json:
    return {"type": "session.created", "session": session}


def session_updated(session: Mapping[str, Any]) -> Json:
    return {"type": "session.updated", "session": session}


def conversation_created(conversation_id: str) -> Json:
    return {
        "type": "conversation.created",
        "conversation": {"id": conversation_id, "object": "realtime.conversation"},
    }


def error(*, code: str, message: str, param: str | None, event_id: str | None) -> Json:
    """``event_id`` is the client's, of the event that was wrong; null when it had none."""
    return {
        "type": "error",
        "error": {
            "type": "invalid_request_error",
            "code": code,
            "message": message,
            "param": param,
            "event_id": event_id,
        },
    }


def rate_limits_updated(*, tokens_limit: int, tokens_remaining: int, reset_seconds: float) -> Json:
    """Only the entry for tokens, as the real service does in practice."""
    return {
        "type": "rate_limits.updated",
        "rate_limits": [
            {
                "name": "tokens",
                "limit": tokens_limit,
                "remaining": tokens_remaining,
                "reset_seconds": reset_seconds,
            }
        ],
    }


# Items -----------------------------------------------------------------------------------------------


def item_added(item: Mapping[str, Any], previous_item_id: str | None) -> Json:
    return {"type": "conversation.item.added", "previous_item_id": previous_item_id, "item": item}


def item_done(item: Mapping[str, Any], previous_item_id: str | None) -> Json:
    return {"type": "conversation.item.done", "previous_item_id": previous_item_id, "item": item}


def item_retrieved(item: Mapping[str, Any]) -> Json:
    return {"type": "conversation.item.retrieved", "item": item}


def item_deleted(item_id: str) -> Json:
    return {"type": "conversation.item.deleted", "item_id": item_id}


def item_truncated(item_id: str, content_index: int, audio_end_ms: int) -> Json:
    return {
        "type": "conversation.item.truncated",
        "item_id": item_id,
        "content_index": content_index,
        "audio_end_ms": audio_end_ms,
    }


def transcription_delta(item_id: str, delta: str) -> Json:
    return {
        "type": "conversation.item.input_audio_transcription.delta",
        "item_id": item_id,
        "content_index": 0,
        "delta": delta,
    }


def transcription_completed(item_id: str, transcript: str, usage: Mapping[str, Any]) -> Json:
    return {
        "type": "conversation.item.input_audio_transcription.completed",
        "item_id": item_id,
        "content_index": 0,
        "transcript": transcript,
        "usage": usage,
    }


def transcription_failed(item_id: str, *, code: str, message: str) -> Json:
    return {
        "type": "conversation.item.input_audio_transcription.failed",
        "item_id": item_id,
        "content_index": 0,
        "error": {"type": "transcription_error", "code": code, "message": message, "param": None},
    }


def list_tools_in_progress(item_id: str) -> Json:
    return {"type": "mcp_list_tools.in_progress", "item_id": item_id}


def list_tools_completed(item_id: str) -> Json:
    return {"type": "mcp_list_tools.completed", "item_id": item_id}


def list_tools_failed(item_id: str) -> Json:
    return {"type": "mcp_list_tools.failed", "item_id": item_id}


# Input audio -----------------------------------------------------------------------------------------


def speech_started(item_id: str, audio_start_ms: int) -> Json:
    return {
        "type": "input_audio_buffer.speech_started",
        "item_id": item_id,
        "audio_start_ms": audio_start_ms,
    }


def speech_stopped(item_id: str, audio_end_ms: int) -> Json:
    return {"type": "input_audio_buffer.speech_stopped", "item_id": item_id, "audio_end_ms": audio_end_ms}


def input_committed(item_id: str, previous_item_id: str | None) -> Json:
    return {
        "type": "input_audio_buffer.committed",
        "item_id": item_id,
        "previous_item_id": previous_item_id,
    }


def input_cleared() -> Json:
    return {"type": "input_audio_buffer.cleared"}


def timeout_triggered(item_id: str, audio_start_ms: int, audio_end_ms: int) -> Json:
    return {
        "type": "input_audio_buffer.timeout_triggered",
        "item_id": item_id,
        "audio_start_ms": audio_start_ms,
        "audio_end_ms": audio_end_ms,
    }


def dtmf_received(digit: str, received_at: int) -> Json:
    """``received_at`` in unix seconds."""
    return {"type": "input_audio_buffer.dtmf_event_received", "event": digit, "received_at": received_at}


# Output audio ----------------------------------------------------------------------------------------


def playback_started(response_id: str) -> Json:
    return {"type": "output_audio_buffer.started", "response_id": response_id}


def playback_stopped(response_id: str) -> Json:
    return {"type": "output_audio_buffer.stopped", "response_id": response_id}


def playback_cleared(response_id: str) -> Json:
    return {"type": "output_audio_buffer.cleared", "response_id": response_id}


# Responses -------------------------------------------------------------------------------------------


def response_created(response: Mapping[str, Any]) -> Json:
    return {"type": "response.created", "response": response}


def response_done(response: Mapping[str, Any]) -> Json:
    return {"type": "response.done", "response": response}


class ResponseEvents:
    """Builders for the events of one output item of one response, which all carry the same three fields."""

    def __init__(self, *, response_id: str, item_id: str, output_index: int) -> None:
        self._item_fields = {
            "response_id": response_id,
            "item_id": item_id,
            "output_index": output_index,
        }
        self._call_fields = {"item_id": item_id, "output_index": output_index}
        self._response_fields = {"response_id": response_id, "output_index": output_index}

    def output_item_added(self, item: Mapping[str, Any]) -> Json:
        return {"type": "response.output_item.added", **self._response_fields, "item": item}

    def output_item_done(self, item: Mapping[str, Any]) -> Json:
        return {"type": "response.output_item.done", **self._response_fields, "item": item}

    def content_part_added(self, part: Mapping[str, Any]) -> Json:
        return self._content("response.content_part.added", part=part)

    def content_part_done(self, part: Mapping[str, Any]) -> Json:
        return self._content("response.content_part.done", part=part)

    def text_delta(self, delta: str) -> Json:
        return self._content("response.output_text.delta", delta=delta)

    def text_done(self, text: str) -> Json:
        return self._content("response.output_text.done", text=text)

    def transcript_delta(self, delta: str) -> Json:
        return self._content("response.output_audio_transcript.delta", delta=delta)

    def transcript_done(self, transcript: str) -> Json:
        return self._content("response.output_audio_transcript.done", transcript=transcript)

    def audio_delta(self, base64_audio: str) -> Json:
        return self._content("response.output_audio.delta", delta=base64_audio)

    def audio_done(self) -> Json:
        return self._content("response.output_audio.done")

    def arguments_delta(self, tool_call_id: str, delta: str) -> Json:
        return {
            "type": "response.function_call_arguments.delta",
            **self._item_fields,
            "call_id": tool_call_id,
            "delta": delta,
        }

    def arguments_done(self, tool_call_id: str, name: str, arguments: str) -> Json:
        return {
            "type": "response.function_call_arguments.done",
            **self._item_fields,
            "call_id": tool_call_id,
            "name": name,
            "arguments": arguments,
        }

    def mcp_arguments_delta(self, delta: str) -> Json:
        return {"type": "response.mcp_call_arguments.delta", **self._item_fields, "delta": delta}

    def mcp_arguments_done(self, arguments: str) -> Json:
        return {"type": "response.mcp_call_arguments.done", **self._item_fields, "arguments": arguments}

    def mcp_call_in_progress(self) -> Json:
        """Documented, as the next two, without the response that the call belongs to: it may be over."""
        return {"type": "response.mcp_call.in_progress", **self._call_fields}

    def mcp_call_completed(self) -> Json:
        return {"type": "response.mcp_call.completed", **self._call_fields}

    def mcp_call_failed(self) -> Json:
        return {"type": "response.mcp_call.failed", **self._call_fields}

    def _content(self, kind: str, **fields: object) -> Json:
        return {"type": kind, **self._item_fields, "content_index": 0, **fields}


def broken_frames(response_id: str) -> Sequence[str]:
    """Frames that no client can read as an event: cut JSON, no object, an object without a type."""
    return (
        f'{{"type":"response.output_audio_transcript.delta","response_id":"{response_id}","del',
        '["response.done"]',
        '{"event_id":"event_without_type"}',
    )


def unheard_of(response_id: str) -> Json:
    """An event of a type that no version of the API has documented."""
    return {"type": "response.gesture.delta", "response_id": response_id, "gesture": {"name": "nod"}}
