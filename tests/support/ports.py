"""Ports for processes that must be told theirs beforehand."""

from __future__ import annotations

import socket


def free_port() -> int:
    """A TCP port of the loopback that nobody uses now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
