"""What is still to be said to the peer, handed out in frames of 20 ms. Pure.

Audio is queued in bursts: one burst is everything from the first `Playout.play` after quiet up to
`Playout.finish`. A queue that runs dry in the middle of a burst gives silence and waits for more.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from sipagent.audio.g711 import FRAME_BYTES, PCMU_SILENCE, SAMPLE_RATE_HZ

_MAX_QUEUED_BYTES = SAMPLE_RATE_HZ * 600
"""Ten minutes of audio; what is queued beyond that is dropped, newest first, and counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayoutFrame:
    """One frame and what it means for the burst it belongs to."""

    ulaw: bytes | None
    """160 bytes, the last of a burst padded with silence; None when there is nothing to say."""
    started: bool = False
    """The burst's first frame."""
    stopped: bool = False
    """The burst was finished and nothing of it is left behind this frame."""


_NOTHING = PlayoutFrame(ulaw=None)
_STOPPED = PlayoutFrame(ulaw=None, stopped=True)


class Playout:
    """The queue of one direction. All lengths are mu-law bytes."""

    def __init__(self) -> None:
        self._chunks: deque[bytes | None] = deque()
        self._offset = 0
        self._queued_bytes = 0
        self._burst_open = False
        self._started = False
        self._sent_bytes = 0
        self.bytes_dropped = 0

    @property
    def queued_ms(self) -> float:
        """Milliseconds of audio that wait."""
        return self._queued_bytes * 1000 / SAMPLE_RATE_HZ

    def play(self, ulaw: bytes) -> None:
        """Queue audio behind what waits already; begins a burst if none is open."""
        if not ulaw:
            return
        self._burst_open = True
        if self._queued_bytes + len(ulaw) > _MAX_QUEUED_BYTES:
            self.bytes_dropped += len(ulaw)
            return
        self._chunks.append(ulaw)
        self._queued_bytes += len(ulaw)

    def finish(self) -> None:
        """Nothing more comes for the open burst; does nothing when none is open."""
        if self._burst_open:
            self._burst_open = False
            self._chunks.append(None)

    def clear(self) -> float:
        """Drop everything and close the burst; returns the milliseconds of the playing burst handed out."""
        sent_ms = self._sent_bytes * 1000 / SAMPLE_RATE_HZ
        self._chunks.clear()
        self._offset = self._queued_bytes = self._sent_bytes = 0
        self._burst_open = self._started = False
        return sent_ms

    def next_frame(self) -> PlayoutFrame:
        """What to send in the next 20 ms.

        A remainder shorter than a frame is kept until more audio or `finish` comes, because padding it would
        tear a hole into running speech.
        """
        if not self._chunks:
            return _NOTHING
        frame = bytearray()
        stopped = False
        available = self._burst_bytes(FRAME_BYTES)
        if available is None:
            return _NOTHING
        while len(frame) < available:
            chunk = self._chunks[0]
            assert chunk is not None
            taken = chunk[self._offset : self._offset + available - len(frame)]
            frame += taken
            self._offset += len(taken)
            if self._offset == len(chunk):
                self._chunks.popleft()
                self._offset = 0
        self._queued_bytes -= len(frame)
        started = not self._started and bool(frame)
        self._sent_bytes += len(frame)
        self._started = True
        if self._chunks and self._chunks[0] is None:
            self._chunks.popleft()
            self._started = False
            self._sent_bytes = 0
            stopped = True
        if not frame:
            return _STOPPED
        padding = FRAME_BYTES - len(frame)
        return PlayoutFrame(
            ulaw=bytes(frame) + bytes([PCMU_SILENCE]) * padding, started=started, stopped=stopped
        )

    def _burst_bytes(self, wanted: int) -> int | None:
        """How many bytes the front burst can give now, at most ``wanted``; None to wait for more."""
        available = -self._offset
        for chunk in self._chunks:
            if chunk is None:
                return min(wanted, available)
            available += len(chunk)
            if available >= wanted:
                return wanted
        return None
