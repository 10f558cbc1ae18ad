"""A worker that leaves while everything else leaves, dies or adopts at the same time."""

from __future__ import annotations

import asyncio

import pytest

from sipagent.calls.checkpoint import Checkpoint
from sipagent.calls.generation import Generation
from sipagent.errors import StoreAwayError
from sipagent.identifiers import CallId
from sipagent.store import ClaimedCall
from tests.calls.outliving import SHIFT, Worker, incoming
from tests.calls.scene import CALL, IN_GOOD_STANDING_S, CountingLine, LosesAnswers, Play, Scene, stage


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Play:
    return stage(monkeypatch)


async def two_and_a_call(scene: Scene) -> tuple[Worker, Worker, LosesAnswers]:
    """A worker that has the call, another one, and the first one's way to the database."""
    first, way = scene.worker()
    second, _ = scene.worker()
    await asyncio.sleep(IN_GOOD_STANDING_S)
    assert await first.deliver(incoming(0))
    await scene.until(lambda: scene.line.attended, 2.0)
    await asyncio.sleep(1.0)
    return first, second, way


def ended_because(scene: Scene) -> str | None:
    record = scene.world.database.calls.record(CALL)
    assert record is not None
    assert not scene.world.database.claims
    return record.summary.end_reason


def test_when_all_leave_at_once_each_caller_is_told_goodbye(play: Play) -> None:
    async def story(scene: Scene) -> None:
        first, second, _ = await two_and_a_call(scene)
        other = CountingLine(CallId("rtc_1"), one_socket=False)
        scene.world.lines[other.call_id] = other
        assert await second.deliver(incoming(1))
        await scene.until(lambda: other.attended, 2.0)
        first.leaves.set()
        second.leaves.set()
        left_at = scene.world.loop.time()
        await scene.until(lambda: not (scene.line.attended or other.attended), 2.0)
        await scene.until(lambda: scene.line.attended and other.attended, SHIFT.taken_patience_s + 1.0)
        await asyncio.wait([first.task, second.task])
        # It was no goodbye of a second: both drained as a worker that is alone does.
        assert scene.world.loop.time() - left_at > 10.0
        assert (scene.line.why_over, other.why_over) == ("application", "application")
        assert ended_because(scene) == "service_stopped"

    play(story)


def test_calls_left_to_a_worker_that_had_died_are_taken_back(play: Play) -> None:
    async def story(scene: Scene) -> None:
        leaver, other, _ = await two_and_a_call(scene)
        other.kill()
        leaver.leaves.set()
        await scene.until(lambda: not scene.line.attended, 2.0)
        await scene.until(lambda: scene.line.attended, SHIFT.taken_patience_s + 1.0)
        record = await scene.end()
        assert [note.kind for note in record.notes].count("adopted") == 1
        assert scene.line.asked_to_accept == 1

    play(story)


def test_calls_that_could_not_be_taken_back_at_once_are_taken_back_later(play: Play) -> None:
    async def story(scene: Scene) -> None:
        leaver, other, way = await two_and_a_call(scene)
        second = CountingLine(CallId("rtc_1"), one_socket=False)
        scene.world.lines[second.call_id] = second
        assert await leaver.deliver(incoming(1))
        await scene.until(lambda: second.attended, 2.0)
        await asyncio.sleep(1.0)
        other.kill()
        way.loses["adopt"] = 1
        leaver.leaves.set()
        await way.lost.wait()
        await scene.until(lambda: scene.line.attended and second.attended, 3.0)
        second.hang_up("caller")
        await scene.end()

    play(story)


def test_who_leaves_just_after_an_outage_keeps_its_calls_until_others_may_take_them(play: Play) -> None:
    async def story(scene: Scene) -> None:
        leaver, other, _ = await two_and_a_call(scene)
        scene.world.outage(begins=True)
        await asyncio.sleep(3.0)
        scene.world.outage(begins=False)
        await scene.until(lambda: not (leaver.shift.database_away or other.shift.database_away), 3.0)
        leaver.leaves.set()
        alone_s = 0.0
        while other.supervisor.live(CALL) is None:
            await asyncio.sleep(0.05)
            alone_s += 0.0 if scene.line.attended else 0.05
        await scene.until(lambda: scene.line.attended, 1.0)
        assert alone_s < 1.5
        await scene.end()

    play(story)


def test_an_adoption_that_is_under_way_when_a_worker_leaves_is_handed_over_too(play: Play) -> None:
    async def story(scene: Scene) -> None:
        first, leaver, _ = await two_and_a_call(scene)
        third, _ = scene.worker()
        await asyncio.sleep(1.0)
        third.shift._leaving.begun = True  # so that only one of the two adopts
        generation_for = leaver.shift._adopter._generation_for

        async def slow(checkpoint: Checkpoint | None) -> Generation:
            leaver.leaves.set()
            third.shift._leaving.begun = False
            await asyncio.sleep(1.0)
            return await generation_for(checkpoint)

        leaver.shift._adopter._generation_for = slow  # type: ignore[method-assign]
        first.kill()
        await scene.until(lambda: leaver.leaves.is_set(), 10.0)
        await scene.until(lambda: third.supervisor.live(CALL) is not None, 2 * SHIFT.lease_s)
        assert leaver.task.done()
        record = await scene.end()
        assert [note.kind for note in record.notes].count("adopted") == 2

    play(story)


def test_the_last_worker_adopts_while_it_drains(play: Play) -> None:
    async def story(scene: Scene) -> None:
        first, second, _ = await two_and_a_call(scene)
        other = CountingLine(CallId("rtc_1"), one_socket=False)
        scene.world.lines[other.call_id] = other
        assert await second.deliver(incoming(1))
        await scene.until(lambda: other.attended, 2.0)
        await asyncio.sleep(1.0)
        first.kill()
        second.shift._leaving.is_last = True  # as if the database had forgotten the first one already
        draining = second.process.begin(second.supervisor.drain(20.0))
        await scene.until(lambda: second.supervisor.live(CALL) is not None, 2 * SHIFT.lease_s)
        scene.line.hang_up("caller")
        other.hang_up("caller")
        await draining
        await scene.end()

    play(story)


def test_whoever_takes_them_slowly_is_waited_for(play: Play) -> None:
    """As long as one call after the other is taken."""

    async def story(scene: Scene) -> None:
        leaver, other, _ = await two_and_a_call(scene)
        lines = [scene.line]
        for number in range(1, 4):
            line = CountingLine(CallId(f"rtc_{number}"), one_socket=False)
            scene.world.lines[line.call_id] = line
            lines.append(line)
            assert await leaver.deliver(incoming(number))
        await scene.until(lambda: all(line.attended for line in lines), 3.0)
        await asyncio.sleep(1.0)
        adopt = other.store.adopt

        async def one(worker: str, *, limit: int, **options: float) -> tuple[ClaimedCall, ...]:
            await asyncio.sleep(SHIFT.taken_patience_s / 2)
            return await adopt(worker, limit=1, **options)  # type: ignore[arg-type]

        other.store.adopt = one  # type: ignore[method-assign]
        leaver.leaves.set()
        await scene.until(lambda: leaver.task.done(), 20.0)
        assert other.supervisor.live_calls == len(lines)
        for line in lines[1:]:
            line.hang_up("caller")
        await scene.end()

    play(story)


def test_a_database_that_goes_away_meanwhile_keeps_nobody_from_leaving(play: Play) -> None:
    async def story(scene: Scene) -> None:
        leaver, other, way = await two_and_a_call(scene)

        async def away(worker: str) -> tuple[ClaimedCall, ...]:
            raise StoreAwayError("it is away", serves_nobody=False)

        way.claims = away  # type: ignore[attr-defined]
        leaver.leaves.set()
        await scene.until(lambda: leaver.task.done(), SHIFT.taken_patience_s + 2.0)
        await scene.until(lambda: other.supervisor.live(CALL) is not None, 2.0)
        await scene.end()

    play(story)
