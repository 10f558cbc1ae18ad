"""Fields of a message of the server, read with suspicion. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sipagent.identifiers import ItemId, ResponseId

Message = Mapping[str, Any]
_SURELY_FINITE = 1 << 63


class MalformedError(Exception):
    """A message lacks what its type documents; never leaves `sipagent.realtime.wire`."""


def text_at(message: Message, key: str) -> str:
    """A string, which must be there; raises `MalformedError` as all of ``…_at`` do."""
    value = message.get(key)
    if not isinstance(value, str):
        raise MalformedError(f"{key} is {type(value).__name__}, not a string")
    return value


def object_at(message: Message, key: str) -> Message:
    """An object, which must be there."""
    value = message.get(key)
    if not isinstance(value, dict):
        raise MalformedError(f"{key} is {type(value).__name__}, not an object")
    return value


def optional_object(message: Message, key: str) -> Message:
    """An object; an empty one for anything else."""
    value = message.get(key)
    return value if isinstance(value, dict) else {}


def objects_at(message: Message, key: str) -> list[Message]:
    """The objects of a list; none when there is no list."""
    value = message.get(key)
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def optional_text(message: Message, key: str) -> str | None:
    """A string, or None for anything else."""
    value = message.get(key)
    return value if isinstance(value, str) else None


def optional_int(message: Message, key: str) -> int | None:
    """A whole number, or None for anything else."""
    value = message.get(key)
    if type(value) is int and -_SURELY_FINITE < value < _SURELY_FINITE:
        return value  # nearly always
    number = optional_float(message, key)
    # Whole numbers stay exact; JSON knows no difference between 3 and 3.0.
    return None if number is None else value if isinstance(value, int) else int(number)


def optional_float(message: Message, key: str) -> float | None:
    """A finite number, or None; a boolean is none."""
    value = message.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def count_at(message: Message, key: str) -> int:
    """A count; 0 when the server does not say."""
    return optional_int(message, key) or 0


def item_id_at(message: Message, key: str = "item_id") -> ItemId:
    """The item a message is about."""
    return ItemId(text_at(message, key))


def response_id_at(message: Message) -> ResponseId:
    """The response a message belongs to."""
    return ResponseId(text_at(message, "response_id"))


def optional_response_id(message: Message) -> ResponseId | None:
    """The response a message belongs to, where it says."""
    value = optional_text(message, "response_id")
    return None if value is None else ResponseId(value)
