"""What the fault menu does to a carrier's REST API."""

from __future__ import annotations

import asyncio
from typing import Protocol

from sipagent.simulator.carrier.faults import CarrierFault, CarrierFaults


class HasFaults(Protocol):
    """A carrier whose faults may be changed at any time."""

    faults: CarrierFaults


class ApiTrouble:
    """Counts the tries of each fault."""

    def __init__(self, carrier: HasFaults) -> None:
        self._carrier = carrier
        self._struck: dict[CarrierFault, int] = {}

    async def meet(self) -> int | None:
        """The status a request fails with, None when it may go on; perhaps late. Safe to cancel."""
        faults = self._carrier.faults
        await asyncio.sleep(faults.number(CarrierFault.API_SLOW) or 0.0)
        for fault, status in ((CarrierFault.API_429, 429), (CarrierFault.API_500, 500)):
            limit = faults.number(fault)
            struck = self._struck.get(fault, 0)
            if limit is not None and struck < limit:
                self._struck[fault] = struck + 1
                return status
        return None
