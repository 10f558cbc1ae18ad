"""What is asked of calls is done by whoever holds them, at most once, and written down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from sipagent.calls.commands import OLDEST_S, CommandDesk
from sipagent.calls.steering import Steered, Steering
from sipagent.clock import utc_now
from sipagent.errors import NotOursError, StoreError
from sipagent.identifiers import CallId, WorkerId
from sipagent.store import CallCommand, CallEnded, CallOpened, MemoryCallStore, MemoryDatabase
from sipagent.store.orders import (
    MAXIMUM_ARGUMENT,
    Answered,
    NoSuchCall,
    Reply,
    Unanswered,
    Verb,
    order,
    order_key,
)
from tests.support.claims import claim_one
from tests.support.eventually import eventually

CALL = CallId("rtc_1")
ONE, OTHER = WorkerId("worker_1"), WorkerId("worker_2")


@dataclass
class Talk:
    """A conversation that notes what is asked of it."""

    asked: list[str] = field(default_factory=list)
    notes: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    works: bool = True
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    """A transfer takes until it is set."""
    fails: Exception | None = None
    resumed: str | None = None
    """The target of the transfer that goes on."""

    async def resumed_transfer(self, name: str) -> Steered | None:
        if name != self.resumed:
            return None
        await self.go_on.wait()
        return Steered(done=self.works, detail="So it was.")

    def hang_up(self, detail: str, *, politely: bool) -> Steered:
        self.asked.append(f"hang up {'politely' if politely else 'now'}: {detail}")
        return Steered(done=self.works, detail="So it was.")

    async def say(self, words: str) -> Steered:
        if self.fails is not None:
            raise self.fails
        self.asked.append(f"say {words}")
        return Steered(done=self.works, detail="So it was.")

    async def transfer(self, name: str) -> Steered:
        if self.fails is not None:
            raise self.fails
        self.asked.append(f"transfer {name}")
        await self.go_on.wait()
        return Steered(done=self.works, detail="So it was.")

    def note(self, kind: str, **data: Any) -> None:
        self.notes.append((kind, data))


@dataclass
class Worker:
    store: MemoryCallStore
    desk: CommandDesk
    talks: dict[CallId, Talk]
    clock: Callable[[], datetime]


async def a_worker(
    database: MemoryDatabase, name: WorkerId, *, clock: Callable[[], datetime] = utc_now
) -> Worker:
    """One that looks whenever it is signalled, with no heartbeat beside."""
    store = MemoryCallStore(database=database)
    await store.open()
    await store.join(name, name=str(name), lease_s=600.0)
    talks: dict[CallId, Talk] = {}
    desk = CommandDesk(store, lambda call_id: cast("Steering | None", talks.get(call_id)), utc_now=clock)
    return Worker(store=store, desk=desk, talks=talks, clock=clock)


@asynccontextmanager
async def one_worker() -> AsyncIterator[tuple[Worker, MemoryCallStore]]:
    """A worker with one call that talks, and the store of somebody else."""
    database = MemoryDatabase()
    worker = await a_worker(database, ONE)
    await opened(worker.store)
    assert await claim_one(worker.store, CALL, ONE, webhook="")
    worker.talks[CALL] = Talk()
    looking: list[asyncio.Task[None]] = []
    await worker.store.listen(ONE, lambda kind: looking.append(asyncio.ensure_future(worker.desk.look(ONE))))
    try:
        yield worker, MemoryCallStore(database=database)
    finally:
        await asyncio.gather(*looking)
        await worker.desk.aclose()


async def opened(store: MemoryCallStore, call_id: CallId = CALL) -> None:
    await store.apply(
        [
            CallOpened(
                call_id=call_id,
                at=datetime(2026, 11, 20, tzinfo=UTC),
                webhook_id="wh_1",
                caller=None,
                dialled=None,
                agent="front-desk",
                model=None,
                sip_call_id=None,
                configuration=None,
            )
        ]
    )


async def ended(store: MemoryCallStore) -> None:
    at = datetime(2026, 11, 20, tzinfo=UTC)
    await store.apply(
        [CallEnded(call_id=CALL, at=at, reason="caller_hung_up", fault_owner="none", detail="")]
    )


async def asked(
    store: MemoryCallStore,
    verb: Verb,
    argument: str = "",
    *,
    patience_s: float = 20.0,
    call_id: CallId = CALL,
) -> Reply:
    return await order(
        store, call_id, verb, argument, asked_by="dana@ops", patience_s=patience_s, utc_now=utc_now
    )


def command(verb: str = "say", argument: str = "Hello.", *, age_s: float = 0.0) -> CallCommand:
    return CallCommand(
        command_id="command_1",
        call_id=CALL,
        verb=verb,
        argument=argument,
        asked_by="dana@ops",
        asked_at=utc_now() - timedelta(seconds=age_s),
    )


@pytest.mark.parametrize(
    ("verb", "argument", "done"),
    [
        ("hangup", "politely", "hang up politely: dana@ops had the call ended."),
        ("hangup", "now", "hang up now: dana@ops had the call ended."),
        ("say", "One moment, please.", "say One moment, please."),
        ("transfer", "billing", "transfer billing"),
    ],
)
async def test_a_command_reaches_the_call_and_its_outcome_the_asker(
    verb: Verb, argument: str, done: str
) -> None:
    async with one_worker() as (worker, elsewhere):
        talk = worker.talks[CALL]
        talk.go_on.set()
        reply = await asked(elsewhere, verb, argument)
        assert isinstance(reply, Answered)
        assert (reply.done, reply.outcome.detail) == (True, "So it was.")
        assert talk.asked == [done]
        (line,) = await elsewhere.audit(CALL)
    assert (line.command.asked_by, line.command.verb, line.command.argument) == ("dana@ops", verb, argument)
    assert line.outcome is not None
    assert line.outcome.outcome == "done"
    about = {"verb": verb, "argument": argument, "asked_by": "dana@ops"}
    assert talk.notes == [("command", {**about, "outcome": "done", "detail": "So it was."})]


async def test_what_did_not_work_is_told_as_it_is() -> None:
    async with one_worker() as (worker, elsewhere):
        worker.talks[CALL].works = False
        reply = await asked(elsewhere, "say", "Hello.")
        assert isinstance(reply, Answered)
        assert (reply.done, reply.outcome.outcome) == (False, "failed")


async def test_there_is_no_such_call() -> None:
    async with one_worker() as (worker, elsewhere):
        reply = await asked(elsewhere, "say", "Hello.", call_id=CallId("rtc_none"))
        assert reply == NoSuchCall(detail="There is no call 'rtc_none'.")
        await ended(worker.store)
        assert await asked(elsewhere, "say") == NoSuchCall(detail="The call is over: caller_hung_up.")


async def test_a_call_that_ends_before_anybody_answers_is_over_and_nothing_is_left_to_do() -> None:
    async with one_worker() as (worker, elsewhere):
        worker.talks.clear()
        asking = asyncio.ensure_future(asked(elsewhere, "say"))
        await until_asked(elsewhere)
        await ended(worker.store)
        assert isinstance(await asking, NoSuchCall)
        (line,) = await elsewhere.audit(CALL)
        assert line.outcome is not None
        assert line.outcome.outcome == "taken_back"


async def until_asked(store: MemoryCallStore) -> None:
    async with asyncio.timeout(20):
        while True:
            if await store.audit(CALL):
                return
            await asyncio.sleep(0.005)  # a store is asked, it does not tell


async def test_nobody_answers_and_the_command_is_taken_back() -> None:
    async with one_worker() as (worker, elsewhere):
        worker.talks.clear()  # the call still rings
        reply = await asked(elsewhere, "say", patience_s=0.1)
        assert reply == Unanswered(
            detail="Nobody answered in time (worker worker_1 holds the call), and nothing was done."
        )
        talk = worker.talks[CALL] = Talk()
        await worker.desk.look(ONE)
        await worker.desk.aclose()
        assert talk.asked == [], "it is not done behind the asker's back"


async def test_a_call_that_rings_is_asked_as_soon_as_it_talks() -> None:
    async with one_worker() as (worker, elsewhere):
        talk = worker.talks.pop(CALL)
        asking = asyncio.ensure_future(asked(elsewhere, "say", "Hello."))
        await until_asked(elsewhere)
        await worker.desk.look(ONE)
        await eventually(lambda: not worker.desk._serving)
        worker.talks[CALL] = talk
        assert talk.asked == []
        await worker.desk.look(ONE)
        assert isinstance(await asking, Answered)
        assert talk.asked == ["say Hello."]


async def test_an_asker_who_leaves_takes_the_command_back() -> None:
    async with one_worker() as (worker, elsewhere):
        worker.talks.clear()
        asking = asyncio.ensure_future(asked(elsewhere, "say"))
        await until_asked(elsewhere)
        asking.cancel()
        await asyncio.wait([asking])
        assert asking.cancelled()
        (line,) = await elsewhere.audit(CALL)
        assert line.outcome is not None
        assert line.outcome.outcome == "taken_back"


async def test_what_takes_its_time_is_begun_and_the_asker_knows_it() -> None:
    async with one_worker() as (worker, elsewhere):
        talk = worker.talks[CALL]
        reply = await asked(elsewhere, "transfer", "billing", patience_s=0.3)
        assert isinstance(reply, Unanswered)
        assert "begun" in reply.detail
        talk.go_on.set()
        await eventually(lambda: talk.notes)
        assert talk.asked == ["transfer billing"]


async def test_a_look_while_it_is_served_begins_nothing_twice() -> None:
    async with one_worker() as (worker, elsewhere):
        talk = worker.talks[CALL]
        asking = asyncio.ensure_future(asked(elsewhere, "transfer", "billing"))
        await eventually(lambda: talk.asked)
        for _ in range(3):
            await worker.desk.look(ONE)
        talk.go_on.set()
        assert isinstance(await asking, Answered)
        assert talk.asked == ["transfer billing"]


async def test_what_a_worker_began_before_it_died_is_not_done_again() -> None:
    database = MemoryDatabase()
    first, second = await a_worker(database, ONE), await a_worker(database, OTHER)
    await opened(first.store)
    assert await claim_one(first.store, CALL, ONE, webhook="")
    await first.store.ask(command())
    await first.store.begin_effect(CALL, order_key("command_1"), ONE, 1)
    await first.store.leave(ONE)
    (adopted,) = await second.store.adopt(OTHER, limit=10, quiet_s=0.0)
    talk = second.talks[adopted.call_id] = Talk()
    await second.desk.look(OTHER)
    outcome = await until_answered(second.store)
    assert outcome == "unknown"
    assert talk.asked == []


async def until_answered(store: MemoryCallStore) -> str:
    async with asyncio.timeout(20):
        while True:
            if (outcome := await store.outcome("command_1")) is not None:
                return outcome.outcome
            await asyncio.sleep(0.005)  # a store is asked, it does not tell


@pytest.mark.parametrize(
    ("resumed", "outcome"), [("billing", "done"), ("sales", "unknown"), (None, "unknown")]
)
async def test_a_transfer_that_a_dead_worker_began_is_answered_by_whoever_goes_on_with_it(
    resumed: str | None, outcome: str
) -> None:
    database = MemoryDatabase()
    first, second = await a_worker(database, ONE), await a_worker(database, OTHER)
    await opened(first.store)
    assert await claim_one(first.store, CALL, ONE, webhook="")
    await first.store.ask(command("transfer", "billing"))
    await first.store.begin_effect(CALL, order_key("command_1"), ONE, 1)
    await first.store.leave(ONE)
    await second.store.adopt(OTHER, limit=10, quiet_s=0.0)
    talk = second.talks[CALL] = Talk(resumed=resumed)
    talk.go_on.set()
    await second.desk.look(OTHER)
    assert await until_answered(second.store) == outcome
    assert talk.asked == [], "nobody asked for another one"


async def test_a_transfer_that_goes_on_elsewhere_is_answered_there() -> None:
    async with one_worker() as (worker, elsewhere):
        worker.talks[CALL].fails = NotOursError("it goes on elsewhere")
        await elsewhere.ask(command("transfer", "billing"))
        await worker.desk.look(ONE)
        await eventually(lambda: not worker.desk._serving)
        assert await elsewhere.outcome("command_1") is None


async def test_a_command_that_a_dead_worker_never_saw_is_done_by_its_adopter() -> None:
    database = MemoryDatabase()
    first, second = await a_worker(database, ONE), await a_worker(database, OTHER)
    await opened(first.store)
    assert await claim_one(first.store, CALL, ONE, webhook="")
    await first.store.ask(command())
    await first.store.leave(ONE)
    await second.store.adopt(OTHER, limit=10, quiet_s=0.0)
    talk = second.talks[CALL] = Talk()
    await second.desk.look(OTHER)
    assert await until_answered(second.store) == "done"
    assert talk.asked == ["say Hello."]


@pytest.mark.parametrize(
    ("given", "outcome"),
    [
        (lambda: command(age_s=OLDEST_S + 1), "expired"),
        (lambda: command("dance"), "refused"),
        (lambda: command(argument="x" * (MAXIMUM_ARGUMENT + 1)), "refused"),
    ],
    ids=["too old", "unknown", "too long"],
)
async def test_what_nobody_should_do_is_not_done(given: Callable[[], CallCommand], outcome: str) -> None:
    async with one_worker() as (worker, elsewhere):
        await elsewhere.ask(given())
        assert await until_answered(elsewhere) == outcome
        assert worker.talks[CALL].asked == []


async def test_a_call_that_is_anothers_by_now_is_left_alone() -> None:
    async with one_worker() as (worker, elsewhere):
        worker.talks[CALL].fails = NotOursError("it was taken over")
        await elsewhere.ask(command())
        await eventually(lambda: not worker.desk._serving)
        assert await elsewhere.outcome("command_1") is None, "its holder answers"
        assert worker.talks[CALL].notes == []


async def test_an_answer_that_the_database_did_not_take_is_told_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with one_worker() as (worker, elsewhere):
        answer, fails = worker.store.answer, True

        async def failing(*args: Any) -> bool:
            if fails:
                raise StoreError("away")
            return await answer(*args)

        monkeypatch.setattr(worker.store, "answer", failing)
        await elsewhere.ask(command())
        await eventually(lambda: worker.desk._untold)
        fails = False
        await worker.desk.look(ONE)
        assert await until_answered(elsewhere) == "done"
        assert worker.talks[CALL].asked == ["say Hello."], "and is not done again"
        assert not worker.desk._untold


async def test_closing_the_desk_stops_what_is_under_way() -> None:
    async with one_worker() as (worker, elsewhere):
        await elsewhere.ask(command("transfer", "billing"))
        await eventually(lambda: worker.talks[CALL].asked)
        await worker.desk.aclose()
        await worker.desk.aclose()
        assert await elsewhere.outcome("command_1") is None


async def test_what_is_taken_back_at_the_last_moment_is_not_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asked was told that nothing was done: the worker had read it, and not begun it."""
    async with one_worker() as (worker, elsewhere):
        begin, has_begun = worker.store.begin_effect, asyncio.Event()

        async def taken_back_first(*arguments: Any) -> Any:
            assert await elsewhere.answer("command_1", "taken_back", "Nobody answered in time.")
            has_begun.set()
            return await begin(*arguments)

        monkeypatch.setattr(worker.store, "begin_effect", taken_back_first)
        await elsewhere.ask(command())
        async with asyncio.timeout(10):
            await has_begun.wait()
        await eventually(lambda: not worker.desk._serving)
        effects = await elsewhere.effects(CALL)
        assert [effect.key for effect in effects] == [order_key("command_1")]
        assert worker.talks[CALL].asked == []
