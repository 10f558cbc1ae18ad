"""The Realtime session of one call: client events in, server events out, a caller on one side, a script on
the other.

Theory of operation. `CallerSide` turns sound into turns, `AgentSide` performs responses; both send their own
events. What connects them is decided here: a caller who begins to speak interrupts, a turn that ended asks
for a response, a client's event is checked and carried out. Everything runs on the event loop's thread and
nothing here awaits, so each method finds and leaves a consistent conversation. Responses are the only tasks;
`AgentSide` owns them. The conversation goes on whether a socket is attached or not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, assert_never

from sipagent import clock
from sipagent.identifiers import ToolCallId
from sipagent.simulator import client_events as client
from sipagent.simulator import server_events
from sipagent.simulator.agent_side import AgentSide
from sipagent.simulator.caller_side import CallerSide, lines_of_caller
from sipagent.simulator.client_events import ClientEvent, ClientEventError
from sipagent.simulator.faults import FaultSet
from sipagent.simulator.hosted_tools import HostedTools
from sipagent.simulator.item_requests import ItemRequests, refuse
from sipagent.simulator.items import ItemList
from sipagent.simulator.leg import CallLeg
from sipagent.simulator.script import Script
from sipagent.simulator.server_events import EventSender, IdSource, Send
from sipagent.simulator.session_config import SessionConfig
from sipagent.simulator.session_faults import ConversationHost, SessionFaults
from sipagent.simulator.silence import SilenceWatch
from sipagent.simulator.socket_audio import SocketDecoder
from sipagent.simulator.speech import VoiceLike
from sipagent.simulator.timers import Timers
from sipagent.simulator.transcription import Transcriber

__all__ = ["SESSION_SECONDS", "Conversation", "ConversationHost", "TranscriptLine"]

SESSION_SECONDS: Final = 3600
"""How long a session lasts, as ``expires_at`` says, unless somebody says otherwise."""
_GOES_ON_S: Final = 0.005


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
    ``call_label`` names the call in logs. ``expires_at`` is ``lasts_s`` from now. ``host`` carries out faults
    that reach beyond the session.
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
        lasts_s: float = SESSION_SECONDS,
        host: ConversationHost | None = None,
    ) -> None:
        ids = IdSource()
        self.call_label = call_label
        self.events_received: Counter[str] = Counter()
        """Client events by type; ``refused`` counts those that were answered with an error."""
        self._outputs: Counter[ToolCallId] = Counter()
        self._host = host
        self._timers = Timers()
        self._sender = EventSender(ids)
        self._items = ItemList()
        self._unanswered = _Unanswered()
        self._announces_session = script.announces_session
        self._closed = False
        self._decoder = SocketDecoder() if leg is None else None
        self._config = SessionConfig(
            session,
            session_id=ids.new("sess"),
            expires_at=int(clock.unix_s() + lasts_s),
            on_the_phone=leg is not None,
            vad=script.vad,
        )
        self._silence = SilenceWatch(self._config, timers=self._timers, timed_out=self._silence_lasted)
        self._hosted = HostedTools(
            script=script,
            config=self._config,
            items=self._items,
            sender=self._sender,
            ids=ids,
            timers=self._timers,
            ended=self._hosted_call_ended,
        )
        self._item_requests = ItemRequests(
            self._items,
            config=self._config,
            sender=self._sender,
            ids=ids,
            hosted=self._hosted,
            wrote=self._heard,
            answered=self._tool_answered,
        )
        self._faults = SessionFaults(faults, sender=self._sender, timers=self._timers, host=host)
        self._agent = AgentSide(
            config=self._config,
            items=self._items,
            sender=self._sender,
            ids=ids,
            script=script,
            voice=voice,
            leg=leg,
            faults=self._faults,
            hosted=self._hosted,
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

    def attach(self, send: Send) -> None:
        """Send events to ``send`` too from now on, beginning with a ``session.created`` that says how the
        session is by now. Nothing is replayed.
        """
        if self._closed:
            return
        first = not self._sender.sent
        self._sender.attach(send)
        if self._announces_session:
            self._sender.emit(server_events.session_created(self._config.body), to=send)
            if first:
                created = server_events.conversation_created(self._agent.conversation_id)
                self._sender.emit(created, to=send)
        self._hosted.refresh()

    def detach(self, send: Send | None = None) -> None:
        """A socket is gone, or all are. The conversation goes on, be it unheard."""
        self._sender.detach(send)

    def receive(self, text: str, *, by: Send | None = None) -> None:
        """One client event. Never raises: what is wrong with it is answered with an ``error`` event.

        What answers the event goes to ``by``, or to all.
        """
        if self._closed:
            return
        self._sender.asking = by
        try:
            event = client.parse_client_event(text)
            self.events_received[event.type] += 1
            self._apply(event)
        except ClientEventError as error:
            self.events_received["refused"] += 1
            problem = error.problem
            self._sender.answer(
                server_events.error(
                    code=problem.code,
                    message=problem.message,
                    param=problem.param or None,
                    event_id=error.event_id,
                )
            )
        finally:
            self._sender.asking = None

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
    def tool_outputs(self) -> dict[ToolCallId, int]:
        """The function calls of the conversation, each with how many outputs it was given."""
        calls = (item.body for item in self._items if item.body["type"] == "function_call")
        return {ToolCallId(call["call_id"]): self._outputs[ToolCallId(call["call_id"])] for call in calls}

    @property
    def session(self) -> Mapping[str, Any]:
        """The session object as the API would show it now."""
        return self._config.body

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
            self._silence.stop()
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
        self._silence.stop()
        turns = self._config.turn_detection
        if turns is not None and turns.interrupt_response:
            self._agent.interrupt()

    def caller_turn(self, heard: str) -> None:
        """The caller's turn has ended: it is answered, unless the client does that itself."""
        self._heard(heard)
        turns = self._config.turn_detection
        if turns is not None and turns.create_response:
            self._respond_by_itself()

    def _heard(self, words: str) -> None:
        self._unanswered.heard += (words,)

    def _tool_answered(self, tool_call_id: ToolCallId, output: str) -> None:
        self._outputs[tool_call_id] += 1
        self._unanswered.outputs += ((tool_call_id, output),)
        self._agent.tool_answered(tool_call_id)

    def _hosted_call_ended(self, tool_call_id: ToolCallId, output: str, continues: bool) -> None:
        self._tool_answered(tool_call_id, output)
        if continues:
            self._go_on()

    def _go_on(self) -> None:
        """Begin a response about what tools gave, as soon as none is active, unless the client was faster."""
        if self._unanswered.outputs and self._agent.active is None:
            self._respond({})
        elif self._unanswered.outputs:
            self._timers.later(_GOES_ON_S, self._go_on)

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
        self._silence.stop()
        answered, self._unanswered = self._unanswered, _Unanswered()
        self._agent.respond(request, heard=answered.heard, outputs=answered.outputs)

    # Silence -----------------------------------------------------------------------------------------

    def _agent_settled(self) -> None:
        if self._caller.is_speaking:
            return
        self._watch_silence()
        if self._host is not None:
            self._host.agent_finished()

    def _watch_silence(self) -> None:
        self._silence.start(position_ms=self._caller.position_ms, unplayed_s=self._agent.unplayed_s)

    def _silence_lasted(self, since_ms: int) -> None:
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
                    refuse(event, "response_cancel_not_active", message)
            case client.ItemCreate():
                self._item_requests.create(event)
            case client.ItemDelete():
                self._item_requests.delete(event)
            case client.ItemRetrieve():
                self._item_requests.retrieve(event)
            case client.ItemTruncate():
                self._item_requests.truncate(event)
            case client.InputAppend():
                if self._decoder is None:
                    message = "The audio of this session comes from the telephone, not over this connection."
                    refuse(event, "invalid_event", message)
                self._caller.audio(self._decoder.feed(event.audio, self._config.input_format))
            case client.InputCommit():
                self._commit_input(event)
            case client.InputClear():
                self._caller.clear()
            case client.OutputClear():
                if self._decoder is not None:
                    refuse(event, "invalid_event", "There is no output audio buffer on this connection.")
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
        self._hosted.refresh()
        if self._agent.is_idle and self._items.last_id is not None and not self._caller.is_speaking:
            self._watch_silence()

    def _create_response(self, event: client.ResponseCreate) -> None:
        if event.response.get("conversation") == "none":
            self._agent.respond_aside(event.response)
            return
        if self._agent.active is not None:
            code = "conversation_already_has_active_response"
            refuse(event, code, _already_active(self._agent.active.response_id))
        for entry in event.response.get("input") or ():
            if entry["type"] == "item_reference" and self._items.get(entry["id"]) is None:
                refuse(event, "invalid_value", f"Item '{entry['id']}' not found.", "response.input")
        self._respond(event.response)

    def _commit_input(self, event: client.InputCommit) -> None:
        if not self._caller.can_commit:
            message = (
                "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, "
                f"but buffer only has {self._caller.buffered_ms:.2f}ms of audio."
            )
            refuse(event, "input_audio_buffer_commit_empty", message)
        self._heard(self._caller.commit())


def _already_active(response_id: str) -> str:
    return (
        f"Conversation already has an active response in progress: {response_id}. "
        "Wait until the response is finished before creating a new one."
    )
