"""How calls of a carrier are answered, as the configuration says it. Pure values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from sipagent.errors import UserError

OPENAI_SIP_HOST = "sip.api.openai.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class SipTarget:
    """The SIP address of a project at the Realtime API."""

    project: str
    """``proj_…``."""
    host: str = OPENAI_SIP_HOST
    """A region has a host of its own."""
    port: int | None = None
    """None: the one that DNS and the transport say."""
    transport: Literal["tls", "tcp", "udp"] = "tls"
    """The API takes nothing but TLS; the others are for a simulator or an edge of one's own."""
    secure: bool = True
    """Whether the carrier is asked for encrypted media, where it can be asked."""

    @property
    def uri(self) -> str:
        """``sip:proj_demo@sip.api.openai.com;transport=tls``."""
        port = "" if self.port is None else f":{self.port}"
        return f"sip:{self.project}@{self.host}{port};transport={self.transport}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerBySip:
    """The carrier dials the Realtime API's SIP address; its audio does not pass through us."""

    answer_timeout_s: int = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerByStream:
    """The carrier opens an audio socket to us, and we bridge it to a session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallNumber:
    """The carrier calls somebody else."""

    number: str
    """E.164, or a ``sip:`` address."""
    answer_timeout_s: int = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class SayMessage:
    """The carrier's own voice says ``words``, and the call ends."""

    words: str
    language: str | None = None
    """BCP 47, such as ``de-DE``; None: the carrier's default."""


Step = AnswerBySip | AnswerByStream | CallNumber | SayMessage

FAREWELL = SayMessage(words="We are sorry, but nobody can take your call right now. Please try again later.")
"""What a caller hears when every step has failed and the plan has no words of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerPlan:
    """What is tried for a call, in order: the next step follows when one fails. Ends with words, always.

    Raises `UserError` without a step, or with one behind the words.
    """

    steps: tuple[Step, ...] = (AnswerBySip(), FAREWELL)

    def __post_init__(self) -> None:
        if not self.steps:
            raise UserError("A plan for answering needs at least one step.")
        if any(isinstance(step, SayMessage) for step in self.steps[:-1]):
            raise UserError("Words end a call: nothing can follow them in a plan for answering.")
        if not isinstance(self.steps[-1], SayMessage):
            object.__setattr__(self, "steps", (*self.steps, FAREWELL))


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferManner:
    """How a person is asked whether they take a call."""

    question: str = "Press 1 to take the call."
    """Said after the briefing. "" asks nothing: who listens to the end of the briefing has taken the call,
    and so has a mailbox."""
    sorry: str = "The call could not be put through to you. Goodbye."
    """Said to somebody who has taken a call when the caller does not come, for whatever reason."""
    language: str | None = None
    """BCP 47, of all that is said to a person; None: the carrier's default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TwilioSettings:
    """One Twilio account."""

    account_sid: str
    auth_tokens: tuple[str, ...] = field(repr=False)
    """The first one is shown to the API; a signature by any of them is good: two during a rotation."""
    api_base_url: str = "https://api.twilio.com"
    """A region of Twilio's, or a simulator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TelnyxSettings:
    """One Telnyx account."""

    api_key: str = field(repr=False)
    public_keys: tuple[str, ...]
    """Ed25519, base64, as the portal shows them: a signature by any of them is good."""
    connection_id: str | None = None
    """Of the Call Control application or the TeXML application, which calls out for transfers."""
    api_base_url: str = "https://api.telnyx.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioSocketSettings:
    """Where an Asterisk reaches us with `AudioSocket`."""

    host: str
    port: int
    """0 takes a free one."""
    token: str = field(repr=False)
    """Shown by the dialplan when it announces a call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CarrierSettings:
    """The carriers of one service."""

    public_url: str
    """``https://phone.example.com``: where carriers reach us, without a slash at the end. Signatures are over
    the URL as the carrier wrote it, so it must be what stands in the carrier's console."""
    sip: SipTarget | None = None
    """None: no plan may answer by SIP."""
    plan: AnswerPlan = AnswerPlan()
    """For routes that have none of their own."""
    plans: Mapping[str, AnswerPlan] = field(default_factory=dict)
    """By the label of a route, as `sipagent.calls.routing.Answer.route` has it."""
    caller_id: str | None = None
    """The number that those we call are shown; None: the one that was dialled."""
    offers: OfferManner = OfferManner()
    twilio: TwilioSettings | None = None
    telnyx: TelnyxSettings | None = None
    audio_socket: AudioSocketSettings | None = None

    def without_accounts(self) -> CarrierSettings:
        """The same plans, and no carrier that anything may come from."""
        return replace(self, twilio=None, telnyx=None, audio_socket=None)

    def plan_of(self, route: str) -> AnswerPlan:
        """What is tried for a call that ``route`` answers."""
        return self.plans.get(route, self.plan)
