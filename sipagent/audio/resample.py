"""Changing the sample rate of 16-bit mono PCM. Pure; a stream keeps its state in a `Resampler`."""

from __future__ import annotations

from typing import Any

from sipagent.audio.g711 import SAMPLE_RATE_HZ, encode_pcmu
from sipagent.audio.lowpass import LowPass
from sipagent.audio.pcm import SAMPLE_BYTES, audioop, check_whole_samples

REALTIME_RATE_HZ = 24000
"""The rate of the Realtime API's PCM."""


class Resampler:
    """Converts a stream chunk by chunk, by linear interpolation, without clicks at the seams. What the lower
    of two rates cannot hold is taken out first.

    Raises `ValueError` for a rate that is not positive, and `feed` for half a sample.
    """

    def __init__(self, *, from_hz: int, to_hz: int) -> None:
        if from_hz <= 0 or to_hz <= 0:
            raise ValueError(f"cannot convert {from_hz} Hz to {to_hz} Hz: both must be positive")
        self._from_hz = from_hz
        self._to_hz = to_hz
        self._state: Any = None
        self._low_pass = LowPass(rate_hz=from_hz, kept_rate_hz=to_hz) if to_hz < from_hz else None

    def feed(self, pcm: bytes) -> bytes:
        """The next chunk at the new rate; its length varies by a sample to make up for remainders."""
        check_whole_samples(pcm)
        if self._from_hz == self._to_hz or not pcm:
            return pcm
        if self._low_pass is not None:
            pcm = self._low_pass.feed(pcm)
        converted, self._state = audioop.ratecv(pcm, SAMPLE_BYTES, 1, self._from_hz, self._to_hz, self._state)
        return converted


def resample(pcm: bytes, *, from_hz: int, to_hz: int) -> bytes:
    """A whole recording at another rate."""
    return Resampler(from_hz=from_hz, to_hz=to_hz).feed(pcm)


def pcm_to_pcmu(pcm: bytes, *, from_hz: int) -> bytes:
    """A whole recording of any rate as telephone mu-law."""
    return encode_pcmu(resample(pcm, from_hz=from_hz, to_hz=SAMPLE_RATE_HZ))
