"""Starts the MCP servers of a configuration once, to see whether they are there and what they have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sipagent.calls.mcp_door import furnish
from sipagent.calls.tools.mcp_servers import McpServers
from sipagent.config.loader import in_file_order
from sipagent.config.loading import Loaded
from sipagent.errors import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What came of it."""

    loaded: Loaded
    """The configuration; its agents have the tools of the servers that are up."""
    tools: Mapping[str, tuple[str, ...]]
    """By server, the tools that it lists, whether an agent may use them or not."""
    problems: tuple[Problem, ...]
    """In file order: servers that are down, and tools that were to be there and are not."""


async def try_servers(loaded: Loaded) -> Tried:
    """Start the servers of ``loaded``, list their tools, and end them again. Each has its own deadline in the
    file, and they are started at once. Raises nothing; cancel-safe."""
    source, problems = loaded.document.source, []
    places = {
        each.place: each.server for profile in loaded.door.profiles.values() for each in profile.mcp_tools
    }
    async with McpServers(loaded.mcp_servers) as servers:
        for place, server in places.items():
            why = servers.connection(server).problem
            if why is not None:
                key = "url" if server.url is not None else "command"
                message = f"The MCP server {server.name} cannot be used: {why}."
                remedy = "Its tools are missing until it can; `--offline` leaves the servers out."
                problems.append(source.problem((*place, key), message, remedy))
        furnished = furnish(loaded.door, servers)
        for each in furnished.unoffered:
            problems.append(source.problem(each.wanted.place, each.message, each.remedy))
        listed = {
            spec.name: tuple(tool.name for tool in servers.connection(spec).tools or ())
            for spec in loaded.mcp_servers
        }
    return Tried(
        loaded=replace(loaded, door=furnished.door), tools=listed, problems=tuple(in_file_order(problems))
    )
