"""Every field that the official package knows of a session can be set here, and arrives as it was given.

The fields are read from the package's types, so that one that is new fails here before a user misses it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from types import NoneType
from typing import Any, Literal, Required, Union, get_args, get_origin

import pydantic
import pytest
import typing_extensions
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.realtime import RealtimeSessionCreateRequest, RealtimeSessionCreateRequestParam
from openai.types.realtime.call_accept_params import CallAcceptParams

from sipagent.realtime import (
    FunctionTool,
    OpenAIRealtimeSIPModel,
    OpenAIRealtimeWebSocketModel,
    RealtimeAgent,
    RealtimeModelConfig,
    RealtimeRunConfig,
    RealtimeRunner,
    function_tool,
)
from sipagent.realtime.agent import Prompt
from sipagent.realtime.hosted_mcp import (
    HostedMCPTool,
    RealtimeHostedMcpApproval,
    RealtimeHostedMcpTool,
    RealtimeHostedMcpToolFilter,
)
from sipagent.realtime.payload import session_payload
from sipagent.realtime.settings import (
    RealtimeAudioConfig,
    RealtimeAudioInputConfig,
    RealtimeAudioOutputConfig,
    RealtimeInputAudioNoiseReductionConfig,
    RealtimeInputAudioTranscriptionConfig,
    RealtimeModelTracingConfig,
    RealtimeReasoningConfig,
    RealtimeSessionModelSettings,
    RealtimeTokenLimits,
    RealtimeTruncationConfig,
    RealtimeTurnDetectionConfig,
)
from tests.realtime.peer import realtime_server

OURS = {"model": "model_name"}
"""The session's field → our name for it, where they differ."""
NOT_SET = {"type"}
"""Always the same."""


REQUIRED: tuple[Any, ...] = (Required, typing_extensions.Required)

# Values made from types -----------------------------------------------------------------------------


def hints(typed_dict: Any) -> dict[str, Any]:
    return typing_extensions.get_type_hints(typed_dict, include_extras=False)


def fields_with_values(typed_dict: Any) -> Iterator[tuple[str, Any]]:
    """Each field with each value it may have."""
    for name, kind in hints(typed_dict).items():
        for value in values(kind):
            yield name, value


def values(kind: Any) -> list[Any]:
    """Values of ``kind``, of each sort at least one."""
    origin = get_origin(kind)
    if origin in REQUIRED:
        return values(get_args(kind)[0])
    if origin in (Literal, typing_extensions.Literal):
        return list(get_args(kind))
    if origin is Union or type(kind).__name__ == "UnionType":
        return [value for part in get_args(kind) for value in values(part)]
    if origin is dict:
        return [{"key": value} for value in values(get_args(kind)[1])]
    if origin in (list, Sequence):
        return [[], *([value] for value in values(get_args(kind)[0]))]
    if typing_extensions.is_typeddict(kind):
        return typed_dict_values(kind)
    plain: dict[Any, list[Any]] = {
        str: ["text"],
        int: [7],
        float: [0.5, 1],
        bool: [True, False],
        NoneType: [None],
        object: [{"type": "object", "properties": {}}],
    }
    assert kind in plain, f"a type that is new: {kind!r}"
    return plain[kind]


def typed_dict_values(kind: Any) -> list[dict[str, Any]]:
    """What is required, and each other field beside it; a mapping always says its type."""
    known = typing_extensions.get_type_hints(kind, include_extras=True)
    # Asked of the annotations: the class itself cannot tell where they were written as text.
    needed = [name for name, each in known.items() if get_origin(each) in REQUIRED or name == "type"]
    base = {name: values(known[name])[0] for name in needed}
    return [base, *({**base, name: value} for name, value in fields_with_values(kind))]


ALL = [(name, value) for name, value in fields_with_values(RealtimeSessionCreateRequestParam)]
SET = [(name, value) for name, value in ALL if name not in NOT_SET]


def setting(name: str, value: Any) -> dict[str, Any]:
    """The settings that say ``value`` of the session's field ``name``."""
    if name != "tools":
        return {OURS.get(name, name): value}
    functions, hosted = [], []
    for tool in value:
        if tool["type"] == "mcp":
            hosted.append(HostedMCPTool(tool))
        else:
            functions.append(function_of(tool))
    return {"tools": functions, "hosted_tools": hosted}


def function_of(tool: dict[str, Any]) -> FunctionTool:
    async def run(*_: Any) -> str:
        return ""

    return FunctionTool(tool.get("name", "f"), tool.get("description", ""), tool.get("parameters", {}), run)


def arrived(value: Any, made: Any) -> bool:
    """All of ``value`` is in ``made``; beside it there may be defaults."""
    if isinstance(value, dict):
        return isinstance(made, dict) and all(
            key in made and arrived(each, made[key]) for key, each in value.items()
        )
    if isinstance(value, list):
        return isinstance(made, list) and len(made) == len(value) and all(map(arrived, value, made))
    return type(value) is type(made) and bool(value == made)


def payload(given: Any) -> dict[str, Any]:
    model = given.get("model_name", "m")
    return session_payload(given, default_format="g711_ulaw", model=model)


def strange_fields(value: Any, path: str = "session") -> list[str]:
    """What the official types do not know of ``value``, which they were made from."""
    found: list[str] = []
    if isinstance(value, pydantic.BaseModel):
        found += [f"{path}.{name}" for name in value.model_extra or {}]
        for name in type(value).model_fields:
            found += strange_fields(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, list):
        for each in value:
            found += strange_fields(each, f"{path}[]")
    return found


def test_there_is_something_to_set() -> None:
    assert len(SET) > 200
    assert {name for name, _ in ALL} == set(hints(RealtimeSessionCreateRequestParam))
    assert set(hints(CallAcceptParams)) == set(hints(RealtimeSessionCreateRequestParam)), (
        "accept says the same"
    )


@pytest.mark.parametrize(("name", "value"), SET, ids=lambda each: json.dumps(each)[:60])
def test_every_field_arrives_as_it_was_set(name: str, value: Any) -> None:
    made = payload(setting(name, value))
    if name == "tracing" and value is None:
        assert "tracing" not in made, "off is what the server does by itself"
    elif name == "output_modalities" and not value:
        assert made[name] == ["audio"], "there is no session without any"
    else:
        assert arrived(value, made[name]), made[name]
    official = RealtimeSessionCreateRequest.model_validate(made)
    assert not strange_fields(official)
    assert official.model_dump(mode="json", exclude_unset=True) == made


def test_values_are_compared_down_to_the_last() -> None:
    assert arrived({"a": [{"b": 1}]}, {"a": [{"b": 1, "c": 2}], "d": 3})
    assert not arrived({"a": [{"b": 1}]}, {"a": [{"b": 2}]})
    assert not arrived({"a": None}, {})
    assert not arrived(True, 1)
    made = RealtimeSessionCreateRequest.model_validate({"type": "realtime", "audio": {"input": {"x": 1}}})
    assert strange_fields(made) == ["session.audio.input.x"]


# Names for those who check their types --------------------------------------------------------------


def variants(kind: Any) -> list[Any]:
    """The TypedDicts that ``kind`` may be."""
    if typing_extensions.is_typeddict(kind):
        return [kind]
    return [each for part in get_args(kind) for each in variants(part)]


def below(typed_dict: Any, *path: str) -> list[Any]:
    """The TypedDicts of the package at ``path`` below ``typed_dict``."""
    found = [typed_dict]
    for name in path:
        found = [each for outer in found if name in hints(outer) for each in variants(hints(outer)[name])]
    assert found, path
    return found


@pytest.mark.parametrize(
    ("path", "ours"),
    [
        ((), RealtimeSessionModelSettings),
        (("audio",), RealtimeAudioConfig),
        (("audio", "input"), RealtimeAudioInputConfig),
        (("audio", "input", "noise_reduction"), RealtimeInputAudioNoiseReductionConfig),
        (("audio", "input", "transcription"), RealtimeInputAudioTranscriptionConfig),
        (("audio", "input", "turn_detection"), RealtimeTurnDetectionConfig),
        (("audio", "output"), RealtimeAudioOutputConfig),
        (("prompt",), Prompt),
        (("reasoning",), RealtimeReasoningConfig),
        (("tracing",), RealtimeModelTracingConfig),
        (("truncation",), RealtimeTruncationConfig),
        (("truncation", "token_limits"), RealtimeTokenLimits),
    ],
)
def test_every_name_is_in_our_types_too(path: tuple[str, ...], ours: Any) -> None:
    theirs = {name for each in below(RealtimeSessionCreateRequestParam, *path) for name in hints(each)}
    if not path:
        theirs = {OURS.get(name, name) for name in theirs - NOT_SET}
    assert theirs <= set(hints(ours))


def test_every_name_of_a_hosted_tool_is_in_our_types_too() -> None:
    (server,) = (
        each for each in below(RealtimeSessionCreateRequestParam, "tools") if "server_label" in hints(each)
    )
    assert set(hints(server)) <= set(hints(RealtimeHostedMcpTool))
    (approval,) = variants(hints(server)["require_approval"])
    assert set(hints(approval)) <= set(hints(RealtimeHostedMcpApproval))
    for each in (*variants(hints(approval)["always"]), *variants(hints(server)["allowed_tools"])):
        assert set(hints(each)) <= set(hints(RealtimeHostedMcpToolFilter))


# Accept and attach ----------------------------------------------------------------------------------


@function_tool
def look_up(day: str) -> str:
    """Look up a day."""
    return day


def some_settings() -> st.SearchStrategy[dict[str, Any]]:
    """Any fields together, each with a value of its type, and formats in every way they can be named."""
    by_name: dict[str, list[Any]] = {}
    for name, value in SET:
        by_name.setdefault(name, []).append(value)
    session = st.fixed_dictionaries(
        {}, optional={name: st.sampled_from(found) for name, found in by_name.items()}
    )
    formats = st.sampled_from(["pcm16", "g711_ulaw", "g711_alaw", "negotiated", None])
    flat = st.fixed_dictionaries({}, optional={f"{way}_audio_format": formats for way in ("input", "output")})

    def together(fields: dict[str, Any], named: dict[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = {**named}
        for name, value in fields.items():
            made.update(setting(name, value))
        return made

    return st.builds(together, session, flat)


@settings(max_examples=60, deadline=None)
@given(some_settings(), st.booleans())
async def test_the_attached_session_says_what_the_accept_request_said(given_: Any, bare: bool) -> None:
    agent: RealtimeAgent[None] = RealtimeAgent(
        name="desk", instructions=None if bare else "Be kind.", tools=[] if bare else [look_up]
    )
    run_config: RealtimeRunConfig = {"model_settings": given_}
    request = await OpenAIRealtimeSIPModel.build_initial_session_payload(agent, run_config=run_config)
    accepted = request.model_dump(mode="json", exclude_unset=True)
    update = json.loads(await OpenAIRealtimeSIPModel.build_first_update(agent, run_config=run_config))
    assert accepted.pop("model") == given_.get("model_name", "gpt-realtime-2.1")
    assert update["session"] == accepted


@pytest.mark.parametrize("audio_format", ["pcm16", "g711_alaw", "negotiated", None])
async def test_a_model_name_and_a_call_in_one_configuration(audio_format: str | None) -> None:
    agent: RealtimeAgent[None] = RealtimeAgent(
        name="desk",
        instructions="Be kind.",
        tools=[
            look_up,
            HostedMCPTool({"type": "mcp", "server_label": "docs", "server_url": "https://d.example"}),
        ],
    )
    initial: RealtimeSessionModelSettings = {
        "model_name": "gpt-realtime-2.1-mini",
        "voice": {"id": "voice_1"},
        "input_audio_format": audio_format,
        "truncation": {"retention_ratio": 0.8, "token_limit": 8000},
        "turn_detection": {"type": "semantic_vad", "eagerness": "low"},
        "input_audio_noise_reduction": None,
        "extra_session": {"shiny": 1},
    }
    run_config: RealtimeRunConfig = {"model_settings": {"speed": 1.25, "tracing": "auto"}}
    async with realtime_server() as server:
        config: RealtimeModelConfig = {
            "api_key": "sk-test",
            "base_url": server.base_url,
            "call_id": "rtc_1",
            "initial_model_settings": initial,
        }
        request = await OpenAIRealtimeSIPModel.build_initial_session_payload(
            agent, context=None, model_config=config, run_config=run_config
        )
        accepted = request.model_dump(mode="json", exclude_unset=True)
        runner = RealtimeRunner(agent, model=OpenAIRealtimeSIPModel(), config=run_config)
        async with await runner.run(model_config=config):
            peer = await server.peer()
            update = await peer.receive("session.update")
        assert peer.path == "/v1/realtime?call_id=rtc_1"
    assert accepted.pop("model") == "gpt-realtime-2.1-mini"
    assert accepted["shiny"] == 1
    assert update["session"] == accepted


async def test_whoever_attaches_with_the_other_model_leaves_the_name_out_too() -> None:
    initial: RealtimeSessionModelSettings = {"model_name": "gpt-realtime-2.1-mini"}
    model = OpenAIRealtimeWebSocketModel()
    async with realtime_server() as server:
        config: RealtimeModelConfig = {
            "api_key": "sk-test",
            "base_url": server.base_url,
            "initial_model_settings": initial,
        }
        for attached in ({"call_id": "rtc_1"}, {}):
            await model.connect({**config, **attached})  # type: ignore[typeddict-item]
            try:
                peer = await server.peer()
                session = (await peer.receive("session.update"))["session"]
            finally:
                await model.close()
            assert session.get("model") == (None if attached else "gpt-realtime-2.1-mini")
