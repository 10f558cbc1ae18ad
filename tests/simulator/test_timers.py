"""Delayed calls, and their end."""

from __future__ import annotations

import asyncio

from sipagent.simulator.timers import Timers


async def test_calls_are_made_unless_they_were_cancelled() -> None:
    timers, made, done = Timers(), [], asyncio.Event()
    timers.cancel(timers.later(0.001, lambda: made.append("cancelled")))
    timers.later(0.001, lambda: made.append("made"))
    last = timers.later(0.01, done.set)
    timers.cancel(None)
    await asyncio.wait_for(done.wait(), 10)
    assert made == ["made"]
    timers.cancel(last)


async def test_all_calls_end_together() -> None:
    timers, made, done = Timers(), [], asyncio.Event()
    for _ in range(3):
        timers.later(0, lambda: made.append("made"))
    timers.cancel_all()
    Timers().later(0.005, done.set)
    await asyncio.wait_for(done.wait(), 10)
    assert made == []
