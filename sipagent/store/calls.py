"""Calls in a database: SQLAlchemy Core over an asynchronous driver.

SQLite runs in write-ahead mode with ``synchronous=NORMAL``: what `apply` has written survives the death
of the process at any instant; only a power cut may take the last moments. Readers (another process that
lists calls) never wait for the writer. Writers of one store take turns; writers of several processes
wait for each other, at most five seconds.

No operation is ever cancelled half-way: a driver that works in a thread cannot be, and would keep its
lock on the database. A caller who is cancelled leaves at once; what it had begun ends by itself, owned by
the store, which waits for it when closing.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, TypeVar

import sqlalchemy as sa
from alembic.util import CommandError
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from sipagent.clock import utc_now
from sipagent.errors import StoreError
from sipagent.identifiers import CallId
from sipagent.store.migrations import migrate
from sipagent.store.records import CallRecord, CallSummary, ConfigurationLoaded, Fact
from sipagent.store.rows import configuration_of, record_of, summary_of
from sipagent.store.statements import Batch, batch
from sipagent.store.tables import (
    call_notes,
    call_states,
    calls,
    configurations,
    latencies,
    tool_runs,
    transcript_lines,
    usage,
)

BUSY_TIMEOUT_MS = 5000

T = TypeVar("T")


class SqlCallStore:
    """See `CallStore`. ``url`` names a database together with its asynchronous driver."""

    def __init__(self, url: URL) -> None:
        self._url = url
        self._engine: AsyncEngine | None = None
        # Our own connections take turns to write, so that they never find the database busy.
        self._turn = asyncio.Lock()
        self._under_way: set[asyncio.Task[Any]] = set()

    async def open(self) -> None:
        """See `CallStore.open`. When it raises `StoreError`, nothing is left open."""
        assert self._engine is None, "a store is opened once"
        await self._undisturbed(self._open())

    async def aclose(self) -> None:
        """See `CallStore.aclose`. Waits for whatever is under way."""
        while self._under_way:
            await asyncio.wait(self._under_way)
        engine, self._engine = self._engine, None
        if engine is not None:
            async with self._translated("close"):
                await self._undisturbed(engine.dispose())

    async def ping(self) -> None:
        """See `CallStore.ping`. Cancelling is safe."""
        await self._undisturbed(self._ping())

    async def apply(self, facts: Sequence[Fact]) -> None:
        """See `CallStore.apply`. One transaction; one statement for each kind of fact."""
        steps = batch(facts, now=utc_now())
        if steps:
            await self._undisturbed(self._write(steps))

    async def call(self, call_id: CallId) -> CallRecord | None:
        """See `CallStore.call`."""
        return await self._undisturbed(self._call(call_id))

    async def calls(
        self,
        *,
        limit: int = 50,
        before: datetime | None = None,
        agent: str | None = None,
        reason: str | None = None,
    ) -> tuple[CallSummary, ...]:
        """See `CallStore.calls`."""
        query = sa.select(calls).order_by(calls.c.started_at.desc(), calls.c.call_id.desc()).limit(limit)
        if before is not None:
            query = query.where(calls.c.started_at < before)
        if agent is not None:
            query = query.where(calls.c.agent == agent)
        if reason is not None:
            query = query.where(calls.c.end_reason == reason)
        return await self._undisturbed(self._calls(query))

    async def configuration(self, fingerprint: str) -> ConfigurationLoaded | None:
        """See `CallStore.configuration`."""
        query = sa.select(configurations).where(configurations.c.fingerprint == fingerprint)
        return next(iter(await self._undisturbed(self._configurations(query))), None)

    async def configurations(self, *, limit: int = 50) -> tuple[ConfigurationLoaded, ...]:
        """See `CallStore.configurations`."""
        newest_first = (configurations.c.loaded_at.desc(), configurations.c.fingerprint.desc())
        query = sa.select(configurations).order_by(*newest_first).limit(limit)
        return await self._undisturbed(self._configurations(query))

    # What runs undisturbed --------------------------------------------------------------------------

    async def _open(self) -> None:
        async with self._translated("open"):
            await asyncio.to_thread(_touch, self._url.database)
        engine = create_async_engine(self._url)
        sa.event.listen(engine.sync_engine, "connect", _prepare_sqlite)
        try:
            async with self._translated("open"), engine.connect() as connection:
                await connection.exec_driver_sql("PRAGMA journal_mode=WAL")
                # Two processes may open a new database at once; the second waits, and finds it done.
                await connection.exec_driver_sql("BEGIN IMMEDIATE")
                await connection.run_sync(migrate)
                await connection.commit()
        except BaseException:
            await engine.dispose()
            raise
        self._engine = engine

    async def _ping(self) -> None:
        async with self._connection("reach") as connection:
            await connection.execute(sa.select(sa.literal(1)))

    async def _write(self, steps: Batch) -> None:
        async with self._turn, self._connection("write to") as connection:
            for statement, rows in steps:
                await connection.execute(statement, rows)
            await connection.commit()

    async def _call(self, call_id: CallId) -> CallRecord | None:
        def of_this_call(table: sa.Table, *order: sa.Column[Any]) -> sa.Select[Any]:
            return sa.select(table).where(table.c.call_id == call_id).order_by(*order)

        lists = {
            "states": of_this_call(call_states, call_states.c.sequence),
            "transcript": of_this_call(
                transcript_lines, transcript_lines.c.position, transcript_lines.c.item_id
            ),
            "tools": of_this_call(tool_runs, tool_runs.c.started_at, tool_runs.c.arrival),
            "usage": of_this_call(usage, usage.c.at, usage.c.arrival),
            "latencies": of_this_call(latencies, latencies.c.arrival),
            "notes": of_this_call(call_notes, call_notes.c.sequence),
        }
        async with self._connection("read") as connection:
            row = (await connection.execute(of_this_call(calls))).one_or_none()
            if row is None:
                return None
            found = {name: (await connection.execute(query)).all() for name, query in lists.items()}
        return record_of(row, **found)

    async def _calls(self, query: sa.Select[Any]) -> tuple[CallSummary, ...]:
        async with self._connection("read") as connection:
            rows = (await connection.execute(query)).all()
        return tuple(summary_of(row) for row in rows)

    async def _configurations(self, query: sa.Select[Any]) -> tuple[ConfigurationLoaded, ...]:
        async with self._connection("read") as connection:
            rows = (await connection.execute(query)).all()
        return tuple(configuration_of(row) for row in rows)

    async def _undisturbed(self, operation: Coroutine[Any, Any, T]) -> T:
        """The result of ``operation``, which goes on when the caller is cancelled."""
        task = asyncio.create_task(operation, name=f"store {self._name()}")
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    @asynccontextmanager
    async def _connection(self, doing: str) -> AsyncIterator[AsyncConnection]:
        """A connection whose transaction is rolled back unless it was committed."""
        async with self._translated(doing):
            if self._engine is None:
                raise StoreError(f"cannot {doing} the database {self._name()}: it is not open")
            async with self._engine.connect() as connection:
                yield connection

    @asynccontextmanager
    async def _translated(self, doing: str) -> AsyncIterator[None]:
        try:
            yield
        except (SQLAlchemyError, CommandError, OSError, ValueError, OverflowError) as error:
            # The last two are how drivers refuse a value: a number too large, say.
            cause = getattr(error, "orig", None) or error
            raise StoreError(f"cannot {doing} the database {self._name()}: {cause}") from error

    def _name(self) -> str:
        return self._url.render_as_string(hide_password=True)


def _touch(path: str | None) -> None:
    """Open and close the file once; raises `OSError` when it cannot be opened.

    The driver must not be the one to find out: when its connect fails, it leaves a thread behind that
    answers an event loop which may be gone by then.
    """
    try:
        sqlite3.connect(path or ":memory:").close()
    except sqlite3.Error as error:
        raise OSError(str(error)) from error


def _prepare_sqlite(connection: DBAPIConnection, _record: object) -> None:
    try:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()
    except BaseException:
        # The pool would let go of it without waiting for the driver's thread, which may then outlive the
        # event loop that it answers to.
        connection.close()
        raise
