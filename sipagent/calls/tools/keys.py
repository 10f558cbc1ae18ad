"""The keys that the caller pressed and nobody has read yet."""

from __future__ import annotations

import asyncio
from collections import deque

MOST_KEYS = 64
"""Beyond, further keys are dropped: nobody types so much ahead, and a stuck key must not fill the memory."""


class Keys:
    """A queue of keys with one reader."""

    def __init__(self) -> None:
        self._pressed: deque[str] = deque()
        self._some = asyncio.Event()

    @property
    def some(self) -> bool:
        """Whether there is a key to take."""
        return bool(self._pressed)

    def press(self, key: str) -> None:
        """The caller pressed ``key``."""
        if len(self._pressed) < MOST_KEYS:
            self._pressed.append(key)
            self._some.set()

    def forget(self) -> None:
        """What was pressed so far was meant for nobody."""
        self._pressed.clear()
        self._some.clear()

    def take(self) -> str | None:
        """The key pressed first, which leaves the queue; None when there is none."""
        if not self._pressed:
            return None
        key = self._pressed.popleft()
        if not self._pressed:
            self._some.clear()
        return key

    async def wait(self) -> None:
        """Return once there is a key to take. Cancel-safe: no key is lost."""
        await self._some.wait()
