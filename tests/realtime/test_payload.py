"""From settings to the session object, once for the accept request and for every update."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.realtime import RealtimeSessionCreateRequest

from sipagent.errors import UserError
from sipagent.realtime import FunctionTool, RealtimeSessionModelSettings, function_tool
from sipagent.realtime.hosted_mcp import HostedMCPTool
from sipagent.realtime.payload import (
    audio_format_payload,
    check_tool_names,
    session_payload,
    split_tools,
    tool_payloads,
)

PCM = {"type": "audio/pcm", "rate": 24000}
PCMU = {"type": "audio/pcmu"}
PCMA = {"type": "audio/pcma"}


@function_tool
def look_up(day: str) -> str:
    """Look up a day."""
    return day


def payload(settings: RealtimeSessionModelSettings, **options: Any) -> dict[str, Any]:
    return session_payload(settings, **{"default_format": "g711_ulaw", "model": "m", **options})


def test_the_defaults() -> None:
    assert payload({}) == {
        "type": "realtime",
        "model": "m",
        "output_modalities": ["audio"],
        "audio": {
            "input": {
                "format": PCMU,
                "transcription": {"model": "gpt-transcribe"},
                "turn_detection": {"type": "semantic_vad", "interrupt_response": True},
            },
            "output": {"format": PCMU, "voice": "ash"},
        },
        "tools": [],
    }


def test_everything_that_can_be_set_reaches_the_session() -> None:
    made = payload(
        {
            "instructions": "",
            "output_modalities": ["text"],
            "voice": "marin",
            "speed": 1.25,
            "max_output_tokens": 4096,
            "tool_choice": "required",
            "parallel_tool_calls": False,
            "reasoning": {"effort": "low"},
            "tools": [look_up],
            "prompt": {"id": "pmpt_1", "version": "2"},
            "tracing": {"workflow_name": "calls"},
            "truncation": {"retention_ratio": 0.8, "token_limit": 8000},
            "include": ["item.input_audio_transcription.logprobs"],
            "input_audio_noise_reduction": {"type": "far_field"},
            "input_audio_transcription": {
                "model": "gpt-transcribe",
                "languages": ["en"],
                "keywords": ["crown"],
            },
            "turn_detection": {
                "type": "server_vad",
                "threshold": 0.4,
                "prefix_padding_ms": 200,
                "silence_duration_ms": 450,
                "idle_timeout_ms": 8000,
            },
        }
    )
    assert made == {
        "type": "realtime",
        "model": "m",
        "instructions": "",
        "output_modalities": ["text"],
        "audio": {
            "input": {
                "format": PCMU,
                "noise_reduction": {"type": "far_field"},
                "transcription": {"model": "gpt-transcribe", "languages": ["en"], "keywords": ["crown"]},
                "turn_detection": {
                    "type": "server_vad",
                    "threshold": 0.4,
                    "prefix_padding_ms": 200,
                    "silence_duration_ms": 450,
                    "idle_timeout_ms": 8000,
                },
            },
            "output": {"format": PCMU, "voice": "marin", "speed": 1.25},
        },
        "tools": [
            {
                "type": "function",
                "name": "look_up",
                "description": "Look up a day.",
                "parameters": look_up.params_json_schema,
            }
        ],
        "max_output_tokens": 4096,
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "reasoning": {"effort": "low"},
        "include": ["item.input_audio_transcription.logprobs"],
        "prompt": {"id": "pmpt_1", "version": "2"},
        "tracing": {"workflow_name": "calls"},
        "truncation": {
            "type": "retention_ratio",
            "retention_ratio": 0.8,
            "token_limits": {"post_instructions": 8000},
        },
    }
    official = RealtimeSessionCreateRequest.model_validate(made)
    assert official.model_dump(mode="json", exclude_unset=True) == made


@pytest.mark.parametrize(
    ("spelling", "expected"),
    [
        ("pcm16", PCM),
        ("pcm", PCM),
        ("audio/pcm", PCM),
        ("G711_ULAW", PCMU),
        ("pcmu", PCMU),
        ("audio/pcmu", PCMU),
        ("g711_alaw", PCMA),
        ("pcma", PCMA),
        ({"type": "audio/pcma"}, PCMA),
        ({"type": "audio/pcm", "rate": 16000}, PCM),
        ("negotiated", None),
        (None, None),
    ],
)
def test_every_spelling_of_a_format(spelling: Any, expected: dict[str, Any] | None) -> None:
    assert audio_format_payload(spelling) == expected


@pytest.mark.parametrize("spelling", ["mp3", "", 3, {"type": "audio/ogg"}, {"rate": 8000}])
def test_an_unknown_format_is_refused_or_counts_as_none(spelling: Any) -> None:
    if isinstance(spelling, dict) and "type" not in spelling:
        assert audio_format_payload(spelling) is None
        return
    with pytest.raises(UserError, match="is no audio format; use one of pcm16"):
        audio_format_payload(spelling)


@pytest.mark.parametrize("unset", [None, {}])
def test_a_format_is_never_null(unset: Any) -> None:
    made = payload({"audio": {"input": unset, "output": unset}, "input_audio_format": None})
    assert made["audio"]["input"]["format"] == PCMU
    assert made["audio"]["output"]["format"] == PCMU


def test_a_negotiated_format_is_left_out_of_both_directions() -> None:
    made = payload({"input_audio_format": "negotiated", "audio": {"output": {"format": "negotiated"}}})
    assert "format" not in made["audio"]["input"]
    assert "format" not in made["audio"]["output"]


def test_nested_settings_win_over_flat_ones() -> None:
    made = payload(
        {
            "input_audio_format": "pcm16",
            "voice": "ash",
            "speed": 0.5,
            "turn_detection": {"type": "semantic_vad"},
            "input_audio_transcription": {"model": "whisper-1"},
            "input_audio_noise_reduction": {"type": "near_field"},
            "audio": {
                "input": {
                    "format": "g711_alaw",
                    "turn_detection": None,
                    "transcription": None,
                    "noise_reduction": None,
                },
                "output": {"voice": {"id": "voice_1"}, "speed": 1.5},
            },
        }
    )
    assert made["audio"]["input"] == {
        "format": PCMA,
        "turn_detection": None,
        "transcription": None,
        "noise_reduction": None,
    }
    assert made["audio"]["output"] == {"format": PCMU, "voice": {"id": "voice_1"}, "speed": 1.5}


def test_turn_detection_understands_camel_case_and_prefers_the_apis_own_spelling() -> None:
    given = {
        "type": "server_vad",
        "silenceDurationMs": 100,
        "silence_duration_ms": 200,
        "createResponse": False,
    }
    made = payload({"turn_detection": given})["audio"]["input"]["turn_detection"]
    assert made == {"type": "server_vad", "silence_duration_ms": 200, "create_response": False}


def test_an_explicit_null_inside_turn_detection_is_kept() -> None:
    # Left out, the server would keep the timeout it had.
    made = payload({"turn_detection": {"type": "server_vad", "idle_timeout_ms": None}})
    assert made["audio"]["input"]["turn_detection"] == {"type": "server_vad", "idle_timeout_ms": None}


@pytest.mark.parametrize("truncation", ["auto", "disabled"])
def test_truncation_by_name(truncation: Any) -> None:
    assert payload({"truncation": truncation})["truncation"] == truncation


def test_truncation_by_ratio_alone() -> None:
    made = payload({"truncation": {"retention_ratio": 1}})["truncation"]
    assert made == {"type": "retention_ratio", "retention_ratio": 1}


@pytest.mark.parametrize(
    "truncation", ["never", {}, {"retention_ratio": 1.5}, {"retention_ratio": True}, {"retention_ratio": "1"}]
)
def test_a_truncation_that_cannot_be_is_refused(truncation: Any) -> None:
    with pytest.raises(UserError, match="truncation"):
        payload({"truncation": truncation})


def test_the_model_can_be_left_out() -> None:
    assert "model" not in payload({}, model=None)


# Tools ----------------------------------------------------------------------------------------------


def test_a_disabled_tool_is_not_offered() -> None:
    async def run(*_: Any) -> str:
        return ""

    off = FunctionTool("off", "", {}, run, is_enabled=False)
    assert [each["name"] for each in tool_payloads([look_up, off])] == ["look_up"]


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(UserError, match="two tools are named 'look_up'"):
        check_tool_names([look_up, look_up])


def test_what_is_no_tool_is_refused() -> None:
    wrong: Any = [print]
    with pytest.raises(UserError, match="is no function tool"):
        tool_payloads(wrong)


# Hosted tools ---------------------------------------------------------------------------------------

DOCS: Any = {"type": "mcp", "server_label": "docs", "server_url": "https://docs.example/mcp"}
MAIL: Any = {"type": "mcp", "server_label": "mail", "connector_id": "connector_gmail"}


def test_hosted_tools_stand_behind_the_functions() -> None:
    made = payload({"tools": [look_up], "hosted_tools": [HostedMCPTool(DOCS), MAIL]})["tools"]
    assert [each["type"] for each in made] == ["function", "mcp", "mcp"]
    assert made[1:] == [DOCS, MAIL]


def test_hosted_tools_among_the_tools_are_understood() -> None:
    mixed: Any = [HostedMCPTool(DOCS), look_up, MAIL]
    assert split_tools(mixed) == ([look_up], [mixed[0], MAIL])
    made = payload({"tools": mixed})["tools"]
    assert [each.get("server_label", each.get("name")) for each in made] == ["look_up", "docs", "mail"]


def test_one_label_is_one_server_wherever_it_is_named() -> None:
    mixed: Any = [HostedMCPTool(DOCS)]
    with pytest.raises(UserError, match="two MCP servers are labelled 'docs'"):
        payload({"tools": mixed, "hosted_tools": [DOCS]})


# Fields that are not known here ---------------------------------------------------------------------


def test_a_field_that_is_new_can_be_used_at_once() -> None:
    extra = {
        "shiny": {"level": 3},
        "audio": {"input": {"echo": True}, "output": {"speed": 1.5}},
        "instructions": "extra",
    }
    made = payload({"instructions": "agent's", "speed": 1.0, "voice": "cedar", "extra_session": extra})
    assert made["shiny"] == {"level": 3}
    assert made["instructions"] == "extra"
    assert made["audio"]["input"]["echo"] is True
    assert made["audio"]["input"]["format"] == PCMU, "what is beside it stays"
    assert made["audio"]["output"] == {"format": PCMU, "voice": "cedar", "speed": 1.5}
    assert extra["audio"] == {"input": {"echo": True}, "output": {"speed": 1.5}}, "nothing is written into it"


def test_extra_fields_are_no_way_around_what_must_be_left_out() -> None:
    extra = {"model": "other", "audio": {"output": {"voice": "sage"}}}
    kept = payload({"extra_session": extra})
    assert (kept["model"], kept["audio"]["output"]["voice"]) == ("other", "sage")
    made = payload({"extra_session": extra}, model=None, keep_voice=True)
    assert "model" not in made
    assert "voice" not in made["audio"]["output"]
    assert extra["audio"] == {"output": {"voice": "sage"}}


@pytest.mark.parametrize("audio", [None, {"output": None}])
def test_extra_fields_may_replace_whole_branches(audio: Any) -> None:
    made = payload({"extra_session": {"audio": audio}}, keep_voice=True)
    assert made["audio"] is None or made["audio"]["output"] is None


def test_a_prompt_is_sent_as_given_and_can_be_switched_off() -> None:
    prompt: Any = {"id": "pmpt_1", "version": None}
    assert payload({"prompt": prompt})["prompt"] == prompt
    assert payload({"prompt": None})["prompt"] is None
    assert "prompt" not in payload({})


def test_without_tracing_nothing_is_said_of_it() -> None:
    # Off is what the server does by itself, and what it was told once can no longer be changed.
    assert "tracing" not in payload({"tracing": None})
    assert payload({"tracing": "auto"})["tracing"] == "auto"
