"""Profiles, made ready as the service does it."""

from __future__ import annotations

from sipagent.calls import AgentProfile, PreparedProfile, prepare_all
from sipagent.calls.routing import FrontDoor


async def prepared_alone(profile: AgentProfile) -> PreparedProfile:
    """``profile``, which hands over to nobody but whom its agent brings along."""
    door = FrontDoor(profiles={profile.name: profile}, routes=(), fingerprint="c0ffee")
    return (await prepare_all(door))[profile.name]
