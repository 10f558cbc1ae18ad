"""The agent's half of a conversation: responses, what of them is heard, and what cuts them short."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from sipagent.audio.formats import AudioFormat
from sipagent.identifiers import ResponseId, ToolCallId
from sipagent.simulator import server_events
from sipagent.simulator.director import Cue, Director, PlannedCall
from sipagent.simulator.hosted_tools import HostedTools
from sipagent.simulator.items import Item, ItemList
from sipagent.simulator.leg import CallLeg
from sipagent.simulator.output_audio import Cut, OutputAudio, as_static
from sipagent.simulator.responses import Reason, Response, ResponseSettings, Stage
from sipagent.simulator.script import Script, Step
from sipagent.simulator.server_events import EventSender, IdSource, Json, ResponseEvents
from sipagent.simulator.session_config import SessionConfig
from sipagent.simulator.session_faults import SessionFaults
from sipagent.simulator.socket_audio import SocketVoice
from sipagent.simulator.speech import VoiceLike
from sipagent.simulator.usage import UsageMeter

_TOKENS_PER_MINUTE: Final = 200_000

_logger = logging.getLogger(__name__)


class AgentSide:
    """Everything the pretended model does. At most one response writes to the conversation at a time.

    ``settled`` is called whenever the agent has fallen silent and waits for nobody but the caller.
    """

    def __init__(
        self,
        *,
        config: SessionConfig,
        items: ItemList,
        sender: EventSender,
        ids: IdSource,
        script: Script,
        voice: VoiceLike,
        leg: CallLeg | None,
        faults: SessionFaults,
        hosted: HostedTools,
        settled: Callable[[], None],
        call_label: str,
    ) -> None:
        self._call_label = call_label
        self._config = config
        self._sender = sender
        self._script = script
        self._faults = faults
        self._hosted = hosted
        self._settled = settled
        self.director = Director(script)
        self.conversation_id = ids.new("conv")
        self.active: Response | None = None
        """The response that writes to the conversation now."""
        self._tasks: dict[Response, asyncio.Task[None]] = {}
        self._awaited: set[ToolCallId] = set()
        self._meter = UsageMeter()
        self._socket = SocketVoice(sender, config) if leg is None else None
        self._output: OutputAudio | None = None
        if leg is not None:
            self._output = OutputAudio(leg, started=self._playback_started, stopped=self._playback_stopped)
        self._stage = Stage(
            sender=sender,
            ids=ids,
            items=items,
            voice=voice,
            audio=self._take_audio,
            spoke=self._response_spoke,
            called=self._tool_called,
            usage=self._measure,
            hosted=hosted,
            ended=self._response_ended,
        )

    # What is going on --------------------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """Whether nothing is generated, nothing plays, and no tool's output is awaited."""
        busy = any(not response.is_over for response in self._tasks)
        return not busy and not self._awaited and not self._is_playing

    @property
    def unplayed_s(self) -> float:
        """How long a client that plays audio from the socket still has to play; 0 on the telephone."""
        return 0.0 if self._socket is None else self._socket.unplayed_s

    @property
    def audio_was_output(self) -> bool:
        """Whether the agent has been heard, so that its voice is fixed."""
        return any(item.is_assistant_audio for item in self._stage.items) or self._is_playing

    @property
    def _is_playing(self) -> bool:
        return self._output is not None and self._output.is_playing

    # Responses ---------------------------------------------------------------------------------------

    def respond(
        self,
        request: Mapping[str, Any],
        *,
        heard: tuple[str, ...] = (),
        outputs: tuple[tuple[ToolCallId, str], ...] = (),
        step: Step | None = None,
    ) -> None:
        """Begin a response in the conversation; ``request`` overrides the session for it.

        No other may be active.
        """
        assert self.active is None, f"{self.active.response_id} is active"
        cue = Cue(
            heard=heard,
            outputs=outputs,
            instructions=request.get("instructions"),
            tools=self._tools(request),
            step=step,
        )
        settings = self._settings(request, conversation_id=self.conversation_id)
        self.active = Response(self.director.perform(cue), settings, self._stage)
        self._start(self.active)

    def respond_aside(self, request: Mapping[str, Any]) -> None:
        """Begin a response outside the conversation, beside whatever else is going on."""
        cue = Cue(instructions=request.get("instructions"), tools=self._tools(request))
        settings = self._settings(request, conversation_id=None)
        self._start(Response(self.director.perform_aside(cue), settings, self._stage))

    def cancel(self, response_id: str | None) -> bool:
        """Stop generating: the named response, else the active one. False when there is none to stop.

        What was generated before plays on.
        """
        if response_id is None:
            found = self.active
        else:
            found = next((each for each in self._tasks if each.response_id == response_id), None)
        if found is None or found.is_over:
            return False
        self._stop(found, "client_cancelled")
        return True

    def interrupt(self) -> None:
        """The caller speaks: silence, the active response cancelled, and what was not heard forgotten."""
        cuts = self._clear_output()
        if self.active is not None:
            self._stop(self.active, "turn_detected")
        self._truncate(cuts)

    def clear_output(self) -> None:
        """Silence at once, asked for by the client; what was not heard is forgotten."""
        was_playing = self._is_playing
        self._truncate(self._clear_output())
        if was_playing:
            self._settle()

    def tool_answered(self, tool_call_id: str) -> None:
        """The output of a tool call is there."""
        self._awaited.discard(ToolCallId(tool_call_id))

    async def aclose(self) -> None:
        """Stop everything, without a word to anybody. Idempotent."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, response: Response) -> None:
        response.announce()
        remaining = _TOKENS_PER_MINUTE - self._meter.last_total
        self._sender.emit(
            server_events.rate_limits_updated(
                tokens_limit=_TOKENS_PER_MINUTE,
                tokens_remaining=max(0, remaining),
                reset_seconds=round(60 * self._meter.last_total / _TOKENS_PER_MINUTE, 3),
            )
        )
        if self._socket is not None:
            self._socket.begin(response.response_id)
        task = asyncio.create_task(response.run(), name=f"call {self._call_label}: {response.response_id}")
        self._tasks[response] = task
        task.add_done_callback(lambda done: self._task_done(response, done))

    def _stop(self, response: Response, reason: Reason) -> None:
        response.stop(reason)
        self._tasks[response].cancel()

    def _task_done(self, response: Response, task: asyncio.Task[None]) -> None:
        del self._tasks[response]
        if task.cancelled() or (error := task.exception()) is None:
            return
        # A mistake of ours: the client must not wait for an end that never comes.
        _logger.error("call %s: a response broke", self._call_label, exc_info=error)
        response.fail("The server had an error while processing your request.")

    # What responses report ---------------------------------------------------------------------------

    def _take_audio(self, response: Response, item: Item, ulaw: bytes, events: ResponseEvents) -> None:
        if self._output is not None:
            if self._config.output_format is AudioFormat.PCM:
                ulaw = as_static(ulaw)
            self._output.add(response.response_id, item, ulaw)
        elif self._socket is not None:
            self._socket.send(response.response_id, ulaw, events)

    def _response_spoke(self, response: Response, share: float) -> None:
        self._faults.response_spoke(response.response_id, share=share)

    def _tool_called(self, tool_call_id: ToolCallId, call: PlannedCall) -> None:
        self._awaited.add(tool_call_id)
        self.director.called(tool_call_id, call)

    def _measure(self, response: Response) -> Json:
        return self._meter.measure(
            instructions=self._config.value("instructions") or "",
            tools=self._config.value("tools"),
            context=self._stage.items if response.in_conversation else (),
            outputs=response.outputs,
        )

    def _response_ended(self, response: Response) -> None:
        if self.active is response:
            self.active = None
        if response.tool_calls:
            self._faults.tools_called()
        if self._output is not None and self._output.is_playing:
            # The end of playback settles things; it may be reported before this returns.
            self._output.complete(response.response_id)
        else:
            self._settle()

    # Playback ----------------------------------------------------------------------------------------

    def playback_started(self) -> None:
        """See `LegListener.playback_started`."""
        if self._output is not None:
            self._output.playback_started()

    def playback_stopped(self) -> None:
        """See `LegListener.playback_stopped`."""
        if self._output is not None:
            self._output.playback_stopped()

    def _playback_started(self, response_id: ResponseId) -> None:
        self._sender.emit(server_events.playback_started(response_id))

    def _playback_stopped(self, response_id: ResponseId) -> None:
        if not self._faults.hides_playback_stop:
            self._sender.emit(server_events.playback_stopped(response_id))
        self._settle()

    def _clear_output(self) -> tuple[Cut, ...]:
        cleared = None if self._output is None else self._output.clear()
        if cleared is None:
            return ()
        self._sender.emit(server_events.playback_cleared(cleared.response_id))
        return cleared.cuts

    def _truncate(self, cuts: tuple[Cut, ...]) -> None:
        for cut in cuts:
            if cut.item.body["status"] == "in_progress":
                # Still being generated: what comes will be heard.
                continue
            cut.item.truncate(cut.heard_ms)
            if self._script.announces_truncation:
                event = server_events.item_truncated(cut.item.item_id, 0, int(cut.heard_ms))
                self._sender.emit(event)

    def _settle(self) -> None:
        if self.is_idle:
            self._settled()

    # Settings ----------------------------------------------------------------------------------------

    def _settings(self, request: Mapping[str, Any], *, conversation_id: str | None) -> ResponseSettings:
        modalities = request.get("output_modalities")
        modality = self._config.output_modality
        if modalities is not None:
            modality = "text" if modalities == ["text"] else "audio"
        voice = ((request.get("audio") or {}).get("output") or {}).get("voice")
        limit = request.get("max_output_tokens")
        return ResponseSettings(
            modality=modality,
            voice=self._config.voice if voice is None else voice,
            output_format=self._config.output_format.value,
            max_output_tokens=self._config.value("max_output_tokens") if limit is None else limit,
            metadata=request.get("metadata"),
            conversation_id=conversation_id,
            pace=self._script.pace,
        )

    def _tools(self, request: Mapping[str, Any]) -> frozenset[str]:
        """What may be called in a response."""
        choice = request.get("tool_choice") or self._config.value("tool_choice")
        if choice == "none":
            return frozenset()
        tools = request.get("tools")
        offered = self._config.value("tools") if tools is None else tools
        functions = frozenset(tool["name"] for tool in offered or () if tool.get("name"))
        return functions | (self._hosted.names() if tools is None else frozenset())
