"""Whether a process may still act for its calls."""

from __future__ import annotations

import asyncio

import pytest

from sipagent.calls.lease import Lease
from sipagent.errors import NotOursError
from sipagent.identifiers import CallId
from sipagent.store import Fact, LatencyMeasured


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def fact(number: int) -> Fact:
    return LatencyMeasured(call_id=CallId("rtc_1"), name="x", sequence=number, milliseconds=1.0)


def lease(clock: Clock, written: list[Fact]) -> Lease:
    return Lease(written.append, stall_s=3.0, now=clock)


async def test_a_lease_is_held_as_long_as_it_is_extended_in_time() -> None:
    clock = Clock()
    held = lease(clock, [])
    clock.now_s += 2.9
    assert held.held
    held.extend()
    clock.now_s += 2.9
    assert held.held
    await held.wait()
    clock.now_s += 0.2
    assert not held.held


async def test_whoever_waits_goes_on_when_it_is_extended_and_facts_are_written_then() -> None:
    clock, written = Clock(), list[Fact]()
    doubted = lease(clock, written)
    doubted.record(fact(0))
    clock.now_s += 10
    doubted.record(fact(1))
    waiting = asyncio.ensure_future(doubted.wait())
    await asyncio.sleep(0)
    assert written == [fact(0)]
    assert not waiting.done()
    doubted.extend()
    async with asyncio.timeout(5):
        await waiting
    doubted.record(fact(2))
    assert written == [fact(0), fact(1), fact(2)], "in order"


async def test_a_lease_that_is_lost_never_comes_back_and_writes_nothing_more() -> None:
    clock, written = Clock(), list[Fact]()
    lost = lease(clock, written)
    clock.now_s += 10
    lost.record(fact(0))
    waiting = asyncio.ensure_future(lost.wait())
    await asyncio.sleep(0)
    lost.lose()
    with pytest.raises(NotOursError):
        await waiting
    lost.extend()
    lost.record(fact(1))
    assert not lost.held
    assert written == []
    with pytest.raises(NotOursError):
        await lost.wait()


async def test_waiting_may_be_cancelled() -> None:
    clock = Clock()
    doubted = lease(clock, [])
    clock.now_s += 10
    waiting = asyncio.ensure_future(doubted.wait())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    doubted.extend()
    await doubted.wait()
