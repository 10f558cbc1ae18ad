"""Claims that come at once go together, and each has its own answer."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipagent.calls.gathering import MOST_AT_ONCE, MOST_WAITING, ClaimGatherer
from sipagent.errors import StoreAwayError, StoreError
from sipagent.identifiers import CallId, WorkerId
from tests.support.virtual_time import run_virtually

ME = WorkerId("me")
ANOTHERS = CallId("anothers")


class Database:
    """Takes claims one batch at a time, each when it is let."""

    def __init__(self, *, takes_s: float = 1.0) -> None:
        self.batches: list[list[CallId]] = []
        self.claimed: Counter[CallId] = Counter()
        self.error: StoreError | None = None
        self.refuses: CallId | None = None
        self._takes_s = takes_s

    async def claim_all(self, worker: WorkerId, webhooks: Mapping[CallId, str]) -> Mapping[CallId, int]:
        assert worker == ME
        self.batches.append(list(webhooks))
        await asyncio.sleep(self._takes_s)
        if self.error is not None:
            raise self.error
        if self.refuses in webhooks:
            raise StoreError("a value that no database takes")
        self.claimed.update(webhooks.keys())
        return {call_id: 1 for call_id in webhooks if call_id != ANOTHERS}


def call(number: int) -> CallId:
    return CallId(f"rtc_{number}")


def claims(gatherer: ClaimGatherer, *call_ids: CallId) -> list[asyncio.Task[int | None]]:
    return [asyncio.ensure_future(gatherer.claim(call_id, f"webhook of {call_id}")) for call_id in call_ids]


def test_those_that_come_at_once_go_together() -> None:
    async def tell() -> None:
        database = Database()
        gatherer = ClaimGatherer(database, ME)
        loop = asyncio.get_running_loop()
        answers = await asyncio.gather(*claims(gatherer, *map(call, range(5)), ANOTHERS, call(6)))
        assert answers == [1, 1, 1, 1, 1, None, 1]
        assert loop.time() == pytest.approx(1.0, abs=0.1), "one answer of the database"
        assert database.batches == [[call(0), call(1), call(2), call(3), call(4), ANOTHERS, call(6)]]
        assert await gatherer.claim(call(7), "") == 1, "and one that comes alone goes alone"
        assert database.batches[1:] == [[call(7)]]

    run_virtually(tell())


def test_those_that_come_while_others_are_under_way_go_in_the_next() -> None:
    async def tell() -> None:
        database = Database()
        gatherer = ClaimGatherer(database, ME)
        tasks = claims(gatherer, call(0))
        await asyncio.sleep(0.5)
        tasks += claims(gatherer, call(1), call(2))
        await asyncio.sleep(1.0)
        tasks += claims(gatherer, call(3), call(4))
        assert await asyncio.gather(*tasks) == [1] * 5
        assert database.batches == [[call(0)], [call(1), call(2)], [call(3), call(4)]]

    run_virtually(tell())


def test_a_call_that_comes_twice_is_claimed_once_and_both_are_told() -> None:
    async def tell() -> None:
        database = Database()
        gatherer = ClaimGatherer(database, ME)
        answers = await asyncio.gather(*claims(gatherer, call(0), call(1), ANOTHERS, call(1), ANOTHERS))
        assert answers == [1, 1, None, 1, None]
        assert database.batches == [[call(0), call(1), ANOTHERS]]

    run_virtually(tell())


def test_no_batch_is_larger_than_one_transaction_should_be() -> None:
    async def tell() -> None:
        database = Database()
        gatherer = ClaimGatherer(database, ME)
        count = 2 * MOST_AT_ONCE + 2
        assert await asyncio.gather(*claims(gatherer, *map(call, range(count)))) == [1] * count
        assert [len(batch) for batch in database.batches] == [MOST_AT_ONCE, MOST_AT_ONCE, 2]

    run_virtually(tell())


def test_a_database_that_is_away_is_away_for_all_of_a_batch_and_for_no_other() -> None:
    async def tell() -> None:
        database = Database()
        database.error = StoreAwayError("away", serves_nobody=True)
        gatherer = ClaimGatherer(database, ME)
        tasks = claims(gatherer, call(0))
        await asyncio.sleep(0.5)
        tasks += claims(gatherer, call(1), call(2))
        await asyncio.sleep(1.0)
        tasks += claims(gatherer, call(3))
        await asyncio.sleep(1.0)
        database.error = None
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(one) for one in found] == [StoreAwayError] * 3 + [int]
        assert len(database.batches) == 3

    run_virtually(tell())


def test_what_the_database_refuses_takes_no_other_claim_with_it() -> None:
    async def tell() -> None:
        database = Database()
        database.refuses = call(2)
        gatherer = ClaimGatherer(database, ME)
        tasks = claims(gatherer, *map(call, range(5)))
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(one) for one in found] == [int, int, StoreError, int, int]
        assert await gatherer.claim(call(6), "") == 1

    run_virtually(tell())


def test_when_too_many_wait_the_next_is_told_at_once() -> None:
    async def tell() -> None:
        database = Database(takes_s=1e6)
        gatherer = ClaimGatherer(database, ME)
        tasks = claims(gatherer, call(0))
        await asyncio.sleep(0.1)
        tasks += claims(gatherer, *map(call, range(1, MOST_WAITING + 1)))
        await asyncio.sleep(0.1)
        with pytest.raises(StoreAwayError, match="wait for the database"):
            await gatherer.claim(call(99_999), "")
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert len(database.batches) == 1, "whoever is cancelled leaves without asking"

    run_virtually(tell())


def test_when_whoever_asks_is_cancelled_the_others_have_their_answers() -> None:
    async def tell() -> None:
        database = Database()
        gatherer = ClaimGatherer(database, ME)
        tasks = claims(gatherer, call(0))
        await asyncio.sleep(0.5)
        tasks += claims(gatherer, *map(call, range(1, 4)))
        await asyncio.sleep(1.0)  # the second asks for itself and for those behind it
        tasks[1].cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(one) for one in found] == [int, asyncio.CancelledError, int, int]
        assert database.claimed[call(2)] == database.claimed[call(3)] == 1
        assert await gatherer.claim(call(6), "") == 1

    run_virtually(tell())


def test_when_whoever_is_about_to_ask_is_cancelled_the_others_ask() -> None:
    async def tell() -> None:
        database = Database()
        gatherer = ClaimGatherer(database, ME)
        tasks = claims(gatherer, *map(call, range(3)))
        asyncio.get_running_loop().call_soon(tasks[0].cancel)  # after each has begun
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(one) for one in found] == [asyncio.CancelledError, int, int]
        assert database.batches == [[call(1), call(2)]]
        alone = claims(gatherer, call(3))
        asyncio.get_running_loop().call_soon(alone[0].cancel)
        await asyncio.wait(alone)
        assert await gatherer.claim(call(4), "") == 1
        assert database.batches[1:] == [[call(4)]]

    run_virtually(tell())


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    arrivals=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 12)), min_size=1, max_size=25),
    cancels=st.lists(st.tuples(st.integers(0, 24), st.integers(0, 50)), max_size=12),
    away=st.lists(st.tuples(st.integers(0, 50), st.integers(1, 15)), max_size=2),
)
def test_whoever_is_cancelled_loses_and_doubles_nobody_elses_claim(
    arrivals: list[tuple[int, int]], cancels: list[tuple[int, int]], away: list[tuple[int, int]]
) -> None:
    async def tell() -> None:
        database = Database(takes_s=0.7)
        gatherer = ClaimGatherer(database, ME)
        tasks: dict[int, asyncio.Task[int | None]] = {}
        cancelled: set[int] = set()

        async def arrive(index: int, at: int, number: int) -> None:
            await asyncio.sleep(at / 10)
            tasks[index] = asyncio.ensure_future(gatherer.claim(call(number), ""))

        async def cancel(index: int, at: int) -> None:
            await asyncio.sleep(at / 10)
            if index in tasks and tasks[index].cancel():
                cancelled.add(index)

        async def go_away(at: int, length: int) -> None:
            await asyncio.sleep(at / 10)
            database.error = StoreAwayError("away", serves_nobody=False)
            await asyncio.sleep(length / 10)
            database.error = None

        async with asyncio.timeout(1000), asyncio.TaskGroup() as group:
            for index, (at, number) in enumerate(arrivals):
                group.create_task(arrive(index, at, number))
            for index, at in cancels:
                group.create_task(cancel(index, at))
            for at, length in away:
                group.create_task(go_away(at, length))
        async with asyncio.timeout(1000):
            await asyncio.wait(tasks.values())
        for index, task in tasks.items():
            if task.cancelled():
                assert index in cancelled
            elif task.exception() is not None:
                assert away
                assert isinstance(task.exception(), StoreAwayError)
            else:
                assert task.result() == 1
                assert database.claimed[call(arrivals[index][1])] >= 1
        database.error = None
        assert await gatherer.claim(call(99), "") == 1, "it serves on"

    run_virtually(tell())
