"""SIP requests and responses: bytes in, values out, and back (RFC 3261 section 7).

Parsing is lenient where an answer is still possible and keeps everything: header names as they were
written, values verbatim (unfolded), order and repeats. What is wrong with a message that could still be
told apart is listed in ``defects`` so that it can be answered 400; only bytes that are no SIP message at
all raise `SipSyntaxError`. Text is UTF-8 with ``surrogateescape``, so that any byte survives the echo.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from sipagent.errors import SipSyntaxError

VERSION = "SIP/2.0"
MAX_HEADERS = 256
MAX_CSEQ = 2**31 - 1

COMPACT_NAMES = {
    "a": "accept-contact", "b": "referred-by", "c": "content-type", "d": "request-disposition",
    "e": "content-encoding", "f": "from", "i": "call-id", "j": "reject-contact", "k": "supported",
    "l": "content-length", "m": "contact", "o": "event", "r": "refer-to", "s": "subject", "t": "to",
    "u": "allow-events", "v": "via", "x": "session-expires", "y": "identity",
}  # fmt: skip

REASONS = {
    100: "Trying", 180: "Ringing", 181: "Call Is Being Forwarded", 182: "Queued", 183: "Session Progress",
    200: "OK", 202: "Accepted",
    300: "Multiple Choices", 301: "Moved Permanently", 302: "Moved Temporarily",
    400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    406: "Not Acceptable", 407: "Proxy Authentication Required", 408: "Request Timeout", 410: "Gone",
    413: "Request Entity Too Large", 415: "Unsupported Media Type", 416: "Unsupported URI Scheme",
    420: "Bad Extension", 423: "Interval Too Brief", 480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist", 482: "Loop Detected", 483: "Too Many Hops",
    484: "Address Incomplete", 486: "Busy Here", 487: "Request Terminated", 488: "Not Acceptable Here",
    489: "Bad Event", 491: "Request Pending",
    500: "Server Internal Error", 501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable",
    504: "Server Time-out", 505: "Version Not Supported", 513: "Message Too Large",
    600: "Busy Everywhere", 603: "Decline", 604: "Does Not Exist Anywhere", 606: "Not Acceptable",
}  # fmt: skip

_TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")
_STATUS_LINE = re.compile(r"(SIP/\d+\.\d+)[ \t]+([1-6]\d\d)(?:[ \t]+(.*))?", re.IGNORECASE)
_VERSION = re.compile(r"SIP/\d+\.\d+", re.IGNORECASE)
HEAD_END = re.compile(rb"\r?\n\r?\n")

HeaderList: TypeAlias = tuple[tuple[str, str], ...]


def canonical_name(name: str) -> str:
    """The lower-case long form of a header name: ``f`` and ``FROM`` are both ``from``."""
    lowered = name.lower()
    return COMPACT_NAMES.get(lowered, lowered)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Message:
    headers: HeaderList
    """Names and values in order; repeated headers stay apart."""
    body: bytes = b""
    defects: tuple[str, ...] = ()
    """What is wrong with a message that was received; empty for a good one."""

    def first(self, name: str) -> str | None:
        """Value of the first header called ``name`` in any spelling, or None."""
        wanted = canonical_name(name)
        return next((value for key, value in self.headers if canonical_name(key) == wanted), None)

    def every(self, name: str) -> tuple[str, ...]:
        """Values of all headers called ``name``, in order, not split at commas."""
        wanted = canonical_name(name)
        return tuple(value for key, value in self.headers if canonical_name(key) == wanted)

    def text(self, name: str) -> str:
        """Value of the first header called ``name``, or an empty string."""
        return self.first(name) or ""

    @property
    def call_id(self) -> str:
        """Value of Call-ID; empty when there is none."""
        return self.text("call-id")

    @property
    def cseq(self) -> tuple[int, str]:
        """Number and method of CSeq; `SipSyntaxError` when missing or malformed (RFC 3261 section 20.16)."""
        parts = self.text("cseq").split()
        if len(parts) == 2 and parts[0].isascii() and parts[0].isdigit() and len(parts[0]) <= 10:
            number = int(parts[0])
            if number <= MAX_CSEQ:
                return number, parts[1]
        raise SipSyntaxError(f"CSeq {self.text('cseq')!r} is not a number below 2**31 and a method")

    def _encode(self, start_line: str) -> bytes:
        kept = [pair for pair in self.headers if canonical_name(pair[0]) != "content-length"]
        lines = [start_line, *(f"{name}: {value}" for name, value in kept)]
        lines += [f"Content-Length: {len(self.body)}", "", ""]
        return "\r\n".join(lines).encode("utf-8", "surrogateescape") + self.body


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(_Message):
    """A request. ``method`` keeps its spelling: methods are case-sensitive."""

    method: str
    uri: str
    version: str = VERSION

    def encode(self) -> bytes:
        """The message as bytes, with a Content-Length that fits the body."""
        return self._encode(f"{self.method} {self.uri} {VERSION}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Response(_Message):
    """A response."""

    status: int
    reason: str

    def encode(self) -> bytes:
        """The message as bytes, with a Content-Length that fits the body."""
        return self._encode(f"{VERSION} {self.status} {self.reason}")

    @property
    def is_final(self) -> bool:
        """Not provisional."""
        return self.status >= 200


SipMessage: TypeAlias = Request | Response


def reason_of(status: int) -> str:
    """The usual reason phrase of a status."""
    return REASONS.get(status, "Unknown")


def make_response(
    request: Request,
    status: int,
    reason: str | None = None,
    *,
    to_tag: str | None = None,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
) -> Response:
    """Answer ``request``: Via, From, To, Call-ID and CSeq echoed verbatim (RFC 3261 section 8.2.6).

    ``to_tag`` is added to To when the request's To has none. Headers of the answer's own come last.
    """
    echoed: list[tuple[str, str]] = []
    for name, value in request.headers:
        match canonical_name(name):
            case "via" | "from" | "call-id" | "cseq":
                echoed.append((name, value))
            case "to":
                echoed.append((name, with_tag(value, to_tag) if to_tag else value))
            case "timestamp" if status == 100:
                echoed.append((name, value))
            case _:
                pass
    return Response(status=status, reason=reason or reason_of(status), headers=(*echoed, *headers), body=body)


def with_tag(address: str, tag: str) -> str:
    """Add ``;tag=`` to the text of a To or From header, unless a tag is there already."""
    outside_brackets = address.rpartition(">")[2]
    if re.search(r";\s*tag\s*=", outside_brackets, re.IGNORECASE):
        return address
    return f"{address};tag={tag}"


# Parsing


def parse_message(data: bytes) -> SipMessage:
    """Read one whole message: a datagram, or what `StreamFramer` cut out of a stream.

    Without Content-Length the body is the rest. Raises `SipSyntaxError` when the first line is neither a
    request line nor a status line.
    """
    data = data.lstrip(b"\r\n")
    end = HEAD_END.search(data)
    head, rest = (data[: end.start()], data[end.end() :]) if end else (data.rstrip(b"\r\n"), b"")
    lines = re.split(r"\r?\n", head.decode("utf-8", "surrogateescape"))
    defects: list[str] = [] if end else ["no empty line after the headers"]
    headers = parse_headers(lines[1:], defects)
    body = _cut_body(headers, rest, defects)
    if status_line := _STATUS_LINE.fullmatch(lines[0].strip()):
        return Response(
            status=int(status_line[2]),
            reason=status_line[3] or "",
            headers=headers,
            body=body,
            defects=tuple(defects),
        )
    return _parse_request_line(lines[0], headers, body, defects)


def _parse_request_line(line: str, headers: HeaderList, body: bytes, defects: list[str]) -> Request:
    parts = line.split()
    if len(parts) < 2 or not _VERSION.fullmatch(parts[-1]) or not _TOKEN.fullmatch(parts[0]):
        raise SipSyntaxError(f"{line[:60]!r} is neither a request line nor a status line")
    if line != " ".join(parts) or len(parts) != 3:
        defects.append("the request line is not three words with single spaces")
    return Request(
        method=parts[0],
        uri=" ".join(parts[1:-1]),
        version=parts[-1].upper(),
        headers=headers,
        body=body,
        defects=tuple(defects),
    )


def parse_headers(lines: list[str], defects: list[str]) -> HeaderList:
    """Headers of unfolded and folded lines; what is no header is left out and added to ``defects``."""
    unfolded: list[str] = []
    for line in lines:
        if line[:1] in {" ", "\t"} and unfolded:
            unfolded[-1] += " " + line.strip(" \t")
        else:
            unfolded.append(line)
    headers: list[tuple[str, str]] = []
    for line in unfolded:
        name, colon, value = line.partition(":")
        name = name.rstrip(" \t")
        if not colon or not _TOKEN.fullmatch(name):
            defects.append(f"{line[:40]!r} is no header")
        elif len(headers) == MAX_HEADERS:
            defects.append(f"more than {MAX_HEADERS} headers")
            break
        elif "\r" in value or "\x00" in value:
            # A bare CR would be echoed into an answer, where a reader may take it for a line end.
            defects.append(f"{name} has a control character in its value")
        else:
            headers.append((name, value.strip(" \t")))
    return tuple(headers)


def _cut_body(headers: HeaderList, rest: bytes, defects: list[str]) -> bytes:
    try:
        length = content_length(headers)
    except SipSyntaxError as error:
        defects.append(str(error))
        return b""
    if length is None:
        return rest
    if length > len(rest):
        defects.append(f"Content-Length is {length}, but only {len(rest)} bytes came")
    return rest[:length]


def content_length(headers: HeaderList) -> int | None:
    """Content-Length in bytes, None when absent; `SipSyntaxError` when malformed or contradicting itself."""
    values = {value for name, value in headers if canonical_name(name) == "content-length"}
    if not values:
        return None
    value = values.pop()
    if values or not (value.isascii() and value.isdigit() and len(value) <= 9):
        raise SipSyntaxError(f"Content-Length {value[:20]!r} is not one number")
    return int(value)
