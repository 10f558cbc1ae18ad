"""What a model reports, as the events of a session. No I/O: model events in, session events out.

Keeps what the translation needs to know: the history, which responses run, and what of them is still to be
heard.
"""

from __future__ import annotations

from typing import Any

from sipagent.identifiers import ItemId, ResponseId, ToolCallId
from sipagent.realtime.agent import RealtimeAgent
from sipagent.realtime.events import (
    RealtimeModelAudioDoneEvent,
    RealtimeModelAudioEvent,
    RealtimeModelAudioInterruptedEvent,
    RealtimeModelCallerSpeechStartedEvent,
    RealtimeModelCallerSpeechStoppedEvent,
    RealtimeModelConnectionStatusEvent,
    RealtimeModelDtmfEvent,
    RealtimeModelEndOfStreamEvent,
    RealtimeModelErrorEvent,
    RealtimeModelEvent,
    RealtimeModelExceptionEvent,
    RealtimeModelInputAudioTimeoutTriggeredEvent,
    RealtimeModelInputAudioTranscriptionCompletedEvent,
    RealtimeModelInputAudioTranscriptionDeltaEvent,
    RealtimeModelInputAudioTranscriptionFailedEvent,
    RealtimeModelItemDeletedEvent,
    RealtimeModelItemPlacedEvent,
    RealtimeModelItemTruncatedEvent,
    RealtimeModelItemUpdatedEvent,
    RealtimeModelOtherEvent,
    RealtimeModelOutputTextDeltaEvent,
    RealtimeModelPlaybackEvent,
    RealtimeModelRateLimitsEvent,
    RealtimeModelRawServerEvent,
    RealtimeModelResponseRequestedEvent,
    RealtimeModelSessionEvent,
    RealtimeModelToolCallEvent,
    RealtimeModelTranscriptDeltaEvent,
    RealtimeModelTranscriptDoneEvent,
    RealtimeModelTurnEndedEvent,
    RealtimeModelTurnStartedEvent,
    RealtimeModelUsageEvent,
)
from sipagent.realtime.history import History, Line
from sipagent.realtime.items import AssistantAudio, AssistantMessageItem, RealtimeItem
from sipagent.realtime.session_events import (
    RealtimeAgentEndEvent,
    RealtimeAgentSpeechCleared,
    RealtimeAgentSpeechStarted,
    RealtimeAgentSpeechStopped,
    RealtimeAgentStartEvent,
    RealtimeAudio,
    RealtimeAudioEnd,
    RealtimeAudioInterrupted,
    RealtimeCallerSpeechStarted,
    RealtimeCallerSpeechStopped,
    RealtimeConnectionLost,
    RealtimeConnectionRestored,
    RealtimeDtmfReceived,
    RealtimeError,
    RealtimeEventInfo,
    RealtimeHistoryAdded,
    RealtimeHistoryUpdated,
    RealtimeInputAudioTimeoutTriggered,
    RealtimeRateLimitsUpdated,
    RealtimeRawModelEvent,
    RealtimeResponseEnded,
    RealtimeResponseRequested,
    RealtimeResponseStarted,
    RealtimeSessionEvent,
    RealtimeTranscriptDelta,
    RealtimeTranscriptionFailed,
    RealtimeTranscriptionUsage,
    RealtimeTranscriptLine,
    RealtimeUnknownEvent,
)

Events = list[RealtimeSessionEvent]


class Translation:
    """The state of one session as its events tell it."""

    def __init__(self, info: RealtimeEventInfo, *, raw: bool) -> None:
        """``raw`` adds a `RealtimeRawModelEvent` for everything the model reports."""
        self._info = info
        self._raw = raw
        self.history = History()
        self.ended: RealtimeModelConnectionStatusEvent | None = None
        """The last word about the connection, once there is one."""
        self.over = False
        """Whether nothing follows."""
        self._running: dict[ResponseId, RealtimeAgent[Any]] = {}
        self._aside: set[ResponseId] = set()
        """Responses outside the conversation, which run beside another."""
        self._over: set[ResponseId] = set()
        self._audible: dict[ResponseId, None] = {}
        """Responses that speak, and have not been heard to their end, in the order in which they will be."""
        self._playing: set[ResponseId] = set()
        self._played: set[ResponseId] = set()
        """Responses that were heard to their end, or cut off."""
        self._audio_over_socket = False
        self._speaking: ResponseId | None = None
        """Whose words came last, if nothing else came behind them: of that response all is noted."""

    @property
    def response_active(self) -> bool:
        """Whether a response is under way."""
        return bool(self._running)

    @property
    def agent_is_speaking(self) -> bool:
        """Whether the agent is heard, or has begun what will be heard."""
        return bool(self._audible)

    def was_heard(self, response_id: ResponseId) -> bool:
        """Whether a response that began has ended, and nothing of it is still to be heard."""
        return response_id not in self._running and response_id not in self._audible

    def take(self, event: RealtimeModelEvent, agent: RealtimeAgent[Any]) -> Events:
        """What ``event`` means, while ``agent`` leads."""
        self._speaking = None
        self._notice_response(event, agent)
        meaning = self._meaning(event, agent)
        return [RealtimeRawModelEvent(data=event, info=self._info), *meaning] if self._raw else meaning

    def take_words(
        self, event: RealtimeModelTranscriptDeltaEvent, agent: RealtimeAgent[Any]
    ) -> RealtimeTranscriptDelta:
        """What a few words more of the agent mean: of all that comes, the most frequent."""
        response_id = event.response_id
        if response_id != self._speaking:
            self._notice_response(event, agent)
            self._expect_speech(response_id)
            self._speaking = response_id
        self.history.spoke(event.item_id, event.delta, response_id, event.content_index)
        return RealtimeTranscriptDelta(
            role="agent", item_id=event.item_id, delta=event.delta, info=self._info
        )

    def take_audio(self, event: RealtimeModelAudioEvent) -> RealtimeAudio:
        """What a little more sound means: where it comes over the socket, as frequent."""
        # Who plays this audio is not the server, so its end will not be reported either.
        self._audio_over_socket = True
        self._speaking = None
        self._audible.pop(event.response_id, None)
        return RealtimeAudio(
            audio=event, item_id=event.item_id, content_index=event.content_index, info=self._info
        )

    def tool_answered(self, call_id: ToolCallId, output: str) -> Events:
        """A tool call was answered."""
        return self._updated() if self.history.answer_tool(call_id, output) is not None else []

    def _meaning(self, event: RealtimeModelEvent, agent: RealtimeAgent[Any]) -> Events:
        info = self._info
        match event:
            # In the order of how often they come.
            case RealtimeModelTranscriptDeltaEvent():
                return [self.take_words(event, agent)]
            case RealtimeModelAudioEvent():
                return [self.take_audio(event)]
            case RealtimeModelOutputTextDeltaEvent(item_id=item_id, delta=delta):
                return [RealtimeTranscriptDelta(role="agent", item_id=item_id, delta=delta, info=info)]
            case RealtimeModelAudioDoneEvent() | RealtimeModelAudioInterruptedEvent():
                return self._audio(event)
            case RealtimeModelTurnStartedEvent() | RealtimeModelTurnEndedEvent():
                return self._turn(event, agent)
            case RealtimeModelTranscriptDoneEvent(item_id=item_id, transcript=words, response_id=response_id):
                self._expect_speech(response_id)
                return self._lines(self.history.spoken(item_id, words, response_id, event.content_index))
            case (
                RealtimeModelInputAudioTranscriptionDeltaEvent()
                | RealtimeModelInputAudioTranscriptionCompletedEvent()
                | RealtimeModelInputAudioTranscriptionFailedEvent()
            ):
                return self._caller_words(event)
            case (
                RealtimeModelItemUpdatedEvent()
                | RealtimeModelItemPlacedEvent()
                | RealtimeModelItemDeletedEvent()
                | RealtimeModelItemTruncatedEvent()
            ):
                return self._item(event)
            case RealtimeModelPlaybackEvent():
                return self._playback(event)
            case RealtimeModelConnectionStatusEvent():
                return self._connection(event)
            case RealtimeModelCallerSpeechStartedEvent(item_id=item_id, audio_start_ms=start):
                return [RealtimeCallerSpeechStarted(item_id=item_id, audio_start_ms=start, info=info)]
            case RealtimeModelCallerSpeechStoppedEvent(item_id=item_id, audio_end_ms=end):
                return [RealtimeCallerSpeechStopped(item_id=item_id, audio_end_ms=end, info=info)]
            case RealtimeModelDtmfEvent(digit=digit, received_at=received_at):
                return [RealtimeDtmfReceived(digit=digit, received_at=received_at, info=info)]
            case RealtimeModelResponseRequestedEvent():
                return [RealtimeResponseRequested(info=info)]
            case RealtimeModelRateLimitsEvent(rate_limits=rate_limits):
                return [RealtimeRateLimitsUpdated(rate_limits=rate_limits, info=info)]
            case RealtimeModelErrorEvent(error=error):
                return [RealtimeError(error=error, info=info)]
            case RealtimeModelExceptionEvent(exception=exception):
                return [RealtimeError(error=exception, info=info)]
            case RealtimeModelOtherEvent(data=data, event_type=event_type):
                return [RealtimeUnknownEvent(event_type=event_type, raw=data, info=info)]
            case RealtimeModelInputAudioTimeoutTriggeredEvent():
                return [
                    RealtimeInputAudioTimeoutTriggered(
                        item_id=event.item_id,
                        audio_start_ms=event.audio_start_ms,
                        audio_end_ms=event.audio_end_ms,
                        info=info,
                    )
                ]
            case RealtimeModelUsageEvent(usage=usage):
                info.context.usage.add(usage)
            case RealtimeModelEndOfStreamEvent():
                self.over = True
                return self._lines(*self.history.finish())
            case RealtimeModelSessionEvent() | RealtimeModelToolCallEvent() | RealtimeModelRawServerEvent():
                pass
        return []

    # Responses -------------------------------------------------------------------------------------

    def _turn(
        self, event: RealtimeModelTurnStartedEvent | RealtimeModelTurnEndedEvent, agent: RealtimeAgent[Any]
    ) -> Events:
        info, response_id = self._info, event.response_id
        if isinstance(event, RealtimeModelTurnStartedEvent):
            self._begin(response_id, agent, aside=event.out_of_band)
            return [
                RealtimeResponseStarted(response_id=response_id, info=info),
                RealtimeAgentStartEvent(agent=agent, info=info),
            ]
        who = self._running.pop(response_id, agent)
        self._over.add(response_id)
        happened: Events = []
        if event.status == "cancelled":
            happened += self._lines(*self.history.interrupt(response_id))
        if response_id not in self._playing and event.status in ("cancelled", "failed"):
            self._audible.pop(response_id, None)  # it never came to be heard
        happened.append(
            RealtimeResponseEnded(
                response_id=response_id,
                status=event.status,
                reason=event.reason,
                error_message=event.error_message,
                usage=event.usage,
                info=info,
            )
        )
        happened.append(RealtimeAgentEndEvent(agent=who, info=info))
        return happened

    def _begin(self, response_id: ResponseId, agent: RealtimeAgent[Any], *, aside: bool) -> None:
        if aside:
            self._aside.add(response_id)
        else:
            # The conversation runs one response at a time: the end of an older one was missed.
            self._running = {each: who for each, who in self._running.items() if each in self._aside}
        self._running[response_id] = agent

    def _notice_response(self, event: RealtimeModelEvent, agent: RealtimeAgent[Any]) -> None:
        """Whatever a response does shows that it runs, although its beginning was missed."""
        match event:
            case (
                RealtimeModelTranscriptDeltaEvent(response_id=response_id)
                | RealtimeModelTranscriptDoneEvent(response_id=response_id)
                | RealtimeModelItemUpdatedEvent(response_id=response_id)
                | RealtimeModelToolCallEvent(response_id=response_id)
            ):
                if response_id is not None and response_id not in self._over:
                    self._running.setdefault(response_id, agent)
            case _:
                pass

    def _playback(self, event: RealtimeModelPlaybackEvent) -> Events:
        info, response_id = self._info, event.response_id
        match event.change:
            case "started":
                self._audible[response_id] = None
                self._playing.add(response_id)
                self._played.discard(response_id)  # it may have run dry, and go on now
                # One after the other: whatever was to be heard before this one was, though nobody said so.
                for earlier in list(self._audible):
                    if earlier == response_id:
                        break
                    self._heard(earlier)
                return [RealtimeAgentSpeechStarted(response_id=response_id, info=info)]
            case "stopped":
                self._heard(response_id)
                return [RealtimeAgentSpeechStopped(response_id=response_id, info=info)]
            case "cleared":
                # An output buffer that had run empty can be cleared too; then everything was heard.
                was_heard = response_id in self._played
                self._heard(response_id)
                cut = [] if was_heard else self.history.interrupt(response_id)
                return [RealtimeAgentSpeechCleared(response_id=response_id, info=info), *self._lines(*cut)]

    def _heard(self, response_id: ResponseId) -> None:
        self._audible.pop(response_id, None)
        self._playing.discard(response_id)
        self._played.add(response_id)

    def _expect_speech(self, response_id: ResponseId) -> None:
        """The response has words; the server will play them, unless the audio comes over the socket."""
        if response_id in self._running and response_id not in self._played and not self._audio_over_socket:
            self._audible.setdefault(response_id)

    def _audio(
        self,
        event: RealtimeModelAudioDoneEvent | RealtimeModelAudioInterruptedEvent,
    ) -> Events:
        where: dict[str, Any] = {
            "item_id": event.item_id,
            "content_index": event.content_index,
            "info": self._info,
        }
        match event:
            case RealtimeModelAudioDoneEvent():
                if event.response_id is not None:
                    self._expect_speech(event.response_id)
                return [RealtimeAudioEnd(**where)]
            case RealtimeModelAudioInterruptedEvent():
                return [RealtimeAudioInterrupted(**where), *self._lines(self.history.cut(event.item_id))]

    def _connection(self, event: RealtimeModelConnectionStatusEvent) -> Events:
        match event.status:
            case "lost":
                return [RealtimeConnectionLost(close_code=event.close_code, info=self._info)]
            case "connected" if event.reattached:
                # A response that ended meanwhile will never be reported; one that did not shows itself again.
                # Speech that was playing may well be playing on, and a goodbye must not be cut.
                self._running.clear()
                return [RealtimeConnectionRestored(info=self._info)]
            case "disconnected":
                self.ended = event
            case "connecting" | "connected":
                pass
        return []

    # Items and words -------------------------------------------------------------------------------

    def _item(
        self,
        event: RealtimeModelItemUpdatedEvent
        | RealtimeModelItemPlacedEvent
        | RealtimeModelItemDeletedEvent
        | RealtimeModelItemTruncatedEvent,
    ) -> Events:
        match event:
            case RealtimeModelItemUpdatedEvent(item=item):
                if event.response_id is not None and _is_spoken(item):
                    self._expect_speech(event.response_id)
                change = self.history.update(item, placed=event.placed, response_id=event.response_id)
                if change == "same":
                    return []
                known = self.history.get(item.item_id)
                assert known is not None, "it was just put there"
                line = self.history.line_of(item.item_id)
                first: Events = (
                    [RealtimeHistoryAdded(item=known, info=self._info)]
                    if change == "added"
                    else self._updated()
                )
                return first + self._lines(line)
            case RealtimeModelItemPlacedEvent(item_id=item_id, previous_item_id=previous):
                self.history.place(item_id, previous)
                return []
            case RealtimeModelItemDeletedEvent(item_id=item_id):
                return self._updated() if self.history.delete(item_id) else []
            case RealtimeModelItemTruncatedEvent(item_id=item_id):
                return self._lines(self.history.cut(item_id))

    def _caller_words(
        self,
        event: RealtimeModelInputAudioTranscriptionDeltaEvent
        | RealtimeModelInputAudioTranscriptionCompletedEvent
        | RealtimeModelInputAudioTranscriptionFailedEvent,
    ) -> Events:
        info, item_id = self._info, event.item_id
        match event:
            case RealtimeModelInputAudioTranscriptionDeltaEvent(delta=delta):
                self.history.hears(item_id, delta)
                return [RealtimeTranscriptDelta(role="caller", item_id=item_id, delta=delta, info=info)]
            case RealtimeModelInputAudioTranscriptionFailedEvent(message=message):
                return [RealtimeTranscriptionFailed(item_id=item_id, message=message, info=info)]
            case RealtimeModelInputAudioTranscriptionCompletedEvent(transcript=transcript, usage=usage):
                happened = self._lines(self.history.heard(item_id, transcript)) + self._updated()
                if usage is not None:
                    happened.append(RealtimeTranscriptionUsage(item_id=item_id, usage=usage, info=info))
                return happened

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


def _is_spoken(item: RealtimeItem) -> bool:
    return isinstance(item, AssistantMessageItem) and any(
        isinstance(part, AssistantAudio) for part in item.content
    )
