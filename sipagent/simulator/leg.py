"""The telephone side of one simulated call, as the rest of the simulator sees it.

Two implementations exist: a real SIP dialog with RTP (`sipagent.simulator.sip.leg`), and a virtual one
without any network (`sipagent.simulator.virtual`). All audio here is PCMU (G.711 mu-law, 8,000 bytes a
second) whatever the codec on the wire is. All methods run on the event loop's thread; a listener's methods
return quickly and never raise.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class LegEnd(StrEnum):
    """How the caller's side ended."""

    CANCELLED = "cancelled"
    """The caller gave up before the answer (CANCEL)."""
    HUNG_UP = "hung_up"
    """The caller sent BYE."""
    MEDIA_TIMEOUT = "media_timeout"
    """No audio came for too long."""
    ACK_TIMEOUT = "ack_timeout"
    """Our answer was never acknowledged (RFC 3261 section 13.3.1.4)."""
    FAILED = "failed"
    """The transport broke."""


class LegListener(Protocol):
    """Hears what the caller does. Set once, before `CallLeg.ring`."""

    def caller_audio(self, ulaw: bytes) -> None:
        """20 ms (160 bytes) of the caller's audio, in order, gaps filled with silence."""

    def caller_speech_started(self) -> None:
        """A virtual caller begins to speak (real audio is judged by the VAD instead)."""

    def caller_speech_stopped(self, transcript: str) -> None:
        """A virtual caller has said ``transcript``."""

    def caller_digit(self, digit: str) -> None:
        """The caller pressed one of ``0-9*#A-D``."""

    def caller_ended(self, end: LegEnd) -> None:
        """The caller's side is over; called at most once, never after `CallLeg.hang_up` returned."""

    def playback_started(self) -> None:
        """The first byte of what `CallLeg.play` queued is going out; once per burst of playing."""

    def playback_stopped(self) -> None:
        """The queue ran empty after `CallLeg.finish_playing`; never after `CallLeg.clear_playback`."""

    def refer_progress(self, status: int) -> None:
        """A NOTIFY reported the SIP status of the transferred call (RFC 3515 section 2.4.5)."""


class CallLeg(Protocol):
    """One caller."""

    @property
    def sip_headers(self) -> tuple[tuple[str, str], ...]:
        """All headers of the INVITE, in order, repeats kept, names as they were written."""

    @property
    def media_security(self) -> str:
        """``rtp`` or ``srtp``, as negotiated."""

    def listen(self, listener: LegListener) -> None:
        """Set the one listener."""

    def ring(self) -> None:
        """Send 180 Ringing."""

    def answer(self) -> None:
        """Send 200 with our session description; media flows from now on."""

    def reject(self, status: int) -> None:
        """Refuse the call with a final SIP status (300-699)."""

    def hang_up(self) -> None:
        """End an answered call (BYE). Does nothing when the call is over."""

    async def refer(self, target_uri: str) -> int:
        """Ask the caller's side to call ``target_uri`` (REFER, RFC 3515).

        Returns the SIP status of the answer to the REFER itself (202 is yes); 408 when none came.
        Progress arrives by `LegListener.refer_progress`.
        """

    def play(self, ulaw: bytes) -> None:
        """Queue audio for the caller behind what is queued already."""

    def finish_playing(self) -> None:
        """No more audio comes for this burst: report `LegListener.playback_stopped` once all was sent."""

    def clear_playback(self) -> float:
        """Drop everything queued at once; returns how many milliseconds of this burst had been sent."""

    def set_send_faults(self, *, stalled: bool) -> None:
        """Stop (or resume) sending RTP, for the fault menu."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LegStatistics:
    """What came in and went out, for reports and assertions."""

    frames_sent: int
    frames_received: int
    frames_lost: int
    jitter_ms: float
    digits: str
