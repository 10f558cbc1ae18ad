"""The MCP servers that we connect to ourselves: started when they are needed first, ended when nobody is left
who needs them.

There is one connection for each server, whatever the number of calls, and each is kept up by a task of its
own. A server that is down when it is asked for its tools has none until it was up once; one that goes down
later answers each call of its tools with a sentence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from sipagent.calls.tools.mcp_connection import McpConnection
from sipagent.calls.tools.mcp_spec import McpServerSpec
from sipagent.errors import UserError


class McpServers:
    """Every server that runs. Enter it before anything is started; leaving ends the connections, and the
    programs behind them. A program that does not end by itself is killed after a few seconds."""

    def __init__(self, specs: Sequence[McpServerSpec] = ()) -> None:
        """``specs`` are started when it is entered. Raises `UserError` for two of one name."""
        names = [spec.name for spec in specs]
        for name in names:
            if names.count(name) > 1:
                raise UserError(f"two MCP servers are named {name!r}; give one of them another name")
        self._specs = tuple(specs)
        self._connections: list[McpConnection] = []
        self._tasks: set[asyncio.Task[None]] = set()
        """Of all that run, also of those that are being ended."""
        self._group = asyncio.TaskGroup()
        self.changed = asyncio.Event()
        """Set when a server went up or down, or has other tools; whoever waits clears it."""

    async def __aenter__(self) -> Self:
        """Cancel-safe; raises nothing of its own, see `start`."""
        await self._group.__aenter__()
        try:
            await self.start(self._specs)
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        ending = list(self._tasks)
        self.keep_only(())
        if ending:
            # Before the group is left, which would cancel them in the midst of it.
            try:
                await asyncio.wait(ending)
            except asyncio.CancelledError as error:
                await self._group.__aexit__(type(error), error, error.__traceback__)
                raise
        # What went wrong around the servers is none of theirs, and not to be grouped with it.
        await self._group.__aexit__(None, None, None)

    async def start(self, specs: Sequence[McpServerSpec]) -> None:
        """Start those that do not run, all at once, and return when each has listed its tools or failed to;
        `problems` says what failed. Cancelling is safe and leaves them starting; `keep_only` ends them."""
        for spec in specs:
            if self._found(spec) is None:
                connection = McpConnection(spec, changed=self.changed.set)
                self._connections.append(connection)
                task = self._group.create_task(connection.run(), name=f"MCP server {spec.name}")
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        for spec in specs:
            await self.connection(spec).settled.wait()

    def keep_only(self, specs: Sequence[McpServerSpec]) -> None:
        """End every server that is none of ``specs``; their programs may take seconds for it."""
        for connection in tuple(self._connections):
            if connection.spec not in specs:
                self._connections.remove(connection)
                connection.end()
                self.changed.set()

    def connection(self, spec: McpServerSpec) -> McpConnection:
        """The one to the server of ``spec``, which was started. Raises `UserError` for another."""
        connection = self._found(spec)
        if connection is None:
            raise UserError(f"there is no MCP server {spec.name!r}")
        return connection

    @property
    def running(self) -> tuple[McpServerSpec, ...]:
        """The servers that are kept up, whether they are up or not."""
        return tuple(connection.spec for connection in self._connections)

    @property
    def problems(self) -> Mapping[str, str]:
        """By name, the servers without a connection now, and why."""
        return {
            connection.spec.name: connection.problem
            for connection in self._connections
            if connection.problem is not None
        }

    def _found(self, spec: McpServerSpec) -> McpConnection | None:
        # Specs hold mappings, so they are compared, not hashed; there are a handful.
        return next((each for each in self._connections if each.spec == spec), None)
