"""Which transaction a message belongs to, and the requests a transaction derives from another.

RFC 3261 sections 8.2.2.2, 9.1, 17.1.1.3, 17.1.3 and 17.2.3. Pure.
"""

from __future__ import annotations

from typing import TypeAlias

from sipagent.simulator.sip.address import NameAddress, Via
from sipagent.simulator.sip.message import Request, Response, SipMessage

MAGIC_COOKIE = "z9hG4bK"

TransactionKey: TypeAlias = tuple[str, ...]


def server_key(request: Request) -> TransactionKey:
    """Identifies the server transaction a request belongs to; an ACK has the key of its INVITE.

    Raises `SipSyntaxError` when Via, From or CSeq cannot be read.
    """
    via = Via.parse(request.text("via"))
    method = "INVITE" if request.method == "ACK" else request.method
    if via.branch.startswith(MAGIC_COOKIE) and len(via.branch) > len(MAGIC_COOKIE):
        return (via.branch, via.host.lower(), str(via.port), method)
    # A caller from before RFC 3261: recognise the transaction by everything its requests repeat.
    number, _ = request.cseq
    from_tag = NameAddress.parse(request.text("from")).tag or ""
    return (request.uri, from_tag, request.call_id, str(number), request.text("via"), method)


def client_key(message: SipMessage) -> TransactionKey:
    """Identifies the client transaction of a request we send, and of its answers.

    Raises `SipSyntaxError` when Via or CSeq cannot be read.
    """
    return (Via.parse(message.text("via")).branch, message.cseq[1])


def merge_key(request: Request) -> TransactionKey:
    """Equal for one request that reached us on two ways (RFC 3261 section 8.2.2.2)."""
    number, method = request.cseq
    return (NameAddress.parse(request.text("from")).tag or "", request.call_id, str(number), method)


def ack_of_refusal(invite: Request, response: Response) -> Request:
    """The ACK for a final answer of 300 and above (RFC 3261 section 17.1.1.3)."""
    number, _ = invite.cseq
    return Request(
        method="ACK",
        uri=invite.uri,
        headers=(
            ("Via", invite.text("via")),
            *(("Route", value) for value in invite.every("route")),
            ("From", invite.text("from")),
            ("To", response.text("to")),
            ("Call-ID", invite.call_id),
            ("CSeq", f"{number} ACK"),
            ("Max-Forwards", "70"),
        ),
    )


def cancel_of(invite: Request) -> Request:
    """The CANCEL for an INVITE without a final answer yet (RFC 3261 section 9.1)."""
    number, _ = invite.cseq
    return Request(
        method="CANCEL",
        uri=invite.uri,
        headers=(
            ("Via", invite.text("via")),
            *(("Route", value) for value in invite.every("route")),
            ("From", invite.text("from")),
            ("To", invite.text("to")),
            ("Call-ID", invite.call_id),
            ("CSeq", f"{number} CANCEL"),
            ("Max-Forwards", "70"),
        ),
    )
