"""The carrier's end of an audio socket: the caller's audio goes out every 20 ms, the service's is played."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from socket import SHUT_RDWR
from typing import assert_never

import aiohttp

from sipagent.simulator.carrier.faults import CarrierFault
from sipagent.simulator.carrier.leg import Leg
from sipagent.simulator.carrier.stream_buffer import StreamBuffer
from sipagent.simulator.carrier.stream_frames import (
    BadMessage,
    ClearBuffer,
    PlaceMark,
    PlayAudio,
    StreamFrames,
)
from sipagent.simulator.rtp import Pacer

CONNECT_TIMEOUT_S = 5.0
_GOODBYE_S = 1.0
_MAX_UNSENT = 500
"""Messages that wait while the service does not read: ten seconds. Of more, the oldest is dropped."""
_MAX_MESSAGE_BYTES = 1 << 20
_MAX_RECORDED = 200_000


class StreamEnd(StrEnum):
    """How a stream ended."""

    REFUSED = "refused"
    """It could not be opened."""
    CLOSED = "closed"
    """The service closed it."""
    CUT = "cut"
    """A fault broke it."""
    STOPPED = "stopped"
    """The call ended, or was told to do something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamEvent:
    """A message that came or went."""

    at_s: float
    """``loop.time()``."""
    what: str
    """``media``, ``mark``, ``clear``, ``mark_echoed``, ``bad``."""
    detail: str = ""
    size: int = 0
    """Bytes of audio."""


@dataclass(slots=True, kw_only=True)
class StreamRecord:
    """What happened on one stream."""

    stream_id: str
    url: str
    sent_at_s: list[float] = field(default_factory=list)
    """When each frame of the caller was due; it goes out at once unless the service does not read."""
    events: list[StreamEvent] = field(default_factory=list)
    """What the service sent, and the marks that went back to it."""
    frames_dropped: int = 0
    end: StreamEnd | None = None
    close_code: int | None = None

    def named(self, what: str) -> list[StreamEvent]:
        """The events of one kind."""
        return [event for event in self.events if event.what == what]


class MediaStream:
    """One audio socket of one leg."""

    def __init__(
        self,
        leg: Leg,
        frames: StreamFrames,
        *,
        url: str,
        parameters: dict[str, str],
        headers: Mapping[str, str],
        http: aiohttp.ClientSession,
        pacer: Pacer,
        tls: ssl.SSLContext | None,
    ) -> None:
        self.record = StreamRecord(stream_id=frames.stream_id, url=url)
        self._leg = leg
        self._frames = frames
        self._parameters = parameters
        self._headers = headers
        self._http = http
        self._pacer = pacer
        self._tls = tls
        self._buffer = StreamBuffer()
        self._unsent: asyncio.Queue[str] = asyncio.Queue(_MAX_UNSENT)
        self._started_at_s = 0.0
        self._frames_out = 0
        self.started = asyncio.Event()

    async def run(self) -> StreamEnd:
        """Open the socket and keep it until the service closes it; cancelling says goodbye and closes.

        Returns how it ended. A service that cannot be reached is no error here.
        """
        try:
            socket = await self._open()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self._leg.complain(31920, f"the audio socket cannot be opened: {type(error).__name__} {error}")
            return self._ended(StreamEnd.REFUSED)
        try:
            return self._ended(await self._converse(socket))
        except asyncio.CancelledError:
            self._ended(StreamEnd.STOPPED)
            await self._say_goodbye(socket)
            raise
        finally:
            self._pacer.remove(self._beat)
            self._leg.release_audio_from(self._send_audio)
            await socket.close()

    async def _open(self) -> aiohttp.ClientWebSocketResponse:
        if CarrierFault.STREAM_REFUSED in self._leg.facts.faults:
            raise OSError("it is refused, as a fault")
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            return await self._http.ws_connect(
                self.record.url,
                headers=self._headers,
                ssl=self._tls if self._tls is not None else True,
                max_msg_size=_MAX_MESSAGE_BYTES,
                timeout=aiohttp.ClientWSTimeout(ws_close=_GOODBYE_S),
            )

    async def _converse(self, socket: aiohttp.ClientWebSocketResponse) -> StreamEnd:
        await socket.send_str(self._frames.connected())
        reader = asyncio.create_task(self._read(socket), name="media stream: reading")
        tasks = {reader}
        try:
            if CarrierFault.STREAM_NEVER_STARTS not in self._leg.facts.faults:
                await socket.send_str(self._frames.start(self._parameters))
                self._begin()
                tasks.add(asyncio.create_task(self._write(socket), name="media stream: writing"))
            cut_s = self._leg.facts.faults.number(CarrierFault.STREAM_CUT)
            done, _ = await asyncio.wait(tasks, timeout=cut_s, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                _abort(socket)
                return StreamEnd.CUT
            self.record.close_code = socket.close_code
            return StreamEnd.CLOSED
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self) -> None:
        self._started_at_s = asyncio.get_running_loop().time()
        self._leg.note("stream_started", stream=self.record.stream_id)
        self.started.set()
        self._leg.on_audio = self._send_audio
        self._leg.on_digit = self._send_digit
        self._pacer.add(self._beat)

    # To the service

    def _send_audio(self, ulaw: bytes) -> None:
        if self._is_stalled():
            return
        timestamp_ms = self._frames_out * 20
        self._frames_out += 1
        if len(self.record.sent_at_s) < _MAX_RECORDED:
            self.record.sent_at_s.append(asyncio.get_running_loop().time())
        self._send(self._frames.media(ulaw, timestamp_ms))

    def _send_digit(self, digit: str) -> None:
        if not self._is_stalled():
            self._send(self._frames.digit(digit))

    def _send(self, text: str) -> None:
        if self._unsent.full():
            self._unsent.get_nowait()
            self.record.frames_dropped += 1
        self._unsent.put_nowait(text)

    async def _write(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        while True:
            text = await self._unsent.get()
            try:
                await socket.send_str(text)
            except (aiohttp.ClientError, ConnectionError):
                return

    async def _say_goodbye(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        try:
            async with asyncio.timeout(_GOODBYE_S):
                while not self._unsent.empty():
                    await socket.send_str(self._unsent.get_nowait())
                await socket.send_str(self._frames.stop())
                await socket.close()
        except (aiohttp.ClientError, ConnectionError, TimeoutError):
            _abort(socket)

    # From the service

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                self._bad("only text is understood")
                continue
            if not self.started.is_set():
                self._bad("the stream has not started")
                continue
            self._obey(str(message.data))

    def _obey(self, text: str) -> None:
        command = self._frames.read(text)
        match command:
            case PlayAudio(ulaw=ulaw):
                self._keep("media", size=len(ulaw))
                self._buffer.add(ulaw)
            case PlaceMark(name=name):
                self._keep("mark", detail=name)
                self._echo(self._buffer.mark(name))
            case ClearBuffer():
                self._keep("clear", size=int(self._buffer.buffered_ms * 8))
                self._echo(self._buffer.clear())
            case BadMessage(reason=reason):
                self._bad(reason)
            case _:
                assert_never(command)

    def _bad(self, reason: str) -> None:
        self._keep("bad", detail=reason)
        if not any(notice.code == 31951 for notice in self._leg.notices):
            self._leg.complain(31951, f"a message of the service is not understood: {reason}")

    def _beat(self) -> None:
        if self._is_stalled():
            return
        frame, passed = self._buffer.next_frame()
        self._echo(passed)
        if frame is not None:
            self._leg.play(frame)

    def _echo(self, names: list[str]) -> None:
        for name in names:
            self._keep("mark_echoed", detail=name)
            self._send(self._frames.mark(name))

    # The record, and the end

    def _keep(self, what: str, *, detail: str = "", size: int = 0) -> None:
        if len(self.record.events) < _MAX_RECORDED:
            at_s = asyncio.get_running_loop().time()
            self.record.events.append(StreamEvent(at_s=at_s, what=what, detail=detail, size=size))
            if what != "media":
                self._leg.note(f"stream_{what}", detail=detail)

    def _is_stalled(self) -> bool:
        after_s = self._leg.facts.faults.number(CarrierFault.STREAM_STALLED)
        if after_s is None:
            return False
        return asyncio.get_running_loop().time() - self._started_at_s >= after_s

    def _ended(self, end: StreamEnd) -> StreamEnd:
        self.record.end = end
        self._leg.note("stream_ended", how=end.value)
        return end


def _abort(socket: aiohttp.ClientWebSocketResponse) -> None:
    """Break the connection without a word."""
    wire = socket.get_extra_info("socket")
    if wire is not None:
        with contextlib.suppress(OSError):  # it may be broken already
            wire.shutdown(SHUT_RDWR)
