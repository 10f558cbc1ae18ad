"""What is no YAML, in words that say what to do; PyYAML speaks of its own insides."""

from __future__ import annotations

import re
from dataclasses import dataclass

import yaml

_FOUND = re.compile(r"found (?:character )?'(?P<sign>[^']+)'")
_QUOTES = "Put the whole text in quotes."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mistake:
    """One kind of mistake, told by what PyYAML says of it."""

    said: str
    message: str
    remedy: str
    at_beginning: bool = False
    """It is where the thing begins that PyYAML was reading, not where it stumbled."""


_MISTAKES = (
    _Mistake(
        said="found character '\\t' that cannot start any token",
        message="A tab stands where YAML allows only spaces.",
        remedy="Indent with spaces.",
    ),
    _Mistake(said="cannot start any token", message="No text can begin with `{sign}`.", remedy=_QUOTES),
    _Mistake(
        said="mapping values are not allowed",
        message="A colon with a space behind it stands in the midst of a text.",
        remedy=f"{_QUOTES} If a new key begins here, mend its indentation.",
    ),
    _Mistake(
        said="while scanning a quoted scalar",
        message="A quotation mark is opened here and never closed.",
        remedy='Close it; inside of double quotes, write a quotation mark as \\".',
        at_beginning=True,
    ),
    _Mistake(
        said="while scanning an a",  # an alias, an anchor
        message="A text that begins with `*` or `&` has a meaning of its own in YAML.",
        remedy=_QUOTES,
        at_beginning=True,
    ),
    _Mistake(
        said="undefined alias",
        message="`*{name}` refers to an anchor `&{name}` that there is not.",
        remedy=_QUOTES,
    ),
    _Mistake(
        said="could not find expected ':'",
        message="This line is neither a key with a colon nor part of a text.",
        remedy="Write `key: value`, or indent the line like the text that it belongs to.",
        at_beginning=True,
    ),
    _Mistake(
        said="expected ',' or",
        message="Between brackets, a comma or the closing bracket is missing here.",
        remedy="Put texts between brackets in quotes: a comma, a colon or a question mark ends one.",
    ),
    _Mistake(
        said="expected <block end>",
        message="The indentation of this line fits none of the lines above.",
        remedy="Let keys that belong together begin in the same column.",
    ),
    _Mistake(
        said="single document",
        message="A second document begins here.",
        remedy="Keep one configuration in a file: remove the `---` between them.",
    ),
    _Mistake(
        said="while scanning a block scalar",
        message="What follows `|` or `>` on its line is not understood.",
        remedy="Begin the text on the next line, indented.",
    ),
)
_OPEN_BRACKET = _Mistake(
    said="",
    message="This bracket is not closed before the next key begins.",
    remedy="Close it, or put a comma between what stands in it.",
    at_beginning=True,
)


def explain_syntax(error: yaml.MarkedYAMLError) -> tuple[yaml.Mark | None, str, str]:
    """Where it is, what was seen, and what to write instead."""
    said = " ".join(part for part in (error.context, error.problem) if part)
    mistake = next((each for each in _MISTAKES if each.said in said), None)
    stumbled, began = error.problem_mark, error.context_mark
    if mistake is None:
        remedy = "Compare the indentation and the punctuation with the lines around it."
        return stumbled or began, f"This is not YAML: {said}.", remedy
    if mistake.said == "expected ',' or" and stumbled and began and began.line < stumbled.line:
        mistake = _OPEN_BRACKET
    found = _FOUND.search(said)
    message = mistake.message.format(
        sign=found["sign"] if found else "it", name=said.rpartition("'")[0].rpartition("'")[2]
    )
    return (began or stumbled) if mistake.at_beginning else (stumbled or began), message, mistake.remedy
