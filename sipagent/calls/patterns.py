"""Regular expressions that cannot take for ever. Pure.

Python's matcher tries every way in which a pattern may fit, and nothing can stop it: not a time-out, and not
a thread, which would hold up every call of the process. So the number of ways is estimated before a pattern
is used, for a text of `WINDOW` characters: what may be repeated in many ways multiplies, and what fits in
several ways inside of a repetition grows without bound. Longer texts are looked at window by window, each
overlapping half of the one before.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from sipagent.errors import UserError

WINDOW: Final = 200
"""Characters that are matched at once; a match longer than half of them may go unseen."""
MOST_STEPS: Final = 10_000_000
"""About a tenth of a second of the slowest computer that we mean to run on."""

_LONGEST_NEST: Final = 64
"""Times that something may be repeated that fits in several ways, before it is too many without counting."""

# The parser of the standard library; nothing else can say what a pattern means without matching it.
_parser: Any = importlib.import_module("re._parser")


def bounded_pattern(pattern: str, flags: int = 0) -> re.Pattern[str]:
    """``pattern``, compiled. Raises `UserError` when it is none, or may take too long."""
    try:
        compiled = re.compile(pattern, flags)
        steps = WINDOW * _sequence(_parser.parse(pattern, flags), 0).ways
    except (re.error, OverflowError, RecursionError, TypeError) as error:
        raise UserError(f"{pattern!r} is no regular expression: {error}") from error
    if steps > MOST_STEPS:
        raise UserError(
            f"{pattern!r} may take for ever on some texts: let no two repetitions side by side, or one "
            "inside the other, match the same characters, and write .{0,20} in place of .* where you can"
        )
    return compiled


def windows(text: str) -> Iterator[str]:
    """``text`` in pieces that a bounded pattern may be searched in."""
    step = WINDOW // 2
    for start in range(0, max(1, len(text) - step), step):
        yield text[start : start + WINDOW]


# How many ways there are ----------------------------------------------------------------------------
#
# A set of characters is an int with a bit for each of the first 256 characters, and three for all others. A
# place where the matcher has a choice counts only if the next character does not decide it: what may begin
# the one way and what may begin the other have characters in common.

_OTHER_WORDS: Final = 1 << 256
_OTHER_SPACES: Final = 1 << 257
_OTHER_REST: Final = 1 << 258
_OTHERS: Final = _OTHER_WORDS | _OTHER_SPACES | _OTHER_REST
_ALL: Final = (1 << 259) - 1


@dataclass(frozen=True, slots=True)
class _Part:
    """What is known of a part of a pattern, given what may follow it."""

    ways: float
    """In how many ways, at most, it fits a text of `WINDOW` characters."""
    first: int
    """The characters that it, or what follows it where it may be empty, may begin with."""


def _sequence(items: Any, follow: int) -> _Part:
    """Of parsed items one behind the other; ``follow`` is what may come behind the last."""
    ways = 1.0
    for operator, argument in reversed(list(items)):
        part = _item(str(operator), argument, follow)
        ways *= part.ways
        follow = part.first
    return _Part(ways, follow)


def _item(operator: str, argument: Any, follow: int) -> _Part:
    match operator:
        case "LITERAL" | "NOT_LITERAL" | "IN" | "RANGE" | "CATEGORY" | "ANY":
            return _Part(1.0, _characters(operator, argument).may)
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            least, most, body = argument
            return _repeat(int(least), min(int(most), WINDOW), body, follow)
        case "BRANCH":
            return _branch([_sequence(branch, follow) for branch in argument[1]])
        case "SUBPATTERN":
            return _sequence(argument[3], follow)
        case "ATOMIC_GROUP":
            return _sequence(argument, follow)
        case "ASSERT" | "ASSERT_NOT":
            # Matched by itself, and takes no characters.
            return _Part(_sequence(argument[1], 0).ways, follow)
        case "GROUPREF_EXISTS":
            _, then, otherwise = argument
            return _branch([_sequence(then, follow), _sequence(otherwise or [], follow)])
        case "AT":
            return _Part(1.0, follow)
        case _:
            return _Part(1.0, _ALL)


def _branch(parts: list[_Part]) -> _Part:
    together = 0
    decided = True
    for part in parts:
        decided = decided and not together & part.first
        together |= part.first
    ways = [part.ways for part in parts]
    return _Part(max(ways) if decided else sum(ways), together)


def _repeat(least: int, most: int, body: Any, follow: int) -> _Part:
    alone = _sequence(body, 0)
    inner = _sequence(body, follow | alone.first if most > 1 else follow)
    choices = 1.0 if least >= most or not alone.first & follow else float(most - least + 1)
    first = alone.first | follow if least == 0 or _may_be_empty(body) else alone.first
    if inner.ways > 1 and most > _LONGEST_NEST:
        return _Part(float("inf"), first)
    return _Part(choices * inner.ways**most, first)


def _may_be_empty(body: Any) -> bool:
    return int(body.getwidth()[0]) == 0


@dataclass(frozen=True, slots=True)
class _Characters:
    """A set of characters, as far as it is known."""

    may: int
    """Those of which any may be in it."""
    must: int
    """Those of which all are in it."""


def _characters(operator: str, argument: Any) -> _Characters:
    match operator:
        case "LITERAL":
            return _literal(int(argument))
        case "NOT_LITERAL":
            return _negated(_literal(int(argument)))
        case "RANGE":
            low, high = argument
            codes = sum({_bit(each) for code in range(low, min(high, 255) + 1) for each in _cases(code)})
            return _Characters(codes | (_OTHERS if high > 255 else 0), codes & ~_OTHERS)
        case "IN":
            negated = str(argument[0][0]) == "NEGATE"
            parts = [_characters(str(inner), of) for inner, of in argument[1 if negated else 0 :]]
            together = _Characters(0, 0)
            for part in parts:
                together = _Characters(together.may | part.may, together.must | part.must)
            return _negated(together) if negated else together
        case "CATEGORY":
            return _category(str(argument))
        case _:
            return _Characters(_ALL, 0)


def _negated(of: _Characters) -> _Characters:
    return _Characters(_ALL & ~of.must, _ALL & ~of.may)


def _literal(code: int) -> _Characters:
    bits = sum({_bit(each) for each in _cases(code)})
    return _Characters(bits, bits & ~_OTHERS)


def _cases(code: int) -> set[int]:
    """The character in both cases: patterns are often told to take no notice of it."""
    letter = chr(code)
    return {code} | {ord(each) for each in (letter.lower(), letter.upper()) if len(each) == 1}


def _bit(code: int) -> int:
    if code < 256:
        return 1 << code
    letter = chr(code)
    return _OTHER_SPACES if letter.isspace() else _OTHER_WORDS if letter.isalnum() else _OTHER_REST


def _category(name: str) -> _Characters:
    tests: dict[str, Callable[[str], bool]] = {
        "DIGIT": str.isdecimal,
        "SPACE": str.isspace,
        "WORD": lambda letter: letter.isalnum() or letter == "_",
    }
    kind = name.rpartition("_")[2]
    if kind not in tests:
        return _Characters(_ALL, 0)
    codes = sum(_bit(code) for code in range(256) if tests[kind](chr(code)))
    others = {"DIGIT": _OTHER_WORDS, "SPACE": _OTHER_SPACES, "WORD": _OTHER_WORDS}[kind]
    # Digits are a part of those letters only.
    found = _Characters(codes | others, codes if kind == "DIGIT" else codes | others)
    return _negated(found) if "_NOT_" in name else found
