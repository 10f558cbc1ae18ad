"""Ports for processes that must be told theirs beforehand."""

from __future__ import annotations

import random
import socket

LOWEST, HIGHEST = 10_000, 32_000
"""Below the ports that systems give to those who ask for any (Linux: from 32768 on). One of those would be
free now, and the next connection of anybody's might have it before the process that was told of it has begun,
or while it is begun again."""


def free_port() -> int:
    """A port of the loopback that nobody uses now, by TCP or UDP, and nobody gets by chance."""
    for _ in range(100):
        port = random.randint(LOWEST, HIGHEST)
        if _is_free(port, socket.SOCK_STREAM) and _is_free(port, socket.SOCK_DGRAM):
            return port
    raise AssertionError(f"100 ports between {LOWEST} and {HIGHEST} were all in use")


def _is_free(port: int, kind: socket.SocketKind) -> bool:
    with socket.socket(type=kind) as one:
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
