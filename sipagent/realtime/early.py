"""A socket that is on its way before its session is there.

The way to the server takes several round trips (name, TCP, TLS) that have nothing to do with the session. So
they are made while the call is being accepted; what is left after that is the WebSocket's own handshake.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from sipagent.errors import AttachNotFoundError
from sipagent.realtime.connection import Hold, Socket

BUSY_S = 0.005
"""When a task begins that late, there is a burst of calls: their accepts come before what is early."""


class EarlySocket:
    """Begins to connect at once, in a task of its own; `take` or `close` ends that."""

    def __init__(
        self, opening: Callable[[Hold], Coroutine[Any, Any, Socket]], *, busy_s: float = BUSY_S
    ) -> None:
        """``opening`` opens a socket, and waits for what it is given before the handshake. It is not asked
        where the event loop comes to it later than after ``busy_s``."""
        self._may_shake_hands = asyncio.Event()
        began_at = asyncio.get_running_loop().time()
        self._task = asyncio.create_task(
            self._open(opening, began_at + busy_s), name="realtime socket: connecting early"
        )

    async def _open(
        self, opening: Callable[[Hold], Coroutine[Any, Any, Socket]], until: float
    ) -> Socket | None:
        if asyncio.get_running_loop().time() > until:
            return None
        return await opening(self._may_shake_hands.wait)

    async def take(self) -> Socket | None:
        """Shake hands now that the session is there; None where that was not begun or did not work, and
        trying anew tells why.

        Raises `AttachNotFoundError`. Cancel-safe: nothing stays open.
        """
        self._may_shake_hands.set()
        try:
            return await self._task
        except AttachNotFoundError:
            raise
        except asyncio.CancelledError:
            await self.close()
            raise
        except Exception:  # noqa: BLE001 - the function that gives the key is the user's
            return None

    async def close(self) -> None:
        """It is not needed any more. Cancel-safe."""
        self._task.cancel()
        await asyncio.wait([self._task])
        if self._task.cancelled() or self._task.exception() is not None:
            return
        if (socket := self._task.result()) is not None:
            await socket.close()
