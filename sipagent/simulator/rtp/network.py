"""Where media packets go to and come from."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

MAX_DATAGRAM_BYTES = 2048
"""Longer than any RTP packet of telephone audio."""
_RELATCH_AFTER_S = 0.5
"""How long the known source must be quiet before plain RTP from another address is believed."""


class MediaRoute:
    """Where to send: the described address, until packets come from another one."""

    __slots__ = ("_described", "_latched")

    def __init__(self) -> None:
        self._described: tuple[str, int] | None = None
        self._latched: tuple[str, int] | None = None

    @property
    def destination(self) -> tuple[str, int] | None:
        """Where packets go now, None for nowhere."""
        return self._described and (self._latched or self._described)

    def set(self, described: tuple[str, int] | None) -> None:
        """Follow a (new) session description; the latched address survives when nothing changed."""
        if described != self._described:
            self._described = described
            self._latched = None

    def admit(self, address: tuple[str, int], *, quiet_s: float, authenticated: bool) -> bool:
        """Whether to believe a packet from ``address``; latches on to it if so."""
        if address != self._latched:
            if self._latched is not None and quiet_s < _RELATCH_AFTER_S and not authenticated:
                return False
            self._latched = address
        return True


class MediaSocket(asyncio.DatagramProtocol):
    """The UDP port."""

    def __init__(self, receive: Callable[[bytes, tuple[str, int]], None]) -> None:
        self._receive = receive
        self._transport: asyncio.DatagramTransport | None = None
        self.local_port = 0
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not every loop's transport is a subclass of the abstract one (CPython 3.11, uvloop).
        self._transport = cast(asyncio.DatagramTransport, transport)
        self.local_port = transport.get_extra_info("sockname")[1]
        if hasattr(transport, "max_size"):
            # asyncio would allocate 256 KiB for every packet; uvloop has no such attribute.
            transport.max_size = MAX_DATAGRAM_BYTES

    def connection_lost(self, error: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)

    def datagram_received(self, data: bytes, address: tuple[Any, ...]) -> None:
        self._receive(data, (address[0], address[1]))

    def error_received(self, error: Exception) -> None:
        """A port unreachable is not the end: the peer may open it later, and a media timeout exists."""

    def send(self, data: bytes, destination: tuple[str, int]) -> None:
        """Send one datagram, or nothing once closed."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(data, destination)

    def close(self) -> None:
        """Close the port; ``closed`` is done when it is free."""
        if self._transport is not None:
            self._transport.close()
