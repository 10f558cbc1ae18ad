"""Drives the transactions: matches messages to them, sends what they say, wakes them when a timer is due.

RFC 3261 section 17 and the parts of section 8 that come before a request reaches its user. What is
malformed, unknown or a repetition is dealt with here; `on_request` sees each good request once.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable

from sipagent.errors import SipSyntaxError
from sipagent.simulator.sip.address import Via, bracketed_host, stamp_received
from sipagent.simulator.sip.admission import can_be_answered, refusal_of
from sipagent.simulator.sip.matching import (
    MAGIC_COOKIE,
    TransactionKey,
    cancel_of,
    client_key,
    merge_key,
    server_key,
)
from sipagent.simulator.sip.message import (
    HeaderList,
    Request,
    Response,
    make_response,
    parse_message,
)
from sipagent.simulator.sip.settings import SipSettings
from sipagent.simulator.sip.transaction import (
    Action,
    ClientTransaction,
    Happened,
    InviteClientTransaction,
    InviteServerTransaction,
    Outcome,
    Received,
    ServerTransaction,
    Transaction,
    Transmit,
)
from sipagent.simulator.sip.transport import Address, Flow, local_host_towards

logger = logging.getLogger(__name__)


class _Driver:
    """Runs one transaction on the event loop: does its actions and keeps its timer."""

    def __init__(self, transaction: Transaction, flow: Flow, forget: Callable[[], None]) -> None:
        self.flow = flow
        self._transaction = transaction
        self._forget = forget
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def now(self) -> float:
        return self._loop.time()

    def run(self, actions: list[Action]) -> None:
        """Do what the transaction says, then set the timer for its next deadline."""
        for action in actions:
            match action:
                case Transmit(message=message):
                    self.flow.send(message.encode())
                case Received(response=response):
                    self.received(response)
                case Happened(outcome=outcome):
                    self.happened(outcome)
        self._set_timer()

    def received(self, response: Response) -> None:
        raise AssertionError("only client transactions receive answers")

    def happened(self, outcome: Outcome) -> None:
        """Nobody needs to know, unless a subclass says so."""

    def terminate(self) -> None:
        self._transaction.terminate()
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transaction.over:
            self._forget()
        elif self._transaction.deadline is not None:
            self._timer = self._loop.call_at(self._transaction.deadline, self._expire)

    def _expire(self) -> None:
        self._timer = None
        # The loop may wake a clock tick early; what is not due yet gets the timer set again.
        self.run(self._transaction.expire(self.now()))


class ServerHandle(_Driver):
    """A request we received, to be answered."""

    def __init__(
        self,
        request: Request,
        flow: Flow,
        source: Address,
        transaction: InviteServerTransaction | ServerTransaction,
        forget: Callable[[], None],
    ) -> None:
        super().__init__(transaction, flow, forget)
        self._source = source
        self.request = request
        """As it was received."""
        self.transaction = transaction
        self.on_outcome: Callable[[Outcome], None] = lambda outcome: None
        """Told when the ACK of a final answer to INVITE came, or never came."""
        self.on_cancel: Callable[[], None] = lambda: None
        """Told when the peer cancels the request before a final answer."""
        self.to_tag = secrets.token_hex(8)
        """Tag for To in answers to a request that has none."""

    def respond(
        self, status: int, reason: str | None = None, *, headers: HeaderList = (), body: bytes = b""
    ) -> None:
        """Answer; ignored once a final answer was given."""
        tag = self.to_tag if status > 100 else None
        stamped = _stamped(self.request, self._source)
        response = make_response(stamped, status, reason, to_tag=tag, headers=headers, body=body)
        self.run(self.transaction.respond(response, self.now()))

    def acknowledge(self) -> None:
        """The ACK came; repetitions are harmless."""
        if isinstance(self.transaction, InviteServerTransaction):
            self.run(self.transaction.acknowledge(self.now()))

    def repeat(self) -> None:
        """The request came again."""
        self.run(self.transaction.repeated())

    def happened(self, outcome: Outcome) -> None:
        self.on_outcome(outcome)


class ClientHandle(_Driver):
    """A request we sent."""

    def __init__(
        self,
        request: Request,
        flow: Flow,
        transaction: InviteClientTransaction | ClientTransaction,
        forget: Callable[[], None],
        on_response: Callable[[Response], None],
    ) -> None:
        super().__init__(transaction, flow, forget)
        self.request = request
        self.transaction = transaction
        self._on_response = on_response

    def received(self, response: Response) -> None:
        self._on_response(response)

    def happened(self, outcome: Outcome) -> None:
        # To its user, silence is an answer of its own making (RFC 3261 section 8.1.3.1).
        self._on_response(make_response(self.request, 408))

    def flow_lost(self) -> None:
        """The connection is gone: no answer can come any more (RFC 3261 section 8.1.3.1)."""
        waiting = not self._transaction.over
        self.terminate()
        if waiting:
            self._on_response(make_response(self.request, 503))


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
            self._answer_statelessly(_stamped(request, flow.peer), reply, refusal.status, refusal.reason)
            return
        known = self._servers.get(key)
        match request.method:
            case "ACK":
                self._receive_ack(request, reply, known)
            case _ if known is not None:
                known.repeat()
            case _ if len(self._servers) >= self._settings.max_transactions:
                self._answer_statelessly(_stamped(request, flow.peer), reply, 503, None)
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
        if ";tag=" not in request.text("to").replace(" ", "").lower():
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
        unspecified = flow.local[0] in {"0.0.0.0", "::"}  # noqa: S104 - compared, not bound
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
        return _with_headers(request, (("Via", f"{via};branch={branch};rport"), *request.headers))


def _with_headers(request: Request, headers: HeaderList) -> Request:
    return Request(
        method=request.method,
        uri=request.uri,
        version=request.version,
        headers=headers,
        body=request.body,
        defects=request.defects,
    )


def _stamped(request: Request, source: Address) -> Request:
    return _with_headers(request, stamp_received(request.headers, *source))


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
