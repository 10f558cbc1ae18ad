"""Answers of the database that are lost after it did what it was asked, one question at a time."""

from __future__ import annotations

import asyncio
from typing import Literal

import pytest

from sipagent.calls.checkpoint import Ringing, encode_ringing
from tests.calls.outliving import CALLS, SHIFT, Turn, incoming
from tests.calls.scene import CALL, IN_GOOD_STANDING_S, CountingLine, Play, Scene, stage


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Play:
    return stage(monkeypatch)


def test_a_claim_whose_answer_was_lost_is_made_again_while_the_call_is_answered(play: Play) -> None:
    async def story(scene: Scene) -> None:
        worker, way = scene.worker()
        await asyncio.sleep(1.0)
        way.loses["claim_all"] = 1
        assert await worker.deliver(incoming(0))
        assert worker.shift._claims.deferred == {CALL}
        await scene.until(lambda: not worker.shift._claims.deferred, 2 * SHIFT.heartbeat_s)
        await scene.until(lambda: scene.line.attended, 2.0)
        assert scene.world.database.claims[CALL].epoch == 1
        await scene.until(lambda: scene.world.database.claims[CALL].checkpoint is not None, 2.0)
        await scene.end()
        assert scene.line.asked_to_accept == 1

    play(story)


def test_a_call_whose_webhook_was_given_up_after_its_claim_is_answered_all_the_same(play: Play) -> None:
    """No other worker may answer it, and nobody might deliver the webhook again."""

    async def story(scene: Scene) -> None:
        worker, _ = scene.worker()
        await asyncio.sleep(1.0)
        ringing = Ringing(incoming=incoming(0), received_at=scene.world.now())
        claiming = worker.process.begin(worker.shift.claim(ringing))
        await scene.until(lambda: CALL in scene.world.database.claims, 1.0)
        claiming.cancel()
        await asyncio.wait([claiming])
        assert claiming.cancelled()
        await scene.until(lambda: scene.line.attended, 2.0)
        assert await worker.deliver(incoming(0))
        await scene.end()
        assert scene.line.asked_to_accept == 1

    play(story)


def test_a_call_that_a_leaving_worker_may_have_given_away_is_not_answered_by_it(play: Play) -> None:
    async def story(scene: Scene) -> None:
        leaver, way = scene.worker()
        other, _ = scene.worker()
        await asyncio.sleep(IN_GOOD_STANDING_S)
        leaver.shift._leaving.begun = True
        way.loses["hand_over"] = 1
        assert await leaver.deliver(incoming(0))
        assert way.lost.is_set()
        assert leaver.supervisor.live_calls == 0
        await scene.until(lambda: other.supervisor.live(CALL) is not None, 2.0)
        await scene.until(lambda: scene.line.attended, 2.0)
        leaver.shift._leaving.begun = False
        record = await scene.end()
        assert scene.line.asked_to_accept == 1
        assert record.summary.agent is not None

    play(story)


def test_calls_that_were_handed_over_are_adopted_though_nobody_said_so(play: Play) -> None:
    async def story(scene: Scene) -> None:
        leaver, way = scene.worker()
        other, _ = scene.worker()
        await asyncio.sleep(IN_GOOD_STANDING_S)
        assert await leaver.deliver(incoming(0))
        await scene.until(lambda: scene.line.attended, 2.0)
        way.loses["hand_over"] = 1
        leaver.leaves.set()
        await scene.until(lambda: other.supervisor.live(CALL) is not None, 3.0)
        record = await scene.end()
        assert [note.kind for note in record.notes].count("adopted") == 1
        assert scene.line.asked_to_accept == 1

    play(story)


@pytest.mark.parametrize("lost", ["adopt", "uptime_s"])
def test_calls_whose_adoption_was_not_confirmed_are_gone_on_with_once(lost: str, play: Play) -> None:
    async def story(scene: Scene) -> None:
        first, _ = scene.worker()
        second, way = scene.worker()
        await asyncio.sleep(IN_GOOD_STANDING_S)
        assert await first.deliver(incoming(0))
        await scene.until(lambda: scene.line.attended, 2.0)
        await asyncio.sleep(1.0)
        first.kill()
        way.loses[lost] = 2
        await way.lost.wait()
        await scene.until(lambda: scene.line.attended, 2 * SHIFT.look_s)
        record = await scene.end()
        assert [note.kind for note in record.notes].count("adopted") == 1

    play(story)


def test_an_adoption_that_the_database_makes_later_than_it_should_is_noticed(play: Play) -> None:
    async def story(scene: Scene) -> None:
        worker, _ = scene.worker()
        await asyncio.sleep(IN_GOOD_STANDING_S)
        worker.shift._adopter.doubt()
        await asyncio.sleep(5.0)  # it has looked several times, and found nothing
        ringing = Ringing(incoming=incoming(0), received_at=scene.world.now())
        held = await worker.store.claim_all(worker.shift.worker, {CALL: encode_ringing(ringing)})
        assert held == {CALL: 1}
        await scene.until(lambda: scene.line.attended, 2.0)
        await scene.end()

    play(story)


def test_a_worker_whose_renewal_was_not_confirmed_keeps_its_calls_and_its_name(play: Play) -> None:
    async def story(scene: Scene) -> None:
        worker, way = scene.worker()
        await asyncio.sleep(1.0)
        assert await worker.deliver(incoming(0))
        await scene.until(lambda: scene.line.attended, 2.0)
        name = worker.shift.worker
        way.loses["renew"] = 3
        await asyncio.sleep(4 * SHIFT.heartbeat_s)
        assert not way.loses["renew"]
        assert not worker.shift.database_away
        assert worker.shift.worker == name
        assert scene.line.attended
        await scene.end()

    play(story)


def test_a_worker_that_was_given_up_before_it_knew_that_it_had_joined_has_another_name(play: Play) -> None:
    async def story(scene: Scene) -> None:
        worker, way = scene.worker()
        other, _ = scene.worker()
        await asyncio.sleep(IN_GOOD_STANDING_S)
        # As at its start: the database has taken the first attempt, and the worker does not know.
        worker.shift._joined, worker.shift._standing_since = False, None
        name = worker.shift.worker
        worker.store.way = "refused"
        scene.world.database.kill(name)
        assert await worker.deliver(incoming(0))  # answered, and claimed later
        await scene.until(lambda: scene.world.database.workers[name].state == "gone", 2 * SHIFT.quiet_s)
        assert scene.line.attended
        worker.store.way = "open"
        await scene.until(lambda: not worker.shift.database_away, 3.0)
        assert worker.shift.worker != name
        await scene.until(lambda: not worker.shift._claims.deferred, 3.0)
        assert scene.world.database.claims[CALL].worker == worker.shift.worker
        assert scene.line.attended
        assert other.supervisor.live_calls == 0
        await scene.end()
        assert scene.line.asked_to_accept == 1
        assert not way.lost.is_set()

    play(story)


def test_a_worker_that_was_given_up_keeps_the_calls_that_nobody_else_knows_of(play: Play) -> None:
    async def story(scene: Scene) -> None:
        worker, _ = scene.worker()
        other, _ = scene.worker()
        await asyncio.sleep(IN_GOOD_STANDING_S)
        claimed, unclaimed = incoming(1), incoming(0)
        known = CountingLine(claimed.call_id, one_socket=False)
        scene.world.lines[claimed.call_id] = known
        assert await worker.deliver(claimed)
        await scene.until(lambda: known.attended, 2.0)
        await asyncio.sleep(1.0)
        name = worker.shift.worker
        worker.store.way = "refused"
        await asyncio.sleep(1.0)
        assert await worker.deliver(unclaimed)
        await scene.until(lambda: scene.line.attended, 2.0)
        await scene.until(lambda: other.supervisor.live(claimed.call_id) is not None, 2 * SHIFT.lease_s)
        worker.store.way = "open"
        await scene.until(lambda: worker.supervisor.live(claimed.call_id) is None, 3.0)
        await scene.until(lambda: CALL in scene.world.database.claims, 3.0)
        held = scene.world.database.claims[CALL]
        assert (held.worker, held.epoch) == (worker.shift.worker, 1)
        assert worker.shift.worker != name
        assert scene.line.attended
        # From now on it can be adopted like any other.
        await scene.until(lambda: scene.world.database.claims[CALL].checkpoint is not None, 5.0)
        worker.kill()
        await scene.until(lambda: other.supervisor.live(CALL) is not None, 2 * SHIFT.lease_s)
        known.hang_up("caller")
        record = await scene.end()
        assert [note.kind for note in record.notes].count("adopted") == 1
        assert (scene.line.asked_to_accept, known.asked_to_accept) == (1, 1)

    play(story)


@pytest.mark.parametrize("away", ["hanging", "refused", "outage"])
def test_who_slept_through_its_lease_does_nothing_before_the_database_has_answered(
    away: Literal["hanging", "refused", "outage"], play: Play
) -> None:
    """Another has its calls, and the database tells nobody so when it wakes up."""

    async def story(scene: Scene) -> None:
        sleeper, _ = scene.worker()
        other, _ = scene.worker()
        await asyncio.sleep(IN_GOOD_STANDING_S)
        assert await sleeper.deliver(incoming(0))
        await scene.until(lambda: scene.line.attended, 2.0)
        await asyncio.sleep(1.0)
        sleeper.process.freeze()
        await scene.until(lambda: other.supervisor.live(CALL) is not None, 2 * SHIFT.lease_s)
        await asyncio.sleep(5.0)
        if away == "outage":
            scene.world.outage(begins=True)
        else:
            sleeper.store.way = away
        sleeper.process.wake()
        await asyncio.sleep(4.0)
        arguments = '{"label": "a table", "seconds": 0.1, "fails": false}'
        scene.line.take_turn(Turn(after_s=0.0, tool="book", arguments=arguments))
        for _ in range(80):
            await asyncio.sleep(0.1)
            assert not sleeper.shift._terms.lease.held
        assert scene.world.executed["a table"] == 1
        scene.world.outage(begins=False)
        sleeper.store.way = "open"
        await scene.until(lambda: sleeper.supervisor.live_calls == 0, 3.0)
        assert sleeper.shift._terms.lease.held
        await scene.end()

    play(story)


@pytest.mark.parametrize("way", ["hanging", "refused"])
def test_who_slept_for_a_moment_goes_on_though_the_database_does_not_answer(
    way: Literal["hanging", "refused"], play: Play
) -> None:
    async def story(scene: Scene) -> None:
        sleeper, _ = scene.worker()
        await asyncio.sleep(IN_GOOD_STANDING_S)
        assert await sleeper.deliver(incoming(0))
        await scene.until(lambda: scene.line.attended, 2.0)
        sleeper.store.way = way
        for _ in range(2):
            sleeper.process.freeze()
            await asyncio.sleep(SHIFT.stall_s + 0.1)
            sleeper.process.wake()
            held = sleeper.shift._terms.lease
            await scene.until(lambda: held.held, 2 * SHIFT.database_timeout_s + 1.0)  # noqa: B023
            await asyncio.sleep(1.0)
            sleeper.store.way = "open"
            await asyncio.sleep(SHIFT.database_timeout_s + 3 * SHIFT.heartbeat_s)
            sleeper.store.way = way
        sleeper.store.way = "open"
        await scene.end()

    play(story)


def test_a_caller_is_not_left_ringing_by_who_does_not_know_whether_it_may_answer(play: Play) -> None:
    async def story(scene: Scene) -> None:
        sleeper, _ = scene.worker()
        await asyncio.sleep(IN_GOOD_STANDING_S)
        sleeper.process.freeze()
        await asyncio.sleep(SHIFT.lease_s)
        sleeper.store.way = "refused"
        sleeper.process.wake()
        await asyncio.sleep(3.0)
        assert await sleeper.deliver(incoming(0))
        await scene.until(lambda: sleeper.supervisor.live_calls == 1, 1.0)
        await scene.until(lambda: sleeper.supervisor.live_calls == 0, CALLS.answer_timeout_s + 1.0)
        assert scene.line.state == "ringing"
        sleeper.store.way = "open"
        await asyncio.sleep(5.0)
        sleeper.leaves.set()
        await asyncio.wait([sleeper.task])
        record = scene.world.database.calls.record(CALL)
        assert record is not None
        assert record.summary.end_reason == "accept_unavailable"

    play(story)
