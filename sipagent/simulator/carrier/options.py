"""What a pretended carrier is made of."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from sipagent.simulator.carrier.faults import NO_FAULTS, CarrierFaults
from sipagent.simulator.carrier.subscribers import Subscriber
from sipagent.simulator.sip.settings import ListenAddress
from sipagent.simulator.speech import VoiceLike

_ANY_PORT = ListenAddress(transport="udp", host="127.0.0.1", port=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CarrierOptions:
    """What all carriers have. Everything has a default that works on one machine."""

    webhook_url: str = ""
    """Where calls to the carrier's numbers are announced; may be set later. "": nobody is told, and calls
    are refused."""
    webhook_method: Literal["GET", "POST"] = "POST"
    report_url: str | None = None
    """Where status callbacks of incoming calls go, as the number's settings in a console say."""
    report_events: frozenset[str] = frozenset({"completed"})
    numbers: Mapping[str, Subscriber] = field(default_factory=dict)
    """Who is reached by which number; numbers that are not in here do not exist. More can be added to
    `PretendedCarrier.numbers`."""
    http_host: str = "127.0.0.1"
    http_port: int = 0
    """Of the REST API; 0 lets the system choose."""
    sip: tuple[ListenAddress, ...] = (_ANY_PORT,)
    """Where telephones call the carrier's numbers, and UDP legs leave from."""
    host: str = "127.0.0.1"
    """Address of this machine for audio."""
    client_tls: ssl.SSLContext | None = None
    """Whom legs to ``transport=tls``, https and wss trust; None: whom the system trusts."""
    tls: ssl.SSLContext | None = None
    """The certificate of ``tls:`` addresses in ``sip``."""
    voice: VoiceLike | None = None
    """The carrier's own; None: tones."""
    people_voice: VoiceLike | None = None
    """That of callers and persons; None: tones of another pitch."""
    refers: Literal["dial", "decline"] = "dial"
    """What a leg that asks to be replaced (REFER) gets where the document has no ``referUrl``: the target is
    called in its place, or it is declined with 603."""
    faults: CarrierFaults = NO_FAULTS
    """On for every call."""
    answer_timeout_s: float = 15.0
    """How long the service may take to answer a request."""
    remembered_calls: int = 1_000
    """How many calls are kept; of more, the oldest that are over are forgotten, with what was heard."""
    turn_gap_ms: int = 800
    """Quiet after which callers take it that the other side has finished."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TwilioOptions(CarrierOptions):
    """A pretended Twilio account."""

    account_sid: str = "AC" + "0" * 31 + "1"
    auth_token: str = field(default="pretended-auth-token", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TelnyxOptions(CarrierOptions):
    """A pretended Telnyx account."""

    api_key: str = field(default="KEYpretended", repr=False)
    connection_id: str = "1000000000000000001"
    application: Literal["texml", "call_control"] = "texml"
    """What the numbers belong to: TeXML documents, or events and commands."""
