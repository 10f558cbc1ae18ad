"""Gives the agents of a configuration the tools of MCP servers, as the servers list them at that moment."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from sipagent.calls.profile import AgentProfile
from sipagent.calls.routing import FrontDoor
from sipagent.calls.tools.handing_over import tool_name
from sipagent.calls.tools.mcp_offer import Unoffered, offer
from sipagent.calls.tools.mcp_servers import McpServers
from sipagent.calls.tools.mcp_spec import McpServerSpec
from sipagent.realtime import FunctionTool


@dataclass(frozen=True, slots=True, kw_only=True)
class Furnished:
    """A configuration whose agents have all their tools."""

    door: FrontDoor
    unoffered: tuple[Unoffered, ...]
    """Tools that were to be there and are not, though their server is up; each said once."""


def servers_of(profiles: Iterable[AgentProfile]) -> tuple[McpServerSpec, ...]:
    """Every server that one of ``profiles`` has tools of, once."""
    specs: list[McpServerSpec] = []
    for profile in profiles:
        specs += [each.server for each in profile.mcp_tools if each.server not in specs]
    return tuple(specs)


def furnish(door: FrontDoor, servers: McpServers) -> Furnished:
    """``door`` with the tools of its servers, all of which were started; those of a server that was never up
    are missing. Raises nothing."""
    if not any(profile.mcp_tools for profile in door.profiles.values()):
        return Furnished(door=door, unoffered=())
    profiles: dict[str, AgentProfile] = {}
    unoffered: list[Unoffered] = []
    for name, profile in door.profiles.items():
        profiles[name], left_out = furnish_profile(profile, servers)
        unoffered += [each for each in left_out if each not in unoffered]
    return Furnished(door=replace(door, profiles=profiles), unoffered=tuple(unoffered))


def furnish_profile(profile: AgentProfile, servers: McpServers) -> tuple[AgentProfile, list[Unoffered]]:
    """``profile`` alone, as `furnish`, and what could not be offered."""
    taken: set[str] = {tool.name for tool in profile.agent.tools if isinstance(tool, FunctionTool)}
    taken.update(profile.call_tools, map(tool_name, profile.handoffs))
    tools = list(profile.agent.tools)
    unoffered: list[Unoffered] = []
    for wanted in profile.mcp_tools:
        offered = offer(wanted, servers.connection(wanted.server), taken)
        tools += offered.tools
        taken.update(tool.name for tool in offered.tools)
        unoffered += offered.unoffered
    return replace(profile, agent=replace(profile.agent, tools=tools)), unoffered


@asynccontextmanager
async def furnished(
    profiles: Mapping[str, AgentProfile],
) -> AsyncIterator[tuple[dict[str, AgentProfile], tuple[str, ...]]]:
    """``profiles`` with the tools of their servers, which run until this is left; and what is missing, in
    sentences. Waits until each server is up or has failed to be, once. Raises nothing; cancel-safe."""
    async with McpServers(servers_of(profiles.values())) as servers:
        made: dict[str, AgentProfile] = {}
        missing = [f"The MCP server {name} is down: {why}." for name, why in servers.problems.items()]
        for name, profile in profiles.items():
            made[name], unoffered = furnish_profile(profile, servers)
            sentences = (f"{each.message} {each.remedy}" for each in unoffered)
            missing += [each for each in sentences if each not in missing]
        yield made, tuple(missing)
