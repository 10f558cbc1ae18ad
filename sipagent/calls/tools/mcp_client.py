"""The connection to one MCP server, kept up for as long as the service runs.

One task owns it: it starts the server's process or opens the HTTP connection, shakes hands, lists the tools
once, and looks after it; when it is lost, it is made again, after pauses that grow. Calls of tools come from
other tasks and never wait for a connection: without one, they fail at once, and say so.

All that is foreign about the ``mcp`` package stays in this file; it is an extra, imported when first used.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sipagent.calls.tools.answers import LONGEST_RESULT, shortened
from sipagent.calls.tools.failures import Effect, ToolFailureError
from sipagent.calls.tools.request_parts import check_header, check_plain_url
from sipagent.errors import UserError

if TYPE_CHECKING:  # an extra, and slow to import
    import mcp

logger = logging.getLogger(__name__)

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 30.0
STAYED_UP_S: Final = 60.0
"""A connection that lasted so long was no failure: the pauses begin anew."""
PROBE_EVERY_S: Final = 20.0
"""How often a connection that nobody uses is looked after."""
PROBE_TIMEOUT_S: Final = 10.0
MOST_PAGES: Final = 50
"""Of a list of tools."""
MOST_TOOLS: Final = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class McpServerSpec:
    """One server, by the command that starts it or by its URL.

    Raises `UserError` for both or neither, and for what could not be sent.
    """

    name: str
    """Of the configuration; the model does not see it."""
    command: tuple[str, ...] = ()
    """A program and its arguments, spoken to over its standard input and output."""
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Beside the few variables that such programs always get. May hold secrets."""
    folder: str | None = None
    """Where the command runs; None is where the service does."""
    url: str | None = None
    """Of a server that speaks "Streamable HTTP" (MCP specification, "Transports")."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """May hold secrets: sent, and never shown."""
    allowed_tools: tuple[str, ...] | None = None
    """None offers all that the server has."""
    timeout_s: float = 20.0
    """Of one call of a tool."""
    start_timeout_s: float = 10.0
    """Of starting, connecting and listing."""

    def __post_init__(self) -> None:
        if bool(self.command) == (self.url is not None):
            raise UserError(f"MCP server {self.name}: give it either a command or a url")
        if self.url is not None:
            check_plain_url(f"{self.url}/")
        for name, value in self.headers.items():
            check_header(name, value)
        if self.command and self.headers:
            raise UserError(f"MCP server {self.name}: a command takes no headers; use env")
        if self.url is not None and self.env:
            raise UserError(f"MCP server {self.name}: a url takes no env; use headers")
        if not (self.timeout_s > 0 and self.start_timeout_s > 0):
            raise UserError(f"MCP server {self.name}: a time-out must be above 0 s")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedTool:
    """A tool as its server describes it."""

    name: str
    description: str
    input_schema: dict[str, Any]


class McpConnection:
    """One server. `run` is its whole life; everything else may be called from any task meanwhile."""

    def __init__(self, spec: McpServerSpec) -> None:
        self.spec = spec
        self.tools: tuple[ListedTool, ...] | None = None
        """As listed first, without those that are not allowed; None until then."""
        self.problem: str | None = "not connected yet"
        """Why there is no connection; None while there is one. Holds no secret."""
        self.settled = asyncio.Event()
        """Set once the first attempt to connect and list has gone one way or the other."""
        self._client: mcp.Client | None = None
        self._lost = asyncio.Event()

    async def run(self) -> None:
        """Keep the connection up until cancelled."""
        loop = asyncio.get_running_loop()
        pause_s = FIRST_PAUSE_S
        while True:
            began = loop.time()
            try:
                await self._one_connection()
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                self.problem = "the connection broke off"
            except Exception as error:  # the wall around one server: whatever it does, calls go on
                self.problem = _reason(error)
                logger.debug("MCP server %s", self.spec.name, exc_info=error)
            finally:
                self._client = None
                self.settled.set()
            if loop.time() - began > STAYED_UP_S:
                pause_s = FIRST_PAUSE_S
            logger.warning("MCP server %s: %s; trying again", self.spec.name, self.problem)
            await asyncio.sleep(pause_s * random.uniform(0.75, 1.25))
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    async def call(self, name: str, arguments_json: str) -> str:
        """Call a tool. Raises `ToolFailureError`. Cancel-safe: the server is told, and may go on all the
        same."""
        arguments = _arguments(arguments_json)
        client = self._client
        if client is None:
            raise ToolFailureError(
                "Nothing was done: the system behind this tool cannot be reached now.", effect="none"
            )
        library = _library()
        try:
            async with asyncio.timeout(self.spec.timeout_s):
                result = await client.call_tool(name, arguments)
        except library.MCPError as error:
            raise self._refused(error) from error
        except TimeoutError as error:
            raise self._unanswered(f"there was no answer within {self.spec.timeout_s:g} seconds") from error
        except (OSError, RuntimeError, ValueError, EOFError) as error:
            self._lose()
            raise self._unanswered(f"its answer could not be read ({type(error).__name__})") from error
        text = _text(result)
        if result.is_error:
            raise ToolFailureError(f"The tool failed. It says: {text or 'nothing'}", effect="unknown")
        return text or "Done; there is nothing to tell."

    # Its life --------------------------------------------------------------------------------------

    async def _one_connection(self) -> None:
        """Connect, and return when the connection is lost. Raises whatever goes wrong."""
        self._lost.clear()
        spec = self.spec
        deadline = asyncio.timeout(spec.start_timeout_s)
        async with deadline, _connected(spec) as client:
            if self.tools is None:
                self.tools = await _listed(client, spec)
            deadline.reschedule(None)
            self._client, self.problem = client, None
            self.settled.set()
            logger.info("MCP server %s: connected, %d tools", spec.name, len(self.tools))
            await self._look_after(client)
            self._lose()

    async def _look_after(self, client: mcp.Client) -> None:
        """Return once the connection is lost."""
        library = _library()
        while not self._lost.is_set():
            try:
                async with asyncio.timeout(PROBE_EVERY_S):
                    await self._lost.wait()
            except TimeoutError:
                try:
                    async with asyncio.timeout(PROBE_TIMEOUT_S):
                        await client.list_tools(cache_mode="bypass")
                except (library.MCPError, TimeoutError):
                    return

    def _lose(self) -> None:
        """Nobody waits for a connection that is gone."""
        self._client, self.problem = None, "the connection was lost"
        self._lost.set()

    def _refused(self, error: mcp.MCPError) -> ToolFailureError:
        import mcp_types

        if error.code == mcp_types.CONNECTION_CLOSED:
            self._lose()
            return self._unanswered("the connection broke off")
        effect: Effect = "unknown"
        if error.code in (mcp_types.INVALID_PARAMS, mcp_types.METHOD_NOT_FOUND):
            effect = "none"
        said = shortened(" ".join(error.message.split()), 500)
        return ToolFailureError(f"The tool was refused. The system behind it says: {said}", effect=effect)

    def _unanswered(self, reason: str) -> ToolFailureError:
        logger.warning("MCP server %s: %s", self.spec.name, reason)
        return ToolFailureError(
            f"The system behind this tool failed: {reason}. Nobody knows whether it did what it was asked.",
            effect="unknown",
        )


# What is foreign ------------------------------------------------------------------------------------


def _library() -> Any:
    """The ``mcp`` package. Raises `UserError` where it is not installed."""
    try:
        import mcp
    except ModuleNotFoundError as error:
        raise UserError("MCP servers need the package mcp: pip install 'sipagent[mcp]'") from error
    return mcp


@asynccontextmanager
async def _connected(spec: McpServerSpec) -> AsyncIterator[mcp.Client]:
    library = _library()
    if spec.url is None:
        program, *arguments = spec.command
        parameters = library.StdioServerParameters(
            command=program, args=arguments, env=dict(spec.env), cwd=spec.folder
        )
        async with library.Client(parameters, cache=None) as client:
            yield client
    else:
        import httpx2
        from mcp.client.streamable_http import streamable_http_client

        # Nothing from the environment: a proxy or a .netrc of the machine is not part of the configuration.
        timeout = httpx2.Timeout(30.0, read=300.0)
        async with httpx2.AsyncClient(headers=dict(spec.headers), timeout=timeout, trust_env=False) as http:
            transport = streamable_http_client(spec.url, http_client=http)
            async with library.Client(transport, cache=None) as client:
                yield client


async def _listed(client: mcp.Client, spec: McpServerSpec) -> tuple[ListedTool, ...]:
    found: list[ListedTool] = []
    cursor: str | None = None
    for _ in range(MOST_PAGES):
        page = await client.list_tools(cursor=cursor)
        found += [
            ListedTool(name=tool.name, description=tool.description or "", input_schema=tool.input_schema)
            for tool in page.tools
        ]
        cursor = page.next_cursor
        if cursor is None:
            break
    if spec.allowed_tools is not None:
        there = {tool.name for tool in found}
        for name in spec.allowed_tools:
            if name not in there:
                logger.warning("MCP server %s has no tool %s", spec.name, name[:100])
        found = [tool for tool in found if tool.name in spec.allowed_tools]
    if len(found) > MOST_TOOLS:
        logger.warning("MCP server %s has %d tools; the first %d are used", spec.name, len(found), MOST_TOOLS)
    return tuple(found[:MOST_TOOLS])


def _arguments(arguments_json: str) -> dict[str, Any]:
    try:
        arguments = json.loads(arguments_json or "{}")
    except (ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        raise ToolFailureError("Nothing was done: the arguments are no JSON object.", effect="none")
    return arguments


def _text(result: mcp.types.CallToolResult) -> str:
    """What the model is told of a result: its texts, or its structured content when it has none."""
    texts = [part.text for part in result.content if part.type == "text"]
    others = [part.type for part in result.content if part.type != "text"]
    if not texts and result.structured_content is not None:
        texts = [json.dumps(result.structured_content, ensure_ascii=False)]
    texts += [f"({kind} content, which cannot be told on the telephone)" for kind in others]
    return shortened("\n".join(texts), LONGEST_RESULT)


def _reason(error: BaseException) -> str:
    """A failure in few words, without what may hold secrets."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    match error:
        case UserError():
            return str(error)
        case TimeoutError():
            return "it did not answer in time"
        case FileNotFoundError():
            return "its command was not found"
        case _:
            return f"it could not be connected to ({type(error).__name__})"
