"""One call between a carrier's audio socket and a session of the Realtime API."""

from __future__ import annotations

import asyncio
import logging
from typing import assert_never

from sipagent.carrier.agent_voice import AgentVoice, Tap
from sipagent.carrier.caller_clock import CallerClock
from sipagent.carrier.caller_voice import CallerVoice
from sipagent.carrier.converting import SessionFormat
from sipagent.carrier.pacer import Pacer
from sipagent.carrier.stream import (
    CallerAudio,
    CallerDigit,
    MarkPlayed,
    MediaStream,
    StreamEvent,
    StreamFault,
    StreamStopped,
)
from sipagent.realtime import CarriedCallModel, EndCause, TransportConfig

logger = logging.getLogger(__name__)

MOST_FAULTS_LOGGED = 5


class Bridge:
    """Carries the audio of one call, from the first message of its stream to the last. For one event loop."""

    def __init__(self, stream: MediaStream, *, pacer: Pacer) -> None:
        """``stream`` has started; it is listened to from now on."""
        self._stream = stream
        self._caller = CallerVoice(stream.start.hears)
        self._agent = AgentVoice(stream, pacer)
        self._agent.on_connected = self._connected
        self._agent.on_disconnected = self._disconnected
        self._model: CarriedCallModel | None = None
        self._over = asyncio.Event()
        self._settled = asyncio.Event()
        """There was a session, or there will be none."""
        self._faults = 0
        self._clock: CallerClock | None = None
        """Runs where the call is recorded, or may be."""
        self._tap: Tap | None = None
        self._now = asyncio.get_running_loop().time
        self.stopped: StreamStopped | None = None
        """How the stream ended; None while it lasts."""
        self.session_end: EndCause | None = None
        """How the session ended, where that was not our doing."""
        self.was_connected = False
        """Whether caller and agent could hear each other."""
        stream.listen(self._hear)

    @property
    def lost_frames(self) -> tuple[int, int]:
        """Frames of the caller and of the agent that were dropped because somebody was too slow."""
        return self._caller.dropped_pieces, self._agent.dropped_frames

    @property
    def caller_format(self) -> SessionFormat:
        """What the session hears."""
        return self._caller.session_format

    @property
    def agent(self) -> AgentVoice:
        """What the agent says."""
        return self._agent

    def new_model(
        self, *, keep_early: bool, transport_config: TransportConfig | None = None
    ) -> CarriedCallModel:
        """A model for the session of this call, not connected yet. ``keep_early``: what the caller says
        before that is said to it too."""
        self._caller.keeps_early = keep_early
        self._model = CarriedCallModel(
            self._agent,
            input_format=self._caller.session_format,
            output_format=self._agent.session_format,
            transport_config=transport_config,
        )
        self._caller.use(self._model)
        return self._model

    def expect_recording(self) -> None:
        """Begin to learn how long the caller's voice is on its way: who is let in later hears it in time."""
        if self._clock is None:
            self._clock = CallerClock()

    def record_to(self, tap: Tap | None) -> None:
        """Let ``tap`` hear the call from now on, or nobody."""
        self.expect_recording()
        self._tap = self._agent.tap = tap

    async def run(self) -> None:
        """Carry audio until the stream has ended; then tell the session that its call is over, as soon as
        there is one or it is certain that there will be none (`abandon`). Cancelling tells it too."""
        try:
            async with asyncio.TaskGroup() as group:
                forwarding = group.create_task(self._caller.forward(), name="bridge: caller to model")
                probing = group.create_task(self._agent.keep_probing(), name="bridge: probing")
                await self._over.wait()
                forwarding.cancel()
                probing.cancel()
            await self._settled.wait()
        finally:
            self._agent.end()
            if self._model is not None:
                detail = "The caller's audio ended."
                if self.stopped is not None and self.stopped.detail:
                    detail = f"The caller's audio ended: {self.stopped.detail}"
                await self._model.call_over(detail)

    def abandon(self) -> None:
        """Nobody will talk with this caller any more."""
        self._settled.set()

    # Inside ------------------------------------------------------------------------------------------

    def _hear(self, event: StreamEvent) -> None:
        match event:
            case CallerAudio(audio=audio):
                heard = self._caller.said(audio)
                if self._clock is not None:
                    at_s = self._clock.began_at(heard, event.timestamp_ms, self._now())
                    if self._tap is not None:
                        self._tap.caller_said(heard, at_s)
            case MarkPlayed(name=name):
                self._agent.confirmed(name)
            case CallerDigit(digit=digit):
                self._caller.pressed(digit)
            case StreamFault(detail=detail):
                self._faults += 1
                if self._faults <= MOST_FAULTS_LOGGED:
                    logger.warning("The carrier reports a fault of its audio stream: %s", detail)
            case StreamStopped():
                self.stopped = event
                self._over.set()
            case never:
                assert_never(never)

    def _connected(self) -> None:
        self.was_connected = True
        self._settled.set()
        self._caller.connected()

    def _disconnected(self, cause: EndCause | None) -> None:
        self._caller.disconnected()
        if self.session_end is None:
            self.session_end = cause
