"""Hooks are called, in order, beside the conversation; whatever they do hurts nobody."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from sipagent.realtime import (
    FunctionTool,
    RealtimeAgent,
    RealtimeAgentHooks,
    RealtimeModelSendToolOutput,
    RealtimeRunHooks,
    RealtimeRunner,
    RealtimeSession,
    RunContextWrapper,
    ToolContext,
    hook_caller,
    realtime_handoff,
)
from sipagent.realtime.testing import ScriptedRealtimeModel
from tests.realtime.peer import PATIENCE_S
from tests.realtime.test_session import tool


class Told:
    """Keeps what hooks are told, and lets a test wait for it."""

    def __init__(self) -> None:
        self.all: list[tuple[Any, ...]] = []
        self._more = asyncio.Event()

    def note(self, *what: Any) -> None:
        self.all.append(what)
        self._more.set()

    async def reaches(self, count: int) -> list[tuple[Any, ...]]:
        async with asyncio.timeout(PATIENCE_S):
            while len(self.all) < count:
                self._more.clear()
                await self._more.wait()
        return self.all


class OfRun(RealtimeRunHooks[Any]):
    def __init__(self, told: Told) -> None:
        self.told = told

    async def on_agent_start(self, context: RunContextWrapper[Any], agent: RealtimeAgent[Any]) -> None:
        self.told.note("run start", context.context, agent.name)

    async def on_agent_end(
        self, context: RunContextWrapper[Any], agent: RealtimeAgent[Any], output: Any
    ) -> None:
        self.told.note("run end", agent.name, output)

    async def on_handoff(
        self, context: RunContextWrapper[Any], from_agent: RealtimeAgent[Any], to_agent: RealtimeAgent[Any]
    ) -> None:
        self.told.note("run handoff", from_agent.name, to_agent.name)

    async def on_tool_start(
        self, context: RunContextWrapper[Any], agent: RealtimeAgent[Any], tool: FunctionTool
    ) -> None:
        assert isinstance(context, ToolContext)
        self.told.note("run tool start", agent.name, tool.name, context.tool_call_id)

    async def on_tool_end(
        self, context: RunContextWrapper[Any], agent: RealtimeAgent[Any], tool: FunctionTool, result: Any
    ) -> None:
        self.told.note("run tool end", agent.name, tool.name, result)


class OfAgent(RealtimeAgentHooks[Any]):
    def __init__(self, told: Told) -> None:
        self.told = told

    async def on_start(self, context: RunContextWrapper[Any], agent: RealtimeAgent[Any]) -> None:
        self.told.note("start", agent.name)

    async def on_end(self, context: RunContextWrapper[Any], agent: RealtimeAgent[Any], output: Any) -> None:
        self.told.note("end", agent.name, output)

    async def on_handoff(
        self, context: RunContextWrapper[Any], agent: RealtimeAgent[Any], source: RealtimeAgent[Any]
    ) -> None:
        self.told.note("handoff", agent.name, source.name)

    async def on_tool_start(
        self, context: RunContextWrapper[Any], agent: RealtimeAgent[Any], tool: FunctionTool
    ) -> None:
        self.told.note("tool start", agent.name, tool.name)

    async def on_tool_end(
        self, context: RunContextWrapper[Any], agent: RealtimeAgent[Any], tool: FunctionTool, result: Any
    ) -> None:
        self.told.note("tool end", agent.name, tool.name, result)


async def look(context: ToolContext[Any], arguments: str) -> dict[str, int]:
    return {"slots": 2}


async def entered(
    model: ScriptedRealtimeModel, agent: RealtimeAgent[Any], hooks: RealtimeRunHooks[Any] | None = None
) -> RealtimeSession:
    return await (await RealtimeRunner(agent, model=model, hooks=hooks).run(context="Ann")).enter()


async def test_hooks_of_the_run_and_of_the_agent_hear_of_turns_and_tools() -> None:
    told, model = Told(), ScriptedRealtimeModel()
    agent = RealtimeAgent[Any](name="a", tools=[tool("look", look)], hooks=OfAgent(told))
    session = await entered(model, agent, OfRun(told))
    await model.emit(*model.agent_says("Good morning."))
    assert await told.reaches(4) == [
        ("run start", "Ann", "a"),
        ("start", "a"),
        ("run end", "a", "Good morning."),
        ("end", "a", "Good morning."),
    ]
    told.all.clear()
    await model.emit(*model.agent_calls("look", call_id="call_1"))
    await model.wait_until_sent(RealtimeModelSendToolOutput)
    heard = await told.reaches(8)
    assert [each for each in heard if "tool" in each[0]] == [
        ("run tool start", "a", "look", "call_1"),
        ("tool start", "a", "look"),
        ("run tool end", "a", "look", {"slots": 2}),
        ("tool end", "a", "look", {"slots": 2}),
    ]
    await session.close()


async def test_a_handoff_is_told_to_the_run_and_to_the_agent_that_takes_over() -> None:
    told, model = Told(), ScriptedRealtimeModel()
    second = RealtimeAgent[Any](name="second", hooks=OfAgent(told))
    first = RealtimeAgent[Any](name="first", handoffs=[realtime_handoff(second)])
    runner = RealtimeRunner(first, model=model, config={"hooks": OfRun(told)})
    async with await runner.run() as session:
        await model.emit(*model.agent_calls("transfer_to_second"))
        await told.reaches(4)
        assert [each for each in told.all if "handoff" in each[0]] == [
            ("run handoff", "first", "second"),
            ("handoff", "second", "first"),
        ]
        told.all.clear()
        await model.emit(*model.agent_says("Hello"))
        assert [each[0] for each in await told.reaches(4)] == ["run start", "start", "run end", "end"]
        assert session.agent is second


class Sour(RealtimeAgentHooks[Any]):
    async def on_start(self, context: RunContextWrapper[Any], agent: RealtimeAgent[Any]) -> None:
        raise ValueError("the secret of the caller")

    async def on_end(self, context: RunContextWrapper[Any], agent: RealtimeAgent[Any], output: Any) -> None:
        raise SystemExit(3)

    async def on_tool_start(
        self, context: RunContextWrapper[Any], agent: RealtimeAgent[Any], tool: FunctionTool
    ) -> None:
        inner = asyncio.get_running_loop().create_future()
        inner.cancel()
        await inner


async def test_a_hook_that_raises_is_logged_and_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    model = ScriptedRealtimeModel()
    agent = RealtimeAgent[Any](name="a", tools=[tool("look", look)], hooks=Sour())
    session = await entered(model, agent)
    with caplog.at_level(logging.WARNING, "sipagent"):
        await model.emit(*model.agent_calls("look"), *model.agent_says("Hello"))
        sent = await model.wait_until_sent(RealtimeModelSendToolOutput)
        await session.close()
    assert sent.output == '{"slots": 2}'
    logged = [record.getMessage() for record in caplog.records]
    assert "The hook Sour.on_start raised ValueError" in logged
    assert "The hook Sour.on_end raised RuntimeError" in logged
    assert "The hook Sour.on_tool_start raised RuntimeError" in logged
    assert not [each for each in logged if "secret" in each]


class Slow(RealtimeAgentHooks[Any]):
    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.cancelled = False

    async def on_start(self, context: RunContextWrapper[Any], agent: RealtimeAgent[Any]) -> None:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled = True


async def test_a_hook_that_never_returns_holds_up_neither_the_conversation_nor_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sipagent.realtime.session.TOOL_GRACE_S", 0.05)
    monkeypatch.setattr(hook_caller, "MOST_WAITING", 2)
    slow, model = Slow(), ScriptedRealtimeModel()
    session = await entered(model, RealtimeAgent[Any](name="a", tools=[tool("look", look)], hooks=slow))
    async with asyncio.timeout(PATIENCE_S):
        await model.emit(*model.agent_says("One"))
        await slow.begun.wait()
        await model.emit(*model.agent_says("Two"), *model.agent_calls("look"))
        await model.wait_until_sent(RealtimeModelSendToolOutput)
        await session.close()
    assert slow.cancelled


class Leaves(RealtimeAgentHooks[Any]):
    def __init__(self) -> None:
        self.session: RealtimeSession | None = None
        self.left = asyncio.Event()

    async def on_end(self, context: RunContextWrapper[Any], agent: RealtimeAgent[Any], output: Any) -> None:
        assert self.session is not None
        await self.session.close()
        self.left.set()


async def test_a_hook_may_close_its_session() -> None:
    leaves, model = Leaves(), ScriptedRealtimeModel()
    session = await entered(model, RealtimeAgent[Any](name="a", hooks=leaves))
    leaves.session = session
    await model.emit(*model.agent_says("Goodbye"))
    async with asyncio.timeout(PATIENCE_S):
        await leaves.left.wait()
    assert model.config is None
    await session.close()


async def test_what_happened_before_the_end_is_still_told() -> None:
    told, model = Told(), ScriptedRealtimeModel()
    session = await entered(model, RealtimeAgent[Any](name="a", hooks=OfAgent(told)))
    await model.emit(*model.agent_says("Goodbye"))
    await session.close()
    assert [each[0] for each in told.all] == ["start", "end"]
