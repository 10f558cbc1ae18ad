"""A flag that tasks wait for."""

from __future__ import annotations

import asyncio

from sipagent.realtime.latch import Latch


async def test_whoever_waits_goes_on_when_it_is_set_and_whoever_comes_later_too() -> None:
    latch = Latch()
    waiting = [asyncio.create_task(latch.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    latch.set()
    assert latch.is_set()
    async with asyncio.timeout(30):
        await asyncio.gather(*waiting)
        await latch.wait()


async def test_whoever_was_let_go_goes_on_although_it_is_cleared_at_once() -> None:
    latch = Latch()
    waiting = asyncio.create_task(latch.wait())
    await asyncio.sleep(0)
    latch.set()
    latch.clear()
    async with asyncio.timeout(30):
        await waiting
    assert not latch.is_set()


async def test_one_that_is_cancelled_leaves_the_others_waiting_and_nothing_behind() -> None:
    latch = Latch()
    first, second = (asyncio.create_task(latch.wait()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    assert first.cancelled()
    assert not second.done()
    latch.set()
    async with asyncio.timeout(30):
        await second


async def test_one_that_is_cancelled_in_the_turn_in_which_it_is_set_is_cancelled() -> None:
    latch = Latch()
    waiting = asyncio.create_task(latch.wait())
    await asyncio.sleep(0)
    latch.set()
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
