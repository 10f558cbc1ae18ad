"""G.711, the sound of telephones: 8,000 one-byte samples a second (ITU-T G.711, RFC 3551 section 4.5.14).

Pure. PCM here is what `sipagent.audio.pcm` describes.
"""

from __future__ import annotations

from sipagent.audio.pcm import audioop, check_whole_samples

SAMPLE_RATE_HZ = 8000
"""Samples, and therefore bytes, of G.711 a second."""
FRAME_MS = 20
FRAME_BYTES = SAMPLE_RATE_HZ * FRAME_MS // 1000
"""Bytes of one telephone frame of 20 ms."""
PCMU_SILENCE = 0xFF
"""Mu-law for zero."""
PCMA_SILENCE = 0xD5
"""A-law for the smallest level; A-law has no exact zero."""

_EVERY_BYTE = bytes(range(256))
_PCMA_TO_PCMU = audioop.lin2ulaw(audioop.alaw2lin(_EVERY_BYTE, 2), 2)
_PCMU_TO_PCMA = audioop.lin2alaw(audioop.ulaw2lin(_EVERY_BYTE, 2), 2)


def decode_pcmu(ulaw: bytes) -> bytes:
    """Mu-law to 16-bit PCM, two bytes for each byte given."""
    return audioop.ulaw2lin(ulaw, 2)


def encode_pcmu(pcm: bytes) -> bytes:
    """16-bit PCM to mu-law.

    Raises `ValueError` when ``pcm`` is not a whole number of samples.
    """
    return audioop.lin2ulaw(check_whole_samples(pcm), 2)


def pcma_to_pcmu(alaw: bytes) -> bytes:
    """A-law to mu-law by table, without a detour over PCM."""
    return alaw.translate(_PCMA_TO_PCMU)


def pcmu_to_pcma(ulaw: bytes) -> bytes:
    """Mu-law to A-law by table, without a detour over PCM."""
    return ulaw.translate(_PCMU_TO_PCMA)


def rms_pcmu(ulaw: bytes) -> int:
    """Root mean square of mu-law audio on the 16-bit scale, 0 for no audio at all."""
    return audioop.rms(audioop.ulaw2lin(ulaw, 2), 2)
