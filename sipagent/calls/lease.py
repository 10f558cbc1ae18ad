"""Whether this process may still act for its calls.

A process that was frozen (a stopped container, a paused machine) goes on as if no time had passed, while
another has taken its calls over. Timers and sockets all fire at once when it wakes, in no order. So the
question is asked where it matters, before every command, and answered by the clock: a lease that was not
extended for longer than its stall is in doubt, and whoever needs it waits until the database has said whose
the calls are.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from sipagent.calls.outages import Outages
from sipagent.errors import NotOursError
from sipagent.identifiers import CallId, WorkerId
from sipagent.store import Fact

HELD_BACK_FACTS = 10_000
"""Facts that are kept while the lease is in doubt; more than a worker writes in the time that takes."""


class Lease:
    """The right of one process, under one worker's name, to act for its calls.

    In doubt means neither held nor lost: `wait` tells, `record` keeps facts back until then.
    """

    def __init__(self, record: Callable[[Fact], None], *, stall_s: float, now: Callable[[], float]) -> None:
        """``stall_s`` is how long nobody need extend it; ``now`` a clock that goes on while the process is
        frozen, such as ``loop.time``."""
        self._record = record
        self._stall_s = stall_s
        self._now = now
        self._good_until = now() + stall_s
        self._lost = False
        self._told = asyncio.Event()
        self._held_back: deque[Fact] = deque(maxlen=HELD_BACK_FACTS)

    @property
    def held(self) -> bool:
        """Whether this process may act now."""
        return not self._lost and self._now() < self._good_until

    async def wait(self) -> None:
        """Return once this process may act; raises `NotOursError` when it never may again. Cancel-safe."""
        while not self.held:
            if self._lost:
                raise NotOursError("The call was taken over by another process.")
            self._told.clear()
            await self._told.wait()

    def extend(self) -> None:
        """This process runs, and nobody said that its calls are another's. Nothing happens once lost."""
        self._good_until = self._now() + self._stall_s
        if self._lost:
            return
        while self._held_back:
            self._record(self._held_back.popleft())
        self._told.set()

    def lose(self) -> None:
        """The calls are others' now."""
        self._lost = True
        self._held_back.clear()
        self._told.set()

    def keep_only(self, call_ids: Collection[CallId]) -> None:
        """All but these calls are others' now: what was kept back of them is not written."""
        kept = [fact for fact in self._held_back if getattr(fact, "call_id", None) in call_ids]
        self._held_back.clear()
        self._held_back.extend(kept)

    def record(self, fact: Fact) -> None:
        """Write down ``fact``, later if the lease is in doubt, and never once it is lost."""
        if self._lost:
            return
        if self._held_back or not self.held:
            self._held_back.append(fact)
        else:
            self._record(fact)


@dataclass(slots=True, kw_only=True)
class Holding:
    """By what right this process acts for one call. Whoever acts for the call has the same one."""

    lease: Lease
    worker: WorkerId
    """Changes only as long as the database knows nothing of the call."""
    epoch: int
    """Counts the holders of the call, from 1."""
    outages: Outages = field(default_factory=Outages, repr=False, compare=False)
    """What the worker does while the database is away."""


class Tenures:
    """By what holdings this process has begun to act for calls: those of the last ``capacity``."""

    def __init__(self, *, capacity: int = 20_000) -> None:
        self._capacity = capacity
        self._begun: dict[tuple[CallId, WorkerId, int], None] = {}

    def begin(self, call_id: CallId, holding: Holding) -> bool:
        """True for the first time, False when that was begun before."""
        key = (call_id, holding.worker, holding.epoch)
        if key in self._begun:
            return False
        self._begun[key] = None
        if len(self._begun) > self._capacity:
            del self._begun[next(iter(self._begun))]
        return True

    def has_begun(self, call_id: CallId, holding: Holding) -> bool:
        """Whether `begin` would say False."""
        return (call_id, holding.worker, holding.epoch) in self._begun


@dataclass(slots=True, kw_only=True, eq=False)
class Terms:
    """Under which name a process holds calls, and whether it still does."""

    worker: WorkerId
    lease: Lease
    outages: Outages = field(default_factory=Outages, repr=False)
    """What the process does while the database is away, whatever its name."""
    over: bool = False
    """Whether the process has another name by now."""

    def holding(self, epoch: int) -> Holding:
        """The right to a call in its ``epoch``."""
        return Holding(lease=self.lease, worker=self.worker, epoch=epoch, outages=self.outages)
