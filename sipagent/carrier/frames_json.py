"""What the JSON messages of the carriers' media streams have in common. Pure.

They come from outside, signed or not: every length is bounded.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from sipagent.carrier.stream import DIGITS, CallerDigit
from sipagent.errors import MediaStreamError

_ID_MOST = 256
_PARAMETERS_MOST = 32
_PARAMETER_MOST = 4096


NO_MESSAGE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding raises for what is no message: the last, for one that is nested without end."""


class UnreadableFrameError(MediaStreamError):
    """What came over a media stream is not its protocol."""


def number_of(spelling: str | int | None) -> int | None:
    """A number that carriers write as text; None where it is none."""
    if isinstance(spelling, str):
        if len(spelling) > 18 or not spelling.isascii() or not spelling.isdigit():
            return None
        return int(spelling)
    return spelling


def digit_of(spelling: str) -> CallerDigit | None:
    """The key, or None where there is no such key."""
    digit = spelling.strip().upper()
    return CallerDigit(digit=digit) if digit in DIGITS else None


def call_id_of(spelling: str, what: str) -> str:
    """An id of the carrier's. Raises `UnreadableFrameError` for one that is missing or cannot be one."""
    if not spelling or len(spelling) > _ID_MOST or not spelling.isprintable():
        raise UnreadableFrameError(f"a start without a usable {what} id")
    return spelling


def parameters_of(given: Mapping[str, msgspec.Raw]) -> dict[str, str]:
    """The parameters that are text, as many and as long as can be meant."""
    found: dict[str, str] = {}
    for name, raw in given.items():
        if len(found) >= _PARAMETERS_MOST:
            break
        if len(name) > _ID_MOST or len(raw) > _PARAMETER_MOST:
            continue
        try:
            found[name] = msgspec.json.decode(raw, type=str)
        except msgspec.MsgspecError:
            continue
    return found
