"""URLs of servers that the configuration names, with values of a call in them. Pure."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

from yarl import URL

from sipagent.errors import UserError

_HOST = re.compile(r"https?://[\x21-\x7e]+?[/?]", re.IGNORECASE)
_KEPT = ":/?#[]@!$&'()*+,;=%"
"""What stays as it is, besides letters and digits; what is escaped already stays so."""


def as_url(text: str) -> URL:
    """A URL in which values stand that were escaped already."""
    return URL(quote(text, safe=_KEPT), encoded=True)


def walks(value: str) -> bool:
    """Whether a value inside a URL would walk up its path, escaped or not."""
    return value in (".", "..")


def check_plain_url(url: str, *, before: str = "name") -> None:
    """Raises `UserError` for a URL whose scheme and host are not written out, or that holds credentials.

    ``url`` may be what stands ahead of the first value; ``before`` says what such a value is called.
    """
    try:
        parts = urlsplit(url)
        usable = _HOST.match(url) is not None and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise UserError(
            f"the URL must begin with http:// or https://, a host and a slash, before any {before}"
        )
    if "@" in parts.netloc:
        raise UserError("put the credentials into a header, not into the URL")
