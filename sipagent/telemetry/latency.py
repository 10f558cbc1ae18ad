"""How long a caller waits, folded from the points of a call and the events of its session. Pure.

Moments are what we saw on our clock. A word "starts" when the API says that it starts to play it; the
way from there to the caller's ear is not ours to measure. A caller's turn "ends" when the API says so,
which is after the silence that it waits for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from sipagent.realtime.session_events import (
    RealtimeAgentSpeechStarted,
    RealtimeCallerSpeechStarted,
    RealtimeCallerSpeechStopped,
    RealtimeSessionEvent,
    RealtimeToolEnd,
)

Point: TypeAlias = Literal["webhook_received", "accept_asked", "accepted", "attached", "greeting_asked"]
"""A step of answering a call, in this order."""

LatencyName: TypeAlias = Literal[
    "webhook_to_accept",
    "accept",
    "accept_to_attached",
    "webhook_to_greeting_asked",
    "webhook_to_first_word",
    "caller_end_to_first_word",
    "tool_time",
]
"""The last two repeat within a call: once a turn, once a tool run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """One measured wait."""

    name: LatencyName
    milliseconds: float


# Reaching a point measures the way from an earlier one.
_MEASURED_AT: dict[Point, tuple[Point, LatencyName]] = {
    "accept_asked": ("webhook_received", "webhook_to_accept"),
    "accepted": ("accept_asked", "accept"),
    "attached": ("accepted", "accept_to_attached"),
    "greeting_asked": ("webhook_received", "webhook_to_greeting_asked"),
}


class CallTimeline:
    """The latencies of one call. ``now`` is in seconds on one monotonic clock throughout."""

    def __init__(self) -> None:
        self._points: dict[Point, float] = {}
        self._caller_ended_at: float | None = None
        self._agent_has_spoken = False

    def mark(self, point: Point, now: float) -> tuple[Latency, ...]:
        """The call reached ``point``; the latencies that this completes.

        A point that comes again changes nothing. One whose start was never marked measures nothing.
        """
        if point in self._points:
            return ()
        self._points[point] = now
        if point not in _MEASURED_AT:
            return ()
        start, name = _MEASURED_AT[point]
        return self._since(start, name, now)

    def observe(self, event: RealtimeSessionEvent, now: float) -> tuple[Latency, ...]:
        """``event`` came from the session; the latencies that it completes."""
        match event:
            case RealtimeCallerSpeechStarted():
                # Whatever was awaited, the caller went on speaking: the turn was not over.
                self._caller_ended_at = None
            case RealtimeCallerSpeechStopped():
                self._caller_ended_at = now
            case RealtimeAgentSpeechStarted():
                return self._agent_spoke(now)
            case RealtimeToolEnd():
                return (Latency(name="tool_time", milliseconds=event.duration_ms),)
            case _:
                pass
        return ()

    def _agent_spoke(self, now: float) -> tuple[Latency, ...]:
        caller_ended_at, self._caller_ended_at = self._caller_ended_at, None
        is_first, self._agent_has_spoken = not self._agent_has_spoken, True
        measured = self._since("webhook_received", "webhook_to_first_word", now) if is_first else ()
        if caller_ended_at is None or (is_first and "greeting_asked" in self._points):
            return measured  # a greeting answers nobody, even if the caller said hello before it
        turn = Latency(name="caller_end_to_first_word", milliseconds=_ms(caller_ended_at, now))
        return (*measured, turn)

    def _since(self, start: Point, name: LatencyName, now: float) -> tuple[Latency, ...]:
        if start not in self._points:
            return ()
        return (Latency(name=name, milliseconds=_ms(self._points[start], now)),)


def _ms(start_s: float, end_s: float) -> float:
    return max(0.0, (end_s - start_s) * 1000)
