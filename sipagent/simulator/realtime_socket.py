"""One Realtime WebSocket, server side: events out through a bounded queue, client events in."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import WSMsgType, web

QUEUE_LIMIT = 4_096
"""Events waiting for a slow reader; one more and the connection is broken."""

MAX_MESSAGE_BYTES = 24 * 1024 * 1024
"""Room for 15 MiB of audio in base64, the documented limit of one append."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Close:
    code: int
    reason: str


class RealtimeSocket:
    """A prepared WebSocket and its queue. `send`, `close` and `abort` neither block nor raise."""

    def __init__(self, websocket: web.WebSocketResponse, transport: asyncio.Transport) -> None:
        self._websocket = websocket
        self._transport = transport
        self._queue: asyncio.Queue[str | _Close] = asyncio.Queue(QUEUE_LIMIT)
        self._ending = False

    def send(self, text: str) -> None:
        """Queue one event. A reader that lags behind by `QUEUE_LIMIT` events loses its connection."""
        self._put(text)

    def close(self, code: int, reason: str) -> None:
        """Close with a close frame once everything queued before is out; nothing is sent after it."""
        self._put(_Close(code=code, reason=reason))
        self._ending = True

    def abort(self) -> None:
        """Break the connection: no close frame, what is queued is lost, the peer sees 1006."""
        self._ending = True
        self._transport.abort()

    async def serve(self, receive: Callable[[str], None]) -> None:
        """Pass client events to ``receive`` and queued events to the peer until the connection ends.

        Binary messages are ignored: the API knows none. Cancelling is safe.
        """
        async with asyncio.TaskGroup() as group:
            writer = group.create_task(self._write(), name="realtime socket: writer")
            try:
                async for message in self._websocket:
                    if message.type is WSMsgType.TEXT and not self._ending:
                        receive(message.data)
            finally:
                self._ending = True
                writer.cancel()

    def _put(self, item: str | _Close) -> None:
        if self._ending:
            return
        try:
            self._queue.put_nowait(item)
        except asyncio.QueueFull:
            _log.warning("a Realtime socket lags %d events behind and is broken", QUEUE_LIMIT)
            self.abort()

    async def _write(self) -> None:
        try:
            while True:
                item = await self._queue.get()
                if isinstance(item, _Close):
                    await self._websocket.close(code=item.code, message=item.reason.encode())
                    return
                await self._websocket.send_str(item)
        except ConnectionError:
            return  # the reader notices too, and ends `serve`
