"""A call that rings, as a value parsed from its webhook."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sipagent.identifiers import CallId

LineKind = Literal["sip", "stream", "none"]
"""How the caller's voice reaches the model: from their carrier to the Realtime API over SIP, or through us by
a carrier's audio socket. It does not where the answer to the carrier's own webhook was a refusal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CarrierLeg:
    """The caller's call at their telephone company, which told us of it: what is in here is authentic."""

    carrier: str
    """``twilio``, ``telnyx`` or ``asterisk``."""
    carrier_call_id: str
    """As the carrier names the caller's leg, such as ``CA…``."""
    caller: str | None
    """E.164 where it is a number; None when withheld."""
    dialled: str | None
    interface: str = ""
    """Which of its interfaces announced the leg, where it has several: ``texml``, ``call-control``."""
    account: str | None = None
    """The carrier's name of the account that the leg belongs to, where its interface asks for that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomingCall:
    """What the webhook said. Everything that came from SIP headers is untrusted."""

    call_id: CallId
    webhook_id: str
    caller: str | None
    """``+15550100123`` where it is a number, else the user part of the address, or None when withheld; by the
    rules of the configuration that answers, or by the usual ones until it is known which that is."""
    dialled: str | None
    sip_call_id: str | None
    sip_headers: tuple[tuple[str, str], ...]
    """In order, repeats kept."""
    media_security: str | None
    """``rtp``, ``srtp``, another word, or None when unknown."""
    line: LineKind = "sip"
    leg: CarrierLeg | None = None
    """None where the carrier has no webhook of its own with us."""
