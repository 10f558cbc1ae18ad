"""What a model reports, as the events of a session. No I/O: model events in, session events out.

Keeps the history, and what of the responses is still to be heard. One table says which method reads which
event; two methods for what nearly every message brings are called directly. What means the same whatever came
before is in `plain_meanings`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from msgspec.structs import replace

from sipagent.identifiers import ItemId, ResponseId, ToolCallId
from sipagent.realtime.agent import RealtimeAgent
from sipagent.realtime.events import (
    RealtimeModelAudioDoneEvent,
    RealtimeModelAudioEvent,
    RealtimeModelAudioInterruptedEvent,
    RealtimeModelConnectionStatusEvent,
    RealtimeModelEndOfStreamEvent,
    RealtimeModelErrorEvent,
    RealtimeModelEvent,
    RealtimeModelInputAudioTranscriptionCompletedEvent,
    RealtimeModelInputAudioTranscriptionDeltaEvent,
    RealtimeModelItemDeletedEvent,
    RealtimeModelItemPlacedEvent,
    RealtimeModelItemTruncatedEvent,
    RealtimeModelItemUpdatedEvent,
    RealtimeModelOutputTextDeltaEvent,
    RealtimeModelPlaybackEvent,
    RealtimeModelToolCallEvent,
    RealtimeModelTranscriptDeltaEvent,
    RealtimeModelTranscriptDoneEvent,
    RealtimeModelTurnEndedEvent,
    RealtimeModelTurnStartedEvent,
    RealtimeModelUsageEvent,
)
from sipagent.realtime.history import History, Line
from sipagent.realtime.items import AssistantAudio, AssistantMessageItem, RealtimeItem
from sipagent.realtime.mcp_events import (
    RealtimeModelMcpApprovalRequestedEvent,
    RealtimeModelMcpCallArgumentsEvent,
    RealtimeModelMcpCallEvent,
    RealtimeModelMcpListToolsEvent,
)
from sipagent.realtime.mcp_items import RealtimeMcpCallItem
from sipagent.realtime.plain_meanings import plainly
from sipagent.realtime.seeding import Seed
from sipagent.realtime.session_events import (
    RealtimeAgentEndEvent,
    RealtimeAgentSpeechCleared,
    RealtimeAgentSpeechStarted,
    RealtimeAgentSpeechStopped,
    RealtimeAgentStartEvent,
    RealtimeAudio,
    RealtimeAudioEnd,
    RealtimeAudioInterrupted,
    RealtimeConnectionLost,
    RealtimeConnectionRestored,
    RealtimeError,
    RealtimeEventInfo,
    RealtimeHistoryAdded,
    RealtimeHistoryUpdated,
    RealtimeRawModelEvent,
    RealtimeResponseEnded,
    RealtimeResponseStarted,
    RealtimeSessionEvent,
    RealtimeTranscriptDelta,
    RealtimeTranscriptionUsage,
    RealtimeTranscriptLine,
)
from sipagent.realtime.speaking import Speaking

Events = list[RealtimeSessionEvent]


def _nobody_asks(response_id: ResponseId) -> None:
    """For those who measure nothing."""


class Translation:
    """The state of one session as its events tell it."""

    __slots__ = (
        "_info",
        "_noted",
        "_raw",
        "_seeds",
        "_sound_comes",
        "_sounds",
        "_worded",
        "_words_come",
        "ended",
        "history",
        "over",
        "speaking",
    )

    def __init__(
        self,
        info: RealtimeEventInfo,
        *,
        raw: bool,
        speaking: Speaking | None = None,
        words_come: Callable[[ResponseId], None] = _nobody_asks,
        sound_comes: Callable[[ResponseId], None] = _nobody_asks,
    ) -> None:
        """``raw`` adds a `RealtimeRawModelEvent` for everything the model reports. ``words_come`` and
        ``sound_comes`` hear of the first words and the first sound of a response."""
        self._info = info
        self._raw = raw
        self.history = History()
        self.speaking = Speaking() if speaking is None else speaking
        self.ended: RealtimeModelConnectionStatusEvent | None = None
        """The last word about the connection, once there is one."""
        self.over = False
        """Whether nothing follows."""
        self._noted: ResponseId | None = None
        """Whose words came last, if nothing else came behind them: it is known to run and to be audible."""
        self._sounds: ResponseId | None = None
        """Whose sound came last: it is known to be audible, or that nobody can tell."""
        self._worded: ResponseId | None = None
        """Whose words came last."""
        self._seeds: dict[str, ItemId] = {}
        """Items of an earlier conversation, by the ids of the events that create them."""
        self._words_come = words_come
        self._sound_comes = sound_comes

    def take(self, event: RealtimeModelEvent, agent: RealtimeAgent[Any]) -> Events:
        """What ``event`` means, while ``agent`` leads."""
        self._noted = None
        reading = _READINGS.get(type(event))
        meaning = plainly(event, self._info) if reading is None else reading(self, event, agent)
        return [RealtimeRawModelEvent(data=event, info=self._info), *meaning] if self._raw else meaning

    def take_words(
        self, event: RealtimeModelTranscriptDeltaEvent, agent: RealtimeAgent[Any]
    ) -> RealtimeTranscriptDelta:
        """What a few words more of the agent mean."""
        response_id = event.response_id
        if response_id != self._noted:
            self.speaking.shows_itself(response_id, agent)
            self.speaking.has_words(response_id)
            self._noted = response_id
            self._first_words(response_id)
        self.history.spoke(event.item_id, event.delta, response_id, event.content_index)
        return RealtimeTranscriptDelta(
            role="agent", item_id=event.item_id, delta=event.delta, info=self._info
        )

    def take_audio(self, event: RealtimeModelAudioEvent) -> RealtimeAudio:
        """What a little more sound means, where it comes over the socket."""
        response_id = event.response_id
        if response_id != self._sounds:
            self.speaking.has_sound(response_id)
            self._sounds, self._noted = response_id, None
            self._sound_comes(response_id)
        return RealtimeAudio(
            audio=event, item_id=event.item_id, content_index=event.content_index, info=self._info
        )

    def take_caller_words(
        self, event: RealtimeModelInputAudioTranscriptionDeltaEvent
    ) -> RealtimeTranscriptDelta | None:
        """What a few words more of the caller mean; nothing when there are none."""
        if not event.delta:
            return None
        self._noted = None
        self.history.hears(event.item_id, event.delta)
        return RealtimeTranscriptDelta(
            role="caller", item_id=event.item_id, delta=event.delta, info=self._info
        )

    def seeded(self, seed: Seed) -> Events:
        """An item of an earlier conversation is put in: known from now on, and taken out again should the
        server refuse it. It has no line in this conversation's transcript."""
        item = seed.item
        # Where the first one stands is for the server to say: somebody may have spoken already.
        self.history.update(item, placed=item.previous_item_id is not None)
        self.history.line_of(item.item_id)
        self._seeds.update(dict.fromkeys(seed.commands, item.item_id))
        known = self.history.get(item.item_id)
        assert known is not None, "it was just put there"
        return [RealtimeHistoryAdded(item=known, info=self._info)]

    def known(self, items: Iterable[RealtimeItem]) -> None:
        """What was said before this process led the conversation: the server has it, and its lines are in the
        transcript."""
        for item in items:
            self.history.restore(item)

    def tool_answered(self, call_id: ToolCallId, output: str) -> Events:
        """A tool call was answered."""
        return self._updated() if self.history.answer_tool(call_id, output) is not None else []

    # Responses -------------------------------------------------------------------------------------

    def _turn_started(self, event: RealtimeModelTurnStartedEvent, agent: RealtimeAgent[Any]) -> Events:
        self.speaking.begin(event.response_id, agent, aside=event.out_of_band)
        return [
            RealtimeResponseStarted(response_id=event.response_id, info=self._info),
            RealtimeAgentStartEvent(agent=agent, info=self._info),
        ]

    def _turn_ended(self, event: RealtimeModelTurnEndedEvent, agent: RealtimeAgent[Any]) -> Events:
        response_id = event.response_id
        who = self.speaking.end(response_id, agent, unheard=event.status in ("cancelled", "failed"))
        cut = self.history.interrupt(response_id) if event.status == "cancelled" else []
        return [
            *self._lines(*cut),
            RealtimeResponseEnded(
                response_id=response_id,
                status=event.status,
                reason=event.reason,
                error_message=event.error_message,
                usage=event.usage,
                info=self._info,
            ),
            RealtimeAgentEndEvent(agent=who, info=self._info),
        ]

    def _tool_called(self, event: RealtimeModelToolCallEvent, agent: RealtimeAgent[Any]) -> Events:
        self.speaking.shows_itself(event.response_id, agent)
        return []

    def _usage(self, event: RealtimeModelUsageEvent, agent: RealtimeAgent[Any]) -> Events:
        self._info.context.usage.add(event.usage)
        return []

    # Sound -----------------------------------------------------------------------------------------

    def _playback(self, event: RealtimeModelPlaybackEvent, agent: RealtimeAgent[Any]) -> Events:
        info, response_id = self._info, event.response_id
        match event.change:
            case "started":
                self.speaking.starts_to_play(response_id)
                return [RealtimeAgentSpeechStarted(response_id=response_id, info=info)]
            case "stopped":
                self.speaking.stops_to_play(response_id)
                return [RealtimeAgentSpeechStopped(response_id=response_id, info=info)]
            case "cleared":
                # An output buffer that had run empty can be cleared too; then everything was heard.
                cut = self.history.interrupt(response_id) if self.speaking.stops_to_play(response_id) else []
                return [RealtimeAgentSpeechCleared(response_id=response_id, info=info), *self._lines(*cut)]

    def _audio(self, event: RealtimeModelAudioEvent, agent: RealtimeAgent[Any]) -> Events:
        return [self.take_audio(event)]

    def _audio_done(self, event: RealtimeModelAudioDoneEvent, agent: RealtimeAgent[Any]) -> Events:
        if event.response_id is not None:
            self.speaking.has_words(event.response_id)
        return [RealtimeAudioEnd(item_id=event.item_id, content_index=event.content_index, info=self._info)]

    def _audio_interrupted(
        self, event: RealtimeModelAudioInterruptedEvent, agent: RealtimeAgent[Any]
    ) -> Events:
        item_id, index = event.item_id, event.content_index
        stop = RealtimeAudioInterrupted(item_id=item_id, content_index=index, info=self._info)
        return [stop] if event.heard_in_full else [stop, *self._lines(self.history.cut(item_id))]

    # Items -----------------------------------------------------------------------------------------

    def _item(self, event: RealtimeModelItemUpdatedEvent, agent: RealtimeAgent[Any]) -> Events:
        item, response_id = event.item, event.response_id
        if response_id is not None:
            self.speaking.shows_itself(response_id, agent)
            if _is_spoken(item):
                self.speaking.has_words(response_id)
        change = self.history.update(item, placed=event.placed, response_id=response_id)
        if change == "same":
            return []
        known = self.history.get(item.item_id)
        assert known is not None, "it was just put there"
        line = self.history.line_of(item.item_id)
        first: Events = (
            [RealtimeHistoryAdded(item=known, info=self._info)] if change == "added" else self._updated()
        )
        return first if line is None else first + self._lines(line)

    def _hosted_arguments(
        self, event: RealtimeModelMcpCallArgumentsEvent, agent: RealtimeAgent[Any]
    ) -> Events:
        item = self.history.get(event.item_id)
        if not isinstance(item, RealtimeMcpCallItem) or item.arguments == event.arguments:
            return []
        self.history.update(replace(item, arguments=event.arguments), placed=False)
        return self._updated()

    def _hosted(
        self,
        event: RealtimeModelMcpListToolsEvent
        | RealtimeModelMcpCallEvent
        | RealtimeModelMcpApprovalRequestedEvent,
        agent: RealtimeAgent[Any],
    ) -> Events:
        return []  # told by `HostedCalls`, which knows the time, and asked by `HostedApprovals`

    def _placed(self, event: RealtimeModelItemPlacedEvent, agent: RealtimeAgent[Any]) -> Events:
        self.history.place(event.item_id, event.previous_item_id)
        return []

    def _deleted(self, event: RealtimeModelItemDeletedEvent, agent: RealtimeAgent[Any]) -> Events:
        return self._updated() if self.history.delete(event.item_id) else []

    def _truncated(self, event: RealtimeModelItemTruncatedEvent, agent: RealtimeAgent[Any]) -> Events:
        return self._lines(self.history.cut(event.item_id))

    # Words -----------------------------------------------------------------------------------------

    def _words(self, event: RealtimeModelTranscriptDeltaEvent, agent: RealtimeAgent[Any]) -> Events:
        return [self.take_words(event, agent)]

    def _whole(self, event: RealtimeModelTranscriptDoneEvent, agent: RealtimeAgent[Any]) -> Events:
        response_id = event.response_id
        self.speaking.shows_itself(response_id, agent)
        self.speaking.has_words(response_id)
        return self._lines(
            self.history.spoken(event.item_id, event.transcript, response_id, event.content_index)
        )

    def _text(self, event: RealtimeModelOutputTextDeltaEvent, agent: RealtimeAgent[Any]) -> Events:
        self._first_words(event.response_id)
        return [
            RealtimeTranscriptDelta(role="agent", item_id=event.item_id, delta=event.delta, info=self._info)
        ]

    def _caller_words(
        self, event: RealtimeModelInputAudioTranscriptionDeltaEvent, agent: RealtimeAgent[Any]
    ) -> Events:
        words = self.take_caller_words(event)
        return [] if words is None else [words]

    def _caller_whole(
        self, event: RealtimeModelInputAudioTranscriptionCompletedEvent, agent: RealtimeAgent[Any]
    ) -> Events:
        info, item_id, usage = self._info, event.item_id, event.usage
        happened = self._lines(self.history.heard(item_id, event.transcript)) + self._updated()
        if usage is not None:
            happened.append(RealtimeTranscriptionUsage(item_id=item_id, usage=usage, info=info))
        return happened

    # Session and connection ------------------------------------------------------------------------

    def _connection(self, event: RealtimeModelConnectionStatusEvent, agent: RealtimeAgent[Any]) -> Events:
        match event.status:
            case "lost":
                return [RealtimeConnectionLost(close_code=event.close_code, info=self._info)]
            case "connected" if event.reattached:
                self.speaking.missed()
                return [RealtimeConnectionRestored(info=self._info)]
            case "disconnected":
                self.ended = event
            case "connecting" | "connected":
                pass
        return []

    def _error(self, event: RealtimeModelErrorEvent, agent: RealtimeAgent[Any]) -> Events:
        error = RealtimeError(error=event.error, info=self._info)
        refused = self._seeds.get(event.error.get("event_id") or "")
        return [error, *self._updated()] if refused and self.history.delete(refused) else [error]

    def _end_of_stream(self, event: RealtimeModelEndOfStreamEvent, agent: RealtimeAgent[Any]) -> Events:
        self.over = True
        return self._lines(*self.history.finish())

    # Inside ----------------------------------------------------------------------------------------

    def _first_words(self, response_id: ResponseId) -> None:
        if response_id != self._worded:
            self._worded = response_id
            self._words_come(response_id)

    def _updated(self) -> Events:
        return [RealtimeHistoryUpdated(history=self.history.items, info=self._info)]

    def _lines(self, *lines: Line | None) -> Events:
        return [
            RealtimeTranscriptLine(
                role=line.role,
                item_id=ItemId(line.item_id),
                position=line.position,
                text=line.text,
                interrupted=line.interrupted,
                final=line.final,
                info=self._info,
            )
            for line in lines
            if line is not None
        ]


_READINGS: Final[Mapping[type[Any], Callable[[Translation, Any, RealtimeAgent[Any]], Events]]] = {
    RealtimeModelTranscriptDeltaEvent: Translation._words,
    RealtimeModelAudioEvent: Translation._audio,
    RealtimeModelOutputTextDeltaEvent: Translation._text,
    RealtimeModelAudioDoneEvent: Translation._audio_done,
    RealtimeModelAudioInterruptedEvent: Translation._audio_interrupted,
    RealtimeModelTurnStartedEvent: Translation._turn_started,
    RealtimeModelTurnEndedEvent: Translation._turn_ended,
    RealtimeModelToolCallEvent: Translation._tool_called,
    RealtimeModelUsageEvent: Translation._usage,
    RealtimeModelTranscriptDoneEvent: Translation._whole,
    RealtimeModelInputAudioTranscriptionDeltaEvent: Translation._caller_words,
    RealtimeModelInputAudioTranscriptionCompletedEvent: Translation._caller_whole,
    RealtimeModelItemUpdatedEvent: Translation._item,
    RealtimeModelMcpListToolsEvent: Translation._hosted,
    RealtimeModelMcpCallArgumentsEvent: Translation._hosted_arguments,
    RealtimeModelMcpCallEvent: Translation._hosted,
    RealtimeModelMcpApprovalRequestedEvent: Translation._hosted,
    RealtimeModelItemPlacedEvent: Translation._placed,
    RealtimeModelItemDeletedEvent: Translation._deleted,
    RealtimeModelItemTruncatedEvent: Translation._truncated,
    RealtimeModelPlaybackEvent: Translation._playback,
    RealtimeModelConnectionStatusEvent: Translation._connection,
    RealtimeModelErrorEvent: Translation._error,
    RealtimeModelEndOfStreamEvent: Translation._end_of_stream,
}


def _is_spoken(item: RealtimeItem) -> bool:
    if type(item) is AssistantMessageItem:
        for part in item.content:
            if type(part) is AssistantAudio:
                return True
    return False
