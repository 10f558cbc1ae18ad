"""The structured values inside SIP headers: URIs, named addresses, Via (RFC 3261 sections 19, 20, 25).

Lenient on purpose: telephone software doubles URI parameters, forgets quotes and invents schemes. Nothing
here is printed back in place of what was received; headers are echoed verbatim.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from sipagent.errors import SipSyntaxError
from sipagent.simulator.sip.message import HeaderList, canonical_name

DEFAULT_PORTS = {"udp": 5060, "tcp": 5060, "tls": 5061}

_VIA = re.compile(
    r"SIP\s*/\s*2\.0\s*/\s*([A-Za-z0-9\-]+)\s+(\[[^\]\s]*\]|[^\s:;,]+)\s*(?::\s*(\d{1,5}))?\s*((?:;.*)?)",
    re.IGNORECASE,
)
_RPORT = re.compile(r";\s*rport(\s*=\s*\d*)?(?=\s*(;|$))", re.IGNORECASE)
_HOST_PORT = re.compile(r"(\[[^\]\s]+\]|[^\s:\[\]]+)(?::(\d{1,5}))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class SipUri:
    """A SIP, SIPS or other URI, as far as routing needs it."""

    scheme: str
    """Lower case: ``sip``, ``sips``, ``tel``."""
    user: str | None
    """As written, still escaped; the whole number of a tel URI."""
    host: str
    """Without brackets; empty for a tel URI."""
    port: int | None
    parameters: tuple[tuple[str, str], ...]
    """Lower-case names; the first of a doubled parameter counts."""

    @classmethod
    def parse(cls, text: str) -> SipUri:
        """Read a URI; `SipSyntaxError` when it has no scheme, or is ``sip:`` without a host."""
        scheme, colon, rest = text.strip().partition(":")
        scheme = scheme.lower()
        if not colon or not re.fullmatch(r"[a-z][a-z0-9+.\-]*", scheme):
            raise SipSyntaxError(f"{text[:60]!r} is no URI")
        if scheme not in {"sip", "sips"}:
            number, _, parameters = rest.partition(";")
            return cls(scheme=scheme, user=number, host="", port=None, parameters=_parameters(parameters))
        # The user part may hold ; and ? unescaped (RFC 3261 section 25.1), so the last @ decides.
        userinfo, at, location = rest.rpartition("@")
        location = location.partition("?")[0]
        location, _, parameters = location.partition(";")
        matched = _HOST_PORT.fullmatch(location)
        if matched is None or (matched[2] and int(matched[2]) > 65_535):
            raise SipSyntaxError(f"{text[:60]!r} has no host")
        return cls(
            scheme=scheme,
            user=userinfo.partition(":")[0] if at else None,
            host=matched[1].strip("[]"),
            port=int(matched[2]) if matched[2] else None,
            parameters=_parameters(parameters),
        )

    def parameter(self, name: str) -> str | None:
        """Value of the first parameter called ``name`` (empty for a flag), or None."""
        return _find(self.parameters, name)

    @property
    def transport(self) -> Literal["udp", "tcp", "tls"]:
        """``udp``, ``tcp`` or ``tls`` as this URI asks for it (RFC 3263 section 4.1, without DNS)."""
        named = (self.parameter("transport") or "").lower()
        if self.scheme == "sips" or named == "tls" or (not named and self.port == DEFAULT_PORTS["tls"]):
            return "tls"
        return "tcp" if named == "tcp" else "udp"


@dataclass(frozen=True, slots=True, kw_only=True)
class NameAddress:
    """What From, To, Contact, Route and Refer-To carry: a URI with a display name and parameters."""

    display_name: str
    uri: str
    """As written inside the brackets."""
    parameters: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, text: str) -> NameAddress:
        """Read one address; `SipSyntaxError` when brackets or quotes are not closed, or it is empty."""
        text = text.strip()
        name, rest = _display_name(text)
        if rest.startswith("<"):
            uri, closing, tail = rest[1:].partition(">")
            if not closing or not uri.strip():
                raise SipSyntaxError(f"{text[:60]!r} has no address between < and >")
            return cls(display_name=name, uri=uri.strip(), parameters=_parameters(tail.lstrip(" \t;")))
        # Without brackets, parameters belong to the header and not to the URI (RFC 3261 section 20.10).
        uri, _, tail = rest.partition(";")
        if not uri.strip() or name:
            raise SipSyntaxError(f"{text[:60]!r} is no address")
        return cls(display_name="", uri=uri.strip(), parameters=_parameters(tail))

    def parameter(self, name: str) -> str | None:
        """Value of the first parameter called ``name`` (empty for a flag), or None."""
        return _find(self.parameters, name)

    @property
    def tag(self) -> str | None:
        """The tag parameter, or None."""
        return self.parameter("tag") or None


@dataclass(frozen=True, slots=True, kw_only=True)
class Via:
    """One hop of Via."""

    transport: str
    """Lower case."""
    host: str
    """Without brackets."""
    port: int | None
    parameters: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, text: str) -> Via:
        """Read the first hop of a Via header; `SipSyntaxError` when malformed."""
        # Runs of blanks are folded first: the pattern would take quadratic time on them.
        first = " ".join(next(iter(split_commas(text)), "").split())
        matched = _VIA.fullmatch(first)
        if matched is None or (matched[3] and int(matched[3]) > 65_535):
            raise SipSyntaxError(f"Via {text[:60]!r} is malformed")
        return cls(
            transport=matched[1].lower(),
            host=matched[2].strip("[]"),
            port=int(matched[3]) if matched[3] else None,
            parameters=_parameters(matched[4]),
        )

    def parameter(self, name: str) -> str | None:
        """Value of the first parameter called ``name`` (empty for a flag), or None."""
        return _find(self.parameters, name)

    @property
    def branch(self) -> str:
        """The branch, empty when there is none."""
        return self.parameter("branch") or ""


def stamp_received(headers: HeaderList, host: str, port: int) -> HeaderList:
    """Write into the topmost Via where the request came from (RFC 3261 section 18.2.1, RFC 3581).

    Returns the headers unchanged when the topmost Via is malformed.
    """
    for index, (name, value) in enumerate(headers):
        if canonical_name(name) != "via":
            continue
        hops = split_commas(value)
        try:
            via = Via.parse(value)
        except SipSyntaxError:
            return headers
        hop = hops[0]
        if via.parameter("rport") is not None:
            hop = _RPORT.sub(f";rport={port}", hop, count=1)
        if via.parameter("received") is None and (via.host != host or via.parameter("rport") is not None):
            hop = f"{hop};received={host}"
        return (*headers[:index], (name, ", ".join([hop, *hops[1:]])), *headers[index + 1 :])
    return headers


def split_commas(value: str) -> list[str]:
    """Split a header that may list several values, leaving commas inside quotes and brackets alone."""
    parts: list[str] = []
    start = 0
    quoted = bracketed = escaped = False
    for position, char in enumerate(value):
        if escaped:
            escaped = False
        elif quoted:
            escaped = char == "\\"
            quoted = char != '"'
        elif char == '"':
            quoted = True
        elif char in "<>":
            bracketed = char == "<"
        elif char == "," and not bracketed:
            parts.append(value[start:position])
            start = position + 1
    parts.append(value[start:])
    return [part.strip() for part in parts if part.strip()]


def listed(values: Iterable[str]) -> list[str]:
    """All values of repeated and comma-separated headers, in order."""
    return [part for value in values for part in split_commas(value)]


def bracketed_host(host: str) -> str:
    """An IPv6 address in brackets, anything else as it is."""
    return f"[{host}]" if ":" in host else host


# Private helpers


def _display_name(text: str) -> tuple[str, str]:
    """Split off a display name; returns it and the rest, which starts at the address."""
    if text.startswith('"'):
        matched = re.match(r'"((?:[^"\\]|\\.)*)"\s*', text, re.DOTALL)
        if matched is None:
            raise SipSyntaxError(f"{text[:60]!r} has a quote that is not closed")
        return re.sub(r"\\(.)", r"\1", matched[1]), text[matched.end() :]
    name, bracket, rest = text.partition("<")
    return (name.strip(), "<" + rest) if bracket else ("", text)


def _parameters(text: str) -> tuple[tuple[str, str], ...]:
    pairs: list[tuple[str, str]] = []
    for part in re.findall(r'(?:[^;"]|"(?:[^"\\]|\\.)*"?)+', text):
        name, _, value = part.partition("=")
        if name.strip():
            pairs.append((name.strip().lower(), value.strip().strip('"')))
    return tuple(pairs)


def _find(parameters: tuple[tuple[str, str], ...], name: str) -> str | None:
    return next((value for key, value in parameters if key == name), None)
