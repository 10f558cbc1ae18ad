"""Reads as much of Terraform's language as `deploy` writes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""(?P<skip>[ \t]+|\#[^\n]*|//[^\n]*)
    |(?P<newline>\n+)
    |(?P<text>"(?:\$\{[^{}"]*\}|\\.|[^"\\])*")
    |(?P<word>[A-Za-z_][\w.-]*|[0-9.]+)
    |(?P<mark>[{}()\[\]=,])""",
    re.VERBOSE,
)


class NoTerraformError(Exception):
    """The text is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """``resource "type" "name" { … }``."""

    kind: str
    labels: tuple[str, ...]
    arguments: dict[str, str] = field(default_factory=dict)
    """As they are written, objects and calls without their blanks."""
    blocks: list[Block] = field(default_factory=list)


def parse_terraform(text: str) -> list[Block]:
    """The blocks of a file. Raises `NoTerraformError` for what is not closed, and for what stands nowhere."""
    reader = _Reader(_tokens(text))
    body = reader.body(end=None)
    if body.arguments:
        raise NoTerraformError(f"{sorted(body.arguments)} stand outside of every block")
    return body.blocks


def _tokens(text: str) -> list[str]:
    found: list[str] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise NoTerraformError(f"{text[position : position + 20]!r} is nothing")
        if match.lastgroup == "newline":
            found.append("\n")
        elif match.lastgroup != "skip":
            found.append(match[0])
        position = match.end()
    return found


class _Reader:
    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._next = 0

    def body(self, *, end: str | None) -> Block:
        found = Block(kind="", labels=())
        while True:
            self._skip_newlines()
            token = self._take(end)
            if token is None:
                return found
            if self._peek() == "=":
                self._take(None)
                found.arguments[token] = self._value()
                continue
            labels = []
            while (label := self._must()) != "{":
                labels.append(label.strip('"'))
            inner = self.body(end="}")
            found.blocks.append(
                Block(kind=token, labels=tuple(labels), arguments=inner.arguments, blocks=inner.blocks)
            )

    def _value(self) -> str:
        parts: list[str] = []
        open_marks: list[str] = []
        while open_marks or self._peek() not in ("\n", "}", None):
            token = self._must()
            if token in "{[(":
                open_marks.append({"{": "}", "[": "]", "(": ")"}[token])
            elif token in "}])" and (not open_marks or open_marks.pop() != token):
                raise NoTerraformError(f"{token} closes nothing")
            parts.append(token)
        if not parts:
            raise NoTerraformError("an argument has no value")
        return "".join(part for part in parts if part != "\n")

    def _skip_newlines(self) -> None:
        while self._peek() == "\n":
            self._next += 1

    def _peek(self) -> str | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _must(self) -> str:
        token = self._peek()
        if token is None:
            raise NoTerraformError("something is not closed")
        self._next += 1
        return token

    def _take(self, end: str | None) -> str | None:
        """The next token; None at the end of the body."""
        token = self._peek()
        if token is None and end is None:
            return None
        token = self._must()
        return None if token == end else token
