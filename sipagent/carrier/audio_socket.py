"""A media stream over Asterisk's AudioSocket, and the server that Asterisk connects to."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self, cast
from uuid import UUID

from sipagent.carrier.frames_audio_socket import (
    LEAD_MS,
    LinearAudio,
    PacketReader,
    StreamNamed,
    read_audio,
    write_audio,
    write_hangup,
)
from sipagent.carrier.frames_json import UnreadableFrameError
from sipagent.carrier.peer_socket import ask_whether_alive, keep_little
from sipagent.carrier.stream import StreamEvent, StreamFormat, StreamStart, StreamStopped

logger = logging.getLogger(__name__)

NAMED_WITHIN_S = 5.0
MOST_UNSENT_BYTES = 16_000
"""Half a second of audio: from there on, what is said waits where it can be followed."""
CLOSE_WITHIN_S = 2.0
MOST_CONNECTIONS = 1000


class AudioSocketStream(asyncio.Protocol):
    """One connection of an Asterisk; see `MediaStream`.

    It knows no marks and keeps nothing: what it is sent is heard at once. Its audio is linear, at the rate of
    the first packet that comes.
    """

    confirms = False
    lead_ms = LEAD_MS

    def __init__(self, server: AudioSocketServer) -> None:
        self._server = server
        self._reader = PacketReader()
        self._transport: asyncio.Transport | None = None
        self._spoken: StreamFormat | None = None
        self._uuid: UUID | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._hear: Callable[[StreamEvent], None] | None = None
        self._stopped: StreamStopped | None = None
        self._writable = True
        self._gone = asyncio.Event()

    # MediaStream -------------------------------------------------------------------------------------

    @property
    def start(self) -> StreamStart:
        """See `MediaStream.start`."""
        assert self._uuid is not None, "it has started"
        spoken = self._spoken or StreamFormat(encoding="pcm16")
        name = str(self._uuid)
        return StreamStart(stream_id=name, carrier_call_id=name, hears=spoken, plays=spoken)

    @property
    def can_send(self) -> bool:
        """See `MediaStream.can_send`."""
        return self._writable

    def listen(self, hear: Callable[[StreamEvent], None]) -> None:
        """See `MediaStream.listen`."""
        self._hear = hear
        if self._stopped is not None:
            hear(self._stopped)

    def send_audio(self, audio: bytes) -> None:
        """See `MediaStream.send_audio`."""
        if self._transport is not None and self._stopped is None and self._spoken is not None:
            self._transport.write(write_audio(audio, self._spoken))

    def send_mark(self, name: str) -> None:
        """See `MediaStream.send_mark`: there are none."""

    def clear(self) -> None:
        """See `MediaStream.clear`: nothing is kept."""

    async def close(self) -> None:
        """See `MediaStream.close`, within `CLOSE_WITHIN_S`. The dialplan goes on."""
        if self._transport is not None and self._stopped is None:
            self._transport.write(write_hangup())
        self._end(StreamStopped(reason="closed"))
        if self._transport is None:
            return
        try:
            async with asyncio.timeout(CLOSE_WITHIN_S):
                await self._gone.wait()
        except TimeoutError:
            # What it does not read would keep the connection, and the call, for ever.
            self._transport.abort()
            await self._gone.wait()

    def connection_over(self) -> None:
        """End the stream, without waiting."""
        self._end(StreamStopped(reason="closed"))

    # asyncio.Protocol --------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asterisk has connected, and is to say for which call."""
        self._transport = cast(asyncio.Transport, transport)
        keep_little(self._transport, MOST_UNSENT_BYTES)
        # Silence alone is no sign that a peer is gone: a caller on hold may bring none of it.
        ask_whether_alive(self._transport)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(NAMED_WITHIN_S, self._too_late)
        self._server.connected(self)

    def data_received(self, data: bytes) -> None:
        """Packets came, or parts of some."""
        try:
            for packet in self._reader.feed(data):
                if isinstance(packet, StreamNamed):
                    self._named(packet.uuid)
                elif isinstance(packet, LinearAudio):
                    self._sounds(packet)
                elif isinstance(packet, StreamStopped):
                    self._end(packet)
                else:
                    self._tell(packet)
        except UnreadableFrameError as error:
            self._end(StreamStopped(reason="protocol", detail=str(error)))

    def pause_writing(self) -> None:
        """Asterisk does not take what we send."""
        self._writable = False

    def resume_writing(self) -> None:
        """It takes it again."""
        self._writable = True

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing follows."""
        detail = "" if exc is None else f"The connection broke: {type(exc).__name__}."
        self._end(StreamStopped(reason="closed" if exc is None else "lost", detail=detail))
        self._server.disconnected(self)
        self._gone.set()

    # Inside ------------------------------------------------------------------------------------------

    def _named(self, uuid: UUID) -> None:
        if self._uuid is not None:
            raise UnreadableFrameError("a second id of a call")
        self._uuid = uuid

    def _sounds(self, packet: LinearAudio) -> None:
        if self._uuid is None:
            raise UnreadableFrameError("audio before the id of its call")
        if self._spoken is None:
            self._spoken = packet.spoken
            self._not_late()
            self._server.started(self, self._uuid)
        audio = read_audio(packet, self._spoken)
        if audio is not None:
            self._tell(audio)

    def _tell(self, event: StreamEvent) -> None:
        if self._stopped is None and self._hear is not None:
            self._hear(event)

    def _end(self, stopped: StreamStopped) -> None:
        self._not_late()
        if self._stopped is None:
            self._stopped = stopped
            if self._hear is not None:
                self._hear(stopped)
        if self._transport is not None:
            self._transport.close()

    def _too_late(self) -> None:
        self._end(StreamStopped(reason="protocol", detail="Neither an id nor audio came in time."))

    def _not_late(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class AudioSocketServer:
    """Listens for Asterisk, and serves every connection that has begun. An asynchronous context manager:
    leaving it ends all of them, and waits for that."""

    def __init__(
        self, host: str, port: int, *, serve: Callable[[AudioSocketStream, UUID], Awaitable[None]]
    ) -> None:
        """``port`` 0 takes a free one. ``serve`` leads a stream until it has ended; cancelled when the server
        stops. It raises nothing."""
        self._host = host
        self._wanted = port
        self._serve = serve
        self._server: asyncio.Server | None = None
        self._connections: set[AudioSocketStream] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self.turned_away = 0
        """Connections that were too many."""

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None, "it listens"
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def __aenter__(self) -> Self:
        """Raises `OSError` where it cannot listen."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: AudioSocketStream(self), self._host, self._wanted)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._serving:
            task.cancel()
        for connection in tuple(self._connections):
            connection.connection_over()
        if self._serving:
            await asyncio.wait(self._serving)

    def connected(self, stream: AudioSocketStream) -> None:
        """A connection came."""
        self._connections.add(stream)
        if len(self._connections) > MOST_CONNECTIONS:
            self.turned_away += 1
            stream.connection_over()

    def disconnected(self, stream: AudioSocketStream) -> None:
        """A connection is gone."""
        self._connections.discard(stream)

    def started(self, stream: AudioSocketStream, uuid: UUID) -> None:
        """A connection has said whose it is, and how its audio is written."""
        task = asyncio.create_task(self._lead(stream, uuid), name=f"audio socket {uuid}")
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _lead(self, stream: AudioSocketStream, uuid: UUID) -> None:
        try:
            await self._serve(stream, uuid)
        except Exception:
            # The wall between calls.
            logger.exception("A call of an audio socket ended by a defect of ours")
        finally:
            stream.connection_over()
