"""What waits to be played to a caller who is on an audio socket, with the marks between it. Pure.

A mark is due when the audio before it has been played, not when it was handed over: the last frame before it
needs its 20 ms.
"""

from __future__ import annotations

from collections import deque

from sipagent.audio.g711 import FRAME_BYTES, PCMU_SILENCE, SAMPLE_RATE_HZ

MAX_BUFFERED_BYTES = SAMPLE_RATE_HZ * 600
"""Ten minutes; what comes beyond that is dropped and counted."""


class StreamBuffer:
    """The buffer of one stream; mu-law."""

    def __init__(self) -> None:
        self._waiting: deque[bytes | str] = deque()
        self._bytes = 0
        self._playing = False
        self._due: list[str] = []
        self.bytes_dropped = 0

    @property
    def buffered_ms(self) -> float:
        """Audio that has not been handed out."""
        return self._bytes * 1000 / SAMPLE_RATE_HZ

    def add(self, ulaw: bytes) -> None:
        """Put audio behind what waits."""
        if self._bytes + len(ulaw) > MAX_BUFFERED_BYTES:
            self.bytes_dropped += len(ulaw)
        elif ulaw:
            self._waiting.append(ulaw)
            self._bytes += len(ulaw)

    def mark(self, name: str) -> list[str]:
        """Put a mark behind what waits; it comes back at once when nothing waits or plays."""
        if not self._waiting and not self._playing:
            return [name]
        self._waiting.append(name)
        return []

    def clear(self) -> list[str]:
        """Drop everything; the marks that waited."""
        names = [*self._due, *(entry for entry in self._waiting if isinstance(entry, str))]
        self._waiting.clear()
        self._due.clear()
        self._bytes = 0
        self._playing = False
        return names

    def next_frame(self) -> tuple[bytes | None, list[str]]:
        """What to play in the next 20 ms, None for nothing, and the marks whose audio has been played.

        An end shorter than a frame is filled up with silence.
        """
        passed, self._due = self._due, []
        frame = bytearray()
        while self._waiting and (len(frame) < FRAME_BYTES or isinstance(self._waiting[0], str)):
            entry = self._waiting.popleft()
            if isinstance(entry, str):
                (self._due if frame else passed).append(entry)
                continue
            needed = FRAME_BYTES - len(frame)
            frame += entry[:needed]
            if len(entry) > needed:
                self._waiting.appendleft(entry[needed:])
                break
        self._bytes -= len(frame)
        self._playing = bool(frame)
        if not frame:
            return None, passed
        return bytes(frame).ljust(FRAME_BYTES, bytes([PCMU_SILENCE])), passed
