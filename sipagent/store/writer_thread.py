"""A thread that does all the writing of one process, where a database has one writer at a time.

An asynchronous driver over a blocking one goes to its thread and back for every step: to begin, to execute,
to fetch, to commit. Each way costs as much as the step, and far more while the event loop is busy. Here a
whole transaction is one way there and back.

Even that is too long for somebody who waits on the telephone: on a busy machine a thread is given its turn
after milliseconds, and a short transaction takes a tenth of one. So such a one may be written where it is
asked for, while the thread rests. That is a compromise: the event loop stands still meanwhile. Hence it waits
for no other process, never brings the log of the database into its file, and where it was slow in spite of
that, as on a disk that is at its limit, the thread writes for a while.
"""

from __future__ import annotations

import asyncio
import math
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from sipagent.store.compiled import CompiledStatements

SLOW_S = 0.05
"""Nothing else on the event loop may wait that long for a transaction."""
SLOW_FOR_S = 10.0
"""For how long the thread does all the writing after one that was slow."""

REFUSALS = (ValueError, OverflowError)
"""How the driver refuses a value, beside its own errors."""

Rows: TypeAlias = Sequence[sa.Row[Any]]
PlainRows: TypeAlias = Sequence[Sequence[Any]]
Step: TypeAlias = tuple[sa.Executable, Mapping[str, Any] | Sequence[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[Rows]
    steps: Sequence[Step]


class WriterThread:
    """Writes in the order in which it was asked. Begins when it is first used, and is used no more once
    `dispose` was called."""

    def __init__(
        self,
        url: URL,
        prepare: Callable[[Any, Any], None],
        *,
        set_patience: Callable[[sqlite3.Connection, bool], None],
        slow_s: float = SLOW_S,
    ) -> None:
        """``url`` names a file of SQLite; ``prepare`` sets up each new connection, patient, and
        ``set_patience`` says whether it waits for other processes and tidies up, which takes as long as it
        takes, or does neither."""
        # Two threads use a connection, one after the other.
        self._engine = sa.create_engine(url, poolclass=NullPool, connect_args={"check_same_thread": False})
        sa.event.listen(self._engine, "connect", prepare)
        self._set_patience = set_patience
        self._patient = True
        self._compiled = CompiledStatements(self._engine)
        self._slow_s = slow_s
        self._slow_until = -math.inf
        self._unsettled = 0
        """Jobs that the thread has, or has done a moment ago."""
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
        self._unsettled += 1
        self._jobs.put(job)
        if self._thread is None:
            # Whoever does not dispose of it may end nevertheless: the database stands that at any moment.
            self._thread = threading.Thread(target=self._work, name="store writer", daemon=True)
            self._thread.start()
        return await job.done

    def write_now(self, statement: sa.Executable, values: Mapping[str, Any]) -> PlainRows | None:
        """Run one statement at once, for few rows that somebody waits for; None where it cannot be done at
        once, or is refused: nothing is written then, and `write` tells more.

        ``values`` must be what the driver takes, and the rows are what it gives.
        """
        # While the thread has nothing to do, it does not touch the connection.
        if self._unsettled or self._thread is None or self._connection is None:
            return None
        clock = asyncio.get_running_loop().time
        began = clock()
        if began < self._slow_until:
            return None
        driver: sqlite3.Connection = self._connection.connection.driver_connection  # type: ignore[assignment]
        compiled = self._compiled.of(statement)
        try:
            self._be_patient(driver, False)
            rows = driver.execute(compiled.text, compiled.in_places(values)).fetchall()
            driver.commit()
        except (sqlite3.Error, *REFUSALS):
            with suppress(sqlite3.Error):
                driver.rollback()
            return None
        finally:
            ended = clock()
            if ended - began > self._slow_s:
                self._slow_until = ended + SLOW_FOR_S
        return rows

    def _be_patient(self, driver: sqlite3.Connection, patient: bool) -> None:
        if self._patient != patient:
            self._set_patience(driver, patient)
            self._patient = patient

    async def dispose(self) -> None:
        """Write what was asked before, and let go."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._jobs.put(None)
            await asyncio.to_thread(thread.join)

    def _settle(self, job: _Job, rows: Rows, error: BaseException | None) -> None:
        """Tell who waits, unless it was cancelled."""
        self._unsettled -= 1
        if job.done.done():
            return
        if error is None:
            job.done.set_result(rows)
        else:
            job.done.set_exception(error)

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
                job.loop.call_soon_threadsafe(self._settle, job, rows, failed)
        self._let_go()

    def _write(self, steps: Sequence[Step]) -> Rows:
        if self._connection is None:
            self._connection, self._patient = self._engine.connect(), True
        connection = self._connection
        self._be_patient(connection.connection.driver_connection, True)  # type: ignore[arg-type]
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
