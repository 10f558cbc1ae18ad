"""Sends status callbacks: each leg's in order, or as its faults want it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from sipagent.simulator.carrier.faults import CarrierFault, CarrierFaults
from sipagent.simulator.carrier.posting import OutgoingRequest

Send = Callable[[OutgoingRequest], Coroutine[Any, Any, object]]


class ReportQueue:
    """The callbacks of one leg. They leave one after the other: none overtakes another by itself."""

    def __init__(
        self,
        send: Send,
        *,
        faults: CarrierFaults,
        spawn: Callable[[Callable[[], Coroutine[Any, Any, None]], str], object],
    ) -> None:
        self._send = send
        self._faults = faults
        self._spawn = spawn
        self._waiting: deque[OutgoingRequest] = deque()
        self._held: OutgoingRequest | None = None
        self._busy = False

    def add(self, request: OutgoingRequest, *, last: bool) -> None:
        """Send ``request`` behind what waits. ``last``: nothing comes after it."""
        if CarrierFault.REPORTS_LOST in self._faults:
            return
        if CarrierFault.REPORTS_UNORDERED in self._faults:
            if self._held is None and not last:
                self._held = request
                return
            held, self._held = self._held, None
            self._waiting.extend(each for each in (request, held) if each is not None)
        else:
            self._waiting.append(request)
        if not self._busy:
            self._busy = True
            self._spawn(self._drain, "status callbacks")

    async def _drain(self) -> None:
        try:
            while self._waiting:
                request = self._waiting.popleft()
                await self._send(request)
                if CarrierFault.REPORTS_DUPLICATE in self._faults:
                    await self._send(request)
        finally:
            self._busy = False
