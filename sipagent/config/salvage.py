"""What is left of a file with mistakes of form: its parts that are whole, so that their meaning can be looked
at as well, and everything be said at once.

A part is taken out as small as it can be: a key, an item of a list, a mapping whose needed key is missing.
Then the rest is read again, until it fits the schema. Of a route, a lookup and a tool nothing is left when
anything in it is wrong: half of one would mean something else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from sipagent.config.broken import PLACEHOLDER, Broken
from sipagent.config.schema import Configuration, Reading
from sipagent.config.source import KeyPath, Place, Source
from sipagent.config.wording import written_path

MOST_ROUNDS: Final = 50
"""Each round takes at least one part out; a file with so many in a row has no meaning."""
_ROUTE: Final = {"header": {f"X-{PLACEHOLDER}": "-"}, "reject": 404}
"""Matches no call, takes none from other routes, and keeps their numbers."""
_NEEDED: Final[dict[str, Any]] = {
    "version": 1,
    "agents": {PLACEHOLDER: {"instructions": "-"}},
    "routes": [_ROUTE],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Salvaged:
    """The parts that are whole."""

    configuration: Configuration
    source: Source
    """Of these parts: each has the place that it has in the file."""
    broken: Broken


def salvage(source: Source, default_country: str | None) -> Salvaged | None:
    """The whole parts of ``source``, or None where there is nothing to be looked at."""
    if not isinstance(source.value, dict):
        return None
    taken_out: set[KeyPath] = set()
    missing: set[KeyPath] = set(source.incomplete)
    for _ in range(MOST_ROUNDS):
        rest = _Rest(source, taken_out)
        reading = Reading(default_country)
        try:
            configuration = Configuration.model_validate(rest.source.value, context=reading)
        except ValidationError as error:
            before = len(taken_out)
            for details in error.errors(include_url=False):
                part = _part(details, rest.source, reading, missing)
                if part == ():
                    return None
                taken_out.add(_whole(rest.origin.get(part, part)))
            if len(taken_out) == before:
                return None
        else:
            missing |= {*taken_out, *rest.needed}
            broken = Broken(parts=frozenset(missing), origin=rest.origin)
            return Salvaged(configuration=configuration, source=rest.source, broken=broken)
    return None


def _part(details: ErrorDetails, source: Source, reading: Reading, missing: set[KeyPath]) -> KeyPath:
    """What must go because of one mistake; notes in ``missing`` under which name it would have been there."""
    path, rest = written_path(details["loc"], source)
    match details["type"]:
        case "extra_forbidden":
            meant = reading.meant(source.value_at(path[:-1]), str(path[-1]))
            if meant is not None:
                missing.add((*path[:-1], meant))
        case "missing" if rest:
            missing.add((*path, rest[-1]))
        case _:
            inner = (*path, *details.get("ctx", {}).get("at", ()))
            return inner if source.has(inner) else path
    return path


def _whole(part: KeyPath) -> KeyPath:
    """``part``, or the route, lookup or tool that it belongs to."""
    if part[0] in ("routes", "lookup"):
        return part[:2]
    for length, key in enumerate(part[:-1], 1):
        if key == "tools" and isinstance(part[length], int):
            return part[: length + 1]
    return part


class _Rest:
    """A source without some of its parts."""

    def __init__(self, source: Source, without: Iterable[KeyPath]) -> None:
        self._whole = source
        self._without = frozenset(without)
        self._values: dict[KeyPath, Place] = {}
        self._keys: dict[KeyPath, Place] = {}
        self._spans: dict[KeyPath, tuple[int, int]] = {}
        self.origin: dict[KeyPath, KeyPath] = {}
        """See `Broken.origin`."""
        value = self._copy(source.value, (), ())
        self.needed = frozenset((key,) for key in _NEEDED if key not in value)
        """Parts that no file can do without, and that a placeholder stands for."""
        self.source = replace(
            source,
            value={**{key: _NEEDED[key] for (key,) in self.needed}, **value},
            values=self._values,
            keys=self._keys,
            spans=self._spans,
        )

    def _copy(self, value: Any, old: KeyPath, new: KeyPath) -> Any:
        """``value``, which is at ``old`` and comes to be at ``new``."""
        for places, copies in (
            (self._whole.values, self._values),
            (self._whole.keys, self._keys),
        ):
            if old in places:
                copies[new] = places[old]
        if old in self._whole.spans:
            self._spans[new] = self._whole.spans[old]
        if old != new:
            self.origin[new] = old
        match value:
            case dict():
                return {
                    key: self._copy(inner, (*old, key), (*new, key))
                    for key, inner in value.items()
                    if (*old, key) not in self._without
                }
            case list() if old == ("routes",):
                return [
                    dict(_ROUTE)
                    if (*old, index) in self._without
                    else self._copy(inner, (*old, index), (*new, index))
                    for index, inner in enumerate(value)
                ]
            case list():
                kept = [index for index in range(len(value)) if (*old, index) not in self._without]
                return [
                    self._copy(value[index], (*old, index), (*new, place)) for place, index in enumerate(kept)
                ]
            case _:
                return value
