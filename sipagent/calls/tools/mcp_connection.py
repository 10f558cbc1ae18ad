"""The connection to one MCP server, kept up for as long as anybody needs it.

One task owns it: it starts the server's process or opens the HTTP connection, shakes hands, lists the tools,
and looks after it; when it is lost, it is made again, after pauses that grow. Calls of tools come from other
tasks and never wait for a connection: without one, they fail at once, and say so.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from sipagent.calls.tools.failures import ToolFailureError
from sipagent.calls.tools.mcp_client import (
    Heard,
    ListedTool,
    McpClient,
    ServerLostError,
    connected,
    reason_of,
    unanswered,
)
from sipagent.calls.tools.mcp_spec import McpServerSpec
from sipagent.calls.tools.program_words import ProgramWords

if TYPE_CHECKING:  # comes with the package mcp
    from anyio import CancelScope

logger = logging.getLogger(__name__)

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 30.0
STAYED_UP_S: Final = 60.0
"""A connection that lasted so long was no failure: the pauses begin anew."""
PROBE_EVERY_S: Final = 20.0
"""How often a server is asked for its tools: whether it is there, and whether they are others now."""
PROBE_TIMEOUT_S: Final = 10.0
LOST: Final = "the connection was lost"


class McpConnection:
    """One server. `run` is its whole life; everything else may be called from any task meanwhile."""

    def __init__(self, spec: McpServerSpec, *, changed: Callable[[], None] | None = None) -> None:
        """``changed`` is called when it goes up or down, and when its tools are others."""
        self.spec = spec
        self.tools: tuple[ListedTool, ...] | None = None
        """As listed last; None until it was up once."""
        self.settled = asyncio.Event()
        """Set once the first attempt to connect and list has gone one way or the other."""
        self._changed = changed or (lambda: None)
        self._client: McpClient | None = None
        self._problem: str | None = "not connected yet"
        self._life: CancelScope | None = None
        self._ended = False

    @property
    def problem(self) -> str | None:
        """Why there is no connection; None while there is one. For the operator: a program's own words may be
        part of it."""
        return LOST if self._client is not None and self._client.lost.is_set() else self._problem

    def end(self) -> None:
        """Let `run` return, which may take a program some seconds. Better than cancelling its task: that may
        hit it while it ends a program, which is then left behind."""
        self._ended = True
        if self._life is not None:
            self._life.cancel()

    async def run(self) -> None:
        """Keep the connection up until `end` is called."""
        from anyio import CancelScope

        if not self._ended:
            with CancelScope() as self._life:
                await self._live()

    async def call(self, name: str, arguments_json: str, *, timeout_s: float) -> str:
        """Call a tool. Raises `ToolFailureError`. Cancel-safe: the server is told, and may go on all the
        same."""
        client = self._client
        if client is None or client.lost.is_set():
            raise ToolFailureError(
                "Nothing was done: the system behind this tool cannot be reached now.", effect="none"
            )
        try:
            return await client.call(name, arguments_json, timeout_s=timeout_s)
        except ServerLostError as error:
            client.lost.set()
            logger.warning("MCP server %s: %s", self.spec.name, error)
            raise unanswered(str(error)) from error

    # Its life --------------------------------------------------------------------------------------

    async def _live(self) -> None:
        task = asyncio.current_task()
        assert task is not None, "a coroutine is run by a task"
        loop = asyncio.get_running_loop()
        pause_s = FIRST_PAUSE_S
        while True:
            began = loop.time()
            problem = "the connection broke off"
            heard = Heard()
            try:
                with ExitStack() as stack:
                    if self.spec.url is None:
                        name = f"MCP server {self.spec.name}"
                        heard.words = stack.enter_context(ProgramWords(name))
                    await self._one_connection(heard)
            except asyncio.CancelledError:
                if task.cancelling():
                    raise
            except Exception as error:  # the wall around one server: whatever it does, calls go on
                problem = reason_of(error, heard)
                logger.debug("MCP server %s", self.spec.name, exc_info=error)
                if task.cancelling():
                    # What went wrong while it ended has taken the place of the cancellation.
                    raise asyncio.CancelledError from error
            finally:
                self._client = None
            self._down(problem)
            if loop.time() - began > STAYED_UP_S:
                pause_s = FIRST_PAUSE_S
            await asyncio.sleep(pause_s * random.uniform(0.75, 1.25))
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    async def _one_connection(self, heard: Heard) -> None:
        """Connect, and look after it. Raises whatever goes wrong: it ends in no other way."""
        deadline = asyncio.timeout(self.spec.start_timeout_s)
        async with deadline, connected(self.spec, heard) as client:
            tools = await client.list_tools()
            deadline.reschedule(None)
            self._up(client, tools)
            while True:
                try:
                    async with asyncio.timeout(PROBE_EVERY_S):
                        await client.lost.wait()
                except TimeoutError:
                    async with asyncio.timeout(PROBE_TIMEOUT_S):
                        self._listed(await client.list_tools())
                else:
                    raise ServerLostError(LOST)

    def _up(self, client: McpClient, tools: tuple[ListedTool, ...]) -> None:
        self._client, self._problem = client, None
        logger.info("MCP server %s is up, with %d tools", self.spec.name, len(tools))
        self._listed(tools)
        self.settled.set()
        self._changed()

    def _listed(self, tools: tuple[ListedTool, ...]) -> None:
        if tools == self.tools:
            return
        if self.tools is not None:
            logger.info("MCP server %s has other tools now: the next calls get them", self.spec.name)
        self.tools = tools
        self._changed()

    def _down(self, problem: str) -> None:
        if problem != self._problem:
            logger.warning("MCP server %s is down: %s; trying again and again", self.spec.name, problem)
            self._problem = problem
            self._changed()
        self.settled.set()
