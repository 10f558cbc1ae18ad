"""The part of the recorder's queue that is on disk: a spill, worked off the event loop.

A disk that fails is said once in the log and in the metrics, and tried again; nothing here raises for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from sipagent.calls.spill import REJECTED, Page, Spill
from sipagent.errors import SpillError
from sipagent.store import CarrierReported, ConfigurationLoaded, Fact
from sipagent.telemetry import StoreMetrics

logger = logging.getLogger(__name__)

UNREADABLE_S = 60.0
"""How long a disk may be unreadable before what is on it is left there, and later facts go on without it."""


class Backlog:
    """What waits on disk. Without a ``spill`` nothing ever does, and what cannot be written is lost."""

    def __init__(self, spill: Spill | None, metrics: StoreMetrics) -> None:
        self._spill = spill
        self._metrics = metrics
        self._works = True
        self._unreadable_since: float | None = None
        self._given_up = 0

    @property
    def empty(self) -> bool:
        """Whether nothing waits on disk."""
        return self._spill is None or self._spill.empty

    async def begin(self) -> None:
        """Say in the log what is wrong with the folder, if something is; take over what was left in it."""
        if self._spill is None:
            return
        try:
            await asyncio.to_thread(self._spill.check)
        except SpillError as error:
            self._failed(error)
        await self.look()

    async def look(self) -> None:
        """Take over what processes left behind that have died since: it comes before all that waits."""
        if self._spill is None:
            return
        try:
            found = await asyncio.to_thread(self._spill.recover)
        except SpillError as error:
            self._failed(error)
            return
        for reason in found.unusable:
            logger.error("What a process left behind cannot be read: %s", reason)
        if found.half_lines:
            logger.warning("%d facts were cut off when a process died, and are lost", found.half_lines)
            self._metrics.dropped(found.half_lines)
        if found.processes:
            logger.warning("Facts of %d dead processes (%d bytes) wait", found.processes, found.size)
        self._metrics.spill_bytes(self._spill.size)

    async def keep(self, facts: Sequence[Fact]) -> bool:
        """Put ``facts`` on disk, behind what is there; False when the disk does not take them.

        A caller that is cancelled does not know which; keeping them again then is right, since facts may
        come twice.
        """
        return self._spill is not None and await asyncio.to_thread(self._keep, self._spill, facts)

    async def next(self, most: int) -> tuple[Fact, ...] | None:
        """The next facts, which stay until `forget`; None when they cannot be read now. No facts at all means
        that what was read held none: forget it, and go on."""
        assert self._spill is not None, "nothing waits without a spill"
        try:
            page = await asyncio.to_thread(self._spill.read, most)
        except SpillError as error:
            await self._unreadable(self._spill, error)
            return None
        self._unreadable_since = None
        if page.unreadable:
            await self._set_aside(self._spill, page)
        return page.facts

    async def forget(self, replayed: int) -> None:
        """The database has what was read last, ``replayed`` facts."""
        assert self._spill is not None, "nothing waits without a spill"
        self._metrics.replayed(replayed)
        try:
            await asyncio.to_thread(self._spill.forget)
        except SpillError as error:
            self._failed(error)
        self._metrics.spill_bytes(self._spill.size)

    async def reject(self, facts: Sequence[Fact]) -> None:
        """The database will never take ``facts``: set them aside for people to look at."""
        for fact in facts:
            logger.error("%s is not in the database, which refuses it", _named(fact))
        if self._spill is None:
            self._metrics.dropped(len(facts))
            return
        self._metrics.rejected(len(facts))
        try:
            await asyncio.to_thread(self._spill.reject, facts)
            logger.error("%d facts were set aside in %s", len(facts), self._spill.folder / REJECTED)
        except SpillError as error:
            self._failed(error)
            self._metrics.dropped(len(facts))

    def leave(self, facts: Sequence[Fact]) -> None:
        """Leave ``facts``, and all that waits already, to the next start. Blocks for a moment."""
        if facts and (self._spill is None or not self._keep(self._spill, facts)):
            logger.error("%d facts are lost: the database stayed away until the end", len(facts))
            self._metrics.dropped(len(facts))
        if self._spill is None:
            return
        if not self._spill.empty:
            logger.warning("%d bytes of facts wait in %s", self._spill.size, self._spill.folder)
        try:
            self._spill.close()
        except SpillError as error:
            self._failed(error)

    def _keep(self, spill: Spill, facts: Sequence[Fact]) -> bool:
        try:
            spill.append(facts)
        except SpillError as error:
            self._failed(error)
            return False
        self._worked()
        self._metrics.spilled(len(facts))
        self._metrics.spill_bytes(spill.size)
        given_up, self._given_up = spill.given_up - self._given_up, spill.given_up
        if given_up:
            logger.error("%d facts are lost: there is no more room on disk for them", given_up)
            self._metrics.dropped(given_up)
        return True

    async def _set_aside(self, spill: Spill, page: Page) -> None:
        logger.error("%d lines on disk hold no fact that can be read", len(page.unreadable))
        self._metrics.rejected(len(page.unreadable))
        try:
            await asyncio.to_thread(spill.reject, (), page.unreadable)
        except SpillError as error:
            self._failed(error)

    async def _unreadable(self, spill: Spill, error: SpillError) -> None:
        self._failed(error)
        now = asyncio.get_running_loop().time()
        if self._unreadable_since is None:
            self._unreadable_since = now
        elif now - self._unreadable_since > UNREADABLE_S:
            self._unreadable_since = None
            logger.error("What is in %s stays there for the next start", spill.folder)
            try:
                await asyncio.to_thread(spill.close)
            except SpillError as closing:
                self._failed(closing)

    def _failed(self, error: SpillError) -> None:
        self._metrics.spill_ok(False)
        if self._works:
            self._works = False
            logger.error("Facts are kept in memory only while the database is away: %s", error)

    def _worked(self) -> None:
        self._metrics.spill_ok(True)
        if not self._works:
            self._works = True
            logger.warning("Facts can be kept on disk again")


def _named(fact: Fact) -> str:
    if isinstance(fact, ConfigurationLoaded):
        return f"The text of configuration {fact.fingerprint}"
    if isinstance(fact, CarrierReported):
        return f"A report of {fact.carrier} about its leg {fact.carrier_call_id} ({fact.kind})"
    return f"A fact of call {fact.call_id} ({type(fact).__name__})"
