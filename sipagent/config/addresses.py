"""Addresses of machines: ours as carriers reach it, theirs, and the SIP host of a Realtime API."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from sipagent.carrier.settings import OPENAI_SIP_HOST
from sipagent.config.secrets import check_references
from sipagent.config.values import BadValueError

_REFERENCE_ALONE = re.compile(r"\s*\$\{[^}]+\}\s*")
_HOST = re.compile(
    r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*\.?"
)
_OUR_PATHS = re.compile(r"(?<=[^/:])/(carriers|webhooks)(?=/|$)")
_SIP_HOSTS = {"api.openai.com": OPENAI_SIP_HOST, "eu.api.openai.com": "sip-eu.api.openai.com"}
"""By the host of the API; of other regions none is published."""


def sip_host_of(base_url: str) -> str | None:
    """The SIP host that belongs to the Realtime API at ``base_url``; None where nobody has published one."""
    return _SIP_HOSTS.get(urlsplit(base_url).hostname or "")


def is_loopback(host: str) -> bool:
    """Whether ``host`` is this machine, by name or address."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def parse_public_url(value: object) -> str:
    """``https://phone.example.com``, without a slash at the end; http only on this machine; a reference as it
    stands. Raises :class:`BadValueError`."""
    remedy = 'Write "https://HOST", where carriers reach this service.'
    if isinstance(value, str) and "@" not in value and (found := _OUR_PATHS.search(value)) is not None:
        whole = value.strip()[: found.start()]
        whole = whole if "://" in whole else f"https://{whole}"
        raise BadValueError(f"{value!r} holds a path of ours.", f'Write "{whole}".')
    text, parts = _url(value, remedy)
    if parts is not None and parts[0] == "http" and not is_loopback(parts[1]):
        rest = text.partition("://")[2]
        raise BadValueError(
            f"{value!r} is not https.", f'Write "https://{rest}": numbers of callers travel there.'
        )
    return text


def parse_api_url(value: object) -> str:
    """``https://api.twilio.com``, without a slash at the end; http only on this machine; a reference as it
    stands. Raises :class:`BadValueError`."""
    text, parts = _url(value, 'Write a URL such as "https://api.twilio.com".')
    if parts is not None and parts[0] == "http" and not is_loopback(parts[1]):
        raise BadValueError(f"{value!r} is not https.", f'Write "https://{text.partition("://")[2]}".')
    return text


def parse_host(value: object) -> str:
    """The name or address of a machine, without a port. Raises :class:`BadValueError`."""
    remedy = f"Write a name such as {OPENAI_SIP_HOST}."
    if not isinstance(value, str) or not value.strip():
        raise BadValueError(f"{value!r} is no host.", remedy)
    text = value.strip()
    if re.match(r"(?i)sips?:", text) or "@" in text:
        raise BadValueError(
            f"{value!r} is more than a host.", "Write the host alone; the project stands in `project:`."
        )
    bare = text.removeprefix("[").removesuffix("]")
    if _HOST.fullmatch(text):
        return text
    try:
        return f"[{ipaddress.IPv6Address(bare)}]"
    except ValueError:
        pass
    host, colon, port = text.rpartition(":")
    if colon and port.isdigit() and _HOST.fullmatch(host):
        raise BadValueError(f"{value!r} holds a port.", f"Write `host: {host}` and `port: {port}`.")
    raise BadValueError(f"{value!r} is no host.", remedy)


def _url(value: object, remedy: str) -> tuple[str, tuple[str, str] | None]:
    """The text without a slash at the end, and its scheme and host; None for a reference."""
    if not isinstance(value, str) or not value.strip():
        raise BadValueError(f"{value!r} is no URL.", remedy)
    check_references(value)
    text = value.strip()
    text = text if text.endswith("://") else text.rstrip("/")
    if _REFERENCE_ALONE.fullmatch(value):
        return text, None
    if "${" in text:
        raise BadValueError(
            f"{value!r} is a reference with more around it.", "Let the variable hold all of it."
        )
    if "@" in text:
        raise BadValueError("The URL holds a user or a password.", "Remove them.")
    if "://" not in text:
        raise BadValueError(f"{value!r} has no scheme.", f'Write "https://{text}".')
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("https", "http") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # such as a port of letters
        good = False
    if not good or re.search(r"[\s<>\"{}|\\^`]", text) or not text.isascii():
        raise BadValueError(f"{value!r} is no URL.", remedy)
    if "?" in text or "#" in text:
        raise BadValueError(
            f"{value!r} has a query or a mark.", f'Write "{re.split(r"[?#]", text)[0].rstrip("/")}".'
        )
    return text, (parts.scheme, parts.hostname or "")
