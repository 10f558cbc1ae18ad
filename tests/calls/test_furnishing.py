"""Calls whose agents have tools of MCP servers, which come, go and change while the service runs."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp

from sipagent.calls import Generation
from sipagent.config import Loaded, load_configuration
from sipagent.identifiers import CallId
from sipagent.realtime import FunctionTool
from sipagent.realtime.session_events import RealtimeSessionEvent, RealtimeToolStart
from sipagent.simulator.caller import At, CallPlan, Say
from sipagent.simulator.calls import SimulatedCall
from sipagent.simulator.speech import SilentVoice
from sipagent.store import CallRecord
from tests.calls.controls import call
from tests.calls.tools.test_mcp_servers import SHOP, shop_over_http
from tests.calls.tools.using import use
from tests.support.eventually import eventually
from tests.support.ports import free_port
from tests.support.practice import Practice, practice

CONFIGURATION = """
version: 1
agents:
  front-desk:
    instructions: You are number {number}.
    greeting: This is number {number}.
    tools: [hang_up, {{mcp: {server}}}]
routes: [{{agent: front-desk}}]
"""
ASKS_TWICE = """
greeting: "{asked}"
turns:
  - call: {tool: process, then: "It is {output}."}
  - call: {tool: process, then: "It is {output}."}
otherwise: {say: Goodbye., call: hang_up}
"""
QUICK_VOICE = SilentVoice(ms_per_character=5)


def program(floor: str = "one", **more: object) -> str:
    """A server that is started, as YAML."""
    return json.dumps(
        {
            "command": [sys.executable, SHOP, "stdio"],
            "env": {"SHOP_FLOOR": floor},
            "name": "shop",
            "start_timeout": "60s",
            **more,
        }
    )


def written(file: Path, server: str, number: int = 1) -> Loaded:
    file.write_text(CONFIGURATION.format(number=number, server=server), encoding="utf-8")
    return load_configuration(file)


def outputs(record: CallRecord, tool: str = "process") -> list[str]:
    return [str(run.output) for run in record.tools if run.name == tool]


async def finished(desk: Practice, call: SimulatedCall) -> CallRecord:
    async with asyncio.timeout(60):
        await call.wait_over()
    return await desk.ended_record(call.call_id)


async def greeted(desk: Practice, plan: CallPlan) -> SimulatedCall:
    call = desk.simulator.place_call(plan)
    await eventually(
        lambda: call.conversation is not None and "number" in str(call.conversation.transcript), within_s=30
    )
    return call


async def state(desk: Practice) -> tuple[object, str]:
    """What ``/readyz`` and ``/metrics`` say of the servers."""
    async with aiohttp.ClientSession() as http:
        async with http.get(desk.service.webhook_url.replace("/webhooks/openai", "/readyz")) as answer:
            ready = await answer.json()
        async with http.get(desk.service.webhook_url.replace("/webhooks/openai", "/metrics")) as answer:
            lines = (await answer.text()).splitlines()
    return ready["mcp_servers"], "\n".join(
        line for line in lines if line.startswith("sipagent_mcp_server_up")
    )


def alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


def tools_now(desk: Practice) -> set[str]:
    return {tool.name for tool in desk.service.generation.prepared["front-desk"].agent.tools}


def process_tool(generation: Generation) -> FunctionTool:
    tools = generation.prepared["front-desk"].agent.tools
    [tool] = [tool for tool in tools if isinstance(tool, FunctionTool) and tool.name == "process"]
    return tool


async def process_of(desk: Practice) -> int:
    """The process behind the tools that the next call gets."""
    return int((await use(process_tool(desk.service.generation), call())).text.split()[0])


SOON = CallPlan(steps=(Say(text="Who?"), Say(text="Who?"), Say(text="Bye.")), hangs_up=False)
STAYS = CallPlan(steps=(Say(text="Bye.", when=At(since_answer_s=90.0)),), hangs_up=False)


async def test_a_call_uses_the_tools_of_a_program_and_it_ends_with_the_service(tmp_path: Path) -> None:
    loaded = written(tmp_path / "sipagent.yaml", program())
    async with practice(door=loaded, script=ASKS_TWICE, virtual_voice=QUICK_VOICE) as desk:
        record = await finished(desk, desk.simulator.place_call(SOON))
        assert await state(desk) == ({"shop": "up"}, 'sipagent_mcp_server_up{server="shop"} 1.0')
        assert tools_now(desk) >= {"price", "process", "hang_up"}
        first, second = outputs(record)
        process_id = int(first.split()[0])
        assert (first, alive(process_id)) == (second, True)
        assert first.endswith(" one")
    assert not alive(process_id)


async def test_a_reload_keeps_servers_that_are_the_same(tmp_path: Path) -> None:
    file = tmp_path / "sipagent.yaml"
    loaded = written(file, program())
    async with practice(door=loaded, script=ASKS_TWICE, virtual_voice=QUICK_VOICE) as desk:
        before = outputs(await finished(desk, desk.simulator.place_call(SOON)))
        for number in range(2, 30):
            written(file, program(allowed_tools=["process"]), number)
            assert (await desk.service.reload()).result == "loaded"
        after = outputs(await finished(desk, desk.simulator.place_call(SOON)))
        assert tools_now(desk) == {"process", "hang_up"}
    assert len({*before, *after}) == 1


async def test_a_call_keeps_its_server_and_the_next_one_gets_the_new(tmp_path: Path) -> None:
    file = tmp_path / "sipagent.yaml"
    async with practice(
        door=written(file, program("one")), script=ASKS_TWICE, virtual_voice=QUICK_VOICE
    ) as desk:
        old, generation = await greeted(desk, STAYS), desk.service.generation
        written(file, program("two"), 2)
        assert (await desk.service.reload()).result == "loaded"
        new = outputs(await finished(desk, await greeted(desk, SOON)))
        assert [each.split()[1] for each in new] == ["two", "two"]
        kept = (await use(process_tool(generation), call())).text
        assert (kept.split()[1], alive(int(kept.split()[0]))) == ("one", True)
        old.hang_up()
        await finished(desk, old)
        await eventually(lambda: not alive(int(kept.split()[0])), within_s=30)
        assert await state(desk) == ({"shop": "up"}, 'sipagent_mcp_server_up{server="shop"} 1.0')
        written(file, json.dumps({"hosted": {"server_label": "x", "server_url": "https://x.test/mcp"}}), 3)
        assert (await desk.service.reload()).result == "loaded"
        await eventually(lambda: not alive(int(new[0].split()[0])), within_s=30)
        assert await state(desk) == ({}, "")


async def test_a_server_that_is_down_at_first_is_there_for_the_next_call(tmp_path: Path) -> None:
    port = free_port()
    server = json.dumps({"url": f"http://127.0.0.1:{port}/mcp", "name": "shop", "start_timeout": "60s"})
    async with (
        AsyncExitStack() as shop,
        practice(
            door=written(tmp_path / "sipagent.yaml", server), script=ASKS_TWICE, virtual_voice=QUICK_VOICE
        ) as desk,
    ):
        generation = desk.service.generation
        assert await state(desk) == ({"shop": "down"}, 'sipagent_mcp_server_up{server="shop"} 0.0')
        assert tools_now(desk) == {"hang_up"}
        await shop.enter_async_context(shop_over_http(port))
        await eventually(lambda: "process" in tools_now(desk), within_s=60)
        renewed = desk.service.generation
        assert (renewed.number, renewed.fingerprint) == (generation.number, generation.fingerprint)
        record = await finished(desk, desk.simulator.place_call(SOON))
        assert [output.split()[1] for output in outputs(record)] == ["none", "none"]
        assert not [note for note in record.notes if note.kind == "reload"]
        assert (await state(desk))[0] == {"shop": "up"}


async def test_a_server_that_is_killed_fails_its_tool_and_serves_again(tmp_path: Path) -> None:
    loaded = written(tmp_path / "sipagent.yaml", program())
    script = """
greeting: "{asked}"
turns:
  - call: {tool: process, then: "It is {output}."}
  - call: {tool: slow, then: "It said: {output}"}
otherwise: {say: Goodbye., call: hang_up}
"""
    async with practice(door=loaded, script=script, virtual_voice=QUICK_VOICE) as desk:
        killed = await process_of(desk)
        begun = asyncio.Event()

        def watch(_: CallId, event: RealtimeSessionEvent) -> None:
            if isinstance(event, RealtimeToolStart) and event.tool.name == "slow":
                begun.set()

        desk.service.observe(watch)
        placed = desk.simulator.place_call(SOON)
        async with asyncio.timeout(60):
            await begun.wait()
        os.kill(killed, signal.SIGKILL)
        record = await finished(desk, placed)
        await eventually(lambda: desk.service.mcp_servers == {"shop": True}, within_s=60)
        assert await process_of(desk) != killed
    assert [output.split()[0] for output in outputs(record)] == [str(killed)]
    [slow] = outputs(record, "slow")
    assert "Nobody knows whether it did what it was asked" in slow
    assert record.summary.end_reason == "agent_hung_up"
