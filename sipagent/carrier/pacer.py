"""One metronome for what all calls of a process say."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from types import TracebackType
from typing import Self

from sipagent.audio.pacing import PaceWheel

logger = logging.getLogger(__name__)

SLOTS = 10
"""Into so many moments the calls of a frame are spread: a few at once, and no wake-up for each."""


class Pacer:
    """Calls every function that takes part once in 20 ms, on absolute deadlines, by one timer.

    Use as a context manager; leaving it stops the beat. One function that raises is left out from then on,
    and reported to the log: no broken call silences another.
    """

    def __init__(self) -> None:
        self._wheel: PaceWheel[Callable[[], None]] = PaceWheel(slot_count=SLOTS)
        self._timer: asyncio.TimerHandle | None = None
        self._due_s = 0.0
        """When it runs out. Not every loop's timer can tell."""
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def __len__(self) -> int:
        return len(self._wheel)

    def add(self, beat: Callable[[], None]) -> None:
        """Call ``beat`` every 20 ms, the first time within that. Nothing happens where it takes part, or
        where the pacer is closed."""
        if self._closed:
            return
        self._wheel.add(beat, asyncio.get_running_loop().time())
        self._arm()

    def remove(self, beat: Callable[[], None]) -> None:
        """Call ``beat`` no more; nothing happens where it does not take part."""
        self._wheel.remove(beat)

    def _arm(self) -> None:
        due_s = self._wheel.next_due_s()
        if due_s is None:
            return
        if self._timer is not None:
            if self._due_s <= due_s:
                return
            self._timer.cancel()
        self._due_s = due_s
        self._timer = asyncio.get_running_loop().call_at(due_s, self._turn)

    def _turn(self) -> None:
        self._timer = None
        for beat in self._wheel.due(asyncio.get_running_loop().time()):
            if beat not in self._wheel:
                continue  # one before it has ended its call
            try:
                beat()
            except Exception:
                # The wall between calls.
                logger.exception("What a call has to say is not paced any more, by a defect of ours")
                self._wheel.remove(beat)
        self._arm()
