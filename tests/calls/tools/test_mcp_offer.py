"""What agents get of a server that is up, without a server: the connection is told what was listed."""

from __future__ import annotations

from typing import Any

from sipagent.calls.tools.manners import ToolManners
from sipagent.calls.tools.mcp_client import ListedTool
from sipagent.calls.tools.mcp_connection import McpConnection
from sipagent.calls.tools.mcp_offer import offer
from sipagent.calls.tools.mcp_spec import McpServerSpec, McpTools
from sipagent.calls.tools.texts import ToolText
from tests.calls.controls import call
from tests.calls.tools.using import use

SPEC = McpServerSpec(name="shop", command=("shop",))


def tool(name: str, *arguments: str, changes_something: bool = False) -> ListedTool:
    properties = {argument: {"type": "string"} for argument in arguments}
    return ListedTool(
        name=name,
        description=f"About {name}.",
        input_schema={"type": "object", "properties": properties, "required": list(arguments)},
        changes_something=changes_something,
    )


class Shop(McpConnection):
    """A connection without a server; it remembers what was asked."""

    def __init__(self, *tools: ListedTool) -> None:
        super().__init__(SPEC)
        self.tools = tools
        self.asked: list[tuple[str, str, float]] = []

    async def call(self, name: str, arguments_json: str, *, timeout_s: float) -> str:
        self.asked.append((name, arguments_json, timeout_s))
        return f"{name} was asked"


def wanted(**changes: Any) -> McpTools:
    return McpTools(server=SPEC, **changes)


def test_a_server_that_was_never_up_has_nothing_to_offer() -> None:
    offered = offer(wanted(allowed=("price",)), McpConnection(SPEC), ())
    assert (offered.tools, offered.unoffered) == ((), ())


async def test_a_tool_is_asked_by_the_name_that_its_server_gave_it() -> None:
    shop = Shop(tool("price of", "article"))
    [made] = offer(wanted(timeout_s=3.0), shop, ()).tools
    assert (made.name, made.description) == ("price_of", "About price of.")
    assert made.params_json_schema["required"] == ["article"]
    assert (await use(made, call(), '{"article": "tea"}')).text == "price of was asked"
    assert shop.asked == [("price of", '{"article": "tea"}', 3.0)]


def test_only_allowed_tools_are_offered_and_a_missing_one_is_said() -> None:
    offered = offer(wanted(allowed=("stock", "prize", "stock")), Shop(tool("price"), tool("stock")), ())
    assert [each.name for each in offered.tools] == ["stock"]
    [unoffered] = offered.unoffered
    assert unoffered.message == "The server shop has no tool `prize`."
    assert unoffered.remedy == "It has: price, stock."


def test_a_name_that_the_agent_uses_already_is_not_offered_twice() -> None:
    offered = offer(wanted(), Shop(tool("hang_up"), tool("a b"), tool("a-b"), tool("a.b")), ("hang_up",))
    assert [each.name for each in offered.tools] == ["a_b", "a-b"]
    assert ["hang_up" in offered.unoffered[0].message, "a.b" in offered.unoffered[1].message] == [True, True]


async def test_a_tool_that_changes_something_runs_once_if_its_server_says_so() -> None:
    shop = Shop(tool("order", changes_something=True), tool("price"))
    order, price = offer(wanted(), shop, ()).tools
    context = call()
    for number in range(2):
        await use(order, context, "{}", f"order_{number}")
        await use(price, context, "{}", f"price_{number}")
    assert [name for name, _, _ in shop.asked] == ["order", "price", "price"]


async def test_the_file_has_the_last_word_on_side_effects() -> None:
    shop = Shop(tool("order", changes_something=True), tool("price"))
    context = call()
    for side_effects in (False, True):
        order, price = offer(wanted(side_effects=side_effects), shop, ()).tools
        for number in range(2):
            await use(order, context, "{}", f"order_{side_effects}_{number}")
            await use(price, context, "{}", f"price_{side_effects}_{number}")
    assert [name for name, _, _ in shop.asked] == ["order", "price", "order", "price", "order", "price"]


async def test_manners_are_those_of_the_file() -> None:
    shop = Shop(tool("order", "article", changes_something=True), tool("price"))
    manners = ToolManners(confirm=ToolText("Shall I order {article}?"))
    offered = offer(wanted(manners=manners), shop, ())
    [order] = offered.tools
    told = await use(order, call(), '{"article": "tea"}')
    assert "Shall I order tea?" in told.text
    assert shop.asked == []
    [unoffered] = offered.unoffered
    assert "`price` of the server shop does not fit its words" in unoffered.message
    assert "`{article}` is no argument of the tool." in unoffered.message
