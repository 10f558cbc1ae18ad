"""A call that rings, as a value parsed from its webhook."""

from __future__ import annotations

from dataclasses import dataclass

from sipagent.identifiers import CallId


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
