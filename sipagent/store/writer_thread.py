"""A thread that does all the writing of one process, where a database has one writer at a time.

An asynchronous driver over a blocking one goes to its thread and back for every step: to begin, to execute,
to fetch, to commit. Each way costs as much as the step, and far more while the event loop is busy. Here a
whole transaction is one way there and back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool


class WriterThread:
    """Writes in the order in which it was asked. Connects when it is first used."""

    def __init__(self, url: URL, prepare: Callable[[Any, Any], None]) -> None:
        """``url`` names a blocking driver; ``prepare`` sets up each new connection."""
        self._engine = sa.create_engine(url, poolclass=NullPool)
        sa.event.listen(self._engine, "connect", prepare)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store writer")
        self._connection: sa.Connection | None = None

    async def write(
        self, steps: Sequence[tuple[sa.Executable, Mapping[str, Any] | Sequence[Mapping[str, Any]]]]
    ) -> Sequence[sa.Row[Any]]:
        """Run statements, each with its values, in one transaction; the rows that the last one returns.

        Raises what the driver raises; nothing is written then. Cancelled, what has begun goes on by itself.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._write, steps)

    async def dispose(self) -> None:
        """Write what was asked before, and let go."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._let_go)
        self._thread.shutdown()

    def _write(
        self, steps: Sequence[tuple[sa.Executable, Mapping[str, Any] | Sequence[Mapping[str, Any]]]]
    ) -> Sequence[sa.Row[Any]]:
        connection = self._connection = self._connection or self._engine.connect()
        rows: Sequence[sa.Row[Any]] = []
        try:
            for statement, values in steps:
                result = connection.execute(statement, values)
                rows = result.all() if result.returns_rows else []
            connection.commit()
        except BaseException:
            # Whatever state it is in: the next one is as new.
            self._let_go()
            raise
        return rows

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
