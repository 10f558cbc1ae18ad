"""This process as one of the workers that share a database: from joining them to leaving."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import datetime

from sipagent.app.serving import Serving
from sipagent.calls import CallServices, Recorder, Supervisor
from sipagent.calls.adopting import Adopter
from sipagent.calls.commands import CommandDesk
from sipagent.calls.shift import Shift
from sipagent.calls.shift_settings import ShiftSettings
from sipagent.calls.steering import Steering
from sipagent.errors import StoreError
from sipagent.identifiers import CallId
from sipagent.store import Store
from sipagent.telemetry import Metrics

logger = logging.getLogger(__name__)


class Membership:
    """`join` comes first and `leave` last; in between the shift works in a task of its own."""

    def __init__(
        self, store: Store, *, settings: ShiftSettings, metrics: Metrics, utc_now: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._settings = settings
        self._metrics = metrics
        self._utc_now = utc_now
        self._working: asyncio.Task[None] | None = None
        self.shift: Shift | None = None
        """None before `join`."""

    async def join(
        self,
        group: asyncio.TaskGroup,
        stack: AsyncExitStack,
        *,
        supervisor: Supervisor,
        services: CallServices,
        serving: Serving,
        recorder: Recorder,
    ) -> None:
        """Join the others, or go on trying to beside everything else. Cancel-safe."""
        desk = CommandDesk(
            self._store, lambda call_id: _steering_of(supervisor, call_id), utc_now=self._utc_now
        )
        stack.push_async_callback(desk.aclose)
        adopter = Adopter(
            memory=self._store,
            supervisor=supervisor,
            client=services.client,
            record=recorder.record,
            restore=serving.restore,
            services_at=serving.services_at,
            metrics=self._metrics,
            utc_now=self._utc_now,
            settings=self._settings,
        )
        self.shift = Shift(
            memory=self._store,
            supervisor=supervisor,
            adopter=adopter,
            record=recorder.record,
            flush=recorder.flush,
            look_for_commands=desk.look,
            metrics=self._metrics,
            name=f"{socket.gethostname()}:{os.getpid()}",
            settings=self._settings,
        )
        # What a dead process wrote down and did not get into the database comes before what is adopted.
        await recorder.flush(self._settings.database_timeout_s)
        try:
            await self.shift.join()
        except StoreError as error:
            logger.warning("This worker joins the others as soon as the database lets it: %s", error)
        self._working = group.create_task(self.shift.run(), name="worker")

    async def leave(self, recorder: Recorder) -> None:
        """Leave the others once everything is recorded; nothing happens to who never joined."""
        if self.shift is None or self._working is None:
            return
        await recorder.flush(self._settings.database_timeout_s)
        self._working.cancel()
        await self.shift.leave()


def _steering_of(supervisor: Supervisor, call_id: CallId) -> Steering | None:
    live = supervisor.live(call_id)
    conversation = None if live is None else live.conversation
    return None if conversation is None else conversation.steering
