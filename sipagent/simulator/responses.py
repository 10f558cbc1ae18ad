"""One response of the pretended model, from ``response.created`` to ``response.done``.

Theory of operation. A response is a plan (`Performance`) that is played out by `Response.run`, one task. All
that a client can see of it is sent by plain functions, so that `Response.stop` may end it at any moment: it
closes what is open with the same events as a good end, in the same order, then sends ``response.done``. The
task is cancelled by its owner afterwards, and finds nothing left to do.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from sipagent.audio.g711 import SAMPLE_RATE_HZ
from sipagent.errors import SimulatorError
from sipagent.identifiers import ItemId, ResponseId, ToolCallId
from sipagent.simulator import server_events
from sipagent.simulator.director import Performance, PlannedCall
from sipagent.simulator.hosted_plan import HostedRun
from sipagent.simulator.hosted_tools import HostedCall, HostedTools
from sipagent.simulator.items import (
    Item,
    ItemList,
    approval_request,
    assistant_message,
    function_call,
    hosted_call,
)
from sipagent.simulator.server_events import EventSender, IdSource, Json, ResponseEvents
from sipagent.simulator.speech import VoiceLike
from sipagent.simulator.usage import audio_tokens, text_tokens

Reason = Literal["turn_detected", "client_cancelled", "max_output_tokens"]

_MS_PER_WRITTEN_CHARACTER: Final = 15
_DELTA_MS: Final = 200
"""Words are sent in pieces of about this much generating time."""
_ARGUMENTS_PIECE: Final = 16
_CHUNKS: Final = re.compile(r"\S+\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseSettings:
    """What applies to one response: the session's settings, overridden by its ``response.create``."""

    modality: Literal["audio", "text"]
    voice: Any
    output_format: str
    max_output_tokens: int | Literal["inf"]
    metadata: Json | None
    conversation_id: str | None
    """None for a response outside the default conversation."""
    pace: float
    """How much faster than playback it is generated."""


class Stage:
    """What a response works with, and whom it reports to. One for a whole conversation."""

    def __init__(
        self,
        *,
        sender: EventSender,
        ids: IdSource,
        items: ItemList,
        voice: VoiceLike,
        audio: Callable[[Response, Item, bytes, ResponseEvents], None],
        spoke: Callable[[Response, float], None],
        called: Callable[[ToolCallId, PlannedCall], None],
        usage: Callable[[Response], Json],
        hosted: HostedTools,
        ended: Callable[[Response], None],
    ) -> None:
        """``audio`` takes generated sound; ``spoke`` hears the share of words sent; ``called`` of each
        tool call; ``hosted`` runs those of the service; ``usage`` counts tokens; ``ended`` hears that
        ``response.done`` was sent."""
        self.sender = sender
        self.ids = ids
        self.items = items
        self.voice = voice
        self.audio = audio
        self.spoke = spoke
        self.called = called
        self.usage = usage
        self.hosted = hosted
        self.ended = ended


@dataclass(slots=True, kw_only=True)
class _OpenMessage:
    """The message being generated."""

    item: Item
    events: ResponseEvents
    said: str = ""


class Response:
    """One response. Created, then `run` in a task its owner keeps."""

    def __init__(self, performance: Performance, settings: ResponseSettings, stage: Stage) -> None:
        self.response_id = ResponseId(stage.ids.new("resp"))
        self.settings = settings
        self.outputs: list[Item] = []
        self.tool_calls: list[ToolCallId] = []
        self.is_over = False
        self._performance = performance
        self._stage = stage
        self._open: _OpenMessage | None = None
        self._tokens_left = float(settings.max_output_tokens)

    @property
    def in_conversation(self) -> bool:
        """Whether it writes to the default conversation."""
        return self.settings.conversation_id is not None

    async def run(self) -> None:
        """Play the response out. Cancel safe once `stop` was called."""
        try:
            await asyncio.sleep(self._performance.delay_ms / 1000)
            say = (self._performance.say or "").strip()
            if say:
                await self._speak(say)
            for call in () if self.is_over else self._performance.calls:
                if call.hosted is None:
                    self._call(call)
                else:
                    await self._call_hosted(call, call.hosted)
        except SimulatorError as error:
            self.fail(str(error))
            return
        if not self.is_over:
            self._end("completed", {"type": "completed"})

    def announce(self) -> None:
        """Send ``response.created``."""
        self._emit(server_events.response_created(self._body("in_progress", None, None)))

    def stop(self, reason: Reason) -> None:
        """End it now: what was generated stays. Does nothing when it is over."""
        if not self.is_over:
            status = "incomplete" if reason == "max_output_tokens" else "cancelled"
            self._end(status, {"type": status, "reason": reason})

    def fail(self, message: str) -> None:
        """End it now, as a failure of the server. Does nothing when it is over."""
        if not self.is_over:
            error = {"type": "server_error", "code": "server_error", "message": message}
            self._end("failed", {"type": "failed", "error": error})

    # Generating --------------------------------------------------------------------------------------

    async def _speak(self, text: str) -> None:
        spoken = self.settings.modality == "audio"
        ulaw = await self._stage.voice.speak(text) if spoken else b""
        message = self._open_message()
        sent_bytes = 0
        for chunk in self._chunks(text, len(ulaw)):
            end = len(ulaw) * (len(message.said) + len(chunk)) // len(text)
            audio, sent_bytes = ulaw[sent_bytes:end], end
            length_ms = len(audio) * 1000 / SAMPLE_RATE_HZ
            self._tokens_left -= text_tokens(chunk) + audio_tokens(length_ms)
            if self._tokens_left < 0:
                self.stop("max_output_tokens")
                return
            message.said += chunk
            if spoken:
                message.item.audio_ms += length_ms
                self._emit(message.events.transcript_delta(chunk))
                self._stage.audio(self, message.item, audio, message.events)
            else:
                self._emit(message.events.text_delta(chunk))
            self._stage.spoke(self, len(message.said) / len(text))
            duration_ms = length_ms if spoken else len(chunk) * _MS_PER_WRITTEN_CHARACTER
            await asyncio.sleep(duration_ms / self.settings.pace / 1000)
        message.item.audio = ulaw
        self._close_message("completed")

    def _chunks(self, text: str, byte_count: int) -> list[str]:
        """``text`` in pieces that each take about `_DELTA_MS` to generate."""
        if self.settings.modality == "audio":
            length_ms = byte_count * 1000 / SAMPLE_RATE_HZ
        else:
            length_ms = len(text) * _MS_PER_WRITTEN_CHARACTER
        enough = len(text) * _DELTA_MS * self.settings.pace / max(length_ms, 1.0)
        # No fewer than four pieces where there are the words for it: something has to be cut into.
        enough = min(enough, len(text) / 4)
        chunks: list[str] = []
        for word in _CHUNKS.findall(text):
            if chunks and len(chunks[-1]) < enough:
                chunks[-1] += word
            else:
                chunks.append(word)
        return chunks

    def _open_message(self) -> _OpenMessage:
        aloud = self.settings.modality == "audio"
        item = assistant_message(ItemId(self._stage.ids.new("item")), aloud=aloud)
        events = self._begin_item(item)
        part = {"type": "audio", "transcript": ""} if aloud else _text_part("")
        self._emit(events.content_part_added(part))
        self._open = _OpenMessage(item=item, events=events)
        return self._open

    def _close_message(self, status: Literal["completed", "incomplete"]) -> None:
        assert self._open is not None, "no message is open"
        message, self._open = self._open, None
        item, events, said = message.item, message.events, message.said
        if self.settings.modality == "audio":
            self._emit(events.audio_done())
            self._emit(events.transcript_done(said))
            self._emit(events.content_part_done({"type": "audio", "transcript": said}))
            item.finish_speech(said)
        else:
            self._emit(events.text_done(said))
            self._emit(events.content_part_done(_text_part(said)))
            item.finish_text(said)
        self._finish_item(item, events, status)

    def _call(self, call: PlannedCall) -> None:
        tool_call_id = ToolCallId(self._stage.ids.new("call"))
        item = function_call(ItemId(self._stage.ids.new("item")), name=call.name, tool_call_id=tool_call_id)
        events = self._begin_item(item)
        for start in range(0, len(call.arguments), _ARGUMENTS_PIECE):
            piece = call.arguments[start : start + _ARGUMENTS_PIECE]
            self._emit(events.arguments_delta(tool_call_id, piece))
        item.body["arguments"] = call.arguments
        self.tool_calls.append(tool_call_id)
        self._stage.called(tool_call_id, call)
        self._emit(events.arguments_done(tool_call_id, call.name, call.arguments))
        self._finish_item(item, events, "completed")

    async def _call_hosted(self, call: PlannedCall, run: HostedRun) -> None:
        """A tool that the service runs itself. The response waits for it, unless a person must be asked."""
        label, hosted = run.server_label, self._stage.hosted
        item = hosted_call(ItemId(self._stage.ids.new("mcp")), server_label=label, name=call.name)
        events = self._begin_item(item)
        for start in range(0, len(call.arguments), _ARGUMENTS_PIECE):
            self._emit(events.mcp_arguments_delta(call.arguments[start : start + _ARGUMENTS_PIECE]))
        item.body["arguments"] = call.arguments
        self._stage.called(ToolCallId(item.item_id), call)
        self._emit(events.mcp_arguments_done(call.arguments))
        begun = HostedCall(item=item, events=events, run=run)
        if not hosted.needs_approval(label, call.name):
            await asyncio.shield(hosted.begin(begun))
            return
        request = approval_request(
            ItemId(self._stage.ids.new("mcpr")), server_label=label, name=call.name, arguments=call.arguments
        )
        hosted.ask(request.item_id, begun)
        self._finish_item(request, self._begin_item(request), None)

    def _begin_item(self, item: Item) -> ResponseEvents:
        events = ResponseEvents(
            response_id=self.response_id, item_id=item.item_id, output_index=len(self.outputs)
        )
        self.outputs.append(item)
        self._emit(events.output_item_added(item.body))
        if self.in_conversation:
            self._emit(server_events.item_added(item.body, self._stage.items.add(item)))
        return events

    def _finish_item(self, item: Item, events: ResponseEvents, status: str | None) -> None:
        """``status`` is None for an item that has none."""
        if status is not None:
            item.body["status"] = status
        if self.in_conversation and self._stage.items.get(item.item_id) is not None:
            previous_id = self._stage.items.previous_id(item.item_id)
            self._emit(server_events.item_done(item.body, previous_id))
        self._emit(events.output_item_done(item.body))

    # Ending ------------------------------------------------------------------------------------------

    def _end(self, status: str, details: Json) -> None:
        if self._open is not None:
            self._close_message("incomplete")
        self.is_over = True
        usage = self._stage.usage(self)
        self._emit(server_events.response_done(self._body(status, details, usage)))
        # Only now: with nothing left to play, this may report the end of playback at once.
        self._stage.ended(self)

    def _body(self, status: str, details: Json | None, usage: Json | None) -> Json:
        settings = self.settings
        body: Json = {
            "object": "realtime.response",
            "id": self.response_id,
            "status": status,
            "status_details": details if status != "completed" else None,
            "output": [item.body for item in self.outputs],
            "conversation_id": settings.conversation_id,
            "output_modalities": [settings.modality],
            "max_output_tokens": settings.max_output_tokens,
            "usage": usage,
            "metadata": settings.metadata,
        }
        if settings.modality == "audio":
            output_format: Json = {"type": settings.output_format}
            if settings.output_format == "audio/pcm":
                output_format["rate"] = 24000
            body["audio"] = {"output": {"format": output_format, "voice": settings.voice}}
        return body

    def _emit(self, event: Json) -> None:
        self._stage.sender.emit(event)


def _text_part(text: str) -> Json:
    return {"type": "text", "text": text}
