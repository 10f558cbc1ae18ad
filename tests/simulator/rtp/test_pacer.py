from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sipagent.simulator.rtp.pacer import Pacer


class Counter:
    """Counts beats and announces when enough have come."""

    def __init__(self, wanted: int) -> None:
        self.times_s: list[float] = []
        self.enough = asyncio.Event()
        self._wanted = wanted

    def beat(self) -> None:
        self.times_s.append(asyncio.get_running_loop().time())
        if len(self.times_s) == self._wanted:
            self.enough.set()


async def test_everybody_is_called_every_20_ms() -> None:
    counters = [Counter(25) for _ in range(5)]
    async with Pacer() as pacer, asyncio.timeout(30):
        began_s = asyncio.get_running_loop().time()
        for counter in counters:
            pacer.add(counter.beat)
        for counter in counters:
            await counter.enough.wait()
    for counter in counters:
        took_s = counter.times_s[24] - began_s
        # Early never, beyond the tolerance of timers; late as a busy machine likes.
        assert took_s > 24 * 0.02 - 0.005


async def test_nobody_is_called_after_removal_or_the_end() -> None:
    counter, other = Counter(3), Counter(6)
    async with Pacer() as pacer, asyncio.timeout(30):
        pacer.add(counter.beat)
        await counter.enough.wait()
        pacer.remove(counter.beat)
        count = len(counter.times_s)
        pacer.add(other.beat)
        await other.enough.wait()
        assert len(counter.times_s) == count
    count = len(other.times_s)
    await asyncio.sleep(0.05)
    assert len(other.times_s) == count


async def test_a_stream_that_begins_later_wakes_an_idle_pacer() -> None:
    async with Pacer() as pacer, asyncio.timeout(30):
        await asyncio.sleep(0.03)
        counter = Counter(2)
        pacer.add(counter.beat)
        await counter.enough.wait()


async def test_a_broken_stream_silences_no_other(caplog: pytest.LogCaptureFixture) -> None:
    reports: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reports.append(context))
    calls = 0

    def broken() -> None:
        nonlocal calls
        calls += 1
        raise RuntimeError("a mistake")

    counter = Counter(10)
    async with Pacer() as pacer, asyncio.timeout(30):
        pacer.add(broken)
        pacer.add(counter.beat)
        await counter.enough.wait()
    assert calls == 1
    assert [str(report["exception"]) for report in reports] == ["a mistake"]


async def test_a_beat_may_remove_itself_and_others() -> None:
    counter = Counter(5)
    async with Pacer() as pacer, asyncio.timeout(30):

        def quit_at_once() -> None:
            pacer.remove(quit_at_once)
            pacer.add(counter.beat)

        pacer.add(quit_at_once)
        await counter.enough.wait()
