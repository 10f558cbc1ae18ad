"""A thread that does all the writing of one process, where a database has one writer at a time.

An asynchronous driver over a blocking one goes to its thread and back for every step: to begin, to execute,
to fetch, to commit. Each way costs as much as the step, and far more while the event loop is busy. Here a
whole transaction is one way there and back.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

Rows: TypeAlias = Sequence[sa.Row[Any]]
Step: TypeAlias = tuple[sa.Executable, Mapping[str, Any] | Sequence[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[Rows]
    steps: Sequence[Step]

    def settle(self, rows: Rows, error: BaseException | None) -> None:
        """Tell who waits, unless it was cancelled. Called on the event loop."""
        if self.done.done():
            return
        if error is None:
            self.done.set_result(rows)
        else:
            self.done.set_exception(error)


class WriterThread:
    """Writes in the order in which it was asked. Begins when it is first used, and is used no more once
    `dispose` was called."""

    def __init__(self, url: URL, prepare: Callable[[Any, Any], None]) -> None:
        """``url`` names a blocking driver; ``prepare`` sets up each new connection."""
        self._engine = sa.create_engine(url, poolclass=NullPool)
        sa.event.listen(self._engine, "connect", prepare)
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._connection: sa.Connection | None = None

    async def write(self, steps: Sequence[Step]) -> Rows:
        """Run statements, each with its values, in one transaction; the rows that the last one returns.

        Raises what the driver raises; nothing is written then. Cancelled, it is written all the same, by
        itself.
        """
        loop = asyncio.get_running_loop()
        job = _Job(loop, loop.create_future(), steps)
        self._jobs.put(job)
        if self._thread is None:
            # Whoever does not dispose of it may end nevertheless: the database stands that at any moment.
            self._thread = threading.Thread(target=self._work, name="store writer", daemon=True)
            self._thread.start()
        return await job.done

    async def dispose(self) -> None:
        """Write what was asked before, and let go."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._jobs.put(None)
            await asyncio.to_thread(thread.join)

    # In the thread ----------------------------------------------------------------------------------

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            rows: Rows = ()
            failed: BaseException | None = None
            try:
                rows = self._write(job.steps)
            except BaseException as error:  # noqa: BLE001 - it is told to whoever asked
                failed = error
                # Whatever state the connection is in: the next one is as new.
                self._let_go()
            with suppress(RuntimeError):  # the event loop is closed, and nobody waits
                job.loop.call_soon_threadsafe(job.settle, rows, failed)
        self._let_go()

    def _write(self, steps: Sequence[Step]) -> Rows:
        connection = self._connection = self._connection or self._engine.connect()
        rows: Rows = ()
        for statement, values in steps:
            result = connection.execute(statement, values)
            rows = result.all() if result.returns_rows else ()
        connection.commit()
        return rows

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sa.exc.SQLAlchemyError):
                connection.close()
