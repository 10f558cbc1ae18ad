"""A media stream over a carrier's WebSocket."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from sipagent.carrier.frames_json import UnreadableFrameError
from sipagent.carrier.ordering import InOrder
from sipagent.carrier.stream import CallerAudio, StreamEvent, StreamStart, StreamStopped
from sipagent.carrier.web_socket import CarrierSocket
from sipagent.errors import MediaStreamError

logger = logging.getLogger(__name__)

START_WITHIN_S = 10.0
"""Carriers say where they come from at once."""
MOST_BEFORE_START = 8
"""Messages that may come before the start."""
MOST_UNREADABLE = 50
"""So many messages that are none may come of a stream before it is given up."""
_IN_ORDER = (1000, 1001, 1005)
"""Codes of a socket that was closed on purpose (RFC 6455 section 7.4.1)."""


class MessageReader(Protocol):
    """Reads a carrier's messages. Raises `UnreadableFrameError`."""

    def __call__(self, message: bytes, /) -> StreamStart | StreamEvent | None:
        """What a message says."""
        ...


class MessageWriter(Protocol):
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
        socket: CarrierSocket,
        start: StreamStart,
        *,
        read: MessageReader,
        writer: MessageWriter,
        lead_ms: int,
        disordered: bool = False,
    ) -> None:
        """``socket`` is open, and ``start`` is what came over it. ``disordered``: the carrier does not
        promise that the caller's audio comes in its order."""
        self.start = start
        self.lead_ms = lead_ms
        self._socket = socket
        self._read = read
        self._writer = writer
        self._order = InOrder() if disordered else None
        self._hear: Callable[[StreamEvent], None] | None = None
        self._over = asyncio.Event()
        self._stopped: StreamStopped | None = None
        self.unreadable = 0
        """Messages that said nothing, because they were none."""

    async def run(self) -> None:
        """Receive until the stream has ended, which its listener has heard then. Cancelling ends it too; the
        socket is closed in every case."""
        watching = asyncio.create_task(self._watch(), name="carrier's socket: its end")
        self._socket.listen(self._received)
        try:
            await self._over.wait()
        finally:
            self._stop(StreamStopped(reason="lost", detail="It was not read any more."))
            watching.cancel()
            await asyncio.wait([watching])
            await self._socket.close()

    # MediaStream -------------------------------------------------------------------------------------

    @property
    def can_send(self) -> bool:
        """See `MediaStream.can_send`."""
        return self._socket.can_send

    def listen(self, hear: Callable[[StreamEvent], None]) -> None:
        """See `MediaStream.listen`."""
        self._hear = hear
        if self._stopped is not None:
            hear(self._stopped)

    def send_audio(self, audio: bytes) -> None:
        """See `MediaStream.send_audio`."""
        if self._stopped is None:
            self._socket.send(self._writer.media(audio))

    def send_mark(self, name: str) -> None:
        """See `MediaStream.send_mark`."""
        if self._stopped is None:
            self._socket.send(self._writer.mark(name))

    def clear(self) -> None:
        """See `MediaStream.clear`."""
        if self._stopped is None:
            self._socket.send(self._writer.clear, urgent=True)

    async def close(self) -> None:
        """See `MediaStream.close`."""
        self._stop(StreamStopped(reason="closed"))
        await self._socket.close()

    # Inside ------------------------------------------------------------------------------------------

    def _stop(self, stopped: StreamStopped) -> None:
        if self._stopped is None:
            self._stopped = stopped
            self._over.set()
            if self._hear is not None:
                self._hear(stopped)

    def _received(self, message: bytes) -> None:
        if self._stopped is not None:
            return
        try:
            event = self._read(message)
        except UnreadableFrameError as error:
            self.unreadable += 1
            if self.unreadable > MOST_UNREADABLE:
                self._stop(StreamStopped(reason="protocol", detail=str(error)))
            return
        if event is None or isinstance(event, StreamStart):
            return
        if isinstance(event, StreamStopped):
            self._stop(event)
        elif self._hear is None:
            return
        elif self._order is not None and isinstance(event, CallerAudio):
            for piece in self._order.take(event):
                self._hear(piece)
        else:
            self._hear(event)

    async def _watch(self) -> None:
        await self._socket.closed()
        code = self._socket.close_code
        if code in _IN_ORDER:
            self._stop(StreamStopped(reason="closed"))
        else:
            self._stop(StreamStopped(reason="lost", detail=f"The carrier's socket broke ({code})."))


async def first_start(socket: CarrierSocket, read: MessageReader) -> StreamStart:
    """What a carrier says of the stream that it has opened.

    Raises `MediaStreamError` where it does not say it first and in time. Cancel-safe; the socket stays open.
    """
    try:
        async with asyncio.timeout(START_WITHIN_S):
            for _ in range(MOST_BEFORE_START):
                message = await socket.receive()
                if message is None:
                    raise MediaStreamError("the carrier closed its socket before it said whose it is")
                event = read(message)
                if isinstance(event, StreamStart):
                    return event
    except TimeoutError as error:
        raise MediaStreamError(f"no start of a stream came within {START_WITHIN_S:g} s") from error
    raise MediaStreamError(f"no start of a stream was among the first {MOST_BEFORE_START} messages")
