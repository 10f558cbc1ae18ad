"""Which tasks a piece of code has left behind on the running loop."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from inspect import iscoroutine
from typing import Any

Task = asyncio.Task[Any]

TURNS = 20
"""Turns of the loop in which a task that is already on its way out may end."""

FINALISER_DEADLINE_S = 5.0
"""How long the finaliser of an abandoned asynchronous generator may take."""


async def leaked_tasks(before: Collection[Task]) -> list[Task]:
    """The tasks, beside the calling one and those of ``before``, that are pending and will stay so.

    A task that ends within a few turns of the loop, as a cancelled one does, is no leak; nor is one in
    which the loop itself closes an asynchronous generator.
    """
    for _ in range(TURNS):  # all of them: the loop may only be about to start a finaliser
        await asyncio.sleep(0)
    finalisers = [task for task in _pending(before) if _is_finaliser(task)]
    if finalisers:
        await asyncio.wait(finalisers, timeout=FINALISER_DEADLINE_S)
    return sorted(_pending(before), key=Task.get_name)


def describe(task: Task) -> str:
    """The name of ``task``, what it runs and the line it waits at."""
    coroutine = task.get_coro()
    running = getattr(coroutine, "__qualname__", repr(coroutine))
    frames = task.get_stack(limit=1)
    where = f" at {frames[0].f_code.co_filename}:{frames[0].f_lineno}" if frames else ""
    return f"  {task.get_name()}: {running}{where}"


async def stop(tasks: Collection[Task]) -> None:
    """Cancel ``tasks`` and wait until they have ended, so that they disturb no other test."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _pending(before: Collection[Task]) -> set[Task]:
    current = asyncio.current_task()
    return {task for task in asyncio.all_tasks() if task is not current and task not in before}


def _is_finaliser(task: Task) -> bool:
    # The loop closes an abandoned generator in a task that runs `agen.aclose()`: no coroutine function.
    return not iscoroutine(task.get_coro())
