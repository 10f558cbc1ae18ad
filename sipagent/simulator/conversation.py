"""The Realtime session of one call: client events in, server events out, a caller on one side, a script on
the other.

Theory of operation. `CallerSide` turns sound into turns, `AgentSide` performs responses; both send their own
events. What connects them is decided here: a caller who begins to speak interrupts, a turn that ended asks
for a response, a client's event is checked and carried out. Everything runs on the event loop's thread and
nothing here awaits, so each method finds and leaves a consistent conversation. Responses are the only tasks;
`AgentSide` owns them. The conversation goes on whether a socket is attached or not.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NoReturn, assert_never

from sipagent import clock
from sipagent.identifiers import ItemId, ToolCallId
from sipagent.simulator import client_events as client
from sipagent.simulator import server_events
from sipagent.simulator.agent_side import AgentSide
from sipagent.simulator.caller_side import CallerSide, lines_of_caller
from sipagent.simulator.client_events import ClientEvent, ClientEventError
from sipagent.simulator.faults import FaultSet
from sipagent.simulator.items import ROOT, Item, ItemList, from_client
from sipagent.simulator.leg import CallLeg
from sipagent.simulator.parameters import ParameterProblem
from sipagent.simulator.script import Script
from sipagent.simulator.server_events import EventSender, IdSource
from sipagent.simulator.session_config import SessionConfig
from sipagent.simulator.session_faults import ConversationHost, SessionFaults
from sipagent.simulator.socket_audio import SocketDecoder, SocketEncoder
from sipagent.simulator.speech import VoiceLike
from sipagent.simulator.timers import Timers
from sipagent.simulator.transcription import Transcriber

__all__ = ["SESSION_SECONDS", "Conversation", "ConversationHost", "TranscriptLine"]

SESSION_SECONDS: Final = 3600
"""How long a session may last, as ``expires_at`` says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptLine:
    """What one side said, for reports."""

    role: Literal["caller", "agent"]
    text: str
    interrupted: bool
    """Whether the caller did not hear the end of it."""


@dataclass(slots=True)
class _Unanswered:
    """What has been added to the conversation since the last response."""

    heard: tuple[str, ...] = ()
    outputs: tuple[tuple[ToolCallId, str], ...] = ()


class Conversation:
    """One session. Needs a running loop; ends with `aclose`.

    ``session`` is the checked body of accept; with ``leg`` None the audio goes over the socket.
    ``call_label`` names the call in logs. ``host`` carries out faults that reach beyond the session.
    """

    def __init__(
        self,
        *,
        session: Mapping[str, Any],
        leg: CallLeg | None,
        script: Script,
        voice: VoiceLike,
        faults: FaultSet,
        call_label: str,
        host: ConversationHost | None = None,
    ) -> None:
        ids = IdSource()
        self.call_label = call_label
        self.events_received: Counter[str] = Counter()
        """Client events by type; ``refused`` counts those that were answered with an error."""
        self._host = host
        self._timers = Timers()
        self._sender = EventSender(ids)
        self._ids = ids
        self._items = ItemList()
        self._unanswered = _Unanswered()
        self._announces_session = script.announces_session
        self._idle_timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._decoder = SocketDecoder() if leg is None else None
        self._config = SessionConfig(
            session,
            session_id=ids.new("sess"),
            expires_at=int(clock.unix_s()) + SESSION_SECONDS,
            on_the_phone=leg is not None,
            vad=script.vad,
        )
        self._agent = AgentSide(
            config=self._config,
            items=self._items,
            sender=self._sender,
            ids=ids,
            script=script,
            voice=voice,
            leg=leg,
            faults=SessionFaults(faults, sender=self._sender, timers=self._timers, host=host),
            settled=self._agent_settled,
            call_label=call_label,
        )
        self._caller = CallerSide(
            config=self._config,
            items=self._items,
            sender=self._sender,
            ids=ids,
            transcriber=Transcriber(script.transcription, sender=self._sender, timers=self._timers),
            lines=lines_of_caller(() if leg is None else leg.sip_headers, script.caller_lines),
            listener=self,
        )

    # The socket --------------------------------------------------------------------------------------

    def attach(self, send: Callable[[str], None]) -> None:
        """Send events to ``send`` from now on, beginning with ``session.created``.

        ``send`` must return quickly and not raise. An earlier one is forgotten; nothing is replayed.
        """
        if self._closed:
            return
        self._sender.stalled = False
        first = not self._sender.sent
        self._sender.attach(send)
        if self._announces_session:
            self._sender.emit(server_events.session_created(self._config.body))
            if first:
                self._sender.emit(server_events.conversation_created(self._agent.conversation_id))

    def detach(self) -> None:
        """The socket is gone. The conversation goes on, unheard."""
        self._sender.detach()

    def receive(self, text: str) -> None:
        """One client event. Never raises: what is wrong with it is answered with an ``error`` event."""
        if self._closed:
            return
        try:
            event = client.parse_client_event(text)
            self.events_received[event.type] += 1
            self._apply(event)
        except ClientEventError as error:
            self.events_received["refused"] += 1
            problem = error.problem
            self._sender.emit(
                server_events.error(
                    code=problem.code,
                    message=problem.message,
                    param=problem.param or None,
                    event_id=error.event_id,
                )
            )

    async def aclose(self) -> None:
        """End the session without a word: nothing is sent, played or reported any more, whatever still
        comes in. Idempotent."""
        self._closed = True
        self._sender.detach()
        self._timers.cancel_all()
        await self._agent.aclose()

    # Reports -----------------------------------------------------------------------------------------

    @property
    def events_sent(self) -> Counter[str]:
        """Server events that went out, by type."""
        return self._sender.sent

    @property
    def agent_is_idle(self) -> bool:
        """Whether the agent is silent and waits for nobody but the caller."""
        return self._agent.is_idle

    @property
    def transcript(self) -> tuple[TranscriptLine, ...]:
        """What was said so far, in the order of the conversation."""
        return tuple(
            TranscriptLine(
                role="caller" if item.body["role"] == "user" else "agent",
                text=item.spoken,
                interrupted=item.truncated or item.body["status"] == "incomplete",
            )
            for item in self._items
            if item.body.get("role") in ("user", "assistant") and item.spoken
        )

    # The caller (see `LegListener`) ------------------------------------------------------------------

    def caller_audio(self, ulaw: bytes) -> None:
        """The next 20 ms of a real caller."""
        if not self._closed:
            self._caller.audio(ulaw)

    def caller_speech_started(self) -> None:
        """A virtual caller begins to speak."""
        if not self._closed:
            self._caller.virtual_speech_started()

    def caller_speech_stopped(self, transcript: str) -> None:
        """A virtual caller has said ``transcript``."""
        if not self._closed:
            self._caller.virtual_speech_stopped(transcript)

    def caller_digit(self, digit: str) -> None:
        """The caller pressed a key. The model does not notice, unless the script says so."""
        if self._closed:
            return
        self._sender.emit(server_events.dtmf_received(digit, int(clock.unix_s())))
        step = self._agent.director.pressed(digit)
        if step is not None and self._agent.active is None:
            self._stop_idling()
            self._agent.respond({}, step=step)

    def playback_started(self) -> None:
        """The caller begins to hear the agent."""
        if not self._closed:
            self._agent.playback_started()

    def playback_stopped(self) -> None:
        """The caller has heard the agent to the end."""
        if not self._closed:
            self._agent.playback_stopped()

    # Turns (see `TurnListener`) ----------------------------------------------------------------------

    def caller_began(self) -> None:
        """The caller begins to speak: whoever speaks now is interrupted."""
        self._stop_idling()
        turns = self._config.turn_detection
        if turns is not None and turns.interrupt_response:
            self._agent.interrupt()

    def caller_turn(self, heard: str) -> None:
        """The caller's turn has ended: it is answered, unless the client does that itself."""
        self._unanswered.heard += (heard,)
        turns = self._config.turn_detection
        if turns is not None and turns.create_response:
            self._respond_by_itself()

    def _respond_by_itself(self) -> None:
        if self._agent.active is not None:
            # Nobody asked by an event, so the error names none.
            self._sender.emit(
                server_events.error(
                    code="conversation_already_has_active_response",
                    message=_already_active(self._agent.active.response_id),
                    param=None,
                    event_id=None,
                )
            )
            return
        self._respond({})

    def _respond(self, request: Mapping[str, Any]) -> None:
        self._stop_idling()
        answered, self._unanswered = self._unanswered, _Unanswered()
        self._agent.respond(request, heard=answered.heard, outputs=answered.outputs)

    # Silence -----------------------------------------------------------------------------------------

    def _agent_settled(self) -> None:
        if self._caller.is_speaking:
            return
        self._start_idling()
        if self._host is not None:
            self._host.agent_finished()

    def _start_idling(self) -> None:
        self._stop_idling()
        turns = self._config.turn_detection
        if turns is None or turns.idle_timeout_ms is None:
            return
        # A client that plays audio itself is still at it; the silence begins after that.
        playing_s = self._agent.unplayed_s
        since_ms = self._caller.position_ms + round(playing_s * 1000)
        self._idle_timer = self._timers.later(
            playing_s + turns.idle_timeout_ms / 1000, lambda: self._idled(since_ms)
        )

    def _stop_idling(self) -> None:
        self._timers.cancel(self._idle_timer)
        self._idle_timer = None

    def _idled(self, since_ms: int) -> None:
        self._idle_timer = None
        if self._agent.active is None and not self._caller.is_speaking:
            self._caller.time_out(since_ms=since_ms)
            self._respond({})

    # Client events -----------------------------------------------------------------------------------

    def _apply(self, event: ClientEvent) -> None:
        match event:
            case client.SessionUpdate():
                self._update_session(event)
            case client.ResponseCreate():
                self._create_response(event)
            case client.ResponseCancel():
                if not self._agent.cancel(event.response_id):
                    message = "Cancellation failed: no active response found"
                    _refuse(event, "response_cancel_not_active", message)
            case client.ItemCreate():
                self._create_item(event)
            case client.ItemDelete():
                item = self._find_item(event, verb="delet", action="delete")
                self._items.remove(item.item_id)
                self._sender.emit(server_events.item_deleted(item.item_id))
            case client.ItemRetrieve():
                item = self._find_item(event, verb="retriev", action="retrieve")
                sound = SocketEncoder().feed(item.audio, self._config.input_format)
                self._sender.emit(server_events.item_retrieved(item.with_audio(sound)))
            case client.ItemTruncate():
                self._truncate_item(event)
            case client.InputAppend():
                if self._decoder is None:
                    message = "The audio of this session comes from the telephone, not over this connection."
                    _refuse(event, "invalid_event", message)
                self._caller.audio(self._decoder.feed(event.audio, self._config.input_format))
            case client.InputCommit():
                self._commit_input(event)
            case client.InputClear():
                self._caller.clear()
            case client.OutputClear():
                if self._decoder is not None:
                    _refuse(event, "invalid_event", "There is no output audio buffer on this connection.")
                self._agent.clear_output()
            case never:
                assert_never(never)

    def _update_session(self, event: client.SessionUpdate) -> None:
        problem = self._config.check_update(event.session, audio_was_output=self._agent.audio_was_output)
        if problem is not None:
            raise ClientEventError(problem, event_id=event.event_id)
        assert isinstance(event.session, Mapping), "a checked session is an object"
        self._config.update(event.session)
        self._caller.reconfigure()
        self._sender.emit(server_events.session_updated(self._config.body))
        if self._agent.is_idle and self._items.last_id is not None and not self._caller.is_speaking:
            self._start_idling()

    def _create_response(self, event: client.ResponseCreate) -> None:
        if event.response.get("conversation") == "none":
            self._agent.respond_aside(event.response)
            return
        if self._agent.active is not None:
            code = "conversation_already_has_active_response"
            _refuse(event, code, _already_active(self._agent.active.response_id))
        self._respond(event.response)

    def _create_item(self, event: client.ItemCreate) -> None:
        item_id = ItemId(event.item.get("id") or self._ids.new("item"))
        after = event.previous_item_id
        if self._items.get(item_id) is not None:
            _refuse(event, "invalid_value", f"An item with id '{item_id}' exists already.", "item.id")
        if after not in (None, ROOT) and self._items.get(str(after)) is None:
            message = f"Previous item with id '{after}' not found in conversation."
            _refuse(event, "invalid_value", message, "previous_item_id")
        kind, role = event.item["type"], event.item.get("role")
        if role == "assistant" and any(part.get("audio") for part in event.item["content"]):
            _refuse(event, "invalid_value", "Assistant audio cannot be added.", "item.content")
        item = from_client(item_id, dict(event.item))
        if kind == "function_call_output":
            tool_call_id = ToolCallId(event.item["call_id"])
            if not self._items.knows_tool_call(tool_call_id):
                message = f"Tool call ID '{tool_call_id}' not found in conversation."
                _refuse(event, "invalid_tool_call_id", message, "item.call_id")
            self._unanswered.outputs += ((tool_call_id, event.item["output"]),)
            self._agent.tool_answered(tool_call_id)
        elif role == "user" and item.spoken:
            self._unanswered.heard += (item.spoken,)
        previous_id = self._items.add(item, after=after)
        self._sender.emit(server_events.item_added(item.body, previous_id))
        self._sender.emit(server_events.item_done(item.body, previous_id))

    def _truncate_item(self, event: client.ItemTruncate) -> None:
        item = self._find_item(event, verb="truncat", action="truncate")
        if not item.is_assistant_audio or event.content_index != 0:
            message = "Only model output audio messages can be truncated."
            _refuse(event, "invalid_value", message, "content_index")
        if event.audio_end_ms > item.audio_ms:
            length_ms = int(item.audio_ms)
            message = f"Audio content of {length_ms}ms is already shorter than {event.audio_end_ms}ms"
            _refuse(event, "invalid_value", message, "audio_end_ms")
        item.truncate(event.audio_end_ms)
        self._sender.emit(server_events.item_truncated(item.item_id, 0, event.audio_end_ms))

    def _commit_input(self, event: client.InputCommit) -> None:
        if not self._caller.can_commit:
            message = (
                "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, "
                f"but buffer only has {self._caller.buffered_ms:.2f}ms of audio."
            )
            _refuse(event, "input_audio_buffer_commit_empty", message)
        self._unanswered.heard += (self._caller.commit(),)

    def _find_item(
        self,
        event: client.ItemDelete | client.ItemRetrieve | client.ItemTruncate,
        *,
        verb: str,
        action: Literal["delete", "retrieve", "truncate"],
    ) -> Item:
        item = self._items.get(event.item_id)
        if item is None:
            message = f"Error {verb}ing item: the item with id '{event.item_id}' does not exist."
            _refuse(event, f"item_{action}_invalid_item_id", message, "item_id")
        return item


def _already_active(response_id: str) -> str:
    return (
        f"Conversation already has an active response in progress: {response_id}. "
        "Wait until the response is finished before creating a new one."
    )


def _refuse(event: ClientEvent, code: str, message: str, param: str = "") -> NoReturn:
    problem = ParameterProblem(code=code, message=message, param=param)
    raise ClientEventError(problem, event_id=event.event_id)
