"""Which settings are in force for an agent."""

from __future__ import annotations

from typing import Any

import pytest

from sipagent.errors import UserError
from sipagent.realtime import (
    OpenAIRealtimeSIPModel,
    RealtimeAgent,
    RealtimeSessionModelSettings,
    RunContextWrapper,
    function_tool,
)
from sipagent.realtime import payload as payload_module
from sipagent.realtime import settings as settings_module
from sipagent.realtime.hosted_mcp import HostedMCPTool
from sipagent.realtime.settings import DEFAULT_REALTIME_MODEL, agent_settings, session_payload

PCMU = {"type": "audio/pcmu"}


@function_tool
def look_up(day: str) -> str:
    """Look up a day."""
    return day


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
    assert "tracing" not in session_payload(settings, default_format="g711_ulaw", model="m")


async def test_two_tools_of_one_name_are_found_before_anything_is_opened() -> None:
    with pytest.raises(UserError, match="two tools are named"):
        await agent_settings(agent(tools=[look_up, look_up]), RunContextWrapper(None))


def test_what_writes_the_session_can_be_had_from_here_too() -> None:
    for name in ("session_payload", "tool_payloads", "turn_detection_payload", "check_tool_names"):
        assert getattr(settings_module, name) is getattr(payload_module, name)


# Hosted tools ---------------------------------------------------------------------------------------


def server(label: str, **changes: Any) -> HostedMCPTool:
    return HostedMCPTool({"type": "mcp", "server_label": label, "server_url": "https://x.example"}, **changes)


async def test_hosted_tools_of_settings_and_agent_stand_side_by_side() -> None:
    of_agent, of_run, of_start = server("a"), server("b"), server("c")
    context = RunContextWrapper(None)
    both = agent(tools=[of_agent, look_up])
    settings = await agent_settings(both, context, run_config={"model_settings": {"hosted_tools": [of_run]}})
    assert settings["tools"] == [look_up], "what the model calls by name is a function"
    assert settings["hosted_tools"] == [of_run, of_agent]
    settings = await agent_settings(both, context, initial={"hosted_tools": [of_start]})
    assert settings["hosted_tools"] == [of_start, of_agent]


async def test_hosted_tools_among_the_initial_tools_are_sorted_out() -> None:
    mixed: Any = [server("a"), look_up]
    settings = await agent_settings(agent(tools=[]), RunContextWrapper(None), initial={"tools": mixed})
    assert settings["tools"] == [look_up]
    assert settings["hosted_tools"] == mixed[:1]


async def test_without_hosted_tools_nothing_is_said_of_them() -> None:
    assert "hosted_tools" not in await agent_settings(agent(), RunContextWrapper(None))


async def test_a_hosted_tool_may_be_enabled_by_a_function() -> None:
    seen: list[tuple[Any, Any]] = []

    async def no(context: RunContextWrapper[Any], who: Any) -> bool:
        seen.append((context, who))
        return False

    context = RunContextWrapper(None)
    both = agent(tools=[server("a", is_enabled=no), server("b", is_enabled=lambda *_: True)])
    settings = await agent_settings(both, context)
    assert [tool["server_label"] for tool in session_payload_of(settings)] == ["b"]
    assert seen == [(context, both)]


def session_payload_of(settings: RealtimeSessionModelSettings) -> list[dict[str, Any]]:
    tools: list[dict[str, Any]] = session_payload(settings, default_format="pcm16", model=None)["tools"]
    return tools


async def test_two_servers_of_one_label_are_found_before_anything_is_opened() -> None:
    with pytest.raises(UserError, match="two MCP servers are labelled 'a'"):
        await agent_settings(agent(tools=[server("a"), server("a")]), RunContextWrapper(None))


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


async def test_what_the_application_makes_of_the_settings_of_an_agent_stands_above_everything() -> None:
    seen: list[tuple[RealtimeAgent[Any], Any, RealtimeSessionModelSettings]] = []

    def changed(
        agent: RealtimeAgent[Any], wrapper: RunContextWrapper[Any], settings: RealtimeSessionModelSettings
    ) -> RealtimeSessionModelSettings:
        seen.append((agent, wrapper.context, settings))
        return {**settings, "instructions": f"{settings['instructions']} And quick.", "voice": "cedar"}

    asked = agent()
    settings = await agent_settings(
        asked,
        RunContextWrapper("the call"),
        run_config={"model_settings": {"voice": "marin"}, "settings_of_agent": changed},
        initial={"voice": "ash"},
    )
    assert settings["voice"] == "cedar"
    assert settings["instructions"].endswith(" And quick.")
    [(whose, context, before)] = seen
    assert (whose, context, before["voice"]) == (asked, "the call", "ash")


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
