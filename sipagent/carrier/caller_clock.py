"""When the caller said what came just now. Pure.

Audio comes late, never early: networks hold it up, and let go of several pieces at once. So the least delay
that was seen lately is taken for the delay of all, and the carrier's own count of time for the rest. Lately,
because no two clocks run alike: over an hour they part by a few tenths of a second.
"""

from __future__ import annotations

from sipagent.carrier.heard import BYTES_PER_S

WINDOW_S = 10.0
"""What counts as lately: at least that, at most twice that."""
HELD_UP_S = 30.0
"""What comes later than that, by the carrier's time, was not held up: its time stood still."""
PAUSE_S = 0.5
"""The same where what came is counted, and every pause is missing in the count."""


class CallerClock:
    """The clock of one caller, on ours."""

    def __init__(self) -> None:
        self._zero_at_s: float | None = None
        """When the carrier's time was 0."""
        self._least_s = 0.0
        """The same by the quickest piece of this window, and of the one before it."""
        self._least_before_s = 0.0
        self._window_ends_s = 0.0
        self._counted = 0
        self._told_ms: int | None = None
        """The carrier's time of the piece before."""
        self._tells = True
        """Whether the carrier's time goes on as it ought to."""

    def began_at(self, audio: bytes, timestamp_ms: int | None, now_s: float) -> float:
        """When the first sample of ``audio`` (G.711) was said that came at ``now_s``; ``timestamp_ms`` is the
        carrier's time of it, where it tells: else what came is counted."""
        if timestamp_ms is not None:
            if self._told_ms is not None and timestamp_ms <= self._told_ms and self._tells:
                # It stands still, or begins anew: no clock to go by.
                self._tells, self._zero_at_s = False, None
            self._told_ms = timestamp_ms
        length_s = len(audio) / BYTES_PER_S
        told = timestamp_ms is not None and self._tells
        own_s = timestamp_ms / 1000 if told and timestamp_ms is not None else self._counted / BYTES_PER_S
        self._counted += len(audio)
        zero_at_s = self._seen(now_s - length_s - own_s, HELD_UP_S if told else PAUSE_S, now_s)
        return zero_at_s + own_s

    def _seen(self, zero_at_s: float, most_late_s: float, now_s: float) -> float:
        """When the carrier's time was 0, now that a piece says that it was at ``zero_at_s``."""
        if self._zero_at_s is None or zero_at_s > self._zero_at_s + most_late_s:
            self._least_s = self._least_before_s = zero_at_s
            self._window_ends_s = now_s + WINDOW_S
        elif now_s >= self._window_ends_s:
            self._least_before_s, self._least_s = self._least_s, zero_at_s
            self._window_ends_s = now_s + WINDOW_S
        else:
            self._least_s = min(self._least_s, zero_at_s)
        self._zero_at_s = min(self._least_s, self._least_before_s)
        return self._zero_at_s
