"""The state two peers share during a call, and the requests sent within it (RFC 3261 section 12)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from sipagent.errors import SipSyntaxError
from sipagent.simulator.sip.address import NameAddress, SipUri, listed
from sipagent.simulator.sip.message import Request, Response, with_tag

DialogKey: TypeAlias = tuple[str, str, str]
"""Call-ID, our tag, the peer's tag."""


@dataclass(slots=True, kw_only=True)
class Dialog:
    """One dialog. Requests it makes carry no Via and no Contact: whoever sends them knows the way."""

    call_id: str
    local: str
    """Our address with tag, as it stands in From or To."""
    remote: str
    """The peer's address with tag, verbatim."""
    local_tag: str
    remote_tag: str
    """Empty for a peer from before RFC 3261."""
    target: str
    """Where the peer wants requests: the URI of its Contact."""
    routes: tuple[str, ...]
    """Route headers in the order of sending."""
    local_cseq: int
    remote_cseq: int | None

    @classmethod
    def as_callee(cls, invite: Request, *, local_tag: str) -> Dialog:
        """Our side of an INVITE we received; `SipSyntaxError` when From or Contact cannot be read."""
        return cls(
            call_id=invite.call_id,
            local=with_tag(invite.text("to"), local_tag),
            remote=invite.text("from"),
            local_tag=local_tag,
            remote_tag=NameAddress.parse(invite.text("from")).tag or "",
            target=contact_uri(invite),
            routes=tuple(listed(invite.every("record-route"))),
            local_cseq=0,
            remote_cseq=invite.cseq[0],
        )

    @classmethod
    def as_caller(cls, invite: Request, response: Response) -> Dialog:
        """Our side of an INVITE we sent; an answer without Contact leaves the target as it was dialled.

        Raises `SipSyntaxError` when the answer's To or Contact cannot be read.
        """
        return cls(
            call_id=invite.call_id,
            local=invite.text("from"),
            remote=response.text("to"),
            local_tag=NameAddress.parse(invite.text("from")).tag or "",
            remote_tag=NameAddress.parse(response.text("to")).tag or "",
            target=contact_uri(response) if response.first("contact") is not None else invite.uri,
            routes=tuple(reversed(listed(response.every("record-route")))),
            local_cseq=invite.cseq[0],
            remote_cseq=None,
        )

    @property
    def key(self) -> DialogKey:
        """Finds this dialog for a request of the peer."""
        return (self.call_id, self.local_tag, self.remote_tag)

    @property
    def next_hop(self) -> str:
        """URI of the first hop of a request: the first route, else the target."""
        return NameAddress.parse(self.routes[0]).uri if self.routes else self.target

    def request(self, method: str, *, headers: Iterable[tuple[str, str]] = (), body: bytes = b"") -> Request:
        """The next request of ours (RFC 3261 section 12.2.1.1)."""
        self.local_cseq += 1
        return self._request(method, self.local_cseq, headers, body)

    def ack(self, cseq_number: int) -> Request:
        """The ACK of a 2xx to our INVITE with that CSeq number (RFC 3261 section 13.2.2.4)."""
        return self._request("ACK", cseq_number, (), b"")

    def in_order(self, request: Request) -> bool:
        """Whether the peer's request is not older than those before; remembers its CSeq (section 12.2.2).

        An equal number is let pass, as the section's wording allows: some peers count each method apart.
        """
        number, _ = request.cseq
        if self.remote_cseq is not None and number < self.remote_cseq:
            return False
        self.remote_cseq = number
        return True

    def refresh_target(self, message: Request | Response) -> None:
        """Take over the Contact of a target refresh (INVITE, UPDATE); a missing one changes nothing."""
        if message.first("contact") is not None:
            self.target = contact_uri(message)

    def _request(self, method: str, number: int, headers: Iterable[tuple[str, str]], body: bytes) -> Request:
        uri, routes = self.target, list(self.routes)
        if routes and not _is_loose(routes[0]):
            # A strict router wants itself in the request line (RFC 3261 section 12.2.1.1).
            uri = NameAddress.parse(routes[0]).uri
            routes = [*routes[1:], f"<{self.target}>"]
        return Request(
            method=method,
            uri=uri,
            headers=(
                *(("Route", route) for route in routes),
                ("From", self.local),
                ("To", self.remote),
                ("Call-ID", self.call_id),
                ("CSeq", f"{number} {method}"),
                ("Max-Forwards", "70"),
                *headers,
            ),
            body=body,
        )


def contact_uri(message: Request | Response) -> str:
    """URI of the first Contact; `SipSyntaxError` when there is none or it is no SIP URI."""
    contacts = listed(message.every("contact"))
    if not contacts:
        raise SipSyntaxError("no Contact header")
    uri = NameAddress.parse(contacts[0]).uri
    if SipUri.parse(uri).scheme not in {"sip", "sips"}:
        raise SipSyntaxError(f"Contact {uri[:60]!r} is no SIP URI")
    return uri


def _is_loose(route: str) -> bool:
    return SipUri.parse(NameAddress.parse(route).uri).parameter("lr") is not None
