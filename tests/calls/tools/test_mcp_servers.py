"""Tools of MCP servers: real ones, over standard input and output and over HTTP."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from sipagent.calls.tools import mcp_connection
from sipagent.calls.tools.manners import ToolManners, with_manners
from sipagent.calls.tools.mcp_offer import offer
from sipagent.calls.tools.mcp_servers import McpServers
from sipagent.calls.tools.mcp_spec import McpServerSpec, McpTools
from sipagent.errors import UserError
from sipagent.realtime import FunctionTool
from tests.calls.controls import call
from tests.calls.tools.using import use
from tests.support.eventually import eventually
from tests.support.ports import free_port
from tests.support.web import serving

SHOP = str(Path(__file__).with_name("mcp_shop.py"))
SECRET = "s3cret-of-the-shop"
PATIENCE_S = 60.0


def over_stdio(**changes: Any) -> McpServerSpec:
    given: dict[str, Any] = {
        "name": "shop",
        "command": (sys.executable, SHOP, "stdio"),
        "start_timeout_s": PATIENCE_S,
        **changes,
    }
    return McpServerSpec(**given)


def tools_of(servers: McpServers, **wanted: Any) -> dict[str, FunctionTool]:
    """The tools of the only server."""
    [spec] = servers.running
    offered = offer(McpTools(server=spec, **wanted), servers.connection(spec), ())
    return {tool.name: tool for tool in offered.tools}


@asynccontextmanager
async def shop_over_http(port: int) -> AsyncIterator[str]:
    process = await asyncio.create_subprocess_exec(sys.executable, SHOP, "http", str(port))
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    break
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.kill()
        await process.wait()


async def test_the_tools_of_a_program_are_listed_and_called() -> None:
    async with McpServers([over_stdio(env={"SHOP_KEY": SECRET})]) as servers:
        assert servers.problems == {}
        tools = tools_of(servers)
        assert {"price", "stock", "broken", "slow", "die", "secret", "order", "process", "grow"} == set(tools)
        assert tools["price"].description == "What an article costs."
        assert tools["price"].params_json_schema["required"] == ["article"]
        context = call()
        price = await use(tools["price"], context, '{"article": "tea"}')
        assert (price.text, price.is_error) == ("tea costs 12 euros", False)
        stock = await use(tools["stock"], context, '{"article": "tea", "size": 2}')
        assert json.loads(stock.text) == {"article": "tea", "size": 2, "left": 3}
        assert (await use(tools["secret"], context)).text == f"{SECRET} none"


async def test_calls_run_side_by_side_and_a_slow_one_is_given_up() -> None:
    async with McpServers([over_stdio()]) as servers:
        tools, context = tools_of(servers, timeout_s=4.0), call()
        slow, *prices = await asyncio.gather(
            use(tools["slow"], context),
            *(use(tools["price"], context, json.dumps({"article": f"a{number}"})) for number in range(5)),
        )
        assert slow.is_error
        assert "no answer within 4 seconds" in slow.text
        assert [each.text for each in prices] == [f"a{number} costs 12 euros" for number in range(5)]


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("broken", "{}", "The tool failed."),
        ("price", "{}", "The tool failed."),
        ("price", "[]", "Nothing was done: the arguments are no JSON object."),
    ],
)
async def test_a_failure_is_told(name: str, arguments: str, said: str) -> None:
    async with McpServers([over_stdio()]) as servers:
        told = await use(tools_of(servers)[name], call(), arguments)
    assert told.is_error
    assert told.text.startswith(said)


async def test_a_server_that_dies_is_started_again() -> None:
    async with McpServers([over_stdio()]) as servers:
        tools, context = tools_of(servers), call()
        died = await use(tools["die"], context)
        assert died.is_error
        assert "Nobody knows whether it did" in died.text
        down = await use(tools["price"], context, '{"article": "tea"}')
        assert down.is_error
        assert down.text.startswith("Nothing was done")
        assert list(servers.problems) == ["shop"]
        await eventually(lambda: not servers.problems)
        up = await use(tools["price"], context, '{"article": "tea"}')
        assert up.text == "tea costs 12 euros"


async def test_what_may_have_been_done_by_a_server_that_died_is_not_done_again() -> None:
    async with McpServers([over_stdio()]) as servers:
        tool, context = with_manners(tools_of(servers)["die"], ToolManners(side_effects=True)), call()
        first = await use(tool, context, "{}", "call_1")
        await eventually(lambda: not servers.problems)
        again = await use(tool, context, "{}", "call_2")
        assert again.is_error
        assert again.text == first.text
        assert servers.problems == {}


async def test_servers_that_are_not_there_hold_nobody_up(caplog: pytest.LogCaptureFixture) -> None:
    specs = [
        McpServerSpec(name="gone", command=("/nonexistent/program",)),
        McpServerSpec(
            name="mute", command=(sys.executable, "-c", "import time; time.sleep(60)"), start_timeout_s=1
        ),
        McpServerSpec(name="liar", command=(sys.executable, "-c", "print('hello')"), start_timeout_s=30),
        McpServerSpec(
            name="down",
            url=f"http://127.0.0.1:{free_port()}/mcp",
            headers={"Authorization": SECRET},
            start_timeout_s=30,
        ),
    ]
    async with asyncio.timeout(PATIENCE_S), McpServers(specs) as servers:
        assert set(servers.problems) == {"gone", "mute", "liar", "down"}
        assert servers.problems["gone"] == "its command was not found"
        assert servers.problems["mute"] == "it did not answer in time"
        assert servers.problems["liar"] == "its program ended, or says nothing that is MCP"
        assert servers.problems["down"].startswith("nothing could be asked at its url")
        for spec in specs:
            assert servers.connection(spec).tools is None
    assert SECRET not in caplog.text
    assert [record.name for record in caplog.records if record.name.startswith("mcp")] == []


@pytest.mark.parametrize(
    ("status", "said"), [(401, "it answers with HTTP 401"), (200, "what it answers is no MCP")]
)
async def test_what_a_url_answers_that_is_no_server(status: int, said: str) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, text="hello")

    async with serving(answer) as url:
        spec = McpServerSpec(name="shop", url=f"{url}/mcp", start_timeout_s=PATIENCE_S)
        async with McpServers([spec]) as servers:
            assert servers.problems == {"shop": said}


async def test_the_tools_of_a_server_over_http_are_called_and_it_may_go_and_come_back() -> None:
    port = free_port()
    spec = McpServerSpec(name="shop", url=f"http://127.0.0.1:{port}/mcp", start_timeout_s=PATIENCE_S)
    async with AsyncExitStack() as shop:
        await shop.enter_async_context(shop_over_http(port))
        async with McpServers([spec]) as servers:
            tools, context = tools_of(servers), call()
            assert (await use(tools["price"], context, '{"article": "tea"}')).text == "tea costs 12 euros"
            await shop.aclose()
            assert (await use(tools["price"], context, '{"article": "tea"}')).is_error
            async with shop_over_http(port):
                await eventually(lambda: not servers.problems)
                up = await use(tools["price"], context, '{"article": "tea"}')
            assert up.text == "tea costs 12 euros"


async def test_entering_that_is_cancelled_leaves_nothing() -> None:
    spec = McpServerSpec(
        name="mute", command=(sys.executable, "-c", "import time; time.sleep(60)"), start_timeout_s=PATIENCE_S
    )
    task = asyncio.create_task(McpServers([spec]).__aenter__())
    await asyncio.sleep(0.3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_servers_are_known_by_their_names() -> None:
    with pytest.raises(UserError, match="two MCP servers"):
        McpServers([over_stdio(), over_stdio()])
    async with McpServers([]) as servers:
        with pytest.raises(UserError, match="no MCP server"):
            servers.connection(over_stdio())


async def test_servers_come_and_go_while_others_stay() -> None:
    shop, other = over_stdio(), over_stdio(name="other")
    async with McpServers() as servers:
        assert (servers.running, servers.problems) == ((), {})
        await servers.start([shop])
        kept = servers.connection(shop)
        await servers.start([over_stdio(), other])
        assert servers.connection(over_stdio()) is kept
        assert [spec.name for spec in servers.running] == ["shop", "other"]
        servers.keep_only([shop])
        assert [spec.name for spec in servers.running] == ["shop"]
        with pytest.raises(UserError, match="no MCP server 'other'"):
            servers.connection(other)
        assert servers.changed.is_set()


async def test_other_tools_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mcp_connection, "PROBE_EVERY_S", 0.1)
    async with McpServers([over_stdio()]) as servers:
        assert "grown" not in tools_of(servers)
        servers.changed.clear()
        await use(tools_of(servers)["grow"], call())
        async with asyncio.timeout(PATIENCE_S):
            await servers.changed.wait()
        assert (await use(tools_of(servers)["grown"], call())).text == "new"


async def test_a_program_that_ends_says_why() -> None:
    spec = McpServerSpec(name="shop", command=(sys.executable, "-c", "raise SystemExit('no shelf')"))
    async with McpServers([spec]) as servers:
        [why] = servers.problems.values()
    assert why == "its program ended, or says nothing that is MCP; it said: no shelf"
