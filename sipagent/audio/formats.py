"""How long a number of bytes lasts, for every spelling of an audio format the Realtime API knows.

A format that is no G.711 counts as 16-bit PCM at 24 kHz, the API's default, so that an absent or unknown
format has a defined length too.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

_PCMU_NAMES = frozenset({"g711_ulaw", "audio/pcmu", "pcmu"})
_PCMA_NAMES = frozenset({"g711_alaw", "audio/pcma", "pcma"})


class AudioFormat(StrEnum):
    """The audio formats of the Realtime API, by their present names."""

    PCMU = "audio/pcmu"
    """G.711 mu-law, 8 kHz."""
    PCMA = "audio/pcma"
    """G.711 A-law, 8 kHz."""
    PCM = "audio/pcm"
    """Signed 16-bit little-endian, mono, 24 kHz."""

    @property
    def sample_rate_hz(self) -> int:
        """Samples a second."""
        return 24000 if self is AudioFormat.PCM else 8000

    @property
    def sample_bytes(self) -> int:
        """Bytes of one sample."""
        return 2 if self is AudioFormat.PCM else 1

    @property
    def bytes_per_second(self) -> int:
        """Bytes of one second."""
        return self.sample_rate_hz * self.sample_bytes


def audio_format(spelling: object) -> AudioFormat:
    """The format meant by ``spelling``: a name in any case, a mapping or an object with ``type``, or None.

    Whatever starts with ``g711`` is G.711 (mu-law unless it says A-law); anything else unknown is PCM.
    """
    if isinstance(spelling, Mapping):
        spelling = spelling.get("type")
    elif not isinstance(spelling, str):
        # The API's own typed formats (`openai.types.realtime`) carry the name in an attribute.
        spelling = getattr(spelling, "type", None)
    if not isinstance(spelling, str):
        return AudioFormat.PCM
    name = spelling.strip().lower()
    if name in _PCMA_NAMES:
        return AudioFormat.PCMA
    if name in _PCMU_NAMES or name.startswith("g711"):
        return AudioFormat.PCMU
    return AudioFormat.PCM


def bytes_to_ms(byte_count: int, spelling: object) -> float:
    """Milliseconds that ``byte_count`` bytes last; a part of a sample counts as that part."""
    return byte_count * 1000 / audio_format(spelling).bytes_per_second
