"""What a conversation asks of a voice, and the one voice that needs no sound."""

from __future__ import annotations

from typing import Final, Protocol

from sipagent.audio.g711 import PCMU_SILENCE, SAMPLE_RATE_HZ

_MS_PER_CHARACTER: Final = 65
"""About the pace of an unhurried speaker."""
_SHORTEST_MS: Final = 400
_LONGEST_MS: Final = 20_000


class VoiceLike(Protocol):
    """Turns words into sound."""

    async def speak(self, text: str) -> bytes:
        """``text`` as mu-law audio, 8,000 bytes a second. Cancel safe."""


class SilentVoice:
    """Says everything with silence of about the right length; for calls that nobody listens to."""

    def __init__(self, *, ms_per_character: float = _MS_PER_CHARACTER) -> None:
        self._ms_per_character = ms_per_character

    async def speak(self, text: str) -> bytes:
        """Silence as long as ``text`` would take, between 0.4 and 20 seconds at the usual pace."""
        share = self._ms_per_character / _MS_PER_CHARACTER
        length_ms = min(max(len(text) * _MS_PER_CHARACTER, _SHORTEST_MS), _LONGEST_MS) * share
        return bytes([PCMU_SILENCE]) * int(length_ms * SAMPLE_RATE_HZ / 1000)
