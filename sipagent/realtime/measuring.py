"""The turns of one session, measured: the clock and the session around `turn_metrics`.

Whatever comes for every word or sound of the agent stays out of here: `Translation` tells of the first ones
of a response, and of those that come behind something else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from sipagent.clock import monotonic_s
from sipagent.identifiers import ResponseId
from sipagent.realtime.events import (
    RealtimeModelCallerSpeechStartedEvent,
    RealtimeModelCallerSpeechStoppedEvent,
    RealtimeModelEndOfStreamEvent,
    RealtimeModelEvent,
    RealtimeModelPlaybackEvent,
    RealtimeModelResponseRequestedEvent,
    RealtimeModelTurnEndedEvent,
    RealtimeModelTurnStartedEvent,
)
from sipagent.realtime.mcp_session_events import RealtimeMcpCallEnd, RealtimeMcpCallStart
from sipagent.realtime.session_events import RealtimeEventInfo, RealtimeSessionEvent
from sipagent.realtime.turn_metrics import RealtimeTurnMetrics, TurnMeasure


class TurnMeter:
    """Tells how long each turn took, once it is over."""

    __slots__ = (
        "_is_silent",
        "_measure",
        "_playing_is_told",
        "_tell",
    )

    def __init__(
        self,
        info: RealtimeEventInfo,
        *,
        is_silent: Callable[[], bool],
        tell: Callable[[RealtimeSessionEvent], None],
    ) -> None:
        """``is_silent``: no response is under way or asked for, and nothing of one is still to be heard."""
        self._measure = TurnMeasure(info)
        self._is_silent = is_silent
        self._tell = tell
        self._playing_is_told = False

    def take(self, event: RealtimeModelEvent) -> None:
        """Something happened that the session has heard of already; words and sound need not be given."""
        fact = _FACTS.get(type(event))
        if fact is not None:
            fact(self, event)
        if self._measure.goes_on:
            self._settle()

    def words_come(self, response_id: ResponseId) -> None:
        """Words of a response; need not be told of all of them."""
        self._measure.has_text(response_id, monotonic_s())

    def sound_comes(self, response_id: ResponseId) -> None:
        """Sound of a response, where it comes over the socket; need not be told of all of it."""
        if not self._playing_is_told:
            self._measure.has_sound(response_id, monotonic_s())

    # Tools -----------------------------------------------------------------------------------------

    def tool_called(self, call_id: str) -> None:
        """The model calls a tool that is to be answered."""
        self._measure.tool_called(call_id)

    def tool_starts(self, call_id: str) -> None:
        """It begins to run."""
        self._measure.tool_starts(call_id, monotonic_s())

    def tool_ends(self, call_id: str) -> None:
        """It has run."""
        self._measure.tool_ends(call_id, monotonic_s())

    def tool_answered(self, call_id: str) -> None:
        """The model has its answer, or cannot be given one."""
        self._measure.tool_answered(call_id)
        self._settle()

    def hosted_tools(self, events: Sequence[RealtimeSessionEvent]) -> None:
        """What happened to tools that the API calls itself."""
        for event in events:
            if isinstance(event, RealtimeMcpCallStart):
                self._measure.tool_called(event.item_id)
                self._measure.tool_starts(event.item_id, monotonic_s())
            elif isinstance(event, RealtimeMcpCallEnd):
                self._measure.tool_ends(event.item_id, monotonic_s())
                self._measure.tool_answered(event.item_id)

    # Inside ----------------------------------------------------------------------------------------

    def _settle(self) -> None:
        if self._is_silent() and not self._measure.waits_for_tools:
            self._told(self._measure.end(monotonic_s()))

    def _told(self, metrics: RealtimeTurnMetrics | None) -> None:
        if metrics is not None:
            self._tell(metrics)

    def _caller_started(self, event: RealtimeModelCallerSpeechStartedEvent) -> None:
        self._measure.caller_started()

    def _caller_stopped(self, event: RealtimeModelCallerSpeechStoppedEvent) -> None:
        self._measure.caller_stopped(monotonic_s())

    def _requested(self, event: RealtimeModelResponseRequestedEvent) -> None:
        self._measure.requested(monotonic_s())

    def _began(self, event: RealtimeModelTurnStartedEvent) -> None:
        if not event.out_of_band:
            self._told(self._measure.began(event.response_id, monotonic_s()))

    def _ended(self, event: RealtimeModelTurnEndedEvent) -> None:
        if event.status == "cancelled":
            self._measure.cancelled(event.response_id)

    def _playback(self, event: RealtimeModelPlaybackEvent) -> None:
        self._playing_is_told = True
        if event.change == "started":
            self._measure.plays(event.response_id, monotonic_s())
        else:
            self._measure.played(event.response_id, cut_off=event.change == "cleared")

    def _over(self, event: RealtimeModelEndOfStreamEvent) -> None:
        self._told(self._measure.end(monotonic_s(), cut_off=not self._is_silent()))


_FACTS: Final[Mapping[type[Any], Callable[[TurnMeter, Any], None]]] = {
    RealtimeModelCallerSpeechStartedEvent: TurnMeter._caller_started,
    RealtimeModelCallerSpeechStoppedEvent: TurnMeter._caller_stopped,
    RealtimeModelResponseRequestedEvent: TurnMeter._requested,
    RealtimeModelTurnStartedEvent: TurnMeter._began,
    RealtimeModelTurnEndedEvent: TurnMeter._ended,
    RealtimeModelPlaybackEvent: TurnMeter._playback,
    RealtimeModelEndOfStreamEvent: TurnMeter._over,
}
MEASURED: Final = frozenset(_FACTS)
"""The events that `TurnMeter` needs to hear of; of all others, while nothing runs or is still to be heard."""
