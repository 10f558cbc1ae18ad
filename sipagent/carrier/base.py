"""What carriers tell us and what we tell them, as values, and the one interface behind which each one's own
wording is. Pure.

A carrier *delivers*: a signed HTTP request. What it says is one or several *messages*. The answer to what
becomes of a call is an *instruction*, which is rendered as TwiML, as TeXML, or as commands of Call Control.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from sipagent.calls.incoming import CarrierLeg
from sipagent.carrier.settings import SipTarget
from sipagent.carrier.tokens import LegToken

Purpose = Literal["voice", "next", "status", "offer", "refer", "event"]
"""What a delivery is about, by the path that it comes to: a call that rings; what became of a step; what
became of a leg; what a person said whom a caller is offered to; a REFER of a SIP leg; any of these, as the
body says."""

StepResult = Literal["ended", "busy", "no_answer", "failed", "canceled", "rejected", "transferred"]
"""``ended``: it was answered, and is over. ``transferred``: the caller is with somebody else by now, and must
be left alone."""

LONGEST_VALUE = 500
"""Characters of a carrier's field that are kept."""
MOST_DETAILS = 40


# What a carrier tells us --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One request of a carrier, as it came."""

    purpose: Purpose
    url: str
    """As the carrier wrote it: our public address, the path, the query untouched."""
    headers: Mapping[str, str]
    """Names in small letters."""
    body: bytes
    token: LegToken | None
    """Read and found good; None where the URL has none."""
    calls_until_s: float = math.inf
    """Until then (Unix seconds) whoever signed it may announce new calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceRequest:
    """A call rings, and the carrier asks what becomes of it."""

    leg: CarrierLeg
    event_id: str | None
    parameters: Mapping[str, str]
    """What else it says, such as ``SipHeader_X-…``; bounded."""
    sip_headers: tuple[tuple[str, str], ...] = ()
    """Of a call that came to the carrier over SIP; untrusted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LegAnswered:
    """The leg is answered on our command, and waits for its step: where answering is a command of its own."""

    leg: CarrierLeg
    token: LegToken


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOutcome:
    """A step of a call's plan is over."""

    leg: CarrierLeg
    token: LegToken
    result: StepResult
    sip_status: int | None = None
    duration_s: float | None = None
    caller_gone: bool = False
    """Nobody is there any more to be told something."""
    leg_follows: bool = False
    """The carrier ends the caller's leg itself when what answered it ends."""
    by_stream: bool = False
    """The carrier cannot know how it went: the socket was closed by us, or by nobody's will."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferAnswer:
    """A person was told what a call is about, and said whether they take it."""

    token: LegToken
    carrier_call_id: str
    """The person's leg."""
    taken: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonWaited:
    """A person who has taken a call was with nobody for as long as they are asked to be patient."""

    token: LegToken
    carrier_call_id: str
    """The person's leg."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonLeft:
    """The leg of a person is over whom a caller was offered to."""

    token: LegToken
    carrier_call_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferRequest:
    """The SIP leg that the carrier dialled asks it to send the caller elsewhere."""

    leg: CarrierLeg
    token: LegToken
    target_uri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WordsSpoken:
    """What the carrier was to say to the caller is said."""

    leg: CarrierLeg
    token: LegToken


@dataclass(frozen=True, slots=True, kw_only=True)
class LegReport:
    """What the carrier says happened to a leg."""

    carrier: str
    carrier_call_id: str
    parent_call_id: str | None
    """The leg for which this one was called."""
    kind: str
    """``initiated``, ``ringing``, ``answered``, ``completed``, ``busy``, ``no_answer``, ``failed``,
    ``canceled``, ``recording``, ``conference_…``, `LINE_ENDED`, or the carrier's own word."""
    at: datetime
    event_id: str
    """The same when the carrier says it again."""
    sip_status: int | None = None
    duration_s: float | None = None
    offer: str | None = None
    """Of a call to a person whom a caller is offered to: which attempt it is."""
    detail: Mapping[str, str] = field(default_factory=dict)
    """More of the carrier's fields, in its words, bounded; no telephone numbers."""


HEARD = "heard"
"""The route in the token of an offer that asks nothing: who has heard it to its end has taken the call."""
WAITING = "waiting"
"""The route in the token of a person who has taken a call, and waits for the caller."""
SORRY = "sorry"
"""The route in the token of a person who is told that the caller does not come."""
TAKEN = "offer_taken"
DECLINED = "offer_declined"
"""Our own reports: what a person said whom a caller was offered to."""
JOINING = "offer_joining"
JOINED = "offer_joined"
"""Our own reports, of the person's leg: the caller is about to be put together with them; and is."""
LINE_ENDED = "line_ended"
"""Our own report: how the call went whose audio came to us."""

Message = (
    VoiceRequest
    | LegAnswered
    | StepOutcome
    | OfferAnswer
    | PersonWaited
    | PersonLeft
    | ReferRequest
    | WordsSpoken
    | LegReport
)


# What we tell a carrier ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Callbacks:
    """Where a carrier tells us how an instruction went, and by which token we know whose it is."""

    base_url: str
    """``https://phone.example.com/carriers/twilio``."""
    media_url: str
    """Where a media stream is opened: ``wss://…``."""
    token: str
    place: str
    """Names the step, or the offer, that the token is for."""

    def url(self, purpose: Purpose) -> str:
        """Where to tell about ``purpose``."""
        return f"{self.base_url}/{purpose}?t={self.token}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DialSip:
    """Connect the caller with the Realtime API over SIP."""

    target: SipTarget
    answer_timeout_s: int
    callbacks: Callbacks


@dataclass(frozen=True, slots=True, kw_only=True)
class DialNumber:
    """Connect the caller with somebody else."""

    number: str
    """E.164, or a ``sip:`` address."""
    caller_id: str | None
    """What they are shown; None: what the carrier takes."""
    answer_timeout_s: int
    callbacks: Callbacks


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectStream:
    """Open an audio socket to us."""

    callbacks: Callbacks


@dataclass(frozen=True, slots=True, kw_only=True)
class SayAndHangUp:
    """Say something to the caller, and end their call."""

    words: str
    language: str | None
    callbacks: Callbacks


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferCall:
    """Tell a person what a call is about, and ask whether they take it."""

    briefing: str
    question: str
    """What they are to do: "" asks nothing, and takes their listening to the end for a yes."""
    language: str | None
    answer_timeout_s: int
    callbacks: Callbacks


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldPerson:
    """Let a person who has taken a call wait for the caller, and not for long: when nobody has moved them by
    then, they are told so, and let go. What the carrier is told so holds whoever of us lives to see it."""

    patience_s: int
    sorry: str
    language: str | None
    callbacks: Callbacks


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinConference:
    """Put the leg into a conference, which ends when it leaves."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectLeg:
    """Do not answer."""

    busy: bool
    """The caller hears the tone of a busy line; else that they are not wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HangUp:
    """End the leg."""


Instruction = (
    DialSip
    | DialNumber
    | ConnectStream
    | SayAndHangUp
    | OfferCall
    | HoldPerson
    | JoinConference
    | RejectLeg
    | HangUp
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One request to a carrier's API. Made twice with the same ``command_id``, it acts once."""

    leg_id: str
    action: str
    """Such as ``transfer``."""
    command_id: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class CarrierAnswer:
    """The HTTP answer to a delivery, and what is to be done after it was sent."""

    status: int = 200
    body: str = ""
    content_type: str = "text/plain"
    commands: tuple[Command, ...] = ()


class Carrier(Protocol):
    """How one carrier words all this. Pure: nothing here waits."""

    @property
    def name(self) -> str:
        """``twilio``, ``telnyx``."""
        ...

    @property
    def interface(self) -> str:
        """Of a carrier with several: which; else ""."""
        ...

    @property
    def mount(self) -> str:
        """The path under which its deliveries come, such as ``/carriers/twilio``."""
        ...

    @property
    def signs_address(self) -> bool:
        """Whether the address that a delivery goes to is a part of what is signed."""
        ...

    @property
    def purposes(self) -> tuple[Purpose, ...]:
        """The paths under `mount` that it delivers to."""
        ...

    def verify(self, delivery: Delivery, now_s: float) -> float:
        """Until when (Unix seconds) the key that signed may announce new calls: without an end for one of
        the configuration, while one that was replaced tells of known calls a while longer.

        Raises `WebhookSignatureError` for what the carrier did not sign, and `WebhookLateError` for what it
        signed too long ago. ``now_s`` in Unix seconds."""
        ...

    def fingerprint(self, delivery: Delivery) -> str:
        """Names a verified delivery: the same for each try of the carrier to deliver it, and, since it is
        made of what is signed, another for whatever else."""
        ...

    def read(self, delivery: Delivery, now: datetime, country: str | None) -> tuple[Message, ...]:
        """What a verified delivery says; () for what is of no use to us. Numbers without a country code are
        of ``country``. Raises `WebhookBodyError`."""
        ...

    def answer(self, instruction: Instruction | None, leg: CarrierLeg, *, answered: bool) -> CarrierAnswer:
        """How to answer a delivery so that ``instruction`` is carried out for ``leg``; None: nothing is to be
        done. ``answered``: the leg is up already."""
        ...


def bounded(fields: Mapping[str, str]) -> dict[str, str]:
    """At most `MOST_DETAILS` of ``fields``, each value cut at `LONGEST_VALUE`."""
    return {name[:100]: value[:LONGEST_VALUE] for name, value in list(fields.items())[:MOST_DETAILS]}
