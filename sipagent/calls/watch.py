"""Notices that a call has gone quiet in a way that needs ending. Pure: time comes in as ``now``.

Three limits. *The model owes an answer* and nothing at all has arrived for too long: the socket is open but
dead, or the server has stalled. *Nobody speaks*: neither voice, nor a tool, nor a digit for too long: the
caller is gone without a word, and the call would cost money for ever. *The call is too long.*
"""

from __future__ import annotations

from dataclasses import dataclass

from sipagent.calls.endings import EndReason
from sipagent.realtime.session_events import (
    RealtimeAgentSpeechCleared,
    RealtimeAgentSpeechStarted,
    RealtimeAgentSpeechStopped,
    RealtimeCallerSpeechStarted,
    RealtimeCallerSpeechStopped,
    RealtimeDtmfReceived,
    RealtimeResponseEnded,
    RealtimeResponseRequested,
    RealtimeResponseStarted,
    RealtimeSessionEvent,
    RealtimeToolEnd,
    RealtimeToolStart,
)

_USED_UP = frozenset({"rate_limit_exceeded", "insufficient_quota"})
"""Codes of responses that failed because the project may not have more of them."""


LONGEST_SPEECH_S = 120.0
"""So long may an agent be heard without any event; an end that is never told must not hide a dead socket."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallLimits:
    """How long a call may be silent or last, in seconds."""

    model_silence_s: float = 20.0
    """A requested or running response with no event of any kind for this long is dead."""
    caller_silence_s: float = 180.0
    """Nobody spoke, no tool ran and no digit came for this long."""
    maximum_duration_s: float = 3540.0
    """A minute less than the API's own limit of 60 minutes."""


class CallWatch:
    """The three limits over one conversation, which began at ``now`` (seconds, any clock)."""

    def __init__(self, limits: CallLimits, now: float) -> None:
        self._limits = limits
        self._began = now
        self._last_event = now
        self._last_activity = now
        self._response_owed = False
        self._failure: str | None = None
        """Why the response failed that is still owed."""
        self._caller_is_speaking = False
        self._agent_is_speaking = False
        self._tools_running = 0

    def allow(self, limits: CallLimits) -> None:
        """``limits`` count from now on; what has gone by already counts towards them."""
        self._limits = limits

    def observe(self, event: RealtimeSessionEvent, now: float) -> None:
        """Take in one event of the session."""
        self._last_event = now
        match event:
            case RealtimeResponseRequested() | RealtimeResponseStarted():
                self._response_owed = True
                self._failure = None
            case RealtimeResponseEnded(status=status, reason=reason):
                # A failed response said nothing: the caller still waits for one.
                self._response_owed = status == "failed"
                self._failure = (reason or "") if status == "failed" else None
            case RealtimeCallerSpeechStarted():
                self._caller_is_speaking = True
            case RealtimeCallerSpeechStopped():
                self._caller_is_speaking = False
                self._response_owed = True
                self._failure = None
            case RealtimeAgentSpeechStarted():
                self._agent_is_speaking = True
            case RealtimeAgentSpeechStopped() | RealtimeAgentSpeechCleared():
                self._agent_is_speaking = False
            case RealtimeToolStart():
                self._tools_running += 1
            case RealtimeToolEnd():
                self._tools_running -= 1
            case RealtimeDtmfReceived():
                pass
            case _:
                # Every other event shows that the socket lives, but not that anybody does.
                return
        self._last_activity = now

    def deadline(self) -> float:
        """The earliest moment at which `due` may say something, if no event comes before."""
        moments = [self._began + self._limits.maximum_duration_s]
        if self._response_owed:
            moments.append(self._silent_from)
        # A "stopped" that got lost must not keep a call for ever, so somebody speaking buys one more
        # span, not immunity; a running tool has a deadline of its own.
        spans = 2 if self._caller_is_speaking or self._agent_is_speaking or self._tools_running else 1
        moments.append(self._last_activity + spans * self._limits.caller_silence_s)
        return min(moments)

    @property
    def _silent_from(self) -> float:
        """When a model that owes an answer counts as silent. What may not be interrupted is heard to its end
        before that is asked for, and nothing need happen meanwhile."""
        longest_s = LONGEST_SPEECH_S if self._agent_is_speaking else 0.0
        return self._last_event + longest_s + self._limits.model_silence_s

    def due(self, now: float) -> EndReason | None:
        """Why the call must end at ``now``, or None."""
        if now < self.deadline():
            return None
        if self._response_owed and now >= self._silent_from:
            if self._failure is None:
                return EndReason.MODEL_SILENT
            used_up = self._failure in _USED_UP
            return EndReason.MODEL_RATE_LIMITED if used_up else EndReason.MODEL_FAILED
        if now >= self._began + self._limits.maximum_duration_s:
            return EndReason.MAXIMUM_DURATION
        return EndReason.CALLER_SILENT
