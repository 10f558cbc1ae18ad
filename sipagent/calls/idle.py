"""The ladder that a silent caller climbs: asked once, asked again, and told goodbye. Pure.

The clock of a step runs while nobody speaks, nothing is about to be said and no tool runs. It starts when
the agent's last words were heard to their end, however long ago they were made.
"""

from __future__ import annotations

import math

from sipagent.calls.manners import IdleStep
from sipagent.realtime.session_events import (
    RealtimeCallerSpeechStarted,
    RealtimeCallerSpeechStopped,
    RealtimeDtmfReceived,
    RealtimeSessionEvent,
)


class IdleLadder:
    """The steps of one conversation. ``now`` is in seconds, on any one clock."""

    def __init__(self, steps: tuple[IdleStep, ...], *, taken: int = 0) -> None:
        """``taken`` is how many steps were taken before, by another process."""
        self._steps = steps
        self._taken = taken
        self._since: float | None = None
        """When the silence began that counts now; None while none does."""

    @property
    def taken(self) -> int:
        """How many steps were taken since the caller was last there."""
        return self._taken

    def climb(self, steps: tuple[IdleStep, ...]) -> None:
        """``steps`` count from now on, from the first one, and for a silence that begins now."""
        self._steps = steps
        self._taken = 0
        self._since = None

    def observe(self, event: RealtimeSessionEvent, now: float) -> None:
        """Take in one event of the session, then `count`."""
        match event:
            case RealtimeCallerSpeechStarted() | RealtimeCallerSpeechStopped() | RealtimeDtmfReceived():
                self._taken = 0
                self._since = None
            case _:
                pass

    def count(self, now: float, *, silent: bool) -> None:
        """Whether it is ``silent`` now: nobody is heard or about to be, and nothing runs."""
        if not silent:
            self._since = None
        elif self._since is None:
            self._since = now

    def deadline(self) -> float:
        """When `due` has a step, if nothing happens before; infinite when it never will."""
        if self._since is None or self._taken >= len(self._steps):
            return math.inf
        return self._since + self._steps[self._taken].after_s

    def due(self, now: float) -> IdleStep | None:
        """The step to take at ``now``. It counts as taken; the next one waits for a new silence."""
        if now < self.deadline():
            return None
        self._taken += 1
        self._since = None
        return self._steps[self._taken - 1]
