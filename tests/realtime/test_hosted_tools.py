"""Hosted tools in a session: what the log says, and that a server that fails costs nothing but its tools."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sipagent.identifiers import ItemId
from sipagent.realtime import (
    HostedMCPTool,
    RealtimeAgent,
    RealtimeMcpCallEnd,
    RealtimeMcpCallItem,
    RealtimeMcpCallStart,
    RealtimeMcpListToolsItem,
    RealtimeMcpToolList,
    RealtimeModelItemUpdatedEvent,
    RealtimeModelMcpCallArgumentsEvent,
    RealtimeModelMcpListToolsEvent,
    RealtimeRunner,
    RealtimeSession,
    RealtimeTranscriptLine,
)
from sipagent.realtime.testing import ScriptedRealtimeModel
from tests.realtime.peer import PATIENCE_S

LIST = ItemId("mcpl_1")


async def started(model: ScriptedRealtimeModel) -> RealtimeSession:
    server = {"type": "mcp", "server_label": "docs", "server_url": "https://docs.example"}
    agent = RealtimeAgent[Any](name="front-desk", tools=[HostedMCPTool(tool_config=server)])
    return await (await RealtimeRunner(agent, model=model).run()).enter()


async def told(session: RealtimeSession) -> list[Any]:
    await session.close()
    async with asyncio.timeout(PATIENCE_S):
        return [event async for event in session]


@pytest.mark.parametrize("label", ["docs", None])
async def test_a_list_that_fails_is_told_and_logged_and_the_talk_goes_on(
    label: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    model = ScriptedRealtimeModel()
    session = await started(model)
    if label is not None:
        item = RealtimeMcpListToolsItem(item_id=LIST, server_label=label, status="in_progress")
        await model.emit(RealtimeModelItemUpdatedEvent(item=item))
    await model.emit(
        RealtimeModelMcpListToolsEvent(change="failed", item_id=LIST), *model.agent_says("Good morning.")
    )
    events = await told(session)
    (failed,) = [each for each in events if isinstance(each, RealtimeMcpToolList)]
    assert (failed.status, failed.server_label) == ("failed", label)
    assert f"The tools of MCP server {label or '?'} could not be listed" in caplog.text
    assert [each.text for each in events if isinstance(each, RealtimeTranscriptLine)] == ["Good morning."]


async def test_a_call_is_told_between_its_items_and_the_turn() -> None:
    model = ScriptedRealtimeModel()
    session = await started(model)
    await model.emit(*model.agent_calls_hosted("docs", "search", {"q": 1}, output="Nine."))
    events = await told(session)
    assert [each.type for each in events] == [
        "response_started",
        "agent_start",
        "history_added",
        "mcp_call_start",
        "history_updated",
        "mcp_call_end",
        "response_ended",
        "agent_end",
        "turn_metrics",
    ]
    ended = next(each for each in events if isinstance(each, RealtimeMcpCallEnd))
    begun = next(each for each in events if isinstance(each, RealtimeMcpCallStart))
    assert (begun.agent.name, begun.arguments) == ("front-desk", '{"q": 1}')
    assert ended.duration_ms is not None
    assert 0 <= ended.duration_ms < PATIENCE_S * 1000


async def test_arguments_reach_the_history_before_the_call_is_over() -> None:
    model = ScriptedRealtimeModel()
    session = await started(model)
    call = RealtimeMcpCallItem(item_id=ItemId("mcp_1"), server_label="docs", name="search", arguments="")
    arguments = RealtimeModelMcpCallArgumentsEvent(item_id=call.item_id, arguments='{"q": 1}')
    await model.emit(arguments, RealtimeModelItemUpdatedEvent(item=call), arguments, arguments)
    (item,) = session.history
    assert isinstance(item, RealtimeMcpCallItem)
    assert item.arguments == '{"q": 1}'
    kinds = [each.type for each in await told(session)]
    assert kinds == ["history_added", "history_updated"]
