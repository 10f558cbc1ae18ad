"""Both sides of a call on one line of time. Pure: positions are samples of 8 kHz, from the beginning on."""

from __future__ import annotations

from collections import deque

from sipagent.audio.g711 import PCMU_SILENCE

NEARLY_SAMPLES = 320
"""A piece that comes so much too early or too late for the one before it belongs right behind it: 40 ms, what
clocks and networks make of a steady voice."""


class Track:
    """One side, in mu-law. Pieces are put where they were heard, and taken off the front."""

    def __init__(self) -> None:
        self._pieces: deque[tuple[int, bytes]] = deque()
        self._end = 0
        """Where the last piece ends."""
        self._taken = 0

    def put(self, start: int, audio: bytes) -> None:
        """``audio`` was heard from ``start`` on. What was taken already cannot be changed any more."""
        if abs(start - self._end) <= NEARLY_SAMPLES or start < self._end:
            start = self._end
        if start < self._taken:
            audio = audio[self._taken - start :]
            start = self._taken
        if audio:
            self._pieces.append((start, audio))
            self._end = start + len(audio)

    def cut(self, end: int) -> None:
        """Nothing was heard from ``end`` on."""
        while self._pieces and self._pieces[-1][0] >= end:
            self._pieces.pop()
        if self._pieces and (last := self._pieces[-1])[0] + len(last[1]) > end:
            self._pieces[-1] = (last[0], last[1][: end - last[0]])
        self._end = max(min(self._end, end), self._taken)

    @property
    def end(self) -> int:
        """Where the last piece ends."""
        return self._end

    def take(self, end: int) -> bytes:
        """What was heard up to ``end``, from where the last one ended; silence where nothing was."""
        taken = bytearray(bytes((PCMU_SILENCE,)) * (end - self._taken))
        while self._pieces and self._pieces[0][0] < end:
            start, audio = self._pieces.popleft()
            if start + len(audio) > end:
                self._pieces.appendleft((end, audio[end - start :]))
                audio = audio[: end - start]
            taken[start - self._taken : start - self._taken + len(audio)] = audio
        self._taken = end
        self._end = max(self._end, end)
        return bytes(taken)


def interleaved(left: bytes, right: bytes) -> bytes:
    """Two sides of one length as stereo of one byte a sample."""
    stereo = bytearray(2 * len(left))
    stereo[0::2] = left
    stereo[1::2] = right
    return bytes(stereo)


# The file ------------------------------------------------------------------------------------------------

_WAVE_FORMAT_MULAW = 7
_CHANNELS = 2
_RATE_HZ = 8000
HEADER_BYTES = 58
SIZES_AT = (4, 46, 54)
"""Where the header says how long all of it is, how many samples, and how many bytes of them."""


def wav_header(samples: int) -> bytes:
    """The header of a stereo mu-law file with so many samples of each side (RIFF, "Multimedia Programming
    Interface and Data Specifications 1.0"; other formats than PCM have a ``fact``)."""
    sizes = wav_sizes(samples)
    return b"".join(
        (
            b"RIFF",
            sizes[0],
            b"WAVEfmt ",
            (18).to_bytes(4, "little"),
            _WAVE_FORMAT_MULAW.to_bytes(2, "little"),
            _CHANNELS.to_bytes(2, "little"),
            _RATE_HZ.to_bytes(4, "little"),
            (_RATE_HZ * _CHANNELS).to_bytes(4, "little"),
            _CHANNELS.to_bytes(2, "little"),
            (8).to_bytes(2, "little"),
            (0).to_bytes(2, "little"),
            b"fact",
            (4).to_bytes(4, "little"),
            sizes[1],
            b"data",
            sizes[2],
        )
    )


def wav_sizes(samples: int) -> tuple[bytes, bytes, bytes]:
    """What stands at `SIZES_AT` for so many samples of each side."""
    data = samples * _CHANNELS
    sizes = (HEADER_BYTES - 8 + data, samples, data)
    return (
        sizes[0].to_bytes(4, "little"),
        sizes[1].to_bytes(4, "little"),
        sizes[2].to_bytes(4, "little"),
    )
