"""What a phone's user hears: whose turn it is, and a recording of both sides. Pure."""

from __future__ import annotations

from sipagent.audio.g711 import PCMU_SILENCE, SAMPLE_RATE_HZ
from sipagent.simulator.vad import EnergyVad, SpeechStarted, SpeechStopped
from sipagent.simulator.wav import StereoRecording

_THRESHOLD = 0.4
_MAX_RECORDED_BYTES = SAMPLE_RATE_HZ * 3600
"""One hour of each side; what comes later is not recorded."""


class Ears:
    """Counts the turns of the other side.

    A turn has ended when nothing was heard for ``turn_gap_ms``.
    """

    def __init__(self, *, turn_gap_ms: int) -> None:
        self._vad = EnergyVad(_THRESHOLD, prefix_padding_ms=0, silence_duration_ms=turn_gap_ms)
        self._answered = 0
        self.turns_begun = 0
        self.turns_finished = 0

    @property
    def hears_speech(self) -> bool:
        """Whether the other side is in the middle of a turn."""
        return self.turns_begun > self.turns_finished

    @property
    def may_speak(self) -> bool:
        """Whether the other side has finished a turn that was not answered yet."""
        return self.turns_finished > self._answered and not self.hears_speech

    def hear(self, ulaw: bytes) -> bool:
        """Listen to one frame; True when a turn began or ended with it."""
        match self._vad.feed(ulaw):
            case SpeechStarted():
                self.turns_begun += 1
                return True
            case SpeechStopped():
                self.turns_finished += 1
                return True
            case None:
                return False

    def answered(self) -> None:
        """We have said something: everything heard so far is answered, a turn still running included."""
        self._answered = self.turns_begun


class CallTape:
    """Both sides from the moment the call was answered, on one time line."""

    def __init__(self) -> None:
        self._said = bytearray()
        self._heard = bytearray()

    def record_said(self, ulaw: bytes) -> None:
        """One frame that went out. Frames go out at an even pace, so this side is the clock."""
        if len(self._said) < _MAX_RECORDED_BYTES:
            self._said += ulaw

    def record_heard(self, ulaw: bytes) -> None:
        """One frame that came in; it is placed no earlier than now."""
        if not self._heard:
            self._heard += bytes([PCMU_SILENCE]) * len(self._said)
        if len(self._heard) < _MAX_RECORDED_BYTES:
            self._heard += ulaw

    def recording(self) -> StereoRecording:
        """What was said on the left, what was heard on the right."""
        return StereoRecording(left=bytes(self._said), right=bytes(self._heard))
