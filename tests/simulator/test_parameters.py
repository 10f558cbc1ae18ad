"""What is wrong with a request, in the API's words."""

from __future__ import annotations

import pytest
from openai.types.realtime import RealtimeSessionCreateRequest

from sipagent.simulator.parameters import check_item, check_response, check_session


def test_a_full_session_of_the_official_types_passes() -> None:
    session = RealtimeSessionCreateRequest.model_validate(
        {
            "type": "realtime",
            "model": "gpt-realtime-2.1",
            "instructions": "Be brief.",
            "output_modalities": ["audio"],
            "audio": {
                "input": {
                    "format": {"type": "audio/pcmu"},
                    "noise_reduction": {"type": "near_field"},
                    "transcription": {"model": "gpt-transcribe", "language": "en"},
                    "turn_detection": {"type": "server_vad", "threshold": 0.4, "idle_timeout_ms": 6000},
                },
                "output": {"format": {"type": "audio/pcmu"}, "voice": {"id": "voice_1"}, "speed": 1.1},
            },
            "tools": [
                {"type": "function", "name": "book", "parameters": {"type": "object", "x-mine": 1}},
                {"type": "mcp", "server_label": "x", "server_url": "https://tools.example"},
            ],
            "tool_choice": {"type": "function", "name": "book"},
            "truncation": {"type": "retention_ratio", "retention_ratio": 0.8},
            "max_output_tokens": "inf",
            "tracing": {"workflow_name": "calls"},
        }
    )
    assert check_session(session.model_dump(exclude_unset=True)) is None


@pytest.mark.parametrize(
    ("session", "param"),
    [
        ({"audio": {"output": {"format": {"type": "audio/pcmu", "bits": 8}}}}, "audio.output.format.bits"),
        ({"tools": [{"type": "function", "name": "a", "colour": "red"}]}, "tools[0].colour"),
        ({"audio": {"input": {"transcription": {"model": "whisper-1", "mood": 1}}}},
         "audio.input.transcription.mood"),
    ],
)  # fmt: skip
def test_unknown_fields_are_named_by_their_path(session: dict[str, object], param: str) -> None:
    problem = check_session({"type": "realtime", **session})
    assert problem is not None
    assert (problem.code, problem.param) == ("unknown_parameter", f"session.{param}")
    assert problem.message == f"Unknown parameter: 'session.{param}'."


def test_the_root_of_paths_can_be_another() -> None:
    problem = check_session({"type": "realtime", "x": 1}, root="body")
    assert problem is not None
    assert problem.param == "body.x"


def test_items_need_their_type_and_role() -> None:
    for item, code, param in (
        (None, "missing_required_parameter", "item"),
        (5, "invalid_value", "item"),
        ({}, "missing_required_parameter", "item.type"),
        ({"type": "message", "content": []}, "missing_required_parameter", "item.role"),
        ({"type": "message", "role": "user"}, "missing_required_parameter", "item.content"),
    ):
        problem = check_item(item)
        assert problem is not None
        assert (problem.code, problem.param) == (code, param)


def test_responses_may_bring_their_own_input() -> None:
    text = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}]}
    assert check_response({"input": [text, {"type": "item_reference", "id": "item_1"}]}) is None
    assert check_response({"conversation": "none", "metadata": {"a": "b"}}) is None
    for entries, param in ((5, "response.input"), ([5], "response.input[0]")):
        problem = check_response({"input": entries})
        assert problem is not None
        assert problem.param == param
