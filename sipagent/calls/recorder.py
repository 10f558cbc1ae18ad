"""Writes facts to the store as calls go, off the path of events.

One writer task takes whatever has gathered and applies it in one transaction, so that a burst of calls
costs a few transactions instead of thousands, and a slow database delays nobody. A fact that was handed
over survives the end of its call: `Recorder.record` never waits, and the writer outlives every call.

Facts are one queue, first in, first out, whose head is on disk while the database is away. What waits longer
than ``spill_after_s``, or is more than memory should hold, goes to the end of the part on disk; while
anything is there, everything goes there. So the database sees facts in the order in which they happened,
some perhaps twice, whatever it, the disk and the process go through. Lost is what a process that is killed
had in memory: ``gather_s`` of facts, or ``spill_after_s`` when the database has just gone away.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass
from itertools import islice

from sipagent.calls.backlog import Backlog
from sipagent.calls.fact_writer import FactWriter, Written
from sipagent.calls.spill import Spill
from sipagent.store import CallEnded, CallOpened, CallStore, ConfigurationLoaded, Fact
from sipagent.telemetry import Metrics

_SHORTEST_TICK_S = 0.02
_FIRST_RETRY_S = 0.1
_MOST_KEPT_AT_ONCE = 20_000
"""Facts, so that encoding them keeps the event loop waiting for moments only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecorderSettings:
    """How patient the writer is, and how much it holds."""

    gather_s: float = 0.2
    """How long facts may wait to be written together."""
    batch_facts: int = 2000
    """Written in one transaction."""
    capacity: int = 200_000
    """Facts in memory; a quarter of it, and they go to disk."""
    spill_after_s: float = 2.0
    """How long the database may take nothing before facts go to disk."""
    longest_retry_s: float = 2.0
    """Between attempts while the database is away."""
    apply_timeout_s: float = 30.0
    """Of one attempt."""
    opinion_pause_s: float = 1.0
    """Before a fact is tried again that the database refused while it took others."""
    close_timeout_s: float = 5.0
    """How long what is left at the end may take; then it is left on disk."""
    look_every_s: float = 15.0
    """How often it is looked whether a process that shares the spill's folder has died and left something."""


class Recorder:
    """The one writer of a service. Run `run` in the service's task group, end it with `aclose`."""

    def __init__(
        self,
        store: CallStore,
        metrics: Metrics,
        *,
        spill: Spill | None = None,
        settings: RecorderSettings | None = None,
    ) -> None:
        """Without a ``spill``, what the database does not take waits in memory, within its bounds."""
        self._settings = settings or RecorderSettings()
        self._metrics = metrics.store
        self._backlog = Backlog(spill, metrics.store)
        self._writer = FactWriter(
            store,
            metrics.store,
            timeout_s=self._settings.apply_timeout_s,
            opinion_pause_s=self._settings.opinion_pause_s,
        )
        self._capacity = self._settings.capacity
        self._queue: deque[Fact] = deque()
        self._held: list[Fact] = []
        self._held_on_disk = False
        self._left_memory = 0
        self._something = asyncio.Event()
        self._flushing: list[tuple[int, asyncio.Future[bool]]] = []
        self._close_by: float | None = None
        self._failing_since: float | None = None
        self._retry_s = _FIRST_RETRY_S
        self._next_tick = self._next_look = 0.0

    def record(self, fact: Fact) -> None:
        """Hand over one fact; never waits.

        A full queue (database and disk have been away for long) drops what describes a call and counts it,
        but never that a call began or ended, or which configuration served it.
        """
        if len(self._queue) >= self._capacity and not isinstance(
            fact, CallOpened | CallEnded | ConfigurationLoaded
        ):
            self._metrics.dropped()
            return
        self._queue.append(fact)
        self._something.set()

    async def flush(self, timeout_s: float) -> bool:
        """Wait until the database has everything that was handed over before, and what a dead process left on
        disk; False when it has not within ``timeout_s``, or `run` ends first. Cancelling is safe."""
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        waiting = (self._left_memory + len(self._queue), done)
        self._flushing.append(waiting)
        self._something.set()
        try:
            async with asyncio.timeout(timeout_s):
                return await done
        except TimeoutError:
            return False
        finally:
            self._flushing.remove(waiting)

    async def run(self) -> None:
        """Write until `aclose` was called, and nothing is left or its time is over.

        However it ends, cancelled too, what the database does not have is left on disk for the next start.
        """
        try:
            await self._backlog.begin()
            async with asyncio.TaskGroup() as group:
                while await self._has_work():
                    await self._step(group)
        finally:
            self._leave()

    async def aclose(self) -> None:
        """Let `run` finish what is queued and return, after ``close_timeout_s`` at most. It does not wait:
        `run` has an owner that does."""
        if self._close_by is None:
            self._close_by = asyncio.get_running_loop().time() + self._settings.close_timeout_s
        self._something.set()

    # One step after the other ----------------------------------------------------------------------

    async def _has_work(self) -> bool:
        """Wait for something to write; False when it is time to end."""
        while True:
            self._answer_flushes()
            if self._too_late():
                return False
            if not self._backlog.empty or len(self._queue) >= self._settings.batch_facts:
                return True
            in_hurry = self._close_by is not None or bool(self._flushing)
            if self._queue:
                if not in_hurry:
                    await asyncio.sleep(self._settings.gather_s)
                return True
            if self._close_by is not None:
                return False
            self._something.clear()
            try:
                async with asyncio.timeout(self._settings.look_every_s):
                    await self._something.wait()
            except TimeoutError:
                await self._writer.answers()
                await self._backlog.look()

    async def _step(self, group: asyncio.TaskGroup) -> None:
        """Write the next facts, or find that it cannot be done now."""
        await self._look_around()
        replaying = not self._backlog.empty
        if replaying:
            facts = await self._backlog.next(self._settings.batch_facts)
        else:
            facts = self._hold()
        written = Written() if facts == () else None  # a page without a fact that can be read
        if facts:
            written = await self._while_keeping_safe(group, self._writer.write(facts))
        if written is None:
            self._put_back()
            await self._pause()
            return
        self._held = []
        self._failing_since = None
        self._retry_s = _FIRST_RETRY_S
        # What went to disk while it was being written comes again, and is judged then.
        if written.refused and (replaying or not self._held_on_disk):
            await self._backlog.reject(written.refused)
        if replaying:
            await self._backlog.forget(len(facts or ()) - len(written.refused))

    def _hold(self) -> tuple[Fact, ...]:
        """Take the next facts out of the queue, to be written or put back."""
        count = min(len(self._queue), self._settings.batch_facts)
        self._held = [self._queue.popleft() for _ in range(count)]
        self._held_on_disk = False
        self._left_memory += count
        return tuple(self._held)

    def _put_back(self) -> None:
        if not self._held_on_disk:
            self._queue.extendleft(reversed(self._held))
            self._left_memory -= len(self._held)
        self._held = []

    async def _while_keeping_safe(
        self, group: asyncio.TaskGroup, writing: Coroutine[None, None, Written | None]
    ) -> Written | None:
        """What ``writing`` comes to, or None when it must end before; what waits longer goes to disk."""
        if self._failing_since is None:
            self._failing_since = asyncio.get_running_loop().time()
        task = group.create_task(writing, name="recorder: write")
        while not (await asyncio.wait({task}, timeout=self._tick_s))[0]:
            if self._too_late():
                task.cancel()
                await asyncio.wait({task})
                return None
            await self._keep_safe()
        return task.result()

    async def _pause(self) -> None:
        """Wait before the next attempt; what waits longer goes to disk."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._retry_s
        self._retry_s = min(self._retry_s * 2, self._settings.longest_retry_s)
        while (left_s := until - loop.time()) > 0 and not self._too_late():
            await asyncio.sleep(min(left_s, self._tick_s))
            await self._keep_safe()

    async def _look_around(self) -> None:
        """What is due now and then, however much there is to write."""
        now = asyncio.get_running_loop().time()
        if now >= self._next_look:
            self._next_look = now + self._settings.look_every_s
            await self._backlog.look()
        if now >= self._next_tick:
            self._next_tick = now + self._tick_s
            await self._keep_safe()

    async def _keep_safe(self) -> None:
        """Put what is in memory on disk if it has waited for too long, is too much, or belongs behind what is
        there already."""
        if self._belongs_on_disk():
            await self._to_disk()
        held = 0 if self._held_on_disk else len(self._held)
        self._metrics.queue_depth(len(self._queue) + held)

    def _belongs_on_disk(self) -> bool:
        settings, now = self._settings, asyncio.get_running_loop().time()
        late = self._failing_since is not None and now - self._failing_since >= settings.spill_after_s
        return late or not self._backlog.empty or len(self._queue) > self._capacity // 4

    async def _to_disk(self) -> None:
        while True:
            held = [] if self._held_on_disk else self._held
            facts = [*held, *islice(self._queue, _MOST_KEPT_AT_ONCE)]
            if not facts or not await self._backlog.keep(facts):
                return
            self._held_on_disk = True
            for _ in range(len(facts) - len(held)):
                self._queue.popleft()
            self._left_memory += len(facts) - len(held)

    # The end ---------------------------------------------------------------------------------------

    @property
    def _tick_s(self) -> float:
        return max(self._settings.gather_s, _SHORTEST_TICK_S)

    def _too_late(self) -> bool:
        return self._close_by is not None and asyncio.get_running_loop().time() >= self._close_by

    def _answer_flushes(self) -> None:
        if self._backlog.empty:
            for target, done in self._flushing:
                if target <= self._left_memory and not done.done():
                    done.set_result(True)

    def _leave(self) -> None:
        self._put_back()
        facts = list(self._queue)
        self._queue.clear()
        self._backlog.leave(facts)
        self._metrics.queue_depth(0)
        for _, done in self._flushing:
            if not done.done():
                done.set_result(False)
