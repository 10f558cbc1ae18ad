"""A connection to a database: SQLAlchemy Core over an asynchronous driver, and the one place where errors of
drivers become ours.

No operation is ever cancelled half-way: a driver that works in a thread cannot be, and would keep its lock on
the database; a driver that talks over a network would have to throw its connection away. A caller who is
cancelled leaves at once; what it had begun ends by itself, owned by the database, which waits for it when
closing. Every backend bounds how long that takes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import sqlalchemy as sa
from alembic.util import CommandError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from sipagent.errors import StoreAwayError, StoreError
from sipagent.store.backend import Backend
from sipagent.store.compiled import CompiledStatements
from sipagent.store.migrations import migrate
from sipagent.store.statements import Batch
from sipagent.store.writer_thread import WriterThread

COLLISIONS = 5
"""How often a batch is tried that collides with those of other processes."""

FOREIGN_ERRORS: tuple[type[Exception], ...] = (
    SQLAlchemyError,
    CommandError,
    OSError,
    ValueError,  # this and the next are how drivers refuse a value: a number too large, say
    OverflowError,
)

T = TypeVar("T")


class Database:
    """Opened once, used by one event loop, closed once. Every method raises `StoreError`."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._foreign_errors = (*FOREIGN_ERRORS, *backend.foreign_errors)
        self._records: AsyncEngine | None = None
        self._leases: AsyncEngine | WriterThread | None = None
        self._compiled: CompiledStatements | None = None
        self._away: StoreAwayError | None = None
        """Why it could not be opened, as long as that is so."""
        self._writing_facts = asyncio.Lock()
        self._under_way: set[asyncio.Task[Any]] = set()

    async def open(self) -> None:
        """Connect, and migrate. When it raises, nothing is left open, and it may be tried again; of a
        database that was away then, every use says so until it is open."""
        assert self._records is None, "a store is opened once"
        try:
            await self._undisturbed(self._open())
        except StoreAwayError as error:
            self._away = error
            raise
        self._away = None

    async def aclose(self) -> None:
        """Wait for whatever is under way, and let go. Idempotent."""
        while self._under_way:
            await asyncio.wait(self._under_way)
        engines = {engine for engine in (self._records, self._leases) if engine is not None}
        self._records = self._leases = None
        for engine in engines:
            async with self.translated("close"):
                await self._undisturbed(engine.dispose())

    async def read(self, *queries: sa.Select[Any]) -> list[Sequence[sa.Row[Any]]]:
        """The rows of each query."""
        return await self._undisturbed(self._read(queries))

    async def run(
        self, doing: str, statement: sa.Executable, values: Mapping[str, Any], *, once: bool = False
    ) -> Sequence[sa.Row[Any]]:
        """The rows that one statement returns, which is committed then; in one round trip. It never waits for
        a batch of facts, except where only one connection may write.

        ``statement`` must be one that may be repeated: a lost connection is not noticed before it is used.
        One that tells something else the second time is run ``once``, and fails then.
        """
        if isinstance(self._leases, WriterThread):
            async with self.translated(doing):
                return await self._leases.write([(statement, values)])
        if once:
            return await self._undisturbed(self._run_once(doing, statement, values))
        return await self._undisturbed(self._run(lambda: self._run_once(doing, statement, values)))

    async def run_at_once(
        self, doing: str, statement: sa.Executable, values: Mapping[str, Any]
    ) -> Sequence[Sequence[Any]]:
        """As `run`, for a short statement that somebody on the telephone waits for. ``values`` must be what
        every driver takes, and the columns of its rows are told by their places."""
        if isinstance(self._leases, WriterThread):
            return await self.run(doing, statement, values)
        return await self._undisturbed(self._run(lambda: self._fetch_once(doing, statement, values)))

    async def write(self, steps: Batch) -> None:
        """Run a batch in one transaction. Batches of one process follow one another."""
        if isinstance(self._leases, WriterThread):
            async with self.translated("write to"):
                await self._leases.write(steps)
        else:
            await self._undisturbed(self._write(steps))

    # What runs undisturbed --------------------------------------------------------------------------

    async def _open(self) -> None:
        async with self.translated("open"):
            records, leases = await self._backend.engines()
        try:
            async with self.translated("open"), self._backend.migrating(records) as connection:
                # Two processes may open a new database at once; the second waits, and finds it done.
                await connection.run_sync(migrate)
                await connection.commit()
        except BaseException:
            for engine in {records, leases}:
                await engine.dispose()
            raise
        self._records, self._leases = records, leases
        self._compiled = None if isinstance(leases, WriterThread) else CompiledStatements(leases.sync_engine)

    async def _read(self, queries: Sequence[sa.Select[Any]]) -> list[Sequence[sa.Row[Any]]]:
        async with self._connection(self._records, "read") as connection:
            return [(await connection.execute(query)).all() for query in queries]

    async def _run(self, once: Callable[[], Coroutine[Any, Any, T]]) -> T:
        try:
            return await once()
        except StoreAwayError as error:
            # The connection may have died in the pool long ago; a fresh one tells more.
            if error.serves_nobody or not self._backend.is_lost_connection(error):
                raise
        return await once()

    async def _run_once(
        self, doing: str, statement: sa.Executable, values: Mapping[str, Any]
    ) -> Sequence[sa.Row[Any]]:
        assert not isinstance(self._leases, WriterThread), "it was asked"
        async with self._connection(self._leases, doing) as connection:
            result = await connection.execute(statement, dict(values))
            rows = result.all() if result.returns_rows else []
            await connection.commit()
        return rows

    async def _fetch_once(
        self, doing: str, statement: sa.Executable, values: Mapping[str, Any]
    ) -> Sequence[Sequence[Any]]:
        assert not isinstance(self._leases, WriterThread), "it was asked"
        async with self._connection(self._leases, doing) as connection:
            assert self._compiled is not None, "it is open"
            return await self._backend.fetch(connection, self._compiled.of(statement), values)

    async def _write(self, steps: Batch) -> None:
        async with self._writing_facts:
            for left in reversed(range(COLLISIONS)):
                try:
                    await self._write_once(steps)
                except StoreError as error:
                    if not left or not self._backend.is_collision(error):
                        raise
                else:
                    return

    async def _write_once(self, steps: Batch) -> None:
        async with self._connection(self._records, "write to") as connection:
            for statement, rows in steps:
                await connection.execute(statement, rows)
            await connection.commit()

    async def _undisturbed(self, operation: Coroutine[Any, Any, T]) -> T:
        """The result of ``operation``, which goes on when the caller is cancelled."""
        task = asyncio.create_task(operation, name=f"store {self._backend.name}")
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    @asynccontextmanager
    async def _connection(self, engine: AsyncEngine | None, doing: str) -> AsyncIterator[AsyncConnection]:
        """A connection whose transaction is rolled back unless it was committed."""
        async with self.translated(doing):
            if engine is None and self._away is not None:
                raise StoreAwayError(str(self._away), serves_nobody=self._away.serves_nobody)
            if engine is None:
                raise StoreError(f"cannot {doing} the database {self._backend.name}: it is not open")
            async with engine.connect() as connection:
                try:
                    yield connection
                except self._foreign_errors as error:
                    if self._backend.serves_nobody(error) is not None:
                        await self._backend.abandon(connection)
                    raise

    @asynccontextmanager
    async def translated(self, doing: str) -> AsyncIterator[None]:
        """Around whatever calls a driver: its errors come out as ours."""
        try:
            yield
        except self._foreign_errors as error:
            cause = getattr(error, "orig", None) or error
            said = str(cause) or type(cause).__name__
            message = f"cannot {doing} the database {self._backend.name}: {said}"
            serves_nobody = self._backend.serves_nobody(error)
            if serves_nobody is None and isinstance(error, PoolTimeoutError):
                serves_nobody = False
            if serves_nobody is None:
                raise StoreError(message) from error
            raise StoreAwayError(message, serves_nobody=serves_nobody) from error
