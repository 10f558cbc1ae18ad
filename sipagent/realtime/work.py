"""What runs beside a conversation, as tasks that end with it at the latest."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

logger = logging.getLogger(__name__)


class SessionWork:
    """The tasks of one session: its tools, its guardrails, what must be told to the server."""

    def __init__(self) -> None:
        self._runs: set[asyncio.Task[None]] = set()

    @property
    def running(self) -> frozenset[asyncio.Task[None]]:
        """What runs now."""
        return frozenset(self._runs)

    def start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run ``work`` beside the conversation."""
        run = asyncio.create_task(work, name=name)
        self._runs.add(run)
        run.add_done_callback(self._runs.discard)
        return run

    def cancel(self) -> frozenset[asyncio.Task[None]]:
        """Cancel everything but whoever calls, and say what that is. None of it has gone on yet."""
        runs = frozenset(run for run in self._runs if run is not asyncio.current_task())
        for run in runs:
            run.cancel()
        return runs

    @staticmethod
    async def ended(runs: frozenset[asyncio.Task[None]], grace_s: float) -> None:
        """Wait for what was cancelled: after ``grace_s`` seconds a task that does not let itself be cancelled
        is left to itself. Cancel-safe."""
        if runs:
            _, stubborn = await asyncio.wait(runs, timeout=grace_s)
            for run in stubborn:
                logger.warning("A task does not let itself be cancelled: %s", run.get_name())
