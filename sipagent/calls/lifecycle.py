"""The states of one call, as a table. Pure.

::

    ringing ──► accepting ──► attaching ──► talking ◄──► transferring
       │            │             │            │              │
       ▼            │             ▼            ▼              │
    rejecting       │           ending ◄───────┴──────────────┤
       │            │             │                           │
       └────────────┴─────────────┴──────────► ended ◄────────┘

``ended`` is entered exactly once and never left.
"""

from __future__ import annotations

from enum import StrEnum


class CallState(StrEnum):
    """Where a call stands."""

    RINGING = "ringing"
    """The webhook was taken; nothing has been decided."""
    REJECTING = "rejecting"
    """The refusal is on its way."""
    ACCEPTING = "accepting"
    """The session is on its way to the Calls API."""
    ATTACHING = "attaching"
    """Accepted; the Realtime socket is being opened."""
    TALKING = "talking"
    """Attached; the greeting was asked for."""
    TRANSFERRING = "transferring"
    """A REFER was handed over; whether it arrived is not known yet."""
    ENDING = "ending"
    """The hang-up is on its way."""
    ENDED = "ended"


TRANSITIONS: dict[CallState, frozenset[CallState]] = {
    CallState.RINGING: frozenset({CallState.REJECTING, CallState.ACCEPTING, CallState.ENDED}),
    CallState.REJECTING: frozenset({CallState.ENDED}),
    CallState.ACCEPTING: frozenset({CallState.ATTACHING, CallState.ENDING, CallState.ENDED}),
    CallState.ATTACHING: frozenset({CallState.TALKING, CallState.ENDING, CallState.ENDED}),
    CallState.TALKING: frozenset({CallState.TRANSFERRING, CallState.ENDING, CallState.ENDED}),
    CallState.TRANSFERRING: frozenset({CallState.TALKING, CallState.ENDING, CallState.ENDED}),
    CallState.ENDING: frozenset({CallState.ENDED}),
    CallState.ENDED: frozenset(),
}


class CallLifecycle:
    """The state of one call; refuses any step the table does not have."""

    def __init__(self, *, state: CallState = CallState.RINGING, sequence: int = 0) -> None:
        """``state`` and ``sequence`` are where a call stands that is taken over."""
        self.state = state
        self.sequence = sequence
        """How many steps were taken; the number of the current state within the call."""

    def enter(self, state: CallState) -> int:
        """Go to ``state`` and return its sequence number. A step outside the table is our mistake."""
        assert state in TRANSITIONS[self.state], f"a call cannot go from {self.state} to {state}"
        self.state = state
        self.sequence += 1
        return self.sequence
