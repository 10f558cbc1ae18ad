"""The input audio buffer: the caller's sound on its way to becoming an item. No timers, no network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sipagent.audio.g711 import FRAME_BYTES, SAMPLE_RATE_HZ
from sipagent.simulator.session_config import TurnDetection
from sipagent.simulator.vad import EnergyVad, SpeechStarted, SpeechStopped

BYTES_PER_MS: Final = SAMPLE_RATE_HZ // 1000
SHORTEST_COMMIT_MS: Final = 100
"""Less than this cannot be committed by hand."""
_UNDECIDED_MS: Final = 40
"""Loud frames that passed before the one that made them speech; they belong to the turn, too."""
_LONGEST_BUFFER_BYTES: Final = SAMPLE_RATE_HZ * 600
"""Ten minutes. What is said beyond that in one turn is not kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """What the buffer held when it was committed."""

    audio: bytes
    """Mu-law; empty when the caller is virtual."""
    audio_ms: float


class InputAudio:
    """Collects the caller's audio and says where speech begins and ends.

    With ``turn_detection`` None nothing is judged: the buffer grows until it is committed or cleared.
    """

    def __init__(self, turn_detection: TurnDetection | None) -> None:
        self._turn_detection = turn_detection
        self._vad = _vad(turn_detection)
        self._vad_offset_ms = 0.0
        self._unframed = bytearray()
        self._buffer = bytearray()
        self._soundless_ms = 0.0
        self.position_ms = 0.0
        """How much audio has come in since the session began."""

    @property
    def speaking(self) -> bool:
        """Whether the caller's sound is speech at this moment."""
        return self._vad is not None and self._vad.speaking

    @property
    def buffered_ms(self) -> float:
        """How much a commit would take."""
        return len(self._buffer) / BYTES_PER_MS + self._soundless_ms

    def configure(self, turn_detection: TurnDetection | None) -> None:
        """Judge by other settings from now on.

        Settings that leave the judgement as it was do not disturb a turn in progress.
        """
        old, self._turn_detection = self._turn_detection, turn_detection
        if _judgement(old) != _judgement(turn_detection):
            self._vad = _vad(turn_detection)
            self._vad_offset_ms = self.position_ms

    def feed(self, ulaw: bytes) -> Iterator[SpeechStarted | SpeechStopped]:
        """Take in audio of any length; yields each change as it is found, to be acted on before going on.

        Positions count from the beginning of the session, whatever was reconfigured since.
        """
        if self._unframed or len(ulaw) != FRAME_BYTES:
            self._unframed += ulaw
            while len(self._unframed) >= FRAME_BYTES:
                frame = bytes(self._unframed[:FRAME_BYTES])
                del self._unframed[:FRAME_BYTES]
                yield from self._feed_frame(frame)
        else:
            yield from self._feed_frame(ulaw)

    def feed_soundless(self, length_ms: float) -> None:
        """Count speech of a virtual caller, which has a length and no sound."""
        self._soundless_ms += length_ms

    def take(self) -> Utterance:
        """Empty the buffer into an utterance."""
        utterance = Utterance(audio=bytes(self._buffer), audio_ms=self.buffered_ms)
        self.clear()
        return utterance

    def clear(self) -> None:
        """Forget what the buffer holds."""
        self._buffer.clear()
        self._soundless_ms = 0.0

    def _feed_frame(self, frame: bytes) -> Iterator[SpeechStarted | SpeechStopped]:
        self.position_ms += len(frame) / BYTES_PER_MS
        if len(self._buffer) < _LONGEST_BUFFER_BYTES:
            self._buffer += frame
        if self._vad is None or self._turn_detection is None:
            return
        change = self._vad.feed(frame)
        if change is None:
            if not self._vad.speaking:
                self._keep_last(self._turn_detection.prefix_padding_ms + _UNDECIDED_MS)
            return
        offset_ms = round(self._vad_offset_ms)
        match change:
            case SpeechStarted(audio_start_ms=position_ms):
                yield SpeechStarted(audio_start_ms=position_ms + offset_ms)
            case SpeechStopped(audio_end_ms=position_ms):
                yield SpeechStopped(audio_end_ms=position_ms + offset_ms)

    def _keep_last(self, length_ms: float) -> None:
        surplus = len(self._buffer) - int(length_ms * BYTES_PER_MS)
        if surplus > 0:
            del self._buffer[:surplus]


def _judgement(settings: TurnDetection | None) -> tuple[float, int, int] | None:
    if settings is None:
        return None
    return (settings.threshold, settings.prefix_padding_ms, settings.silence_duration_ms)


def _vad(settings: TurnDetection | None) -> EnergyVad | None:
    judgement = _judgement(settings)
    return None if judgement is None else EnergyVad(*judgement)
