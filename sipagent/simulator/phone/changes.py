"""Waiting: for a condition, and for a task to end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Changes:
    """Announces that something changed, so that whoever waits looks again."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def announce(self) -> None:
        """Wake everybody who waits."""
        # They are woken even though the event is cleared before they run.
        self._changed.set()
        self._changed.clear()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until ``condition`` holds, looked at now and after each announcement. Safe to cancel."""
        while not condition():
            await self._changed.wait()


async def end_task(task: asyncio.Task[None] | None) -> None:
    """Cancel a task and wait until it has ended; an exception that was its end is raised here."""
    if task is None:
        return
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error
