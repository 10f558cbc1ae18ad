"""Finds speech in telephone audio by its energy. Pure: time is counted in the audio that was fed.

Theory of operation. Each frame gets a level, the mean of its magnitudes over a table of 256 entries. A
frame is loud when its level passes both a fixed limit, set by ``threshold``, and a multiple of the noise
floor. The floor is the smallest level of the last two seconds: speech dips between syllables, steady noise
does not. Loudness for 60 ms starts speech; quiet for ``silence_duration_ms`` ends it. While somebody speaks
the limit is lower, so that a soft word end does not count as silence.
"""

from __future__ import annotations

import sys
from collections import deque
from dataclasses import dataclass
from typing import Final

from sipagent.audio.g711 import SAMPLE_RATE_HZ, decode_pcmu

_UNIT: Final = 32
"""One step of a frame's level, on the 16-bit scale."""
_ONSET_MS: Final = 60.0
"""Loudness shorter than this is a click."""
_FLOOR_WINDOW_MS: Final = 2000.0
_FLOOR_PARTS: Final = 4
_FLOOR_MAX: Final = 24.0
"""No steady sound above this level is noise: a loud test tone stays speech for ever."""
_HYSTERESIS: Final = 0.6


_MAGNITUDE: Final = bytes(
    min(255, abs(int.from_bytes(decode_pcmu(bytes([code])), sys.byteorder, signed=True)) // _UNIT)
    for code in range(256)
)
"""The magnitude of each mu-law code in units, cut off at 8,160: louder is loud enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechStarted:
    """Somebody began to speak."""

    audio_start_ms: int
    """Where the turn begins in the audio fed so far, the prefix padding included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechStopped:
    """Somebody has been quiet for the configured time."""

    audio_end_ms: int
    """Where the turn ends in the audio fed so far, the silence that decided it included."""


class EnergyVad:
    """Server-side voice activity detection for one direction of one call.

    ``threshold`` (0 to 1) is how loud speech has to be, ``prefix_padding_ms`` how much audio before it
    belongs to the turn, ``silence_duration_ms`` how long a pause ends the turn; the names and defaults are
    those of the Realtime API's ``server_vad``.
    """

    def __init__(
        self, threshold: float = 0.5, prefix_padding_ms: int = 300, silence_duration_ms: int = 500
    ) -> None:
        self._limit = max(1.0, threshold * 16)
        self._floor_factor = 1.5 + 3 * threshold
        self._prefix_padding_ms = prefix_padding_ms
        self._silence_duration_ms = silence_duration_ms
        self._floor = _NoiseFloor()
        self._position_ms = 0.0
        self._loud_ms = 0.0
        self._quiet_ms = 0.0
        self._speaking = False

    @property
    def speaking(self) -> bool:
        """Whether a turn has started and not stopped."""
        return self._speaking

    def feed(self, ulaw: bytes) -> SpeechStarted | SpeechStopped | None:
        """Judge one frame of mu-law audio, usually 20 ms; another length counts with its own duration.

        A frame changes the state at most once, so feed no more than about 100 ms at a time.
        """
        if not ulaw:
            return None
        length_ms = len(ulaw) * 1000 / SAMPLE_RATE_HZ
        level = sum(ulaw.translate(_MAGNITUDE)) / len(ulaw)
        limit = max(self._limit, self._floor.level * self._floor_factor)
        if self._speaking:
            limit *= _HYSTERESIS
        self._floor.observe(level, length_ms)
        self._position_ms += length_ms
        if level >= limit:
            self._loud_ms += length_ms
            self._quiet_ms = 0.0
            if not self._speaking and self._loud_ms >= _ONSET_MS:
                self._speaking = True
                onset_ms = self._position_ms - self._loud_ms
                return SpeechStarted(audio_start_ms=max(0, round(onset_ms - self._prefix_padding_ms)))
            return None
        self._loud_ms = 0.0
        self._quiet_ms += length_ms
        if self._speaking and self._quiet_ms >= self._silence_duration_ms:
            self._speaking = False
            return SpeechStopped(audio_end_ms=round(self._position_ms))
        return None


class _NoiseFloor:
    """The smallest level of the last window; zero until a whole window was heard.

    Zero at first, because a call that opens with a word must not take that word for the noise of its line.
    """

    def __init__(self) -> None:
        self._parts: deque[float] = deque(maxlen=_FLOOR_PARTS)
        self._part_min = float("inf")
        self._part_ms = 0.0
        self.level = 0.0

    def observe(self, level: float, length_ms: float) -> None:
        self._part_min = min(self._part_min, level)
        self._part_ms += length_ms
        if self._part_ms < _FLOOR_WINDOW_MS / _FLOOR_PARTS:
            return
        self._parts.append(self._part_min)
        self._part_min = float("inf")
        self._part_ms = 0.0
        if len(self._parts) == _FLOOR_PARTS:
            self.level = min(_FLOOR_MAX, *self._parts)
