"""A flag that tasks can wait for, small enough for a thousand sessions to have several."""

from __future__ import annotations

import asyncio


class Latch:
    """As `asyncio.Event`, of which an idle one weighs most of a kilobyte. For one event loop."""

    __slots__ = ("_set", "_waiters")

    def __init__(self, *, is_set: bool = False) -> None:
        self._set = is_set
        self._waiters: list[asyncio.Future[None]] | None = None

    def is_set(self) -> bool:
        """Whether nobody need wait."""
        return self._set

    def set(self) -> None:
        """Let everybody go on who waits, and whoever comes."""
        self._set = True
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    def clear(self) -> None:
        """Let wait whoever comes."""
        self._set = False

    async def wait(self) -> None:
        """Return once it is set, or was set meanwhile. Cancel-safe."""
        if self._set:
            return
        waiter = asyncio.get_running_loop().create_future()
        if self._waiters is None:
            self._waiters = []
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            waiting = self._waiters
            if waiting and waiter in waiting:
                waiting.remove(waiter)
