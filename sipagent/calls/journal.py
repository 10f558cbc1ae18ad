"""Folds one call into facts for the store, as the call goes."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from sipagent.calls.checkpoint import Checkpoint
from sipagent.calls.endings import EndReason, fault_owner
from sipagent.calls.incoming import IncomingCall
from sipagent.calls.keeping import CheckpointKeeper
from sipagent.calls.lifecycle import CallLifecycle, CallState
from sipagent.identifiers import CallId, ToolCallId
from sipagent.realtime.session_events import (
    RealtimeResponseEnded,
    RealtimeSessionEvent,
    RealtimeToolEnd,
    RealtimeToolStart,
    RealtimeTranscriptionUsage,
    RealtimeTranscriptLine,
)
from sipagent.store import (
    CallEnded,
    CallNoted,
    CallOpened,
    Fact,
    LatencyMeasured,
    StateChanged,
    TokensUsed,
    ToolRan,
    TranscriptLineSaid,
)
from sipagent.telemetry import Latency

SEQUENCES_OF_AN_EPOCH = 1_000_000
"""Each holder of a call numbers what it writes from a multiple of this."""


class CallJournal:
    """What happened in one call, written down through ``record`` the moment it happens.

    Owns the call's lifecycle, so that no state is entered without being remembered.
    """

    def __init__(
        self,
        call_id: CallId,
        record: Callable[[Fact], None],
        utc_now: Callable[[], datetime],
        *,
        keeper: CheckpointKeeper | None = None,
    ) -> None:
        """``keeper`` keeps what another process would need to go on with the call; it knows where the call
        stands already if it was taken over."""
        self._call_id = call_id
        self._write = record
        self._utc_now = utc_now
        self._keeper = keeper
        # What is numbered within the call goes on far above what an earlier holder may still be writing.
        first = 0 if keeper is None else (keeper.epoch - 1) * SEQUENCES_OF_AN_EPOCH
        state = CallState.RINGING if keeper is None else keeper.now.state
        self._lifecycle = CallLifecycle(state=state, sequence=first)
        self._tools: dict[ToolCallId, ToolRan] = {}
        self._first_sequence = first
        self._latency_counts: dict[str, int] = {}
        self._notes = first
        self._muted = False

    @property
    def state(self) -> CallState:
        """Where the call stands."""
        return self._lifecycle.state

    @property
    def kept(self) -> Checkpoint | None:
        """What another process would know of the call; None where there can be none."""
        return None if self._keeper is None else self._keeper.now

    def keep(self, **changes: Any) -> None:
        """Keep ``changes`` (fields of `Checkpoint`) for whoever may have to go on with the call."""
        if self._keeper is not None and not self._muted:
            self._keeper.change(**changes)

    def keep_again(self) -> None:
        """Write what is kept, though it has not changed: the store may not have had a place for it."""
        if self._keeper is not None and not self._muted:
            self._keeper.write()

    def mute(self) -> None:
        """Write nothing more: the call is another's, and how it is left is nothing that happened in it."""
        self._muted = True

    def _record(self, fact: Fact) -> None:
        if not self._muted:
            self._write(fact)

    def opened(self, call: IncomingCall, *, agent: str | None, model: str | None, configuration: str) -> None:
        """The call was heard of."""
        self._record(
            CallOpened(
                call_id=self._call_id,
                at=self._utc_now(),
                webhook_id=call.webhook_id,
                caller=call.caller,
                dialled=call.dialled,
                agent=agent,
                model=model,
                sip_call_id=call.sip_call_id,
                configuration=configuration,
                line=call.line,
                carrier=None if call.leg is None else call.leg.carrier,
                carrier_call_id=None if call.leg is None else call.leg.carrier_call_id,
            )
        )

    def enter(self, state: CallState, **kept: Any) -> None:
        """The call entered ``state``; ``kept`` is kept with it, as by `keep`."""
        sequence = self._lifecycle.enter(state)
        self.keep(state=state, **kept)
        self._record(
            StateChanged(call_id=self._call_id, sequence=sequence, state=state.value, at=self._utc_now())
        )

    def latency(self, latency: Latency) -> None:
        """A latency was measured; a name that repeats is numbered."""
        sequence = self._latency_counts.get(latency.name, self._first_sequence)
        self._latency_counts[latency.name] = sequence + 1
        self._record(
            LatencyMeasured(
                call_id=self._call_id, name=latency.name, sequence=sequence, milliseconds=latency.milliseconds
            )
        )

    def note(self, kind: str, **data: Any) -> None:
        """Write down something about the call that nothing else here says.

        ``kind`` is one of few words; ``data`` is what JSON can hold (anything else becomes its text), and may
        be personal, but never a secret. The order of notes is kept.
        """
        sequence, self._notes = self._notes, self._notes + 1
        self._record(
            CallNoted(
                call_id=self._call_id,
                sequence=sequence,
                at=self._utc_now(),
                kind=kind,
                data=json.dumps(data, ensure_ascii=False, separators=(",", ":"), default=str),
            )
        )

    def observe(self, event: RealtimeSessionEvent) -> None:
        """Write down what of ``event`` is worth remembering."""
        match event:
            case RealtimeTranscriptLine():
                self._record(
                    TranscriptLineSaid(
                        call_id=self._call_id,
                        item_id=event.item_id,
                        position=event.position,
                        role=event.role,
                        text=event.text,
                        interrupted=event.interrupted,
                        at=self._utc_now(),
                    )
                )
            case RealtimeToolStart():
                run = ToolRan(
                    call_id=self._call_id,
                    tool_call_id=event.tool_call_id,
                    name=event.tool.name,
                    arguments=event.arguments,
                    started_at=self._utc_now(),
                )
                self._tools[event.tool_call_id] = run
                self._record(run)
                if self._keeper is not None and not self._muted:
                    self._keeper.tool_began(event.tool_call_id, event.tool.name, event.arguments)
            case RealtimeToolEnd():
                self._tool_ended(event.tool_call_id, event.output_text, event.is_error, event.duration_ms)
                if self._keeper is not None and not self._muted:
                    self._keeper.tool_ended(event.tool_call_id)
            case RealtimeResponseEnded(usage=usage) if usage is not None:
                self._record(
                    TokensUsed(
                        call_id=self._call_id,
                        source_id=event.response_id,
                        kind="response",
                        at=self._utc_now(),
                        input_tokens=usage.input_tokens,
                        cached_tokens=usage.cached_tokens,
                        output_tokens=usage.output_tokens,
                        input_audio_tokens=usage.input_audio_tokens,
                        output_audio_tokens=usage.output_audio_tokens,
                        cached_audio_tokens=usage.cached_audio_tokens,
                    )
                )
            case RealtimeTranscriptionUsage():
                self._record(
                    TokensUsed(
                        call_id=self._call_id,
                        source_id=event.item_id,
                        kind="transcription",
                        at=self._utc_now(),
                        input_tokens=event.usage.input_tokens,
                        input_audio_tokens=event.usage.input_audio_tokens,
                        output_tokens=event.usage.output_tokens,
                        duration_s=event.usage.duration_s,
                    )
                )
            case _:
                pass

    def ended(self, reason: EndReason, detail: str) -> None:
        """The call is over; the one terminal fact. Tools still running are closed as unfinished."""
        for tool_call_id in list(self._tools):
            note = (
                "the call left by this transfer"
                if reason is EndReason.TRANSFERRED
                else "the call ended first"
            )
            self._tool_ended(tool_call_id, note, reason is not EndReason.TRANSFERRED, None)
        if self._lifecycle.state is not CallState.ENDED:
            self.enter(CallState.ENDED)
        self._record(
            CallEnded(
                call_id=self._call_id,
                at=self._utc_now(),
                reason=reason.value,
                fault_owner=fault_owner(reason).value,
                detail=detail,
            )
        )

    def _tool_ended(
        self, tool_call_id: ToolCallId, output: str, is_error: bool, duration_ms: float | None
    ) -> None:
        begun = self._tools.pop(tool_call_id, None)
        if begun is None:
            return
        self._record(
            ToolRan(
                call_id=self._call_id,
                tool_call_id=tool_call_id,
                name=begun.name,
                arguments=begun.arguments,
                started_at=begun.started_at,
                output=output,
                is_error=is_error,
                duration_ms=duration_ms,
            )
        )
