"""A pretended Twilio: what its requests hold, and how they are signed.

From Twilio's public documentation: "TwiML for Programmable Voice", "Call resource", "Webhooks security".
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from email.utils import format_datetime

from aiohttp import web

from sipagent import clock
from sipagent.simulator.carrier.calls import CarrierCall
from sipagent.simulator.carrier.conference import Member, Room, RoomEvent
from sipagent.simulator.carrier.desk import Fetch
from sipagent.simulator.carrier.dialect import Kind, LegReport
from sipagent.simulator.carrier.document_reports import room_report, stream_report
from sipagent.simulator.carrier.faults import CarrierFault, CarrierFaults
from sipagent.simulator.carrier.leg import Leg, LegStatus
from sipagent.simulator.carrier.markup import NOTHING_LACKS, Lacks
from sipagent.simulator.carrier.options import TwilioOptions
from sipagent.simulator.carrier.posting import OutgoingRequest, form_request
from sipagent.simulator.carrier.pretended import PretendedCarrier
from sipagent.simulator.carrier.signing import twilio_signature
from sipagent.simulator.carrier.sip_party import SipParty
from sipagent.simulator.carrier.stream_frames import StreamFrames, TwilioFrames
from sipagent.simulator.carrier.twilio_api import TwilioApi
from sipagent.simulator.carrier.verbs import StreamTarget

API_VERSION = "2010-04-01"
_PREFIXES: Mapping[Kind, str] = {"call": "CA", "stream": "MZ", "conference": "CF", "session": "session-"}


class TwilioDialect:
    """Twilio's way to say things."""

    lacks: Lacks = NOTHING_LACKS

    def __init__(self, *, account_sid: str, auth_token: str) -> None:
        self._account_sid = account_sid
        self._auth_token = auth_token

    def new_sid(self, kind: Kind) -> str:
        """``CA`` and 32 hexadecimal digits, and alike."""
        return _PREFIXES[kind] + secrets.token_hex(16)

    def sip_headers(self, leg: Leg) -> list[tuple[str, str]]:
        """What Twilio says about the call whose document dials."""
        return [
            ("X-Twilio-AccountSid", self._account_sid),
            ("X-Twilio-ApiVersion", API_VERSION),
            ("X-Twilio-CallSid", leg.sid),
        ]

    def call_parameters(self, leg: Leg) -> dict[str, str]:
        """The standard parameters of a voice request."""
        facts = leg.facts
        parameters = {
            "AccountSid": self._account_sid,
            "ApiVersion": API_VERSION,
            "CallSid": facts.sid,
            "CallStatus": leg.status.value,
            "Called": facts.called,
            "Caller": facts.caller,
            "Direction": facts.direction,
            "From": facts.caller,
            "To": facts.called,
        }
        if facts.parent_sid is not None:
            parameters["ParentCallSid"] = facts.parent_sid
        return parameters

    def dial_parameters(self, child: Leg | None, status: str, *, bridged: bool) -> dict[str, str]:
        """As in `Dialect`."""
        parameters = {"DialCallStatus": status, "DialBridged": "true" if bridged else "false"}
        if child is None:
            return parameters
        parameters["DialCallSid"] = child.sid
        if child.is_answered:
            parameters["DialCallDuration"] = str(round(child.times.talked_s))
        if isinstance(child.party, SipParty):
            if child.party.sip_call_id is not None:
                parameters["DialSipCallId"] = child.party.sip_call_id
            if child.party.final_status is not None:
                parameters["DialSipResponseCode"] = str(child.party.final_status)
        return parameters

    def report_parameters(self, leg: Leg, report: LegReport) -> dict[str, str]:
        """As in `Dialect`."""
        status = LegStatus.IN_PROGRESS.value if report.event == "answered" else report.event
        parameters = {
            **self.call_parameters(leg),
            "CallStatus": leg.status.value if report.event == "completed" else status,
            "SequenceNumber": str(report.sequence),
            "Timestamp": format_datetime(report.at),
            "CallbackSource": "call-progress-events",
        }
        if report.event == "completed":
            parameters["CallDuration"] = parameters["Duration"] = str(round(leg.times.talked_s))
            if isinstance(leg.party, SipParty) and leg.sip_status is not None:
                parameters["SipResponseCode"] = str(leg.sip_status)
        return parameters

    def stream_parameters(
        self, leg: Leg, event: str, *, stream_id: str, name: str, error: str
    ) -> dict[str, str]:
        """As in `Dialect`."""
        return stream_report(
            leg, event, account=self._account_sid, stream_id=stream_id, name=name, error=error
        )

    def room_parameters(
        self, room: Room, event: RoomEvent, member: Member | None, reason: str
    ) -> dict[str, str]:
        """As in `Dialect`."""
        timestamp = format_datetime(clock.utc_now())
        parameters = room_report(room, event, member, reason, account=self._account_sid, timestamp=timestamp)
        if member is not None:
            parameters |= {
                "Coaching": "false",
                "StartConferenceOnEnter": str(member.target.starts_on_enter).lower(),
                "EndConferenceOnExit": str(member.target.ends_on_exit).lower(),
            }
            if member.target.label:
                parameters["ParticipantLabel"] = member.target.label
        return parameters

    def frames(self, leg: Leg, target: StreamTarget) -> StreamFrames:
        """As in `Dialect`."""
        return TwilioFrames(leg.facts, stream_id=self.new_sid("stream"), account=self._account_sid)

    def stream_headers(self, leg: Leg, target: StreamTarget) -> Mapping[str, str]:
        """Twilio signs the request for a socket as any other, over its ``wss:`` URL."""
        request = form_request("stream", "GET", target.url, {})
        return self.sign(
            replace(request, url=target.url), faults=leg.facts.faults, event_id=secrets.token_hex(16)
        )

    def sign(self, request: OutgoingRequest, *, faults: CarrierFaults, event_id: str) -> Mapping[str, str]:
        """As in `Dialect`."""
        headers = {"User-Agent": "TwilioProxy/1.1", "Accept": "*/*", "I-Twilio-Idempotency-Token": event_id}
        if CarrierFault.UNSIGNED in faults:
            return headers
        token = secrets.token_hex(16) if CarrierFault.FORGED in faults else self._auth_token
        signed = request.parameters if request.method == "POST" else {}
        return {**headers, "X-Twilio-Signature": twilio_signature(request.url, signed, token)}


class PretendedTwilio(PretendedCarrier):
    """A Twilio account with its numbers: voice webhooks, TwiML, streams, status callbacks, the REST API."""

    def __init__(self, options: TwilioOptions) -> None:
        super().__init__(
            options, TwilioDialect(account_sid=options.account_sid, auth_token=options.auth_token)
        )
        self.account_sid = options.account_sid
        self.auth_token = options.auth_token

    def _receive(self, call: CarrierCall) -> None:
        if not self.webhook_url:
            call.leg.complain(21404, "the number has no webhook")
            call.leg.end(LegStatus.FAILED, sip_status=404)
            return
        method = self.options.webhook_method
        self.run_flow(call.leg, Fetch(url=self.webhook_url, method=method, purpose="voice"))

    def _routes(self) -> list[web.RouteDef]:
        return TwilioApi(self, account_sid=self.account_sid, auth_token=self.auth_token).routes()
