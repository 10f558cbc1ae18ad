"""Who is to blame when a database says no."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from sipagent.calls.fact_writer import FactWriter, Written
from sipagent.errors import StoreAwayError, StoreError
from sipagent.store import Fact, MemoryCallStore
from sipagent.telemetry import Metrics
from tests.store import facts
from tests.telemetry.test_metrics import value

FACTS: list[Fact] = [facts.opened(), facts.state(1, "accepting"), *(facts.note(n) for n in range(60))]


class Choosy(MemoryCallStore):
    """Refuses what ``refuses`` says; counts what it is asked."""

    def __init__(self, refuses: Callable[[Sequence[Fact]], bool]) -> None:
        super().__init__()
        self.refuses = refuses
        self.asked: list[int] = []
        self.pings = 0
        self.order: list[Fact] = []

    async def ping(self) -> None:
        self.pings += 1

    async def apply(self, facts: Sequence[Fact]) -> None:
        self.asked.append(len(facts))
        if self.refuses(facts):
            raise StoreError("no")
        self.order.extend(facts)
        await super().apply(facts)


def writer(store: MemoryCallStore, metrics: Metrics | None = None, *, timeout_s: float = 30.0) -> FactWriter:
    return FactWriter(store, (metrics or Metrics()).store, timeout_s=timeout_s, opinion_pause_s=0)


async def test_what_is_taken_is_asked_for_once() -> None:
    store = Choosy(lambda facts: False)
    assert await writer(store).write(FACTS) == Written()
    assert store.asked == [len(FACTS)]
    assert store.pings == 0


async def test_the_one_that_is_refused_is_found_and_the_others_are_in_order() -> None:
    poison = FACTS[30]
    store = Choosy(lambda facts: poison in facts)
    assert await writer(store).write(FACTS) == Written(refused=(poison,))
    assert len(store.asked) < 60, "halving, three times over"
    assert store.order[-len(FACTS) + 1 :] == [fact for fact in FACTS if fact is not poison]


async def test_what_is_refused_for_a_moment_is_taken_and_comes_before_what_followed_it() -> None:
    refusals = iter([True, True, True, True, True, True, True, True])
    store = Choosy(lambda facts: FACTS[0] in facts and next(refusals, False))
    assert await writer(store).write(FACTS) == Written()
    assert store.order[-len(FACTS) :] == FACTS


async def test_refusals_that_change_blame_nobody() -> None:
    rounds = 0

    def whims(facts: Sequence[Fact]) -> bool:
        nonlocal rounds
        rounds += len(facts) == len(FACTS)
        return FACTS[3 if rounds <= 2 else 40] in facts

    assert await writer(Choosy(whims)).write(FACTS) is None


async def test_a_database_that_takes_nothing_at_all_is_away_soon() -> None:
    store = Choosy(lambda facts: True)
    assert await writer(store).write(FACTS * 10) is None
    assert len(store.asked) < 60


async def test_one_that_took_something_once_is_asked_for_that_again_first() -> None:
    store, metrics = Choosy(lambda facts: False), Metrics()
    one = writer(store, metrics)
    await one.write(FACTS)
    store.refuses, store.asked = (lambda facts: True), []
    assert await one.write(FACTS) is None
    assert store.asked == [len(FACTS), 1]
    assert value(metrics, "sipagent_store_up") == 0
    store.refuses = lambda facts: facts[0] is FACTS[5]
    assert await one.write([FACTS[5]]) == Written(refused=(FACTS[5],))
    assert value(metrics, "sipagent_store_up") == 1


async def test_one_that_is_away_is_not_asked_twice() -> None:
    class Away(Choosy):
        async def apply(self, facts: Sequence[Fact]) -> None:
            self.asked.append(len(facts))
            raise StoreAwayError("connection refused", serves_nobody=True)

    store = Away(lambda facts: True)
    assert await writer(store).write(FACTS) is None
    assert store.asked == [len(FACTS)]
    assert store.pings == 0


async def test_one_that_never_answers_is_away() -> None:
    class Silent(MemoryCallStore):
        async def apply(self, facts: Sequence[Fact]) -> None:
            await asyncio.Event().wait()

        async def ping(self) -> None:
            await asyncio.Event().wait()

    metrics = Metrics()
    one = writer(Silent(), metrics, timeout_s=0.02)
    assert await one.write(FACTS) is None
    assert not await one.answers()
    assert value(metrics, "sipagent_store_up") == 0


async def test_asking_whether_it_answers_says_so_in_the_metrics() -> None:
    class Moody(MemoryCallStore):
        away = True

        async def ping(self) -> None:
            if self.away:
                raise StoreError("away")

    store, metrics = Moody(), Metrics()
    one = writer(store, metrics)
    assert not await one.answers()
    assert value(metrics, "sipagent_store_up") == 0
    store.away = False
    assert await one.answers()
    assert value(metrics, "sipagent_store_up") == 1
