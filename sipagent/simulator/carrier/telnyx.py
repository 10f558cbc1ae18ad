"""A pretended Telnyx: TeXML with its own names and signature, and Call Control.

From Telnyx' public documentation: "TeXML", "Call Control", "Webhook signing", "Media streaming".
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from uuid import uuid4

from aiohttp import web

from sipagent import clock
from sipagent.simulator.carrier.call_control import CallControl
from sipagent.simulator.carrier.calls import CarrierCall
from sipagent.simulator.carrier.conference import Member, Room, RoomEvent
from sipagent.simulator.carrier.control_api import CallControlApi
from sipagent.simulator.carrier.desk import Fetch
from sipagent.simulator.carrier.dialect import Kind, LegReport
from sipagent.simulator.carrier.document_reports import room_report, stream_report
from sipagent.simulator.carrier.faults import CarrierFault, CarrierFaults
from sipagent.simulator.carrier.leg import Leg, LegStatus
from sipagent.simulator.carrier.markup import Lacks
from sipagent.simulator.carrier.options import TelnyxOptions
from sipagent.simulator.carrier.posting import OutgoingRequest
from sipagent.simulator.carrier.pretended import PretendedCarrier
from sipagent.simulator.carrier.signing import TelnyxKey
from sipagent.simulator.carrier.stream_frames import StreamFrames, TelnyxFrames
from sipagent.simulator.carrier.texml_api import TexmlApi
from sipagent.simulator.carrier.verbs import StreamTarget

_LACKS: Lacks = {
    "Dial": frozenset({"answerOnBridge", "referUrl", "referMethod", "sequential"}),
    "Number": frozenset({"byoc"}),
}
"""Of `Dial`, TeXML's reference knows no such attributes."""


class TelnyxDialect:
    """Telnyx' way to say things."""

    lacks: Lacks = _LACKS

    def __init__(self, *, account: str, connection_id: str) -> None:
        self.key = TelnyxKey()
        self._account = account
        self._connection_id = connection_id

    def new_sid(self, kind: Kind) -> str:
        """A ``call_control_id`` for a call, UUIDs for the rest."""
        if kind == "call":
            return f"v3:{secrets.token_urlsafe(40)}"
        return str(uuid4())

    def sip_headers(self, leg: Leg) -> list[tuple[str, str]]:
        """Telnyx names the session."""
        return [("X-Telnyx-Session-ID", leg.facts.session)]

    def call_parameters(self, leg: Leg) -> dict[str, str]:
        """What every TeXML request has."""
        facts = leg.facts
        parameters = {
            "AccountSid": self._account,
            "CallSid": facts.sid,
            "CallSidLegacy": facts.sid,
            "CallStatus": leg.status.value,
            "ConnectionId": self._connection_id,
            "Direction": "inbound" if facts.direction == "inbound" else "outbound",
            "From": facts.caller,
            "To": facts.called,
        }
        if facts.parent_sid is not None:
            parameters["ParentCallSid"] = parameters["ParentCallSidLegacy"] = facts.parent_sid
        return parameters

    def dial_parameters(self, child: Leg | None, status: str, *, bridged: bool) -> dict[str, str]:
        """As in `Dialect`."""
        parameters = {"DialCallStatus": status}
        if child is None:
            return parameters
        parameters["DialCallSid"] = parameters["DialCallSidLegacy"] = child.sid
        if child.is_answered:
            parameters["DialCallDuration"] = str(round(child.times.talked_s))
        return parameters

    def report_parameters(self, leg: Leg, report: LegReport) -> dict[str, str]:
        """As in `Dialect`."""
        parameters = {
            **self.call_parameters(leg),
            "SequenceNumber": str(report.sequence),
            "Timestamp": report.at.isoformat(),
            "CallbackSource": "call-progress-events",
        }
        if report.event == "completed":
            parameters["CallDuration"] = str(round(leg.times.talked_s))
            parameters["HangupSource"] = leg.hung_up_by if leg.hung_up_by != "carrier" else "unknown"
            if leg.sip_status is not None:
                parameters["SipHangupCause"] = str(leg.sip_status)
        return parameters

    def stream_parameters(
        self, leg: Leg, event: str, *, stream_id: str, name: str, error: str
    ) -> dict[str, str]:
        """As in `Dialect`."""
        parameters = stream_report(
            leg, event, account=self._account, stream_id=stream_id, name=name, error=error
        )
        return {**parameters, "CallSidLegacy": leg.sid}

    def room_parameters(
        self, room: Room, event: RoomEvent, member: Member | None, reason: str
    ) -> dict[str, str]:
        """As in `Dialect`."""
        timestamp = clock.utc_now().isoformat()
        return room_report(room, event, member, reason, account=self._account, timestamp=timestamp)

    def frames(self, leg: Leg, target: StreamTarget) -> StreamFrames:
        """As in `Dialect`."""
        found = target.attributes
        codec = found.get("codec", "default")
        return TelnyxFrames(
            leg.facts,
            stream_id=self.new_sid("stream"),
            user_id=self._account,
            client_state=leg.extra.get("client_state", ""),
            codec="PCMU" if codec == "default" else codec,
            return_codec=found.get("bidirectionalCodec", "PCMU"),
            plays=found.get("bidirectionalMode") == "rtp",
        )

    def stream_headers(self, leg: Leg, target: StreamTarget) -> Mapping[str, str]:
        """A token, where the service gave one for the stream."""
        token = target.attributes.get("authToken")
        return {"x-telnyx-streaming-auth-token": token} if token else {}

    def sign(self, request: OutgoingRequest, *, faults: CarrierFaults, event_id: str) -> Mapping[str, str]:
        """As in `Dialect`."""
        headers = {"User-Agent": "telnyx-webhooks"}
        if CarrierFault.UNSIGNED in faults:
            return headers
        key = TelnyxKey() if CarrierFault.FORGED in faults else self.key
        age_s = faults.number(CarrierFault.LATE) or 0.0
        timestamp = str(int(clock.unix_s() - age_s))
        return {
            **headers,
            "telnyx-timestamp": timestamp,
            "telnyx-signature-ed25519": key.sign(timestamp, request.body),
        }


class PretendedTelnyx(PretendedCarrier):
    """A Telnyx account with its numbers, of a TeXML or of a Call Control application."""

    def __init__(self, options: TelnyxOptions) -> None:
        """Raises `SimulatorError` when the package `cryptography` is not installed."""
        self.account_sid = str(uuid4())
        dialect = TelnyxDialect(account=self.account_sid, connection_id=options.connection_id)
        super().__init__(options, dialect)
        self.api_key = options.api_key
        self.public_key = dialect.key.public_key
        """What a service verifies with: base64, as the portal shows it."""
        self.connection_id = options.connection_id
        self._is_controlled = options.application == "call_control"
        self.control = CallControl(self, connection_id=options.connection_id)
        """The calls that are moved by commands."""

    def leg_changed(self, leg: Leg, event: str) -> None:
        """As in `LegOwner`."""
        super().leg_changed(leg, event)
        if self._is_controlled:
            self.control.leg_changed(leg, event)

    def room_changed(self, room: Room, event: RoomEvent, member: Member | None, *, reason: str = "") -> None:
        """As in `RoomListener`."""
        super().room_changed(room, event, member, reason=reason)
        if self._is_controlled:
            self.control.room_changed(room, event, member, reason=reason)

    def _forget(self, call: CarrierCall) -> None:
        super()._forget(call)
        self.control.forget(call)

    def _receive(self, call: CarrierCall) -> None:
        if not self.webhook_url:
            call.leg.complain(10005, "the number has no application")
            call.leg.end(LegStatus.FAILED, sip_status=404)
        elif self._is_controlled:
            self.control.receive(call)
        else:
            method = self.options.webhook_method
            self.run_flow(call.leg, Fetch(url=self.webhook_url, method=method, purpose="voice"))

    def _routes(self) -> list[web.RouteDef]:
        texml = TexmlApi(self, account_sid=self.account_sid, api_key=self.api_key)
        return [*texml.routes(), *CallControlApi(self, self.control, api_key=self.api_key).routes()]
