"""The telephone companies: what they are told, how their calls are answered, what is kept of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from sipagent.config.addresses import parse_api_url, parse_host, parse_public_url
from sipagent.config.schema.admin import parse_listen
from sipagent.config.schema.base import Entry, Text, false_is_off, listed, parsed_by, refuse
from sipagent.config.schema.language import LanguageTag
from sipagent.config.schema.numbers import PhoneNumber
from sipagent.config.schema.plans import LONGEST_WORDS, PlanEntry
from sipagent.config.schema.web import Sendable
from sipagent.config.values import parse_days

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
    Field(min_length=1),
    BeforeValidator(listed, json_schema_input_type=Sendable | Annotated[list[Sendable], Field(min_length=1)]),
]
"""A key, or the present one and those that it follows."""


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
        "sid": "account_sid", "account": "account_sid",
        "token": "auth_token", "auth_tokens": "auth_token",  # names of keys  # nosec B105
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

    also_known_as: ClassVar[Mapping[str, str]] = {"secret": "token", "address": "listen"}  # names  # nosec B105

    listen: Annotated[
        tuple[str, int],
        parsed_by(parse_listen, pattern=r"^.+:[0-9]{1,5}$", examples=["127.0.0.1:9092"]),
    ] = ("127.0.0.1", 9092)
    """Where it connects to: nothing there is encrypted, so let only its network reach it."""
    token: Sendable
    """What its dialplan shows, as ``${NAME}`` or ``${file:…}``; at least 16 characters."""


class WarmEntry(Entry):
    """How people are asked whether they take a call (``way: warm`` of a transfer)."""

    also_known_as: ClassVar[Mapping[str, str]] = {"say": "question", "ask": "question", "lang": "language"}

    question: Annotated[
        Annotated[Text, Field(max_length=LONGEST_WORDS)] | None,
        BeforeValidator(false_is_off, json_schema_input_type=Text | Literal[False] | None),
    ] = "Press 1 to take the call."
    """Said after what the call is about; ``false`` asks nothing: whoever listens to the end has taken the
    call, and so has a mailbox."""
    sorry: Annotated[Text, Field(max_length=LONGEST_WORDS)] = (
        "The call could not be put through to you. Goodbye."
    )
    """Said to somebody who has taken a call when the caller does not come, for whatever reason."""
    language: LanguageTag | None = None
    """Of what they are told: ``de-DE``; by default what the carrier takes it for."""


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
        "auth_token": "Indent it below `twilio:`.",  # words for people  # nosec B105
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
    warm: WarmEntry = WarmEntry()
    """How people are asked whether they take a call."""
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
