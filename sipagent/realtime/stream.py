"""A queue of events with an end and a mark: what is queued is read before the end is seen, and whoever writes
beyond the mark is told to wait."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, Self, TypeVar

from sipagent.realtime.latch import Latch

T = TypeVar("T")


class EventStream(Generic[T]):
    """Written by a few tasks, read by one. A full stream makes its writers wait; an ended one drops.

    A writer waits with `room` after it has written: by then whoever reads may need what was written to make
    room. So a stream holds what each of its writers wrote last beyond its capacity, and no more.
    """

    __slots__ = ("_capacity", "_ended", "_reader", "_somebody_waits", "_waiting", "_writable", "was_read")

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._waiting: deque[T] = deque()
        self._ended = False
        self.was_read = False
        """Whether anybody has ever begun to read."""
        self._reader: asyncio.Future[None] | None = None
        """Present while somebody waits for an event that has not come."""
        self._writable = Latch(is_set=True)
        self._somebody_waits = False
        """For room."""

    @property
    def has_room(self) -> bool:
        """Whether `room` would return at once."""
        return len(self._waiting) < self._capacity

    async def room(self) -> None:
        """Return once there is room, or nothing is written any more. Cancel-safe."""
        while len(self._waiting) >= self._capacity and not self._ended:
            self._somebody_waits = True
            self._writable.clear()
            await self._writable.wait()

    async def put(self, event: T) -> None:
        """Queue ``event``, then wait until there is room; nothing happens after the end.

        Cancel-safe: queued is queued.
        """
        self.put_at_once(event)
        await self.room()

    def put_at_once(self, event: T) -> None:
        """Queue ``event``. Nothing happens after the end."""
        if not self._ended:
            self._waiting.append(event)
            if self._reader is not None:
                self._wake()

    def offer(self, event: T) -> bool:
        """Queue ``event`` if there is room, or drop it after the end; False when there is no room."""
        waiting = self._waiting
        if len(waiting) >= self._capacity:
            return False
        if not self._ended:
            waiting.append(event)
            if (reader := self._reader) is not None:
                # As `_wake`: this is most of what a call does, and a call less is worth it.
                self._reader = None
                if not reader.done():
                    reader.set_result(None)
        return True

    def end(self) -> None:
        """Nothing follows what is queued. Idempotent."""
        self._ended = True
        self._wake()
        self._writable.set()

    def __aiter__(self) -> Self:
        self.was_read = True
        return self

    async def __anext__(self) -> T:
        """The next event, in order; ends behind the last one. Cancelling loses none."""
        waiting = self._waiting
        while not waiting:
            if self._ended:
                raise StopAsyncIteration
            reader: asyncio.Future[None] = asyncio.Future(loop=asyncio.get_running_loop())
            self._reader = reader
            try:
                await reader
            finally:
                if self._reader is reader:
                    self._reader = None
        event = waiting.popleft()
        if self._somebody_waits and len(waiting) < self._capacity:
            self._somebody_waits = False
            self._writable.set()
        return event

    def _wake(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None and not reader.done():
            reader.set_result(None)
