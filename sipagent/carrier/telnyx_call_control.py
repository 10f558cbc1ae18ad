"""Telnyx' Call Control: signed JSON events, answered at once, and commands that follow. Pure.

A leg carries the token of its step as client state, and so does each leg that is called for it: every event
tells by it whose it is.

Source: https://developers.telnyx.com/docs/voice/programmable-voice/voice-api-webhooks
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, assert_never

from sipagent.calls.incoming import CarrierLeg
from sipagent.carrier.base import (
    HEARD,
    SORRY,
    WAITING,
    Callbacks,
    CarrierAnswer,
    Command,
    ConnectStream,
    Delivery,
    DialNumber,
    DialSip,
    HangUp,
    HoldPerson,
    Instruction,
    JoinConference,
    LegAnswered,
    LegReport,
    Message,
    OfferAnswer,
    OfferCall,
    PersonWaited,
    Purpose,
    RejectLeg,
    SayAndHangUp,
    StepOutcome,
    StepResult,
    VoiceRequest,
    WordsSpoken,
    bounded,
)
from sipagent.carrier.forms import LONGEST_ID, MOST_SIP_HEADERS, parties
from sipagent.carrier.markup import ANSWER_DIGIT, DECIDE_S, LONGEST_WORDS, STREAM_PARAMETER
from sipagent.carrier.plan import AFTER_THE_LAST
from sipagent.carrier.telnyx import TelnyxSignatures
from sipagent.carrier.tokens import TOKEN_HEADER, LegToken, LegTokens
from sipagent.errors import WebhookBodyError, WebhookSignatureError
from sipagent.escapes import whole

CALL_CONTROL_INTERFACE = "call-control"
VOICE = "female"
DEFAULT_LANGUAGE = "en-US"
_SHORTEST_TIMEOUT_S, _LONGEST_TIMEOUT_S = 5, 120

_RESULTS: Mapping[str, StepResult] = {
    "normal_clearing": "ended",
    "time_limit": "ended",
    "user_busy": "busy",
    "timeout": "no_answer",
    "no_answer": "no_answer",
    "originator_cancel": "canceled",
    "call_rejected": "rejected",
}
_KINDS = {
    "ended": "completed",
    "rejected": "failed",
    "transferred": "completed",
}
# None of these holds a telephone number or a name.
_KEPT = (
    "hangup_cause", "hangup_source", "sip_hangup_cause", "state", "direction", "digits", "status", "reason",
    "conference_id", "stream_id", "failure_reason", "start_time", "end_time", "call_leg_id",
    "call_session_id",
)  # fmt: skip


class CallControl:
    """The Call Control applications of one account. Implements `sipagent.carrier.base.Carrier`."""

    name = "telnyx"
    interface = CALL_CONTROL_INTERFACE
    mount = "/carriers/telnyx/call-control"
    signs_address = False
    purposes: tuple[Purpose, ...] = ("event",)

    def __init__(self, signatures: TelnyxSignatures, tokens: LegTokens) -> None:
        self._signatures = signatures
        self._tokens = tokens

    def verify(self, delivery: Delivery, now_s: float) -> float:
        """As `Carrier.verify`."""
        return self._signatures.verify(delivery, now_s)

    def fingerprint(self, delivery: Delivery) -> str:
        """The event's identifier: a second try is signed anew, and keeps it."""
        return f"call-control {_Event(delivery.body).event_id}"

    def read(self, delivery: Delivery, now: datetime, country: str | None) -> tuple[Message, ...]:
        """As `Carrier.read`."""
        event = _Event(delivery.body)
        if not event.type.startswith(("call.", "streaming.", "conference.")):
            return ()
        leg_id = event.text("call_control_id")
        if leg_id is None or len(leg_id) > LONGEST_ID or not leg_id.isascii() or not leg_id.isprintable():
            return ()
        token = self._token(event.text("client_state"), now)
        if event.type == "call.initiated" and event.text("direction") == "incoming":
            return (_voice(event, leg_id, country),)
        report = _report(event, leg_id, token, now)
        if token is None:
            return (report,)
        message = _meaning(event, leg_id, token)
        return (report,) if message is None else (message, report)

    def answer(self, instruction: Instruction | None, leg: CarrierLeg, *, answered: bool) -> CarrierAnswer:
        """As `Carrier.answer`: commands, after an empty 200."""
        return CarrierAnswer(commands=() if instruction is None else commands(instruction, leg, answered))

    def _token(self, client_state: str | None, now: datetime) -> LegToken | None:
        """What we wrote; an application may carry somebody else's calls as well."""
        try:
            text = b64decode(client_state or "", validate=True).decode()
            return self._tokens.read(text, now.timestamp()) if text else None
        except (Base64Error, ValueError, WebhookSignatureError):
            return None


def commands(instruction: Instruction, leg: CarrierLeg, answered: bool) -> tuple[Command, ...]:
    """What makes Telnyx carry ``instruction`` out for ``leg``."""
    match instruction:
        case RejectLeg():
            cause = "USER_BUSY" if instruction.busy else "CALL_REJECTED"
            return (_command(leg, "reject", None, {"cause": cause}),)
        case HangUp():
            return (_command(leg, "hangup", None, {}),)
        case JoinConference():
            # A conference is made with its first leg and joined by the others: no command of one leg alone.
            raise AssertionError("a leg joins a conference by the client of the API")
        case OfferCall():
            return (_offer(instruction, leg),)
        case HoldPerson():
            # What ends without a key, or with one, is asked about; whoever is in a conference is not.
            body = {
                "minimum_digits": 1,
                "maximum_digits": 1,
                "timeout_millis": instruction.patience_s * 1000,
                "client_state": client_state(instruction.callbacks.token),
            }
            return (_command(leg, "gather", instruction.callbacks, body),)
        case DialSip() | DialNumber() | ConnectStream() | SayAndHangUp():
            if answered:
                return (_step(instruction, leg),)
            # What follows is rendered anew, from the token, when the leg is up.
            body = {"client_state": client_state(instruction.callbacks.token)}
            return (_command(leg, "answer", instruction.callbacks, body),)
        case _:
            assert_never(instruction)


def client_state(token: str) -> str:
    """``token`` as every later event of a leg brings it back."""
    return b64encode(token.encode()).decode()


# Inside ------------------------------------------------------------------------------------------------


def _step(instruction: DialSip | DialNumber | ConnectStream | SayAndHangUp, leg: CarrierLeg) -> Command:
    callbacks = instruction.callbacks
    state = client_state(callbacks.token)
    match instruction:
        case DialSip():
            target = instruction.target
            body: dict[str, Any] = {
                "to": target.uri,
                "timeout_secs": _timeout_s(instruction.answer_timeout_s),
                "sip_transport_protocol": target.transport.upper(),
                "media_encryption": "SRTP" if target.secure else "disabled",
                "custom_headers": [{"name": TOKEN_HEADER, "value": callbacks.token}],
            }
            return _command(leg, "transfer", callbacks, _with_states(body, state))
        case DialNumber():
            body = {
                "to": instruction.number.removeprefix("tel:"),
                "timeout_secs": _timeout_s(instruction.answer_timeout_s),
            }
            if instruction.caller_id is not None:
                body["from"] = instruction.caller_id
            return _command(leg, "transfer", callbacks, _with_states(body, state))
        case ConnectStream():
            return _stream(callbacks, leg, state)
        case SayAndHangUp():
            body = _spoken(instruction.words, instruction.language) | {"client_state": state}
            return _command(leg, "speak", callbacks, body)
        case _:
            assert_never(instruction)


class _Event:
    """One event: its envelope, and its payload's fields as texts."""

    def __init__(self, body: bytes) -> None:
        """Raises `WebhookBodyError`."""
        try:
            data = json.loads(body)["data"]
            self.type = str(data["event_type"])[:100]
            self.event_id = str(data["id"])[:LONGEST_ID]
            self.occurred_at = data.get("occurred_at")
            self._payload: Mapping[str, Any] = data["payload"]
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise WebhookBodyError("The body is no event of Call Control.") from error
        if not isinstance(self._payload, dict):
            raise WebhookBodyError("The payload of an event of Call Control is no object.")

    def text(self, name: str) -> str | None:
        """The field ``name``; None where it is missing, empty, or no text or number."""
        value = self._payload.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        return whole(value)[:4000] or None if isinstance(value, str) else None

    def headers(self) -> tuple[tuple[str, str], ...]:
        """The custom headers of a call that came over SIP."""
        given = self._payload.get("custom_headers")
        return tuple(
            (whole(each["name"])[:100], whole(each["value"])[:2000])
            for each in (given if isinstance(given, list) else [])[:MOST_SIP_HEADERS]
            if isinstance(each, dict)
            and isinstance(each.get("name"), str)
            and isinstance(each.get("value"), str)
        )

    def kept(self) -> dict[str, str]:
        """What of it goes into a report."""
        return bounded({name: value for name in _KEPT if (value := self.text(name)) is not None})


def _voice(event: _Event, leg_id: str, country: str | None) -> VoiceRequest:
    caller, dialled = parties(event.text("from"), event.text("to"), country)
    leg = CarrierLeg(
        carrier="telnyx",
        carrier_call_id=leg_id,
        caller=caller,
        dialled=dialled,
        interface=CALL_CONTROL_INTERFACE,
    )
    return VoiceRequest(
        leg=leg, event_id=event.event_id, parameters=event.kept(), sip_headers=event.headers()
    )


def _meaning(event: _Event, leg_id: str, token: LegToken) -> Message | None:
    """What ``event`` means for the call that ``token`` names; None: nothing but what it reports."""
    leg, own = token.leg, leg_id == token.leg.carrier_call_id
    if token.offer is not None:
        return None if own else _of_person(event, leg_id, token)
    match event.type:
        case "call.answered" if own:
            return LegAnswered(leg=leg, token=token)
        case "call.speak.ended" if own:
            return WordsSpoken(leg=leg, token=token)
        case "streaming.stopped" | "streaming.failed" if own:
            result: StepResult = "failed" if event.type == "streaming.failed" else "ended"
            return StepOutcome(leg=leg, token=token, result=result, by_stream=True)
        case "call.hangup" if not own:
            return StepOutcome(
                leg=leg,
                token=token,
                result=_result(event),
                sip_status=_sip_status(event),
                # Legs that are bridged end together, unlike those that met in a conference. Where the caller
                # was taken out of a step into one, the end of the step must not be theirs.
                leg_follows=token.step < AFTER_THE_LAST,
            )
    return None


def _of_person(event: _Event, leg_id: str, token: LegToken) -> Message | None:
    """What ``event`` means of a person whom the call that ``token`` names is offered to."""
    match event.type:
        case "call.gather.ended" if token.route == WAITING:
            return PersonWaited(token=token, carrier_call_id=leg_id)
        case "call.speak.ended" if token.route == SORRY:
            return WordsSpoken(leg=replace(token.leg, carrier_call_id=leg_id), token=token)
        case _ if token.route in (WAITING, SORRY):
            return None
        case "call.gather.ended":
            taken = event.text("digits") == ANSWER_DIGIT
        case "call.speak.ended" if token.route == HEARD:
            taken = event.text("status") in (None, "completed")
        case _:
            return None
    return OfferAnswer(token=token, carrier_call_id=leg_id, taken=taken)


def _result(event: _Event) -> StepResult:
    result = _RESULTS.get(event.text("hangup_cause") or "", "failed")
    status = _sip_status(event)
    if result == "ended" and status is not None and status >= 300:
        return "failed"
    return result


def _sip_status(event: _Event) -> int | None:
    text = event.text("sip_hangup_cause") or ""
    return int(text) if text.isascii() and text.isdigit() and len(text) == 3 else None


def _report(event: _Event, leg_id: str, token: LegToken | None, now: datetime) -> LegReport:
    if event.type == "call.hangup":
        result = _result(event)
        kind = _KINDS.get(result, result)
    else:
        kind = event.type.removeprefix("call.").replace(".", "_").replace("-", "_")
    parent = None if token is None or token.leg.carrier_call_id == leg_id else token.leg.carrier_call_id
    return LegReport(
        carrier="telnyx",
        carrier_call_id=leg_id,
        parent_call_id=parent,
        kind=kind[:60],
        at=_moment(event.occurred_at, now),
        event_id=event.event_id,
        sip_status=_sip_status(event),
        offer=None if token is None or parent is None else token.offer,
        detail=event.kept(),
    )


def _moment(text: object, now: datetime) -> datetime:
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else now
    except ValueError:
        return now
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _command(leg: CarrierLeg, action: str, callbacks: Callbacks | None, body: Mapping[str, Any]) -> Command:
    """The same command for the same step has the same identifier, whoever gives it."""
    place = "" if callbacks is None else callbacks.place
    named = f"{leg.carrier_call_id} {action} {place} {body.get('to', '')}"
    digest = hashlib.sha256(named.encode()).hexdigest()
    return Command(leg_id=leg.carrier_call_id, action=action, command_id=digest[:32], body=body)


def _with_states(body: dict[str, Any], state: str) -> dict[str, Any]:
    return body | {"client_state": state, "target_leg_client_state": state}


def _stream(callbacks: Callbacks, leg: CarrierLeg, state: str) -> Command:
    body = {
        "stream_url": callbacks.media_url,
        "stream_track": "inbound_track",
        "stream_codec": "PCMU",
        "stream_bidirectional_mode": "rtp",
        "stream_bidirectional_codec": "PCMU",
        "stream_bidirectional_target_legs": "self",
        "custom_parameters": [{"name": STREAM_PARAMETER, "value": callbacks.token}],
        "client_state": state,
    }
    return _command(leg, "streaming_start", callbacks, body)


def _spoken(words: str, language: str | None) -> dict[str, Any]:
    return {
        "payload": words[:LONGEST_WORDS],
        "payload_type": "text",
        "voice": VOICE,
        "language": language or DEFAULT_LANGUAGE,
    }


def _offer(offer: OfferCall, leg: CarrierLeg) -> Command:
    state = client_state(offer.callbacks.token)
    if not offer.question:
        body = _spoken(offer.briefing, offer.language) | {"client_state": state}
        return _command(leg, "speak", offer.callbacks, body)
    body = _spoken(f"{offer.briefing} {offer.question}".strip(), offer.language) | {
        "minimum_digits": 1,
        "maximum_digits": 1,
        "maximum_tries": 1,
        "timeout_millis": DECIDE_S * 1000,
        "client_state": state,
    }
    return _command(leg, "gather_using_speak", offer.callbacks, body)


def _timeout_s(seconds: int) -> int:
    return min(max(seconds, _SHORTEST_TIMEOUT_S), _LONGEST_TIMEOUT_S)
