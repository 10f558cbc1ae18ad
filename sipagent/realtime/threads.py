"""One thread for each run of a blocking function.

The event loop's own pool is small and shared with name look-ups: a handful of stuck tools in one call
would stop every other call from connecting. A thread of its own can only hurt the call it belongs to.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def run_in_thread(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """The result of ``function`` run in a new thread, with the context variables of the caller.

    Raises what the function raises; what would end the event loop, or pass for a cancellation of the
    awaiting task, as `RuntimeError`. Cancel-safe, but a thread cannot be stopped: when cancelled, the
    function runs on and its result is dropped. The thread is a daemon, so it never holds up the exit.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    context = contextvars.copy_context()

    def resolve(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(result)  # type: ignore[arg-type]
        else:
            future.set_exception(error)

    def body() -> None:
        result: T | None = None
        failure: BaseException | None = None
        try:
            result = context.run(function, *args, **kwargs)
        except BaseException as error:  # noqa: BLE001 - carried to the awaiting task
            failure = error
            if isinstance(error, StopIteration) or not isinstance(error, Exception):
                # A future refuses StopIteration; sys.exit() would end every call of the process.
                failure = RuntimeError(f"{function!r} raised {type(error).__name__}")
                failure.__cause__ = error
        try:
            loop.call_soon_threadsafe(resolve, result, failure)
        except RuntimeError:
            # The loop closed meanwhile: nobody is left to hear the result.
            return

    threading.Thread(target=body, name=f"tool {getattr(function, '__name__', 'call')}", daemon=True).start()
    return await future
