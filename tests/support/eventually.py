"""Waiting for what nobody announces: another process, another side of a wire."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def eventually(condition: Callable[[], object], *, within_s: float = 60.0) -> None:
    """Return when ``condition`` holds; fail after ``within_s`` seconds."""
    deadline = asyncio.get_running_loop().time() + within_s
    while True:
        if condition():
            return
        assert asyncio.get_running_loop().time() < deadline, f"did not come about within {within_s:g} s"
        await asyncio.sleep(0.02)
