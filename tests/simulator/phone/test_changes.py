from __future__ import annotations

import asyncio

import pytest

from sipagent.simulator.phone.changes import Changes, end_task


async def test_everybody_who_waits_looks_again() -> None:
    changes = Changes()
    count = 0

    async def wait_for(wanted: int) -> None:
        await changes.until(lambda: count >= wanted)

    waiting = [asyncio.create_task(wait_for(wanted)) for wanted in (1, 2, 2)]
    await asyncio.sleep(0)
    changes.announce()
    await asyncio.sleep(0)
    assert [task.done() for task in waiting] == [False] * 3
    count = 1
    changes.announce()
    await waiting[0]
    assert not waiting[1].done()
    waiting[1].cancel()
    count = 2
    changes.announce()
    await waiting[2]
    with pytest.raises(asyncio.CancelledError):
        await waiting[1]


async def test_what_holds_already_is_not_waited_for() -> None:
    await Changes().until(lambda: True)


async def test_a_task_is_ended_and_its_mistake_told() -> None:
    async def wait_for_ever() -> None:
        await asyncio.Event().wait()

    async def fail() -> None:
        raise RuntimeError("a mistake")

    await end_task(None)
    for _ in range(2):
        task = asyncio.create_task(wait_for_ever())
        await asyncio.sleep(0)
        await end_task(task)
        assert task.cancelled()
    failing = asyncio.create_task(fail())
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="a mistake"):
        await end_task(failing)
