"""One configuration as it serves calls: a call keeps the generation it began with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sipagent.calls.preparation import PreparedProfile, prepare_all
from sipagent.calls.routing import FrontDoor


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

    @property
    def fingerprint(self) -> str:
        """Names the configuration in records."""
        return self.door.fingerprint


async def prepare_generation(door: FrontDoor, *, number: int, loaded_at: datetime) -> Generation:
    """Make ``door`` ready to serve. Raises `UserError` when one of its agents makes no session."""
    return Generation(number=number, door=door, prepared=await prepare_all(door), loaded_at=loaded_at)
