"""The keys of one agent over the defaults, and where each value was written."""

from __future__ import annotations

from sipagent.config.schema import AgentKeys
from sipagent.config.source import KeyPath


class Effective:
    """What holds for one agent: an agent inherits each key that it does not write."""

    def __init__(self, name: str, agent: AgentKeys, defaults: AgentKeys) -> None:
        self.name = name
        self.place: KeyPath = ("agents", name)
        self._agent = agent
        self._defaults = defaults

    def level(self, *names: str) -> tuple[KeyPath, AgentKeys]:
        """The innermost level that writes one of ``names``, and its keys."""
        if self._agent.model_fields_set.intersection(names):
            return self.place, self._agent
        return ("defaults",), self._defaults

    def keys(self, name: str) -> AgentKeys:
        """The keys in which ``name`` has its effective value."""
        return self.level(name)[1]

    def path(self, name: str) -> KeyPath:
        """Where the effective value of ``name`` is written, if it is."""
        return (*self.level(name)[0], name)

    def places(self, *names: str) -> tuple[KeyPath, ...]:
        """Where any of ``names`` is written, or would be: with the agent, or below `defaults`."""
        return tuple((*level, name) for name in names for level in (self.place, ("defaults",)))

    def written(self, name: str) -> bool:
        """Whether the file says anything about ``name``."""
        return name in self.keys(name).model_fields_set

    def own(self, name: str) -> bool:
        """Whether the agent itself writes ``name``."""
        return name in self._agent.model_fields_set
