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


class EarlySocket:
    """Begins to connect at once, in a task of its own; `take` or `close` ends that."""

    def __init__(self, opening: Callable[[Hold], Coroutine[Any, Any, Socket]]) -> None:
        """``opening`` opens a socket, and waits for what it is given before the handshake."""
        self._may_shake_hands = asyncio.Event()
        self._task = asyncio.create_task(
            opening(self._may_shake_hands.wait), name="realtime socket: connecting early"
        )

    async def take(self) -> Socket | None:
        """Shake hands now that the session is there; None where that did not work, and trying anew tells why.

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
        if not self._task.cancelled() and self._task.exception() is None:
            await self._task.result().close()
