"""Events that mean the same whatever came before."""

from __future__ import annotations

from typing import get_args

from sipagent.identifiers import ItemId
from sipagent.realtime import RealtimeModelEvent, RunContextWrapper, translation
from sipagent.realtime.events import (
    RealtimeModelCallerSpeechStartedEvent,
    RealtimeModelDtmfEvent,
    RealtimeModelInputAudioTranscriptionFailedEvent,
    RealtimeModelOtherEvent,
    RealtimeModelSessionEvent,
)
from sipagent.realtime.plain_meanings import PLAIN, UNTOLD, plainly
from sipagent.realtime.session_events import (
    RealtimeCallerSpeechStarted,
    RealtimeDtmfReceived,
    RealtimeEventInfo,
    RealtimeTranscriptionFailed,
    RealtimeUnknownEvent,
)

INFO = RealtimeEventInfo(context=RunContextWrapper(None))


def test_every_event_of_a_model_is_read_once_or_means_nothing() -> None:
    readings = [*PLAIN, *translation._READINGS, *UNTOLD]
    assert set(readings) == set(get_args(RealtimeModelEvent))
    assert len(readings) == len(set(readings))


def test_what_is_said_is_what_was_reported() -> None:
    item_id = ItemId("item_1")
    started = RealtimeModelCallerSpeechStartedEvent(item_id=item_id, audio_start_ms=40)
    assert plainly(started, INFO) == [
        RealtimeCallerSpeechStarted(item_id=item_id, audio_start_ms=40, info=INFO)
    ]
    key = RealtimeModelDtmfEvent(digit="#", received_at=5.0)
    assert plainly(key, INFO) == [RealtimeDtmfReceived(digit="#", received_at=5.0, info=INFO)]
    failed = RealtimeModelInputAudioTranscriptionFailedEvent(item_id=item_id, message="No access.")
    assert plainly(failed, INFO) == [
        RealtimeTranscriptionFailed(item_id=item_id, message="No access.", info=INFO)
    ]
    other = RealtimeModelOtherEvent(data={"type": "new"}, event_type="new")
    assert plainly(other, INFO) == [RealtimeUnknownEvent(event_type="new", raw={"type": "new"}, info=INFO)]


def test_what_means_nothing_says_nothing() -> None:
    assert plainly(RealtimeModelSessionEvent(created=True), INFO) == []
