"""PostgreSQL: any number of machines. The driver, asyncpg, comes with the extra ``postgres``.

A worker needs five connections at most: two for records, two for leases and one that holds its liveness and
hears signals. They must lead to the server itself: behind a pooler that shares connections between clients
there are neither session locks nor notifications.

Nothing that a frozen worker leaves open may hold up the others: statements about leases commit themselves on
the server, and a transaction whose client is silent for `IDLE_TRANSACTION_MS` is undone by the server.
"""

from __future__ import annotations

import errno
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSON, insert
from sqlalchemy.engine import URL
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from sipagent.store.backend import Presence, Run, causes
from sipagent.store.compiled import CompiledStatement
from sipagent.store.postgres_presence import PostgresPresence
from sipagent.store.tables import PlainText

CONNECT_TIMEOUT_S = 5.0
STATEMENT_TIMEOUT_S = 10.0
LEASE_STATEMENT_TIMEOUT_S = 3.0
"""A worker must know soon that a connection leads nowhere: its lease runs."""
MIGRATION_TIMEOUT_S = 3600.0
"""A large table takes its time."""
MIGRATION_LOCK_TIMEOUT_MS = 3000
IDLE_TRANSACTION_MS = 5000

_SERVER_SETTINGS = {
    "application_name": "sipagent",
    "timezone": "UTC",
    "idle_in_transaction_session_timeout": str(IDLE_TRANSACTION_MS),
    # The server finds out within ten seconds that the machine of a client is gone, and frees its locks.
    "tcp_keepalives_idle": "4",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
_MIGRATION_LOCK = 5_746_370_193_401
"""Any number that nobody else locks."""

_SERVES_NOBODY = (asyncpg.CannotConnectNowError, ConnectionRefusedError, FileNotFoundError)
_ONLY_AWAY = (
    OSError,  # timeouts too
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,  # shutting down, statement timeout
    asyncpg.InsufficientResourcesError,  # too many connections, disk full
    asyncpg.LockNotAvailableError,
    asyncpg.ReadOnlySQLTransactionError,  # a server that became a replica
    asyncpg.IdleInTransactionSessionTimeoutError,
)
_LOST_CONNECTION = (
    ConnectionError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the driver lost its way when the connection broke
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
)
_COLLISIONS = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)


class Connection(asyncpg.Connection):  # type: ignore[misc]
    """A connection that can always be given up.

    When a statement has taken too long the driver asks the server over another connection to stop it, and
    closing waits for that, whatever ``timeout`` says: without end, where the server does not answer.
    SQLAlchemy closes with a ``timeout`` what it gives up, and without one what is idle.
    """

    async def close(self, *, timeout: float | None = None) -> None:
        """As the driver's; with a ``timeout`` the connection is cut off at once."""
        if timeout is None:
            await super().close()
        else:
            self.terminate()


class PostgresBackend:
    """See `Backend`. ``dsn`` is a URL in the form of libpq."""

    insert = staticmethod(insert)
    foreign_errors: tuple[type[Exception], ...] = (
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,
    )
    # After the crash of one process the server starts again all others but the first. Whoever may not see
    # when they were started hears of the first alone.
    uptime: sa.Executable | None = sa.text(
        "SELECT extract(epoch FROM clock_timestamp() - greatest(pg_postmaster_start_time(),"
        " (SELECT backend_start FROM pg_stat_activity WHERE backend_type = 'checkpointer' LIMIT 1)))"
    )

    def __init__(self, url: URL) -> None:
        # What follows a question mark may hold secrets too.
        self.name = url.set(drivername="postgresql", query={}).render_as_string(hide_password=True)
        self._dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)

    def pairs(self, parameter: str) -> sa.FromClause:
        """See `Backend.pairs`."""
        listed = sa.cast(sa.bindparam(parameter, type_=PlainText), JSON)
        each = sa.func.json_array_elements(listed).table_valued("value", name="each_pair")
        first, second = (each.c.value.op("->>")(sa.literal_column(place)) for place in "01")
        return sa.select(first.label("first"), second.label("second")).subquery("pairs")

    async def engines(self) -> tuple[AsyncEngine, AsyncEngine]:
        """See `Backend.engines`."""
        pool: dict[str, Any] = {
            "pool_size": 2,
            "max_overflow": 0,
            "pool_timeout": CONNECT_TIMEOUT_S,
        }
        url = "postgresql+asyncpg://"
        records = create_async_engine(
            url, async_creator=self._connect_for_records, pool_pre_ping=True, **pool
        )
        leases = create_async_engine(url, async_creator=self.connect, isolation_level="AUTOCOMMIT", **pool)
        # Asking the server first would double the way to it.
        sa.event.listen(leases.sync_engine, "checkout", _refuse_closed)
        return records, leases

    async def connect(self, *, timeout_s: float | None = None) -> Connection:
        """A new connection, whose statements end after ``timeout_s``, or else after the time for statements
        about leases. Raises ``foreign_errors`` or `OSError`."""
        timeout_s = timeout_s or LEASE_STATEMENT_TIMEOUT_S
        connection: Connection = await asyncpg.connect(
            self._dsn,
            connection_class=Connection,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=1.1 * timeout_s,  # the server, which is to stop by itself, should answer first
            server_settings={**_SERVER_SETTINGS, "statement_timeout": str(int(timeout_s * 1000))},
        )
        return connection

    async def _connect_for_records(self) -> Connection:
        return await self.connect(timeout_s=STATEMENT_TIMEOUT_S)

    async def fetch(
        self, connection: AsyncConnection, statement: CompiledStatement, values: Mapping[str, Any]
    ) -> Sequence[Sequence[Any]]:
        """See `Backend.fetch`. The driver keeps the statement prepared."""
        raw = (await connection.get_raw_connection()).driver_connection
        assert raw is not None, "the connection is open"
        rows: Sequence[Sequence[Any]] = await raw.fetch(statement.text, *statement.in_places(values))
        return rows

    @asynccontextmanager
    async def migrating(self, records: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        """See `Backend.migrating`. Tables are waited for but briefly: whoever waits for the lock of one keeps
        workers of the version before from it. It is tried again, as with a database that is away."""
        engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=partial(self.connect, timeout_s=MIGRATION_TIMEOUT_S),
            poolclass=sa.NullPool,
        )
        async with engine.connect() as connection:
            await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
            await connection.execute(sa.text(f"SET LOCAL lock_timeout = {MIGRATION_LOCK_TIMEOUT_MS}"))
            yield connection

    async def abandon(self, connection: AsyncConnection) -> None:
        """See `Backend.abandon`."""
        if connection.closed or connection.invalidated:
            return
        raw = (await connection.get_raw_connection()).driver_connection
        if raw is not None:
            raw.terminate()
        await connection.invalidate()

    def serves_nobody(self, error: BaseException) -> bool | None:
        """See `Backend.serves_nobody`."""
        chain = causes(error)
        if any(isinstance(one, _SERVES_NOBODY) or _is_refused_everywhere(one) for one in chain):
            return True
        return False if any(isinstance(one, _ONLY_AWAY) for one in chain) else None

    def is_lost_connection(self, error: BaseException) -> bool:
        """See `Backend.is_lost_connection`."""
        return any(isinstance(one, _LOST_CONNECTION) for one in causes(error))

    def is_collision(self, error: BaseException) -> bool:
        """See `Backend.is_collision`."""
        return any(isinstance(one, _COLLISIONS) for one in causes(error))

    def presence(self, run: Run) -> Presence:
        """See `Backend.presence`."""
        return PostgresPresence(self.connect, run, errors=(OSError, *self.foreign_errors))


def _is_refused_everywhere(error: BaseException) -> bool:
    """A host with several addresses gives one error for all, which only its words tell apart."""
    if not isinstance(error, OSError) or error.errno is not None:
        return False
    return set(re.findall(r"\[Errno (\d+)\]", str(error))) == {str(errno.ECONNREFUSED)}


def _refuse_closed(connection: Any, _record: Any, _proxy: Any) -> None:
    """Let the pool make a new connection in place of one that is known to be lost."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError("the connection was lost")
