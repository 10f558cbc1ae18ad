"""The quick way of reading a message says what the slow and suspicious one says."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.realtime.events import RealtimeModelEvent, RealtimeModelOtherEvent
from sipagent.realtime.wire import parse_message, parse_text
from sipagent.realtime.wire_frequent import read
from tests.bench.recorded import recording
from tests.realtime import messages

RECORDED = {
    kind: json.loads(text)
    for call in (recording("a call", turns=2, audio_deltas_per_word=1),)
    for kind, text in zip(call.kinds, call.messages, strict=True)
}
"""One message of each type, the latest."""
CALL = messages.function_call("book", "call_1", '{"day":"Monday"}')
WRITTEN = messages.assistant_message("item_2", None) | {"content": [{"type": "output_text", "text": "Yes."}]}
TYPED = messages.user_message("item_3") | {"content": [{"type": "input_text", "text": "Hello."}]}
DETAILS = {"reason": "turn_detected", "error": {"code": "too_much", "message": "Slow down."}}
TOKENS = {
    "type": "tokens",
    "total_tokens": 5,
    "input_tokens": 3,
    "output_tokens": 2,
    "input_token_details": {"text_tokens": 1, "audio_tokens": 2},
}
HEARD = "conversation.item.input_audio_transcription.completed"
MESSAGES: list[dict[str, Any]] = [
    *RECORDED.values(),
    messages.output_item_done(CALL),
    messages.output_item_done(WRITTEN),
    messages.item_added(CALL, "item_0"),
    messages.item_added(TYPED, None),
    messages.response_created(conversation_id=None),
    messages.response_done(status="failed", status_details=DETAILS, output=[CALL, WRITTEN]),
    messages.playback("cleared"),
    {"type": HEARD, "item_id": "item_3", "content_index": 0, "transcript": "Yes.", "usage": TOKENS},
    {"type": "response.output_text.delta", "item_id": "item_2", "delta": "Y", "response_id": "resp_1"},
    {"type": "response.output_text.done", "item_id": "item_2", "text": "Yes.", "response_id": "resp_1"},
    {"type": "response.function_call_arguments.delta", "item_id": "item_4", "delta": "{"},
    {"type": "response.function_call_arguments.done", "item_id": "item_4", "arguments": "{}"},
]
ODD = st.sampled_from(
    [None, True, False, 0, 3, 3.0, 2.5, -1, 1 << 70, "", "other", "user", "system", "function_call"]
    + ["message", "audio", "input_image", "incomplete", "/w==", "/w=", [], [None], {}, {"type": "input_text"}]
)


def quickly(message: dict[str, Any]) -> tuple[RealtimeModelEvent, ...]:
    said = read(json.dumps(message).encode())
    return said if isinstance(said, tuple) else (said,)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Everything within a message, as who holds it and by which key."""
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from places(value[key])


def kind_of(message: dict[str, Any]) -> str:
    return str(message["type"])


@pytest.mark.parametrize("message", MESSAGES, ids=kind_of)
def test_both_ways_say_the_same(message: dict[str, Any]) -> None:
    said = quickly(message)
    assert said == parse_message(message)
    assert [type(each) for each in said] == [type(each) for each in parse_message(message)]


@pytest.mark.parametrize("message", MESSAGES, ids=kind_of)
def test_the_order_of_fields_does_not_matter(message: dict[str, Any]) -> None:
    assert quickly(dict(reversed(message.items()))) == parse_message(message)


@pytest.mark.parametrize(
    "message", [each for each in MESSAGES if not kind_of(each).startswith("session.")], ids=kind_of
)
def test_messages_of_nearly_every_call_are_read_quickly(
    message: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(_: object) -> tuple[RealtimeModelEvent, ...]:
        raise AssertionError("it was read field by field")

    monkeypatch.setattr("sipagent.realtime.wire_frequent.parse_message", slowly)
    quickly(message)


@given(st.data())
def test_both_ways_say_the_same_of_what_is_out_of_the_ordinary(data: st.DataObject) -> None:
    message = copy.deepcopy(data.draw(st.sampled_from(MESSAGES)))
    for _ in range(data.draw(st.integers(1, 3))):
        found = list(places(message))
        holder, key = found[data.draw(st.integers(0, len(found) - 1))]
        if data.draw(st.booleans()):
            holder[key] = copy.deepcopy(data.draw(ODD))
        elif isinstance(holder, dict):
            del holder[key]
        if not message:
            break
    assert quickly(message) == parse_message(parse_text(json.dumps(message)))


@given(st.binary(max_size=40) | st.sampled_from(MESSAGES).map(lambda each: json.dumps(each).encode()[:-9]))
def test_nothing_raises(text: bytes) -> None:
    said = read(text)
    assert isinstance(said, tuple)
    assert all(isinstance(each, RealtimeModelOtherEvent) for each in said)
