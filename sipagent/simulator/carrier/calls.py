"""A call at a pretended carrier, as tests see it: the caller, and every leg that came of it."""

from __future__ import annotations

from collections.abc import Callable

from sipagent.errors import SimulatorError
from sipagent.simulator.carrier.leg import Leg, LegStatus, Notice
from sipagent.simulator.carrier.record import Moment, Tape, Timeline
from sipagent.simulator.carrier.stream import StreamRecord
from sipagent.simulator.carrier.virtual_party import VirtualParty


class CarrierCall:
    """One call. The first leg is the caller's, or that of whoever the service called."""

    def __init__(self, timeline: Timeline) -> None:
        self.legs: list[Leg] = []
        """In the order in which they were made."""
        self.streams: list[StreamRecord] = []
        """Every audio socket that was opened for the call."""
        self.timeline = timeline
        """Everything that happened, with times."""

    @property
    def leg(self) -> Leg:
        """The first leg."""
        return self.legs[0]

    @property
    def sid(self) -> str:
        """The carrier's identifier of the first leg."""
        return self.leg.sid

    @property
    def status(self) -> LegStatus:
        """Of the first leg."""
        return self.leg.status

    @property
    def is_over(self) -> bool:
        """Whether every leg is."""
        return all(leg.is_over for leg in self.legs)

    @property
    def caller(self) -> VirtualParty:
        """Whoever is at the first leg. Raises `SimulatorError` when it is a real telephone."""
        return person_at(self.leg)

    @property
    def heard(self) -> Tape:
        """What was heard at the first leg."""
        return self.leg.heard

    @property
    def said(self) -> Tape:
        """What came from the first leg."""
        return self.leg.said

    @property
    def sentences(self) -> tuple[str, ...]:
        """What the carrier's own voice said to the first leg, each to its end."""
        return tuple(self.leg.sentences)

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What the carrier complains about, on all legs."""
        return tuple(notice for leg in self.legs for notice in leg.notices)

    def legs_to(self, address: str) -> list[Leg]:
        """The legs that called ``address``: a number, or the beginning of a SIP address."""
        return [leg for leg in self.legs if leg.facts.called.startswith(address)]

    def moments(self, what: str) -> tuple[Moment, ...]:
        """The moments called ``what``, on all legs."""
        return self.timeline.named(what)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until ``condition`` holds; it is looked at whenever something happens. Safe to cancel."""
        await self.timeline.changes.until(condition)

    async def answered(self) -> bool:
        """Wait until the first leg is answered; False when it ended first."""
        return await self.leg.until(lambda: self.leg.is_answered)

    async def leg_answered(self, address: str) -> Leg:
        """Wait until somebody at ``address`` takes a leg of this call. Raises `SimulatorError` when the call
        ends first."""

        def found() -> Leg | None:
            return next((leg for leg in self.legs_to(address) if leg.is_answered), None)

        await self.until(lambda: found() is not None or self.leg.is_over)
        leg = found()
        if leg is None:
            raise SimulatorError(f"nobody at {address} took a leg of call {self.sid}, which is {self.status}")
        return leg

    async def ended(self) -> LegStatus:
        """Wait until the first leg is over."""
        await self.leg.until(lambda: self.leg.is_over)
        return self.status


def person_at(leg: Leg) -> VirtualParty:
    """The pretended person at a leg. Raises `SimulatorError` when a real telephone is there."""
    if not isinstance(leg.party, VirtualParty):
        raise SimulatorError("a real telephone is at the other end: only virtual parties can be moved")
    return leg.party
