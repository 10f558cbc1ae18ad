"""Keys of whatever speaks HTTP: addresses, headers, places in an answer."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from sipagent.config.schema.base import parsed_by
from sipagent.config.secrets import REFERENCE, check_references, looks_secret
from sipagent.config.values import BadValueError

_SCHEME = re.compile(r"(?i)([a-z][a-z0-9+.-]*):")
_PLACEHOLDER = re.compile(r"\{\{[^}]*\}\}|\{[^}]*\}")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_WHOLE_REFERENCE = re.compile(r"\$\{[^}]+\}.*")


def parse_web_url(value: object) -> str:
    """``https://host/path``, with ``{{variables}}`` after the host. Raises :class:`BadValueError`."""
    remedy = 'Write a URL such as "https://crm.example.com/customers/{{caller}}".'
    if not isinstance(value, str) or not value.strip():
        raise BadValueError(f"{value!r} is no URL.", remedy)
    value = value.strip()
    check_references(value)
    if _WHOLE_REFERENCE.fullmatch(value):
        return value  # what it stands for is looked at when it is known
    scheme = _SCHEME.match(value)
    if scheme is None or not value[scheme.end() :].startswith("//"):
        raise BadValueError(f"{value!r} has no scheme.", f'Write "https://{value.lstrip("/")}".')
    if scheme[1].lower() not in ("http", "https"):
        raise BadValueError(f"`{scheme[1]}` cannot be asked: only http and https can.", remedy)
    fixed = _PLACEHOLDER.split(REFERENCE.sub("x", value), maxsplit=1)[0]
    try:
        parts = urlsplit(fixed)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise BadValueError(f"{value!r} is no URL.", remedy) from error
    if not host or (fixed != REFERENCE.sub("x", value) and not re.match(r"[^/]+://[^/?]+[/?]", fixed)):
        raise BadValueError(
            f"{value!r} has no host before its first variable.",
            "Write the host out: whoever calls must not choose who is asked.",
        )
    if port == 0:
        raise BadValueError(f"{value!r} has the port 0.", remedy)
    if "@" in parts.netloc:
        raise BadValueError(
            "The URL holds a user or a password.", "Put them into a header: Authorization: ${NAME}."
        )
    if re.search(r"\s", _PLACEHOLDER.sub("", value)):
        raise BadValueError(f"{value!r} holds a space.", "Write %20 for a space.")
    return value


def parse_pointer(value: object) -> str:
    """A JSON pointer (RFC 6901): ``/customer/name``. Raises :class:`BadValueError`."""
    if isinstance(value, str):
        if not value or (value.startswith("/") and not re.search(r"~(?![01])", value)):
            return value
        if value.startswith(("$", ".")) or "." in value:
            keys = re.sub(r"\[(\d+)\]", r".\1", value.lstrip("$.")).replace(".", "/")
            raise BadValueError(f"{value!r} is no JSON pointer.", f'Write "/{keys}".')
        if not value.startswith("/"):
            raise BadValueError(f"{value!r} is no JSON pointer.", f'Write "/{value}".')
        raise BadValueError(f"{value!r} has a `~` that stands for nothing.", "Write ~0 for ~ and ~1 for /.")
    raise BadValueError(
        f"{value!r} is no JSON pointer.", 'Write keys and indices with slashes: "/customer/name".'
    )


def parse_header_name(value: object) -> str:
    """A header of HTTP or SIP. Raises :class:`BadValueError`."""
    if isinstance(value, str) and _TOKEN.fullmatch(value):
        return value
    raise BadValueError(
        f"{value!r} is no name of a header.", "Use letters, digits and dashes, without a colon."
    )


def parse_sendable(value: object) -> str:
    """A text that goes into a header or a variable. Raises :class:`BadValueError`."""
    if not isinstance(value, str):
        raise BadValueError(f"{value!r} is not text.", f'Put it in quotes: "{value}".')
    check_references(value)
    if not value.isprintable():
        raise BadValueError(
            "The value holds a line break or a character that cannot be sent.", "Write it on one line."
        )
    return value


def literal_secrets(mapping: dict[str, str]) -> list[str]:
    """The keys of ``mapping`` whose values are secrets that stand in the file."""
    return [name for name, value in mapping.items() if looks_secret(name, value)]


WebUrl = Annotated[
    str,
    parsed_by(
        parse_web_url,
        pattern=r"^\s*([Hh][Tt][Tt][Pp][Ss]?://|\$\{)",
        examples=["https://crm.example.com/customers/{{caller}}"],
    ),
]
Pointer = Annotated[
    str, parsed_by(parse_pointer, pattern=r"^(/.*)?$", examples=["/customer/name", "/orders/0/state"])
]
"""A place in a JSON answer (RFC 6901)."""
HeaderName = Annotated[str, parsed_by(parse_header_name, pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")]
Sendable = Annotated[str, parsed_by(parse_sendable)]
"""May hold ``${NAME}`` and ``${file:…}``."""
Headers = dict[HeaderName, Sendable]
"""Sent with each request; secrets only as ``${NAME}`` or ``${file:/run/secrets/name}``."""
