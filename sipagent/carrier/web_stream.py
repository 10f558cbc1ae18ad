"""A media stream over a carrier's WebSocket."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Protocol

from aiohttp import WSCloseCode, WSMsgType, web

from sipagent.carrier.frames_json import MOST_MESSAGE_BYTES, UnreadableFrameError
from sipagent.carrier.stream import StreamEvent, StreamStart, StreamStopped
from sipagent.errors import MediaStreamError

logger = logging.getLogger(__name__)

START_WITHIN_S = 10.0
"""Carriers say where they come from at once."""
MOST_BEFORE_START = 8
"""Messages that may come before the start."""
MOST_UNREADABLE = 50
"""So many messages that are none may come of a stream before it is given up."""
SLOW_AT = 25
"""Messages that wait to be sent: half a second. From there on, what is said waits where it is followed."""
HEARTBEAT_S = 20.0
CLOSE_WITHIN_S = 2.0


class FrameReader(Protocol):
    """Reads a carrier's messages. Raises `UnreadableFrameError`."""

    def __call__(self, message: str, /) -> StreamStart | StreamEvent | None:
        """What a message says."""
        ...


class FrameWriter(Protocol):
    """Writes a carrier's messages in one stream."""

    @property
    def clear(self) -> bytes:
        """Have the carrier throw away what it has not played."""
        ...

    def media(self, audio: bytes) -> bytes:
        """Audio to be played."""
        ...

    def mark(self, name: str) -> bytes:
        """A mark behind the audio before it."""
        ...


class WebStream:
    """One stream of a carrier; see `MediaStream`. `run` owns its socket."""

    confirms = True

    def __init__(
        self,
        socket: web.WebSocketResponse,
        start: StreamStart,
        *,
        read: FrameReader,
        writer: FrameWriter,
        lead_ms: int,
    ) -> None:
        """``socket`` is open, and ``start`` is what came over it."""
        self.start = start
        self.lead_ms = lead_ms
        self._socket = socket
        self._read = read
        self._writer = writer
        self._hear: Callable[[StreamEvent], None] | None = None
        self._waiting: deque[bytes] = deque()
        self._something = asyncio.Event()
        self._stopped: StreamStopped | None = None
        self.unreadable = 0
        """Messages that said nothing, because they were none."""

    async def run(self) -> None:
        """Receive and send until the stream has ended, which its listener has heard then. Cancelling ends it
        too; the socket is closed in every case."""
        try:
            async with asyncio.TaskGroup() as group:
                sending = group.create_task(self._send(), name="carrier's socket: sending")
                reason = await self._receive()
                self._stop(reason)
                sending.cancel()
        finally:
            self._stop(StreamStopped(reason="lost", detail="It was not read any more."))
            await self._close_socket()

    # MediaStream -------------------------------------------------------------------------------------

    @property
    def can_send(self) -> bool:
        """See `MediaStream.can_send`."""
        return len(self._waiting) < SLOW_AT

    def listen(self, hear: Callable[[StreamEvent], None]) -> None:
        """See `MediaStream.listen`."""
        self._hear = hear
        if self._stopped is not None:
            hear(self._stopped)

    def send_audio(self, audio: bytes) -> None:
        """See `MediaStream.send_audio`."""
        self._put(self._writer.media(audio))

    def send_mark(self, name: str) -> None:
        """See `MediaStream.send_mark`."""
        self._put(self._writer.mark(name))

    def clear(self) -> None:
        """See `MediaStream.clear`."""
        self._waiting.clear()
        self._put(self._writer.clear)

    async def close(self) -> None:
        """See `MediaStream.close`."""
        self._stop(StreamStopped(reason="closed"))
        await self._close_socket()

    # Inside ------------------------------------------------------------------------------------------

    def _put(self, message: bytes) -> None:
        if self._stopped is None:
            self._waiting.append(message)
            self._something.set()

    def _stop(self, stopped: StreamStopped) -> None:
        if self._stopped is None:
            self._stopped = stopped
            self._waiting.clear()
            if self._hear is not None:
                self._hear(stopped)

    async def _send(self) -> None:
        while True:
            await self._something.wait()
            self._something.clear()
            while self._waiting:
                message = self._waiting.popleft()
                try:
                    await self._socket.send_frame(message, WSMsgType.TEXT)
                except ConnectionError:
                    return  # whoever receives finds out how it ended

    async def _receive(self) -> StreamStopped:
        async for message in self._socket:
            if message.type is not WSMsgType.TEXT:
                continue
            try:
                event = self._read(message.data)
            except UnreadableFrameError as error:
                self.unreadable += 1
                if self.unreadable > MOST_UNREADABLE:
                    return StreamStopped(reason="protocol", detail=str(error))
                continue
            if isinstance(event, StreamStopped):
                return event
            if event is not None and not isinstance(event, StreamStart) and self._hear is not None:
                self._hear(event)
            if self._stopped is not None:
                break
        code = self._socket.close_code
        if code in (WSCloseCode.OK, WSCloseCode.GOING_AWAY):
            return StreamStopped(reason="closed")
        return StreamStopped(reason="lost", detail=f"The carrier's socket broke ({code}).")

    async def _close_socket(self) -> None:
        await self._socket.close()


async def first_start(socket: web.WebSocketResponse, read: FrameReader) -> StreamStart:
    """What a carrier says of the stream that it has opened.

    Raises `MediaStreamError` where it does not say it first and in time. Cancel-safe; the socket stays open.
    """
    try:
        async with asyncio.timeout(START_WITHIN_S):
            for _ in range(MOST_BEFORE_START):
                message = await socket.receive()
                if message.type is not WSMsgType.TEXT:
                    raise MediaStreamError("the carrier closed its socket before it said whose it is")
                event = read(message.data)
                if isinstance(event, StreamStart):
                    return event
    except TimeoutError as error:
        raise MediaStreamError(f"no start of a stream came within {START_WITHIN_S:g} s") from error
    raise MediaStreamError(f"no start of a stream was among the first {MOST_BEFORE_START} messages")


def new_socket() -> web.WebSocketResponse:
    """A server's end for a carrier, not prepared yet."""
    # Audio in base64 does not get smaller, and each stream would need a window of memory for it.
    return web.WebSocketResponse(
        max_msg_size=MOST_MESSAGE_BYTES, compress=False, heartbeat=HEARTBEAT_S, timeout=CLOSE_WITHIN_S
    )
