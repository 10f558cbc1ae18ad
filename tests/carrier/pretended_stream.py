"""A carrier's audio socket in memory: plays what it gets in real time, and knows what was heard and when."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from sipagent.carrier.stream import (
    CallerAudio,
    CallerDigit,
    MarkPlayed,
    StreamEvent,
    StreamFormat,
    StreamStart,
    StreamStopped,
)


@dataclass(slots=True)
class Sound:
    """Audio that plays, or will."""

    begins_at: float
    audio: bytes

    def heard(self, at: float, bytes_per_s: float) -> bytes:
        """What of it was heard by ``at``."""
        return self.audio[: max(0, round((at - self.begins_at) * bytes_per_s))]


class PretendedStream:
    """See `sipagent.carrier.stream.MediaStream`. Everything takes ``way_s`` there, and ``way_s`` back."""

    def __init__(
        self,
        *,
        way_s: float = 0.0,
        confirms: bool = True,
        lead_ms: int = 300,
        hears: StreamFormat | None = None,
        plays: StreamFormat | None = None,
        late_s: float = 0.0,
        jitter_s: float = 0.0,
    ) -> None:
        """``late_s``: it holds the first of each sound back for so long, as a buffer against jitter does.
        ``jitter_s``: each way takes up to so much longer."""
        self.start = StreamStart(
            stream_id="MZ1",
            carrier_call_id="CA1",
            hears=hears or StreamFormat(),
            plays=plays or StreamFormat(),
        )
        self.confirms = confirms
        self.lead_ms = lead_ms
        self.can_send = True
        self.sounds: list[Sound] = []
        self.arrivals: list[tuple[float, int]] = []
        """When audio came, and how much."""
        self.clears: list[float] = []
        self.marks_confirmed = 0
        self.mute_marks = False
        """Marks are not confirmed."""
        self.last_mark = ""
        self.closed = asyncio.Event()
        self._way_s = way_s
        self._jitter_s = jitter_s
        self._chance = random.Random(5)
        self._there_at = self._back_at = 0.0
        self._under_way: deque[tuple[Callable[..., None], tuple[object, ...]]] = deque()
        self._late_s = late_s
        self._loop = asyncio.get_running_loop()
        self._dry_at = 0.0
        self._pending: dict[str, asyncio.TimerHandle] = {}
        self._hear: Callable[[StreamEvent], None] | None = None
        plays = self.start.plays
        self._bytes_per_s = plays.rate_hz * (2 if plays.encoding == "pcm16" else 1)

    # What a test does --------------------------------------------------------------------------------

    def say(self, event: StreamEvent) -> None:
        """Something comes from the carrier, at once."""
        assert self._hear is not None, "somebody listens"
        self._hear(event)

    def speak(self, audio: bytes, timestamp_ms: int | None = None) -> None:
        """The caller says something."""
        self.say(CallerAudio(audio=audio, timestamp_ms=timestamp_ms))

    def press(self, digit: str) -> None:
        """The caller presses a key."""
        self.say(CallerDigit(digit=digit))

    def stop(self) -> None:
        """The caller hangs up."""
        self.say(StreamStopped(reason="stopped"))

    @property
    def heard(self) -> bytes:
        """Everything that the caller has heard until now, without the silence in between."""
        return b"".join(sound.heard(self._loop.time(), self._bytes_per_s) for sound in self.sounds)

    @property
    def ahead_s(self) -> float:
        """How much the carrier holds that it has not played."""
        return max(0.0, self._dry_at - self._loop.time())

    # MediaStream -------------------------------------------------------------------------------------

    def listen(self, hear: Callable[[StreamEvent], None]) -> None:
        self._hear = hear

    def send_audio(self, audio: bytes) -> None:
        self._later(self._arrived, audio)

    def send_mark(self, name: str) -> None:
        self.last_mark = name
        self._later(self._marked, name)

    def clear(self) -> None:
        self._later(self._cleared)

    async def close(self) -> None:
        if not self.closed.is_set():
            self.closed.set()
            if self._hear is not None:
                self._hear(StreamStopped(reason="closed"))

    # Inside ------------------------------------------------------------------------------------------

    def _later(self, what: Callable[..., None], *arguments: object) -> None:
        if not self._way_s:
            what(*arguments)
            return
        if self._jitter_s:
            self._later_or_sooner(what, *arguments)
            return
        # Timers of one moment run in no certain order.
        self._under_way.append((what, arguments))
        self._loop.call_later(self._way_s, self._arrives)

    def _later_or_sooner(self, what: Callable[..., None], *arguments: object) -> None:
        at = self._loop.time() + self._way_s + self._chance.random() * self._jitter_s
        if what == self._confirm:
            at = self._back_at = max(at, self._back_at + 1e-6)  # nothing overtakes what went before it
        else:
            at = self._there_at = max(at, self._there_at + 1e-6)
        self._loop.call_at(at, what, *arguments)

    def _arrives(self) -> None:
        what, arguments = self._under_way.popleft()
        what(*arguments)

    def _arrived(self, audio: bytes) -> None:
        now = self._loop.time()
        self.arrivals.append((now, len(audio)))
        begins_at = self._dry_at if self._dry_at >= now else now + self._late_s
        self.sounds.append(Sound(begins_at, audio))
        self._dry_at = begins_at + len(audio) / self._bytes_per_s

    def _marked(self, name: str) -> None:
        at = max(self._loop.time(), self._dry_at)
        self._pending[name] = self._loop.call_at(at, self._passed, name)

    def _passed(self, name: str) -> None:
        self._pending.pop(name).cancel()
        if not self.mute_marks:
            self.marks_confirmed += 1
            self._later(self._confirm, name)

    def _confirm(self, name: str) -> None:
        if self._hear is not None:
            self._hear(MarkPlayed(name=name))

    def _cleared(self) -> None:
        now = self._loop.time()
        self.clears.append(now)
        for sound in self.sounds:
            sound.audio = sound.heard(now, self._bytes_per_s)
        self.sounds = [sound for sound in self.sounds if sound.audio]
        self._dry_at = min(self._dry_at, now)
        for name in tuple(self._pending):
            self._passed(name)
