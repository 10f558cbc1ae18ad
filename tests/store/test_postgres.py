"""What is special to PostgreSQL: it is elsewhere, it can be away, and many write to it at once."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from sipagent.errors import StoreAwayError, StoreError
from sipagent.identifiers import CallId, WorkerId
from sipagent.store import SqlCallStore, Store, open_store, postgres
from sipagent.store.postgres import PostgresBackend
from tests.store.facts import CALL, ended, line, opened, state, tool
from tests.support.claims import claim_one
from tests.support.eventually import eventually
from tests.support.postgres import PASSWORD, PostgresServer

A, B = WorkerId("a"), WorkerId("b")
LEASE_S = 60.0
QUIET_S = 0.0


@asynccontextmanager
async def opened_store(url: str) -> AsyncIterator[Store]:
    store = open_store(url)
    await store.open()
    try:
        yield store
    finally:
        await store.aclose()


@asynccontextmanager
async def other_session(url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


# Where it is ----------------------------------------------------------------------------------------


async def test_people_write_its_url_in_several_ways(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    name = postgres_url.rpartition("/")[2]
    urls = [
        postgres_url.replace("postgresql://", "postgres://"),
        postgres_url.replace("postgresql://", "postgresql+asyncpg://"),
        postgres_server.url(name, over="socket"),
        f"{postgres_url}?sslmode=disable&application_name=front",
    ]
    for number, url in enumerate(urls):
        async with opened_store(url) as store:
            await store.ping()
            await store.apply([opened(f"rtc_{number}")])
            assert len(await store.calls()) == number + 1


async def test_a_wrong_password_is_refused_and_none_is_shown(postgres_url: str) -> None:
    parsed = make_url(postgres_url).set(password="hush hush", query={"connect_timeout": "7"})
    store = open_store(parsed.render_as_string(hide_password=False))
    with pytest.raises(StoreError, match="cannot open the database postgresql://postgres:") as caught:
        await store.open()
    assert not isinstance(caught.value, StoreAwayError)
    assert "hush" not in str(caught.value)
    await store.aclose()


async def test_a_database_that_does_not_exist_is_refused(postgres_url: str) -> None:
    store = open_store(f"{postgres_url}_missing")
    with pytest.raises(StoreError, match="does not exist") as caught:
        await store.open()
    assert not isinstance(caught.value, StoreAwayError)
    assert PASSWORD not in str(caught.value)


# When it is away ------------------------------------------------------------------------------------


class Ear:
    def __init__(self) -> None:
        self.heard: list[str] = []
        self.news = asyncio.Event()

    def __call__(self, kind: str) -> None:
        self.heard.append(kind)
        self.news.set()

    async def hears(self, *kinds: str) -> None:
        async with asyncio.timeout(30):
            while not set(kinds) <= set(self.heard):
                self.news.clear()
                await self.news.wait()
        self.heard.clear()


@pytest.mark.parametrize("mode", ["fast", "immediate", "killed"])
async def test_a_server_that_is_stopped_and_started_again_is_found_again(
    stoppable_postgres: PostgresServer, mode: Any
) -> None:
    server = stoppable_postgres
    url = server.url(server.create_database())
    async with opened_store(url) as store, opened_store(url) as other:
        await store.join(A, name="a", lease_s=LEASE_S)
        await other.join(B, name="b", lease_s=LEASE_S)
        ear = Ear()
        await store.listen(A, ear)
        assert await claim_one(store, CALL, A, webhook="")
        await store.apply([opened()])

        await asyncio.to_thread(server.stop, mode)
        for attempt in (
            store.renew(A, lease_s=LEASE_S), claim_one(store, CallId("rtc_two"), A, webhook=""), store.ping(),
            store.apply([state(1, "talking")]), store.adopt(A, limit=1, quiet_s=QUIET_S), store.call(CALL),
            store.begin_effect(CALL, "call_1", A, 1), store.uptime_s(), store.calls(),
        ):  # fmt: skip
            with pytest.raises(StoreAwayError) as caught:
                await attempt
            assert caught.value.serves_nobody
            assert PASSWORD not in str(caught.value)

        await asyncio.to_thread(server.start)
        assert await store.renew(A, lease_s=LEASE_S)
        assert await store.uptime_s() < 60
        await store.apply([state(1, "talking")])
        record = await store.call(CALL)
        assert record is not None
        assert record.summary.state == "talking"
        assert [one.call_id for one in await store.claims(A)] == [CALL]
        await ear.hears("command", "orphans")  # what it may have missed
        # It holds its liveness again, and hears.
        assert await other.renew(B, lease_s=LEASE_S)
        assert await other.adopt(B, limit=9, quiet_s=QUIET_S) == ()
        await other.leave(B)
        await ear.hears("orphans")


async def test_what_is_on_its_way_when_the_server_dies_is_whole_or_absent(
    stoppable_postgres: PostgresServer,
) -> None:
    server = stoppable_postgres
    url = server.url(server.create_database())
    written: set[str] = set()
    async with opened_store(url) as store:

        async def write() -> None:
            for number in range(10_000):
                await store.apply([opened(f"rtc_{number}"), ended(call_id=f"rtc_{number}")])
                written.add(f"rtc_{number}")

        writing = asyncio.create_task(write())
        await eventually(lambda: len(written) >= 20)
        await asyncio.to_thread(server.restart, "immediate")
        with pytest.raises(StoreAwayError):
            async with asyncio.timeout(30):
                await writing
        kept = await store.calls(limit=10_000)
    assert len(written) <= len(kept) <= len(written) + 1
    assert all(call.ended_at is not None for call in kept)


async def test_a_worker_can_leave_and_close_while_the_server_is_away(
    stoppable_postgres: PostgresServer,
) -> None:
    server = stoppable_postgres
    url = server.url(server.create_database())
    store = open_store(url)
    await store.open()
    await store.join(A, name="a", lease_s=LEASE_S)
    await asyncio.to_thread(server.stop, "immediate")
    async with asyncio.timeout(20):
        with pytest.raises(StoreAwayError):
            await store.leave(A)
        await store.aclose()
        again = open_store(url)
        with pytest.raises(StoreAwayError) as caught:
            await again.open()
        await again.aclose()
    assert caught.value.serves_nobody
    await asyncio.to_thread(server.start)
    async with opened_store(url) as other:
        await other.join(B, name="b", lease_s=LEASE_S)
        assert {worker.worker: worker.state for worker in await other.workers()} == {A: "up", B: "up"}
        await other.adopt(B, limit=1, quiet_s=QUIET_S)
        assert not await other.renew(A, lease_s=LEASE_S)  # its liveness was free


async def test_a_server_that_does_not_answer_is_given_up_soon(
    stoppable_postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def allow(*, seconds: float) -> None:
        for name in ("CONNECT_TIMEOUT_S", "LEASE_STATEMENT_TIMEOUT_S", "STATEMENT_TIMEOUT_S"):
            monkeypatch.setattr(postgres, name, seconds)

    server = stoppable_postgres
    allow(seconds=2.0)
    async with opened_store(server.url(server.create_database())) as store:
        await store.join(A, name="a", lease_s=LEASE_S)
        await store.apply([opened()])
        with server.frozen():
            async with asyncio.timeout(60):
                for attempt in (
                    store.renew(A, lease_s=LEASE_S), store.apply([state(1, "talking")]), store.calls(),
                    store.renew(A, lease_s=LEASE_S),
                ):  # fmt: skip
                    with pytest.raises(StoreAwayError) as caught:
                        await attempt
                    assert not caught.value.serves_nobody  # for all we know we alone are cut off
            allow(seconds=30.0)  # the machine may be busy
        assert await store.renew(A, lease_s=LEASE_S)
        await store.apply([state(1, "talking")])


async def test_the_crash_of_a_process_of_the_server_counts_as_a_pause(
    stoppable_postgres: PostgresServer,
) -> None:
    server = stoppable_postgres
    database = server.create_database()
    async with opened_store(server.url(database)) as store:
        await store.join(A, name="a", lease_s=LEASE_S)
        ear = Ear()
        await store.listen(A, ear)
        before_s = await store.uptime_s()
        async with other_session(server.url(database)) as other:
            os.kill(await other.fetchval("SELECT pg_backend_pid()"), signal.SIGKILL)
        await ear.hears("command", "orphans")
        assert await store.uptime_s() < before_s + 5
        (row,) = server.query(
            "postgres", "SELECT extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())"
        )
        assert await store.uptime_s() < float(row[0])
        assert await store.renew(A, lease_s=LEASE_S)


def wrapped(error: Exception) -> DBAPIError:
    """As SQLAlchemy hands it on."""
    adapter = Exception(str(error))
    adapter.__cause__ = error
    return DBAPIError("SELECT", {}, adapter)


@pytest.mark.parametrize(
    ("error", "serves_nobody"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), True),
        (FileNotFoundError("no socket"), True),
        (OSError("Multiple exceptions: [Errno 111] ('::1', 5432), [Errno 111] ('127.0.0.1', 5432)"), True),
        (asyncpg.CannotConnectNowError("the database system is starting up"), True),
        (OSError("Multiple exceptions: [Errno 111] ('::1', 5432), [Errno 110] ('10.0.0.1', 5432)"), False),
        (TimeoutError(), False),
        (ConnectionResetError(), False),
        (asyncpg.ConnectionDoesNotExistError("closed in the middle of operation"), False),
        (asyncpg.InterfaceError("connection is closed"), False),
        (asyncpg.AdminShutdownError("terminating connection"), False),
        (asyncpg.TooManyConnectionsError("sorry, too many clients"), False),
        (asyncpg.QueryCanceledError("statement timeout"), False),
        (asyncpg.ReadOnlySQLTransactionError("a replica"), False),
        (asyncpg.InvalidPasswordError("no"), None),
        (asyncpg.UndefinedTableError("no such table"), None),
        (asyncpg.DeadlockDetectedError("deadlock"), None),
        (ValueError("out of range"), None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_an_error_says_whether_anybody_reaches_the_database(
    error: Exception, serves_nobody: bool | None
) -> None:
    backend = PostgresBackend(make_url("postgresql://host/calls"))
    assert backend.serves_nobody(error) is serves_nobody
    assert backend.serves_nobody(wrapped(error)) is serves_nobody


# Many at once ---------------------------------------------------------------------------------------


async def test_processes_that_write_of_the_same_calls_at_once_all_succeed(postgres_url: str) -> None:
    names = [f"rtc_{number}" for number in range(30)]

    async def write(store: Store, order: list[str]) -> None:
        for _ in range(3):
            facts = [
                fact
                for name in order
                for fact in (opened(name), state(1, "talking", name), tool(call_id=name, output="nine"))
            ]
            await store.apply(facts + [line("item_1", 1.0, "Hello.", call_id=name) for name in order])

    async with (
        opened_store(postgres_url) as one, opened_store(postgres_url) as two,
        opened_store(postgres_url) as three, asyncio.TaskGroup() as group,
    ):  # fmt: skip
        for number, store in enumerate((one, two, three)):
            order = names[number * 7 :] + names[: number * 7]
            group.create_task(write(store, order if number % 2 else order[::-1]))
    async with opened_store(postgres_url) as store:
        found = await store.calls(limit=100)
    assert {call.call_id for call in found} == set(names)


async def test_a_deadlock_is_tried_again(postgres_url: str) -> None:
    """Two batches lock two calls in turn, through states that are there and states that are not."""
    async with opened_store(postgres_url) as store, other_session(postgres_url) as other:
        await store.apply([opened("rtc_a"), opened("rtc_b")])
        await other.execute("BEGIN")
        await other.execute("UPDATE calls SET agent = 'x' WHERE call_id = 'rtc_b'")
        write = asyncio.create_task(store.apply([ended(call_id="rtc_a"), ended(call_id="rtc_b")]))
        async with asyncio.timeout(20):
            waiting = 0
            while not waiting:
                waiting = await other.fetchval(
                    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                    " AND datname = current_database()"
                )
            # Whichever of the two the server ends, the store writes in the end.
            with suppress(asyncpg.DeadlockDetectedError):
                await other.execute("UPDATE calls SET agent = 'x' WHERE call_id = 'rtc_a'")
            await other.execute("ROLLBACK")
            await write
        assert {call.end_reason for call in await store.calls()} == {"agent_hung_up"}


async def test_a_claim_never_waits_for_a_batch_and_takes_one_statement(postgres_url: str) -> None:
    async with opened_store(postgres_url) as store, other_session(postgres_url) as other:
        await store.apply([opened()])
        await other.execute("BEGIN")
        await other.execute("UPDATE calls SET agent = 'x' WHERE call_id = $1", CALL)
        batch = asyncio.create_task(store.apply([ended()]))
        assert isinstance(store, SqlCallStore)
        engine = store._database._leases
        assert isinstance(engine, AsyncEngine)
        told: asyncio.Queue[str] = asyncio.Queue()

        async def tell(asked: Any) -> None:
            told.put_nowait(asked.query)

        # There is one connection so far, which is used again.
        async with engine.connect() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            assert raw is not None
            raw.add_query_logger(tell)
        async with asyncio.timeout(30):
            assert await claim_one(store, CallId("rtc_two"), A, webhook="")
            assert await claim_one(store, CallId("rtc_three"), A, webhook="")
            assert [(await told.get()).split()[0] for _ in range(2)] == ["INSERT", "INSERT"]
        assert told.empty()
        assert not batch.done()
        await other.execute("ROLLBACK")
        await batch


async def test_a_call_that_somebody_writes_of_is_adopted_later_and_holds_up_no_other(
    postgres_url: str,
) -> None:
    async with opened_store(postgres_url) as store, other_session(postgres_url) as other:
        await store.join(B, name="b", lease_s=LEASE_S)
        for number in range(3):
            assert await claim_one(store, CallId(f"rtc_{number}"), A, webhook="")
        await other.execute("BEGIN")
        await other.execute("UPDATE live_calls SET checkpoint = 'x' WHERE call_id = 'rtc_0'")
        async with asyncio.timeout(30):
            adopted = await store.adopt(B, limit=2, quiet_s=QUIET_S)
        assert [one.call_id for one in adopted] == ["rtc_1", "rtc_2"]
        await other.execute("COMMIT")
        (last,) = await store.adopt(B, limit=2, quiet_s=QUIET_S)
        assert (last.call_id, last.checkpoint) == ("rtc_0", "x")


async def test_whoever_is_cancelled_leaves_at_once(postgres_url: str) -> None:
    async with opened_store(postgres_url) as store, other_session(postgres_url) as other:
        await store.apply([opened()])
        await other.execute("BEGIN")
        await other.execute("UPDATE calls SET agent = 'x' WHERE call_id = $1", CALL)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await store.apply([ended()])
        await other.execute("ROLLBACK")
        await store.apply([])
        await store.apply([state(1, "talking")])  # waits for the one before
        (summary,) = await store.calls()
        assert summary.end_reason == "agent_hung_up"


async def test_an_adoption_whose_answer_was_lost_is_not_made_twice_unnoticed(postgres_url: str) -> None:
    """Else the calls of the first attempt would be a worker's that does not know of them."""
    async with opened_store(postgres_url) as store:
        await store.join(B, name="b", lease_s=LEASE_S)
        for number in range(3):
            assert await claim_one(store, CallId(f"rtc_{number}"), A, webhook="")
        assert isinstance(store, SqlCallStore)
        engine = store._database._leases
        assert isinstance(engine, AsyncEngine)
        lost = 0

        def lose(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            nonlocal lost
            if not lost and "UPDATE live_calls" in statement:
                lost += 1
                raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")

        sa.event.listen(engine.sync_engine, "after_cursor_execute", lose)
        with pytest.raises(StoreAwayError):
            await store.adopt(B, limit=2, quiet_s=QUIET_S)
        assert lost == 1
        assert [(one.call_id, one.epoch) for one in await store.claims(B)] == [("rtc_0", 2), ("rtc_1", 2)]
