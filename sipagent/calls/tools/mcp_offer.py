"""Turns what an MCP server lists into tools of an agent, with the manners that its configuration wants."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sipagent.calls.template import TemplateError
from sipagent.calls.tools.failures import failure_sentence
from sipagent.calls.tools.manners import ToolManners, with_manners
from sipagent.calls.tools.mcp_client import ListedTool
from sipagent.calls.tools.mcp_connection import McpConnection
from sipagent.calls.tools.mcp_spec import McpTools
from sipagent.realtime import FunctionTool, ToolContext

_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_-]")
_LONGEST_NAME = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Unoffered:
    """Why a tool is not offered that was to be, and what to do about it; both are sentences."""

    wanted: McpTools
    message: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What an agent gets of a server."""

    tools: tuple[FunctionTool, ...]
    unoffered: tuple[Unoffered, ...] = ()


def offer(wanted: McpTools, connection: McpConnection, taken: Collection[str]) -> Offer:
    """The tools that ``wanted`` names, of the server behind ``connection``; none before it was up once.

    ``taken`` are names that the agent's other tools have: the model could not tell two of one name apart.
    """
    if connection.tools is None:
        return Offer(tools=())
    server, names = connection.spec.name, set(taken)
    listed = {tool.name: tool for tool in connection.tools}
    tools: list[FunctionTool] = []
    unoffered: list[Unoffered] = []

    def leave_out(message: str, remedy: str) -> None:
        unoffered.append(Unoffered(wanted=wanted, message=message, remedy=remedy))

    for name in dict.fromkeys(listed if wanted.allowed is None else wanted.allowed):
        tool = listed.get(name)
        if tool is None:
            known = f"It has: {', '.join(sorted(listed)[:20])}." if listed else "It has none."
            leave_out(f"The server {server} has no tool `{name[:100]}`.", known)
            continue
        made = _function_tool(connection, tool, wanted.timeout_s)
        if made.name in names:
            leave_out(
                f"The server {server} has a tool `{name[:100]}`, and the agent has another one of that name.",
                "Name those that it may use in `allowed_tools:`.",
            )
            continue
        try:
            tools.append(_mannered(made, tool, wanted))
        except TemplateError as error:
            leave_out(
                f"The tool `{name[:100]}` of the server {server} does not fit its words: {error.message}",
                "Give tools with other arguments a block of their own, with `allowed_tools:`.",
            )
        else:
            names.add(made.name)
    return Offer(tools=tuple(tools), unoffered=tuple(unoffered))


def _function_tool(connection: McpConnection, tool: ListedTool, timeout_s: float) -> FunctionTool:
    async def invoke(context: ToolContext[Any], arguments: str) -> str:
        return await connection.call(tool.name, arguments, timeout_s=timeout_s)

    return FunctionTool(
        # The API knows fewer characters in names than MCP does.
        name=_NOT_IN_A_NAME.sub("_", tool.name)[:_LONGEST_NAME] or "_",
        description=tool.description,
        params_json_schema={"type": "object", "properties": {}, **tool.input_schema},
        on_invoke_tool=invoke,
        strict_json_schema=False,
        failure_error_function=failure_sentence,
    )


def _mannered(made: FunctionTool, tool: ListedTool, wanted: McpTools) -> FunctionTool:
    """Raises `TemplateError` for words that name an argument which the tool has not."""
    once = tool.changes_something if wanted.side_effects is None else wanted.side_effects
    if wanted.manners is None:
        return with_manners(made, ToolManners(side_effects=True)) if once else made
    return with_manners(made, dataclasses.replace(wanted.manners, side_effects=once))
