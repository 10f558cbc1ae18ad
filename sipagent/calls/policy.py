"""How many calls there may be: an exact ledger of those that are up. Pure: time comes in as ``now``.

Every call that is to be answered takes a place before its task begins and gives it back when it is over,
however it ends. The ledger outlives the configuration that admitted a call, so that a reload neither loses
nor forgets one.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field

WINDOW_S = 60.0
_CALLERS_REMEMBERED = 50_000
"""Beyond this many callers within a minute, the ones heard of longest ago are forgotten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallCaps:
    """How many calls, at a time and within a minute; None for as many as come."""

    total: int | None = None
    per_agent: Mapping[str, int] = field(default_factory=dict)
    reserved: Mapping[str, int] = field(default_factory=dict)
    """Places of ``total`` that only calls for this agent may take."""
    per_caller: int | None = None
    per_caller_per_minute: int | None = None
    per_minute: int | None = None


@dataclass(slots=True, eq=False)
class Place:
    """The place of one call, until it is given back."""

    agent: str
    caller: str | None
    counts: bool
    """Whether it counts towards the total; that of an alternative agent does not."""
    held: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Full:
    """There is no place."""

    cap: str
    """The key of the cap that was reached: ``total``, ``per_agent``, ``when_full``…"""
    detail: str
    """One sentence."""


class Admission:
    """The places that are taken."""

    def __init__(self) -> None:
        self._total = 0
        self._by_agent: dict[str, int] = {}
        self._counted_by_agent: dict[str, int] = {}
        self._by_caller: dict[str, int] = {}
        self._recent: deque[float] = deque()
        self._recent_of: OrderedDict[str, deque[float]] = OrderedDict()

    def of_agent(self, agent: str) -> int:
        """How many of them are calls of ``agent``."""
        return self._by_agent.get(agent, 0)

    def admit(
        self,
        caps: CallCaps,
        agent: str,
        caller: str | None,
        now: float,
        *,
        alternative: bool = False,
        most: int | None = None,
    ) -> Place | Full:
        """Take a place for a call from ``caller`` to ``agent``, if ``caps`` allow it.

        ``alternative``: the agent answers what there was no other place for, so that only its own cap and
        those of the caller count, and ``most``: how many calls it may have that came to it in this way. A
        refusal takes no place; it counts only towards what the caller may try
        within a minute, so that a caller who is refused and calls again at once is not answered sooner for
        it, and keeps nobody else out. Callers who withhold their number are not one caller: no cap of the
        caller holds for them.
        """
        full: Full | None = None
        if not alternative:  # asked when the call came
            full = self._rates(caps, caller, now)
        if alternative and most is not None and self._as_alternative(agent) >= most:
            detail = f"{agent} has {most} calls for which there was no other place, which is all it may have."
            full = Full(cap="when_full", detail=detail)
        full = full or self._room(caps, agent, caller, alternative=alternative)
        if full is not None:
            return full
        if caps.per_minute is not None:
            self._recent.append(now)
        place = Place(agent, caller, counts=not alternative)
        self._count(place, 1)
        return place

    def seat(self, agent: str, caller: str | None) -> Place:
        """Take a place for a call that is up already."""
        place = Place(agent, caller, counts=True)
        self._count(place, 1)
        return place

    def release(self, place: Place) -> None:
        """Give a place back. Doing it twice changes nothing."""
        if place.held:
            place.held = False
            self._count(place, -1)

    # Inside ----------------------------------------------------------------------------------------

    def _as_alternative(self, agent: str) -> int:
        return self.of_agent(agent) - self._counted_by_agent.get(agent, 0)

    def _room(self, caps: CallCaps, agent: str, caller: str | None, *, alternative: bool) -> Full | None:
        most = caps.per_agent.get(agent)
        if most is not None and self.of_agent(agent) >= most:
            return Full(cap="per_agent", detail=f"{agent} has {most} calls, which is all it may have.")
        calling = 0 if caller is None else self._by_caller.get(caller, 0)
        if caps.per_caller is not None and calling >= caps.per_caller:
            return Full(cap="per_caller", detail=f"The caller has {calling} calls, as many as allowed.")
        if caps.total is None or alternative:
            return None
        # Reserved places that their agents do not use are nobody else's.
        kept = sum(
            max(0, places - self._counted_by_agent.get(other, 0))
            for other, places in caps.reserved.items()
            if other != agent
        )
        if self._total + kept >= caps.total:
            reserved = f", {kept} of them kept for other agents" if kept else ""
            return Full(cap="total", detail=f"All {caps.total} places are taken{reserved}.")
        return None

    def _rates(self, caps: CallCaps, caller: str | None, now: float) -> Full | None:
        most = caps.per_caller_per_minute
        if most is not None and caller is not None:
            mine = self._recent_of.setdefault(caller, deque())
            self._recent_of.move_to_end(caller)
            if len(self._recent_of) > _CALLERS_REMEMBERED:
                self._recent_of.popitem(last=False)
            if _within_window(mine, now) >= most:
                detail = f"The caller called {most} times within a minute, as often as allowed."
                return Full(cap="per_caller_per_minute", detail=detail)
            mine.append(now)
        most = caps.per_minute
        if most is not None and _within_window(self._recent, now) >= most:
            detail = f"{most} calls were answered within a minute, as many as allowed."
            return Full(cap="per_minute", detail=detail)
        return None

    def _count(self, place: Place, by: int) -> None:
        _add(self._by_agent, place.agent, by)
        if place.counts:
            self._total += by
            _add(self._counted_by_agent, place.agent, by)
        if place.caller is not None:
            _add(self._by_caller, place.caller, by)


def _within_window(moments: deque[float], now: float) -> int:
    while moments and moments[0] <= now - WINDOW_S:
        moments.popleft()
    return len(moments)


def _add(counts: dict[str, int], key: str, by: int) -> None:
    counts[key] = counts.get(key, 0) + by
    if not counts[key]:
        del counts[key]
