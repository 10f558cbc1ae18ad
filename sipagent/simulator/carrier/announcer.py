"""Sounds the carrier itself makes: its voice, files, ringing, music while waiting."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable

from sipagent.audio.g711 import FRAME_BYTES, PCMU_SILENCE, SAMPLE_RATE_HZ, encode_pcmu
from sipagent.audio.pcm import audioop
from sipagent.simulator.carrier.leg import Leg
from sipagent.simulator.rtp import Pacer

_LOUDNESS = 4000


class Announcer:
    """Plays sounds into legs at the pace of a telephone."""

    def __init__(self, pacer: Pacer) -> None:
        self._pacer = pacer
        self._ringing = ringing_tone()
        self._music = waiting_music()

    async def play(self, leg: Leg, ulaw: bytes) -> None:
        """Play all of ``ulaw``; returns when the last frame is out. Cancelling stops at once."""
        frames = deque(_frames(ulaw))
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def beat() -> None:
            if frames:
                leg.play(frames.popleft())
            elif not done.done():
                done.set_result(None)

        self._pacer.add(beat)
        try:
            await done
        finally:
            self._pacer.remove(beat)

    def ringing(self, leg: Leg) -> Callable[[], None]:
        """Let ``leg`` hear that it rings elsewhere, until the function returned is called."""
        return self._repeat(leg, self._ringing)

    def music(self, leg: Leg) -> Callable[[], None]:
        """Let ``leg`` hear music, until the function returned is called."""
        return self._repeat(leg, self._music)

    def _repeat(self, leg: Leg, ulaw: bytes) -> Callable[[], None]:
        frames = deque(_frames(ulaw))

        def beat() -> None:
            leg.play(frames[0])
            frames.rotate(-1)

        self._pacer.add(beat)
        return lambda: self._pacer.remove(beat)


def ringing_tone() -> bytes:
    """Two seconds of North American ringing and four of silence."""
    return tone((440, 480), seconds=2) + bytes([PCMU_SILENCE]) * (4 * SAMPLE_RATE_HZ)


def waiting_music() -> bytes:
    """A few quiet notes."""
    return b"".join(tone((hertz,), seconds=0.5) for hertz in (262, 330, 392, 330))


def tone(hertz: tuple[int, ...], *, seconds: float) -> bytes:
    """Sine waves together, as mu-law."""
    mixed = b""
    for frequency in hertz:
        step = 2 * math.pi * frequency / SAMPLE_RATE_HZ
        samples = [round(_LOUDNESS * math.sin(step * n)) for n in range(round(seconds * SAMPLE_RATE_HZ))]
        pcm = b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples)
        mixed = audioop.add(mixed, pcm, 2) if mixed else pcm
    return encode_pcmu(mixed)


def _frames(ulaw: bytes) -> list[bytes]:
    return [
        ulaw[start : start + FRAME_BYTES].ljust(FRAME_BYTES, bytes([PCMU_SILENCE]))
        for start in range(0, len(ulaw), FRAME_BYTES)
    ]
