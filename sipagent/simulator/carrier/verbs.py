"""What a carrier can be told to do with a call, as values. Pure.

From the public references of Twilio ("TwiML for Programmable Voice") and Telnyx ("TeXML verbs").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Attributes: TypeAlias = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SayVerb:
    """``<Say>``."""

    text: str
    times: int = 1
    language: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayVerb:
    """``<Play>``: a sound, or keys."""

    url: str
    digits: str = ""
    times: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseVerb:
    """``<Pause>``."""

    length_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GatherVerb:
    """``<Gather>`` of keys, with what is heard meanwhile."""

    action: str | None
    method: str
    timeout_s: float
    digits: int | None
    """None for any number of them."""
    finish_on_key: str
    action_on_empty: bool
    prompts: tuple[SayVerb | PlayVerb | PauseVerb, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HangupVerb:
    """``<Hangup>``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectVerb:
    """``<Reject>``."""

    busy: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RedirectVerb:
    """``<Redirect>``."""

    url: str
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportTo:
    """Where status callbacks of a leg, a stream or a conference go."""

    url: str
    method: str = "POST"
    events: frozenset[str] = frozenset({"completed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class DialTarget:
    """``<Number>`` or ``<Sip>``: one of those that are called."""

    address: str
    """A number, or a ``sip:`` address with its parameters and headers."""
    url: str | None = None
    """A document for whoever answers, before they are connected."""
    method: str = "POST"
    report_to: ReportTo | None = None

    @property
    def is_sip(self) -> bool:
        """Whether it is a SIP address."""
        return self.address.lower().startswith(("sip:", "sips:"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ConferenceTarget:
    """``<Conference>``: a room to join."""

    name: str
    starts_on_enter: bool = True
    ends_on_exit: bool = False
    muted: bool = False
    beep: bool = True
    wait_url: str | None = None
    """"" for silence; None for the carrier's own music."""
    label: str = ""
    report_to: ReportTo | None = None
    maximum: int = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class DialVerb:
    """``<Dial>``."""

    action: str | None
    method: str
    timeout_s: float
    time_limit_s: float
    caller_id: str | None
    answers_on_bridge: bool
    hangs_up_on_star: bool
    refer_url: str | None
    refer_method: str
    targets: tuple[DialTarget, ...]
    conference: ConferenceTarget | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamTarget:
    """``<Stream>``."""

    url: str
    name: str
    parameters: Attributes
    report_to: ReportTo | None
    attributes: Attributes = field(default_factory=dict)
    """As written: carriers differ in what they know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectVerb:
    """``<Connect>`` with a ``<Stream>``."""

    action: str | None
    method: str
    stream: StreamTarget


Verb: TypeAlias = (
    SayVerb
    | PlayVerb
    | PauseVerb
    | GatherVerb
    | HangupVerb
    | RejectVerb
    | RedirectVerb
    | DialVerb
    | ConnectVerb
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What to do, in order, and what was odd about how it was written."""

    verbs: tuple[Verb, ...]
    warnings: tuple[str, ...] = ()
