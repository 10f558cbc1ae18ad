"""Doing something at every point at which a piece of code waits, one point at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Any

PATIENCE_S = 60.0
MOST_POINTS = 400
"""Points after which something must be through."""
Act = Callable[["asyncio.Task[Any]"], None]


class Moment(Enum):
    """When, at the point where a task waits."""

    BEFORE = "before"
    """It has begun to wait."""
    AFTER = "after"
    """What it waits for has come, and it has not gone on yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One point, counted from 0."""

    number: int
    moment: Moment


class Watch:
    """The tasks of one name that are watched, and what became of them."""

    def __init__(self, point: Point, act: Act, name: str) -> None:
        self.reached = False
        """The point was met, in one of them."""
        self._point = point
        self._act = act
        self._name = name
        self._counts: dict[asyncio.Task[Any], int] = {}
        self._running: set[asyncio.Task[Any]] = set()
        self._changed = asyncio.Event()

    async def over(self) -> None:
        """Return when there was one at least, and all have ended."""
        async with asyncio.timeout(PATIENCE_S):
            while not self._counts or self._running:
                self._changed.clear()
                await self._changed.wait()

    def waits(self, task: asyncio.Task[Any], waited: Any) -> None:
        """``task`` is about to wait for ``waited``."""
        if not task.get_name().startswith(self._name):
            return
        count = self._counts.get(task, 0)
        self._counts[task] = count + 1
        self._running.add(task)
        if count != self._point.number or self.reached:
            return
        self.reached = True
        if self._point.moment is Moment.BEFORE:
            self._act(task)
        elif isinstance(waited, asyncio.Future):
            # Called before the task's own callback, which is added when this returns.
            waited.add_done_callback(lambda _: self._act(task))
        else:
            asyncio.get_running_loop().call_soon(self._act, task)

    def ends(self, task: asyncio.Task[Any]) -> None:
        """``task`` has nothing more to do."""
        if task.get_name().startswith(self._name):
            self._counts.setdefault(task, 0)
            self._running.discard(task)
            self._changed.set()


class Watched(Coroutine[Any, Any, Any]):
    """A coroutine that tells a `Watch` whenever it waits; for a task alone."""

    def __init__(self, work: Coroutine[Any, Any, Any], watch: Watch) -> None:
        self._work = work
        self._watch = watch

    def send(self, value: Any) -> Any:
        return self._step(self._work.send, value)

    def throw(self, typ: Any, val: Any = None, tb: TracebackType | None = None) -> Any:
        error: BaseException = typ if isinstance(typ, BaseException) else val or typ()
        return self._step(self._work.throw, error)

    def close(self) -> None:
        self._work.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        raise AssertionError("this is for a task alone")

    def _step(self, resume: Callable[[Any], Any], value: Any) -> Any:
        task = asyncio.current_task()
        assert task is not None
        try:
            waited = resume(value)
        except BaseException:
            self._watch.ends(task)
            raise
        self._watch.waits(task, waited)
        return waited


def cancel(task: asyncio.Task[Any]) -> None:
    """Cancel it."""
    task.cancel()


async def cancelled_at(point: Point, work: Coroutine[Any, Any, Any]) -> bool:
    """Run ``work`` and cancel it at ``point``; False when it was through before. It must not swallow that."""
    watch = Watch(point, cancel, "")
    task = asyncio.create_task(Watched(work, watch))
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.wait([task])
    if not watch.reached:
        task.result()
        return False
    assert task.cancelled(), f"the cancelling was swallowed: {task!r}"
    return True


async def at_every_point(attempt: Callable[[Point], Awaitable[bool]], *, at_least: int = 1) -> None:
    """Call ``attempt`` with one point after the other, until it says that there is none any more; there must
    be so many."""
    for moment in Moment:
        for number in range(MOST_POINTS):
            if not await attempt(Point(number=number, moment=moment)):
                assert number >= at_least, f"it waits {number} times only"
                break
        else:
            raise AssertionError(f"not through after {MOST_POINTS} points")


@asynccontextmanager
async def watching(point: Point, act: Act, *, name: str) -> AsyncIterator[Watch]:
    """Let ``act`` happen at ``point`` to tasks that begin meanwhile and whose names begin with ``name``."""
    loop = asyncio.get_running_loop()
    watch = Watch(point, act, name)

    def make(
        running: asyncio.AbstractEventLoop,
        work: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
        **more: Any,
    ) -> asyncio.Task[Any]:
        watched = Watched(work, watch) if isinstance(work, Coroutine) else work
        return asyncio.Task(watched, loop=running, **more)

    before = loop.get_task_factory()
    loop.set_task_factory(make)
    try:
        yield watch
    finally:
        loop.set_task_factory(before)
