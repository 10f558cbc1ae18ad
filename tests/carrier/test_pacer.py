"""One metronome for all calls."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from sipagent.carrier.pacer import Pacer
from tests.support.virtual_time import run_virtually


def test_everybody_is_called_every_20_ms_on_absolute_deadlines() -> None:
    async def scene() -> None:
        loop = asyncio.get_running_loop()

        def note(called: list[float]) -> None:
            called.append(loop.time())

        with Pacer() as pacer:
            beats: dict[int, list[float]] = {number: [] for number in range(30)}
            for called in beats.values():
                pacer.add(partial(note, called))
            await asyncio.sleep(2.001)
            for called in beats.values():
                assert 99 <= len(called) <= 101
                gaps = [b - a for a, b in zip(called, called[1:], strict=False)]
                assert gaps == pytest.approx([0.02] * len(gaps), abs=0.0011)
            assert len({round(called[0], 4) for called in beats.values()}) >= 5, "spread over the frame"

    run_virtually(scene())


def test_nobody_is_called_any_more_once_removed_or_closed() -> None:
    async def scene() -> None:
        calls: list[str] = []

        def one() -> None:
            calls.append("one")
            pacer.remove(two)

        def two() -> None:
            calls.append("two")

        with Pacer() as pacer:
            pacer.add(one)
            pacer.add(one)
            assert len(pacer) == 1
            await asyncio.sleep(0.05)
            pacer.remove(one)
            before = len(calls)
            await asyncio.sleep(1.0)
            assert len(calls) == before
            pacer.remove(two)
        pacer.add(two)
        await asyncio.sleep(0.1)
        assert "two" not in calls

    run_virtually(scene())


def test_one_that_raises_is_left_out_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        good: list[None] = []

        def bad() -> None:
            raise RuntimeError("a defect")

        with Pacer() as pacer:
            pacer.add(bad)
            pacer.add(lambda: good.append(None))
            await asyncio.sleep(0.2)
            assert len(good) >= 9
            assert len(pacer) == 1
        assert caplog.text.count("a defect of ours") == 1

    run_virtually(scene())


def test_it_beats_on_uvloop_too() -> None:
    uvloop = pytest.importorskip("uvloop")

    async def scene() -> None:
        with Pacer() as pacer:
            beats: list[None] = []
            for _ in range(50):  # some of them come when the next beat is due
                pacer.add(lambda: beats.append(None))
                await asyncio.sleep(0.003)
            await asyncio.sleep(0.2)
            assert len(beats) > 500

    uvloop.run(scene())
