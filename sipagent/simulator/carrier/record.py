"""What happened in a call at a pretended carrier: moments, and every frame each side heard."""

from __future__ import annotations

import io
import wave
from collections.abc import Mapping
from dataclasses import dataclass, field

from sipagent.audio.g711 import FRAME_BYTES, FRAME_MS, PCMU_SILENCE, SAMPLE_RATE_HZ, decode_pcmu, rms_pcmu
from sipagent.simulator.phone.changes import Changes

_MAX_FRAMES = 3600 * 1000 // FRAME_MS
"""One hour; what comes later is not kept."""
_MAX_MOMENTS = 20_000
_FRAME_S = FRAME_MS / 1000
LOUD_RMS = 150
"""A frame louder than this has a voice or a tone in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Something that happened."""

    at_s: float
    """``loop.time()``."""
    what: str
    """``answered``, ``said``, ``digit``, ``error``, …"""
    leg: str
    """The identifier of the leg it happened to; "" for the carrier as a whole."""
    detail: Mapping[str, str] = field(default_factory=dict)


class Timeline:
    """The moments of one call, in order. Of more than 20,000 the later ones are not kept."""

    def __init__(self, changes: Changes) -> None:
        self.changes = changes
        """Announced with each moment."""
        self._moments: list[Moment] = []

    @property
    def moments(self) -> tuple[Moment, ...]:
        """All of them."""
        return tuple(self._moments)

    def note(self, at_s: float, what: str, leg: str = "", **detail: str) -> None:
        """Add a moment, and wake who waits."""
        if len(self._moments) < _MAX_MOMENTS:
            self._moments.append(Moment(at_s=at_s, what=what, leg=leg, detail=detail))
        self.changes.announce()

    def named(self, what: str) -> tuple[Moment, ...]:
        """The moments called ``what``."""
        return tuple(moment for moment in self._moments if moment.what == what)

    def __str__(self) -> str:
        start_s = self._moments[0].at_s if self._moments else 0.0
        return "\n".join(
            f"{moment.at_s - start_s:8.3f} {moment.leg[:10]:10} {moment.what} "
            + " ".join(f"{key}={value}" for key, value in moment.detail.items())
            for moment in self._moments
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HeardFrame:
    """One frame of mu-law at the moment it arrived."""

    at_s: float
    """``loop.time()``."""
    ulaw: bytes

    @property
    def is_loud(self) -> bool:
        """Whether there is something in it to be heard."""
        return rms_pcmu(self.ulaw) > LOUD_RMS


class Tape:
    """One direction of one leg, frame by frame; one hour of it."""

    def __init__(self) -> None:
        self._frames: list[HeardFrame] = []
        self._loud_frames = 0
        self._changes = Changes()

    @property
    def frames(self) -> tuple[HeardFrame, ...]:
        """Every frame, in the order of arrival."""
        return tuple(self._frames)

    def record(self, ulaw: bytes, at_s: float) -> None:
        """Add a frame that arrives now."""
        if len(self._frames) >= _MAX_FRAMES:
            return
        frame = HeardFrame(at_s=at_s, ulaw=ulaw)
        self._frames.append(frame)
        if frame.is_loud:
            self._loud_frames += 1
            self._changes.announce()

    async def until_loud(self, seconds: float) -> None:
        """Wait until so much of it can be heard in all. Safe to cancel."""
        await self._changes.until(lambda: self.loud_s >= seconds)

    def audio(self, since_s: float = 0.0, until_s: float = float("inf")) -> bytes:
        """The frames of a span of time, one behind the other, whatever lay between them."""
        return b"".join(frame.ulaw for frame in self._frames if since_s <= frame.at_s < until_s)

    def rms(self, since_s: float = 0.0, until_s: float = float("inf")) -> int:
        """Loudness of a span as root mean square on the 16-bit scale; 0 for nothing."""
        return rms_pcmu(self.audio(since_s, until_s))

    @property
    def loud_s(self) -> float:
        """How much of it can be heard, in seconds."""
        return self._loud_frames * _FRAME_S

    @property
    def last_loud_at_s(self) -> float | None:
        """When something was heard last; None for never."""
        return next((frame.at_s for frame in reversed(self._frames) if frame.is_loud), None)

    def aligned(self, start_s: float) -> bytes:
        """The sound on a time line that begins at ``start_s``: gaps are silence, bursts follow each other."""
        sound = bytearray()
        for frame in self._frames:
            due = round((frame.at_s - start_s) / _FRAME_S) * FRAME_BYTES
            # One frame of lateness is jitter and no gap.
            if due > len(sound) + FRAME_BYTES:
                sound += bytes([PCMU_SILENCE]) * (due - len(sound))
            if due >= 0:
                sound += frame.ulaw
        return bytes(sound)

    def wav(self) -> bytes:
        """An 8 kHz mono WAV from the first frame on, gaps as silence."""
        start_s = self._frames[0].at_s if self._frames else 0.0
        target = io.BytesIO()
        with wave.open(target, "wb") as writer:
            writer.setnchannels(1)
            writer.setsampwidth(2)
            writer.setframerate(SAMPLE_RATE_HZ)
            writer.writeframes(decode_pcmu(self.aligned(start_s)))
        return target.getvalue()
