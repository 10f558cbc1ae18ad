"""JSON pointers, which name a place in a document (RFC 6901). Pure."""

from __future__ import annotations

import re
from typing import Any, Final

MISSING: Final = object()
"""Stands at places that a document does not have."""

_POINTER = re.compile(r"(?:/(?:[^~]|~[01])*)?", re.DOTALL)
_NUMBERED = re.compile(r"0|[1-9][0-9]{0,8}")


def is_pointer(text: str) -> bool:
    """Whether ``text`` is a JSON pointer; the empty one names the whole document."""
    return _POINTER.fullmatch(text) is not None


def value_at(document: Any, pointer: str) -> Any:
    """What stands at ``pointer``, or `MISSING` (RFC 6901 section 4)."""
    for token in pointer.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        if isinstance(document, dict) and key in document:
            document = document[key]
        elif isinstance(document, list) and _NUMBERED.fullmatch(key) and int(key) < len(document):
            document = document[int(key)]
        else:
            return MISSING
    return document
