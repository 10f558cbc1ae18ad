"""Delayed calls that end with their owner."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Timers:
    """Calls functions later, on the running loop, unless `cancel_all` comes first."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._pending: set[asyncio.TimerHandle] = set()

    def later(self, delay_s: float, call: Callable[[], None]) -> asyncio.TimerHandle:
        """Call ``call`` after ``delay_s``; the handle may be cancelled before."""

        def run() -> None:
            self._pending.discard(handle)
            call()

        handle = self._loop.call_later(delay_s, run)
        self._pending.add(handle)
        return handle

    def cancel(self, handle: asyncio.TimerHandle | None) -> None:
        """Forget a call that was asked for; None and calls already made are fine."""
        if handle is not None:
            handle.cancel()
            self._pending.discard(handle)

    def cancel_all(self) -> None:
        """Forget every call not made yet."""
        for handle in self._pending:
            handle.cancel()
        self._pending.clear()
