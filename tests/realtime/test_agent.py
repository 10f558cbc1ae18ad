"""An agent is plain data, and its mistakes show before the telephone rings."""

from __future__ import annotations

from typing import Any

import pytest

from sipagent.realtime import FunctionTool, RealtimeAgent, RunContextWrapper, ToolContext
from sipagent.realtime.tools import ToolEnabled

CONTEXT = RunContextWrapper("Ann")


async def nothing(context: ToolContext[Any], arguments: str) -> str:
    return ""


def tool(name: str, is_enabled: ToolEnabled = True) -> FunctionTool:
    return FunctionTool(
        name=name, description="", params_json_schema={}, on_invoke_tool=nothing, is_enabled=is_enabled
    )


@pytest.mark.parametrize(
    "wrong", [{"name": 7}, {"name": "a", "tools": (1,)}, {"name": "a", "instructions": 7}], ids=str
)
def test_a_wrong_type_is_told_at_once(wrong: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        RealtimeAgent(**wrong)


def test_a_clone_changes_only_what_it_is_told() -> None:
    first = RealtimeAgent[str](name="a", instructions="Be kind.", tools=[tool("x")])
    second = first.clone(name="b")
    assert (second.name, second.instructions) == ("b", "Be kind.")
    assert second.tools is first.tools
    assert first.name == "a"
    with pytest.raises(TypeError):
        first.clone(name=7)


class Written:
    async def __call__(self, context: RunContextWrapper[str], agent: RealtimeAgent[str]) -> str:
        return f"{agent.name} speaks to {context.context}."


async def later(context: RunContextWrapper[str], agent: RealtimeAgent[str]) -> str:
    return f"{agent.name} speaks to {context.context}."


def at_once(context: RunContextWrapper[str], agent: RealtimeAgent[str]) -> str:
    return f"{agent.name} speaks to {context.context}."


@pytest.mark.parametrize("instructions", [later, at_once, Written(), "a speaks to Ann."])
async def test_instructions_may_be_written_for_each_call(instructions: Any) -> None:
    agent = RealtimeAgent[str](name="a", instructions=instructions)
    assert await agent.get_system_prompt(CONTEXT) == "a speaks to Ann."


async def test_instructions_may_be_missing_but_not_be_something_else() -> None:
    assert await RealtimeAgent[str](name="a").get_system_prompt(CONTEXT) is None
    agent = RealtimeAgent[str](name="a", instructions=lambda context, agent: 7)  # type: ignore[arg-type,return-value]
    with pytest.raises(TypeError, match="'a' gave int"):
        await agent.get_system_prompt(CONTEXT)


async def test_only_the_tools_that_are_enabled_now_are_offered() -> None:
    async def for_ann(context: RunContextWrapper[Any], agent: Any) -> bool:
        return bool(context.context == "Ann" and agent.name == "a")

    agent = RealtimeAgent[str](
        name="a",
        tools=[
            tool("one"),
            tool("two", False),
            tool("three", for_ann),
            tool("four", lambda context, agent: context.context == "Ben"),
        ],
    )
    assert [each.name for each in await agent.get_all_tools(CONTEXT)] == ["one", "three"]
    assert [each.name for each in await agent.get_all_tools(RunContextWrapper("Ben"))] == ["one", "four"]
