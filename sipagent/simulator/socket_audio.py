"""Audio over the socket: between the session's format and the mu-law everything here works in."""

from __future__ import annotations

import sys
from typing import Final

from sipagent.audio.formats import AudioFormat
from sipagent.audio.g711 import SAMPLE_RATE_HZ, decode_pcmu, encode_pcmu, pcma_to_pcmu, pcmu_to_pcma
from sipagent.audio.resample import Resampler

_SAMPLE_BYTES: Final = 2


class SocketDecoder:
    """What the client appends, as mu-law. Keeps half a sample until its other half comes."""

    def __init__(self) -> None:
        self._rest = b""
        self._resampler = _resampler(from_hz=AudioFormat.PCM.sample_rate_hz, to_hz=SAMPLE_RATE_HZ)

    def feed(self, audio: bytes, audio_format: AudioFormat) -> bytes:
        """The next piece of the stream."""
        match audio_format:
            case AudioFormat.PCMU:
                return audio
            case AudioFormat.PCMA:
                return pcma_to_pcmu(audio)
            case AudioFormat.PCM:
                audio = self._rest + audio
                whole = len(audio) - len(audio) % _SAMPLE_BYTES
                self._rest = audio[whole:]
                return encode_pcmu(self._resampler.feed(audio[:whole]))


class SocketEncoder:
    """Generated mu-law in the session's output format. One for each response."""

    def __init__(self) -> None:
        self._resampler = _resampler(from_hz=SAMPLE_RATE_HZ, to_hz=AudioFormat.PCM.sample_rate_hz)

    def feed(self, ulaw: bytes, audio_format: AudioFormat) -> bytes:
        """The next piece of the stream."""
        match audio_format:
            case AudioFormat.PCMU:
                return ulaw
            case AudioFormat.PCMA:
                return pcmu_to_pcma(ulaw)
            case AudioFormat.PCM:
                return self._resampler.feed(decode_pcmu(ulaw))


def _resampler(*, from_hz: int, to_hz: int) -> Resampler:
    assert sys.byteorder == "little", "PCM on the wire is little-endian, and so are all supported machines"
    return Resampler(from_hz=from_hz, to_hz=to_hz)
