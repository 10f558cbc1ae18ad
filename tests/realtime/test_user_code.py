"""Functions of users: on the loop or in a thread, and never more than an exception."""

from __future__ import annotations

import asyncio
import functools
import threading
from typing import Any

import pytest

from sipagent.realtime.user_code import call_user_code, is_async, name_of


class Counter:
    async def __call__(self, number: int) -> int:
        return number + 1


async def add(number: int) -> int:
    return number + 1


def thread_of(number: int) -> int:
    return threading.get_ident()


@pytest.mark.parametrize("function", [add, Counter(), functools.partial(add), lambda number: add(number)])
async def test_whatever_is_awaitable_is_awaited(function: Any) -> None:
    assert await call_user_code(function, 1) == 2


async def test_a_plain_function_does_not_hold_up_the_loop() -> None:
    assert await call_user_code(thread_of, 1) != threading.get_ident()


def test_what_is_async_and_what_it_is_called() -> None:
    assert [is_async(each) for each in (add, Counter(), thread_of)] == [True, True, False]
    assert [name_of(each) for each in (add, Counter())] == ["add", "Counter"]


def leaves() -> None:
    raise SystemExit(1)


async def leaves_async() -> None:
    raise SystemExit(1)


async def cancelled_within() -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize("function", [leaves, leaves_async, cancelled_within])
async def test_nothing_ends_more_than_the_call_of_the_function(function: Any) -> None:
    with pytest.raises(RuntimeError):
        await call_user_code(function)


async def test_cancelling_cancels_the_function() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    task = asyncio.create_task(call_user_code(wait))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()
