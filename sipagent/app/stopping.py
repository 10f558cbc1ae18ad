"""Serving until somebody stops the process, and what signals mean meanwhile."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable


async def serve_until(
    stop: asyncio.Event, *, drain: Callable[[], Awaitable[object]], reload: Callable[[], None] | None
) -> None:
    """Return once ``stop`` is set, or SIGTERM or SIGINT has come, and ``drain`` has ended.

    A second signal ends the drain at once. SIGHUP calls ``reload``, where there is something to read again.
    Cancelled while it drains, it ends the drain too.
    """
    loop = asyncio.get_running_loop()
    hurry = asyncio.Event()

    def stop_or_hurry() -> None:
        (hurry if stop.is_set() else stop).set()

    signals = [signal.SIGTERM, signal.SIGINT]
    for number in signals:
        loop.add_signal_handler(number, stop_or_hurry)
    if reload is not None:
        signals.append(signal.SIGHUP)
        loop.add_signal_handler(signal.SIGHUP, reload)
    try:
        await stop.wait()
        await _until_done_or(hurry, drain)
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


async def _until_done_or(hurry: asyncio.Event, drain: Callable[[], Awaitable[object]]) -> None:
    draining = asyncio.ensure_future(drain())
    hurried = asyncio.ensure_future(hurry.wait())
    try:
        await asyncio.wait({draining, hurried}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (draining, hurried):
            task.cancel()
        await asyncio.wait({draining, hurried})
