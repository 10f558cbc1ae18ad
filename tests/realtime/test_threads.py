"""Blocking functions run beside the event loop, each in a thread that can hurt only its own call."""

from __future__ import annotations

import asyncio
import contextvars
import threading

import pytest

from sipagent.realtime.threads import run_in_thread
from tests.realtime.peer import PATIENCE_S

CALLER: contextvars.ContextVar[str] = contextvars.ContextVar("CALLER")


async def test_the_result_comes_back_from_a_thread_of_its_own() -> None:
    def add(one: int, *, two: int) -> tuple[int, int, bool]:
        return one + two, threading.get_ident(), threading.current_thread().daemon

    total, thread, daemon = await run_in_thread(add, 1, two=2)
    assert total == 3
    assert thread != threading.get_ident()
    assert daemon


async def test_the_function_sees_the_context_of_whoever_calls_it() -> None:
    CALLER.set("Ann")
    assert await run_in_thread(CALLER.get) == "Ann"


@pytest.mark.parametrize("error", [ValueError("wrong"), TimeoutError("late"), StopAsyncIteration()])
async def test_what_the_function_raises_comes_back_too(error: Exception) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        await run_in_thread(fail)
    assert caught.value is error


@pytest.mark.parametrize(
    "error", [StopIteration(), SystemExit(1), KeyboardInterrupt(), asyncio.CancelledError()]
)
async def test_what_would_end_more_than_the_function_does_not(error: BaseException) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(RuntimeError, match=type(error).__name__) as caught:
        await run_in_thread(fail)
    assert caught.value.__cause__ is error


async def test_more_threads_run_at_once_than_a_pool_would_have() -> None:
    count = 60
    barrier = threading.Barrier(count)
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*(run_in_thread(barrier.wait, PATIENCE_S) for _ in range(count)))


async def test_cancelling_leaves_the_thread_to_itself() -> None:
    begun, release, ended = threading.Event(), threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        release.wait(PATIENCE_S)
        ended.set()

    task = asyncio.create_task(run_in_thread(wait))
    assert await run_in_thread(begun.wait, PATIENCE_S)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not ended.is_set()
    release.set()
    assert await run_in_thread(ended.wait, PATIENCE_S)


def test_a_thread_that_outlives_its_event_loop_disturbs_nobody() -> None:
    release, ended = threading.Event(), threading.Event()
    threads: list[threading.Thread] = []

    def wait() -> None:
        threads.append(threading.current_thread())
        release.wait(PATIENCE_S)
        ended.set()

    async def begin() -> None:
        task = asyncio.create_task(run_in_thread(wait))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(begin())
    release.set()
    assert ended.wait(PATIENCE_S)
    threads[0].join(PATIENCE_S)
    assert not threads[0].is_alive()
