"""Side effects, told to the store before they happen."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sipagent.calls.effects import NOT_NOW, UNKNOWN, StoredEffects, restore
from sipagent.calls.lease import Holding, Lease
from sipagent.calls.outages import UNMISSED_S
from sipagent.calls.tools.failures import ToolFailureError
from sipagent.calls.tools.ledger import Ledger
from sipagent.errors import NotOursError, StoreAwayError
from sipagent.identifiers import CallId, WorkerId
from sipagent.store import Effect, EffectAnswer, MemoryCallStore, MemoryDatabase
from tests.support.claims import claim_one
from tests.support.virtual_time import run_virtually

CALL = CallId("rtc_1")
KEY = 'book {"day": "Tuesday"}'


class Away(MemoryCallStore):
    """A store that is away, for us or for everybody."""

    serves_nobody = False

    async def begin_effect(self, call_id: CallId, key: str, worker: WorkerId, epoch: int) -> EffectAnswer:
        raise StoreAwayError("away", serves_nobody=self.serves_nobody)

    async def finish_effect(self, call_id: CallId, key: str, output: str, is_error: bool) -> None:
        raise StoreAwayError("away", serves_nobody=self.serves_nobody)


def holding(worker: str, epoch: int) -> Holding:
    lease = Lease(lambda fact: None, stall_s=60.0, now=asyncio.get_running_loop().time)
    return Holding(lease=lease, worker=WorkerId(worker), epoch=epoch)


async def claimed() -> MemoryDatabase:
    """A database in which worker a holds the call."""
    database = MemoryDatabase()
    store = MemoryCallStore(database=database)
    await store.open()
    for worker in ("a", "b"):
        await store.join(WorkerId(worker), name=worker, lease_s=60)
    assert await claim_one(store, CALL, WorkerId("a"), webhook="{}")
    return database


async def adopted(database: MemoryDatabase) -> None:
    """Worker b takes the call over."""
    store = MemoryCallStore(database=database)
    await store.leave(WorkerId("a"))
    (call,) = await store.adopt(WorkerId("b"), limit=1, quiet_s=0)
    assert call.epoch == 2


def effects(database: MemoryDatabase, worker: str, epoch: int, **more: Any) -> StoredEffects:
    return StoredEffects(CALL, memory=MemoryCallStore(database=database), holding=holding(worker, epoch))


async def test_what_was_finished_is_told_to_whoever_takes_over() -> None:
    database = await claimed()
    first = effects(database, "a", 1)
    await first.begin("call_1", KEY)
    await first.end("call_1", KEY, state="done", outcome={"booked": True})
    await adopted(database)
    ledger = Ledger()
    restore(ledger, await MemoryCallStore(database=database).effects(CALL))
    entry = ledger.begin(KEY, "call_1")
    assert entry is not None
    assert (entry.state, entry.outcome) == ("done", '{"booked": true}')
    again = ledger.begin(KEY, "call_2")
    assert again is entry, "the same work under another id is not begun either"


async def test_what_was_begun_and_not_finished_is_never_begun_again() -> None:
    database = await claimed()
    await effects(database, "a", 1).begin("call_1", KEY)
    await adopted(database)
    ledger = Ledger()
    restore(ledger, await MemoryCallStore(database=database).effects(CALL))
    entry = ledger.begin(KEY, "call_1")
    assert entry is not None
    assert (entry.state, entry.outcome) == ("unclear", UNKNOWN)
    with pytest.raises(ToolFailureError, match="Nobody knows") as caught:
        await effects(database, "b", 2).begin("call_1", KEY)
    assert caught.value.effect == "unknown"


async def test_whoever_lost_the_call_begins_nothing() -> None:
    database = await claimed()
    late = effects(database, "a", 1)
    await adopted(database)
    with pytest.raises(ToolFailureError):
        await late.begin("call_1", KEY)
    await effects(database, "b", 2).begin("call_1", KEY)


async def test_work_that_failed_without_effect_may_be_begun_by_another_call_of_the_model() -> None:
    database = await claimed()
    first = effects(database, "a", 1)
    await first.begin("call_1", KEY)
    await first.end("call_1", KEY, state="failed", outcome="Nothing was done.")
    ledger = Ledger()
    restore(ledger, await MemoryCallStore(database=database).effects(CALL))
    assert ledger.begin(KEY, "call_2") is None
    entry = ledger.begin(KEY, "call_1")
    assert entry is not None
    assert entry.state == "failed"


def test_a_database_that_serves_nobody_holds_nothing_up_for_long() -> None:
    async def story() -> None:
        store, loop = Away(), asyncio.get_running_loop()
        store.serves_nobody = True
        alone = StoredEffects(CALL, memory=store, holding=holding("a", 1))
        began = loop.time()
        await alone.begin("call_1", KEY)
        assert UNMISSED_S <= loop.time() - began < UNMISSED_S + 1
        await alone.end("call_1", KEY, state="done", outcome="Done.")
        began = loop.time()
        await alone.begin("call_2", KEY)
        assert loop.time() == began, "it is known by now"

    run_virtually(story())


async def test_cut_off_from_a_database_that_may_serve_others_nothing_is_begun() -> None:
    cut_off = StoredEffects(CALL, memory=Away(), holding=holding("a", 1))
    with pytest.raises(ToolFailureError) as caught:
        await cut_off.begin("call_1", KEY)
    assert (str(caught.value), caught.value.effect) == (NOT_NOW, "none")


def test_in_doubt_nothing_is_begun_without_an_entry_either() -> None:
    async def story() -> None:
        store = Away()
        store.serves_nobody = True
        doubting = StoredEffects(CALL, memory=store, holding=holding("a", 1))
        doubting.doubt(lambda tool_call_id: tool_call_id == "call_1")
        with pytest.raises(ToolFailureError) as caught:
            await doubting.begin("call_1", KEY)
        assert caught.value.effect == "unknown"

    run_virtually(story())


async def test_what_may_have_been_begun_without_an_entry_is_not_begun() -> None:
    database = await claimed()
    doubting = effects(database, "a", 1)
    doubting.doubt(lambda tool_call_id: tool_call_id == "call_1")
    with pytest.raises(ToolFailureError) as caught:
        await doubting.begin("call_1", KEY)
    assert caught.value.effect == "unknown"
    await doubting.begin("call_2", KEY)


async def test_a_process_that_is_in_doubt_waits_and_one_that_lost_its_calls_does_nothing() -> None:
    database = await claimed()
    lease = Lease(lambda fact: None, stall_s=0.0, now=asyncio.get_running_loop().time)
    doubtful = Holding(lease=lease, worker=WorkerId("a"), epoch=1)
    waiting = asyncio.ensure_future(
        StoredEffects(CALL, memory=MemoryCallStore(database=database), holding=doubtful).begin("call_1", KEY)
    )
    await asyncio.sleep(0)
    assert not waiting.done()
    lease.lose()
    with pytest.raises(NotOursError):
        await waiting
    assert await MemoryCallStore(database=database).effects(CALL) == ()


class Silent(MemoryCallStore):
    """A store that does not say what was done as long as it is `away`."""

    away = True

    async def effects(self, call_id: CallId) -> tuple[Effect, ...]:
        if self.away:
            raise StoreAwayError("away", serves_nobody=False)
        return await super().effects(call_id)


@pytest.mark.parametrize("ended", ["done", "failed", None])
async def test_nothing_is_begun_before_it_is_known_what_was_done(ended: str | None) -> None:
    database = await claimed()
    before = effects(database, "a", 1)
    await before.begin("call_1", KEY)
    if ended is not None:
        await before.end("call_1", KEY, state=ended, outcome="Table 5.")
    await before.begin("call_2", "pay {}")
    await adopted(database)
    store, ledger = Silent(database=database), Ledger()
    after = StoredEffects(CALL, memory=store, holding=holding("b", 2))
    with pytest.raises(StoreAwayError):
        await after.recall(ledger)
    assert ledger.begin(KEY, "call_3") is None
    with pytest.raises(ToolFailureError, match="cannot be done safely just now") as refused:
        await after.begin("call_3", KEY)
    assert refused.value.effect == "none"
    store.away = False
    if ended == "failed":
        await after.begin("call_3", KEY)  # it had no effect, and may be tried again
    else:
        with pytest.raises(ToolFailureError, match="Table 5" if ended else "Nobody knows") as known:
            await after.begin("call_3", KEY)
        assert known.value.effect == "unknown"
    # All else that was done is known from now on, without asking again.
    found = ledger.earlier("pay {}", "call_4")
    assert found is not None
    assert found.state == "unclear"
    store.away = True
    await after.begin("call_5", "another {}")


async def test_what_is_being_done_here_is_not_taken_for_what_others_did() -> None:
    database = await claimed()
    store, ledger = Silent(database=database), Ledger()
    ours = StoredEffects(CALL, memory=store, holding=holding("a", 1))
    store.away = False
    assert ledger.begin(KEY, "call_1") is None
    await ours.begin("call_1", KEY)
    await ours.recall(ledger)
    found = ledger.earlier(KEY, "call_1")
    assert found is not None
    assert found.state == "running"
