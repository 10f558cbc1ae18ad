"""When the caller said what came just now. Pure.

Audio comes late, never early: networks hold it up, and let go of several pieces at once. So the least delay
that was ever seen is taken for the delay of all, and the carrier's own count of time for the rest.
"""

from __future__ import annotations

from sipagent.carrier.heard import BYTES_PER_S

OTHER_CLOCK_S = 0.5
"""What comes later than that was not held up: the carrier's time stood still, or there was a pause."""


class CallerClock:
    """The clock of one caller, on ours."""

    def __init__(self) -> None:
        self._zero_at_s: float | None = None
        """When the carrier's time was 0."""
        self._counted = 0

    def began_at(self, audio: bytes, timestamp_ms: int | None, now_s: float) -> float:
        """When the first sample of ``audio`` (G.711) was said that came at ``now_s``; ``timestamp_ms`` is the
        carrier's time of it, where it tells: else what came is counted."""
        length_s = len(audio) / BYTES_PER_S
        own_s = self._counted / BYTES_PER_S if timestamp_ms is None else timestamp_ms / 1000
        self._counted += len(audio)
        zero_at_s = now_s - length_s - own_s
        if (
            self._zero_at_s is None
            or zero_at_s < self._zero_at_s
            or zero_at_s > self._zero_at_s + OTHER_CLOCK_S
        ):
            self._zero_at_s = zero_at_s
        return self._zero_at_s + own_s
