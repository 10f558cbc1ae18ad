"""The line of a caller whose audio their carrier brings to us; see `sipagent.calls.line`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Literal

from sipagent.calls.endings import Ending, EndReason, FaultOwner, fault_owner
from sipagent.calls.incoming import LineKind
from sipagent.calls.line import CarrierSide
from sipagent.calls.preparation import CallSession
from sipagent.calls.profile import AgentProfile, Recording
from sipagent.carrier.bridge import Bridge
from sipagent.carrier.pacer import Pacer
from sipagent.carrier.recording import CallRecorder, KeptRecording
from sipagent.carrier.stream import MediaStream
from sipagent.errors import CallControlRefusedError, CallGoneError
from sipagent.identifiers import CallId
from sipagent.realtime import RealtimeModel, RealtimeModelConfig, TransportConfig

logger = logging.getLogger(__name__)

LineOutcome = Literal["ended", "failed", "rejected"]
"""The call had its conversation, and is over; it had none, or was left alone in it, and whatever the plan
has next may help; or it was refused before it began."""

_FAILED = frozenset(
    {
        EndReason.ACCEPT_RATE_LIMITED,
        EndReason.ACCEPT_REFUSED,
        EndReason.ACCEPT_UNAVAILABLE,
        EndReason.OPERATOR_CODE_FAILED,
        EndReason.SESSION_NOT_FOUND,
        EndReason.ATTACH_FAILED,
        EndReason.MODEL_SILENT,
        EndReason.MODEL_FAILED,
        EndReason.MODEL_RATE_LIMITED,
        EndReason.CONNECTION_LOST,
        EndReason.SESSION_EXPIRED,
        EndReason.SERVICE_STOPPED,
        EndReason.WORKER_LOST,
        EndReason.INTERNAL_ERROR,
    }
)
"""The caller did not want to go, nor anybody to send them away."""


def outcome_of(ending: Ending | None) -> LineOutcome:
    """What an ending means for the caller, who may still be on the carrier's line; None is for a call that
    was let go of, and that nobody takes care of any more."""
    if ending is not None and ending.goodbye:
        return "ended"
    if ending is None or ending.reason in _FAILED:
        return "failed"
    if ending.reason.value.startswith("rejected_"):
        return "rejected"
    return "failed" if fault_owner(ending.reason) is FaultOwner.OURS else "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class LineSettings:
    """What all stream lines of a service share."""

    pacer: Pacer
    transport: TransportConfig | None = None
    """Of the sockets to the Realtime API."""
    kept: Callable[[KeptRecording], None] | None = None
    """Hears of every recording, when it is begun and when it is whole."""
    disk: Executor | None = None
    """The threads that write recordings, by default those of the loop. With threads of their own, a disk that
    hangs holds nothing up but recordings."""


class StreamLine:
    """One call whose audio passes through us; see `Line`. `run` owns it: without, nothing is heard.

    To hang up is to close the stream. Before that, ``told`` hears how the call went, because a carrier asks
    at once what is to become of a caller whose stream has ended.
    """

    kind: LineKind = "stream"

    def __init__(
        self,
        stream: MediaStream,
        settings: LineSettings,
        *,
        call_id: CallId,
        carrier: CarrierSide | None = None,
        told: Callable[[LineOutcome, Ending | None], None] | None = None,
    ) -> None:
        """``stream`` has started. ``carrier`` is what the caller's carrier does for us besides."""
        self.carrier = carrier
        self._call_id = call_id
        self.bridge = Bridge(stream, pacer=settings.pacer)
        self._stream = stream
        self._settings = settings
        self._told = told
        self._recording: Recording | None = None
        self._consent: str | None = None
        self._recorder: CallRecorder | None = None
        self._closing = asyncio.Event()
        self._refused = False
        self.outcome: LineOutcome | None = None
        """How the call went, once it is over."""

    async def run(self) -> None:
        """Be the line, until the stream has ended and the call is over, or cancelled. The stream is closed
        then, and what was recorded is written."""
        try:
            async with asyncio.TaskGroup() as group:
                closing = group.create_task(self._close_stream(), name="stream line: closing")
                await self.bridge.run()
                if self._closing.is_set():
                    await closing
                closing.cancel()
        finally:
            self.bridge.record_to(None)
            if self._recorder is not None:
                await self._recorder.finish()
            elif self._consent is not None:
                logger.warning("The call was not recorded: nobody knows whether the caller had heard of it")

    # Line --------------------------------------------------------------------------------------------

    async def accept(self, session: CallSession, *, deadline: float, maybe_accepted: bool = False) -> None:
        """See `Line.accept`: the carrier has answered by opening the stream."""
        self._require_caller()

    async def reject(self, sip_status: int, *, deadline: float) -> None:
        """See `Line.reject`: what follows is for the caller's plan to say."""
        self._require_caller()
        self._refused = True
        self._is_over(None)

    async def refer(self, target_uri: str) -> None:
        """See `Line.refer`: the carrier sends the caller elsewhere, where it has a door for that."""
        self._require_caller()
        if self.carrier is None:
            raise CallControlRefusedError("The caller's carrier has no way to send them elsewhere.")
        await self.carrier.send_to(target_uri)

    async def hang_up(self, ending: Ending) -> None:
        """See `Line.hang_up`: the stream is closed by `run`, which this does not wait for."""
        self._require_caller()
        self._is_over(ending)

    def model(self, profile: AgentProfile) -> RealtimeModel:
        """See `Line.model`."""
        self._recording = profile.recording
        if profile.recording is not None:
            self.bridge.expect_recording()
        return self.bridge.new_model(
            keep_early=profile.greeting is None, transport_config=self._settings.transport
        )

    def model_config(self, session: CallSession) -> RealtimeModelConfig:
        """See `Line.model_config`: the model itself knows its formats and its player."""
        return {
            "initial_model_settings": {
                "input_audio_format": self.bridge.caller_format,
                "output_audio_format": self.bridge.agent.session_format,
            },
            "playback_tracker": self.bridge.agent,
        }

    def consented(self, words: str) -> None:
        """See `Line.consented`. That it was played is known by the clock; recording begins when the carrier
        has confirmed it. Where the caller has left meanwhile, there is nothing to be recorded."""
        if self._recording is not None and self._recorder is None:
            self._consent = words
            self.bridge.agent.when_heard(partial(self._record, words))

    def close(self, ending: Ending | None) -> None:
        """See `Line.close`."""
        self._is_over(ending)
        self.bridge.abandon()

    # Inside ------------------------------------------------------------------------------------------

    def _record(self, consent: str) -> None:
        if self._recording is None or self._recorder is not None or self._is_finished:
            return
        self._recorder = CallRecorder(
            self._call_id,
            self._recording,
            consent=consent,
            formats=(self.bridge.caller_format, self.bridge.agent.session_format),
            kept=self._settings.kept,
            disk=self._settings.disk,
        )
        self.bridge.record_to(self._recorder)

    @property
    def _is_finished(self) -> bool:
        """Whether nothing more is heard: what is begun now would be ended by nobody."""
        return self.bridge.stopped is not None or self.outcome is not None

    def _is_over(self, ending: Ending | None) -> None:
        if self.outcome is not None:
            return
        self.outcome = "rejected" if self._refused else outcome_of(ending)
        stopped = self.bridge.stopped
        if self.outcome == "ended" and stopped is not None and stopped.reason in ("lost", "protocol"):
            # Without a goodbye, only the carrier knows whether the caller is there, and asks if they are.
            self.outcome = "failed"
        if self._told is not None:
            self._told(self.outcome, ending)
        self._closing.set()

    def _require_caller(self) -> None:
        if self.bridge.stopped is not None:
            raise CallGoneError("The caller's audio has ended: they hung up, or their carrier let them go.")

    async def _close_stream(self) -> None:
        await self._closing.wait()
        await self._stream.close()
