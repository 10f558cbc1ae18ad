"""Tools of MCP servers: those that we connect to, and those that the API calls by itself.

`McpServers` is for the whole service: one connection for each server, whatever the number of calls. A server
that is down when it is asked for its tools has none until it was up once; one that goes down later answers
each call of its tools with a sentence.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Literal, Self

from sipagent.calls.context import CallContext
from sipagent.calls.tools.failures import failure_sentence
from sipagent.calls.tools.ledger import work_key
from sipagent.calls.tools.mcp_client import ListedTool, McpConnection, McpServerSpec
from sipagent.errors import UserError
from sipagent.realtime import FunctionTool, HostedMCPTool, ToolContext
from sipagent.realtime.hosted_mcp import MCPToolApprovalFunctionResult, MCPToolApprovalRequest

_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_-]")


class McpServers:
    """The servers of one configuration. Enter it when the service starts; leaving ends the connections, and
    the programs behind them. A program that does not end by itself is killed after a few seconds."""

    def __init__(self, specs: Sequence[McpServerSpec]) -> None:
        """Raises `UserError` for two of one name."""
        self._connections: dict[str, McpConnection] = {}
        for spec in specs:
            if spec.name in self._connections:
                raise UserError(f"two MCP servers are named {spec.name!r}; give one of them another name")
            self._connections[spec.name] = McpConnection(spec)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Start all at once, and return when each has listed its tools or failed to. Raises nothing of its
        own: `problems` says what failed. Cancel-safe."""
        async with AsyncExitStack() as stack:
            group = await stack.enter_async_context(asyncio.TaskGroup())
            for name, connection in self._connections.items():
                task = group.create_task(connection.run(), name=f"MCP server {name}")
                stack.callback(task.cancel)
            for connection in self._connections.values():
                await connection.settled.wait()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    @property
    def problems(self) -> Mapping[str, str]:
        """The servers without a connection now, and why."""
        return {
            name: connection.problem
            for name, connection in self._connections.items()
            if connection.problem is not None
        }

    def tools(self, name: str) -> list[FunctionTool]:
        """The tools of a server, as it listed them when it was up first; empty until then.

        Raises `UserError` for a server that there is not.
        """
        connection = self._connections.get(name)
        if connection is None:
            raise UserError(f"there is no MCP server {name!r}")
        return [_function_tool(connection, tool) for tool in connection.tools or ()]


def _function_tool(connection: McpConnection, tool: ListedTool) -> FunctionTool:
    async def invoke(context: ToolContext[Any], arguments: str) -> str:
        return await connection.call(tool.name, arguments)

    return FunctionTool(
        # The API knows fewer characters in names than MCP does.
        name=_NOT_IN_A_NAME.sub("_", tool.name)[:64],
        description=tool.description,
        params_json_schema={"type": "object", "properties": {}, **tool.input_schema},
        on_invoke_tool=invoke,
        strict_json_schema=False,
        failure_error_function=failure_sentence,
    )


# Hosted ---------------------------------------------------------------------------------------------

Approval = Literal["never", "always"]


def make_hosted_tool(
    server_label: str,
    server_url: str,
    *,
    allowed_tools: Sequence[str] | None = None,
    headers: Mapping[str, str] | None = None,
    require_approval: Approval = "never",
    description: str | None = None,
) -> HostedMCPTool:
    """A server whose tools the API calls itself.

    With ``require_approval``, a call is refused until the caller was asked and has said something in reply;
    a call with other arguments is asked about anew. Raises `UserError` for what the API cannot accept.
    """
    config: dict[str, Any] = {
        "type": "mcp",
        "server_label": server_label,
        "server_url": server_url,
        "require_approval": require_approval,
    }
    if allowed_tools is not None:
        config["allowed_tools"] = list(allowed_tools)
    if headers:
        config["headers"] = dict(headers)
    if description:
        config["server_description"] = description
    return HostedMCPTool(
        tool_config=config,
        on_approval_request=_ask_the_caller if require_approval == "always" else None,
        name=server_label,
    )


async def _ask_the_caller(request: MCPToolApprovalRequest) -> MCPToolApprovalFunctionResult:
    call = request.ctx_wrapper.context
    if not isinstance(call, CallContext):
        return {"approve": False, "reason": "Nobody is there to approve it."}
    data = request.data
    name = f"{data.server_label} {data.name}"
    match call.tools.questions.consider(name, work_key(name, data.arguments), data.id):
        case "confirmed":
            return {"approve": True}
        case "ask" | "wait":
            what = json.dumps(data.name, ensure_ascii=False)
            return {
                "approve": False,
                "reason": (
                    f"Nothing has been done yet. Tell the caller what {what} would do, and ask whether you "
                    "shall. Only if they agree, call it again with the same arguments."
                ),
            }
