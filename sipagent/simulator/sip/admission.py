"""What a request must look like to be let in, and the answers that need no call (RFC 3261 section 8.2)."""

from __future__ import annotations

from dataclasses import dataclass

from sipagent.errors import SipSyntaxError
from sipagent.simulator.sip.address import NameAddress, SipUri, Via, listed
from sipagent.simulator.sip.dialog import contact_uri
from sipagent.simulator.sip.message import VERSION, HeaderList, Request

METHODS = ("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "REGISTER", "INFO", "UPDATE", "REFER", "NOTIFY")
ALLOW = ("Allow", ", ".join(METHODS))
ACCEPT_SDP = ("Accept", "application/sdp")
SUPPORTED_OPTIONS = frozenset({"timer"})
DEFAULT_EXPIRES_S = 3600
MAX_CONTACTS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An answer to a request that is not let in."""

    status: int
    reason: str | None = None
    headers: HeaderList = ()


def can_be_answered(request: Request) -> bool:
    """Whether an answer could find its way and be recognised: Via, From, To, Call-ID and CSeq are there."""
    try:
        Via.parse(request.text("via"))
    except SipSyntaxError:
        return False
    return request.method != "ACK" and all(
        request.first(name) is not None for name in ("from", "to", "call-id", "cseq")
    )


def refusal_of(request: Request) -> Refusal | None:
    """Why a request is not let in, or None; the first reason in the order of RFC 3261 section 8.2."""
    if request.version != VERSION:
        return Refusal(status=505)
    if problem := _syntax_problem(request):
        return Refusal(status=400, reason=problem)
    if request.method not in METHODS:
        return Refusal(status=405, headers=(ALLOW,))
    if not request.uri.lower().startswith(("sip:", "sips:", "tel:")):
        return Refusal(status=416)
    required = {option.lower() for option in listed(request.every("require"))}
    if request.method not in {"ACK", "CANCEL"} and (unknown := sorted(required - SUPPORTED_OPTIONS)):
        return Refusal(status=420, headers=(("Unsupported", ", ".join(unknown)),))
    if request.method in {"INVITE", "UPDATE"} and request.body:
        kind = request.text("content-type").partition(";")[0].strip().lower()
        encoding = request.text("content-encoding").strip().lower()
        if kind != "application/sdp" or encoding not in {"", "identity"}:
            return Refusal(status=415, headers=(ACCEPT_SDP, ("Accept-Encoding", "identity")))
    return None


def _syntax_problem(request: Request) -> str | None:
    """A reason phrase for 400, or None. It is plain text of ours: nothing received is repeated in it."""
    if request.defects:
        return "Malformed Message"
    try:
        _, method = request.cseq
        Via.parse(request.text("via"))
        sender = NameAddress.parse(request.text("from"))
        receiver = NameAddress.parse(request.text("to"))
        SipUri.parse(sender.uri)
        SipUri.parse(receiver.uri)
        SipUri.parse(request.uri)
        for route in (*listed(request.every("record-route")), *listed(request.every("route"))):
            SipUri.parse(NameAddress.parse(route).uri)
        if request.method == "INVITE":
            contact_uri(request)
    except SipSyntaxError:
        return "Malformed Header"
    if not request.call_id:
        return "Missing Call-ID"
    if method != request.method:
        return "CSeq Method Mismatch"
    max_forwards = request.first("max-forwards")
    if max_forwards is not None and not (max_forwards.isascii() and max_forwards.isdigit()):
        return "Malformed Max-Forwards"
    return None


def registered_contacts(request: Request) -> HeaderList:
    """Headers of the answer to REGISTER: every Contact back with its lifetime (RFC 3261 section 10.3).

    Nothing is stored: telephones only want to hear yes before they dial.
    """
    header = request.text("expires").strip()
    fallback = int(header) if header.isascii() and header.isdigit() and len(header) < 8 else DEFAULT_EXPIRES_S
    lines: list[tuple[str, str]] = []
    for contact in listed(request.every("contact"))[:MAX_CONTACTS]:
        try:
            address = NameAddress.parse(contact)
        except SipSyntaxError:
            continue
        wanted = address.parameter("expires") or ""
        expires = int(wanted) if wanted.isascii() and wanted.isdigit() and len(wanted) < 8 else fallback
        if expires and address.uri != "*":
            lines.append(("Contact", f"<{address.uri}>;expires={expires}"))
    return tuple(lines)


def session_timer(request: Request) -> HeaderList:
    """Headers that accept a caller's session timer, with the caller as refresher (RFC 4028 section 9)."""
    options = {option.lower() for option in listed((*request.every("supported"), *request.every("require")))}
    interval = request.text("session-expires").partition(";")[0].strip()
    if "timer" in options and interval.isascii() and interval.isdigit() and len(interval) < 8:
        return (("Require", "timer"), ("Session-Expires", f"{interval};refresher=uac"))
    return ()
