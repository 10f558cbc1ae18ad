"""Signed 16-bit PCM: the one door to `audioop`, and stereo. Pure.

Samples are in the machine's byte order, which is little-endian, the order of WAV files and of the Realtime
API, on every platform supported.
"""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    # The standard library announces the module's removal at every import; from 3.13 on
    # audioop-lts provides it.
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop as audioop

SAMPLE_BYTES = 2


def check_whole_samples(pcm: bytes) -> bytes:
    """``pcm`` itself.

    Raises `ValueError` when its last sample is cut in half.
    """
    if len(pcm) % SAMPLE_BYTES:
        raise ValueError(f"{len(pcm)} bytes are not a whole number of 16-bit samples")
    return pcm


def interleave_stereo(left: bytes, right: bytes) -> bytes:
    """Two mono signals of equal length as one stereo signal."""
    return audioop.add(
        audioop.tostereo(left, SAMPLE_BYTES, 1, 0), audioop.tostereo(right, SAMPLE_BYTES, 0, 1), SAMPLE_BYTES
    )


def split_stereo(stereo: bytes) -> tuple[bytes, bytes]:
    """The left and the right signal of a stereo one."""
    return audioop.tomono(stereo, SAMPLE_BYTES, 1, 0), audioop.tomono(stereo, SAMPLE_BYTES, 0, 1)


def mix_to_mono(stereo: bytes) -> bytes:
    """The mean of both signals of a stereo one."""
    return audioop.tomono(stereo, SAMPLE_BYTES, 0.5, 0.5)
