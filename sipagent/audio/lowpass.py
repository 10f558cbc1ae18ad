"""Taking out of 16-bit mono PCM what a lower sample rate cannot hold. Pure; a stream keeps its state here.

Without it, a rate is not changed but folded: the "s" of a caller whose telephone carries 7 kHz becomes a
whistle of 3 kHz, in the middle of what they say.
"""

from __future__ import annotations

import math

from sipagent.audio.pcm import SAMPLE_BYTES, audioop, check_whole_samples

WIDTH = 0.25
"""From the highest pitch that is kept to the lowest that is not, as a part of the lower rate."""
MOST_REACH = 40
"""So many samples before and behind one are looked at, at most: enough for 48 kHz, and not too much work."""
_FINE_BYTES = 4
"""Sums are made of longer samples, or small sounds would drown in what is rounded off."""
_ROOM = 0.5
"""On the way to its sum, a loud sound may be louder than it is in the end."""


class LowPass:
    """A symmetric filter, a windowed sinc; everything comes out ``reach`` samples later.

    Raises `ValueError` for a rate that is not positive.
    """

    def __init__(self, *, rate_hz: int, kept_rate_hz: int) -> None:
        """``rate_hz`` is that of the sound, ``kept_rate_hz`` the lower one that has to hold it."""
        if rate_hz <= 0 or kept_rate_hz <= 0:
            raise ValueError(f"cannot filter {rate_hz} Hz for {kept_rate_hz} Hz: both must be positive")
        self.reach = min(math.ceil(1.65 * rate_hz / (WIDTH * kept_rate_hz)), MOST_REACH)
        self._taps = _taps(self.reach, kept_rate_hz / rate_hz)
        self._before = bytes(2 * self.reach * _FINE_BYTES)

    def feed(self, pcm: bytes) -> bytes:
        """The next chunk; as long as it was. Raises `ValueError` for half a sample."""
        if not check_whole_samples(pcm):
            return pcm
        heard = self._before + audioop.lin2lin(pcm, SAMPLE_BYTES, _FINE_BYTES)
        length = len(heard) - len(self._before)
        self._before = heard[length:]
        middle = self.reach * _FINE_BYTES
        mixed = audioop.mul(heard[middle : middle + length], _FINE_BYTES, self._taps[0])
        for away, weight in enumerate(self._taps[1:], start=1):
            if abs(weight) < 1e-5:
                continue
            weighed = audioop.mul(heard, _FINE_BYTES, weight)
            for start in (middle - away * _FINE_BYTES, middle + away * _FINE_BYTES):
                mixed = audioop.add(mixed, weighed[start : start + length], _FINE_BYTES)
        return audioop.lin2lin(audioop.mul(mixed, _FINE_BYTES, 1 / _ROOM), _FINE_BYTES, SAMPLE_BYTES)


def _taps(reach: int, kept: float) -> list[float]:
    """The weight of a sample, of those beside it, and so on; all of them add up to `_ROOM`."""
    weights = [kept]
    for away in range(1, reach + 1):
        window = 0.54 + 0.46 * math.cos(math.pi * away / (reach + 1))
        weights.append(window * math.sin(math.pi * kept * away) / (math.pi * away))
    whole = weights[0] + 2 * sum(weights[1:])
    return [_ROOM * weight / whole for weight in weights]
