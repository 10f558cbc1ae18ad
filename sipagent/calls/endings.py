"""Why a call ended, and who is to blame when it should not have: one reason and one owner each. Pure.

The table below is the only place that knows the owner of a reason. The guide page *endings* is written from
the docstrings here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class FaultOwner(StrEnum):
    """Whose fault an ending is."""

    NONE = "none"
    """Nobody's: the call ended as calls end."""
    CALLER = "caller"
    OPERATOR = "operator"
    """The configuration, a key or a tool of the company that runs us."""
    OURS = "sipagent"
    OPENAI = "openai"
    CARRIER = "carrier"
    UNKNOWN = "unknown"


class EndReason(StrEnum):
    """Why a call ended."""

    AGENT_HUNG_UP = "agent_hung_up"
    """The agent said goodbye and used its tool to hang up."""
    CALLER_HUNG_UP = "caller_hung_up"
    """The caller hung up during the conversation."""
    TRANSFERRED = "transferred"
    """A transfer was asked for and the call left us in time: proof enough that it arrived."""
    TRANSFER_ABANDONED = "transfer_abandoned"
    """The caller hung up after a transfer was begun, and before the carrier had been asked for it."""
    CALLER_GONE = "caller_gone"
    """The caller gave up before we had answered: accept found no call."""
    REJECTED_NO_ROUTE = "rejected_no_route"
    """No route matched the call."""
    REJECTED_BY_ROUTE = "rejected_by_route"
    """The route that matched refuses its calls."""
    REJECTED_CLOSED = "rejected_closed"
    """The call came outside of the route's hours, and nobody answers then."""
    REJECTED_DENIED = "rejected_denied"
    """The caller is on the list of those who are not answered, or not on the list of those who are."""
    REJECTED_FULL = "rejected_full"
    """As many calls were up as are allowed."""
    REJECTED_FLOOD = "rejected_flood"
    """More calls came within a minute, or from one caller, than are allowed."""
    REJECTED_SPENT = "rejected_spent"
    """The day's calls had cost what a day may cost."""
    REJECTED_DRAINING = "rejected_draining"
    """The call came while the service was stopping."""
    ACCEPT_REFUSED = "accept_refused"
    """The Calls API refused the session or the key (4xx)."""
    ACCEPT_RATE_LIMITED = "accept_rate_limited"
    """The Calls API answered 429 until the answer deadline."""
    ACCEPT_UNAVAILABLE = "accept_unavailable"
    """The Calls API failed or stayed silent until the answer deadline."""
    OPERATOR_CODE_FAILED = "operator_code_failed"
    """A function of the operator's that the session needs failed, or took too long, before the answer."""
    SESSION_NOT_FOUND = "session_not_found"
    """Accept said yes, but no session could be attached to (404 until the deadline): the caller gave up in
    that moment, or the API made no session. The API does not tell which."""
    ATTACH_FAILED = "attach_failed"
    """The Realtime socket could not be opened."""
    MODEL_SILENT = "model_silent"
    """The socket was open, but the model answered nothing to a request for a response."""
    MODEL_FAILED = "model_failed"
    """The model's responses failed until nobody asked for another, and the caller heard nothing."""
    MODEL_RATE_LIMITED = "model_rate_limited"
    """The model's responses failed because the project's limits or its credit were used up."""
    CONNECTION_LOST = "connection_lost"
    """The socket was lost, could not be had again, and the call was hung up."""
    SESSION_EXPIRED = "session_expired"
    """The API closed the session at its maximum length."""
    SESSION_LIMIT = "session_limit"
    """The call was ended shortly before the API would have closed its session."""
    MAXIMUM_DURATION = "maximum_duration"
    """The call reached the longest time we allow."""
    CALLER_SILENT = "caller_silent"
    """Nobody had said anything, and nothing had happened, for the longest time we allow."""
    CALLER_UNRESPONSIVE = "caller_unresponsive"
    """The agent asked whether anybody was there, got no answer, and said goodbye."""
    AGENT_LOOP = "agent_loop"
    """The agent kept saying the same, and the conversation led nowhere."""
    MACHINE_CALLER = "machine_caller"
    """The caller's line kept saying the same: a recording, a queue or another agent."""
    HOLD_MUSIC = "hold_music"
    """The caller's line was heard for minutes without a word: music or noise."""
    SPEND_LIMIT = "spend_limit"
    """The call, or the day, reached what it may cost."""
    HUNG_UP_BY_OPERATOR = "hung_up_by_operator"
    """Somebody of the company had the call ended; the record has a note of who."""
    SERVICE_STOPPED = "service_stopped"
    """The service stopped and its drain deadline passed with the call still up."""
    WORKER_LOST = "worker_lost"
    """The process that held the call was gone, and the call was over when another looked for it."""
    INTERNAL_ERROR = "internal_error"
    """A defect of ours ended the call; the log has the traceback."""


FAULT_OWNERS: dict[EndReason, FaultOwner] = {
    EndReason.AGENT_HUNG_UP: FaultOwner.NONE,
    EndReason.CALLER_HUNG_UP: FaultOwner.NONE,
    EndReason.TRANSFERRED: FaultOwner.NONE,
    EndReason.TRANSFER_ABANDONED: FaultOwner.CALLER,
    EndReason.CALLER_GONE: FaultOwner.CALLER,
    EndReason.REJECTED_NO_ROUTE: FaultOwner.OPERATOR,
    EndReason.REJECTED_BY_ROUTE: FaultOwner.NONE,
    EndReason.REJECTED_CLOSED: FaultOwner.NONE,
    EndReason.REJECTED_DENIED: FaultOwner.CALLER,
    EndReason.REJECTED_FULL: FaultOwner.OPERATOR,
    EndReason.REJECTED_FLOOD: FaultOwner.CALLER,
    EndReason.REJECTED_SPENT: FaultOwner.OPERATOR,
    EndReason.REJECTED_DRAINING: FaultOwner.OPERATOR,
    EndReason.ACCEPT_REFUSED: FaultOwner.OPERATOR,
    EndReason.ACCEPT_RATE_LIMITED: FaultOwner.OPERATOR,
    EndReason.ACCEPT_UNAVAILABLE: FaultOwner.OPENAI,
    EndReason.OPERATOR_CODE_FAILED: FaultOwner.OPERATOR,
    EndReason.SESSION_NOT_FOUND: FaultOwner.UNKNOWN,
    EndReason.ATTACH_FAILED: FaultOwner.OPENAI,
    EndReason.MODEL_SILENT: FaultOwner.OPENAI,
    EndReason.MODEL_FAILED: FaultOwner.OPENAI,
    EndReason.MODEL_RATE_LIMITED: FaultOwner.OPERATOR,
    EndReason.CONNECTION_LOST: FaultOwner.OPENAI,
    EndReason.SESSION_EXPIRED: FaultOwner.NONE,
    EndReason.SESSION_LIMIT: FaultOwner.NONE,
    EndReason.MAXIMUM_DURATION: FaultOwner.NONE,
    EndReason.CALLER_SILENT: FaultOwner.CALLER,
    EndReason.CALLER_UNRESPONSIVE: FaultOwner.CALLER,
    EndReason.AGENT_LOOP: FaultOwner.OPERATOR,
    EndReason.MACHINE_CALLER: FaultOwner.CALLER,
    EndReason.HOLD_MUSIC: FaultOwner.CALLER,
    EndReason.SPEND_LIMIT: FaultOwner.OPERATOR,
    EndReason.HUNG_UP_BY_OPERATOR: FaultOwner.NONE,
    EndReason.SERVICE_STOPPED: FaultOwner.OPERATOR,
    EndReason.WORKER_LOST: FaultOwner.OURS,
    EndReason.INTERNAL_ERROR: FaultOwner.OURS,
}


def fault_owner(reason: EndReason) -> FaultOwner:
    """The owner of ``reason``; every reason has exactly one."""
    return FAULT_OWNERS[reason]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """Why and how a call ends."""

    reason: EndReason
    detail: str
    hang_up: bool = True
    """Whether the call may still be up at the API, and must be hung up lest it go on without us."""
    goodbye: bool = False
    """Whether the agent has said goodbye: who heard it does not expect to be connected with anybody else."""
