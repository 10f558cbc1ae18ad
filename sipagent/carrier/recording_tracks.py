"""Both sides of a call on one line of time. Pure: positions are samples of 8 kHz, from the beginning on."""

from __future__ import annotations

from collections import deque

from sipagent.audio.g711 import PCMU_SILENCE

NEARLY_SAMPLES = 320
"""A piece that comes so much too early or too late for the one before it belongs right behind it: 40 ms, what
clocks and networks make of a steady voice."""


class Track:
    """One side, in mu-law. Pieces are put where they were heard, and taken off the front.

    One voice says one thing at a time: a piece that seems to begin within another begins behind it. Where
    there was silence before those, they are moved back into it: they were held up, and came all at once.
    Where there was none, two clocks part, and what is too much is left out.
    """

    def __init__(self) -> None:
        self._pieces: deque[tuple[int, bytes]] = deque()
        self._end = 0
        """Where the last piece ends."""
        self._taken = 0
        self._late: list[tuple[int, bytes]] = []

    def put(self, start: int, audio: bytes) -> None:
        """``audio`` was heard from ``start`` on."""
        if start < self._end - NEARLY_SAMPLES:
            self._move_back(self._end - start)
        if start < self._end - NEARLY_SAMPLES:
            audio = audio[self._end - start :]
            start = self._end
        elif start <= self._end + NEARLY_SAMPLES:
            start = self._end if start < self._taken else max(self._end, self._taken)
        if audio:
            self._end = start + len(audio)
            self._add(start, audio)

    def cut(self, end: int) -> None:
        """Nothing was heard from ``end`` on."""
        while self._pieces and self._pieces[-1][0] >= end:
            self._pieces.pop()
        if self._pieces and (last := self._pieces[-1])[0] + len(last[1]) > end:
            self._pieces[-1] = (last[0], last[1][: end - last[0]])
        self._end = min(self._end, max(end, self._taken))

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
        return bytes(taken)

    def take_late(self) -> list[tuple[int, bytes]]:
        """What came since the last time and belongs before what was taken, where silence was taken: what it
        is, and from where on."""
        late, self._late = self._late, []
        return late

    # Inside ----------------------------------------------------------------------------------------

    def _add(self, start: int, audio: bytes) -> None:
        if (too_late := self._taken - start) > 0:
            self._late.append((start, audio[:too_late]))
            start, audio = self._taken, audio[too_late:]
        if audio:
            self._pieces.append((start, audio))

    def _move_back(self, samples: int) -> None:
        """Move the pieces since there last was silence back into that, by as much as there is of it."""
        moving: list[bytes] = []
        begins = end = self._end
        while self._pieces and self._pieces[-1][0] + len(self._pieces[-1][1]) == begins:
            begins, audio = self._pieces.pop()
            moving.append(audio)
        silence_from = self._pieces[-1][0] + len(self._pieces[-1][1]) if self._pieces else self._taken
        back = max(0, min(samples, begins - silence_from)) if moving else 0
        self._end = end - back
        for audio in reversed(moving):
            self._pieces.append((begins - back, audio))
            begins += len(audio)


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
