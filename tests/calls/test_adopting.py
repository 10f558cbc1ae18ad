"""Calls that are gone on with while the database, or the process that does it, is about to go away."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from sipagent.calls.adopting import UNCLAIMED_FOR_S
from sipagent.calls.generation import Generation
from sipagent.errors import StoreAwayError, StoreError, UserError
from sipagent.store import MemoryCallStore
from tests.calls import outliving
from tests.calls.outliving import SHIFT, Answer, Turn, Worker, incoming
from tests.calls.scene import CALL, IN_GOOD_STANDING_S, Play, Scene, stage
from tests.store.facts import opened

BOOK = '{"label": "a table", "seconds": 0.1, "fails": false}'


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Play:
    return stage(monkeypatch)


async def two_and_a_call(scene: Scene) -> tuple[Worker, Worker]:
    first, _ = scene.worker()
    second, _ = scene.worker()
    await asyncio.sleep(IN_GOOD_STANDING_S)
    assert await first.deliver(incoming(0))
    await scene.until(lambda: scene.line.attended, 2.0)
    await asyncio.sleep(3.0)
    return first, second


@pytest.mark.parametrize(
    "failure",
    [
        StoreAwayError("connection reset", serves_nobody=False),
        StoreError("refused"),
        UserError("it is no configuration any more"),
        None,
    ],
    ids=["away", "refused", "unusable", "without end"],
)
def test_a_configuration_that_cannot_be_had_costs_no_call(failure: Exception | None, play: Play) -> None:
    async def story(scene: Scene) -> None:
        first, second = await two_and_a_call(scene)
        door = replace(scene.generation.door, fingerprint="another")
        second.supervisor.swap(replace(scene.generation, number=2, door=door))

        async def restore(fingerprint: str) -> Generation | None:
            if failure is not None:
                raise failure
            await asyncio.sleep(3600)
            return None

        second.shift._adopter._restore = restore
        first.kill()
        await scene.until(lambda: scene.line.attended, 2 * SHIFT.quiet_s + 6.0)
        assert second.supervisor.live(CALL) is not None
        await scene.end()

    play(story)


def test_what_was_done_is_not_done_again_by_whoever_could_not_read_it(play: Play) -> None:
    """The model asks for the same thing once more, under another id."""

    async def story(scene: Scene) -> None:
        first, second = await two_and_a_call(scene)
        scene.line.take_turn(Turn(after_s=0.0, tool="book", arguments=BOOK))
        await scene.until(lambda: scene.world.executed["a table"] == 1, 3.0)
        await asyncio.sleep(4.0)
        effects, asked = second.store.effects, 0

        async def silent(*arguments: Any) -> Any:
            nonlocal asked
            asked += 1
            await asyncio.sleep(3600)

        second.store.effects = silent  # type: ignore[attr-defined]
        first.kill()
        await scene.until(lambda: scene.line.attended, 10.0)
        await asyncio.sleep(1.0)
        scene.line.take_turn(Turn(after_s=0.0, tool="book", arguments=BOOK))
        await asyncio.sleep(4.0)
        assert asked >= 2
        second.store.effects = effects  # type: ignore[attr-defined]
        scene.line.take_turn(Turn(after_s=0.0, tool="book", arguments=BOOK))
        await asyncio.sleep(4.0)
        assert scene.world.executed["a table"] == 1
        record = await scene.end()
        outputs = [run.output or "" for run in record.tools]
        assert len(outputs) == 3
        assert "cannot be done safely just now" in outputs[1]
        assert "was not done again" in outputs[2]

    play(story)


def test_nothing_is_gone_on_with_by_a_process_that_ends(play: Play) -> None:
    async def story(scene: Scene) -> None:
        first, second = await two_and_a_call(scene)
        third, _ = scene.worker()
        await asyncio.sleep(1.0)
        third.shift._leaving.begun = True  # it does not adopt yet
        hung_up = asyncio.Event()
        generation_for = second.shift._adopter._generation_for

        async def slow(checkpoint: Any) -> Generation:
            await second.supervisor.hang_up_all()
            hung_up.set()
            return await generation_for(checkpoint)

        second.shift._adopter._generation_for = slow  # type: ignore[method-assign]
        first.kill()
        await hung_up.wait()
        await asyncio.sleep(0.5)
        assert second.supervisor.live_calls == 0
        second.leaves.set()
        third.shift._leaving.begun = False
        await scene.until(lambda: third.supervisor.live(CALL) is not None, 3.0)
        await scene.until(lambda: scene.line.attended, 1.0)
        await scene.end()

    play(story)


def test_a_caller_who_still_rings_is_answered_long_after_the_webhook(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outliving, "CALLS", replace(outliving.CALLS, answer_timeout_s=4.0))

    async def story(scene: Scene) -> None:
        first, _ = scene.worker()
        second, _ = scene.worker()
        await asyncio.sleep(IN_GOOD_STANDING_S)
        ringing = asyncio.Event()

        def accept() -> None:
            first.process.freeze()
            ringing.set()

        scene.line.accept, accepts = accept, scene.line.accept  # type: ignore[method-assign]
        assert await first.deliver(incoming(0))
        await ringing.wait()
        scene.line.accept = accepts  # type: ignore[method-assign]
        await scene.until(lambda: second.supervisor.live(CALL) is not None, 2 * SHIFT.lease_s)
        await scene.until(lambda: scene.line.attended, 2.0)
        first.process.wake()
        await asyncio.sleep(2.0)
        await scene.end()

    play(story)


def test_a_refusal_that_died_with_its_process_still_reaches_the_caller(play: Play) -> None:
    async def story(scene: Scene) -> None:
        first, _ = scene.worker()
        second, _ = scene.worker()
        await asyncio.sleep(IN_GOOD_STANDING_S)
        scene.world.answers["reject"] = deque[Answer](["503"] * 1000)
        first.supervisor._draining = True
        assert await first.deliver(incoming(0))
        await asyncio.sleep(1.0)
        assert scene.line.state == "ringing"
        first.kill()
        scene.world.answers["reject"].clear()
        await scene.until(lambda: scene.line.state == "over", 2 * SHIFT.lease_s)
        assert scene.line.why_over == "rejected"
        await asyncio.sleep(1.0)
        record = scene.world.database.calls.record(CALL)
        assert record is not None
        assert record.summary.end_reason == "rejected_draining"
        second.leaves.set()
        await asyncio.wait([second.task])
        await first.process.clear_away()

    play(story)


def test_a_call_that_was_answered_while_its_worker_was_cut_off_is_not_swept_away(play: Play) -> None:
    """What is written down of it may arrive before the claim does."""

    async def story(scene: Scene) -> None:
        first, _ = scene.worker()
        second, _ = scene.worker()
        await asyncio.sleep(IN_GOOD_STANDING_S)
        first.store.way = "refused"
        await asyncio.sleep(2.0)
        assert await first.deliver(incoming(0))
        await scene.until(lambda: scene.line.attended, 2.0)
        await asyncio.sleep(UNCLAIMED_FOR_S)
        database = MemoryCallStore(database=scene.world.database)
        rang_at = scene.world.now() - timedelta(seconds=UNCLAIMED_FOR_S + 1.0)
        await database.apply([replace(opened(), call_id=CALL, at=rang_at)])
        sweeping = second.process.begin(second.shift._adopter.sweep())
        await asyncio.sleep(1.0)
        first.store.way = "open"
        await sweeping
        assert scene.line.attended
        assert scene.world.database.claims[CALL].worker == first.shift.worker
        await scene.end()

    play(story)


def test_what_nobody_holds_is_swept_away(play: Play) -> None:
    async def story(scene: Scene) -> None:
        worker, _ = scene.worker()
        await asyncio.sleep(1.0)
        scene.line.accept()
        database = MemoryCallStore(database=scene.world.database)
        rang_at = scene.world.now() - timedelta(seconds=UNCLAIMED_FOR_S + 1.0)
        await database.apply([replace(opened(), call_id=CALL, at=rang_at)])
        await worker.process.begin(worker.shift._adopter.sweep())
        await asyncio.sleep(1.0)
        assert scene.line.why_over == "application"
        record = scene.world.database.calls.record(CALL)
        assert record is not None
        assert record.summary.end_reason == "worker_lost"
        worker.leaves.set()
        await asyncio.wait([worker.task])

    play(story)
