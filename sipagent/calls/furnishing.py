"""Makes generations with the tools of their MCP servers, and keeps those servers while a call needs them.

The servers of a configuration that comes are started before it serves; those that run already go on running.
The servers of one that went are ended with the last call that began with it. When a server comes up, or has
other tools, the generation that serves is made again, under its number: the next calls have the tools, and
calls in progress keep what they began with.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from sipagent.calls.generation import Generation, Listings, prepare_generation
from sipagent.calls.mcp_door import furnish, servers_of
from sipagent.calls.preparation import prepare_all
from sipagent.calls.routing import FrontDoor
from sipagent.calls.tools.mcp_offer import Unoffered
from sipagent.calls.tools.mcp_servers import McpServers
from sipagent.calls.tools.mcp_spec import McpServerSpec
from sipagent.errors import UserError

logger = logging.getLogger(__name__)


class Serving(Protocol):
    """Who answers calls with generations; see `Supervisor`."""

    @property
    def current(self) -> Generation:
        """Who serves the next call."""

    @property
    def in_use(self) -> Iterable[Generation]:
        """The current one, and those of calls in progress."""

    def renew(self, generation: Generation) -> None:
        """Let ``generation``, which is the current one made again, serve from the next call on."""


class Furnishing:
    """Makes generations with all their tools. For one service; its ``servers`` are entered around it."""

    def __init__(self, servers: McpServers) -> None:
        self._servers = servers
        self._starting: list[McpServerSpec] = []
        """Of generations that are being made."""
        self._said: tuple[Unoffered, ...] = ()

    async def make(
        self,
        door: FrontDoor,
        *,
        number: int,
        loaded_at: datetime,
        patience_s: float | None = None,
    ) -> Generation:
        """A generation of ``door``; waits until each of its servers is up or has failed to be, once, and at
        most ``patience_s``.

        Raises `UserError` when one of its agents makes no session. After it was swapped in, or could not be,
        or this was cancelled, `let_go` is to be called.
        """
        specs = servers_of(door.profiles.values())
        if not specs:
            return await prepare_generation(door, number=number, loaded_at=loaded_at)
        bare = Generation(number=number, door=door, prepared={}, loaded_at=loaded_at)
        self._starting += specs
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    await self._servers.start(specs)
            return await self._furnished(bare)
        finally:
            for spec in specs:
                self._starting.remove(spec)

    def let_go(self, serving: Serving) -> None:
        """End the servers that neither the current generation nor a call in progress may need."""
        running = self._servers.running
        if len(running) > len(serving.current.servers) + len(self._starting):
            needed = list(self._starting)
            for generation in {id(each): each for each in serving.in_use}.values():
                needed += generation.servers
            self._servers.keep_only(needed)

    async def follow(self, serving: Serving) -> None:
        """Renew the generation that serves whenever its servers list other tools than it was made with.
        Returns never; cancelling is safe."""
        while True:
            await self._servers.changed.wait()
            self._servers.changed.clear()
            current = serving.current
            if self._listings(current.servers) == current.listings:
                continue
            try:
                renewed = await self._furnished(current)
            except UserError as error:
                logger.error("The tools of an MCP server cannot be offered: %s", error)
                continue
            if serving.current is current:
                serving.renew(renewed)
            else:
                self._servers.changed.set()

    def problems(self, serving: Serving) -> Mapping[str, str | None]:
        """By name, each server of the current generation: why it is down, or None where it is up."""
        return {spec.name: self._servers.connection(spec).problem for spec in serving.current.servers}

    async def _furnished(self, generation: Generation) -> Generation:
        """``generation`` with the tools that its servers list now."""
        # Nothing is awaited in between: what is furnished is what was listed.
        door = generation.door if generation.plain is None else generation.plain
        listings, furnished = self._listings(generation.servers), furnish(door, self._servers)
        self._say(furnished.unoffered)
        prepared = await prepare_all(furnished.door)
        return replace(generation, door=furnished.door, prepared=prepared, plain=door, listings=listings)

    def _listings(self, specs: Iterable[McpServerSpec]) -> Listings:
        return tuple(self._servers.connection(spec).tools for spec in specs)

    def _say(self, unoffered: tuple[Unoffered, ...]) -> None:
        for each in unoffered:
            if each not in self._said:
                logger.warning("%s %s", each.message, each.remedy)
        self._said = unoffered
