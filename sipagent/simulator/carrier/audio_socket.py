"""Asterisk's end of an `AudioSocket`: packets over TCP, signed linear audio every 20 ms.

From Asterisk's public documentation: "AudioSocket", protocol definition. What comes back is heard as it
comes: Asterisk keeps no buffer for it, so whoever sends must pace.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterator
from uuid import UUID

from sipagent.audio.g711 import FRAME_BYTES, decode_pcmu, encode_pcmu
from sipagent.simulator.carrier.faults import CarrierFault
from sipagent.simulator.carrier.leg import Leg
from sipagent.simulator.carrier.stream import CONNECT_TIMEOUT_S, StreamEnd, StreamEvent, StreamRecord

HANG_UP, IDENTIFIER, DIGIT, AUDIO, ERROR = 0x00, 0x01, 0x03, 0x10, 0xFF
_HEADER = struct.Struct("!BH")
_MAX_UNSENT_BYTES = 320 * 500
_MAX_RECORDED = 200_000


class PacketReader:
    """Takes bytes as they come, and gives whole packets. Pure."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """The packets that are whole now: kind and payload."""
        self._waiting += data
        while len(self._waiting) >= _HEADER.size:
            kind, length = _HEADER.unpack_from(self._waiting)
            end = _HEADER.size + length
            if len(self._waiting) < end:
                return
            payload = bytes(self._waiting[_HEADER.size : end])
            del self._waiting[:end]
            yield kind, payload


def packet(kind: int, payload: bytes = b"") -> bytes:
    """One packet. Pure."""
    return _HEADER.pack(kind, len(payload)) + payload


class AudioSocket:
    """One connection of one leg."""

    def __init__(self, leg: Leg, *, identifier: UUID, host: str, port: int) -> None:
        self.record = StreamRecord(stream_id=str(identifier), url=f"tcp://{host}:{port}")
        self._leg = leg
        self._identifier = identifier
        self._address = (host, port)
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter
        self._remainder = b""
        self._started_at_s = 0.0

    async def run(self) -> StreamEnd:
        """Connect, and stay until the service hangs up; cancelling says that the caller is gone, and closes.

        Returns how it ended. A service that cannot be reached is no error here.
        """
        try:
            await self._open()
        except (OSError, TimeoutError) as error:
            self._leg.complain(0, f"AudioSocket cannot connect: {type(error).__name__} {error}")
            return self._ended(StreamEnd.REFUSED)
        try:
            return self._ended(await self._converse())
        except asyncio.CancelledError:
            self._ended(StreamEnd.STOPPED)
            self._write(packet(HANG_UP))
            raise
        finally:
            self._leg.release_audio_from(self._send_audio)
            self._writer.close()

    async def _open(self) -> None:
        if CarrierFault.STREAM_REFUSED in self._leg.facts.faults:
            raise OSError("it is refused, as a fault")
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            self._reader, self._writer = await asyncio.open_connection(*self._address)

    async def _converse(self) -> StreamEnd:
        faults = self._leg.facts.faults
        self._started_at_s = asyncio.get_running_loop().time()
        if CarrierFault.STREAM_NEVER_STARTS not in faults:
            self._write(packet(IDENTIFIER, self._identifier.bytes))
            self._leg.note("stream_started", stream=self.record.stream_id)
            self._leg.on_audio = self._send_audio
            self._leg.on_digit = self._send_digit
        try:
            async with asyncio.timeout(faults.number(CarrierFault.STREAM_CUT)):
                await self._read()
        except TimeoutError:
            self._writer.transport.abort()
            return StreamEnd.CUT
        return StreamEnd.CLOSED

    def _send_audio(self, ulaw: bytes) -> None:
        if self._is_stalled():
            return
        if len(self.record.sent_at_s) < _MAX_RECORDED:
            self.record.sent_at_s.append(asyncio.get_running_loop().time())
        self._write(packet(AUDIO, decode_pcmu(ulaw)))

    def _send_digit(self, digit: str) -> None:
        if not self._is_stalled():
            self._write(packet(DIGIT, digit.encode()))

    def _write(self, data: bytes) -> None:
        if self._writer.is_closing():
            return
        if self._writer.transport.get_write_buffer_size() > _MAX_UNSENT_BYTES:
            self.record.frames_dropped += 1
            return
        self._writer.write(data)

    async def _read(self) -> None:
        """Until the service hangs up, or the connection is gone."""
        packets = PacketReader()
        while True:
            try:
                data = await self._reader.read(65_536)
            except OSError:
                return
            if not data:
                return
            for kind, payload in packets.feed(data):
                match kind:
                    case 0x10:  # AUDIO; a bare name would be a pattern that takes everything
                        self._hear(payload)
                    case 0x00 | 0xFF:
                        self._keep("hang_up" if kind == HANG_UP else "error")
                        return
                    case _:
                        self._keep("bad", detail=f"kind {kind:#04x}")

    def _hear(self, pcm: bytes) -> None:
        self._keep("media", size=len(pcm) // 2)
        if self._is_stalled():
            return
        sound = self._remainder + encode_pcmu(pcm[: len(pcm) // 2 * 2])
        whole = len(sound) // FRAME_BYTES * FRAME_BYTES
        for start in range(0, whole, FRAME_BYTES):
            self._leg.play(sound[start : start + FRAME_BYTES])
        self._remainder = sound[whole:]

    def _keep(self, what: str, *, detail: str = "", size: int = 0) -> None:
        if len(self.record.events) < _MAX_RECORDED:
            at_s = asyncio.get_running_loop().time()
            self.record.events.append(StreamEvent(at_s=at_s, what=what, detail=detail, size=size))

    def _is_stalled(self) -> bool:
        after_s = self._leg.facts.faults.number(CarrierFault.STREAM_STALLED)
        return after_s is not None and asyncio.get_running_loop().time() - self._started_at_s >= after_s

    def _ended(self, end: StreamEnd) -> StreamEnd:
        self.record.end = end
        self._leg.note("stream_ended", how=end.value)
        return end
