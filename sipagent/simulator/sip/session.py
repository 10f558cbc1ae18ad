"""What both directions of a call share: requests within the dialog, sent and received.

A call is *over* for its user as soon as one side ended it, while its dialog may linger until the last
transaction is done, so that crossing and repeated requests still find an answer.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from sipagent.errors import SdpError, SimulatorError, SipSyntaxError
from sipagent.simulator.sip.address import DEFAULT_PORTS, NameAddress, SipUri, listed
from sipagent.simulator.sip.admission import ALLOW, session_timer
from sipagent.simulator.sip.dialog import Dialog, DialogKey
from sipagent.simulator.sip.handle import ServerHandle
from sipagent.simulator.sip.layer import TransactionLayer
from sipagent.simulator.sip.listener import SipCallListener, SipEnd
from sipagent.simulator.sip.message import HeaderList, Request, Response
from sipagent.simulator.sip.settings import SipSettings
from sipagent.simulator.sip.transaction import Outcome
from sipagent.simulator.sip.transport import Flow, is_ip_address

_SIPFRAG = re.compile(rb"\s*SIP/2\.0 ([1-6]\d\d)")
_SDP_TYPE = ("Content-Type", "application/sdp")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSupport:
    """What a call needs from its endpoint."""

    layer: TransactionLayer
    settings: SipSettings
    contact: Callable[[Flow], str]
    """Our Contact for a peer."""
    enter: Callable[[SipCall, DialogKey], None]
    """From now on requests of this dialog go to the call."""
    leave: Callable[[SipCall, DialogKey | None], None]
    """The call needs nothing any more."""


class SipCall(ABC):
    """One call, seen from our side of the dialog."""

    def __init__(self, support: CallSupport, flow: Flow, invite: Request) -> None:
        self._support = support
        self._flow = flow
        self._invite = invite
        self._dialog: Dialog | None = None
        self._listener = SipCallListener()
        self._remote_sdp = b""
        self._end: SipEnd | None = None
        self._over = asyncio.Event()
        self._waiting: set[asyncio.Future[Response]] = set()
        self._unacknowledged: ServerHandle | None = None
        self._bye_deferred = False
        self._reinviting = False

    # What is known

    @property
    def headers(self) -> HeaderList:
        """All headers of the INVITE, in order, repeats kept, as they were written."""
        return self._invite.headers

    @property
    def remote_sdp(self) -> bytes:
        """The peer's latest session description; empty before there is one."""
        return self._remote_sdp

    @property
    def local_host(self) -> str:
        """The address of this machine that the peer can reach, for session descriptions."""
        return self._support.layer.host_towards(self._flow)

    @property
    def bind_host(self) -> str:
        """Where to bind media: the local address of the signalling, which may be unspecified."""
        return self._flow.local[0]

    @property
    def transport(self) -> str:
        """``udp``, ``tcp`` or ``tls``."""
        return self._flow.transport

    @property
    def is_over(self) -> bool:
        """One side ended the call."""
        return self._end is not None

    @property
    def flow(self) -> Flow:
        """The way to the peer that was used last."""
        return self._flow

    def listen(self, listener: SipCallListener) -> None:
        """Set the one listener; it hears at once of an end that happened before."""
        self._listener = listener
        if self._end is not None and self._end is not SipEnd.LOCAL:
            listener.ended(self._end)

    async def wait_ended(self) -> SipEnd:
        """Wait until the call is over. Safe to cancel."""
        await self._over.wait()
        assert self._end is not None
        return self._end

    # What we do

    @abstractmethod
    def bye(self) -> None:
        """End the call, whatever its state; idempotent."""

    async def refer(self, target_uri: str) -> int:
        """Ask the peer to call ``target_uri`` (RFC 3515) and return the status of its answer.

        408 when none came, 481 when the call is over. Progress arrives by the listener. Raises
        `SimulatorError` for a target that is no URI. Safe to cancel: the REFER stays sent.
        """
        SipUri.parse(target_uri)
        if not target_uri.isascii() or re.search(r"[\s<>\"\x00-\x1f\x7f]", target_uri):
            raise SimulatorError(f"{target_uri[:60]!r} is no URI to refer to")
        headers = (
            ("Contact", self._contact),
            ("Refer-To", f"<{target_uri}>"),
            ("Referred-By", self._contact),
        )
        return (await self._ask("REFER", headers)).status

    async def reinvite(self, sdp: bytes) -> Response:
        """Offer a changed session (hold, resume, another address) and return the final answer.

        A 2xx is acknowledged already, and ``remote_sdp`` is the answer's. 491 when a change of ours is
        under way, 481 when the call is over. Safe to cancel: the offer stays made.
        """
        if self._reinviting:
            return Response(status=491, reason="Request Pending", headers=())
        self._reinviting = True
        try:
            return await self._ask("INVITE", (("Contact", self._contact), ALLOW, _SDP_TYPE), sdp)
        finally:
            self._reinviting = False

    def notify_refer(self, status: int) -> None:
        """Tell the peer how the call it referred us to goes; a final status ends the subscription."""
        state = "terminated;reason=noresource" if status >= 200 else "active;expires=60"
        headers = (
            ("Contact", self._contact),
            ("Event", "refer"),
            ("Subscription-State", state),
            ("Content-Type", "message/sipfrag"),
        )
        if not self.is_over:
            self._send("NOTIFY", headers, f"SIP/2.0 {status} Progress\r\n".encode(), lambda response: None)

    # From the endpoint

    def receive(self, handle: ServerHandle) -> None:
        """A request within the dialog came."""
        request, dialog = handle.request, self._dialog
        if dialog is None or (self.is_over and request.method != "BYE"):
            handle.respond(481)
            return
        if self._flow.reliable or handle.flow.reliable:
            # The peer may have opened a new connection after losing the old one.
            self._flow = handle.flow
        if not dialog.in_order(request):
            handle.respond(500, "Out Of Order", headers=(("Retry-After", "1"),))
            return
        match request.method:
            case "BYE":
                self._receive_bye(handle)
            case "INVITE":
                self._receive_reinvite(handle, dialog)
            case "UPDATE":
                self._receive_update(handle, dialog)
            case "INFO":
                handle.respond(200)
                self._listener.info_received(request.text("content-type"), request.body)
            case "NOTIFY":
                self._receive_notify(handle)
            case "REFER":
                self._receive_refer(handle)
            case "OPTIONS":
                handle.respond(200, headers=(ALLOW,))
            case _:
                handle.respond(405, headers=(ALLOW,))

    def receive_ack(self, request: Request) -> None:
        """The ACK of a 2xx came, perhaps not for the first time."""
        handle = self._unacknowledged
        if handle is None or handle.request.cseq[0] != request.cseq[0]:
            return
        offered = bool(handle.request.body)
        if request.body and not offered:
            self._remote_sdp = request.body
        handle.acknowledge()
        if not self.is_over:
            self._listener.acknowledged(b"" if offered else request.body)

    @abstractmethod
    def flow_lost(self) -> None:
        """The connection is gone. An answered call lives on: its peer may come back on a new one."""

    def close(self) -> None:
        """The endpoint goes: end the call as far as one message can, and let nobody wait."""
        self.bye()
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(Response(status=408, reason="Request Timeout", headers=()))

    # Requests of the peer

    def _receive_bye(self, handle: ServerHandle) -> None:
        handle.respond(200)
        if self._unacknowledged is not None:
            # Whoever hangs up has seen our answer; its ACK may be lost.
            self._bye_deferred = False
            self._unacknowledged.acknowledge()
        self._finish(SipEnd.BYE)
        self._leave()

    def _receive_reinvite(self, handle: ServerHandle, dialog: Dialog) -> None:
        if self._reinviting:
            handle.respond(491)
            return
        if self._unacknowledged is not None:
            # Its predecessor is not settled yet (RFC 3261 section 14.2).
            handle.respond(500, headers=(("Retry-After", "1"),))
            return
        answer = self._answer_to(handle)
        if answer is None:
            return
        dialog.refresh_target(handle.request)
        self._accept(handle, answer)

    def _receive_update(self, handle: ServerHandle, dialog: Dialog) -> None:
        answer = self._answer_to(handle) if handle.request.body else b""
        if answer is None:
            return
        try:
            dialog.refresh_target(handle.request)
        except SipSyntaxError:
            handle.respond(400, "Malformed Contact")
            return
        content = (_SDP_TYPE,) if answer else ()
        headers = (("Contact", self._contact), *session_timer(handle.request), *content)
        handle.respond(200, headers=headers, body=answer)

    def _answer_to(self, handle: ServerHandle) -> bytes | None:
        """The listener's answer to a changed session; None when it refused, which is then answered."""
        try:
            answer = self._listener.reinvited(handle.request.body)
        except SdpError:
            handle.respond(488)
            return None
        if handle.request.body:
            self._remote_sdp = handle.request.body
        return answer

    def _receive_notify(self, handle: ServerHandle) -> None:
        request = handle.request
        if request.text("event").partition(";")[0].strip().lower() != "refer":
            handle.respond(489)
            return
        status = _SIPFRAG.match(request.body)
        if status is None:
            handle.respond(400, "No Status Line In Body")
            return
        handle.respond(200)
        state = request.text("subscription-state").partition(";")[0].strip().lower()
        self._listener.refer_progress(int(status[1]), final=state == "terminated")

    def _receive_refer(self, handle: ServerHandle) -> None:
        targets = listed(handle.request.every("refer-to"))
        try:
            target = NameAddress.parse(targets[0] if len(targets) == 1 else "").uri
        except SipSyntaxError:
            handle.respond(400, "One Refer-To Expected")
            return
        status = self._listener.refer_requested(target)
        handle.respond(status, headers=(("Contact", self._contact),))
        if 200 <= status < 300:
            self.notify_refer(100)

    # Requests of ours

    @property
    def _contact(self) -> str:
        return self._support.contact(self._flow)

    def _accept(self, handle: ServerHandle, sdp: bytes) -> None:
        """Answer an INVITE with 200 and wait for its ACK."""
        self._unacknowledged = handle
        handle.on_outcome = self._settled
        routes = tuple(("Record-Route", value) for value in handle.request.every("record-route"))
        agent = ("Server", self._support.settings.user_agent)
        timer = session_timer(handle.request)
        headers = (*routes, ("Contact", self._contact), ALLOW, agent, *timer, _SDP_TYPE)
        handle.respond(200, headers=headers, body=sdp)

    def _settled(self, outcome: Outcome) -> None:
        self._unacknowledged = None
        if outcome is Outcome.NOT_ACKNOWLEDGED:
            self._bye_deferred = True
            self._finish(SipEnd.ACK_TIMEOUT)
        if self._bye_deferred:
            self._bye_deferred = False
            self._send_bye()

    def _hang_up(self) -> None:
        """BYE an answered call; only after the ACK of our 200 (RFC 3261 section 15)."""
        self._finish(SipEnd.LOCAL)
        if self._unacknowledged is not None:
            self._bye_deferred = True
        else:
            self._send_bye()

    def _send_bye(self) -> None:
        def answered(response: Response) -> None:
            if response.is_final:
                self._leave()

        self._send("BYE", (), b"", answered)

    async def _ask(self, method: str, headers: HeaderList, body: bytes = b"") -> Response:
        if self._dialog is None or self.is_over:
            return Response(status=481, reason="Call Does Not Exist", headers=())
        waiting: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        number = self._dialog.local_cseq + 1

        def answered(response: Response) -> None:
            if method == "INVITE" and 200 <= response.status < 300:
                self._acknowledge(number)
                if not waiting.done():
                    self._remote_sdp = response.body
            if response.is_final and not waiting.done():
                waiting.set_result(response)

        self._waiting.add(waiting)
        try:
            self._send(method, headers, body, answered)
            return await waiting
        finally:
            self._waiting.discard(waiting)

    def _send(
        self, method: str, headers: HeaderList, body: bytes, on_response: Callable[[Response], None]
    ) -> None:
        assert self._dialog is not None, "no request without a dialog"
        agent = ("User-Agent", self._support.settings.user_agent)
        request = self._dialog.request(method, headers=(agent, *headers), body=body)
        self._support.layer.request(request, self._route(), on_response)

    def _acknowledge(self, number: int) -> None:
        assert self._dialog is not None, "no ACK without a dialog"
        self._support.layer.send_ack(self._dialog.ack(number), self._route())

    def _route(self) -> Flow:
        """The way of the next request: the connection in use, or to the first hop of a datagram.

        A first hop that is a name is not looked up; its datagrams go where the peer's came from.
        """
        assert self._dialog is not None, "no way without a dialog"
        if self._flow.reliable:
            return self._flow
        try:
            hop = SipUri.parse(self._dialog.next_hop)
        except SipSyntaxError:
            return self._flow
        if not is_ip_address(hop.host):
            return self._flow
        return self._flow.towards((hop.host, hop.port or DEFAULT_PORTS["udp"]))

    # The end

    def _finish(self, end: SipEnd) -> None:
        if self._end is not None:
            return
        self._end = end
        self._over.set()
        if end is not SipEnd.LOCAL:
            self._listener.ended(end)

    def _leave(self) -> None:
        self._support.leave(self, self._dialog.key if self._dialog is not None else None)


def new_tag() -> str:
    """A tag nobody can guess."""
    return secrets.token_hex(8)
