"""What is done while the database is away, and told afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from sipagent.calls.outages import ASK_S, MOST_UNENTERED, UNMISSED_S, EffectUnderWay, Outages
from sipagent.errors import StoreAwayError, StoreError
from sipagent.identifiers import CallId, WorkerId
from sipagent.store import Effect, EffectAnswer, EffectBegun, MemoryCallStore, MemoryDatabase
from tests.support.claims import claim_one
from tests.support.virtual_time import run_virtually

CALL = CallId("rtc_1")
WORKER = WorkerId("a")
DONE = EffectUnderWay(worker=WORKER, epoch=1, output="done", is_error=False)
NOBODY_IS_SERVED = StoreAwayError("connection refused", serves_nobody=True)
CUT_OFF = StoreAwayError("no route", serves_nobody=False)


class Database(MemoryCallStore):
    """A database that fails as told."""

    def __init__(self) -> None:
        super().__init__(database=MemoryDatabase())
        self.failure: Exception | None = None
        self.hangs = False
        self.asked = 0
        self.refuses_ends = False

    async def _answer(self) -> None:
        self.asked += 1
        if self.hangs:
            await asyncio.sleep(3600)
        if self.failure is not None:
            raise self.failure

    async def begin_effect(self, call_id: CallId, key: str, worker: WorkerId, epoch: int) -> EffectAnswer:
        """See `CallLeases.begin_effect`."""
        await self._answer()
        return await super().begin_effect(call_id, key, worker, epoch)

    async def finish_effect(self, call_id: CallId, key: str, output: str, is_error: bool) -> None:
        """See `CallLeases.finish_effect`."""
        await self._answer()
        if self.refuses_ends:
            raise StoreError("too much of it")
        await super().finish_effect(call_id, key, output, is_error)

    async def entries(self) -> list[tuple[str, str | None]]:
        """What is entered."""
        return [_shown(effect) for effect in await self.effects(CALL)]


def _shown(effect: Effect) -> tuple[str, str | None]:
    return effect.key, effect.output


async def begin(outages: Outages, database: Database, key: str = "book") -> EffectAnswer | None:
    return await outages.begin(database, CALL, key, worker=WORKER, epoch=1)


async def begun_in_an_outage(database: Database, *keys: str) -> Outages:
    outages = Outages()
    database.failure = NOBODY_IS_SERVED
    for key in keys:
        assert await begin(outages, database, key) is None
    return outages


async def all_is_told(outages: Outages) -> bool:
    """Whether the database knows all that was done: then even one that is away is asked nothing."""
    away = Database()
    away.failure = NOBODY_IS_SERVED
    try:
        async with outages.told(away):
            return True
    except StoreAwayError:
        return False


def in_virtual_time(story: Coroutine[Any, Any, None]) -> None:
    run_virtually(story)


# Beginning ------------------------------------------------------------------------------------------


async def test_what_the_database_is_asked_is_answered_by_it() -> None:
    database = Database()
    outages = Outages()
    assert isinstance(await begin(outages, database), EffectBegun)
    assert await all_is_told(outages)


def test_an_outage_that_others_may_have_missed_is_waited_for() -> None:
    async def story() -> None:
        database, loop = Database(), asyncio.get_running_loop()
        database.failure = NOBODY_IS_SERVED
        outages, began = Outages(), loop.time()
        asking = asyncio.ensure_future(begin(outages, database))
        await asyncio.sleep(UNMISSED_S - 0.1)
        assert not asking.done()
        database.failure = None
        assert isinstance(await asking, EffectBegun)
        assert loop.time() - began <= UNMISSED_S + 0.5
        assert await all_is_told(outages)

    in_virtual_time(story())


def test_a_heartbeat_that_failed_counts_and_one_that_was_answered_begins_anew() -> None:
    async def story() -> None:
        database, loop = Database(), asyncio.get_running_loop()
        database.failure = NOBODY_IS_SERVED
        outages = Outages()
        outages.failed(NOBODY_IS_SERVED)
        await asyncio.sleep(UNMISSED_S)
        began = loop.time()
        assert await begin(outages, database) is None
        assert loop.time() == began
        outages.served()
        assert await begin(outages, database, "look") is None
        assert loop.time() - began >= UNMISSED_S

    in_virtual_time(story())


@pytest.mark.parametrize("failure", [CUT_OFF, TimeoutError()])
def test_where_only_we_may_be_cut_off_nothing_begins(failure: Exception) -> None:
    async def story() -> None:
        database = Database()
        outages = Outages()
        outages.failed(NOBODY_IS_SERVED)
        await asyncio.sleep(UNMISSED_S)
        outages.failed(failure)
        database.failure = failure
        with pytest.raises(type(failure)):
            await begin(outages, database)
        assert await all_is_told(outages)
        database.failure = NOBODY_IS_SERVED
        began = asyncio.get_running_loop().time()
        assert await begin(outages, database) is None
        assert asyncio.get_running_loop().time() - began >= UNMISSED_S, "it is counted anew"

    in_virtual_time(story())


def test_a_database_that_does_not_answer_is_not_waited_for() -> None:
    async def story() -> None:
        database, loop = Database(), asyncio.get_running_loop()
        database.hangs = True
        began = loop.time()
        with pytest.raises(TimeoutError):
            await begin(Outages(), database)
        assert loop.time() - began == pytest.approx(ASK_S)

    in_virtual_time(story())


def test_no_more_begins_than_can_be_remembered() -> None:
    async def story() -> None:
        database = Database()
        keys = [f"book {number}" for number in range(MOST_UNENTERED)]
        outages = await begun_in_an_outage(database, *keys)
        with pytest.raises(StoreAwayError):
            await begin(outages, database, "one more")

    in_virtual_time(story())


def test_who_is_cancelled_while_it_waits_has_not_begun() -> None:
    async def story() -> None:
        database = Database()
        database.failure = NOBODY_IS_SERVED
        outages = Outages()
        asking = asyncio.ensure_future(begin(outages, database))
        await asyncio.sleep(UNMISSED_S / 2)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert await all_is_told(outages)

    in_virtual_time(story())


# Telling --------------------------------------------------------------------------------------------


def test_everything_is_told_before_anything_else_is_asked() -> None:
    async def story() -> None:
        database = Database()
        outages = await begun_in_an_outage(database, "book", "write")
        await outages.end(database, CALL, "book", DONE)
        database.failure = None
        async with outages.told(database):
            assert await database.entries() == [("book", "done"), ("write", None)]
        assert await all_is_told(outages)

    in_virtual_time(story())


def test_nothing_else_is_asked_as_long_as_it_cannot_be_told() -> None:
    async def story() -> None:
        database = Database()
        outages = await begun_in_an_outage(database, "book")
        with pytest.raises(StoreAwayError):
            async with outages.told(database):
                raise AssertionError("nothing may be asked")
        assert not await all_is_told(outages)

    in_virtual_time(story())


def test_what_ends_while_it_is_told_is_told_to_its_end() -> None:
    async def story() -> None:
        database = Database()
        outages = await begun_in_an_outage(database, "book")

        class Ends(Database):
            async def begin_effect(self, *arguments: Any) -> EffectAnswer:
                found = await super().begin_effect(*arguments)
                self.failure = NOBODY_IS_SERVED
                await outages.end(self, CALL, "book", DONE)
                self.failure = None
                return found

        ending = Ends()
        async with outages.told(ending):
            assert await ending.entries() == [("book", "done")]

    in_virtual_time(story())


def test_nothing_begins_without_an_entry_while_others_are_let_to_believe_that_all_is_told() -> None:
    async def story() -> None:
        database = Database()
        outages = await begun_in_an_outage(database)
        outages.failed(NOBODY_IS_SERVED)
        await asyncio.sleep(UNMISSED_S)
        async with outages.told(database):
            asking = asyncio.ensure_future(begin(outages, database))
            await asyncio.sleep(ASK_S / 2)
            assert database.asked == 0
        assert await asking is None
        assert not await all_is_told(outages)

    in_virtual_time(story())


def test_an_end_that_the_database_could_not_take_is_told_later() -> None:
    async def story() -> None:
        database = Database()
        outages = Outages()
        await begin(outages, database)
        database.failure = CUT_OFF
        await outages.end(database, CALL, "book", DONE)
        database.failure = None
        assert await database.entries() == [("book", None)]
        async with outages.told(database):
            pass
        assert await database.entries() == [("book", "done")]

    in_virtual_time(story())


def test_an_end_that_the_database_refuses_does_not_keep_its_beginning_from_being_entered() -> None:
    async def story() -> None:
        database = Database()
        outages = await begun_in_an_outage(database, "book")
        await outages.end(database, CALL, "book", DONE)
        database.failure, database.refuses_ends = None, True
        async with outages.told(database):
            assert await database.entries() == [("book", None)]
        assert await all_is_told(outages)

    in_virtual_time(story())


async def test_what_was_begun_in_a_call_that_is_anothers_by_now_is_not_told_for_ever() -> None:
    database = Database()
    for worker in ("a", "b"):
        await database.join(WorkerId(worker), name=worker, lease_s=60)
    await claim_one(database, CALL, WORKER, webhook="{}")
    await database.leave(WORKER)
    assert await database.adopt(WorkerId("b"), limit=1, quiet_s=0)
    outages = Outages()
    outages._untold[CALL, "book"] = EffectUnderWay(worker=WORKER, epoch=1)
    async with outages.told(database):
        assert await database.entries() == []
    assert await all_is_told(outages)


# Knowing --------------------------------------------------------------------------------------------


def test_how_long_nothing_has_spoken_against_the_database_is_counted_from_the_last_trouble() -> None:
    async def story() -> None:
        outages = Outages()
        assert outages.undisturbed_s == float("inf")
        outages.failed(CUT_OFF)
        await asyncio.sleep(3.0)
        outages.served()
        assert outages.undisturbed_s == pytest.approx(3.0)
        outages.disturbed()
        assert outages.undisturbed_s == 0.0

    in_virtual_time(story())
