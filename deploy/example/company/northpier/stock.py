"""The company's stock of spare parts as an MCP server; run by the service, over standard input and output."""

from __future__ import annotations

from mcp.server.mcpserver import MCPServer
from mcp_types import ToolAnnotations

_PARTS = {"pump": 2, "ignition electrode": 5, "expansion vessel": 0}

stock = MCPServer("stock", log_level="WARNING")


@stock.tool(annotations=ToolAnnotations(read_only_hint=True))
def in_stock(part: str) -> str:
    """Whether a spare part is in stock: pump, ignition electrode or expansion vessel."""
    count = _PARTS.get(part.strip().lower())
    if count is None:
        return f"Nobody here knows a part called {part}."
    return f"{count} in stock." if count else "None in stock; it comes within three days."


if __name__ == "__main__":
    stock.run("stdio")
