"""Reads the documents that tell a carrier what to do with a call: TwiML, and TeXML, which is alike. Pure.

From the public references of Twilio ("TwiML for Programmable Voice") and Telnyx ("TeXML verbs"). What neither
knows is a mistake of the service, and is told as one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeAlias
from xml.etree import ElementTree  # the service under test writes it, and entities are refused  # nosec B405

from sipagent.errors import SimulatorError
from sipagent.simulator.carrier.verbs import (
    Attributes,
    ConferenceTarget,
    ConnectVerb,
    DialTarget,
    DialVerb,
    Document,
    GatherVerb,
    HangupVerb,
    PauseVerb,
    PlayVerb,
    RedirectVerb,
    RejectVerb,
    ReportTo,
    SayVerb,
    StreamTarget,
    Verb,
)

MAX_DOCUMENT_BYTES = 64 * 1024
MAX_VERBS = 100

Lacks: TypeAlias = Mapping[str, frozenset[str]]
"""Attributes by the element that has them not."""
NOTHING_LACKS: Lacks = {}


class MarkupError(SimulatorError):
    """A document that cannot be carried out. ``code`` is Twilio's number for it."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def parse_document(body: bytes, *, lacks: Lacks = NOTHING_LACKS) -> Document:
    """Read a document. ``lacks``: what the carrier does not know of what is known here; it is passed over.

    Raises `MarkupError` for a document that is too large, no XML, or holds an unknown verb.
    """
    if len(body) > MAX_DOCUMENT_BYTES:
        raise MarkupError(11750, f"the document has {len(body)} bytes, {MAX_DOCUMENT_BYTES} are read")
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise MarkupError(12100, "the document declares a type or entities")
    try:
        root = ElementTree.fromstring(body)  # noqa: S314 - see the import  # nosec B314
    except (ElementTree.ParseError, LookupError, ValueError) as error:  # the latter two: of its encoding
        raise MarkupError(12100, f"the document is no XML: {error}") from error
    if root.tag != "Response":
        raise MarkupError(12100, f"the document begins with <{root.tag}>, not with <Response>")
    reader = _Reader(lacks)
    verbs = tuple(reader.verb(element) for element in root)
    if len(verbs) > MAX_VERBS:
        raise MarkupError(12100, f"{len(verbs)} verbs are more than {MAX_VERBS}")
    return Document(verbs=verbs, warnings=tuple(reader.warnings))


class _Reader:
    """Reads one document, and keeps what is odd."""

    def __init__(self, lacks: Lacks) -> None:
        self.warnings: list[str] = []
        self._lacks = lacks

    def verb(self, element: ElementTree.Element) -> Verb:
        readers: dict[str, Callable[[ElementTree.Element], Verb]] = {
            "Say": self.say,
            "Play": self.play,
            "Pause": self.pause,
            "Gather": self.gather,
            "Hangup": lambda element: HangupVerb(),
            "Reject": lambda element: RejectVerb(
                busy=self.attributes(element, "reason").get("reason") == "busy"
            ),
            "Redirect": self.redirect,
            "Dial": self.dial,
            "Connect": self.connect,
        }
        reader = readers.get(element.tag)
        if reader is None:
            raise MarkupError(12100, f"<{element.tag}> is no verb that is known here")
        return reader(element)

    def say(self, element: ElementTree.Element) -> SayVerb:
        found = self.attributes(element, "voice", "language", "loop")
        return SayVerb(
            text=" ".join("".join(element.itertext()).split()),
            times=_count(found.get("loop", "1"), highest=100) or 100,
            language=found.get("language", ""),
        )

    def play(self, element: ElementTree.Element) -> PlayVerb:
        found = self.attributes(element, "loop", "digits")
        return PlayVerb(
            url=(element.text or "").strip(),
            digits=found.get("digits", ""),
            times=_count(found.get("loop", "1"), highest=100) or 100,
        )

    def pause(self, element: ElementTree.Element) -> PauseVerb:
        return PauseVerb(length_s=_seconds(self.attributes(element, "length").get("length", "1")))

    def gather(self, element: ElementTree.Element) -> GatherVerb:
        found = self.attributes(
            element, "action", "method", "timeout", "numDigits", "finishOnKey", "input",
            "actionOnEmptyResult", "language", "hints", "speechTimeout", "validDigits", "maxDigits",
            "minDigits",
        )  # fmt: skip
        if "dtmf" not in found.get("input", "dtmf"):
            raise MarkupError(12200, "only keys are gathered here, no speech")
        prompts: list[SayVerb | PlayVerb | PauseVerb] = []
        for child in element:
            prompt = self.verb(child)
            if not isinstance(prompt, SayVerb | PlayVerb | PauseVerb):
                raise MarkupError(12200, f"<{child.tag}> is not allowed inside <Gather>")
            prompts.append(prompt)
        digits = found.get("numDigits") or found.get("maxDigits")
        return GatherVerb(
            action=found.get("action"),
            method=_method(found),
            timeout_s=_seconds(found.get("timeout", "5")),
            digits=None if digits is None else _count(digits, highest=1000),
            finish_on_key=found.get("finishOnKey", "#"),
            action_on_empty=found.get("actionOnEmptyResult") == "true",
            prompts=tuple(prompts),
        )

    def redirect(self, element: ElementTree.Element) -> RedirectVerb:
        found = self.attributes(element, "method")
        return RedirectVerb(url=(element.text or "").strip(), method=_method(found))

    def dial(self, element: ElementTree.Element) -> DialVerb:
        found = self.attributes(
            element, "action", "method", "timeout", "timeLimit", "callerId", "answerOnBridge", "hangupOnStar",
            "referUrl", "referMethod", "record", "recordingStatusCallback", "ringTone", "sequential",
            "fromDisplayName",
        )  # fmt: skip
        targets = [self.target(child) for child in element if child.tag in ("Number", "Sip")]
        rooms = [self.conference(child) for child in element if child.tag == "Conference"]
        strange = [child.tag for child in element if child.tag not in ("Number", "Sip", "Conference")]
        if strange:
            raise MarkupError(12200, f"<{strange[0]}> inside <Dial> is not known here")
        if plain := (element.text or "").strip():
            targets.insert(0, DialTarget(address=plain))
        if len(rooms) + bool(targets) != 1:
            raise MarkupError(13200, "<Dial> needs somebody to call, or one conference")
        return DialVerb(
            action=found.get("action"),
            method=_method(found),
            timeout_s=_seconds(found.get("timeout", "30")),
            time_limit_s=_seconds(found.get("timeLimit", "14400")),
            caller_id=found.get("callerId"),
            answers_on_bridge=found.get("answerOnBridge") == "true",
            hangs_up_on_star=found.get("hangupOnStar") == "true",
            refer_url=found.get("referUrl"),
            refer_method=found.get("referMethod", "POST"),
            targets=tuple(targets),
            conference=rooms[0] if rooms else None,
        )

    def target(self, element: ElementTree.Element) -> DialTarget:
        found = self.attributes(
            element, "url", "method", "statusCallback", "statusCallbackMethod", "statusCallbackEvent",
            "username", "password", "sendDigits", "byoc", "codecs",
        )  # fmt: skip
        address = (element.text or "").strip()
        if element.tag == "Sip" and not address.lower().startswith(("sip:", "sips:")):
            raise MarkupError(13224, f"<Sip> holds {address[:60]!r}, which is no sip: address")
        return DialTarget(
            address=address,
            url=found.get("url"),
            method=_method(found),
            report_to=_report_to(found),
        )

    def conference(self, element: ElementTree.Element) -> ConferenceTarget:
        found = self.attributes(
            element, "startConferenceOnEnter", "endConferenceOnExit", "muted", "beep", "waitUrl",
            "waitMethod", "participantLabel", "statusCallback", "statusCallbackMethod", "statusCallbackEvent",
            "maxParticipants", "record", "region", "coach", "trim", "eventCallbackUrl",
        )  # fmt: skip
        name = (element.text or "").strip()
        if not name:
            raise MarkupError(13233, "<Conference> has no name")
        return ConferenceTarget(
            name=name,
            starts_on_enter=found.get("startConferenceOnEnter", "true") == "true",
            ends_on_exit=found.get("endConferenceOnExit") == "true",
            muted=found.get("muted") == "true",
            beep=found.get("beep", "true") != "false",
            wait_url=found.get("waitUrl"),
            label=found.get("participantLabel", ""),
            report_to=_report_to(found, default="start end"),
            maximum=_count(found.get("maxParticipants", "250"), highest=250),
        )

    def connect(self, element: ElementTree.Element) -> ConnectVerb:
        found = self.attributes(element, "action", "method")
        children = list(element)
        if len(children) != 1 or children[0].tag != "Stream":
            raise MarkupError(12200, "<Connect> needs exactly one <Stream> here")
        return ConnectVerb(action=found.get("action"), method=_method(found), stream=self.stream(children[0]))

    def stream(self, element: ElementTree.Element) -> StreamTarget:
        found = self.attributes(
            element, "url", "name", "track", "statusCallback", "statusCallbackMethod", "codec",
            "bidirectionalMode", "bidirectionalCodec", "bidirectionalSamplingRate", "authToken",
        )  # fmt: skip
        parameters = {}
        for child in element:
            if child.tag != "Parameter":
                raise MarkupError(12200, f"<{child.tag}> inside <Stream> is not known here")
            name, value = child.get("name"), child.get("value")
            if name is None or value is None or len(name) + len(value) > 500:
                raise MarkupError(31942, "a <Parameter> needs a name and a value, 500 characters in all")
            parameters[name] = value
        return StreamTarget(
            url=found.get("url", ""),
            name=found.get("name", ""),
            parameters=parameters,
            report_to=_report_to(found, default="started stopped error"),
            attributes=found,
        )

    def attributes(self, element: ElementTree.Element, *known: str) -> dict[str, str]:
        """The attributes that are ``known``; others are noted, and left out."""
        lacking = self._lacks.get(element.tag, frozenset())
        found = {
            name: value for name, value in element.attrib.items() if name in known and name not in lacking
        }
        self.warnings += [
            f"<{element.tag}> has no attribute {name!r}" for name in element.attrib if name not in found
        ]
        return found


def _report_to(found: Attributes, default: str = "completed") -> ReportTo | None:
    url = found.get("statusCallback")
    if not url:
        return None
    events = found.get("statusCallbackEvent", default)
    return ReportTo(
        url=url,
        method=found.get("statusCallbackMethod", "POST").upper(),
        events=frozenset(re.split(r"[\s,]+", events.strip())),
    )


def _method(found: Attributes) -> str:
    method = found.get("method", "POST").upper()
    if method not in ("GET", "POST"):
        raise MarkupError(12200, f"method {method!r} is neither GET nor POST")
    return method


def _count(text: str, *, highest: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) <= highest):
        raise MarkupError(12200, f"{text[:20]!r} is no number up to {highest}")
    return int(text)


def _seconds(text: str) -> float:
    return float(_count(text, highest=86_400))
