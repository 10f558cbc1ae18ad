"""Which agent answers which call: an ordered list, the first match wins. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sipagent.calls.incoming import IncomingCall
from sipagent.calls.profile import AgentProfile


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Matches a call when every condition that is set holds."""

    agent: str
    to: str | None = None
    """The dialled number (E.164), or None for any."""

    def matches(self, call: IncomingCall) -> bool:
        """Whether this route takes the call."""
        return self.to is None or self.to == call.dialled


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontDoor:
    """One configuration, ready to serve: the agents, and who answers what.

    Every route names a profile that exists; `sipagent.config` sees to it.
    """

    profiles: Mapping[str, AgentProfile]
    routes: tuple[Route, ...]
    fingerprint: str
    """Names this configuration in the records of the calls it served."""

    def choose(self, call: IncomingCall) -> AgentProfile | None:
        """The profile that answers ``call``, or None when no route matches."""
        for route in self.routes:
            if route.matches(call):
                return self.profiles[route.agent]
        return None
