"""Keeps HTTP connections that bring nothing from using up the service.

aiohttp reads requests well, and waits for them patiently: a connection that never ends the head of its first
request is kept for as long as an idle one. Here each has a deadline for that head, a bound of its size, and
there are only so many connections at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import cast

from aiohttp import web

logger = logging.getLogger(__name__)

HEAD_TIMEOUT_S = 10.0
"""How long the first request's head may take, from the connection on."""
MAXIMUM_HEAD_BYTES = 64 * 1024
MAXIMUM_CONNECTIONS = 1024
IDLE_S = 150.0
"""How long a connection may wait for its next request: longer than proxies keep one, or they would send into
a connection that is being closed."""
LINGERING_S = 2.0
"""How long what is left of a refused body is read, so that its sender gets to read the answer."""
BACKLOG = 1024

_END_OF_HEAD = b"\r\n\r\n"


async def serve_http(
    app: web.Application,
    host: str,
    port: int,
    stack: AsyncExitStack,
    *,
    head_timeout_s: float = HEAD_TIMEOUT_S,
) -> int:
    """Serve ``app`` until ``stack`` is left; the TCP port in use. Raises `OSError` where it cannot listen."""
    # Bodies stay as they came: what is compressed is refused, and not unpacked first.
    runner = web.AppRunner(
        app, access_log=None, keepalive_timeout=IDLE_S, lingering_time=LINGERING_S, auto_decompress=False
    )
    stack.push_async_callback(runner.cleanup)
    await runner.setup()
    assert runner.server is not None, "it was set up"
    gate = ConnectionGate(runner.server, head_timeout_s=head_timeout_s)
    server = await asyncio.get_running_loop().create_server(gate, host, port, backlog=BACKLOG)
    stack.callback(server.close)
    bound: int = server.sockets[0].getsockname()[1]
    return bound


class ConnectionGate:
    """Makes the protocol of each connection: ``factory`` does, behind a guard. For `loop.create_server`."""

    def __init__(
        self,
        factory: Callable[[], asyncio.Protocol],
        *,
        head_timeout_s: float = HEAD_TIMEOUT_S,
        maximum_connections: int = MAXIMUM_CONNECTIONS,
    ) -> None:
        self._factory = factory
        self._head_timeout_s = head_timeout_s
        self._maximum = maximum_connections
        self.open = 0
        """Connections at present."""
        self.turned_away = 0
        """Connections that were closed at once, because there were too many."""

    def __call__(self) -> asyncio.Protocol:
        """The protocol of a connection that comes in now."""
        if self.open >= self._maximum:
            return _TurnedAway(self)
        return _Guarded(self, self._factory(), self._head_timeout_s)


class _TurnedAway(asyncio.Protocol):
    def __init__(self, gate: ConnectionGate) -> None:
        self._gate = gate

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._gate.turned_away += 1
        if self._gate.turned_away % 1000 == 1:
            logger.warning("Too many connections: %d have been turned away", self._gate.turned_away)
        cast(asyncio.Transport, transport).abort()


class _Guarded(asyncio.Protocol):
    """Hands everything on to ``inner``, and gives up a connection whose first head does not end."""

    def __init__(self, gate: ConnectionGate, inner: asyncio.Protocol, head_timeout_s: float) -> None:
        self._gate = gate
        self._inner = inner
        self._head_timeout_s = head_timeout_s
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self._head_bytes = 0
        self._tail = b""
        """The last bytes of the head so far, in which its end may have begun."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._gate.open += 1
        self._transport = cast(asyncio.Transport, transport)
        self._timer = asyncio.get_running_loop().call_later(self._head_timeout_s, self._give_up)
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._timer is not None:
            self._look_for_the_end(data)
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._gate.open -= 1
        self._stop_waiting()
        self._inner.connection_lost(exc)

    def _look_for_the_end(self, data: bytes) -> None:
        if _END_OF_HEAD in self._tail + data:
            self._stop_waiting()
            return
        self._head_bytes += len(data)
        self._tail = (self._tail + data)[-(len(_END_OF_HEAD) - 1) :]
        if self._head_bytes > MAXIMUM_HEAD_BYTES:
            self._give_up()

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._stop_waiting()
        assert self._transport is not None, "a timer runs, or data came: there is a connection"
        self._transport.abort()
