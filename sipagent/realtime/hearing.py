"""What becomes of the events of a model in a session: told, looked at, measured, and acted upon.

Most of what comes concerns few of those who could be asked about it. One table says whom each kind of event
concerns, so that nobody is asked who has nothing to say; words and sound, which are nearly all that comes, go
to the history alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, get_args

from sipagent.realtime.events import (
    RealtimeModelAudioEvent,
    RealtimeModelAudioInterruptedEvent,
    RealtimeModelConnectionStatusEvent,
    RealtimeModelEvent,
    RealtimeModelInputAudioTranscriptionDeltaEvent,
    RealtimeModelPlaybackEvent,
    RealtimeModelResponseRequestedEvent,
    RealtimeModelToolCallEvent,
    RealtimeModelTranscriptDeltaEvent,
    RealtimeModelTurnEndedEvent,
    RealtimeModelTurnStartedEvent,
)
from sipagent.realtime.guarding import GUARDED, Guarding
from sipagent.realtime.handover import NOTEWORTHY, Handover
from sipagent.realtime.history import Growing
from sipagent.realtime.hosted_tools import HOSTED, HostedTools
from sipagent.realtime.latch import Latch
from sipagent.realtime.mcp_events import RealtimeModelMcpApprovalRequestedEvent
from sipagent.realtime.measuring import MEASURED, TurnMeter
from sipagent.realtime.model import RealtimeModel, RealtimeModelListener
from sipagent.realtime.session_events import RealtimeEventInfo, RealtimeSessionEvent, RealtimeTranscriptDelta
from sipagent.realtime.stream import EventStream
from sipagent.realtime.takeover import RealtimeTakeover
from sipagent.realtime.taking_over import TakingOver
from sipagent.realtime.tool_calls import ToolCalls
from sipagent.realtime.translation import Translation
from sipagent.realtime.work import SessionWork

_CAUSED_BY_US = frozenset(
    {RealtimeModelResponseRequestedEvent, RealtimeModelAudioInterruptedEvent, RealtimeModelPlaybackEvent}
)
_ASKING = frozenset({RealtimeModelToolCallEvent, RealtimeModelMcpApprovalRequestedEvent})
"""The model wants something of us."""
_TURNING = frozenset({RealtimeModelTurnStartedEvent, RealtimeModelTurnEndedEvent})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Concerns:
    """Whom a kind of event concerns, beside the history."""

    handover: bool
    guardrails: bool
    hosted_tools: bool
    hooks: bool
    meter: bool
    asks: bool
    connection: bool


def _concerns(kind: type[Any]) -> _Concerns:
    return _Concerns(
        handover=kind in NOTEWORTHY,
        guardrails=kind in GUARDED,
        hosted_tools=kind in HOSTED,
        hooks=kind in _TURNING,
        meter=kind in MEASURED,
        asks=kind in _ASKING,
        connection=kind is RealtimeModelConnectionStatusEvent,
    )


_CONCERNS: Final[Mapping[type[Any], _Concerns]] = {
    kind: _concerns(kind) for kind in get_args(RealtimeModelEvent)
}
_NOBODY: Final = _concerns(object)


class Hearing(RealtimeModelListener):
    """The side of a session that hears its model."""

    _translation: Translation
    _handover: Handover
    _guarding: Guarding
    _hosted: HostedTools
    _tool_calls: ToolCalls
    _meter: TurnMeter
    _events: EventStream[RealtimeSessionEvent]
    _taking_over: TakingOver | None
    _model: RealtimeModel
    _work: SessionWork
    _quiet: Latch
    """Set when something happened that may mean silence."""
    _quick: bool
    """Words and sound are told, and nothing beside them."""
    _growing: Growing | None
    """What the agent says now, while words of it come and nothing else: most words then concern nobody but
    the history and whoever iterates."""
    _info: RealtimeEventInfo
    _closed: bool

    async def on_event(self, event: RealtimeModelEvent) -> None:
        """See `RealtimeModelListener.on_event`."""
        self._take(event)
        # Whoever iterates may be the one who caused it, and then cannot make room meanwhile.
        if not self._events.has_room and type(event) not in _CAUSED_BY_US:
            await self._events.room()

    def take_now(self, event: RealtimeModelEvent) -> bool:
        """See `RealtimeModelListener.take_now`."""
        growing, events = self._growing, self._events
        if (
            growing is not None
            and type(event) is RealtimeModelTranscriptDeltaEvent
            and event.item_id == growing.item_id
            and event.content_index == growing.content_index
            and (newest := growing.newest) is not None
        ):
            more = RealtimeTranscriptDelta(
                role="agent", item_id=growing.item_id, delta=event.delta, info=self._info
            )
            if events.offer(more):
                newest.append(event.delta)
                return True
            return False
        if not events.has_room:
            return False
        happened: RealtimeSessionEvent | None = None
        self._growing = None
        if self._quick and not self._handover.speech.active:
            # Nearly all that comes: words and sound that no guardrail looks at. They can bring about nothing
            # else that `_take` looks for, silence least of all.
            if type(event) is RealtimeModelTranscriptDeltaEvent:
                if event.response_id == self._guarding.unguarded:
                    happened = self._translation.take_words(event, self._handover.lead.speaker)
                    self._growing = self._translation.history.growing
            elif type(event) is RealtimeModelAudioEvent:
                happened = self._translation.take_audio(event)
            elif type(event) is RealtimeModelInputAudioTranscriptionDeltaEvent:
                happened = self._translation.take_caller_words(event)
        if happened is None:
            self._take(event)
        else:
            events.put_at_once(happened)
        return True

    def _take(self, event: RealtimeModelEvent) -> None:
        self._growing = None
        if self._taking_over is not None and self._taking_over.take(event):
            return
        handover, translation = self._handover, self._translation
        concerns = _CONCERNS.get(type(event), _NOBODY)
        if concerns.handover:
            handover.notice(event)
        if concerns.guardrails:
            self._guarding.take(event, handover.lead.speaker)
        meaning = translation.take(event, handover.lead.speaker)
        if concerns.hosted_tools and (hosted := self._hosted.take(event)):
            self._meter.hosted_tools(hosted)
            meaning += hosted
        if handover.speech.active:
            handover.speech.notice(event, translation)
        if concerns.hooks:
            self._tell_hooks(event, meaning)
        for each in meaning:
            self._events.put_at_once(each)
        if concerns.asks and not self._closed:
            self._begin(event)
        if concerns.connection and not self._closed:
            self._look_again(event)
        silent = not translation.speaking.busy
        if silent or concerns.meter:
            self._meter.take(event)
        if silent or translation.ended is not None:
            self._quiet.set()
        if translation.over:
            self._events.end()

    def _begin(self, event: RealtimeModelEvent) -> None:
        if isinstance(event, RealtimeModelToolCallEvent):
            self._tool_calls.begin(event)
        elif isinstance(event, RealtimeModelMcpApprovalRequestedEvent):
            self._hosted.ask(event)

    def _look_again(self, event: RealtimeModelEvent) -> None:
        """After a break of the socket: what happened meanwhile is told to nobody."""
        if not isinstance(event, RealtimeModelConnectionStatusEvent) or not event.reattached:
            return
        speaking = self._translation.speaking
        looking = self._taking_over = TakingOver(
            RealtimeTakeover(),
            model=self._model,
            history=self._translation.history,
            is_busy=lambda: speaking.busy,
            after=self._taking_over,
        )
        self._work.start(self._begin_missed(looking), "look for what was missed")

    async def _begin_missed(self, looking: TakingOver) -> None:
        for call in await looking.find_missed(self._tool_calls.has_begun):
            self._tool_calls.begin(
                RealtimeModelToolCallEvent(
                    name=call.name, call_id=call.tool_call_id, arguments=call.arguments
                )
            )

    def _tell_hooks(self, event: RealtimeModelEvent, meaning: list[RealtimeSessionEvent]) -> None:
        if type(event) is RealtimeModelTurnStartedEvent or type(event) is RealtimeModelTurnEndedEvent:
            said = partial(self._translation.history.said, event.response_id)
            self._handover.hooks.turn_changed(meaning, said)
