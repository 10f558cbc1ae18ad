"""How long the machine stood still: what is measured meanwhile says nothing about the code."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

LOOK_S = 0.005


@dataclass(slots=True)
class Standstill:
    """What was seen so far."""

    longest_s: float = 0.0
    """The longest time for which the event loop did not come to a timer that was due."""


@asynccontextmanager
async def standstill_watched() -> AsyncIterator[Standstill]:
    """Watch the event loop inside of the block."""
    seen = Standstill()
    loop = asyncio.get_running_loop()

    async def watch() -> None:
        while True:
            due = loop.time() + LOOK_S
            await asyncio.sleep(LOOK_S)
            seen.longest_s = max(seen.longest_s, loop.time() - due)

    watching = asyncio.create_task(watch(), name="standstill")
    try:
        yield seen
    finally:
        watching.cancel()
        await asyncio.wait([watching])
