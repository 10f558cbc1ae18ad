"""Gets facts into a database that is away at times, and finds the facts that it will never take."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from sipagent.errors import StoreAwayError, StoreError
from sipagent.store import (
    CallEnded,
    CallNoted,
    CallOpened,
    CallStore,
    CarrierReported,
    ConfigurationLoaded,
    Fact,
    LatencyMeasured,
    RecordingDeleted,
    StateChanged,
)
from sipagent.telemetry import StoreMetrics

logger = logging.getLogger(__name__)

OPINIONS = 3
"""How often a fact is refused, beside others that are taken, before it is given up."""
_MOST_REFUSED_IN_A_ROW = 16
"""Facts refused one by one, before a database that took none of them counts as away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The database has all that it was given, but for what it refuses."""

    refused: tuple[Fact, ...] = ()


class _AwayError(Exception):
    """The database is away, or takes nothing at all."""


class FactWriter:
    """Writes to ``store``, and says in the log and in ``metrics`` when it is away and when it is back."""

    def __init__(
        self,
        store: CallStore,
        metrics: StoreMetrics,
        *,
        timeout_s: float = 30.0,
        opinion_pause_s: float = 1.0,
    ) -> None:
        """``timeout_s`` bounds each attempt; ``opinion_pause_s`` passes before a fact is tried again that was
        refused."""
        self._store = store
        self._metrics = metrics
        self._timeout_s = timeout_s
        self._opinion_pause_s = opinion_pause_s
        self._known_good: Fact | None = None
        self._away_since: float | None = None
        self._error = ""

    async def write(self, facts: Sequence[Fact]) -> Written | None:
        """Apply ``facts`` in order; None when the database is away, and perhaps took some of them.

        Cancelling is safe as it is for `CallStore.apply`.
        """
        try:
            refused = () if await self._applies(facts) else await self._refused(facts)
        except _AwayError:
            self._is_away(len(facts))
            return None
        self._is_back()
        return Written(refused=refused)

    async def answers(self) -> bool:
        """Whether the database answers; metrics say so afterwards."""
        if await self._pings():
            self._is_back()
            return True
        self._is_away(0)
        return False

    async def _refused(self, facts: Sequence[Fact]) -> tuple[Fact, ...]:
        """Those of ``facts`` that the database refuses, though it is there; the others are applied.

        A fact is to blame only when it was refused several times, while others were taken: a database that is
        read-only, out of space or in the middle of a failover answers, too. Each time all facts are applied
        again in their order, since what was refused for a moment must not come after what followed it.
        """
        evidence = False
        if self._known_good is not None:
            if not await self._pings() or not await self._applies([self._known_good]):
                raise _AwayError
            evidence = True
        suspects: set[int] = set()
        for opinion in range(OPINIONS):
            if opinion:
                await asyncio.sleep(self._opinion_pause_s)
            refused, tried = await self._sift(facts, evidence)
            evidence = evidence or tried
            if not evidence or (opinion and not refused <= suspects):
                raise _AwayError
            suspects = refused
            if not suspects:
                break
        return tuple(facts[index] for index in sorted(suspects))

    async def _sift(self, facts: Sequence[Fact], evidence: bool) -> tuple[set[int], bool]:
        """The indices of ``facts`` that are refused alone, and whether any was taken. Halving finds them."""
        refused: set[int] = set()
        taken = False
        parts = [(0, len(facts))]
        while parts:
            begin, end = parts.pop()
            if await self._applies(facts[begin:end]):
                taken = True
                continue
            if not await self._pings():
                raise _AwayError
            if end - begin > 1:
                middle = (begin + end) // 2
                parts += [(middle, end), (begin, middle)]
                continue
            refused.add(begin)
            if not (taken or evidence) and len(refused) >= _MOST_REFUSED_IN_A_ROW:
                raise _AwayError
        return refused, taken

    async def _applies(self, facts: Sequence[Fact]) -> bool:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._store.apply(facts)
        except StoreAwayError as error:
            self._error = str(error)
            raise _AwayError from error
        except StoreError as error:
            self._error = str(error)
            return False
        except TimeoutError:
            self._error = f"it did not answer within {self._timeout_s:g} seconds"
            return False
        self._known_good = next(filter(_can_be_applied_later, reversed(facts)), self._known_good)
        return True

    async def _pings(self) -> bool:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._store.ping()
        except StoreError as error:
            self._error = str(error)
            return False
        except TimeoutError:
            self._error = f"it did not answer within {self._timeout_s:g} seconds"
            return False
        return True

    def _is_away(self, facts: int) -> None:
        self._metrics.up(False)
        if self._away_since is None:
            self._away_since = asyncio.get_running_loop().time()
            logger.error("The database does not take %d facts, which wait: %s", facts, self._error)

    def _is_back(self) -> None:
        self._metrics.up(True)
        if self._away_since is not None:
            away_s = asyncio.get_running_loop().time() - self._away_since
            self._away_since = None
            logger.warning("The database is back after %.1f seconds", away_s)


def _can_be_applied_later(fact: Fact) -> bool:
    """Whether applying ``fact`` again changes nothing even when others have written since: all facts of its
    identity are the same, or the first one counts."""
    return isinstance(
        fact,
        CallOpened
        | StateChanged
        | LatencyMeasured
        | CallNoted
        | CallEnded
        | ConfigurationLoaded
        | CarrierReported
        | RecordingDeleted,
    )
