"""The other side of a Realtime socket, played by a test: a WebSocket server that does as told."""

from __future__ import annotations

import asyncio
import http
import json
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from sipagent.realtime.events import RealtimeModelEvent
from sipagent.realtime.model import RealtimeModelListener

PATIENCE_S = 60.0
"""Far more than anything here takes; a test that passes it has failed."""

Event = TypeVar("Event")


class Peer:
    """One connection that a model has opened."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection
        self.received: list[dict[str, Any]] = []
        """Every message read so far."""
        self.questions: list[dict[str, Any]] = []
        """What was asked to know what was missed."""
        request = connection.request
        assert request is not None
        self.path = request.path
        self.headers = request.headers

    async def receive(self, kind: str | None = None) -> dict[str, Any]:
        """The next message; it must be of ``kind``, where one is named. What is asked after a break of the
        socket, to know what was missed, goes to `questions`."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                message = json.loads(await self._connection.recv())
                assert isinstance(message, dict)
                if not str(message.get("event_id")).startswith("takeover_"):
                    break
                self.questions.append(message)
        self.received.append(message)
        assert kind is None or message["type"] == kind, message
        return message

    async def send(self, *messages: dict[str, Any] | str | bytes) -> None:
        """Send messages; text and bytes as they are."""
        for message in messages:
            await self._connection.send(json.dumps(message) if isinstance(message, dict) else message)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close in order."""
        await self._connection.close(code, reason)

    def drop(self) -> None:
        """Break the connection as a dying host does: no close frame (1006)."""
        self._connection.transport.abort()

    async def gone(self) -> tuple[int | None, str]:
        """Return when the model has closed; code and reason."""
        async with asyncio.timeout(PATIENCE_S):
            await self._connection.wait_closed()
        return self._connection.close_code, self._connection.close_reason or ""


class RealtimeServer:
    """Answers handshakes with the statuses it is given, and with 101 once they have run out."""

    def __init__(self) -> None:
        self.statuses: deque[int] = deque()
        self.always: int | None = None
        """Answer every handshake so."""
        self.hold: asyncio.Event | None = None
        """Answer no handshake before this is set."""
        self.handshakes: list[str] = []
        """The path of each one."""
        self.port = 0
        self.tls = False
        self._peers: asyncio.Queue[Peer] = asyncio.Queue()
        self._asked = asyncio.Event()

    @property
    def base_url(self) -> str:
        """As a REST base."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}/v1"

    async def handshake(self, number: int) -> None:
        """Return when so many handshakes were begun."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.handshakes) < number:
                self._asked.clear()
                await self._asked.wait()

    async def peer(self) -> Peer:
        """The next connection."""
        async with asyncio.timeout(PATIENCE_S):
            return await self._peers.get()

    async def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        self.handshakes.append(request.path)
        self._asked.set()
        if self.hold is not None:
            await self.hold.wait()
        status = self.always or (self.statuses.popleft() if self.statuses else 101)
        if status == 101:
            return None
        return connection.respond(http.HTTPStatus(status), "no\n")

    async def _serve(self, connection: ServerConnection) -> None:
        self._peers.put_nowait(Peer(connection))
        try:
            await connection.wait_closed()
        except ConnectionClosed:
            return


@asynccontextmanager
async def realtime_server(
    statuses: Iterable[int] = (), *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[RealtimeServer]:
    """A server on a free port of the loopback; ``statuses`` answer the first handshakes."""
    server = RealtimeServer()
    server.statuses.extend(statuses)
    server.tls = tls is not None
    listening: Server = await serve(
        server._serve,
        "127.0.0.1",
        0,
        process_request=server._answer,
        ssl=tls,
        compression=None,
        close_timeout=1,
    )
    server.port = next(iter(listening.sockets)).getsockname()[1]
    try:
        yield server
    finally:
        if server.hold is not None:
            server.hold.set()
        listening.close()
        await listening.wait_closed()


class Recorder(RealtimeModelListener):
    """Keeps what a model reports."""

    def __init__(self) -> None:
        self.events: list[RealtimeModelEvent] = []
        self._more = asyncio.Event()

    async def on_event(self, event: RealtimeModelEvent) -> None:
        self.events.append(event)
        self._more.set()

    async def until(self, condition: Callable[[], object]) -> None:
        """Return once ``condition`` holds; it is asked after every event."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self._more.clear()
                await self._more.wait()

    def all(self, kind: type[Event]) -> list[Event]:
        """Those of one class."""
        return [event for event in self.events if isinstance(event, kind)]

    async def first(self, kind: type[Event]) -> Event:
        """The first of one class, as soon as it has come."""
        await self.until(lambda: self.all(kind))
        return self.all(kind)[0]
