"""Sockets that carry SIP messages: datagrams, TCP, TLS (RFC 3261 section 18).

A `Flow` is a way to one peer. Whole messages come in through the ``on_message`` callback together with the
flow they came on, and an answer goes back on it. No foreign exception leaves this file otherwise than as
`SimulatorError`.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeAlias, cast

from sipagent.errors import SimulatorError
from sipagent.simulator.sip.framing import StreamFramer
from sipagent.simulator.sip.settings import Transport

logger = logging.getLogger(__name__)

MAX_UNSENT_BYTES = 1 << 20
"""A peer that leaves this much unread on its stream is cut off."""
HANDSHAKE_TIMEOUT_S = 10.0

Address: TypeAlias = tuple[str, int]


class Flow(ABC):
    """A way to one peer."""

    transport: Transport
    local: Address
    peer: Address

    @property
    def reliable(self) -> bool:
        """The transport repeats lost bytes itself."""
        return self.transport != "udp"

    @abstractmethod
    def send(self, data: bytes) -> None:
        """Send one message; silently nothing when closed: the transactions notice by their timers."""

    def towards(self, peer: Address) -> Flow:
        """The way to another address of the same peer; a connection leads to one address only."""
        return self


MessageCallback: TypeAlias = Callable[[bytes, Flow], None]

# Datagrams


class DatagramSocket(asyncio.DatagramProtocol):
    """One UDP socket that many flows share."""

    def __init__(self, on_message: MessageCallback, *, max_message_bytes: int) -> None:
        self._on_message = on_message
        self._max_message_bytes = max_message_bytes
        self.gone = asyncio.Event()
        """Set once the port is free."""
        self._transport: asyncio.DatagramTransport | None = None
        self.local: Address = ("", 0)

    @classmethod
    async def open(
        cls, address: Address, on_message: MessageCallback, *, max_message_bytes: int
    ) -> DatagramSocket:
        """Bind; `SimulatorError` when the address cannot be had. Safe to cancel."""
        loop = asyncio.get_running_loop()
        try:
            _, protocol = await loop.create_datagram_endpoint(
                lambda: cls(on_message, max_message_bytes=max_message_bytes), local_addr=address
            )
        except OSError as error:
            raise SimulatorError(f"cannot receive SIP on udp {address[0]}:{address[1]}: {error}") from error
        return protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not every datagram transport is an instance of asyncio.DatagramTransport before Python 3.12.
        self._transport = cast(asyncio.DatagramTransport, transport)
        # asyncio reads into a fresh 256 KiB buffer per datagram otherwise; uvloop has no such attribute.
        if hasattr(transport, "max_size"):
            transport.max_size = self._max_message_bytes
        name = transport.get_extra_info("sockname")
        self.local = (name[0], name[1])

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        # Blank datagrams keep a NAT binding open; a first byte below A is STUN or noise.
        if data[:1].isalpha():
            self._on_message(data, self.flow_to((addr[0], addr[1])))

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()

    def error_received(self, exc: Exception) -> None:
        logger.debug("udp %s:%s: %s", *self.local, exc)

    def flow_to(self, peer: Address) -> Flow:
        """The way to ``peer`` from this socket."""
        return _DatagramFlow(self, peer)

    def send(self, data: bytes, peer: Address) -> None:
        """Send one datagram; dropped when the socket is closed or the system refuses the address."""
        if self._transport is not None and not self._transport.is_closing():
            try:
                self._transport.sendto(data, peer)
            except (OSError, ValueError) as error:
                logger.debug("udp %s:%s to %s:%s: %s", *self.local, *peer, error)

    def close(self) -> None:
        """Close at once; idempotent."""
        if self._transport is not None:
            self._transport.close()


class _DatagramFlow(Flow):
    transport: Transport = "udp"

    def __init__(self, owner: DatagramSocket, peer: Address) -> None:
        self._owner = owner
        self.local = owner.local
        self.peer = peer

    def send(self, data: bytes) -> None:
        self._owner.send(data, self.peer)

    def towards(self, peer: Address) -> Flow:
        return self._owner.flow_to(peer)


# Streams


class StreamConnection(asyncio.Protocol, Flow):
    """One TCP or TLS connection, dialled or accepted."""

    def __init__(
        self,
        transport: Transport,
        on_message: MessageCallback,
        on_opened: Callable[[StreamConnection], None],
        on_closed: Callable[[StreamConnection], None],
        *,
        max_message_bytes: int,
        dialled: bool,
    ) -> None:
        self.transport = transport
        self.dialled = dialled
        """Opened by us."""
        self.gone = asyncio.Event()
        """Set once the connection is closed."""
        self.local = self.peer = ("", 0)
        self._on_message = on_message
        self._on_opened = on_opened
        self._on_closed = on_closed
        self._framer = StreamFramer(max_message_bytes=max_message_bytes)
        self._stream: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._stream = cast(asyncio.Transport, transport)
        local = transport.get_extra_info("sockname")
        peer = transport.get_extra_info("peername") or ("", 0)
        self.local, self.peer = (local[0], local[1]), (peer[0], peer[1])
        self._on_opened(self)

    def data_received(self, data: bytes) -> None:
        for frame in self._framer.feed(data):
            if frame == StreamFramer.PING:
                self.send(b"\r\n")
            else:
                self._on_message(frame, self)
        if self._framer.broken and self._stream is not None:
            logger.info("%s %s:%s: no further message can be found, closing", self.transport, *self.peer)
            self._stream.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stream = None
        self.gone.set()
        self._on_closed(self)

    def send(self, data: bytes) -> None:
        if self._stream is None or self._stream.is_closing():
            return
        self._stream.write(data)
        if self._stream.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self._stream.abort()

    def close(self) -> None:
        """Close after what was sent is out; idempotent."""
        if self._stream is not None:
            self._stream.close()

    def abort(self) -> None:
        """Close at once, dropping what is unsent; idempotent."""
        if self._stream is not None:
            self._stream.abort()


async def serve_streams(
    address: Address, make: Callable[[], asyncio.Protocol], *, tls: ssl.SSLContext | None
) -> asyncio.Server:
    """Accept connections; `SimulatorError` when the address cannot be had. Safe to cancel."""
    loop = asyncio.get_running_loop()
    try:
        return await loop.create_server(
            make, address[0], address[1], ssl=tls, ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S if tls else None
        )
    except OSError as error:
        raise SimulatorError(f"cannot receive SIP on tcp {address[0]}:{address[1]}: {error}") from error


async def connect_stream(
    address: Address,
    make: Callable[[], StreamConnection],
    *,
    tls: ssl.SSLContext | None,
    server_name: str,
    timeout_s: float,
) -> StreamConnection:
    """Dial; `SimulatorError` when nobody answers or the certificate is not trusted. Safe to cancel."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout_s):
            _, connection = await loop.create_connection(
                make, address[0], address[1], ssl=tls, server_hostname=server_name if tls else None
            )
    except (OSError, TimeoutError) as error:
        raise SimulatorError(f"cannot connect to {address[0]}:{address[1]}: {error!r}") from error
    return connection


# Names and addresses


async def resolve(host: str, port: int) -> Address:
    """The address of a host, IPv4 if it has one; `SimulatorError` when unknown. Safe to cancel."""
    if is_ip_address(host):
        return host, port
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        raise SimulatorError(f"cannot find the address of {host!r}: {error}") from error
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    return str(found[0][4][0]), port


def is_ip_address(host: str) -> bool:
    """Whether ``host`` needs no name lookup."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.inet_pton(family, host.partition("%")[0])
    except (OSError, ValueError):
        return False
    return True


def local_host_towards(peer: Address) -> str:
    """The address this machine would use to reach ``peer`` (an IP address); loopback when there is no route.

    Connecting a datagram socket sends nothing.
    """
    ipv6 = ":" in peer[0]
    with socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((peer[0], peer[1] or 5060))
        except OSError:
            return "::1" if ipv6 else "127.0.0.1"
        return str(probe.getsockname()[0])
