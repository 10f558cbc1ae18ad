"""A SIP endpoint: receives calls on any number of addresses, and makes calls (RFC 3261).

One endpoint serves the simulator as the far side of a trunk, or a telephone. It admits every caller, answers
OPTIONS and REGISTER by itself, and hands each new INVITE once to ``on_call``.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence

from sipagent.errors import SimulatorError, SipSyntaxError
from sipagent.simulator.sip.address import DEFAULT_PORTS, NameAddress, SipUri, bracketed_host
from sipagent.simulator.sip.admission import ACCEPT_SDP, ALLOW, registered_contacts
from sipagent.simulator.sip.call import IncomingSipCall, OutgoingSipCall, SipCall, SipCallListener
from sipagent.simulator.sip.dialog import DialogKey
from sipagent.simulator.sip.handle import ServerHandle
from sipagent.simulator.sip.layer import TransactionLayer
from sipagent.simulator.sip.message import Request
from sipagent.simulator.sip.session import CallSupport, new_tag
from sipagent.simulator.sip.settings import ListenAddress, SipSettings, Transport
from sipagent.simulator.sip.transport import (
    Address,
    DatagramSocket,
    Flow,
    StreamConnection,
    connect_stream,
    local_host_towards,
    resolve,
    serve_streams,
)

IN_DIALOG_ONLY = frozenset({"BYE", "INFO", "UPDATE", "REFER", "NOTIFY"})


class SipEndpoint:
    """All SIP of one party. Create it within a running event loop; call `aclose` in the end.

    ``on_call`` gets each new call after 100 Trying went out; it must return quickly and not raise. ``tls``
    is the server context for TLS addresses, ``client_tls`` the one for dialling (None: the system's trust).
    """

    def __init__(
        self,
        *,
        on_call: Callable[[IncomingSipCall], None],
        tls: ssl.SSLContext | None = None,
        client_tls: ssl.SSLContext | None = None,
        settings: SipSettings | None = None,
    ) -> None:
        self._on_call = on_call
        self._tls = tls
        self._client_tls = client_tls
        self._settings = settings or SipSettings()
        self._layer = TransactionLayer(
            settings=self._settings, on_request=self._receive_request, on_ack=self._receive_ack
        )
        self._support = CallSupport(
            layer=self._layer,
            settings=self._settings,
            contact=self._contact,
            enter=self._enter,
            leave=self._leave,
        )
        self._calls: dict[DialogKey, SipCall] = {}
        self._dialling: set[OutgoingSipCall] = set()
        self._sockets: list[DatagramSocket] = []
        self._servers: list[asyncio.Server] = []
        self._connections: set[StreamConnection] = set()
        self._listening: list[ListenAddress] = []
        self._closed = False

    @property
    def listening(self) -> tuple[ListenAddress, ...]:
        """The addresses in use, in the order of `listen`."""
        return tuple(self._listening)

    @property
    def live_calls(self) -> int:
        """Dialogs that are not settled yet, in both directions."""
        return len(self._calls)

    async def listen(self, address: ListenAddress) -> ListenAddress:
        """Receive on one more address and return it with the port in use.

        Raises `SimulatorError` when the address cannot be had, or for TLS without a context. Safe to cancel.
        """
        if address.transport == "udp":
            socket = await self._open_socket((address.host, address.port))
            port = socket.local[1]
        else:
            if address.transport == "tls" and self._tls is None:
                raise SimulatorError("listening on TLS needs a certificate")
            server = await serve_streams(
                (address.host, address.port),
                lambda: self._new_connection(address.transport, dialled=False),
                tls=self._tls if address.transport == "tls" else None,
            )
            self._servers.append(server)
            port = server.sockets[0].getsockname()[1]
        bound = ListenAddress(transport=address.transport, host=address.host, port=port)
        self._listening.append(bound)
        return bound

    async def dial(
        self,
        target_uri: str,
        *,
        offer: bytes,
        from_uri: str = "sip:caller@sipagent.invalid",
        to_uri: str | None = None,
        headers: Sequence[tuple[str, str]] = (),
        listener: SipCallListener | None = None,
        local: ListenAddress | None = None,
    ) -> OutgoingSipCall:
        """Call ``target_uri`` with the session description ``offer``; returns once the INVITE is out.

        The transport follows the URI: ``;transport=``, ``sips:`` or port 5061 for TLS, else UDP. ``from_uri``
        and ``to_uri`` (default: the target) may carry a display name: ``"Ann" <sip:…>``. ``headers`` are
        added in order. ``local`` picks one of the UDP addresses that `listen` returned. Raises
        `SimulatorError` for a bad URI, an unknown host or no connection. Safe to cancel.
        """
        uri_text = target_uri.strip().partition("?")[0]
        uri = SipUri.parse(uri_text)
        if uri.scheme not in {"sip", "sips"} or any(char in uri_text for char in " <>\r\n"):
            raise SimulatorError(f"{target_uri[:60]!r} cannot be dialled: a sip: or sips: URI is needed")
        transport = uri.transport
        peer = await resolve(uri.host, uri.port or DEFAULT_PORTS[transport])
        flow = await self._open_flow(transport, peer, uri.host, local)
        invite = Request(
            method="INVITE",
            uri=uri_text,
            headers=(
                ("From", f"{_bracketed(from_uri)};tag={new_tag()}"),
                ("To", _bracketed(to_uri or uri_text)),
                ("Call-ID", new_tag() + new_tag()),
                ("CSeq", "1 INVITE"),
                ("Contact", self._contact(flow)),
                ("Max-Forwards", "70"),
                ("User-Agent", self._settings.user_agent),
                ALLOW,
                *((name, _one_line(value)) for name, value in headers),
                ("Content-Type", "application/sdp"),
            ),
            body=offer,
        )
        call = OutgoingSipCall(self._support, flow, invite)
        self._dialling.add(call)
        if listener is not None:
            call.listen(listener)
        call.start()
        return call

    async def aclose(self) -> None:
        """End every call with one message each, then close all sockets; idempotent, safe to cancel."""
        if self._closed:
            return
        self._closed = True
        for call in [*self._calls.values(), *self._dialling]:
            call.close()
        self._layer.close()
        self._calls.clear()
        self._dialling.clear()
        for socket in self._sockets:
            socket.close()
        for server in self._servers:
            server.close()
        for connection in list(self._connections):
            connection.close()
        # Closing is done by callbacks of the loop: give them their turn, then cut who keeps it waiting.
        await asyncio.sleep(0)
        for server in self._servers:
            if hasattr(server, "abort_clients"):
                # From Python 3.13 on: ends half-open TLS handshakes, too.
                server.abort_clients()
        leftover = list(self._connections)
        for connection in leftover:
            connection.abort()
        for connection in leftover:
            await connection.gone.wait()
        for socket in self._sockets:
            await socket.gone.wait()

    # Requests

    def _receive_request(self, handle: ServerHandle) -> None:
        request = handle.request
        to_tag = NameAddress.parse(request.text("to")).tag
        if to_tag is not None:
            call = self._calls.get(self._key(request, to_tag))
            if call is None:
                handle.respond(481)
            else:
                call.receive(handle)
            return
        match request.method:
            case "INVITE":
                self._receive_invite(handle)
            case "OPTIONS":
                handle.respond(200, headers=(ALLOW, ACCEPT_SDP, ("Supported", "timer")))
            case "REGISTER":
                handle.respond(200, headers=registered_contacts(request))
            case method if method in IN_DIALOG_ONLY:
                handle.respond(481)
            case _:
                handle.respond(405, headers=(ALLOW,))

    def _receive_invite(self, handle: ServerHandle) -> None:
        if self._closed:
            handle.respond(503)
            return
        try:
            call = IncomingSipCall(self._support, handle)
        except SipSyntaxError:
            handle.respond(400, "Malformed Header")
            return
        self._on_call(call)

    def _receive_ack(self, request: Request, flow: Flow) -> None:
        try:
            to_tag = NameAddress.parse(request.text("to")).tag or ""
            call = self._calls.get(self._key(request, to_tag))
        except SipSyntaxError:
            return
        if call is not None:
            call.receive_ack(request)

    @staticmethod
    def _key(request: Request, to_tag: str) -> DialogKey:
        return (request.call_id, to_tag, NameAddress.parse(request.text("from")).tag or "")

    # Calls

    def _enter(self, call: SipCall, key: DialogKey) -> None:
        self._calls[key] = call
        if isinstance(call, OutgoingSipCall):
            self._dialling.discard(call)

    def _leave(self, call: SipCall, key: DialogKey | None) -> None:
        if key is not None:
            self._calls.pop(key, None)
        if isinstance(call, OutgoingSipCall):
            self._dialling.discard(call)

    # Transport

    def _contact(self, flow: Flow) -> str:
        host, port = self._layer.host_towards(flow), flow.local[1]
        if flow.reliable and not any(known.port == port for known in self._listening):
            # A dialled connection has a passing port; name the one we listen on, if there is one.
            port = next((known.port for known in self._listening if known.transport == flow.transport), port)
        suffix = "" if flow.transport == "udp" else f";transport={flow.transport}"
        return f"<sip:{self._settings.contact_user}@{bracketed_host(host)}:{port}{suffix}>"

    async def _open_socket(self, address: Address) -> DatagramSocket:
        socket = await DatagramSocket.open(
            address, self._layer.receive, max_message_bytes=self._settings.max_message_bytes
        )
        self._sockets.append(socket)
        return socket

    async def _open_flow(
        self, transport: Transport, peer: Address, name: str, local: ListenAddress | None
    ) -> Flow:
        if transport != "udp":
            context = None
            if transport == "tls":
                context = self._client_tls or ssl.create_default_context()
            return await connect_stream(
                peer,
                lambda: self._new_connection(transport, dialled=True),
                tls=context,
                server_name=name,
                timeout_s=self._settings.connect_timeout_s,
            )
        ipv6 = ":" in peer[0]
        for socket in self._sockets:
            wanted = local is None or socket.local[1] == local.port
            if wanted and (":" in socket.local[0]) == ipv6:
                return socket.flow_to(peer)
        if local is not None:
            raise SimulatorError(f"{local} is not listened on, so nothing can be dialled from it")
        return (await self._open_socket((local_host_towards(peer), 0))).flow_to(peer)

    def _new_connection(self, transport: Transport, *, dialled: bool) -> StreamConnection:
        return StreamConnection(
            transport,
            self._layer.receive,
            self._connection_opened,
            self._connection_closed,
            max_message_bytes=self._settings.max_message_bytes,
            dialled=dialled,
        )

    def _connection_opened(self, connection: StreamConnection) -> None:
        full = len(self._connections) >= self._settings.max_connections
        if self._closed or (full and not connection.dialled):
            connection.abort()
        else:
            self._connections.add(connection)

    def _connection_closed(self, connection: StreamConnection) -> None:
        self._connections.discard(connection)
        self._layer.flow_closed(connection)
        for call in [call for call in self._calls.values() if call.flow is connection]:
            call.flow_lost()


def _bracketed(address: str) -> str:
    text = _one_line(address)
    return text if "<" in text else f"<{text}>"


def _one_line(value: str) -> str:
    """A header value of ours; a line break in it would begin another header."""
    return " ".join(value.split())
