"""Keeps the sum of the day right, with what was spent before the start and by other workers.

The brake on a day's costs is the company's, not a process's. Each process counts its own calls as they go,
and asks the store now and then what all have cost together. While the database is away, its own count goes
on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, time, tzinfo

from sipagent.calls.routing import FrontDoor
from sipagent.calls.spend import DaySpend, cost_of_totals
from sipagent.errors import StoreError
from sipagent.store import CallStore

logger = logging.getLogger(__name__)


class DaySpendReader:
    """Reads into ``day`` what all calls of the day have cost. Run `run` in the service's task group."""

    def __init__(
        self,
        store: CallStore,
        day: DaySpend,
        *,
        door: Callable[[], FrontDoor],
        utc_now: Callable[[], datetime],
        every_s: float = 60.0,
        retry_s: float = 5.0,
        timeout_s: float = 30.0,
    ) -> None:
        """``door`` says which configuration serves: its prices count, and where its day begins.

        Without a limit of costs nothing is read. ``retry_s`` passes after the store did not answer.
        """
        self._store = store
        self._day = day
        self._door = door
        self._utc_now = utc_now
        self._every_s = every_s
        self._retry_s = retry_s
        self._timeout_s = timeout_s
        self._failed = False

    async def run(self) -> None:
        """Read again and again until cancelled, which is safe."""
        while True:
            await asyncio.sleep(self._retry_s if self._failed else self._every_s)
            await self.refresh()

    async def refresh(self, within_s: float | None = None) -> bool:
        """Read once; False when the store does not answer within ``within_s``. Cancelling is safe."""
        door, now = self._door(), self._utc_now()
        limits = door.limits.spend
        if limits is None:
            return True
        try:
            async with asyncio.timeout(self._timeout_s if within_s is None else within_s):
                totals = await self._store.usage_since(midnight_before(now, limits.zone))
        except StoreError as error:
            return self._unread(str(error))
        except TimeoutError:
            return self._unread("the database does not answer")
        self._failed = False
        cost = cost_of_totals(totals, limits.prices, _transcription_models(door))
        self._day.learn(cost, now, limits.zone)
        return True

    def _unread(self, why: str) -> bool:
        if not self._failed:
            logger.warning("What the day has cost so far cannot be read now: %s", why)
        self._failed = True
        return False


def midnight_before(now: datetime, zone: tzinfo) -> datetime:
    """The first moment of the day of ``now`` in ``zone``, in UTC."""
    # Where clocks are put forward at midnight, this is when they are: Python reads a time that never was by
    # the offset that held before.
    return datetime.combine(now.astimezone(zone).date(), time.min, tzinfo=zone).astimezone(UTC)


def _transcription_models(door: FrontDoor) -> dict[str, set[str | None]]:
    """Beside each model, which ones write down what callers say."""
    found: dict[str, set[str | None]] = {}
    for profile in door.profiles.values():
        transcription = profile.settings.get("input_audio_transcription") or {}
        model = profile.settings.get("model_name") or ""
        found.setdefault(model, set()).add(transcription.get("model"))
    return found
