"""Messages of the server become values; the unknown and the broken become values too."""

from __future__ import annotations

import json
from typing import Any, get_args, get_origin

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.realtime import RealtimeServerEvent

from sipagent.identifiers import ItemId
from sipagent.realtime import (
    RateLimit,
    RealtimeModelErrorEvent,
    RealtimeModelInputAudioTranscriptionCompletedEvent,
    RealtimeModelItemUpdatedEvent,
    RealtimeModelOtherEvent,
    RealtimeModelToolCallEvent,
    RealtimeModelTranscriptDeltaEvent,
    RealtimeModelTurnEndedEvent,
    RealtimeModelTurnStartedEvent,
    RealtimeModelUsageEvent,
    ResponseUsage,
    TranscriptionUsage,
)
from sipagent.realtime.events import (
    RealtimeModelAudioDoneEvent,
    RealtimeModelAudioEvent,
    RealtimeModelCallerSpeechStartedEvent,
    RealtimeModelCallerSpeechStoppedEvent,
    RealtimeModelDtmfEvent,
    RealtimeModelEvent,
    RealtimeModelInputAudioTimeoutTriggeredEvent,
    RealtimeModelInputAudioTranscriptionDeltaEvent,
    RealtimeModelInputAudioTranscriptionFailedEvent,
    RealtimeModelItemDeletedEvent,
    RealtimeModelItemPlacedEvent,
    RealtimeModelItemTruncatedEvent,
    RealtimeModelOutputTextDeltaEvent,
    RealtimeModelPlaybackEvent,
    RealtimeModelRateLimitsEvent,
    RealtimeModelSessionEvent,
    RealtimeModelTranscriptDoneEvent,
)
from sipagent.realtime.items import AssistantAudio, AssistantMessageItem, RealtimeToolCallItem
from sipagent.realtime.wire import parse_message, parse_text
from tests.realtime import messages


def documented_types() -> list[str]:
    union = RealtimeServerEvent
    if get_origin(union) is not None and hasattr(union, "__metadata__"):
        union = get_args(union)[0]
    return [get_args(each.model_fields["type"].annotation)[0] for each in get_args(union)]


TYPES = documented_types()


def only(message: dict[str, Any]) -> Any:
    (event,) = parse_message(message)
    return event


def test_the_documented_types_are_all_there() -> None:
    assert len(TYPES) >= 46
    assert "response.done" in TYPES


@pytest.mark.parametrize("event_type", TYPES)
def test_every_documented_type_is_known(event_type: str) -> None:
    events = parse_message({"type": event_type})
    unknown = [event for event in events if isinstance(event, RealtimeModelOtherEvent) and not event.problem]
    assert unknown == []


# Frames ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ['{"type": "x"}', b'{"type": "x"}'])
def test_an_object_is_read(text: str | bytes) -> None:
    assert parse_text(text) == {"type": "x"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [("nonsense", "nonsense"), ("[1]", "[1]"), (b"\xff\xfe", "\ufffd\ufffd"), ("7" * 9000, "7" * 200)],
)
def test_what_is_no_object_is_shown_and_no_more_of_it_than_helps(text: str | bytes, shown: str) -> None:
    assert parse_text(text) == shown
    (event,) = parse_message(parse_text(text))
    assert isinstance(event, RealtimeModelOtherEvent)
    assert (event.data, event.problem) == (shown, "the message is no JSON object")


# Every kind of message ------------------------------------------------------------------------------


def test_the_session_in_force() -> None:
    event = only(messages.session_created())
    assert event == RealtimeModelSessionEvent(
        created=True,
        session_id="sess_1",
        model="gpt-realtime-2.1",
        voice="marin",
        input_format="audio/pcm",
        output_format="audio/pcm",
        interrupt_response=True,
        create_response=True,
    )
    bare = only({"type": "session.updated", "session": {"audio": {"input": {"turn_detection": None}}}})
    assert (bare.created, bare.interrupt_response, bare.output_format) == (False, None, None)
    own = only(messages.session_created(voice={"id": "voice_1"}))
    assert own.voice == "voice_1"


def test_the_beginning_of_a_response() -> None:
    assert only(messages.response_created()) == RealtimeModelTurnStartedEvent(response_id="resp_1")  # type: ignore[arg-type]
    assert only(messages.response_created(conversation_id=None)).out_of_band
    silent = messages.response_created()
    del silent["response"]["conversation_id"]
    assert not only(silent).out_of_band


@pytest.mark.parametrize(
    ("status", "details", "reason", "message"),
    [
        ("completed", None, None, None),
        ("cancelled", {"reason": "turn_detected"}, "turn_detected", None),
        ("incomplete", {"reason": "max_output_tokens"}, "max_output_tokens", None),
        (
            "failed",
            {"error": {"code": "rate_limit_exceeded", "message": "Slow down."}},
            "rate_limit_exceeded",
            "Slow down.",
        ),
        ("failed", {"error": None}, None, None),
    ],
)
def test_the_end_of_a_response(status: str, details: Any, reason: str | None, message: str | None) -> None:
    event = only(messages.response_done(status=status, status_details=details))
    assert isinstance(event, RealtimeModelTurnEndedEvent)
    assert (event.status, event.reason, event.error_message) == (status, reason, message)


def test_a_status_we_do_not_know_is_unknown() -> None:
    assert only(messages.response_done(status="in_future")).status == "unknown"


def test_what_a_response_consumed_comes_right_before_its_end() -> None:
    usage = {
        "total_tokens": 253,
        "input_tokens": 132,
        "output_tokens": 121,
        "input_token_details": {
            "text_tokens": 119,
            "audio_tokens": 13,
            "image_tokens": 0,
            "cached_tokens": 64,
            "cached_tokens_details": {"text_tokens": 60, "audio_tokens": 4, "image_tokens": 0},
        },
        "output_token_details": {"text_tokens": 30, "audio_tokens": 91, "reasoning_tokens": 5},
    }
    used, ended = parse_message(messages.response_done(usage=usage))
    expected = ResponseUsage(
        input_tokens=132,
        output_tokens=121,
        total_tokens=253,
        input_text_tokens=119,
        input_audio_tokens=13,
        cached_tokens=64,
        cached_text_tokens=60,
        cached_audio_tokens=4,
        output_text_tokens=30,
        output_audio_tokens=91,
        reasoning_tokens=5,
    )
    assert isinstance(used, RealtimeModelUsageEvent)
    assert isinstance(ended, RealtimeModelTurnEndedEvent)
    assert used.usage == ended.usage == expected


def test_counts_that_are_left_out_are_none_of_them_guessed() -> None:
    used, _ = parse_message(messages.response_done(usage={"input_tokens": 5, "output_tokens": 7}))
    assert isinstance(used, RealtimeModelUsageEvent)
    assert used.usage == ResponseUsage(input_tokens=5, output_tokens=7, total_tokens=12)


def test_a_tool_call_comes_with_its_completed_item() -> None:
    item = messages.function_call("look_up", "call_1", '{"x": 1}')
    updated, called = parse_message(messages.output_item_done(item))
    assert isinstance(updated, RealtimeModelItemUpdatedEvent)
    assert isinstance(updated.item, RealtimeToolCallItem)
    assert called == RealtimeModelToolCallEvent(
        name="look_up",
        call_id="call_1",  # type: ignore[arg-type]
        arguments='{"x": 1}',
        id="item_call_1",  # type: ignore[arg-type]
        response_id="resp_1",  # type: ignore[arg-type]
    )
    for status in ("in_progress", "incomplete"):
        assert len(parse_message(messages.output_item_done({**item, "status": status}))) == 1
    assert len(parse_message({**messages.output_item_done(item), "type": "response.output_item.added"})) == 1


def test_a_tool_call_that_cannot_be_answered_is_reported_as_broken() -> None:
    event = only(messages.output_item_done(messages.function_call("look_up", "")))
    assert isinstance(event, RealtimeModelOtherEvent)
    assert "call_id" in str(event.problem)


def test_the_end_of_a_response_repeats_its_output_but_never_hides_the_end() -> None:
    output = [
        messages.assistant_message("item_1", "One moment."),
        messages.function_call("look_up", "call_1"),
        {"type": "function_call", "id": 5, "name": "x", "call_id": "y", "status": "completed"},
        messages.function_call("", "call_2"),
        {"type": "reasoning", "id": "item_3"},
    ]
    events = parse_message(messages.response_done(output=output))
    assert [event.type for event in events] == [
        "item_updated",
        "item_updated",
        "function_call",
        "item_updated",
        "turn_ended",
    ]


def test_items_know_their_predecessor_only_where_the_server_tells() -> None:
    told = only(messages.item_added(messages.user_message("item_2"), "item_1"))
    first = only(messages.item_added(messages.user_message("item_1"), None))
    silent = messages.item_added(messages.user_message("item_1"), None)
    del silent["previous_item_id"]
    assert (told.placed, told.item.previous_item_id) == (True, "item_1")
    assert (first.placed, first.item.previous_item_id) == (True, None)
    assert not only(silent).placed


def test_an_item_being_made_says_so() -> None:
    raw = {"id": "item_1", "type": "message", "role": "assistant", "content": []}
    added = only({"type": "response.output_item.added", "response_id": "resp_1", "item": raw})
    done = only(messages.output_item_done(messages.assistant_message("item_1", "Hello")))
    assert (added.item.status, added.response_id) == ("in_progress", "resp_1")
    assert done.item == AssistantMessageItem(
        item_id="item_1",  # type: ignore[arg-type]
        content=(AssistantAudio(transcript="Hello"),),
        status="completed",
    )


def test_items_of_kinds_that_no_history_holds_say_only_where_they_stand() -> None:
    answer = {"type": "function_call_output", "id": "item_2"}
    for previous in ("item_1", None):
        (event,) = parse_message(messages.item_added(answer, previous))
        assert event == RealtimeModelItemPlacedEvent(
            item_id=ItemId("item_2"), previous_item_id=None if previous is None else ItemId(previous)
        )
    assert parse_message({"type": "conversation.item.added", "item": answer}) == ()
    assert parse_message(messages.item_added({"type": "reasoning"}, None)) == ()


SMALL: list[tuple[dict[str, Any], Any]] = [
    (
        {"type": "error", "error": {"message": "No.", "code": None}},
        RealtimeModelErrorEvent(error={"message": "No.", "code": None}),
    ),
    (
        {
            "type": "rate_limits.updated",
            "rate_limits": [{"name": "tokens", "limit": 10, "remaining": 9, "reset_seconds": 0.5}],
        },
        RealtimeModelRateLimitsEvent(
            rate_limits=(RateLimit(name="tokens", limit=10, remaining=9, reset_s=0.5),)
        ),
    ),
    (
        {"type": "conversation.item.deleted", "item_id": "i"},
        RealtimeModelItemDeletedEvent(item_id="i"),  # type: ignore[arg-type]
    ),
    (
        {"type": "conversation.item.truncated", "item_id": "i", "content_index": 0, "audio_end_ms": 900},
        RealtimeModelItemTruncatedEvent(item_id="i", audio_end_ms=900),  # type: ignore[arg-type]
    ),
    (
        {"type": "input_audio_buffer.committed", "item_id": "i", "previous_item_id": "h"},
        RealtimeModelItemPlacedEvent(item_id="i", previous_item_id="h"),  # type: ignore[arg-type]
    ),
    (
        {"type": "input_audio_buffer.speech_started", "item_id": "i", "audio_start_ms": 1.0},
        RealtimeModelCallerSpeechStartedEvent(item_id="i", audio_start_ms=1),  # type: ignore[arg-type]
    ),
    (
        {"type": "input_audio_buffer.speech_stopped", "item_id": "i", "audio_end_ms": 7},
        RealtimeModelCallerSpeechStoppedEvent(item_id="i", audio_end_ms=7),  # type: ignore[arg-type]
    ),
    (
        {
            "type": "input_audio_buffer.timeout_triggered",
            "item_id": "i",
            "audio_start_ms": 1,
            "audio_end_ms": 2,
        },
        RealtimeModelInputAudioTimeoutTriggeredEvent(
            item_id="i",  # type: ignore[arg-type]
            audio_start_ms=1,
            audio_end_ms=2,
        ),
    ),
    (
        {"type": "input_audio_buffer.dtmf_event_received", "event": "#", "received_at": 1763000000},
        RealtimeModelDtmfEvent(digit="#", received_at=1763000000.0),
    ),
    (
        {"type": "output_audio_buffer.started", "response_id": "r"},
        RealtimeModelPlaybackEvent(change="started", response_id="r"),  # type: ignore[arg-type]
    ),
    (
        {"type": "output_audio_buffer.stopped", "response_id": "r"},
        RealtimeModelPlaybackEvent(change="stopped", response_id="r"),  # type: ignore[arg-type]
    ),
    (
        {"type": "output_audio_buffer.cleared", "response_id": "r"},
        RealtimeModelPlaybackEvent(change="cleared", response_id="r"),  # type: ignore[arg-type]
    ),
    (
        {**messages.transcript_delta("Hi"), "content_index": 1},
        RealtimeModelTranscriptDeltaEvent(
            item_id="item_1",  # type: ignore[arg-type]
            delta="Hi",
            response_id="resp_1",  # type: ignore[arg-type]
            content_index=1,
        ),
    ),
    (
        {
            "type": "response.output_audio_transcript.done",
            "response_id": "r",
            "item_id": "i",
            "transcript": "Hi.",
        },
        RealtimeModelTranscriptDoneEvent(item_id="i", transcript="Hi.", response_id="r"),  # type: ignore[arg-type]
    ),
    (
        {"type": "response.output_text.delta", "response_id": "r", "item_id": "i", "delta": "Hi"},
        RealtimeModelOutputTextDeltaEvent(item_id="i", delta="Hi", response_id="r"),  # type: ignore[arg-type]
    ),
    (
        messages.audio_delta("AQI="),
        RealtimeModelAudioEvent(data=b"\x01\x02", response_id="resp_1", item_id="item_1", content_index=0),  # type: ignore[arg-type]
    ),
    (
        {"type": "response.output_audio.done", "response_id": "r", "item_id": "i", "content_index": 2},
        RealtimeModelAudioDoneEvent(item_id="i", content_index=2, response_id="r"),  # type: ignore[arg-type]
    ),
]


@pytest.mark.parametrize(
    ("message", "event"), SMALL, ids=lambda value: value.get("type") if isinstance(value, dict) else ""
)
def test_small_messages(message: dict[str, Any], event: RealtimeModelEvent) -> None:
    assert parse_message(message) == (event,)


WORDS = "conversation.item.input_audio_transcription."


def test_what_the_caller_said() -> None:
    usage = {
        "type": "tokens",
        "total_tokens": 26,
        "input_tokens": 17,
        "output_tokens": 9,
        "input_token_details": {"text_tokens": 0, "audio_tokens": 17},
    }
    event = only({"type": WORDS + "completed", "item_id": "i", "transcript": "Hi.", "usage": usage})
    assert event == RealtimeModelInputAudioTranscriptionCompletedEvent(
        item_id="i",  # type: ignore[arg-type]
        transcript="Hi.",
        usage=TranscriptionUsage(input_tokens=17, output_tokens=9, total_tokens=26, input_audio_tokens=17),
    )
    by_time = {"type": "duration", "seconds": 1.5}
    timed = only({"type": WORDS + "completed", "item_id": "i", "transcript": "Hi.", "usage": by_time})
    assert timed.usage == TranscriptionUsage(duration_s=1.5)
    assert only({"type": WORDS + "completed", "item_id": "i", "transcript": ""}).usage is None


def test_what_the_caller_is_saying() -> None:
    delta = only({"type": WORDS + "delta", "item_id": "i", "delta": "H"})
    assert delta == RealtimeModelInputAudioTranscriptionDeltaEvent(item_id="i", delta="H")  # type: ignore[arg-type]
    assert parse_message({"type": WORDS + "delta", "item_id": "i"}) == ()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ({"message": "No access.", "code": "forbidden"}, "No access."),
        ({"code": "x"}, "x"),
        (None, "no reason was given"),
    ],
)
def test_what_the_caller_said_may_stay_unknown(error: Any, words: str) -> None:
    event = only({"type": WORDS + "failed", "item_id": "i", "error": error})
    assert event == RealtimeModelInputAudioTranscriptionFailedEvent(item_id="i", message=words)  # type: ignore[arg-type]


# Whatever comes -------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = [
    "item_id",
    "response_id",
    "delta",
    "transcript",
    "item",
    "previous_item_id",
    "usage",
    "error",
    "session",
    "response",
    "rate_limits",
    "event",
    "received_at",
    "audio_start_ms",
    "audio_end_ms",
    "content_index",
]
PARTS = [
    "id",
    "type",
    "role",
    "status",
    "content",
    "call_id",
    "name",
    "arguments",
    "output",
    "usage",
    "status_details",
    "conversation_id",
    "audio",
    "input",
    "format",
    "turn_detection",
    "voice",
    "code",
    "message",
    "event_id",
    "input_token_details",
    "text",
    "image_url",
]
DEEP = st.dictionaries(
    st.sampled_from(PARTS), JSON | st.sampled_from(["message", "function_call", "user"]), max_size=6
)


@given(
    st.sampled_from(TYPES),
    st.dictionaries(st.sampled_from(FIELDS), JSON | DEEP | st.lists(DEEP, max_size=2), max_size=6),
)
def test_nothing_raises_whatever_the_fields_hold(event_type: str, fields: dict[str, Any]) -> None:
    events = parse_message({"type": event_type, **fields})
    assert isinstance(events, tuple)
    for event in events:
        hash(type(event))
        assert isinstance(event, get_args(RealtimeModelEvent))


@given(st.text() | st.binary() | JSON.map(json.dumps))
def test_nothing_raises_whatever_the_frame_holds(text: str | bytes) -> None:
    assert isinstance(parse_message(parse_text(text)), tuple)


@pytest.mark.parametrize("text", ['{"type":"x"}', ' {"type":"x"}\n', b'{"type":"x"}', b' {"type":"x"} '])
def test_space_around_a_message_means_nothing(text: str | bytes) -> None:
    assert parse_text(text) == {"type": "x"}


@pytest.mark.parametrize("text", ['{"type":"x"} {"type":"y"}', "", b"", "{", '"x"', "[]"])
def test_a_frame_that_is_no_single_object_is_shown_as_it_is(text: str | bytes) -> None:
    assert parse_text(text) == (text.decode() if isinstance(text, bytes) else text)
