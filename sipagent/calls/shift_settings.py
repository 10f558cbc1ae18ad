"""How workers share calls."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ShiftSettings:
    """How workers share calls. All times are in seconds."""

    lease_s: float = 15.0
    """A worker that the database has not heard of for so long has lost its calls: frozen, or cut off."""
    heartbeat_s: float = 1.0
    stall_s: float = 3.0
    """A process that did not run for so long asks whether its calls are still its own."""
    quiet_s: float = 2.5
    """A worker that died is given up when it has not been heard of for so long."""
    look_s: float = 0.5
    """How often calls of workers that are gone are looked for."""
    adopt_at_once: int = 10
    """How many are taken at a time, so that others get their share."""
    claim_timeout_s: float = 0.5
    """How long a caller waits for a claim; without an answer the call is answered all the same."""
    database_timeout_s: float = 2.0
    hand_over_patience_s: float = 5.0
    """How long a worker that leaves lets a tool, or a request to the Calls API, come to its end."""
    taken_patience_s: float = 2.5
    """How long it then waits for somebody to take any of its calls, before it takes them back."""

    @classmethod
    def for_lease(cls, lease_s: float) -> ShiftSettings:
        """The usual settings for a lease of ``lease_s``; all that must fit into it does."""
        return cls(
            lease_s=lease_s,
            heartbeat_s=min(1.0, lease_s / 6),
            stall_s=min(3.0, lease_s / 4),
            quiet_s=min(2.5, lease_s / 4),
        )
