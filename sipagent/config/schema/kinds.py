"""Entries of a list that are told apart by the one key that says what each is: ``call:``, ``http:``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import BaseModel

from sipagent.config.schema.base import refuse
from sipagent.config.values import closest

WORD = "word"
"""The tag of an entry that is no mapping."""


def tag_of(kind: str) -> str:
    """The tag of an entry of that kind. Its brackets keep it from being taken for a key of the file."""
    return f"<{kind}>"


def told_by_key(entries: Mapping[str, type[BaseModel]]) -> Callable[[object], str | None]:
    """What discriminates a union of ``entries``, each named by its key, and of words alone."""

    def tag(value: object) -> str | None:
        if isinstance(value, dict):
            kind = next((kind for kind in entries if kind in value), None)
            # Whoever misspells the kind is told so by its mapping, which knows the key.
            kind = kind or next((close for key in value if (close := closest(str(key), entries))), None)
            return None if kind is None else tag_of(kind)
        if isinstance(value, BaseModel):
            return next(tag_of(kind) for kind, entry in entries.items() if isinstance(value, entry))
        return WORD

    return tag


def refuse_several(kinds: Iterable[str], mapping: Mapping[str, Any], *, what: str) -> None:
    """Raises for a mapping that names more than one of ``kinds``; ``what`` it should be."""
    found = [f"`{kind}`" for kind in kinds if kind in mapping]
    if len(found) > 1:
        raise refuse(f"{' and '.join(found)} stand side by side.", f"Begin a new `- ` for each {what}.")
