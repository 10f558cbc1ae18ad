"""What those events of a model mean in a session that mean the same whatever came before. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from sipagent.realtime.events import (
    RealtimeModelCallerSpeechStartedEvent,
    RealtimeModelCallerSpeechStoppedEvent,
    RealtimeModelDtmfEvent,
    RealtimeModelEvent,
    RealtimeModelExceptionEvent,
    RealtimeModelInputAudioTimeoutTriggeredEvent,
    RealtimeModelInputAudioTranscriptionFailedEvent,
    RealtimeModelOtherEvent,
    RealtimeModelRateLimitsEvent,
    RealtimeModelRawServerEvent,
    RealtimeModelResponseRequestedEvent,
    RealtimeModelSessionEvent,
)
from sipagent.realtime.session_events import (
    RealtimeCallerSpeechStarted,
    RealtimeCallerSpeechStopped,
    RealtimeDtmfReceived,
    RealtimeError,
    RealtimeEventInfo,
    RealtimeInputAudioTimeoutTriggered,
    RealtimeRateLimitsUpdated,
    RealtimeResponseRequested,
    RealtimeSessionEvent,
    RealtimeTranscriptionFailed,
    RealtimeUnknownEvent,
)


def plainly(event: RealtimeModelEvent, info: RealtimeEventInfo) -> list[RealtimeSessionEvent]:
    """What ``event`` means; nothing for one that `PLAIN` does not name."""
    meaning = PLAIN.get(type(event))
    return [] if meaning is None else [meaning(event, info)]


def _requested(event: RealtimeModelResponseRequestedEvent, info: RealtimeEventInfo) -> RealtimeSessionEvent:
    return RealtimeResponseRequested(info=info)


def _caller_started(
    event: RealtimeModelCallerSpeechStartedEvent, info: RealtimeEventInfo
) -> RealtimeSessionEvent:
    return RealtimeCallerSpeechStarted(item_id=event.item_id, audio_start_ms=event.audio_start_ms, info=info)


def _caller_stopped(
    event: RealtimeModelCallerSpeechStoppedEvent, info: RealtimeEventInfo
) -> RealtimeSessionEvent:
    return RealtimeCallerSpeechStopped(item_id=event.item_id, audio_end_ms=event.audio_end_ms, info=info)


def _nobody_spoke(
    event: RealtimeModelInputAudioTimeoutTriggeredEvent, info: RealtimeEventInfo
) -> RealtimeSessionEvent:
    return RealtimeInputAudioTimeoutTriggered(
        item_id=event.item_id,
        audio_start_ms=event.audio_start_ms,
        audio_end_ms=event.audio_end_ms,
        info=info,
    )


def _key(event: RealtimeModelDtmfEvent, info: RealtimeEventInfo) -> RealtimeSessionEvent:
    return RealtimeDtmfReceived(digit=event.digit, received_at=event.received_at, info=info)


def _not_transcribed(
    event: RealtimeModelInputAudioTranscriptionFailedEvent, info: RealtimeEventInfo
) -> RealtimeSessionEvent:
    return RealtimeTranscriptionFailed(item_id=event.item_id, message=event.message, info=info)


def _rate_limits(event: RealtimeModelRateLimitsEvent, info: RealtimeEventInfo) -> RealtimeSessionEvent:
    return RealtimeRateLimitsUpdated(rate_limits=event.rate_limits, info=info)


def _exception(event: RealtimeModelExceptionEvent, info: RealtimeEventInfo) -> RealtimeSessionEvent:
    return RealtimeError(error=event.exception, info=info)


def _unknown(event: RealtimeModelOtherEvent, info: RealtimeEventInfo) -> RealtimeSessionEvent:
    return RealtimeUnknownEvent(event_type=event.event_type, raw=event.data, info=info)


PLAIN: Final[Mapping[type[Any], Callable[[Any, RealtimeEventInfo], RealtimeSessionEvent]]] = {
    RealtimeModelResponseRequestedEvent: _requested,
    RealtimeModelCallerSpeechStartedEvent: _caller_started,
    RealtimeModelCallerSpeechStoppedEvent: _caller_stopped,
    RealtimeModelInputAudioTimeoutTriggeredEvent: _nobody_spoke,
    RealtimeModelDtmfEvent: _key,
    RealtimeModelInputAudioTranscriptionFailedEvent: _not_transcribed,
    RealtimeModelRateLimitsEvent: _rate_limits,
    RealtimeModelExceptionEvent: _exception,
    RealtimeModelOtherEvent: _unknown,
}
UNTOLD: Final = frozenset({RealtimeModelSessionEvent, RealtimeModelRawServerEvent})
"""What a model reports and means nothing to a session: with this table and that of `translation`, everything
there is."""
