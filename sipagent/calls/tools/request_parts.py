"""The parts of a request that names stand in, checked when it is written and filled in for a call. Pure.

A value fills a place and never changes the shape of the request: in the URL it is escaped and stays within
the path or the query parameter where it stands; in a header, what would end the line is refused; in the body
it stays a value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from yarl import URL

from sipagent.calls.tools.failures import ToolFailureError
from sipagent.calls.tools.texts import ArgumentPlace, ToolText, plain_text
from sipagent.calls.urls import as_url, check_plain_url, walks
from sipagent.errors import UserError

BodyText = ToolText | Mapping[str, "BodyText"] | Sequence["BodyText"] | str | int | float | bool | None
"""A JSON value whose strings have names in them. A string that is one ``{argument}`` and nothing else stands
for the argument as it is, a number for a number; where the model left the argument out, so is its place."""
LEFT_OUT = object()
"""Stands for a body of which nothing is there."""

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\ud7ff\ue000-\U0010ffff]*")
_OWN_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection", "idempotency-key"})


def not_sent(reason: str) -> ToolFailureError:
    """What to raise when there can be no request."""
    return ToolFailureError(f"Nothing was done: {reason}.", effect="none")


def fill_url(url: ToolText, arguments: Mapping[str, Any], values: Mapping[str, str]) -> URL:
    """The URL of a request. This and the others raise `ToolFailureError` for values with which there can be
    none, `MissingArgumentError` and `TemplateError` for a value that is not there."""
    return as_url(url.render(arguments, values, write=_in_url))


def _in_url(name: str, value: str) -> str:
    """A value inside a URL. Raises `ToolFailureError` for one that would walk up its path."""
    if walks(value):
        raise not_sent(f"{name} is nothing but dots")
    if not value:
        raise not_sent(f"{name} is empty")
    return quote(value, safe="")


def fill_query(
    query: Mapping[str, ToolText], arguments: Mapping[str, Any], values: Mapping[str, str]
) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, text in query.items():
        if not text.arguments <= arguments.keys():
            continue
        if (lone := text.lone_argument) is not None and isinstance(arguments[lone], list):
            found += [(name, plain_text(each)) for each in arguments[lone]]
        else:
            found.append((name, text.render(arguments, values)))
    return found


def fill_header(
    name: str, text: ToolText | str, arguments: Mapping[str, Any], values: Mapping[str, str]
) -> str:
    written = text if isinstance(text, str) else text.render(arguments, values)
    if _HEADER_VALUE.fullmatch(written) is None:
        raise not_sent(f"what was given for the header {name} cannot be sent")
    return written


def fill_body(body: BodyText, arguments: Mapping[str, Any], values: Mapping[str, str]) -> Any:
    match body:
        case ToolText():
            if not body.arguments <= arguments.keys():
                return LEFT_OUT
            if (lone := body.lone_argument) is not None:
                return arguments[lone]
            return body.render(arguments, values)
        case Mapping():
            filled = {key: fill_body(inner, arguments, values) for key, inner in body.items()}
            return {key: inner for key, inner in filled.items() if inner is not LEFT_OUT}
        case list() | tuple():
            listed = [fill_body(inner, arguments, values) for inner in body]
            return [inner for inner in listed if inner is not LEFT_OUT]
        case _:
            return body


def texts_in(body: BodyText) -> tuple[ToolText, ...]:
    match body:
        case ToolText():
            return (body,)
        case Mapping():
            return tuple(each for inner in body.values() for each in texts_in(inner))
        case list() | tuple():
            return tuple(each for inner in body for each in texts_in(inner))
        case _:
            return ()


def check_url(url: ToolText) -> None:
    """Raises `UserError` for a URL whose scheme and host are not written out, or that holds credentials."""
    places = [piece.offset for piece in url.pieces if isinstance(piece, ArgumentPlace)]
    places += [place.offset for place in url.variables.placeholders]
    # Without a name in it, a URL may be a host and no more.
    check_plain_url(url.text[: min(places)] if places else f"{url.text}/")
    if "#" in url.text:
        raise UserError("a URL for a server has no part behind a `#`")


def check_header(name: str, value: ToolText | str) -> None:
    if _HEADER_NAME.fullmatch(name) is None:
        raise UserError(f"{name[:40]!r} cannot be the name of a header")
    if name.lower() in _OWN_HEADERS:
        raise UserError(f"the header {name} is set by us; leave it out")
    if _HEADER_VALUE.fullmatch(value if isinstance(value, str) else value.text) is None:
        raise UserError(f"the header {name} holds a line break or another control character")
