"""The carrier's fault menu: what a pretended carrier, its network and its lines can get wrong.

Written like the simulator's own menu (`sipagent.simulator.faults`):
``carrier.late=30, carrier.reports_lost``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from sipagent.errors import SimulatorError


class CarrierFault(StrEnum):
    """Everything that can be made to go wrong."""

    FORGED = "carrier.forged"
    """Requests are signed with a key nobody knows."""
    REPLAYED = "carrier.replayed"
    """The voice webhook comes a second time, ``=seconds`` after its answer, word for word."""
    DUPLICATE = "carrier.duplicate"
    """The voice webhook comes twice at once; the first answer counts."""
    LATE = "carrier.late"
    """Requests say they were signed ``=seconds`` ago. Twilio's signature knows no time."""
    UNSIGNED = "carrier.unsigned"
    """Requests carry no signature at all."""
    SIP_STATUS = "carrier.sip_status"
    """A SIP address that is dialled answers with status ``=code``."""
    SIP_SILENT = "carrier.sip_silent"
    """A SIP address that is dialled rings, and nobody answers."""
    SIP_CLOSED = "carrier.sip_closed"
    """Nobody listens at the SIP address that is dialled."""
    STREAM_REFUSED = "carrier.stream_refused"
    """The audio socket cannot be opened."""
    STREAM_NEVER_STARTS = "carrier.stream_never_starts"
    """The audio socket opens, and no start comes."""
    STREAM_CUT = "carrier.stream_cut"
    """The audio socket breaks without a goodbye ``=seconds`` after its start."""
    STREAM_STALLED = "carrier.stream_stalled"
    """The audio socket stays open and says and plays nothing from ``=seconds`` after its start."""
    REPORTS_LOST = "carrier.reports_lost"
    """No status callback is sent."""
    REPORTS_UNORDERED = "carrier.reports_unordered"
    """Status callbacks come in pairs the wrong way round."""
    REPORTS_DUPLICATE = "carrier.reports_duplicate"
    """Each status callback comes twice."""
    API_429 = "carrier.api_429"
    """The REST API answers 429; with ``=N`` only the first N times."""
    API_500 = "carrier.api_500"
    """The REST API answers 500; with ``=N`` only the first N times."""
    API_SLOW = "carrier.api_slow"
    """The REST API answers ``=seconds`` later."""


_NUMBERS: Mapping[CarrierFault, tuple[float, float, float]] = {
    CarrierFault.REPLAYED: (0.2, 0, 3600),
    CarrierFault.LATE: (600, 0, 86_400),
    CarrierFault.SIP_STATUS: (503, 300, 699),
    CarrierFault.STREAM_CUT: (1, 0, 3600),
    CarrierFault.STREAM_STALLED: (1, 0, 3600),
    CarrierFault.API_429: (math.inf, 1, 1e6),
    CarrierFault.API_500: (math.inf, 1, 1e6),
    CarrierFault.API_SLOW: (3, 0, 3600),
}
"""The faults that take a number: what counts without one, the smallest and the largest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CarrierFaults:
    """The faults that are on. An empty set is false."""

    values: Mapping[CarrierFault, float | None]

    @classmethod
    def of(cls, *faults: CarrierFault) -> CarrierFaults:
        """These faults, without numbers."""
        return cls(values=dict.fromkeys(faults))

    @classmethod
    def parse(cls, text: str) -> CarrierFaults:
        """Read ``name[=number][, …]``; ``carrier.`` may be left out. The last of two wins.

        Raises `SimulatorError` for an unknown name, or a number that is missing its place or its range.
        """
        values: dict[CarrierFault, float | None] = {}
        for entry in text.split(","):
            name, equals, value = (part.strip() for part in entry.partition("="))
            if not name and not equals:
                continue
            try:
                fault = CarrierFault(f"carrier.{name.lower().removeprefix('carrier.')}")
            except ValueError:
                known = ", ".join(CarrierFault)
                raise SimulatorError(f"there is no carrier fault {name!r}; the menu is: {known}") from None
            values[fault] = _number(fault, value) if equals else None
        return cls(values=values)

    def __contains__(self, fault: CarrierFault) -> bool:
        return fault in self.values

    def __bool__(self) -> bool:
        return bool(self.values)

    def __or__(self, other: CarrierFaults) -> CarrierFaults:
        """Both; where both name a fault, the right one's number counts."""
        return CarrierFaults(values={**self.values, **other.values})

    def __str__(self) -> str:
        return ", ".join(
            fault.value if value is None else f"{fault.value}={value:g}"
            for fault, value in self.values.items()
        )

    def number(self, fault: CarrierFault) -> float | None:
        """The number of a fault that is on, its usual one when none was given; None when it is off."""
        if fault not in self.values:
            return None
        value = self.values[fault]
        return _NUMBERS[fault][0] if value is None else value


NO_FAULTS = CarrierFaults(values={})


def _number(fault: CarrierFault, text: str) -> float:
    if fault not in _NUMBERS:
        raise SimulatorError(f"fault {fault.value!r} takes no number, but {text!r} was given")
    _, lowest, highest = _NUMBERS[fault]
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not lowest <= value <= highest:
        raise SimulatorError(f"{fault.value}={text}: give a number from {lowest:g} to {highest:g}")
    return value
