"""The words a simulated call is described with: its settings, its states, and what ended it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

MOST_REQUESTS: Final = 200
"""Requests to one call that are remembered, the latest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSettings:
    """How the pretended service treats a call. All times are seconds."""

    webhook_delay_s: float = 0.15
    """From the INVITE to the webhook."""
    ringing_at: Literal["invite", "accept"] = "accept"
    """When 180 Ringing is sent."""
    answer_delay_s: float = 0.3
    """From the accept to 200 OK."""
    accept_timeout_s: float = 20.0
    """From the INVITE to `accept_timeout_status`, when nobody decides."""
    accept_timeout_status: int = 400
    no_webhook_status: int = 400
    """What a caller gets while no webhook address is set."""
    reject_status: int = 603
    """For a reject that names no status."""
    cancel_ghost: bool = False
    """An accept that comes after a CANCEL is answered 200, for a session that does not exist."""
    maximum_duration_s: float = 3600.0
    """From the answer to the end of the session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """How one REFER of a virtual call fares."""

    refer_status: int = 202
    """What it is answered with."""
    transfer_status: int = 200
    """How the call that it asks for ends."""
    after_s: float = 0.1
    """When that is known, in seconds since the REFER."""


class CallState(StrEnum):
    """Where a call is."""

    TRYING = "trying"
    """The INVITE is here; nobody has decided."""
    RINGING = "ringing"
    """Accepted, not yet answered."""
    ANSWERED = "answered"
    REJECTED = "rejected"
    """Ended by a SIP error status."""
    CANCELLED = "cancelled"
    """The caller gave up before the answer."""
    ENDED = "ended"
    """It was answered, and is over."""

    @property
    def is_over(self) -> bool:
        """Whether nothing can happen any more."""
        return self in {CallState.REJECTED, CallState.CANCELLED, CallState.ENDED}


class EndedBy(StrEnum):
    """Who or what ended a call."""

    CALLER = "caller"
    REJECT = "reject"
    HANGUP = "hangup"
    TRANSFER = "transfer"
    NO_ACCEPT = "no_accept"
    NO_WEBHOOK = "no_webhook"
    DEAD_SESSION = "dead_session"
    EXPIRY = "expiry"
    MEDIA_TIMEOUT = "media_timeout"
    ACK_TIMEOUT = "ack_timeout"
    TRANSPORT = "transport"
    SIMULATOR_STOPPED = "simulator_stopped"


class Verdict(StrEnum):
    """What came of a request to a call."""

    DONE = "done"
    GONE = "gone"
    """There is no such call any more."""
    ALREADY_DECIDED = "already_decided"
    """The call was accepted or rejected before."""
    NOT_ANSWERED = "not_answered"
    """It cannot be transferred before it is answered."""
    REFUSED = "refused"
    """The caller's side did not take the REFER."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChange:
    """One step of a call's life; ``at_s`` is Unix time."""

    state: CallState
    at_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRequest:
    """Something that was asked of a call over HTTP; ``at_s`` is Unix time."""

    action: str
    """``accept``, ``reject``, ``refer`` or ``hangup``."""
    verdict: Verdict
    at_s: float
