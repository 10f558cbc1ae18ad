"""The telephone companies: what they are told, how their calls are answered, what is kept of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    model_validator,
)

from sipagent.config.addresses import parse_api_url, parse_host, parse_public_url
from sipagent.config.schema.admin import parse_listen
from sipagent.config.schema.base import (
    DURATION_PATTERN,
    Entry,
    Text,
    listed,
    parsed_by,
    refuse,
    shown,
)
from sipagent.config.schema.language import LanguageTag
from sipagent.config.schema.numbers import CallableNumber, PhoneNumber
from sipagent.config.schema.web import Sendable
from sipagent.config.values import closest, parse_days, parse_ringing_s

WORDS = ("sip", "stream")
"""Steps that need nothing but their name."""
_KINDS = ("sip", "call", "say")
MOST_STEPS = 8
"""Of one plan: a caller waits through all of them."""
LONGEST_WORDS = 1000
"""Of what a carrier's voice says, in characters."""

Ringing = Annotated[
    int, parsed_by(parse_ringing_s, pattern=DURATION_PATTERN, examples=["20s"], description="From 5s to 2m.")
]
"""How long something rings, in whole seconds."""
Days = Annotated[int, parsed_by(parse_days, pattern=r"^\s*[0-9]+\s*d\s*$", examples=["30d"])]
PublicUrl = Annotated[
    str,
    parsed_by(
        parse_public_url,
        pattern=r"^\s*([Hh][Tt][Tt][Pp][Ss]?://|\$\{)",
        examples=["https://phone.example.com"],
    ),
]
ApiUrl = Annotated[str, parsed_by(parse_api_url, pattern=r"^\s*([Hh][Tt][Tt][Pp][Ss]?://|\$\{)")]
Host = Annotated[str, parsed_by(parse_host, pattern=r"^[A-Za-z0-9.:\[\]-]+$")]
OneOrMore = Annotated[
    list[Sendable],
    Field(min_length=1, max_length=3),
    BeforeValidator(listed, json_schema_input_type=Sendable | Annotated[list[Sendable], Field(min_length=1)]),
]
"""A key, or the present one and those that it follows."""


# Plans ------------------------------------------------------------------------------------------------


class SipTiming(Entry):
    """How a carrier dials the Realtime API."""

    answer_timeout_s: Ringing = Field(default=20, alias="timeout")
    """How long it may ring before the next step follows."""


class SipStep(Entry):
    """The carrier dials the Realtime API."""

    sip: SipTiming
    """How."""


class CallStep(Entry):
    """The carrier calls somebody else."""

    call: CallableNumber
    """A number in international form, or a ``sip:`` address."""
    answer_timeout_s: Ringing = Field(default=25, alias="timeout")
    """How long it may ring before the next step follows."""


class SayStep(Entry):
    """The carrier's own voice says something, and the call ends."""

    also_known_as: ClassVar[Mapping[str, str]] = {"lang": "language"}
    hints: ClassVar[Mapping[str, str]] = {
        "voice": "Remove it: the carrier's usual voice speaks; `language:` chooses its tongue.",
    }

    say: Annotated[Text, Field(max_length=LONGEST_WORDS)]
    """The words, as they are said."""
    language: LanguageTag | None = None
    """Of the words: ``de-DE``; by default what the carrier takes them for."""


_ENTRIES: Mapping[str, type[BaseModel]] = {"sip": SipStep, "call": CallStep, "say": SayStep}


def _look_at_step(value: object) -> object:
    """Says what is wrong with a step of which nobody can tell what it is."""
    remedy = "Write sip, stream, `{call: NUMBER}` or `{say: WORDS}`."
    match value:
        case BaseModel():
            pass
        case str() if value in ("call", "say"):
            raise refuse(f"`{value}` alone says too little.", f"Write {{{value}: …}}.")
        case str() if value not in WORDS:
            close = closest(value, WORDS)
            also = "" if close else " Who answers is `agent:`."
            raise refuse(
                f"There is no step `{value}`.", f"Did you mean `{close}`?" if close else f"{remedy}{also}"
            )
        case dict():
            kinds = [f"`{kind}`" for kind in (*_KINDS, "stream") if kind in value]
            if len(kinds) > 1:
                raise refuse(f"{' and '.join(kinds)} stand side by side.", "Begin a new `- ` for each step.")
            if "stream" in value:
                raise refuse("`stream` takes no settings.", "Write `- stream` without a colon.")
            if not kinds and _tag(value) is None:
                raise refuse("This is no step.", remedy)
        case str():
            pass
        case _:
            raise refuse(f"{shown(value)} is no step.", remedy)
    return value


def _tag(value: object) -> str | None:
    if isinstance(value, dict):
        kind = next((kind for kind in _KINDS if kind in value), None)
        kind = kind or next((close for key in value if (close := closest(str(key), _KINDS))), None)
        return None if kind is None else f"<{kind}>"
    if isinstance(value, BaseModel):
        return next(f"<{kind}>" for kind, entry in _ENTRIES.items() if isinstance(value, entry))
    return "word"


StepEntry = Annotated[
    Annotated[Literal["sip", "stream"], Tag("word")]
    | Annotated[SipStep, Tag("<sip>")]
    | Annotated[CallStep, Tag("<call>")]
    | Annotated[SayStep, Tag("<say>")],
    Discriminator(_tag),
    BeforeValidator(_look_at_step),
]


def _words_last(steps: list[Any]) -> list[Any]:
    if len(steps) > MOST_STEPS:
        raise refuse(
            f"These are {len(steps)} steps, and nobody waits for so many.",
            f"Write at most {MOST_STEPS}.",
            at=(MOST_STEPS,),
        )
    for index, step in enumerate(steps[:-1]):
        if isinstance(step, SayStep):
            raise refuse(
                f"Words end a call, and step {index + 1} of {len(steps)} says some: "
                "what follows never happens.",
                "Move them to the end.",
                at=(index,),
            )
    return steps


PlanEntry = Annotated[
    list[StepEntry],
    Field(min_length=1),
    BeforeValidator(
        listed,
        json_schema_input_type=StepEntry
        | Annotated[list[StepEntry], Field(min_length=1, max_length=MOST_STEPS)],
    ),
    AfterValidator(_words_last),
]
"""What is tried for a call, in order: the next step follows when one fails."""


# Carriers ---------------------------------------------------------------------------------------------


class SipAddressEntry(Entry):
    """The SIP address at which the Realtime API takes calls."""

    also_known_as: ClassVar[Mapping[str, str]] = {"project_id": "project", "domain": "host", "srtp": "secure"}
    hints: ClassVar[Mapping[str, str]] = {"region": "Write `openai: {region: …}` at the top."}

    project: Sendable
    """The project whose webhook is told of the call: ``proj_…``, or ``${OPENAI_PROJECT_ID}``."""
    host: Host | None = None
    """By default OpenAI's, of the region that ``openai`` names; or an edge of your own."""
    port: Annotated[int, Field(ge=1, le=65_535)] | None = None
    """By default what the transport has."""
    transport: Literal["tls", "tcp", "udp"] = "tls"
    """OpenAI takes nothing but ``tls``; the others are for an edge of your own."""
    secure: bool = True
    """Whether the carrier is asked to encrypt the audio (SRTP)."""


class TwilioEntry(Entry):
    """A Twilio account."""

    also_known_as: ClassVar[Mapping[str, str]] = {
        "sid": "account_sid", "account": "account_sid", "token": "auth_token", "auth_tokens": "auth_token",
        "api_base_url": "base_url",
    }  # fmt: skip

    account_sid: Sendable
    """``AC…``, as the console shows it."""
    auth_token: OneOrMore
    """As ``${NAME}`` or ``${file:…}``; while it is being rotated, a list with the new one first."""
    base_url: ApiUrl = "https://api.twilio.com"
    """Where its API is: that of a region, or a simulator."""


class TelnyxEntry(Entry):
    """A Telnyx account."""

    also_known_as: ClassVar[Mapping[str, str]] = {
        "key": "api_key", "connection_id": "connection", "public_keys": "public_key", "app_id": "connection",
        "api_base_url": "base_url",
    }  # fmt: skip

    api_key: Sendable
    """As ``${NAME}`` or ``${file:…}``."""
    public_key: OneOrMore
    """By which its webhooks are verified, as the portal shows it; while it changes, a list."""
    connection: Sendable | None = None
    """The id of the application that calls out, which warm transfers need."""
    base_url: ApiUrl = "https://api.telnyx.com"
    """Where its API is."""


class AsteriskEntry(Entry):
    """An Asterisk of your own, which sends its calls' audio here (`AudioSocket`)."""

    also_known_as: ClassVar[Mapping[str, str]] = {"secret": "token", "address": "listen"}

    listen: Annotated[
        tuple[str, int],
        parsed_by(parse_listen, pattern=r"^.+:[0-9]{1,5}$", examples=["127.0.0.1:9092"]),
    ] = ("127.0.0.1", 9092)
    """Where it connects to: nothing there is encrypted, so let only its network reach it."""
    token: Sendable
    """What its dialplan shows, as ``${NAME}`` or ``${file:…}``; at least 16 characters."""


_CARRIERS = ("twilio", "telnyx", "asterisk")
_BY_WEBHOOK = ("twilio", "telnyx")


class CarriersEntry(Entry):
    """The telephone companies whose calls are answered here."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [{"required": [carrier]} for carrier in _CARRIERS],
            "dependentRequired": {carrier: ["public_url"] for carrier in _BY_WEBHOOK},
        }
    )
    also_known_as: ClassVar[Mapping[str, str]] = {
        "url": "public_url", "base_url": "public_url", "webhook_url": "public_url", "plan": "answer",
        "fallback": "answer", "audio_socket": "asterisk", "openai": "sip",
    }  # fmt: skip
    hints: ClassVar[Mapping[str, str]] = {
        "recording": "Write `recording:` below an agent, and `recordings:` at the top.",
        "recordings": "Write it at the top of the file, not below `carriers:`.",
        "account_sid": "Indent it below `twilio:`.",
        "auth_token": "Indent it below `twilio:`.",
        "api_key": "Indent it below `telnyx:`.",
        "project": "Write `sip: {project: …}`.",
    }

    public_url: PublicUrl | None = None
    """Where carriers reach this service: ``https://phone.example.com``; what they sign begins with it."""
    sip: SipAddressEntry | None = None
    """Where calls are sent that the step ``sip`` answers."""
    answer: PlanEntry | None = None
    """What is tried for a call, in order; a route may have an ``answer`` of its own. By default ``sip`` where
    its address is known, else ``stream``, and then words."""
    caller_id: PhoneNumber | None = None
    """The number that is shown to those who are called; by default the one that was dialled."""
    twilio: TwilioEntry | None = None
    """Calls that come from Twilio."""
    telnyx: TelnyxEntry | None = None
    """Calls that come from Telnyx."""
    asterisk: AsteriskEntry | None = None
    """Calls that come from an Asterisk."""

    @model_validator(mode="after")
    def _some_carrier(self) -> Self:
        if not any(getattr(self, carrier) is not None for carrier in _CARRIERS):
            raise refuse("There is no carrier.", "Add `twilio:`, `telnyx:` or `asterisk:`.")
        if self.public_url is None:
            for carrier in _BY_WEBHOOK:
                if getattr(self, carrier) is not None:
                    raise refuse(
                        f"`{carrier}` sends webhooks, and nothing says where to.",
                        "Add `public_url: https://…` below `carriers:`.",
                        at=(carrier,),
                    )
        return self


# Recordings -------------------------------------------------------------------------------------------


class RecordingsEntry(Entry):
    """Where recordings of calls are kept, and how long."""

    also_known_as: ClassVar[Mapping[str, str]] = {
        "path": "folder", "directory": "folder", "dir": "folder", "retention": "keep", "days": "keep",
        "keep_days": "keep",
    }  # fmt: skip
    hints: ClassVar[Mapping[str, str]] = {
        "consent": "Write `recording: {consent: …}` below each agent whose calls are recorded.",
    }

    folder: Text
    """Seen from this file's folder."""
    keep_days: Days = Field(default=30, alias="keep")
    """How long a recording is kept before it is deleted: ``30d``."""


class RecordingEntry(Entry):
    """Whether calls are recorded: never without these words."""

    consent: Text
    """Said before anything is recorded, and heard to its end: ``This call is recorded.``"""
