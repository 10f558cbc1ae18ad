"""A pretended Asterisk whose dialplan announces each call, connects its audio, and asks how it went.

The dialplan, as it would be written:

    same => n,Set(CALL=${UUID()})
    same => n,Set(answer=${CURL(ANNOUNCE_URL,uuid=${CALL}&caller=…&dialled=…&token=…)})
    same => n,AudioSocket(${CALL},HOST:PORT)
    same => n,Set(outcome=${CURL(OUTCOME_URL,uuid=${CALL}&token=…)})
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from aiohttp import web

from sipagent.errors import SimulatorError
from sipagent.simulator.carrier.audio_socket import AudioSocket
from sipagent.simulator.carrier.calls import CarrierCall
from sipagent.simulator.carrier.conference import Member, Room, RoomEvent
from sipagent.simulator.carrier.dialect import Kind, LegReport
from sipagent.simulator.carrier.faults import CarrierFault, CarrierFaults
from sipagent.simulator.carrier.leg import Leg
from sipagent.simulator.carrier.markup import NOTHING_LACKS, Lacks
from sipagent.simulator.carrier.options import CarrierOptions
from sipagent.simulator.carrier.posting import Exchange, OutgoingRequest, form_request
from sipagent.simulator.carrier.pretended import PretendedCarrier
from sipagent.simulator.carrier.stream import StreamEnd
from sipagent.simulator.carrier.stream_frames import StreamFrames
from sipagent.simulator.carrier.verbs import StreamTarget

NOBODY = "All circuits are busy now. Please try your call again later."
"""What callers hear whose call the service does not take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AsteriskOptions(CarrierOptions):
    """A pretended Asterisk; ``webhook_url`` is where the dialplan announces calls."""

    audio_socket: tuple[str, int] = ("127.0.0.1", 9092)
    """Where the service takes AudioSocket connections."""
    outcome_url: str | None = None
    """Where the dialplan asks how it went; None does not ask."""
    token: str = field(default="pretended-dialplan-token", repr=False)
    """What the dialplan shows."""


class AsteriskDialect:
    """How an Asterisk's requests look: forms without a signature. It has no documents, reports or rooms."""

    lacks: Lacks = NOTHING_LACKS

    def new_sid(self, kind: Kind) -> str:
        """A UUID."""
        return str(uuid4())

    def sip_headers(self, leg: Leg) -> list[tuple[str, str]]:
        """None."""
        return []

    def call_parameters(self, leg: Leg) -> dict[str, str]:
        """What the dialplan sends about a call."""
        return {"uuid": leg.sid, "caller": leg.facts.caller, "dialled": leg.facts.called}

    def dial_parameters(self, child: Leg | None, status: str, *, bridged: bool) -> dict[str, str]:
        """None."""
        return {}

    def report_parameters(self, leg: Leg, report: LegReport) -> dict[str, str]:
        """None."""
        return {}

    def stream_parameters(
        self, leg: Leg, event: str, *, stream_id: str, name: str, error: str
    ) -> dict[str, str]:
        """None."""
        return {}

    def room_parameters(
        self, room: Room, event: RoomEvent, member: Member | None, reason: str
    ) -> dict[str, str]:
        """None."""
        return {}

    def frames(self, leg: Leg, target: StreamTarget) -> StreamFrames:
        """Raises `SimulatorError`: there are no WebSockets here."""
        raise SimulatorError("an Asterisk has AudioSocket, and no media stream")

    def stream_headers(self, leg: Leg, target: StreamTarget) -> Mapping[str, str]:
        """None."""
        return {}

    def sign(self, request: OutgoingRequest, *, faults: CarrierFaults, event_id: str) -> Mapping[str, str]:
        """What its HTTP client calls itself."""
        return {"User-Agent": "asterisk-libcurl-agent/1.0"}


class PretendedAsterisk(PretendedCarrier):
    """An Asterisk with numbers, real telephones and a dialplan."""

    def __init__(self, options: AsteriskOptions) -> None:
        super().__init__(options, AsteriskDialect())
        self.audio_socket = options.audio_socket
        """May be set at any time."""
        self.outcome_url = options.outcome_url
        """May be set at any time."""
        self.token = options.token
        """What the dialplan shows."""
        self._dialplans: dict[str, asyncio.Task[None]] = {}

    def _receive(self, call: CarrierCall) -> None:
        self._dialplans[call.sid] = self.spawn(
            lambda: self._follow_dialplan(call), name=f"dialplan of {call.sid}"
        )

    def leg_changed(self, leg: Leg, event: str) -> None:
        """As in `LegOwner`."""
        super().leg_changed(leg, event)
        dialplan = self._dialplans.pop(leg.sid, None) if event == "completed" else None
        if dialplan is not None:
            dialplan.cancel()

    async def _follow_dialplan(self, call: CarrierCall) -> None:
        leg = call.leg
        leg.answer()
        end: StreamEnd | None = None
        announced = await self._ask(leg, self.webhook_url, "voice")
        if announced.status is not None and 200 <= announced.status < 300:
            host, port = self.audio_socket
            socket = AudioSocket(leg, identifier=UUID(leg.sid), host=host, port=port)
            call.streams.append(socket.record)
            end = await socket.run()
        else:
            leg.complain(0, f"the service answers {announced.status or announced.error}")
        if self.outcome_url is not None and end is not None:
            outcome = await self._ask(leg, self.outcome_url, "outcome")
            leg.extra["outcome"] = outcome.body.decode("utf-8", "replace").strip()
            leg.note("outcome", outcome=leg.extra["outcome"])
        if end in (None, StreamEnd.REFUSED):
            await self.announcer.play(leg, await self.speak(NOBODY))
            leg.sentences.append(NOBODY)
        leg.end()

    async def _ask(self, leg: Leg, url: str, purpose: str) -> Exchange:
        faults = leg.facts.faults
        token = secrets.token_hex(8) if CarrierFault.FORGED in faults else self.token
        parameters = {**AsteriskDialect().call_parameters(leg), "token": token}
        if CarrierFault.UNSIGNED in faults:
            del parameters["token"]
        request = form_request(purpose, "POST", url, parameters)
        send = self.mail.send_first if purpose == "voice" else self.mail.send
        return await send(request, leg=leg)

    def _routes(self) -> list[web.RouteDef]:
        return []
