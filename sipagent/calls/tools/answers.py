"""What of an HTTP answer the model gets. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from sipagent.calls.pointers import MISSING, is_pointer, value_at
from sipagent.calls.tools.texts import plain_text
from sipagent.errors import UserError

LONGEST_RESULT = 8_000
"""Characters that the model gets; more would fill its memory, and keep the caller waiting."""
LONGEST_COMPLAINT = 500
"""Characters of the text of an answer that refuses."""

Wanted = str | Mapping[str, str] | None
"""A JSON pointer (RFC 6901), or one for each name of an object that is made, or None for all there is."""

_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def check_wanted(wanted: Wanted) -> None:
    """Raises `UserError` for what is no JSON pointer."""
    pointers = [wanted] if isinstance(wanted, str) else list((wanted or {}).values())
    for pointer in pointers:
        if not is_pointer(pointer):
            raise UserError(
                f"{pointer!r} is no JSON pointer: write /a/b, where a list is counted from 0: /a/0"
            )
    if isinstance(wanted, Mapping) and not wanted:
        raise UserError("a result without names gives the model nothing; leave it out for the whole answer")


def result_text(content: bytes, charset: str, wanted: Wanted) -> str:
    """The part of an answer's body that is ``wanted``, as text of bounded length.

    An answer that is no JSON is given as text, or, if parts of it are wanted, said to be none.
    """
    text = decoded(content, charset)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        if wanted is not None:
            return (
                "The request went through, but the answer is no JSON, so nothing can be said of its content."
            )
        return shortened(_UNSEEN.sub(" ", text).strip(), LONGEST_RESULT) or "Done; there is nothing to tell."
    match wanted:
        case None:
            chosen = document
        case str():
            chosen = value_at(document, wanted)
            if chosen is MISSING:
                return f"The request went through, but the answer has nothing at {wanted}."
        case _:
            found = {name: value_at(document, pointer) for name, pointer in wanted.items()}
            chosen = {name: None if value is MISSING else value for name, value in found.items()}
    return shortened(plain_text(chosen), LONGEST_RESULT)


def complaint(content: bytes, charset: str) -> str:
    """The beginning of what a server says when it refuses, on one line; empty when it says nothing."""
    return shortened(" ".join(_UNSEEN.sub(" ", decoded(content, charset)).split()), LONGEST_COMPLAINT)


def decoded(content: bytes, charset: str) -> str:
    """Bytes as text, whatever they are."""
    try:
        return content.decode(charset, errors="replace").removeprefix("\ufeff")
    except (LookupError, ValueError):
        return content.decode(errors="replace")


def shortened(text: str, longest: int) -> str:
    """``text``, cut where it is longer, which it says then, and without halves of characters."""
    text = text.encode(errors="replace").decode()
    if len(text) <= longest:
        return text
    return f"{text[:longest]}… (cut here; the whole has {len(text)} characters)"
