"""Instructions as TwiML, and as Telnyx' dialect of it. Pure.

Sources: https://www.twilio.com/docs/voice/twiml, https://developers.telnyx.com/docs/voice/programmable-voice
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import assert_never
from xml.etree.ElementTree import Element, SubElement, tostring  # written, never read  # nosec B405

from sipagent.carrier.base import (
    Callbacks,
    ConnectStream,
    DialNumber,
    DialSip,
    HangUp,
    HoldPerson,
    Instruction,
    JoinConference,
    OfferCall,
    RejectLeg,
    SayAndHangUp,
)
from sipagent.carrier.tokens import TOKEN_HEADER

STREAM_PARAMETER = "t"
"""The parameter of a media stream that holds the token."""
ANSWER_DIGIT = "1"
"""What a person presses who takes a call."""
DECIDE_S = 8
"""How long a person has for that, after the question."""
LONGEST_WORDS = 3000
"""Characters that are said; Twilio reads at most 4,096 a verb."""
_EVENTS = "initiated ringing answered completed"
# What XML 1.0 cannot hold at all, written as it may be.
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NO_ADDRESS = re.compile(r"[^\x21-\x7e]|[<>\"]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What differs from carrier to carrier."""

    rings_until_bridged: bool
    """The caller's leg can be left ringing until somebody answers."""
    takes_refer: bool
    """A REFER of a dialled SIP leg can be sent to a URL."""
    stream_attributes: tuple[tuple[str, str], ...] = ()


TWIML = Dialect(rings_until_bridged=True, takes_refer=True)
# Without the mode, the audio that we send must be whole files.
TEXML = Dialect(
    rings_until_bridged=False,
    takes_refer=False,
    stream_attributes=(
        ("track", "inbound_track"),
        ("codec", "PCMU"),
        ("bidirectionalMode", "rtp"),
        ("bidirectionalCodec", "PCMU"),
    ),
)


def render(instruction: Instruction, dialect: Dialect) -> str:
    """The document that carries ``instruction`` out."""
    response = Element("Response")
    match instruction:
        case DialSip():
            dial = _dial(response, instruction.callbacks, instruction.answer_timeout_s, dialect)
            target = instruction.target
            # The token has no character that would need to be escaped here.
            secure = ";secure=true" if target.secure else ""
            uri = f"{target.uri}{secure}?{TOKEN_HEADER}={instruction.callbacks.token}"
            _called(dial, "Sip", uri, instruction.callbacks)
        case DialNumber():
            dial = _dial(response, instruction.callbacks, instruction.answer_timeout_s, dialect)
            if instruction.caller_id is not None:
                dial.set("callerId", _clean(instruction.caller_id))
            number = instruction.number.removeprefix("tel:")
            noun = "Sip" if number.lower().startswith(("sip:", "sips:")) else "Number"
            _called(dial, noun, _NO_ADDRESS.sub("", number), instruction.callbacks)
        case ConnectStream():
            connect = SubElement(
                response, "Connect", {"action": instruction.callbacks.url("next"), "method": "POST"}
            )
            attributes = {"url": instruction.callbacks.media_url, **dict(dialect.stream_attributes)}
            stream = SubElement(connect, "Stream", attributes)
            parameter = {"name": STREAM_PARAMETER, "value": instruction.callbacks.token}
            SubElement(stream, "Parameter", parameter)
        case SayAndHangUp():
            _say(response, instruction.words, instruction.language)
            SubElement(response, "Hangup")
        case OfferCall():
            _offer(response, instruction)
        case HoldPerson():
            SubElement(response, "Pause", {"length": str(instruction.patience_s)})
            _say(response, instruction.sorry, instruction.language)
            SubElement(response, "Hangup")
        case JoinConference():
            dial = SubElement(response, "Dial")
            attributes = {"beep": "false", "startConferenceOnEnter": "true", "endConferenceOnExit": "true"}
            SubElement(dial, "Conference", attributes).text = _clean(instruction.name)
        case RejectLeg():
            SubElement(response, "Reject", {"reason": "busy" if instruction.busy else "rejected"})
        case HangUp():
            SubElement(response, "Hangup")
        case _:
            assert_never(instruction)
    return '<?xml version="1.0" encoding="UTF-8"?>' + tostring(response, encoding="unicode")


# Inside ------------------------------------------------------------------------------------------------


def _dial(response: Element, callbacks: Callbacks, timeout_s: int, dialect: Dialect) -> Element:
    attributes = {"action": callbacks.url("next"), "method": "POST", "timeout": str(timeout_s)}
    if dialect.rings_until_bridged:
        attributes["answerOnBridge"] = "true"
    if dialect.takes_refer:
        attributes |= {"referUrl": callbacks.url("refer"), "referMethod": "POST"}
    return SubElement(response, "Dial", attributes)


def _called(dial: Element, noun: str, address: str, callbacks: Callbacks) -> None:
    attributes = {
        "statusCallback": callbacks.url("status"),
        "statusCallbackMethod": "POST",
        "statusCallbackEvent": _EVENTS,
    }
    SubElement(dial, noun, attributes).text = address


def _offer(response: Element, offer: OfferCall) -> None:
    """What nobody answers goes on to the next verb, which says so."""
    url = offer.callbacks.url("offer")
    if not offer.question:
        _say(response, offer.briefing, offer.language)
        SubElement(response, "Redirect", {"method": "POST"}).text = url
        return
    attributes = {"action": url, "method": "POST", "numDigits": "1", "timeout": str(DECIDE_S)}
    gather = SubElement(response, "Gather", attributes)
    if offer.briefing:
        _say(gather, offer.briefing, offer.language)
    _say(gather, offer.question, offer.language)
    SubElement(response, "Redirect", {"method": "POST"}).text = url


def _say(parent: Element, words: str, language: str | None) -> None:
    attributes = {} if language is None else {"language": _clean(language)}
    SubElement(parent, "Say", attributes).text = _clean(words)[:LONGEST_WORDS]


def _clean(text: str) -> str:
    return _NOT_IN_XML.sub("", text)
