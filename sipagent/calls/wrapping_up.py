"""How much time a call has left: its longest duration, and the end of its session at the API. Pure.

The API closes a session after an hour and says so at the beginning only (``expires_at``). A call must be over
by then, so that its caller hears a goodbye and not a line that goes dead.
"""

from __future__ import annotations

import math
from typing import Literal

from sipagent.calls.endings import EndReason

SESSION_MARGIN_S = 30.0
"""A call is brought to its end so long before the API would close its session."""
LATEST_WRAP_UP = 0.5
"""The part of the wrap-up's time for which it waits until nobody speaks."""

TimeSignal = Literal["wrap_up", "over"]


class TimeLeft:
    """The time of one conversation, which began at ``began`` (seconds, any one clock)."""

    def __init__(self, *, began: float, maximum_s: float, wrap_up_before_s: float | None) -> None:
        """As `wrap_up` takes ``wrap_up_before_s``."""
        self._maximum_s = maximum_s
        self._ends_at = began + maximum_s
        self._session_ends_at = math.inf
        self._before_s: float | None = None
        self.wrapped_up = False
        """Whether the signal to wrap up was given."""
        self._over = False
        self.wrap_up(wrap_up_before_s)

    @property
    def ends_at(self) -> float:
        """When the time is over."""
        return min(self._ends_at, self._session_ends_at)

    @property
    def reason(self) -> EndReason:
        """Why it is over then."""
        earlier = self._session_ends_at < self._ends_at
        return EndReason.SESSION_LIMIT if earlier else EndReason.MAXIMUM_DURATION

    def wrap_up(self, before_s: float | None) -> None:
        """The signal to wrap up comes ``before_s`` before the end, at most half of the whole time; None never
        gives one. One that was given is not given again."""
        self._before_s = None if before_s is None else min(before_s, self._maximum_s / 2)

    def session_ends(self, at: float) -> None:
        """The API closes the session at ``at``."""
        self._session_ends_at = at - SESSION_MARGIN_S

    def deadline(self, *, free: bool) -> float:
        """When `due` has a signal, if nothing changes before; ``free``: nobody speaks or is about to."""
        if self._over:
            return math.inf
        if self._before_s is None or self.wrapped_up:
            return self.ends_at
        return self.ends_at - self._before_s * (1.0 if free else LATEST_WRAP_UP)

    def due(self, now: float, *, free: bool) -> TimeSignal | None:
        """What it is time for at ``now``; each signal is given once, and the later one drops the earlier."""
        if self._over or now < self.deadline(free=free):
            return None
        if now >= self.ends_at:
            self._over = True
            return "over"
        self.wrapped_up = True
        return "wrap_up"

    def left_s(self, now: float) -> float:
        """How many seconds are left at ``now``."""
        return max(0.0, self.ends_at - now)
