"""Notices when nobody has said anything for too long (``idle_timeout_ms``)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sipagent.simulator.session_config import SessionConfig
from sipagent.simulator.timers import Timers


class SilenceWatch:
    """Calls ``timed_out`` with the position, in milliseconds of the caller's audio, where silence began."""

    def __init__(self, config: SessionConfig, *, timers: Timers, timed_out: Callable[[int], None]) -> None:
        self._config = config
        self._timers = timers
        self._timed_out = timed_out
        self._timer: asyncio.TimerHandle | None = None

    @property
    def due_at_s(self) -> float | None:
        """When, on the loop's clock, the silence will have lasted too long; None while nobody watches."""
        return None if self._timer is None else self._timer.when()

    def start(self, *, position_ms: int, unplayed_s: float) -> None:
        """The agent has finished at ``position_ms``; a client that plays audio itself needs ``unplayed_s``
        more. Watches from then on, if the session wants it."""
        self.stop()
        turns = self._config.turn_detection
        if turns is None or turns.idle_timeout_ms is None:
            return
        since_ms = position_ms + round(unplayed_s * 1000)
        delay_s = unplayed_s + turns.idle_timeout_ms / 1000
        self._timer = self._timers.later(delay_s, lambda: self._fire(since_ms))

    def stop(self) -> None:
        """Somebody speaks, or is about to."""
        self._timers.cancel(self._timer)
        self._timer = None

    def _fire(self, since_ms: int) -> None:
        self._timer = None
        self._timed_out(since_ms)
