"""Facts as lines of text, and back: what a spill on disk is made of. Pure.

A line is one JSON object, ``{"v": 1, "kind": "CallEnded", "fact": {…}}``, and a line feed. It is read
strictly: a line of another version, of an unknown kind or with a value of the wrong type is no fact. A field
that a later version of the project added is ignored, one that has a default may be missing.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Literal, get_args

import msgspec

from sipagent.store import CallEnded, CallOpened, ConfigurationLoaded, Fact

VERSION: Literal[1] = 1


class _Line(msgspec.Struct, frozen=True):
    """What every line says. ``fact`` is written as it is and read later, once its kind is known."""

    v: Literal[1]
    kind: str
    fact: Any


class _Tag(msgspec.Struct, frozen=True):
    v: Literal[1]
    kind: str


class _Unopened(msgspec.Struct, frozen=True):
    v: Literal[1]
    kind: str
    fact: msgspec.Raw


_READ_TAG = msgspec.json.Decoder(_Tag)
_READ_LINE = msgspec.json.Decoder(_Unopened)
_READ_FACT: dict[str, msgspec.json.Decoder[Any]] = {
    kind.__name__: msgspec.json.Decoder(kind) for kind in get_args(Fact)
}
_ESSENTIAL = (CallOpened, CallEnded, ConfigurationLoaded)
_ESSENTIAL_NAMES = frozenset(kind.__name__ for kind in _ESSENTIAL)


def is_essential(fact: Fact) -> bool:
    """Whether ``fact`` says that a call began or ended, or which configuration served it: what is never given
    up for lack of room."""
    return isinstance(fact, _ESSENTIAL)


def encode_line(fact: Fact) -> bytes:
    """``fact`` as a line, with its line feed."""
    line = _Line(VERSION, type(fact).__name__, fact)
    try:
        return msgspec.json.encode(line) + b"\n"
    except UnicodeEncodeError:
        return msgspec.json.encode(_Line(VERSION, line.kind, _readable(fact))) + b"\n"


def decode_line(line: bytes) -> Fact | None:
    """The fact that ``line`` holds, or None when it holds none that can be read."""
    try:
        read = _READ_LINE.decode(line)
        decoder = _READ_FACT.get(read.kind)
        fact: Fact | None = None if decoder is None else decoder.decode(read.fact)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return fact


def line_is_essential(line: bytes) -> bool:
    """Like `is_essential`, of a line, without reading the fact in it. False for what is no line."""
    try:
        return _READ_TAG.decode(line).kind in _ESSENTIAL_NAMES
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False


def _readable(fact: Fact) -> dict[str, Any]:
    """The fields of ``fact`` with lone surrogates replaced, as the database would replace them: JSON lets
    strangers send them, and no file takes them."""
    values = {field.name: getattr(fact, field.name) for field in fields(fact)}
    return {
        name: value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if isinstance(value, str)
        else value
        for name, value in values.items()
    }
