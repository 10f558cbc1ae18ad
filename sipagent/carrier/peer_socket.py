"""What a carrier's connection asks of the system below: to keep little, and to notice who has vanished."""

from __future__ import annotations

import asyncio
import socket

GONE_AFTER_S = (20, 10, 3)
"""A peer of which nothing is heard is asked after so many seconds, and then every so many, so many times; one
that does not answer is gone."""


def keep_little(transport: asyncio.Transport, most_bytes: int) -> None:
    """Let ``most_bytes`` lie unsent in ``transport`` until its protocol is paused, and twice as much below.

    A system takes minutes of speech for a peer that does not read. What lies there cannot be taken back when
    the caller interrupts, and is nowhere counted as waiting.
    """
    transport.set_write_buffer_limits(high=most_bytes)
    if (opened := _socket_of(transport)) is not None:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * most_bytes)


def ask_whether_alive(transport: asyncio.Transport) -> None:
    """Have the system end a connection whose other end has vanished without a word."""
    if (opened := _socket_of(transport)) is None:
        return
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in zip(("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT"), GONE_AFTER_S, strict=True):
        if hasattr(socket, name):  # not every system has all of them
            opened.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _socket_of(transport: asyncio.Transport) -> socket.socket | None:
    """The socket of a connection over TCP; None of one that is none."""
    opened: socket.socket | None = transport.get_extra_info("socket")
    if opened is None or opened.family not in (socket.AF_INET, socket.AF_INET6):
        return None
    return opened
