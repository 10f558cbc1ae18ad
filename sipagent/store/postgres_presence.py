"""Which workers are alive, and signals between them, on PostgreSQL.

A worker is alive as long as a connection of its own holds a session lock; the server frees it when the
process dies, and soon after its machine does. Signals are notifications that the same connection listens to.
When the connection is lost (the server was started again, say) it is made again for as long as the worker has
not left. Until then the worker is protected by its renewals alone.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Awaitable, Callable, Collection
from typing import Any, TypeAlias

import asyncpg  # type: ignore[import-untyped]
import sqlalchemy as sa

from sipagent.errors import StoreError
from sipagent.identifiers import WorkerId
from sipagent.store.backend import Called, Run
from sipagent.store.leases import SIGNALS, SignalKind
from sipagent.store.tables import PlainText

CHANNEL = "sipagent"
CLOSE_TIMEOUT_S = 1.0
LOOK_S = 5.0
"""How often the connection is asked whether it still works."""
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 2.0

Connection: TypeAlias = asyncpg.Connection

_HELD = sa.text(
    "SELECT (classid::bigint << 32) | objid::bigint AS key FROM pg_locks"
    " WHERE locktype = 'advisory' AND objsubid = 1 AND granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
_NOTIFY = sa.select(sa.func.pg_notify(CHANNEL, sa.bindparam("payload", type_=PlainText)))


class PostgresPresence:
    """See `Presence`. ``errors`` are what ``connect`` and connections raise."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[Connection]],
        run: Run,
        *,
        errors: tuple[type[Exception], ...],
    ) -> None:
        self._connect = connect
        self._run = run
        self._errors = errors
        self._workers: dict[WorkerId, Called | None] = {}
        self._connection: Connection | None = None
        self._lost = asyncio.Event()
        self._using = asyncio.Lock()
        self._keeper: asyncio.Task[None] | None = None

    async def join(self, worker: WorkerId) -> None:
        """See `Presence.join`. Raises what the driver raises when the server is away."""
        if worker in self._workers:
            return
        async with self._using:
            connection = self._connection or await self._connected()
            await _lock(connection, worker)
        self._workers[worker] = None
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep(), name="store: presence")

    async def leave(self, worker: WorkerId) -> None:
        """See `Presence.leave`."""
        if worker not in self._workers:
            return
        del self._workers[worker]
        if not self._workers:
            await self.aclose()
            return
        async with self._using:
            if self._connection is not None:
                try:
                    await self._connection.execute("SELECT pg_advisory_unlock($1)", key_of(worker))
                except self._errors:
                    self._connection.terminate()

    async def free(self, workers: Collection[WorkerId]) -> frozenset[WorkerId]:
        """See `Presence.free`."""
        held = {row.key for row in await self._run("look who is alive in", _HELD, {})}
        return frozenset(worker for worker in workers if key_of(worker) not in held)

    def bury(self, worker: WorkerId) -> None:
        """The server has cleaned up already."""

    def listen(self, worker: WorkerId, called: Called) -> None:
        """See `Presence.listen`."""
        self._workers[worker] = called

    async def signal(self, kind: SignalKind, worker: WorkerId | None) -> None:
        """See `Presence.signal`."""
        payload = kind if worker is None else f"{kind} {worker}"
        try:
            await self._run("signal through", _NOTIFY, {"payload": payload})
        except StoreError:
            return  # whoever should hear of it looks by itself, later

    async def aclose(self) -> None:
        """See `Presence.aclose`."""
        self._workers.clear()
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.wait([keeper])
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await connection.close()
            except self._errors:
                connection.terminate()

    async def _keep(self) -> None:
        """Until cancelled, see to it that there is a connection which holds what it must hold."""
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._lost.wait()
            except TimeoutError:
                pass
            try:
                async with self._using:
                    connection, is_new = self._connection, False
                    if connection is None:
                        connection, is_new = await self._connected(), True
                    # Also after the first time: the server may still believe in a connection of ours that is
                    # lost, and give the lock only when it has found out.
                    for worker in list(self._workers):
                        await _lock(connection, worker)
            except self._errors:
                self._forget(self._connection)
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                continue
            pause_s = FIRST_PAUSE_S
            if is_new:
                self._call("command", None)
                self._call("orphans", None)

    async def _connected(self) -> Connection:
        connection = await self._connect()
        try:
            connection.add_termination_listener(self._forget)
            await connection.add_listener(CHANNEL, self._hear)
        except BaseException:
            connection.terminate()
            raise
        self._connection = connection
        self._lost.clear()
        return connection

    def _forget(self, connection: Any) -> None:
        if connection is self._connection:
            self._connection = None
            self._lost.set()
            if connection is not None:
                connection.terminate()

    def _hear(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        kind, _, worker = str(payload).partition(" ")
        if (known := SIGNALS.get(kind)) is not None:
            self._call(known, WorkerId(worker) if worker else None)

    def _call(self, kind: SignalKind, only: WorkerId | None) -> None:
        for worker, called in list(self._workers.items()):
            if called is not None and only in (None, worker):
                called(kind)


def key_of(worker: WorkerId) -> int:
    """The number of the session lock of a worker."""
    digest = hashlib.sha256(b"sipagent worker " + worker.encode(errors="replace")).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


async def _lock(connection: Connection, worker: WorkerId) -> None:
    """Hold the lock of ``worker`` once, unless another connection has it."""
    await connection.execute(
        "SELECT pg_try_advisory_lock($1) WHERE NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory'"
        " AND pid = pg_backend_pid() AND objsubid = 1 AND ((classid::bigint << 32) | objid::bigint) = $1)",
        key_of(worker),
    )
