"""Why a call ended, and who is to blame when it should not have: one reason and one owner each.

The table below is the only place that knows the owner of a reason.
"""

from __future__ import annotations

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
    CALLER_GONE = "caller_gone"
    """The caller gave up before we had answered: accept found no call."""
    REJECTED_NO_ROUTE = "rejected_no_route"
    """No route matched the call."""
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
    """Accept said yes, but no session could be attached to (404 until the deadline)."""
    ATTACH_FAILED = "attach_failed"
    """The Realtime socket could not be opened."""
    MODEL_SILENT = "model_silent"
    """The socket was open, but the model answered nothing to a request for a response."""
    CONNECTION_LOST = "connection_lost"
    """The socket was lost, could not be had again, and the call was hung up."""
    SESSION_EXPIRED = "session_expired"
    """The API closed the session at its maximum length."""
    MAXIMUM_DURATION = "maximum_duration"
    """The call reached the longest time we allow."""
    CALLER_SILENT = "caller_silent"
    """Nobody had said anything, and nothing had happened, for the longest time we allow."""
    SERVICE_STOPPED = "service_stopped"
    """The service stopped and its drain deadline passed with the call still up."""
    INTERNAL_ERROR = "internal_error"
    """A defect of ours ended the call; the log has the traceback."""


FAULT_OWNERS: dict[EndReason, FaultOwner] = {
    EndReason.AGENT_HUNG_UP: FaultOwner.NONE,
    EndReason.CALLER_HUNG_UP: FaultOwner.NONE,
    EndReason.TRANSFERRED: FaultOwner.NONE,
    EndReason.CALLER_GONE: FaultOwner.CALLER,
    EndReason.REJECTED_NO_ROUTE: FaultOwner.OPERATOR,
    EndReason.REJECTED_DRAINING: FaultOwner.OPERATOR,
    EndReason.ACCEPT_REFUSED: FaultOwner.OPERATOR,
    EndReason.ACCEPT_RATE_LIMITED: FaultOwner.OPERATOR,
    EndReason.ACCEPT_UNAVAILABLE: FaultOwner.OPENAI,
    EndReason.OPERATOR_CODE_FAILED: FaultOwner.OPERATOR,
    EndReason.SESSION_NOT_FOUND: FaultOwner.OPENAI,
    EndReason.ATTACH_FAILED: FaultOwner.OPENAI,
    EndReason.MODEL_SILENT: FaultOwner.OPENAI,
    EndReason.CONNECTION_LOST: FaultOwner.OPENAI,
    EndReason.SESSION_EXPIRED: FaultOwner.NONE,
    EndReason.MAXIMUM_DURATION: FaultOwner.NONE,
    EndReason.CALLER_SILENT: FaultOwner.CALLER,
    EndReason.SERVICE_STOPPED: FaultOwner.OPERATOR,
    EndReason.INTERNAL_ERROR: FaultOwner.OURS,
}


def fault_owner(reason: EndReason) -> FaultOwner:
    """The owner of ``reason``; every reason has exactly one."""
    return FAULT_OWNERS[reason]
