"""The desk at which carriers are served, and those that it has replaced while somebody uses them still."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime

from sipagent.carrier.desk import CarrierDesk
from sipagent.carrier.settings import CarrierSettings


class Desks:
    """All desks of one service. `open` it and `close` it."""

    def __init__(self, settings: CarrierSettings | None, *, utc_now: Callable[[], datetime]) -> None:
        """Raises `UserError` as `CarrierDesk`."""
        self.settings = settings
        """Those of the configuration that serves; None where it has no carriers."""
        self.current = None if settings is None else CarrierDesk(settings)
        """None where no carrier has anything to say: there is none, nor was there lately."""
        self._utc_now = utc_now
        self._replaced: set[CarrierDesk] = set()
        self._closing: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Be ready to speak with carriers."""
        if self.current is not None:
            await self.current.__aenter__()

    async def close(self) -> None:
        """Close every desk, whoever uses it."""
        for task in self._closing:
            task.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)
        current = () if self.current is None else (self.current,)
        # Also of those whose task was cancelled before it had begun.
        for desk in (*self._replaced, *current):
            await desk.__aexit__(None, None, None)
        self._replaced.clear()

    @asynccontextmanager
    async def change(self, settings: CarrierSettings | None) -> AsyncIterator[Callable[[], None]]:
        """Make ready for ``settings``. What is given lets them hold, at once; left without its being called,
        nothing has changed. Raises `UserError` as `CarrierDesk`. Cancel-safe."""
        if settings == self.settings:
            yield lambda: None
            return
        desk = self._next(settings)
        if desk is not None:
            await desk.__aenter__()
        try:

            def take_place() -> None:
                self._replace(desk, settings)

            yield take_place
        finally:
            if desk is not None and desk is not self.current and desk not in self._replaced:
                await desk.__aexit__(None, None, None)

    # Inside ------------------------------------------------------------------------------------------

    def _next(self, settings: CarrierSettings | None) -> CarrierDesk | None:
        before = self.current
        if before is None:
            return None if settings is None else CarrierDesk(settings)
        now_s = self._utc_now().timestamp()
        former = before.former.followed(before.settings, settings, now_s)
        # Without carriers, the plans of calls in progress are still those that held before.
        return CarrierDesk(settings or before.settings.without_accounts(), former=former)

    def _replace(self, desk: CarrierDesk | None, settings: CarrierSettings | None) -> None:
        former, self.current, self.settings = self.current, desk, settings
        if former is None:
            return
        self._replaced.add(former)
        closing = asyncio.create_task(self._close_unused(former), name="former carriers")
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def _close_unused(self, desk: CarrierDesk) -> None:
        await desk.unused()
        await desk.__aexit__(None, None, None)
        self._replaced.discard(desk)
