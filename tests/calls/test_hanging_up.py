"""Calls that cannot be hung up: each costs money until somebody succeeds."""

from __future__ import annotations

import asyncio
from collections import deque

import pytest

from sipagent.calls import EndReason
from tests.calls.outliving import SHIFT, Answer, Worker, incoming
from tests.calls.scene import CALL, IN_GOOD_STANDING_S, Play, Scene, stage

NEVER: tuple[Answer, ...] = ("503",) * 1000


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Play:
    return stage(monkeypatch)


async def ending(scene: Scene, *answers: Answer) -> Worker:
    """A worker that ends the call because of its costs, and is answered so."""
    worker, _ = scene.worker()
    await asyncio.sleep(IN_GOOD_STANDING_S)
    assert await worker.deliver(incoming(0))
    await scene.until(lambda: scene.line.attended, 2.0)
    await asyncio.sleep(3.0)
    scene.world.answers["hangup"] = deque[Answer](answers)
    live = worker.supervisor.live(CALL)
    assert live is not None
    assert live.conversation is not None
    live.conversation.stop(EndReason.SPEND_LIMIT, "It has cost too much.")
    return worker


def end_reason(scene: Scene) -> str | None:
    record = scene.world.database.calls.record(CALL)
    assert record is not None
    return record.summary.end_reason


@pytest.mark.parametrize("answer", ["503", "429", "lost"])
def test_it_is_tried_until_the_call_is_over(answer: Answer, play: Play) -> None:
    async def story(scene: Scene) -> None:
        worker = await ending(scene, *[answer] * 8)
        await scene.until(lambda: scene.line.state == "over", 120.0)
        assert scene.line.why_over == "application"
        await asyncio.sleep(2.0)
        assert end_reason(scene) == "spend_limit"
        ((_, state_then),) = scene.world.endings
        assert state_then == "over"
        worker.leaves.set()
        await asyncio.wait([worker.task])

    play(story)


def test_whoever_adopts_it_goes_on_trying(play: Play) -> None:
    async def story(scene: Scene) -> None:
        first = await ending(scene, *NEVER)
        second, _ = scene.worker()
        await asyncio.sleep(IN_GOOD_STANDING_S)
        assert scene.line.is_up
        assert CALL in scene.world.database.claims
        first.kill()
        await scene.until(lambda: second.supervisor.live(CALL) is not None, 2 * SHIFT.lease_s)
        await asyncio.sleep(5.0)
        assert scene.line.is_up
        scene.world.answers["hangup"].clear()
        await scene.until(lambda: scene.line.state == "over", 5.0)
        await asyncio.sleep(2.0)
        assert end_reason(scene) == "spend_limit"
        second.leaves.set()
        await asyncio.wait([second.task])
        await first.process.clear_away()

    play(story)


def test_a_process_that_stops_does_not_wait_for_it_and_tells_why_the_call_ended(play: Play) -> None:
    async def story(scene: Scene) -> None:
        worker = await ending(scene, *NEVER)
        await asyncio.sleep(10.0)
        stopped_at = scene.world.loop.time()
        stopping = worker.process.begin(worker.supervisor.hang_up_all())
        await asyncio.wait([stopping])
        assert scene.world.loop.time() - stopped_at < 10.0
        await asyncio.sleep(2.0)
        assert end_reason(scene) == "spend_limit"
        worker.leaves.set()
        await asyncio.wait([worker.task])

    play(story)
