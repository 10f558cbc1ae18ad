"""How long each turn of the agent takes. Pure: facts and their times in, one value for each turn out.

A turn begins where the caller fell silent, or where a response was asked for when nobody had spoken. It goes
on over every response that follows, with tools between them, and ends when the agent has been heard to the
end, was cut off, or had nothing to be heard. Responses outside the conversation belong to no turn.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from sipagent.identifiers import ResponseId
from sipagent.realtime.agent_events import RealtimeEventInfo
from sipagent.realtime.value import Value


class RealtimeTurnMetrics(Value, frozen=True, kw_only=True):
    """One turn of the agent is over. Times are in milliseconds, as seen here.

    The caller's end is when the server says that the caller stopped, which is after the silence that it waits
    for; the way of the sound to the caller's ear is not ours to measure.
    """

    response_ids: tuple[ResponseId, ...]
    """The responses of the turn, in the order in which they began."""
    first_word_ms: float | None
    """From the caller's end to the agent's first sound; None when nobody had spoken, or nothing was heard."""
    first_text_ms: float | None
    """To the first words of the transcript, or of the text, from the caller's end; from the request where
    nobody had spoken."""
    requested_ms: float | None
    """Where nobody had spoken, as before a greeting: from the request to the agent's first sound."""
    tool_ms: float
    """The time in which at least one tool ran, here or, for hosted tools, at the API."""
    tool_calls: int
    """How many tools and handoffs were called."""
    interrupted: bool
    """The agent was cut off, or the call ended while it spoke."""
    info: RealtimeEventInfo
    type: Literal["turn_metrics"] = "turn_metrics"

    @property
    def responses(self) -> int:
        """How many responses the turn took."""
        return len(self.response_ids)


@dataclass(slots=True, kw_only=True)
class _Turn:
    """One turn as it goes on. Times in seconds."""

    caller_stopped_at: float | None
    requested_at: float | None
    response_ids: list[ResponseId] = field(default_factory=list)
    first_text_at: float | None = None
    first_sound_at: float | None = None
    playing: set[ResponseId] = field(default_factory=set)
    interrupted: bool = False
    calls: int = 0
    unanswered: set[str] = field(default_factory=set)
    """Calls that the model waits for."""
    running: set[str] = field(default_factory=set)
    """Those of them that run right now."""
    running_since: float = 0.0
    tool_s: float = 0.0


class TurnMeasure:
    """The turns of one session. ``now`` is in seconds on one monotonic clock throughout."""

    def __init__(self, info: RealtimeEventInfo) -> None:
        self._info = info
        self._turn: _Turn | None = None
        self._caller_stopped_at: float | None = None
        self._requested_at: float | None = None

    @property
    def waits_for_tools(self) -> bool:
        """Whether the turn goes on because of a tool."""
        return self._turn is not None and bool(self._turn.unanswered)

    def caller_started(self) -> None:
        """The caller speaks: whoever was thought to have ended has not, unless that is being answered."""
        self._caller_stopped_at = None

    def caller_stopped(self, now: float) -> None:
        """The caller fell silent."""
        self._caller_stopped_at = now

    def requested(self, now: float) -> None:
        """A response was asked for."""
        self._requested_at = now

    # Responses -------------------------------------------------------------------------------------

    def began(self, response_id: ResponseId, now: float) -> RealtimeTurnMetrics | None:
        """A response began. The turn before, if this one answers something that the caller said since."""
        turn, over = self._turn, None
        if turn is not None and self._caller_stopped_at is not None:
            turn, over = None, self.end(now)
        if turn is None:
            nobody_spoke = self._caller_stopped_at is None
            turn = self._turn = _Turn(
                caller_stopped_at=self._caller_stopped_at,
                requested_at=self._requested_at if nobody_spoke else None,
            )
        self._caller_stopped_at = self._requested_at = None
        if response_id not in turn.response_ids:
            turn.response_ids.append(response_id)
        return over

    def has_text(self, response_id: ResponseId, now: float) -> None:
        """The agent's words come."""
        if (turn := self._turn_of(response_id)) is not None and turn.first_text_at is None:
            turn.first_text_at = now

    def has_sound(self, response_id: ResponseId, now: float) -> None:
        """The agent can be heard."""
        if (turn := self._turn_of(response_id)) is not None and turn.first_sound_at is None:
            turn.first_sound_at = now

    def plays(self, response_id: ResponseId, now: float) -> None:
        """A response begins to be heard; its end will be told."""
        self.has_sound(response_id, now)
        if (turn := self._turn_of(response_id)) is not None:
            turn.playing.add(response_id)

    def played(self, response_id: ResponseId, *, cut_off: bool) -> None:
        """A response was heard to its end, or cut off; what had been heard before cannot be cut off."""
        if (turn := self._turn_of(response_id)) is not None and response_id in turn.playing:
            turn.playing.discard(response_id)
            turn.interrupted = turn.interrupted or cut_off

    def cancelled(self, response_id: ResponseId) -> None:
        """A response was broken off while it was made."""
        if (turn := self._turn_of(response_id)) is not None:
            turn.interrupted = True

    # Tools -----------------------------------------------------------------------------------------

    def tool_called(self, call_id: str) -> None:
        """The model calls a tool, and waits for the answer."""
        if self._turn is not None:
            self._turn.calls += 1
            self._turn.unanswered.add(call_id)

    def tool_starts(self, call_id: str, now: float) -> None:
        """A tool that was called runs."""
        turn = self._turn
        if turn is not None and call_id in turn.unanswered:
            if not turn.running:
                turn.running_since = now
            turn.running.add(call_id)

    def tool_ends(self, call_id: str, now: float) -> None:
        """It has run."""
        turn = self._turn
        if turn is not None and call_id in turn.running:
            turn.running.discard(call_id)
            if not turn.running:
                turn.tool_s += now - turn.running_since

    def tool_answered(self, call_id: str) -> None:
        """The model has the answer."""
        if self._turn is not None:
            self._turn.unanswered.discard(call_id)

    # The end ---------------------------------------------------------------------------------------

    def end(self, now: float, *, cut_off: bool = False) -> RealtimeTurnMetrics | None:
        """The turn is over; None when there is none. ``cut_off``: in the middle of what was said."""
        turn, self._turn = self._turn, None
        if turn is None:
            return None
        if turn.running:
            turn.tool_s += now - turn.running_since
        spoken_to = turn.caller_stopped_at is not None
        begin = turn.caller_stopped_at if spoken_to else turn.requested_at
        to_sound_ms = _ms(begin, turn.first_sound_at)
        return RealtimeTurnMetrics(
            response_ids=tuple(turn.response_ids),
            first_word_ms=to_sound_ms if spoken_to else None,
            first_text_ms=_ms(begin, turn.first_text_at),
            requested_ms=None if spoken_to else to_sound_ms,
            tool_ms=turn.tool_s * 1000,
            tool_calls=turn.calls,
            interrupted=turn.interrupted or cut_off,
            info=self._info,
        )

    @property
    def goes_on(self) -> bool:
        """Whether there is a turn that is not over."""
        return self._turn is not None

    def _turn_of(self, response_id: ResponseId) -> _Turn | None:
        turn = self._turn
        return turn if turn is not None and response_id in turn.response_ids else None


def _ms(start_s: float | None, end_s: float | None) -> float | None:
    return None if start_s is None or end_s is None else max(0.0, (end_s - start_s) * 1000)
