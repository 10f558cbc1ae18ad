"""One configuration as it serves calls: a call keeps the generation it began with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sipagent.calls.mcp_door import servers_of
from sipagent.calls.preparation import PreparedProfile, prepare_all
from sipagent.calls.routing import FrontDoor
from sipagent.calls.tools.mcp_client import ListedTool
from sipagent.calls.tools.mcp_spec import McpServerSpec

Listings = tuple[tuple[ListedTool, ...] | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True, weakref_slot=True)
class Generation:
    """Who answers, with what, as decided by one configuration.

    It is whole and never changes, so a call that holds it cannot meet settings of another one. It goes when
    a newer one serves and the last call that began with it has ended.
    """

    number: int
    """Counts the generations of one process, from 1."""
    door: FrontDoor
    prepared: Mapping[str, PreparedProfile]
    """Every profile of ``door``."""
    loaded_at: datetime
    plain: FrontDoor | None = None
    """``door`` without the tools of MCP servers; None where there are none."""
    listings: Listings = ()
    """What its `servers` listed when it was made, one by one."""

    @property
    def fingerprint(self) -> str:
        """Names the configuration in records."""
        return self.door.fingerprint

    @property
    def servers(self) -> tuple[McpServerSpec, ...]:
        """The MCP servers that its calls may need."""
        return servers_of(self.door.profiles.values())


async def prepare_generation(door: FrontDoor, *, number: int, loaded_at: datetime) -> Generation:
    """Make ``door`` ready to serve. Raises `UserError` when one of its agents makes no session."""
    prepared = await prepare_all(door)
    return Generation(number=number, door=door, prepared=prepared, loaded_at=loaded_at)
