"""Keeps secrets out of everything that is written down. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from math import isfinite
from urllib.parse import quote

REDACTED = "[redacted]"

# What a secret looks like, whether or not it is one of ours. Strangers choose some of the text this runs
# over, so every alternative starts with fixed characters: none may scan a long word again and again.
_SHAPES = re.compile(
    r"""
    (?P<scheme>\b(?:bearer|basic)\s+)[^\s"',;]{4,}  # an Authorization header
    | \bwhsec_[A-Za-z0-9+/=_-]+                     # a webhook's signing secret
    | \b(?:sk|ek)[-_][A-Za-z0-9_-]{8,}              # an API key, an ephemeral key
    | (?P<url>://[^\s/:@]*:)[^\s/@]+(?=@)           # a password in a URL
    """,
    re.VERBOSE | re.IGNORECASE,
)

_SECRET_KEYS = frozenset(
    {
        "api_key", "api-key", "x-api-key", "openai_api_key", "authorization", "proxy-authorization", "cookie",
        "set-cookie", "password", "secret", "client_secret", "webhook_secret", "openai_webhook_secret",
    }
)  # fmt: skip


_REFERENCE = re.compile(r"(\$\{[^}\n]*\})")  # to a secret, and no secret itself

_WRITTEN = re.compile(
    rf"""
    (?<![\w-])(?P<key>["']?(?:{"|".join(sorted(_SECRET_KEYS))})["']?:[ \t]+)
    (?P<value>"[^"\n]*" | '[^'\n]*' | [^\s"'{{\[][^,}}\n]*)
    """,
    re.VERBOSE | re.IGNORECASE,
)


class Redactor:
    """Replaces the given secrets, and whatever has the shape of one, by ``[redacted]``."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """Empty secrets are ignored."""
        known = {secret for secret in secrets if secret}
        known |= {form for secret in known for form in _written(secret)}
        # The longest first: one secret may begin with another.
        ordered = sorted(known, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def text(self, text: str) -> str:
        """``text`` without secrets."""
        if self._known is not None:
            text = self._known.sub(REDACTED, text)
        return _SHAPES.sub(_replacement, text)

    def document(self, text: str) -> str:
        """A configuration in YAML without secrets: without what `text` replaces, and without the values of
        keys such as ``password``. References to secrets (``${NAME}``) stay."""
        text = _WRITTEN.sub(_written_replacement, text)
        pieces = _REFERENCE.split(text)
        return "".join(piece if number % 2 else self.text(piece) for number, piece in enumerate(pieces))

    def value(self, value: object) -> object:
        """``value`` as JSON can hold it, without secrets: strings, numbers, lists and mappings of them.

        The value of a key such as ``authorization`` goes as a whole. Anything else becomes its text.
        """
        match value:
            case float() if not isfinite(value):
                return str(value)
            case None | bool() | int() | float():
                return value
            case str():
                return self.text(value)
            case Mapping():
                return {
                    self.text(str(key)): REDACTED if str(key).lower() in _SECRET_KEYS else self.value(inner)
                    for key, inner in value.items()
                }
            case list() | tuple() | set() | frozenset():
                return [self.value(inner) for inner in value]
            case _:
                return self.text(str(value))


def _written(secret: str) -> Iterable[str]:
    """How ``secret`` looks in an address, in JSON and in what Python prints of a string."""
    yield quote(secret, safe="")
    for ascii_only in (False, True):
        yield json.dumps(secret, ensure_ascii=ascii_only)[1:-1]
    yield repr(secret)[1:-1]
    yield ascii(secret)[1:-1]


def _replacement(match: re.Match[str]) -> str:
    return (match["scheme"] or match["url"] or "") + REDACTED


def _written_replacement(match: re.Match[str]) -> str:
    return match[0] if "${" in match["value"] else f"{match['key']}{REDACTED}"
