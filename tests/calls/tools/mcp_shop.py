"""An MCP server to test against: ``python mcp_shop.py stdio`` or ``python mcp_shop.py http PORT``."""

from __future__ import annotations

import os
import sys
from typing import Any

import anyio
from mcp.server.mcpserver import MCPServer
from mcp_types import ToolAnnotations

_orders: list[str] = []
shop = MCPServer("shop", log_level="CRITICAL")


@shop.tool()
def price(article: str) -> str:
    """What an article costs."""
    return f"{article} costs 12 euros"


@shop.tool()
def stock(article: str, size: int = 1) -> dict[str, Any]:
    """How many there are."""
    return {"article": article, "size": size, "left": 3}


@shop.tool()
def broken() -> str:
    """Fails."""
    raise ValueError("the drawer is stuck")


@shop.tool()
async def slow() -> str:
    """Takes its time."""
    await anyio.sleep(30)
    return "done"


@shop.tool()
def die() -> str:
    """Ends the server in the middle of a call."""
    os._exit(3)


@shop.tool()
def secret() -> str:
    """What the server's surroundings hold."""
    return f"{os.environ.get('SHOP_KEY', 'none')} {os.environ.get('NOT_FOR_SHOPS', 'none')}"


@shop.tool(annotations=ToolAnnotations(read_only_hint=False))
def order(article: str) -> str:
    """Orders one."""
    _orders.append(article)
    return f"{len(_orders)} ordered"


@shop.tool()
def process() -> str:
    """Which process serves, and what it was started for."""
    return f"{os.getpid()} {os.environ.get('SHOP_FLOOR', 'none')}"


def grown() -> str:
    """Was not there before."""
    return "new"


@shop.tool()
def grow() -> str:
    """Adds a tool."""
    shop.add_tool(grown)
    return "grown"


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        shop.run("stdio")
    else:
        shop.run("streamable-http", host="127.0.0.1", port=int(sys.argv[2]))
