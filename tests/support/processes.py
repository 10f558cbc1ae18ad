"""Several processes on one event loop, each of which can be killed or frozen between any two of its steps.

What a process has begun, directly or not, is known by a context variable, so that nothing in it has to know
of this. A frozen process misses nothing: what it would have done is done when it wakes, all at once and in
its order, as after SIGSTOP. A killed one does nothing any more, not even to clean up, as after SIGKILL.
"""

from __future__ import annotations

import asyncio
import contextvars
import weakref
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from tests.support.virtual_time import VirtualLoop, run_virtually

T = TypeVar("T")
_ROUNDS = 50
"""In which the tasks of a killed process must have gone, when they are cleared away."""


@dataclass(eq=False)
class _Step:
    """Something that a process does next."""

    process: Process
    callback: Callable[..., object]
    context: contextvars.Context
    handle: asyncio.Handle | None = None

    def __call__(self, *arguments: Any) -> None:
        assert self.handle is not None, "known before it is called"
        if self.handle.cancelled():
            return  # by a step that came before it when the process woke up
        if self.process.runs:
            self.callback(*arguments)
        else:
            self.process.missed.append((self, arguments))


class Process:
    """One process. What is begun with `begin` is its own, and what that begins."""

    def __init__(self) -> None:
        self.killed = False
        """It does nothing, and whatever its remains do must have no effect."""
        self.runs = True
        self.missed: list[tuple[_Step, tuple[Any, ...]]] = []
        self.tasks: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()
        self._context = contextvars.copy_context()
        self._context.run(_HERE.set, self)

    @property
    def healthy(self) -> bool:
        """It runs, and was not killed."""
        return self.runs and not self.killed

    def begin(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Let it do ``work``."""
        return asyncio.get_running_loop().create_task(work, context=self._context.copy())

    def kill(self) -> None:
        """Nothing of it happens any more."""
        self.killed, self.runs = True, False

    def freeze(self) -> None:
        """Nothing of it happens until it wakes."""
        self.runs = False

    def wake(self) -> None:
        """What should have happened meanwhile happens now."""
        if not self.killed:
            self._go_on()

    def reach_out(self) -> None:
        """Every step by which it touches what others see: raises `asyncio.CancelledError` in its remains."""
        if self.killed:
            raise asyncio.CancelledError

    async def clear_away(self) -> None:
        """End the tasks of a killed process, for which the world outside is gone."""
        assert self.killed, "others end their tasks themselves"
        for task in self.tasks:
            task.cancel()
        self._go_on()
        for _ in range(_ROUNDS):
            left = [task for task in self.tasks if not task.done()]
            if not left:
                return
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=0.01)
        raise AssertionError(f"tasks of a killed process go on: {left}")

    def _go_on(self) -> None:
        self.runs = True
        loop = asyncio.get_running_loop()
        missed, self.missed = self.missed, []
        for step, arguments in missed:
            loop.call_soon(step, *arguments, context=step.context)


_HERE: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)


def this_process() -> Process | None:
    """The process whose step this is; None for what happens in the world around."""
    return _HERE.get()


class _ProcessLoop(VirtualLoop):
    def __init__(self) -> None:
        super().__init__()
        self.set_task_factory(_make_task)  # type: ignore[arg-type]

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        context = context or contextvars.copy_context()
        step = _step_of(callback, context)
        handle = super().call_soon(step or callback, *args, context=context)
        if step is not None:
            step.handle = handle
        return handle

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        context = context or contextvars.copy_context()
        step = _step_of(callback, context)
        handle = super().call_at(when, step or callback, *args, context=context)
        if step is not None:
            step.handle = handle
        return handle


def _step_of(callback: Callable[..., object], context: contextvars.Context) -> _Step | None:
    if isinstance(callback, _Step):
        return None  # missed before: whoever cancels it has the handle of then
    process = context.get(_HERE)
    return None if process is None else _Step(process, callback, context)


def _make_task(
    loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **options: Any
) -> asyncio.Task[Any]:
    task = asyncio.Task(work, loop=loop, **options)
    context = options.get("context")
    process = _HERE.get() if context is None else context.get(_HERE)
    if process is not None:
        process.tasks.add(task)
    return task


def run_processes(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work``, the world around the processes that it makes, in virtual time; see `run_virtually`."""
    return run_virtually(work, loop=_ProcessLoop())
