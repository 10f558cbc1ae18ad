"""Drives the transactions: matches messages to them, sends what they say, wakes them when a timer is due.

RFC 3261 section 17 and the parts of section 8 that come before a request reaches its user. What is
malformed, unknown or a repetition is dealt with here; `on_request` sees each good request once.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable

from sipagent.errors import SipSyntaxError
from sipagent.simulator.sip.address import NameAddress, Via, bracketed_host
from sipagent.simulator.sip.admission import can_be_answered, refusal_of
from sipagent.simulator.sip.handle import ClientHandle, ServerHandle, stamped, with_headers
from sipagent.simulator.sip.matching import (
    MAGIC_COOKIE,
    TransactionKey,
    cancel_of,
    client_key,
    merge_key,
    server_key,
)
from sipagent.simulator.sip.message import (
    Request,
    Response,
    make_response,
    parse_message,
)
from sipagent.simulator.sip.settings import SipSettings
from sipagent.simulator.sip.transaction import (
    ClientTransaction,
    InviteClientTransaction,
    InviteServerTransaction,
    ServerTransaction,
)
from sipagent.simulator.sip.transport import Address, Flow, local_host_towards

logger = logging.getLogger(__name__)


class TransactionLayer:
    """All transactions of one endpoint."""

    def __init__(
        self,
        *,
        settings: SipSettings,
        on_request: Callable[[ServerHandle], None],
        on_ack: Callable[[Request, Flow], None],
    ) -> None:
        self._settings = settings
        self._on_request = on_request
        self._on_ack = on_ack
        self._servers: dict[TransactionKey, ServerHandle] = {}
        self._clients: dict[TransactionKey, ClientHandle] = {}
        self._merged: dict[TransactionKey, TransactionKey] = {}
        self._closed = False

    # From the network

    def receive(self, data: bytes, flow: Flow) -> None:
        """One message came. Whatever it is, nothing is raised."""
        if self._closed:
            return
        try:
            message = parse_message(data)
        except SipSyntaxError as error:
            logger.info("%s %s:%s: dropped: %s", flow.transport, *flow.peer, error)
            return
        match message:
            case Request():
                self._receive_request(message, flow)
            case Response():
                self._receive_response(message)

    def flow_closed(self, flow: Flow) -> None:
        """A connection is gone: its requests get no answer any more."""
        for client in [client for client in self._clients.values() if client.flow is flow]:
            client.flow_lost()

    def _receive_response(self, response: Response) -> None:
        try:
            client = self._clients.get(client_key(response))
        except SipSyntaxError:
            return
        if client is not None:
            client.run(client.transaction.receive(response, client.now()))

    def _receive_request(self, request: Request, flow: Flow) -> None:
        refusal = refusal_of(request)
        if refusal is not None and not can_be_answered(request):
            logger.info("%s %s:%s: dropped a malformed %s", flow.transport, *flow.peer, request.method)
            return
        reply = _reply_flow(request, flow)
        try:
            key = server_key(request)
        except SipSyntaxError:
            key = ()
        if refusal is not None and (not key or refusal.status in {400, 505}):
            # Too broken for a transaction: answered each time it comes, remembered never.
            self._answer_statelessly(stamped(request, flow.peer), reply, refusal.status, refusal.reason)
            return
        known = self._servers.get(key)
        match request.method:
            case "ACK":
                self._receive_ack(request, reply, known)
            case _ if known is not None:
                known.repeat()
            case _ if len(self._servers) >= self._settings.max_transactions:
                self._answer_statelessly(stamped(request, flow.peer), reply, 503, None)
            case _:
                handle = self._open_server(key, request, reply, flow.peer)
                if refusal is not None:
                    handle.respond(refusal.status, refusal.reason, headers=refusal.headers)
                else:
                    self._receive_new(key, handle)

    def _receive_new(self, key: TransactionKey, handle: ServerHandle) -> None:
        request = handle.request
        if request.method == "CANCEL":
            self._receive_cancel(key, handle)
            return
        merged = merge_key(request)
        if NameAddress.parse(request.text("to")).tag is None:
            if self._merged.get(merged, key) != key:
                handle.respond(482)
                return
            self._merged[merged] = key
        if request.method == "INVITE":
            handle.respond(100)
        self._on_request(handle)

    def _receive_ack(self, request: Request, flow: Flow, known: ServerHandle | None) -> None:
        # Some peers acknowledge a 2xx with the branch of the INVITE, and their session description matters.
        match known:
            case ServerHandle(transaction=InviteServerTransaction(accepted=False)):
                known.acknowledge()
            case _:
                self._on_ack(request, flow)

    def _receive_cancel(self, key: TransactionKey, handle: ServerHandle) -> None:
        invite = self._servers.get((*key[:-1], "INVITE"))
        if invite is None:
            handle.respond(481)
            return
        handle.to_tag = invite.to_tag
        handle.respond(200)
        if not invite.transaction.answered:
            invite.on_cancel()

    def _open_server(
        self, key: TransactionKey, request: Request, flow: Flow, source: Address
    ) -> ServerHandle:
        kind = InviteServerTransaction if request.method == "INVITE" else ServerTransaction
        transaction = kind(timers=self._settings.timers, reliable=flow.reliable)

        def forget() -> None:
            if self._servers.get(key) is handle:
                del self._servers[key]
            merged = merge_key(request)
            if self._merged.get(merged) == key:
                del self._merged[merged]

        handle = ServerHandle(request, flow, source, transaction, forget)
        self._servers[key] = handle
        return handle

    def _answer_statelessly(self, request: Request, flow: Flow, status: int, reason: str | None) -> None:
        if request.method != "ACK":
            response = make_response(request, status, reason, to_tag=secrets.token_hex(8))
            flow.send(response.encode())

    # To the network

    def request(self, request: Request, flow: Flow, on_response: Callable[[Response], None]) -> ClientHandle:
        """Send a request, Via added, in a transaction of its own.

        ``on_response`` gets every answer; 408 when none came in time, 503 when the connection was lost.
        """
        request = self._with_via(request, flow)
        kind = InviteClientTransaction if request.method == "INVITE" else ClientTransaction
        transaction = kind(request, timers=self._settings.timers, reliable=flow.reliable)
        key = client_key(request)

        def forget() -> None:
            self._clients.pop(key, None)

        handle = ClientHandle(request, flow, transaction, forget, on_response)
        self._clients[key] = handle
        handle.run(transaction.start(handle.now()))
        return handle

    def cancel(self, invite: ClientHandle) -> None:
        """Send CANCEL for an INVITE, once; nothing before its first provisional answer or after its final.

        RFC 3261 section 9.1.
        """
        if not isinstance(invite.transaction, InviteClientTransaction) or not invite.transaction.cancel(
            invite.now()
        ):
            return
        invite.run([])
        request = cancel_of(invite.request)
        transaction = ClientTransaction(request, timers=self._settings.timers, reliable=invite.flow.reliable)
        key = client_key(request)

        def forget() -> None:
            self._clients.pop(key, None)

        handle = ClientHandle(request, invite.flow, transaction, forget, lambda response: None)
        self._clients[key] = handle
        handle.run(transaction.start(handle.now()))

    def send_ack(self, request: Request, flow: Flow) -> None:
        """Send the ACK of a 2xx, Via added; nobody answers it."""
        flow.send(self._with_via(request, flow).encode())

    def host_towards(self, flow: Flow) -> str:
        """The host to name in Via, Contact and session descriptions for the peer of ``flow``."""
        if self._settings.advertised_host is not None:
            return self._settings.advertised_host
        unspecified = flow.local[0] in {"0.0.0.0", "::"}  # noqa: S104 - compared, not bound  # nosec B104
        return local_host_towards(flow.peer) if unspecified else flow.local[0]

    def close(self) -> None:
        """Forget every transaction; nothing is sent or reported any more. Idempotent."""
        self._closed = True
        for driver in [*self._servers.values(), *self._clients.values()]:
            driver.terminate()

    def _with_via(self, request: Request, flow: Flow) -> Request:
        host = bracketed_host(self.host_towards(flow))
        via = f"SIP/2.0/{flow.transport.upper()} {host}:{flow.local[1]}"
        branch = MAGIC_COOKIE + secrets.token_hex(12)
        return with_headers(request, (("Via", f"{via};branch={branch};rport"), *request.headers))


def _reply_flow(request: Request, flow: Flow) -> Flow:
    """Where answers go: back on the connection, or to the datagram's sender (RFC 3261 section 18.2.2).

    The host is always the one the datagram came from, whatever Via claims, so that nobody can have us
    send to a third party; the port is the sender's with rport (RFC 3581), else the one Via names.
    """
    if flow.reliable:
        return flow
    try:
        via = Via.parse(request.text("via"))
    except SipSyntaxError:
        return flow
    if via.parameter("rport") is not None:
        return flow
    return flow.towards((flow.peer[0], via.port or 5060))
