"""Texts with ``{{names}}`` in them, which stand for what is known when a call comes. Pure.

A placeholder is ``{{name}}`` or ``{{ name | words for when there is no value }}``; ``\\{{`` is two braces. A
value is put in once and never read again: braces inside it stay braces. So that a stranger's value cannot do
more than be a value, `clean` takes out of it what no reader would see and bounds its length.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sipagent.errors import UserError

LONGEST_VALUE = 300
"""Characters of one value; what is longer is cut, and ends in an ellipsis then."""

_OPENING = re.compile(r"\\\{\{|\{\{")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_][A-Za-z0-9_-]*)*")
_FILTER = re.compile(r"default\s*[:(]")
_KEPT_FORMATTING = "\u200c\u200d"
"""Joiners, without which some scripts cannot be written."""
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
_SIP = "sip."

Write = Callable[[str, str], str]
"""Given the name and the value of a placeholder, what is written for it."""


class TemplateError(UserError):
    """A text cannot be used as a template, or a name in it has no value.

    ``offset`` is where in the text, in characters from 0; ``remedy`` says what to write instead.
    """

    def __init__(self, message: str, offset: int, remedy: str = "") -> None:
        super().__init__(f"{message} {remedy}".rstrip())
        self.message = message
        self.offset = offset
        self.remedy = remedy


@dataclass(frozen=True, slots=True, kw_only=True)
class Placeholder:
    """One ``{{name}}`` of a template."""

    name: str
    """As values are named: see `canonical_name`."""
    written: str
    """As it stands in the text."""
    offset: int
    """Of its first brace, in characters from 0."""
    default: str | None = None
    """Stands where there is no value, or an empty one; None when the text says nothing about that."""


@dataclass(frozen=True, slots=True)
class Template:
    """A text and its placeholders. Raises `TemplateError` when the text is none."""

    text: str
    placeholders: tuple[Placeholder, ...] = field(init=False, repr=False, compare=False)
    """In the order of the text."""
    names: frozenset[str] = field(init=False, repr=False, compare=False)
    """What is needed to render it."""
    _literals: tuple[str, ...] = field(init=False, repr=False, compare=False)
    """The text around the placeholders: one more than there are of those."""

    def __post_init__(self) -> None:
        literals, placeholders = _parts(self.text)
        object.__setattr__(self, "placeholders", placeholders)
        object.__setattr__(self, "names", frozenset(each.name for each in placeholders))
        object.__setattr__(self, "_literals", literals)

    def render(
        self, values: Mapping[str, str], *, missing: str | None = None, write: Write | None = None
    ) -> str:
        """The text with ``values`` in it, each as ``write`` writes it, by default as it is.

        For a name with no value, or an empty one, its default stands, and else ``missing``. Raises
        `TemplateError` for a name that has neither, so that nobody hears a gap.
        """
        written = [self._literals[0]]
        for placeholder, literal in zip(self.placeholders, self._literals[1:], strict=True):
            if value := values.get(placeholder.name):
                written.append(value if write is None else write(placeholder.name, value))
            elif (words := missing if placeholder.default is None else placeholder.default) is not None:
                written.append(words)
            else:
                raise TemplateError(
                    f"`{placeholder.written}` has no value.",
                    placeholder.offset,
                    f"Write words for that case: {{{{{placeholder.written} | …}}}}.",
                )
            written.append(literal)
        return "".join(written)


def parse_template(text: str) -> Template:
    """``text`` as a template. Raises `TemplateError` with the offset of the first mistake."""
    return Template(text)


def canonical_name(name: str) -> str:
    """The name under which a value is looked up: SIP headers are the same in any case (RFC 3261 7.3.1)."""
    return name.lower() if name[: len(_SIP)].lower() == _SIP else name


def line_and_column(text: str, offset: int) -> tuple[int, int]:
    """Where ``offset`` of ``text`` is, for people: both count from 1."""
    before = text[:offset]
    return before.count("\n") + 1, offset - before.rfind("\n")


def clean(value: str, longest: int = LONGEST_VALUE) -> str:
    """``value`` on one line, without what cannot be seen, at most ``longest`` characters.

    Control characters and marks that hide or reorder text go; every run of white space becomes one space.
    """
    if len(value) <= longest and value.isascii() and value.isprintable() and "  " not in value:
        return value.strip(" ")
    # A stranger may send megabytes; nothing beyond this can be part of the outcome, or hardly.
    seen = "".join(map(_shown, value[: longest * 4]))
    text = " ".join(seen.split())
    if not text or (len(text) <= longest and len(value) <= longest * 4):
        return text
    return text[: longest - 1].rstrip() + "…"


def _shown(character: str) -> str:
    if character.isspace():
        return " "
    if unicodedata.category(character) in _UNSEEN and character not in _KEPT_FORMATTING:
        return ""
    return character


# Reading a text -------------------------------------------------------------------------------------


def _parts(text: str) -> tuple[tuple[str, ...], tuple[Placeholder, ...]]:
    literals: list[str] = []
    placeholders: list[Placeholder] = []
    literal, position = "", 0
    while (opening := _OPENING.search(text, position)) is not None:
        literal += text[position : opening.start()]
        if opening[0].startswith("\\"):
            literal += "{{"
            position = opening.end()
            continue
        closing = text.find("}}", opening.end())
        inside = text[opening.end() : closing]
        if closing < 0 or "\n" in inside or "{{" in inside:
            raise TemplateError(
                "`{{` is never closed.",
                opening.start(),
                "Close it with `}}`, or write `\\{{` for two braces.",
            )
        placeholders.append(_placeholder(inside, opening.start()))
        literals.append(literal)
        literal, position = "", closing + 2
    literals.append(literal + text[position:])
    return tuple(literals), tuple(placeholders)


def _placeholder(inside: str, offset: int) -> Placeholder:
    named, bar, words = inside.partition("|")
    name, default = named.strip(), words.strip()
    if _NAME.fullmatch(name) is None:
        seen = f"`{name[:40]}` is no name of a variable." if name else "There is no name between the braces."
        raise TemplateError(
            seen,
            offset,
            "Names are letters, digits, dashes and underscores, with dots between them: {{business.name}}; "
            "write `\\{{` for two braces.",
        )
    if _FILTER.match(default):
        raise TemplateError(
            "What follows `|` is said as it stands; there are no functions.",
            offset,
            f"Write the words alone: {{{{{name} | words}}}}.",
        )
    if len(default) >= 2 and default[0] == default[-1] and default[0] in "\"'":
        default = default[1:-1]
    return Placeholder(
        name=canonical_name(name), written=name, offset=offset, default=default if bar else None
    )
