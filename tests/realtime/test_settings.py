"""From settings to the session object, once for the accept request and for every update."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.realtime import RealtimeSessionCreateRequest

from sipagent.errors import UserError
from sipagent.realtime import (
    FunctionTool,
    OpenAIRealtimeSIPModel,
    RealtimeAgent,
    RealtimeSessionModelSettings,
    RunContextWrapper,
    function_tool,
)
from sipagent.realtime.settings import (
    DEFAULT_REALTIME_MODEL,
    agent_settings,
    audio_format_payload,
    check_tool_names,
    session_payload,
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


# Whose settings win ---------------------------------------------------------------------------------


def agent(**changes: Any) -> RealtimeAgent[None]:
    return RealtimeAgent(name="front-desk", **{"instructions": "agent's", "tools": [look_up], **changes})


async def test_from_weak_to_strong() -> None:
    context = RunContextWrapper(None)
    settings = await agent_settings(
        agent(),
        context,
        run_config={"model_settings": {"voice": "ash", "speed": 1.0, "instructions": "run's"}},
        initial={"voice": "marin"},
    )
    assert settings["voice"] == "marin"
    assert settings["speed"] == 1.0
    assert settings["instructions"] == "agent's"
    assert settings["tools"] == [look_up]


async def test_initial_settings_win_over_the_first_agent_and_over_no_other() -> None:
    context = RunContextWrapper(None)
    initial: RealtimeSessionModelSettings = {"instructions": "initial", "voice": "marin"}
    first = await agent_settings(agent(), context, initial=initial)
    later = await agent_settings(agent(), context, initial=initial, initial_wins=False)
    assert (first["instructions"], later["instructions"]) == ("initial", "agent's")
    assert first["voice"] == later["voice"] == "marin"


async def test_an_agent_without_instructions_clears_the_servers_own() -> None:
    assert (await agent_settings(agent(instructions=None), RunContextWrapper(None)))["instructions"] == ""


async def test_tracing_can_be_switched_off_for_a_whole_runner() -> None:
    settings = await agent_settings(
        agent(),
        RunContextWrapper(None),
        run_config={"tracing_disabled": True, "model_settings": {"tracing": "auto"}},
    )
    assert "tracing" not in payload(settings)


async def test_two_tools_of_one_name_are_found_before_anything_is_opened() -> None:
    with pytest.raises(UserError, match="two tools are named"):
        await agent_settings(agent(tools=[look_up, look_up]), RunContextWrapper(None))


# The accept request ---------------------------------------------------------------------------------


async def test_the_accept_request_names_the_model_and_speaks_like_a_telephone() -> None:
    request = await OpenAIRealtimeSIPModel.build_initial_session_payload(agent())
    made = request.model_dump(mode="json", exclude_unset=True)
    assert made["model"] == DEFAULT_REALTIME_MODEL
    assert made["audio"]["input"]["format"] == PCMU
    assert made["audio"]["output"]["format"] == PCMU
    assert [tool["name"] for tool in made["tools"]] == ["look_up"]
    assert made["instructions"] == "agent's"


async def test_overrides_win_over_everything() -> None:
    request = await OpenAIRealtimeSIPModel.build_initial_session_payload(
        agent(),
        model_config={"initial_model_settings": {"voice": "ash"}},
        overrides={"voice": "cedar", "model_name": "gpt-realtime-2.1-mini", "instructions": "override"},
    )
    made = request.model_dump(mode="json", exclude_unset=True)
    assert made["audio"]["output"]["voice"] == "cedar"
    assert made["model"] == "gpt-realtime-2.1-mini"
    assert made["instructions"] == "override"


async def test_instructions_made_by_a_function_see_the_context() -> None:
    def write(context: RunContextWrapper[str], who: RealtimeAgent[str]) -> str:
        return f"{who.name} greets {context.context}"

    request = await OpenAIRealtimeSIPModel.build_initial_session_payload(
        agent(instructions=write), context="Ada"
    )
    assert request.instructions == "front-desk greets Ada"


async def test_a_session_the_official_types_refuse_is_refused_here() -> None:
    wrong: Any = {"reasoning": {"effort": 3}}
    with pytest.raises(UserError, match="the session's reasoning.effort cannot be used"):
        await OpenAIRealtimeSIPModel.build_initial_session_payload(agent(), overrides=wrong)
