"""Signals to the process in which the tests run, as an operator or a container sends them."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from sipagent.app.stopping import serve_until

LIMIT_S = 30


class Drain:
    """A drain that ends when it is told to."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.may_end = asyncio.Event()
        self.was_cancelled = False

    async def __call__(self) -> None:
        self.began.set()
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_begins_the_drain_which_is_waited_for(number: signal.Signals) -> None:
    drain = Drain()
    serving = asyncio.create_task(serve_until(asyncio.Event(), drain=drain, reload=None))
    await asyncio.sleep(0)
    async with asyncio.timeout(LIMIT_S):
        os.kill(os.getpid(), number)
        await drain.began.wait()
        assert not serving.done()
        drain.may_end.set()
        await serving
    assert not drain.was_cancelled


async def test_the_service_may_be_asked_to_stop_without_a_signal() -> None:
    drain, stop = Drain(), asyncio.Event()
    drain.may_end.set()
    stop.set()
    async with asyncio.timeout(LIMIT_S):
        await serve_until(stop, drain=drain, reload=None)
    assert drain.began.is_set()


async def test_a_second_signal_ends_the_drain_at_once() -> None:
    drain = Drain()
    serving = asyncio.create_task(serve_until(asyncio.Event(), drain=drain, reload=None))
    await asyncio.sleep(0)
    async with asyncio.timeout(LIMIT_S):
        os.kill(os.getpid(), signal.SIGTERM)
        await drain.began.wait()
        os.kill(os.getpid(), signal.SIGINT)
        await serving
    assert drain.was_cancelled


async def test_a_hang_up_of_the_terminal_reads_the_configuration_again() -> None:
    asked, stop, drain = asyncio.Event(), asyncio.Event(), Drain()
    drain.may_end.set()
    serving = asyncio.create_task(serve_until(stop, drain=drain, reload=asked.set))
    await asyncio.sleep(0)
    async with asyncio.timeout(LIMIT_S):
        os.kill(os.getpid(), signal.SIGHUP)
        await asked.wait()
        assert not drain.began.is_set()
        stop.set()
        await serving


async def test_who_is_cancelled_leaves_no_drain_and_no_handler_behind() -> None:
    drain, stop = Drain(), asyncio.Event()
    stop.set()
    serving = asyncio.create_task(serve_until(stop, drain=drain, reload=None))
    async with asyncio.timeout(LIMIT_S):
        await drain.began.wait()
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
    assert drain.was_cancelled
    assert not asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
