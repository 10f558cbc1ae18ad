"""What differs between carriers that follow documents: names, parameters, signatures, sockets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol, TypeAlias

from sipagent.simulator.carrier.conference import Member, Room, RoomEvent
from sipagent.simulator.carrier.faults import CarrierFaults
from sipagent.simulator.carrier.leg import Leg
from sipagent.simulator.carrier.markup import Lacks
from sipagent.simulator.carrier.posting import OutgoingRequest
from sipagent.simulator.carrier.stream_frames import StreamFrames
from sipagent.simulator.carrier.verbs import StreamTarget

Kind: TypeAlias = Literal["call", "stream", "conference", "session"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LegReport:
    """One status callback, before it is written."""

    event: str
    """``initiated``, ``ringing``, ``answered``, ``completed``."""
    sequence: int
    """From 0, for each leg."""
    at: datetime


class Dialect(Protocol):
    """One carrier's way to say things."""

    lacks: Lacks
    """What its documents do not have of what Twilio's have."""

    def new_sid(self, kind: Kind) -> str:
        """A new identifier."""

    def sip_headers(self, leg: Leg) -> list[tuple[str, str]]:
        """What an INVITE of this carrier carries about the leg it belongs to."""

    def call_parameters(self, leg: Leg) -> dict[str, str]:
        """What every request about a call has."""

    def dial_parameters(self, child: Leg | None, status: str, *, bridged: bool) -> dict[str, str]:
        """What the action of a finished dial is told."""

    def report_parameters(self, leg: Leg, report: LegReport) -> dict[str, str]:
        """A status callback."""

    def stream_parameters(
        self, leg: Leg, event: str, *, stream_id: str, name: str, error: str
    ) -> dict[str, str]:
        """What happened to a stream: ``stream-started``, ``stream-stopped``, ``stream-error``."""

    def room_parameters(
        self, room: Room, event: RoomEvent, member: Member | None, reason: str
    ) -> dict[str, str]:
        """What happened in a conference."""

    def frames(self, leg: Leg, target: StreamTarget) -> StreamFrames:
        """The messages of a new stream."""

    def stream_headers(self, leg: Leg, target: StreamTarget) -> Mapping[str, str]:
        """What the request for a socket carries."""

    def sign(self, request: OutgoingRequest, *, faults: CarrierFaults, event_id: str) -> Mapping[str, str]:
        """The headers that make a request authentic, or do not, as the faults want it."""
