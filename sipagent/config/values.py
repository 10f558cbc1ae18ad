"""The small values of a configuration: durations, addresses of the API, references to Python.

Each parser takes what was written and returns the value, or raises :class:`BadValueError` with what was seen
and what to write instead.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from sipagent.errors import UserError
from sipagent.realtime.provider import DEFAULT_BASE_URL, azure_provider, provider_of

_DURATION = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>ms|s|m|h)")
_DAYS = re.compile(r"(?P<number>\d{1,6})\s*(?P<unit>d|w|months?|y)")
_DAYS_PER_UNIT = {"d": 1, "w": 7, "month": 30, "months": 30, "y": 365}
_SECONDS_PER_UNIT = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_REFERENCE = re.compile(r"(?P<module>[^\W\d]\w*(?:\.[^\W\d]\w*)*):(?P<function>[^\W\d]\w*(?:\.[^\W\d]\w*)*)")


class BadValueError(ValueError):
    """What was written is not a value of this kind. ``remedy`` says what to write instead."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonReference:
    """``module:function``; ``function`` may be dotted to reach an attribute."""

    module: str
    function: str

    def __str__(self) -> str:
        return f"{self.module}:{self.function}"


def closest(word: str, known: Iterable[str]) -> str | None:
    """The one of ``known`` that ``word`` most likely means, if any."""
    ordered = tuple(known)
    by_lower = {each.lower(): each for each in reversed(ordered)}
    found = difflib.get_close_matches(word.lower(), tuple(by_lower), n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def suggestion(word: str, known: Iterable[str]) -> str:
    """``Did you mean …?``, or the list of what is known."""
    ordered = tuple(known)
    if close := closest(word, ordered):
        return f"Did you mean `{close}`?"
    return f"Known here: {', '.join(ordered)}." if ordered else "Remove it."


def parse_duration_s(value: object) -> float:
    """Seconds from ``500ms``, ``10s``, ``1.5m`` or ``2h``. A bare number has no unit and is refused."""
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        seconds = float(match["number"]) * _SECONDS_PER_UNIT[match["unit"]]
        if seconds > 0:
            return seconds
        raise BadValueError(f"{value!r} is no time at all.", "Write a duration above zero, such as 10s.")
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise BadValueError(f"{value} has no unit.", f"Write {value}s for seconds, {value}ms or {value}m.")
    raise BadValueError(f"{value!r} is no duration.", "Write a number and its unit: 500ms, 10s, 5m or 1h.")


def parse_ringing_s(value: object) -> int:
    """Whole seconds from ``5s`` to ``2m``: how long a telephone rings. Raises :class:`BadValueError`."""
    seconds = parse_duration_s(value)
    if not 5 <= seconds <= 120:
        raise BadValueError(f"{value!r} is no time for a telephone to ring.", "Write 5s to 2m.")
    if seconds != int(seconds):
        raise BadValueError(f"{value!r} are no whole seconds.", f"Write {round(seconds)}s.")
    return int(seconds)


def parse_days(value: object) -> int:
    """Days from ``1d`` to ``3650d``. Raises :class:`BadValueError`."""
    remedy = "Write days: 1d to 3650d."
    if isinstance(value, str) and (match := _DAYS.fullmatch(value.strip())):
        days = int(match["number"]) * _DAYS_PER_UNIT[match["unit"]]
        if match["unit"] != "d":
            raise BadValueError(f"{value!r} is not written in days.", f"Write {days}d.")
        if 1 <= days <= 3650:
            return days
        raise BadValueError(f"{value!r} is too short or too long.", remedy)
    if isinstance(value, int) and not isinstance(value, bool):
        raise BadValueError(f"{value} has no unit.", f"Write {value}d.")
    raise BadValueError(f"{value!r} are no days.", remedy)


def parse_reference(value: object) -> PythonReference:
    """``package.module:function``."""
    if isinstance(value, str) and (match := _REFERENCE.fullmatch(value)):
        return PythonReference(module=match["module"], function=match["function"])
    raise BadValueError(
        f"{value!r} does not name a Python function.",
        "Write the module and the function with a colon between them: harbor_dental.tools:next_free_slot.",
    )


def parse_base_url(value: object) -> str:
    """The REST base of an API, without a slash at the end; a host of Azure gets the path it needs."""
    try:
        if isinstance(value, str) and value.startswith(("https://", "http://")):
            return provider_of(value).base_url.rstrip("/")
    except UserError:
        pass
    raise BadValueError(f"{value!r} is no base URL.", f"Write a URL such as {DEFAULT_BASE_URL}.")


def parse_azure_resource(value: object) -> str:
    """The REST base of a resource of Azure OpenAI, from its name or its endpoint."""
    try:
        if isinstance(value, str) and not value.startswith(("ws://", "wss://")):
            return azure_provider(value).base_url.rstrip("/")
    except UserError:
        pass
    raise BadValueError(
        f"{value!r} is no resource of Azure OpenAI.",
        "Write its name, or its endpoint: https://NAME.openai.azure.com.",
    )
