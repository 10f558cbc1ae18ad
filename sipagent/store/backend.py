"""What differs from database to database: `sipagent.store.sqlite` and `sipagent.store.postgres` say it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeAlias

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from sipagent.identifiers import WorkerId
from sipagent.store.compiled import CompiledStatement
from sipagent.store.leases import SignalKind
from sipagent.store.writer_thread import WriterThread

Called: TypeAlias = Callable[[SignalKind], None]
Run: TypeAlias = Callable[[str, sa.Executable, Mapping[str, Any]], Awaitable[Sequence[sa.Row[Any]]]]
"""Runs one statement, which commits itself; the first argument says what for ("claim a call in")."""


class Presence(Protocol):
    """Holds the liveness of workers, sees whose is free, and carries signals."""

    async def join(self, worker: WorkerId) -> None:
        """Hold the liveness of ``worker`` from now on."""

    async def leave(self, worker: WorkerId) -> None:
        """Free it, and call the worker no more. Leaving again changes nothing."""

    async def free(self, workers: Collection[WorkerId]) -> frozenset[WorkerId]:
        """Those of ``workers`` whose liveness nobody holds. When in doubt it is held."""

    def bury(self, worker: WorkerId) -> None:
        """Clean up what a dead worker has left behind."""

    def listen(self, worker: WorkerId, called: Called) -> None:
        """See `CallLeases.listen`."""

    async def signal(self, kind: SignalKind, worker: WorkerId | None) -> None:
        """Call ``worker``, or everybody. A signal that does not arrive is no error."""

    async def aclose(self) -> None:
        """Free everything. Idempotent."""


class Backend(Protocol):
    """One kind of database, at one place."""

    name: str
    """Of the database, for people; without its password."""
    foreign_errors: tuple[type[Exception], ...]
    """What the driver raises, beside SQLAlchemy's own errors."""
    uptime: sa.Executable | None
    """Asks for how many seconds the database has been up; None when it cannot be down."""

    @property
    def insert(self) -> Callable[[sa.Table], Any]:
        """Makes an INSERT that knows ``ON CONFLICT``."""

    def pairs(self, parameter: str) -> sa.FromClause:
        """The bound ``parameter``, a list of pairs of texts in JSON, as rows of ``first`` and ``second`` from
        which a statement can select."""

    async def engines(self) -> tuple[AsyncEngine, AsyncEngine | WriterThread]:
        """An engine for records, and one whose statements never wait for records; where only one connection
        may write, the thread that does all of it. Raises ``foreign_errors`` when it can be told already that
        there is no database."""

    async def fetch(
        self, connection: AsyncConnection, statement: CompiledStatement, values: Mapping[str, Any]
    ) -> Sequence[Sequence[Any]]:
        """The rows of a statement that commits itself, on an idle ``connection`` of the second engine. Raises
        ``foreign_errors``."""

    def migrating(self, records: AsyncEngine) -> AbstractAsyncContextManager[AsyncConnection]:
        """A connection with which nothing takes too long, in a transaction in which nobody else migrates.
        ``records`` is the engine for records."""

    async def abandon(self, connection: AsyncConnection) -> None:
        """Give up a connection that did not answer, without waiting for it; it is not used again."""

    def serves_nobody(self, error: BaseException) -> bool | None:
        """See `StoreAwayError.serves_nobody`; None when ``error`` says that the database is there."""

    def is_lost_connection(self, error: BaseException) -> bool:
        """Whether it was the connection that died, so that a fresh one tells more."""

    def is_collision(self, error: BaseException) -> bool:
        """Whether a transaction was undone only because of another one, and may be tried again."""

    def presence(self, run: Run) -> Presence:
        """Where workers are known to be alive."""


def causes(error: BaseException) -> list[BaseException]:
    """``error`` and what it was made from, the outermost first."""
    found: list[BaseException] = []
    rest: list[BaseException | None] = [error]
    while rest:
        one = rest.pop()
        if one is not None and one not in found:
            found.append(one)
            rest += [one.__cause__, getattr(one, "orig", None)]
    return found
