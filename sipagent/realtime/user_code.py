"""Calling functions that users wrote, so that nothing they do can block or end a call."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from sipagent.realtime.threads import run_in_thread


async def call_user_code(function: Callable[..., Any], /, *args: Any) -> Any:
    """What ``function`` gives: an async one runs on the event loop, a plain one in a thread of its own.

    Raises `Exception` and nothing beyond: what would end the process, or pass for a cancellation of the
    awaiting task, comes as `RuntimeError`. Cancel-safe, but a thread cannot be stopped: it runs on, and
    its result is dropped.
    """
    try:
        if is_async(function):
            return await function(*args)
        result = await run_in_thread(function, *args)
        # A plain function may still hand back an awaitable, such as a partial of a coroutine function.
        return await result if inspect.isawaitable(result) else result
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise RuntimeError(f"cancelled from within: {error!r}") from error
    except SystemExit as error:
        raise RuntimeError(f"the function raised {error!r}") from error


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling ``function`` gives a coroutine; also for an object whose ``__call__`` is async."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - an object whose __call__ is async
    )


def name_of(function: Callable[..., Any]) -> str:
    """What to call ``function`` in events and logs."""
    return getattr(function, "__name__", None) or type(function).__name__
