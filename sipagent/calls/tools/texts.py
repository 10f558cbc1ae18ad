"""Texts of tools with two kinds of names in them. Pure.

``{argument}`` is what the model gave the tool, ``{{variable}}`` is what is known of the call. A name in
single braces that is none of the tool's arguments is a mistake found when the tool is made; ``\\{name}`` is
the braces themselves. A value is put in once and never read again: braces inside it stay braces.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sipagent.calls.template import Template, TemplateError

_ARGUMENT = re.compile(r"(?P<escape>\\?)(?<!\{)\{(?P<name>[A-Za-z_][A-Za-z0-9_-]*)\}(?!\})")


class MissingArgumentError(Exception):
    """A text names an argument that the model did not give."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


@dataclass(frozen=True, slots=True)
class ArgumentPlace:
    """An ``{argument}`` in a text."""

    name: str
    offset: int
    """Of its brace, in characters from 0."""


Piece = str | ArgumentPlace | Template
Write = Callable[[str, str], str]
"""Given the name and the value, as text, of what stands in braces: what is written for it."""


def as_it_is(name: str, value: str) -> str:
    """Writes a value as it is."""
    return value


@dataclass(frozen=True, slots=True)
class ToolText:
    """A text and the names in it. Raises `TemplateError` for a text that is none."""

    text: str
    pieces: tuple[Piece, ...] = field(init=False, repr=False, compare=False)
    variables: Template = field(init=False, repr=False, compare=False)
    """The text for whoever checks its variables: at their offsets, and without the arguments."""
    arguments: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # First, since its mistakes have the offsets of the whole text.
        object.__setattr__(self, "variables", Template(_ARGUMENT.sub(_blank, self.text)))
        pieces = tuple(_pieces(self.text))
        object.__setattr__(self, "pieces", pieces)
        places = [piece for piece in pieces if isinstance(piece, ArgumentPlace)]
        object.__setattr__(self, "arguments", frozenset(place.name for place in places))

    @property
    def lone_argument(self) -> str | None:
        """The argument of which the text consists, and of nothing else."""
        match self.pieces:
            case (ArgumentPlace(name=name),):
                return name
            case _:
                return None

    def check_arguments(self, known: frozenset[str] | set[str]) -> None:
        """Raises `TemplateError` for a name in single braces that is not in ``known``."""
        for piece in self.pieces:
            if isinstance(piece, ArgumentPlace) and piece.name not in known:
                listed = ", ".join(sorted(known))
                there = f"Arguments are: {listed}." if known else "The tool has no arguments."
                raise TemplateError(
                    f"`{{{piece.name}}}` is no argument of the tool.",
                    piece.offset,
                    f"{there} A variable has two braces, and \\{{{piece.name}}} is the braces themselves.",
                )

    def render(
        self,
        arguments: Mapping[str, Any],
        values: Mapping[str, str],
        *,
        missing: str | None = None,
        write: Write = as_it_is,
    ) -> str:
        """The text with ``arguments`` and ``values`` in it, each as ``write`` writes it.

        For a variable that has neither a value nor default words, ``missing`` stands. Raises
        `MissingArgumentError` for an argument that is not there, `TemplateError` for such a variable when
        ``missing`` is None.
        """
        written: list[str] = []
        for piece in self.pieces:
            match piece:
                case str():
                    written.append(piece)
                case ArgumentPlace(name=name):
                    if name not in arguments:
                        raise MissingArgumentError(name)
                    written.append(write(name, plain_text(arguments[name])))
                case Template():
                    written.append(piece.render(values, missing=missing, write=write))
        return "".join(written)


def plain_text(value: object) -> str:
    """A JSON value as part of a text: a string as it is, anything else as JSON writes it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _pieces(text: str) -> Iterator[Piece]:
    position = 0
    for found in _ARGUMENT.finditer(text):
        if found.start() > position:
            yield Template(text[position : found.start()])
        if found["escape"]:
            yield f"{{{found['name']}}}"
        else:
            yield ArgumentPlace(found["name"], found.start())
        position = found.end()
    if position < len(text):
        yield Template(text[position:])


def _blank(found: re.Match[str]) -> str:
    return " " * len(found[0])
