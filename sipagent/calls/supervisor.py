"""Holds every live call of one service, each behind its own wall, and lets them finish when it stops."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Self

from sipagent.calls.call import CallServices, PhoneCall
from sipagent.calls.endings import EndReason
from sipagent.calls.incoming import IncomingCall
from sipagent.calls.journal import CallJournal
from sipagent.calls.preparation import PreparedProfile
from sipagent.calls.routing import FrontDoor
from sipagent.calls.webhook import SeenWebhooks
from sipagent.identifiers import CallId
from sipagent.store import Fact

logger = logging.getLogger(__name__)


class Supervisor:
    """Takes calls while open. Used as an async context manager, which owns the task of every call.

    The task group holds call boundaries only, and they never raise: no call can end another.
    """

    def __init__(
        self,
        *,
        door: FrontDoor,
        prepared: Mapping[str, PreparedProfile],
        services: CallServices,
        record: Callable[[Fact], None],
        utc_now: Callable[[], datetime],
    ) -> None:
        """``prepared`` holds every profile of ``door``."""
        self._door = door
        self._prepared = prepared
        self._services = services
        self._record = record
        self._utc_now = utc_now
        self._seen = SeenWebhooks()
        self._tasks: dict[CallId, asyncio.Task[None]] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = False
        self._group = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Calls that still live are hung up by their cancellation.
        self._draining = True
        for task in self._tasks.values():
            task.cancel()
        await self._group.__aexit__(exception_type, exception, traceback)

    @property
    def draining(self) -> bool:
        """Whether new calls are refused."""
        return self._draining

    @property
    def live_calls(self) -> int:
        """How many calls are between their webhook and their last record."""
        return len(self._tasks)

    def take(self, call: IncomingCall, received_at: float) -> bool:
        """Begin to answer ``call`` and return at once: True, or False when it was taken before.

        ``received_at`` is when its webhook came (``loop.time()``).
        """
        if not self._seen.take(call, received_at):
            return False
        journal = CallJournal(call.call_id, self._record, self._utc_now)
        profile = self._door.choose(call)
        prepared = None if profile is None else self._prepared[profile.name]
        journal.opened(
            call,
            agent=None if profile is None else profile.name,
            model=None if profile is None else profile.settings.get("model_name"),
            configuration=self._door.fingerprint,
        )
        refuse = EndReason.REJECTED_DRAINING if self._draining else None
        phone_call = PhoneCall(call, services=self._services, journal=journal, received_at=received_at)
        task = self._group.create_task(phone_call.run(prepared, refuse=refuse), name=f"call {call.call_id}")
        self._tasks[call.call_id] = task
        self._idle.clear()
        self._services.metrics.call_started()
        task.add_done_callback(lambda _: self._forget(call.call_id))
        return True

    async def drain(self, timeout_s: float) -> int:
        """Refuse new calls, and wait until the live ones have ended; at most ``timeout_s`` seconds.

        Calls that are up then are hung up. Returns how many those were. Cancelling leaves the service
        draining.
        """
        self._draining = True
        logger.info("Draining: new calls are refused, %d live calls may finish", len(self._tasks))
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            left = list(self._tasks.values())
            logger.warning("The drain deadline passed; %d calls are hung up", len(left))
            for task in left:
                task.cancel()
            await asyncio.wait(left)
            return len(left)
        return 0

    def _forget(self, call_id: CallId) -> None:
        del self._tasks[call_id]
        self._services.metrics.call_left()
        if not self._tasks:
            self._idle.set()
