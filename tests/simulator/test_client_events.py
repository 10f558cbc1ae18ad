"""What a client may send, and the error each mistake is answered with."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.simulator.client_events import (
    MAX_APPEND_BYTES,
    ClientEventError,
    InputAppend,
    ItemTruncate,
    ResponseCreate,
    SessionUpdate,
    parse_client_event,
)

TEXT_ITEM = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}


def refused(event: Any) -> tuple[str, str]:
    text = event if isinstance(event, str) else json.dumps(event)
    with pytest.raises(ClientEventError) as caught:
        parse_client_event(text)
    return caught.value.problem.code, caught.value.problem.param


def test_events_become_values() -> None:
    update = parse_client_event(
        '{"type": "session.update", "session": {"type": "realtime"}, "event_id": "e"}'
    )
    assert update == SessionUpdate(event_id="e", session={"type": "realtime"})
    assert parse_client_event('{"type": "response.create"}') == ResponseCreate(event_id=None, response={})
    truncate = {"type": "conversation.item.truncate", "item_id": "i", "content_index": 0, "audio_end_ms": 7}
    assert parse_client_event(json.dumps(truncate)) == ItemTruncate(
        event_id=None, item_id="i", content_index=0, audio_end_ms=7
    )
    append = {"type": "input_audio_buffer.append", "audio": base64.b64encode(b"abc").decode()}
    assert parse_client_event(json.dumps(append)) == InputAppend(event_id=None, audio=b"abc")


@pytest.mark.parametrize(
    ("event", "code", "param"),
    [
        ("{", "invalid_event", ""),
        ("[]", "invalid_event", ""),
        ({}, "missing_required_parameter", "type"),
        ({"type": 3}, "invalid_type", "type"),
        ({"type": "response.dance"}, "invalid_value", "type"),
        ({"type": "conversation.item.delete"}, "missing_required_parameter", "item_id"),
        ({"type": "conversation.item.retrieve", "item_id": 5}, "invalid_type", "item_id"),
        (
            {"type": "conversation.item.truncate", "item_id": "i", "content_index": 0, "audio_end_ms": -1},
            "invalid_type",
            "audio_end_ms",
        ),
        (
            {"type": "conversation.item.truncate", "item_id": "i", "content_index": True, "audio_end_ms": 1},
            "invalid_type",
            "content_index",
        ),
        ({"type": "conversation.item.create"}, "missing_required_parameter", "item"),
        ({"type": "conversation.item.create", "item": {"type": "picture"}}, "invalid_value", "item.type"),
        (
            {"type": "conversation.item.create", "item": {**TEXT_ITEM, "role": "boss"}},
            "invalid_value",
            "item.role",
        ),
        (
            {"type": "conversation.item.create", "item": {**TEXT_ITEM, "mood": "good"}},
            "unknown_parameter",
            "item.mood",
        ),
        (
            {"type": "conversation.item.create", "item": {"type": "function_call_output", "call_id": "c"}},
            "missing_required_parameter",
            "item.output",
        ),
        ({"type": "response.create", "response": []}, "invalid_value", "response"),
        (
            {"type": "response.create", "response": {"temperature": 1}},
            "unknown_parameter",
            "response.temperature",
        ),
        (
            {"type": "response.create", "response": {"output_modalities": ["audio", "text"]}},
            "invalid_value",
            "response.output_modalities",
        ),
        (
            {"type": "response.create", "response": {"input": [TEXT_ITEM, {"type": "item_reference"}]}},
            "missing_required_parameter",
            "response.input[1].id",
        ),
        (
            {"type": "response.create", "response": {"metadata": {"k" * 65: "v"}}},
            "invalid_value",
            "response.metadata",
        ),
        ({"type": "input_audio_buffer.append", "audio": "not base64!"}, "invalid_value", "audio"),
    ],
)
def test_mistakes_are_named(event: Any, code: str, param: str) -> None:
    assert refused(event) == (code, param)


def test_the_clients_event_id_comes_back() -> None:
    with pytest.raises(ClientEventError) as caught:
        parse_client_event('{"type": "response.dance", "event_id": "mine"}')
    assert caught.value.event_id == "mine"


def test_one_append_has_a_largest_size() -> None:
    audio = base64.b64encode(bytes(MAX_APPEND_BYTES + 1)).decode()
    assert refused({"type": "input_audio_buffer.append", "audio": audio}) == ("invalid_value", "audio")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
TYPES = st.sampled_from(
    ["response.create", "conversation.item.create", "conversation.item.truncate", "session.update", "x"]
)


@given(
    kind=TYPES,
    fields=st.dictionaries(st.sampled_from(["item", "response", "item_id", "audio_end_ms"]), JSON),
)
def test_nothing_but_our_error_ever_comes_out(kind: str, fields: dict[str, Any]) -> None:
    try:
        parse_client_event(json.dumps({"type": kind, **fields}))
    except ClientEventError as error:
        said = f"{error.problem.code}: {error.problem.message}"
    else:
        said = "well done"
    assert len(said) > 2
