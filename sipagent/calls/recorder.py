"""Writes facts to the store as calls go, off the path of events.

One writer task takes whatever has gathered and applies it in one transaction, so that a burst of calls
costs a few transactions instead of thousands, and a slow database delays nobody. A fact that was handed
over survives the end of its call: `Recorder.record` never waits, and the writer outlives every call.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from sipagent.errors import StoreError
from sipagent.store import CallEnded, CallOpened, CallStore, ConfigurationLoaded, Fact
from sipagent.telemetry import Metrics

logger = logging.getLogger(__name__)


class Recorder:
    """The one writer of a service. Run `run` in the service's task group, end it with `aclose`."""

    def __init__(
        self,
        store: CallStore,
        metrics: Metrics,
        *,
        gather_s: float = 0.2,
        batch_facts: int = 2000,
        capacity: int = 200_000,
        longest_retry_s: float = 5.0,
    ) -> None:
        """``gather_s`` is how long facts may wait to be written together; ``capacity`` bounds the queue."""
        self._store = store
        self._metrics = metrics
        self._gather_s = gather_s
        self._batch_facts = batch_facts
        self._capacity = capacity
        self._longest_retry_s = longest_retry_s
        self._queue: deque[Fact] = deque()
        self._something = asyncio.Event()
        self._closing = False

    def record(self, fact: Fact) -> None:
        """Hand over one fact; never waits.

        A full queue (a database that has been away for long) drops what describes a call and counts it,
        but never that a call began or ended, or which configuration served it.
        """
        if len(self._queue) >= self._capacity and not isinstance(
            fact, CallOpened | CallEnded | ConfigurationLoaded
        ):
            self._metrics.store_fact_dropped()
            return
        self._queue.append(fact)
        self._something.set()

    async def run(self) -> None:
        """Write until `aclose` was called and the queue is empty."""
        while True:
            await self._something.wait()
            if not self._closing:
                await asyncio.sleep(self._gather_s)
            self._something.clear()
            while self._queue:
                count = min(len(self._queue), self._batch_facts)
                await self._write([self._queue.popleft() for _ in range(count)])
                self._metrics.store_queue_depth(len(self._queue))
            if self._closing:
                return

    async def aclose(self) -> None:
        """Let `run` finish what is queued and return. It does not wait: `run` has an owner that does."""
        self._closing = True
        self._something.set()

    async def _write(self, facts: list[Fact]) -> None:
        """Apply ``facts``; wait for a database that is away, drop a fact that it will never take."""
        pause_s = 0.1
        while True:
            try:
                await self._store.apply(facts)
                return
            except StoreError as error:
                logger.error("The database did not take %d facts: %s", len(facts), error)
            if await self._database_answers():
                # It is there and still says no, so one of these facts is to blame. Halving finds it, and
                # saves the others.
                if len(facts) > 1:
                    middle = len(facts) // 2
                    await self._write(facts[:middle])
                    await self._write(facts[middle:])
                    return
                logger.error("%s is lost: the database refuses it", _named(facts[0]))
                self._drop(1)
                return
            if self._closing and pause_s >= self._longest_retry_s:
                logger.error("%d facts are lost: the database stayed away until the end", len(facts))
                self._drop(len(facts))
                return
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, self._longest_retry_s)

    async def _database_answers(self) -> bool:
        try:
            await self._store.ping()
        except StoreError:
            return False
        return True

    def _drop(self, count: int) -> None:
        for _ in range(count):
            self._metrics.store_fact_dropped()


def _named(fact: Fact) -> str:
    if isinstance(fact, ConfigurationLoaded):
        return f"The text of configuration {fact.fingerprint}"
    return f"A fact of call {fact.call_id}"
