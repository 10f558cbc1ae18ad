"""What a user says in writing, from what a program gives to what the API takes. Pure.

A part that the API would not take is an error here: a message that lost its picture on the way would be
answered all the same, and wrongly. Source: API reference "Realtime client events",
``conversation.item.create``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sipagent.errors import UserError
from sipagent.realtime.inputs import RealtimeModelUserInput

DETAILS = ("auto", "low", "high")
_PICTURE_URLS = ("data:image/", "https://", "http://")
_SHOWN_CHARACTERS = 40


def user_content(given: RealtimeModelUserInput) -> list[dict[str, Any]]:
    """The parts of a user's message as the API writes them; raises `UserError` that names what is wrong."""
    if isinstance(given, str):
        return [{"type": "input_text", "text": given}]
    if not isinstance(given, Mapping):
        raise UserError(f"a user's message is a string or a mapping, not {_named(given)}")
    message: Mapping[str, Any] = given
    for field, wanted in (("type", "message"), ("role", "user")):
        if message.get(field, wanted) != wanted:
            raise UserError(f"the {field} of a user's message is {wanted!r}, not {message[field]!r}")
    parts = message.get("content")
    if not isinstance(parts, list | tuple):
        raise UserError(f"the content of a user's message is a list of parts, not {_named(parts)}")
    if not parts:
        raise UserError("a user's message needs at least one text or image part")
    return [_part(part, f"part {number} of a user's message") for number, part in enumerate(parts, start=1)]


def is_picture_url(url: object) -> bool:
    """Whether the API may take a picture by this URL: as data, or from the network."""
    return isinstance(url, str) and url.startswith(_PICTURE_URLS)


def _part(part: object, where: str) -> dict[str, Any]:
    if not isinstance(part, Mapping):
        raise UserError(f"{where} is a mapping with a type, not {_named(part)}")
    match part.get("type"):
        case "input_text":
            if not isinstance(part.get("text"), str):
                raise UserError(f"{where} has no text, but {_named(part.get('text'))}")
            return {"type": "input_text", "text": part["text"]}
        case "input_image":
            return _picture(part, where)
        case other:
            raise UserError(f"{where} is of the type {other!r}; use input_text or input_image")


def _picture(part: Mapping[str, Any], where: str) -> dict[str, Any]:
    url, detail = part.get("image_url"), part.get("detail")
    if not is_picture_url(url):
        shown = repr(url[:_SHOWN_CHARACTERS]) if isinstance(url, str) else _named(url)
        raise UserError(f"the image_url of {where} is data:image/… or https://…, not {shown}")
    picture = {"type": "input_image", "image_url": url}
    if detail is not None:
        if detail not in DETAILS:
            raise UserError(f"the detail of {where} is {', '.join(DETAILS)} or left out, not {detail!r}")
        picture["detail"] = detail
    return picture


def _named(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"
