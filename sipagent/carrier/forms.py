"""What Twilio and Telnyx' TeXML post as forms, read into messages: both use the same names. Pure.

Everything is bounded and optional but the leg's identifier; what is not known is ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import parse_qsl

from sipagent.calls.incoming import CarrierLeg
from sipagent.calls.numbers import NumberRules, read_numbers
from sipagent.carrier.base import (
    HEARD,
    Delivery,
    LegReport,
    Message,
    OfferAnswer,
    PersonLeft,
    ReferRequest,
    StepOutcome,
    StepResult,
    VoiceRequest,
    bounded,
)
from sipagent.carrier.markup import ANSWER_DIGIT
from sipagent.carrier.tokens import LegToken
from sipagent.errors import WebhookBodyError, WebhookSignatureError
from sipagent.escapes import whole

MOST_FIELDS = 200
LONGEST_ID = 200
MOST_SIP_HEADERS = 40

_RESULTS: Mapping[str, StepResult] = {
    "completed": "ended",
    "answered": "ended",
    "busy": "busy",
    "no-answer": "no_answer",
    "failed": "failed",
    "canceled": "canceled",
}
_OVER = frozenset({"completed", "canceled", "failed", "busy", "no-answer"})
_KINDS = {"in-progress": "answered", "no-answer": "no_answer"}
# Of the fields of a report, these are kept: none holds a telephone number or a name.
_KEPT = (
    "CallStatus", "DialCallStatus", "Direction", "SequenceNumber", "CallbackSource", "SipResponseCode",
    "DialSipResponseCode", "DialBridged", "ErrorCode", "ErrorMessage", "AnsweredBy", "StirVerstat",
    "HangupSource", "HangupCause", "SipHangupCause", "StreamEvent", "StreamError", "StreamSid",
    "ConferenceSid", "StatusCallbackEvent", "ReasonConferenceEnded", "ReasonParticipantLeft", "RecordingSid",
    "RecordingStatus", "RecordingDuration",
)  # fmt: skip


class Form:
    """The fields of one form post: of each the first value, at most `MOST_FIELDS`."""

    def __init__(self, body: bytes) -> None:
        """Raises `WebhookBodyError` for what is no form."""
        try:
            pairs = parse_qsl(
                body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict"
            )
        except ValueError as error:
            raise WebhookBodyError(f"The body is no form: {str(error)[:100]}") from error
        self._fields: dict[str, str] = {}
        for name, value in pairs:
            self._fields.setdefault(name, whole(value))

    def get(self, name: str) -> str | None:
        """The field ``name``, without spaces around; None where it is missing or empty."""
        return self._fields.get(name, "").strip() or None

    def number(self, name: str) -> float | None:
        """The field ``name`` as a number that is not negative."""
        text = self.get(name) or ""
        return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else None

    def identifier(self, name: str) -> str:
        """The field ``name``. Raises `WebhookBodyError` where it is none that a carrier would write."""
        value = self.get(name) or ""
        if not 0 < len(value) <= LONGEST_ID or not value.isascii() or not value.isprintable():
            raise WebhookBodyError(f"{name} is no identifier of 1 to {LONGEST_ID} printable characters.")
        return value

    def sip_headers(self) -> tuple[tuple[str, str], ...]:
        """What a call over SIP brought along, as ``SipHeader_X-…`` fields."""
        found = [
            (name.removeprefix("SipHeader_")[:100], value[:2000])
            for name, value in self._fields.items()
            if name.startswith("SipHeader_")
        ]
        return tuple(found[:MOST_SIP_HEADERS])

    def kept(self) -> dict[str, str]:
        """What of it goes into a report."""
        return bounded({name: value for name in _KEPT if (value := self.get(name)) is not None})


def parties(caller: str | None, dialled: str | None, country: str | None) -> tuple[str | None, str | None]:
    """The two numbers of a call as `sipagent.calls.numbers` reads them; None for one that is withheld."""
    headers = [(name, _address(text)) for name, text in (("From", caller), ("To", dialled)) if text]
    rules = NumberRules(dialled_headers=("To",), caller_headers=("From",), default_country=country)
    return read_numbers(headers, rules)


def read_form(
    carrier: str, interface: str, delivery: Delivery, now: datetime, country: str | None
) -> tuple[Message, ...]:
    """What ``delivery``, a verified form post, says. Raises `WebhookBodyError` for one that is none, and
    `WebhookSignatureError` for a token that belongs to another leg."""
    form = Form(delivery.body)
    match delivery.purpose:
        case "voice":
            return (_voice(carrier, interface, form, country),)
        case "next":
            return _outcome(carrier, form, _token(delivery, form), now)
        case "refer":
            return (_refer(form, _token(delivery, form)),)
        case "offer":
            return (_offer(delivery, form),)
        case "status":
            return _report(carrier, form, delivery.token, now)
        case "event":
            return ()


# Inside ------------------------------------------------------------------------------------------------


def _address(text: str) -> str:
    text = "".join(character for character in text[:300] if character not in '<>"')
    return f"<{text}>" if text.lower().startswith(("sip:", "sips:", "tel:")) else f"<tel:{text}>"


def _token(delivery: Delivery, form: Form) -> LegToken:
    """The token of a request that is about the caller's own leg."""
    token = delivery.token
    if token is None:
        raise WebhookSignatureError("The request has no token of ours.")
    if token.leg.carrier_call_id != form.identifier("CallSid"):
        raise WebhookSignatureError("The token is that of another call.")
    return token


def _voice(carrier: str, interface: str, form: Form, country: str | None) -> VoiceRequest:
    caller, dialled = parties(form.get("From"), form.get("To"), country)
    leg = CarrierLeg(
        carrier=carrier,
        carrier_call_id=form.identifier("CallSid"),
        caller=caller,
        dialled=dialled,
        interface=interface,
        # Only Telnyx wants to be told the account again; of Twilio's we know it.
        account=form.identifier("AccountSid") if interface else None,
    )
    return VoiceRequest(leg=leg, event_id=None, parameters=form.kept(), sip_headers=form.sip_headers())


def _outcome(carrier: str, form: Form, token: LegToken, now: datetime) -> tuple[Message, ...]:
    leg, dialled = token.leg, form.get("DialCallStatus")
    status = form.number("DialSipResponseCode")
    outcome = StepOutcome(
        leg=leg,
        token=token,
        result=_RESULTS.get(dialled or "", "failed"),
        sip_status=None if status is None else int(status),
        duration_s=form.number("DialCallDuration"),
        caller_gone=form.get("CallStatus") in _OVER,
        by_stream=dialled is None,
    )
    if dialled is None:
        return (outcome,)
    # The status callbacks of that leg may be lost; this came, or the call would not go on.
    report = LegReport(
        carrier=carrier,
        carrier_call_id=(form.get("DialCallSid") or leg.carrier_call_id)[:LONGEST_ID],
        parent_call_id=leg.carrier_call_id,
        kind=f"dial_{_kind(dialled)}",
        at=now,
        event_id=f"{leg.carrier_call_id}:dial:{token.step}",
        sip_status=outcome.sip_status,
        duration_s=outcome.duration_s,
        detail=form.kept(),
    )
    return outcome, report


def _refer(form: Form, token: LegToken) -> ReferRequest:
    target = (form.get("ReferTransferTarget") or "").strip("<> ")
    if not target.lower().startswith(("sip:", "sips:", "tel:")) or len(target) > 500:
        raise WebhookBodyError("ReferTransferTarget is no SIP or telephone address.")
    return ReferRequest(leg=token.leg, token=token, target_uri=target)


def _offer(delivery: Delivery, form: Form) -> OfferAnswer:
    if delivery.token is None or delivery.token.offer is None:
        raise WebhookSignatureError("The request has no token of an offer of ours.")
    taken = delivery.token.route == HEARD or form.get("Digits") == ANSWER_DIGIT
    return OfferAnswer(token=delivery.token, carrier_call_id=form.identifier("CallSid"), taken=taken)


def _report(carrier: str, form: Form, token: LegToken | None, now: datetime) -> tuple[Message, ...]:
    if form.get("CallSid") is None:
        # The conference as a whole, of which no leg needs to know.
        return ()
    call_id = form.identifier("CallSid")
    parent = form.get("ParentCallSid") or (token.leg.carrier_call_id if token is not None else None)
    if (conference := form.get("StatusCallbackEvent")) and form.get("ConferenceSid"):
        kind = f"conference_{_kind(conference)}"
    elif recording := form.get("RecordingStatus"):
        kind = "recording" if recording == "completed" else f"recording_{_kind(recording)}"
    elif stream := form.get("StreamEvent"):
        kind = _kind(stream)
    elif status := form.get("CallStatus"):
        kind = _kind(status)
    else:
        return ()
    sequence = form.get("SequenceNumber") or ""
    sip_status = form.number("SipResponseCode")
    report = LegReport(
        carrier=carrier,
        carrier_call_id=call_id,
        parent_call_id=None if parent == call_id or parent is None else parent[:LONGEST_ID],
        kind=kind,
        at=_moment(form.get("Timestamp"), now),
        event_id=f"{call_id}:{kind}:{sequence[:20]}",
        sip_status=None if sip_status is None else int(sip_status),
        duration_s=form.number("CallDuration"),
        offer=None if token is None else token.offer,
        detail=form.kept(),
    )
    if token is not None and token.offer is not None and kind == "completed":
        return report, PersonLeft(token=token, carrier_call_id=call_id)
    return (report,)


def _kind(word: str) -> str:
    word = _KINDS.get(word, word).lower().replace("-", "_")
    return "".join(character for character in word if character.isalnum() or character == "_")[:60]


def _moment(text: str | None, now: datetime) -> datetime:
    """When the carrier says it was: in RFC 2822's form at Twilio, and like ISO 8601 at Telnyx."""
    if text is None:
        return now
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return now
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
