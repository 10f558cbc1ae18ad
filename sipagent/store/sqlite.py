"""SQLite: one file, one machine, any number of processes.

It runs in write-ahead mode with ``synchronous=NORMAL``: what was committed survives the death of the process
at any instant; only a power cut may take the last moments. Readers (another process that lists calls) never
wait for the writer. All that one process writes is written by one thread, in its order, so that its event
loop and the thread need not meet for every step; writers of several processes wait for each other, at most
`BUSY_TIMEOUT_MS`.

Workers are known to be alive by locked files in a folder beside the database, which the kernel unlocks when
their process dies, and are called through sockets there. That folder belongs on the same machine as the
database, which SQLite asks for anyway.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import socket
import sqlite3
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from sipagent.errors import StoreError
from sipagent.identifiers import WorkerId
from sipagent.store.backend import Called, Presence, Run, causes
from sipagent.store.compiled import CompiledStatement
from sipagent.store.leases import SIGNALS, SignalKind
from sipagent.store.tables import PlainText
from sipagent.store.writer_thread import WriterThread

BUSY_TIMEOUT_MS = 5000

_LONGEST_SOCKET_PATH = 100
"""Bytes. The kernel takes 107 on Linux and 103 elsewhere."""


class SqliteBackend:
    """See `Backend`. ``url`` names a file."""

    insert = staticmethod(insert)
    foreign_errors: tuple[type[Exception], ...] = ()
    uptime: sa.Executable | None = None

    def __init__(self, url: URL) -> None:
        assert url.database, "a database in SQLite is a file"
        self.name = url.set(drivername="sqlite").render_as_string(hide_password=True)
        self._url = url
        self._path = Path(url.database).absolute()

    def pairs(self, parameter: str) -> sa.FromClause:
        """See `Backend.pairs`."""
        each = sa.func.json_each(sa.bindparam(parameter, type_=PlainText)).table_valued(
            "value", name="each_pair"
        )
        first, second = (
            sa.func.json_extract(each.c.value, sa.literal_column(f"'$[{place}]'"), type_=PlainText)
            for place in range(2)
        )
        return sa.select(first.label("first"), second.label("second")).subquery("pairs")

    async def engines(self) -> tuple[AsyncEngine, WriterThread]:
        """See `Backend.engines`. Raises `StoreError` where there is no folder for the file."""
        if not await asyncio.to_thread(self._path.parent.is_dir):
            message = f"cannot open the database {self.name}: there is no folder {self._path.parent}"
            raise StoreError(message)
        await asyncio.to_thread(_touch, self._url.database)
        engine = create_async_engine(self._url)
        sa.event.listen(engine.sync_engine, "connect", prepare)
        return engine, WriterThread(self._url.set(drivername="sqlite"), prepare)

    async def fetch(
        self, connection: AsyncConnection, statement: CompiledStatement, values: Mapping[str, Any]
    ) -> Sequence[Sequence[Any]]:
        """See `Backend.fetch`."""
        raise AssertionError("the second engine is a thread")

    @asynccontextmanager
    async def migrating(self, records: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        """See `Backend.migrating`."""
        async with records.connect() as connection:
            await connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            await connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection

    async def abandon(self, connection: AsyncConnection) -> None:
        """See `Backend.abandon`. A connection that waited for others is as good as before."""

    def serves_nobody(self, error: BaseException) -> bool | None:
        """See `Backend.serves_nobody`. The file is there, but others may write for too long."""
        codes = {getattr(one, "sqlite_errorcode", 0) & 0xFF for one in causes(error)}
        return False if codes & {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED} else None

    def is_lost_connection(self, error: BaseException) -> bool:
        """See `Backend.is_lost_connection`. A file is not lost."""
        return False

    def is_collision(self, error: BaseException) -> bool:
        """See `Backend.is_collision`. Writers wait for each other instead."""
        return False

    def presence(self, run: Run) -> Presence:
        """See `Backend.presence`."""
        return WorkerFolder(self._path.with_name(f"{self._path.name}.workers"))


class WorkerFolder:
    """See `Presence`: a locked file and a socket for each worker."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[WorkerId, int] = {}
        self._sockets: dict[WorkerId, socket.socket] = {}

    async def join(self, worker: WorkerId) -> None:
        """See `Presence.join`. Raises `StoreError` when the file cannot be locked."""
        if worker in self._held:
            return
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            held = os.open(self._lock_file(worker), os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BaseException:
                os.close(held)
                raise
        except OSError as error:
            raise StoreError(f"worker {worker} cannot lock its file in {self._folder}: {error}") from error
        self._held[worker] = held

    async def leave(self, worker: WorkerId) -> None:
        """See `Presence.leave`."""
        if (called := self._sockets.pop(worker, None)) is not None:
            asyncio.get_running_loop().remove_reader(called)
            called.close()
        if (held := self._held.pop(worker, None)) is not None:
            self.bury(worker)
            os.close(held)

    async def free(self, workers: Collection[WorkerId]) -> frozenset[WorkerId]:
        """See `Presence.free`."""
        return frozenset(worker for worker in workers if self._is_free(worker))

    def bury(self, worker: WorkerId) -> None:
        """See `Presence.bury`."""
        for left_behind in (self._lock_file(worker), self._socket_file(worker)):
            with suppress(OSError):
                left_behind.unlink(missing_ok=True)

    def listen(self, worker: WorkerId, called: Called) -> None:
        """See `Presence.listen`. Where no socket can be made, no signal arrives."""
        receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            receiver.setblocking(False)
            self._socket_file(worker).unlink(missing_ok=True)
            with _ShortPath(self._socket_file(worker)) as path:
                receiver.bind(path)
        except OSError:
            receiver.close()
            return
        self._sockets[worker] = receiver
        asyncio.get_running_loop().add_reader(receiver, _receive, receiver, called)

    async def signal(self, kind: SignalKind, worker: WorkerId | None) -> None:
        """See `Presence.signal`."""
        files = [self._socket_file(worker)] if worker is not None else list(self._folder.glob("*.sock"))
        for file in files:
            with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                with _ShortPath(file) as path:
                    sender.sendto(kind.encode(), path)

    async def aclose(self) -> None:
        """See `Presence.aclose`."""
        for worker in list(self._held):
            await self.leave(worker)

    def _is_free(self, worker: WorkerId) -> bool:
        try:
            file = os.open(self._lock_file(worker), os.O_RDWR)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        try:
            # Shared, so that two who look at the same time do not take each other for the worker.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return False
        finally:
            os.close(file)
        return True

    def _lock_file(self, worker: WorkerId) -> Path:
        return self._folder / f"{_digest(worker)}.lock"

    def _socket_file(self, worker: WorkerId) -> Path:
        return self._folder / f"{_digest(worker)}.sock"


class _ShortPath:
    """A path that fits into the address of a socket: a long one is named through its open folder, where the
    system can do so. Raises `OSError` where it cannot."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._folder: int | None = None

    def __enter__(self) -> str:
        if len(os.fsencode(self._file)) <= _LONGEST_SOCKET_PATH:
            return str(self._file)
        self._folder = os.open(self._file.parent, os.O_RDONLY | os.O_DIRECTORY)
        return f"/proc/self/fd/{self._folder}/{self._file.name}"

    def __exit__(self, *_: object) -> None:
        if self._folder is not None:
            os.close(self._folder)


def prepare(connection: DBAPIConnection, _record: Any) -> None:
    """Set a new connection up for many readers and one writer."""
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


def _touch(path: str | None) -> None:
    """Open and close the file once; raises `OSError` when it cannot be opened.

    The driver must not be the one to find out: when its connect fails, it leaves a thread behind that
    answers an event loop which may be gone by then.
    """
    try:
        sqlite3.connect(path or ":memory:").close()
    except sqlite3.Error as error:
        raise OSError(str(error)) from error


def _receive(receiver: socket.socket, called: Called) -> None:
    with suppress(BlockingIOError):
        while True:
            if (kind := SIGNALS.get(receiver.recv(64).decode(errors="replace"))) is not None:
                called(kind)


def _digest(worker: WorkerId) -> str:
    return hashlib.sha256(worker.encode(errors="replace")).hexdigest()[:24]
