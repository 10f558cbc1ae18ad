"""The output audio buffer of a phone call: what was generated and not yet heard.

Theory of operation. Generation runs ahead of playback, and a new response may begin while an old one still
sounds. The leg plays one burst at a time: the audio of one response. Later responses wait here until the
leg reports that the burst before them has been played out; so every start, stop and cut belongs to exactly
one response, and how much of each item was heard is known to the frame.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from sipagent.audio.g711 import SAMPLE_RATE_HZ
from sipagent.identifiers import ResponseId
from sipagent.simulator.items import Item
from sipagent.simulator.leg import CallLeg

_BYTES_PER_MS = SAMPLE_RATE_HZ / 1000
_STATIC = bytes((code * 167 + 13) % 256 for code in range(256))


@dataclass(slots=True, kw_only=True)
class _Burst:
    response_id: ResponseId
    parts: list[tuple[Item, int]] = field(default_factory=list)
    """Whose audio it is, in order, with the number of bytes."""
    waiting: list[bytes] = field(default_factory=list)
    """Audio the leg has not been given yet."""
    complete: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """An item whose end the caller did not hear."""

    item: Item
    heard_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleared:
    """What a clearing of the buffer cut off."""

    response_id: ResponseId
    """The response that was playing."""
    cuts: tuple[Cut, ...]


def as_static(ulaw: bytes) -> bytes:
    """What a caller hears whose session was given another audio format than the call has negotiated: noise
    in the rhythm of speech, as users of the real service report."""
    return ulaw.translate(_STATIC)


class OutputAudio:
    """Feeds the leg. ``started`` and ``stopped`` are told the response whose playback began or ended."""

    def __init__(
        self,
        leg: CallLeg,
        *,
        started: Callable[[ResponseId], None],
        stopped: Callable[[ResponseId], None],
    ) -> None:
        self._leg = leg
        self._started = started
        self._stopped = stopped
        self._playing: _Burst | None = None
        self._queue: deque[_Burst] = deque()

    @property
    def is_playing(self) -> bool:
        """Whether anything is being played or waits to be."""
        return self._playing is not None or bool(self._queue)

    def add(self, response_id: ResponseId, item: Item, ulaw: bytes) -> None:
        """Queue audio of ``item`` behind everything queued before."""
        if not ulaw:
            return
        burst = self._open_burst(response_id)
        if burst.parts and burst.parts[-1][0] is item:
            burst.parts[-1] = (item, burst.parts[-1][1] + len(ulaw))
        else:
            burst.parts.append((item, len(ulaw)))
        if burst is self._playing:
            self._leg.play(ulaw)
        else:
            burst.waiting.append(ulaw)
            self._play_next()

    def complete(self, response_id: ResponseId) -> None:
        """No more audio of this response comes; what is queued plays on."""
        for burst in (self._playing, *self._queue):
            if burst is not None and burst.response_id == response_id and not burst.complete:
                burst.complete = True
                if burst is self._playing:
                    self._leg.finish_playing()

    def clear(self) -> Cleared | None:
        """Drop everything at once; None when there was nothing. No playback is reported stopped for it."""
        if self._playing is None:
            assert not self._queue, "a burst waits although nothing plays"
            return None
        heard_ms = self._leg.clear_playback()
        cuts: list[Cut] = []
        for burst in (self._playing, *self._queue):
            for item, byte_count in burst.parts:
                length_ms = byte_count / _BYTES_PER_MS
                if heard_ms < length_ms:
                    cuts.append(Cut(item=item, heard_ms=max(0.0, heard_ms)))
                heard_ms -= length_ms
        cleared = Cleared(response_id=self._playing.response_id, cuts=tuple(cuts))
        self._playing = None
        self._queue.clear()
        return cleared

    def playback_started(self) -> None:
        """The leg sends the first byte of a burst."""
        if self._playing is not None:
            self._started(self._playing.response_id)

    def playback_stopped(self) -> None:
        """The leg has played a burst out."""
        if self._playing is None:
            # The leg may report an end that crossed with a clearing.
            return
        response_id = self._playing.response_id
        self._playing = None
        self._stopped(response_id)
        self._play_next()

    def _open_burst(self, response_id: ResponseId) -> _Burst:
        for burst in (self._playing, *self._queue):
            if burst is not None and burst.response_id == response_id and not burst.complete:
                return burst
        burst = _Burst(response_id=response_id)
        self._queue.append(burst)
        return burst

    def _play_next(self) -> None:
        if self._playing is not None or not self._queue:
            return
        burst = self._playing = self._queue.popleft()
        for ulaw in burst.waiting:
            self._leg.play(ulaw)
        burst.waiting.clear()
        if burst.complete:
            self._leg.finish_playing()
