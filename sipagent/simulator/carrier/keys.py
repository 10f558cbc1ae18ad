"""Collecting the keys that somebody presses."""

from __future__ import annotations

import asyncio

from sipagent.simulator.carrier.leg import Leg


class KeyCollector:
    """Keys of one leg, until there are enough of them, the finishing one comes, or none for too long."""

    def __init__(self, leg: Leg, *, digits: int | None, finish_on_key: str) -> None:
        """``digits``: how many are enough; None for any number."""
        self.digits = ""
        self.finished = False
        self._wanted = digits
        self._finish_on_key = finish_on_key
        self._leg = leg

    @property
    def begun(self) -> bool:
        """Whether a key came."""
        return bool(self.digits) or self.finished

    def press(self, digit: str) -> None:
        """A key came."""
        if self.finished:
            return
        if digit == self._finish_on_key:
            self.finished = True
        else:
            self.digits += digit
            self.finished = len(self.digits) == self._wanted
        self._leg.timeline.changes.announce()

    async def complete(self, timeout_s: float) -> None:
        """Wait for the last key; each has ``timeout_s``. Safe to cancel."""
        while not self.finished:
            before = len(self.digits)
            try:
                async with asyncio.timeout(timeout_s):
                    await self._leg.timeline.changes.until(
                        lambda: self.finished or len(self.digits) > before  # noqa: B023 - used at once
                    )
            except TimeoutError:
                return
