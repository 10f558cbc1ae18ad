"""Which parts of a file have mistakes of form, and so what cannot be said about the others. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sipagent.config.source import KeyPath

PLACEHOLDER = "placeholder-of-sipagent"
"""The name of an agent that stands where no agent could be read; nothing is said about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """What is missing from a document because it could not be read."""

    parts: frozenset[KeyPath] = frozenset()
    """Where each part is, or would be: a key that was misspelt counts under the name that was meant."""
    origin: Mapping[KeyPath, KeyPath] = field(default_factory=dict)
    """For each place in the document that is elsewhere in the file, where it is there: items of lists move up
    when one before them could not be read."""

    def explains(self, path: KeyPath, relies_on: Iterable[KeyPath] | None = None) -> bool:
        """Whether a mistake of meaning at ``path`` may come of what is missing.

        ``relies_on`` are the places that the mistake was found by; without them it may come of whatever is
        missing at ``path`` itself or below it.
        """
        if relies_on is None:
            own = self.origin.get(path, path)
            return any(part[: len(own)] == own for part in self.parts)
        return any(
            part[: len(place)] == place or place[: len(part)] == part
            for place in relies_on
            for part in self.parts
        )

    def names(self, path: KeyPath) -> tuple[str, ...]:
        """The names of what is missing directly below ``path``."""
        below = (part[-1] for part in self.parts if part[:-1] == path)
        return tuple(sorted(name for name in below if isinstance(name, str)))
