"""One connection to an MCP server: all that is foreign about the ``mcp`` package stays in this file.

The package is an extra, imported when first used.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from sipagent.calls.tools.answers import LONGEST_RESULT, shortened
from sipagent.calls.tools.failures import Effect, ToolFailureError
from sipagent.calls.tools.mcp_spec import McpServerSpec
from sipagent.calls.tools.program_words import ProgramWords
from sipagent.errors import SipAgentError, UserError

if TYPE_CHECKING:  # an extra, and slow to import
    import mcp

logger = logging.getLogger(__name__)

MOST_PAGES: Final = 50
"""Of a list of tools."""
MOST_TOOLS: Final = 128
MISSING = "MCP servers need the package mcp: pip install 'sipagent[mcp]'"


class ServerLostError(SipAgentError):
    """There is no connection to the server any more; the text says why, after a colon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedTool:
    """A tool as its server describes it."""

    name: str
    description: str
    input_schema: dict[str, Any]
    changes_something: bool = False
    """Whether its server says that it changes something, and that a second time would change more."""


@dataclass(slots=True, kw_only=True)
class Heard:
    """What a server says beside MCP, which may explain why there is no connection."""

    words: ProgramWords | None = None
    """Entered; for a program, which needs them."""
    status: int | None = None
    """Of the last answer over HTTP."""


class McpClient:
    """A connection that is up, or was. All its methods are safe to cancel, and may be called at once."""

    def __init__(self, client: mcp.Client, spec: McpServerSpec, lost: asyncio.Event) -> None:
        """``lost`` is set when a program has closed its end; that of a URL is noticed only in use."""
        self._client = client
        self._spec = spec
        self.lost = lost

    async def list_tools(self) -> tuple[ListedTool, ...]:
        """Its tools as they are now. Raises `ServerLostError`."""
        library = _library()
        found: list[ListedTool] = []
        cursor: str | None = None
        try:
            for _ in range(MOST_PAGES):
                page = await self._client.list_tools(cursor=cursor, cache_mode="bypass")
                found += map(_described, page.tools)
                cursor = page.next_cursor
                if cursor is None:
                    break
        except (library.MCPError, OSError, RuntimeError, ValueError, EOFError) as error:
            raise ServerLostError(f"its tools could not be listed ({type(error).__name__})") from error
        if len(found) > MOST_TOOLS:
            logger.warning(
                "MCP server %s has %d tools; the first %d are used", self._spec.name, len(found), MOST_TOOLS
            )
        return tuple(found[:MOST_TOOLS])

    async def call(self, name: str, arguments_json: str, *, timeout_s: float) -> str:
        """What the model is told of a tool. Raises `ToolFailureError` for one that failed, and
        `ServerLostError`: nobody knows then what was done. Cancelling tells the server, which may go on."""
        library = _library()
        arguments = _arguments(arguments_json)
        try:
            async with asyncio.timeout(timeout_s):
                result = await self._client.call_tool(name, arguments)
        except library.MCPError as error:
            raise _refused(error) from error
        except TimeoutError as error:
            logger.warning("MCP server %s: no answer within %g seconds", self._spec.name, timeout_s)
            raise unanswered(f"there was no answer within {timeout_s:g} seconds") from error
        except (OSError, RuntimeError, ValueError, EOFError) as error:
            raise ServerLostError(f"its answer could not be read ({type(error).__name__})") from error
        text = _text(result)
        if result.is_error:
            raise ToolFailureError(f"The tool failed. It says: {text or 'nothing'}", effect="unknown")
        return text or "Done; there is nothing to tell."


def unanswered(reason: str) -> ToolFailureError:
    """A call of a tool of which nobody knows what became of it."""
    return ToolFailureError(
        f"The system behind this tool failed: {reason}. Nobody knows whether it did what it was asked.",
        effect="unknown",
    )


@asynccontextmanager
async def connected(spec: McpServerSpec, heard: Heard) -> AsyncIterator[McpClient]:
    """Start or reach the server of ``spec``; leaving ends a program that was started.

    Raises whatever goes wrong; `reason_of` says what that means. Cancel-safe.
    """
    library = _library()
    lost = asyncio.Event()
    if spec.url is None:
        assert heard.words is not None, "a program has a standard error"
        async with library.Client(_program(spec, heard.words, lost), cache=None) as client:
            yield McpClient(client, spec, lost)
    else:
        import httpx2
        from mcp.client.streamable_http import streamable_http_client

        async def hear(response: Any) -> None:
            heard.status = response.status_code

        # Nothing from the environment: a proxy or a .netrc of the machine is not part of the configuration.
        async with httpx2.AsyncClient(
            headers=dict(spec.headers),
            timeout=httpx2.Timeout(30.0, read=300.0),
            trust_env=False,
            event_hooks={"response": [hear]},
        ) as http:
            transport = streamable_http_client(spec.url, http_client=http)
            async with library.Client(transport, cache=None) as client:
                yield McpClient(client, spec, lost)


def reason_of(error: BaseException, heard: Heard) -> str:
    """Why there is no connection, in few words; those of a program are the last of them.

    What an error of the library holds is left out: it may be a secret.
    """
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    match error:
        case UserError() | ServerLostError():
            reason = str(error)
        case TimeoutError():
            reason = "it did not answer in time"
        case FileNotFoundError():
            reason = "its command was not found"
        case PermissionError():
            reason = "its command may not be run"
        case _ if heard.words is not None:
            reason = "its program ended, or says nothing that is MCP"
        case _ if heard.status is None:
            reason = f"nothing could be asked at its url ({type(error).__name__})"
        case _ if heard.status >= HTTPStatus.MULTIPLE_CHOICES:
            reason = f"it answers with HTTP {heard.status}"
        case _:
            reason = "what it answers is no MCP"
    return f"{reason}; it said: {heard.words.last}" if heard.words and heard.words.last else reason


# What is foreign ------------------------------------------------------------------------------------


def _library() -> Any:
    """The ``mcp`` package. Raises `UserError` where it is not installed."""
    try:
        import mcp
    except ModuleNotFoundError as error:
        raise UserError(MISSING) from error
    # Of every line that is no MCP it logs a traceback with the line in it, whatever that holds. What is wrong
    # with a server is said by us.
    logging.getLogger("mcp").setLevel(logging.CRITICAL)
    return mcp


@asynccontextmanager
async def _program(spec: McpServerSpec, words: ProgramWords, lost: asyncio.Event) -> AsyncIterator[Any]:
    """The transport of the program of ``spec``, which sets ``lost`` when the program closes it."""
    from mcp.client.stdio import StdioServerParameters, stdio_client

    program, *arguments = spec.command
    parameters = StdioServerParameters(
        command=program,
        args=arguments,
        env=dict(spec.env),
        cwd=spec.folder,
        # A line that is not UTF-8 is no message, and no reason to lose the connection.
        encoding_error_handler="replace",
    )
    async with stdio_client(parameters, errlog=words.file) as (reading, writing):
        words.handed_over()
        yield _Watched(reading, lost), writing


class _Watched:
    """A stream of messages that tells when it has ended; else as the one it holds."""

    def __init__(self, stream: Any, ended: asyncio.Event) -> None:
        self._stream = stream
        self._ended = ended

    async def __aenter__(self) -> Self:
        await self._stream.__aenter__()
        return self

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        await self._stream.__aexit__(exception_type, exception, traceback)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        return await self._stream.__anext__()

    async def receive(self) -> Any:
        """The next message."""
        return await self._stream.receive()

    async def aclose(self) -> None:
        """Let go of the stream."""
        await self._stream.aclose()


def _described(tool: mcp.types.Tool) -> ListedTool:
    hints = tool.annotations
    return ListedTool(
        name=tool.name,
        description=tool.description or "",
        input_schema=tool.input_schema,
        # Only what it says counts: by the letter of MCP, silence would mean the worst of every tool.
        changes_something=(
            hints is not None and hints.read_only_hint is False and hints.idempotent_hint is not True
        ),
    )


def _refused(error: mcp.MCPError) -> SipAgentError:
    import mcp_types

    if error.code == mcp_types.CONNECTION_CLOSED:
        return ServerLostError("the connection broke off")
    effect: Effect = "unknown"
    if error.code in (mcp_types.INVALID_PARAMS, mcp_types.METHOD_NOT_FOUND):
        effect = "none"
    said = shortened(" ".join(error.message.split()), 500)
    return ToolFailureError(f"The tool was refused. The system behind it says: {said}", effect=effect)


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
