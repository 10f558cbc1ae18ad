"""Who answers a call: callers who are not answered, then an ordered list of routes of which the first that
matches wins. Pure; `FrontDoor.decide` says why, so that an operator can ask before a caller does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Literal

from sipagent.calls.calendar import Calendar, Opening
from sipagent.calls.endings import EndReason
from sipagent.calls.incoming import IncomingCall
from sipagent.calls.lookup import Lookup
from sipagent.calls.numbers import NumberPattern, NumberRules, matches_any, read_numbers
from sipagent.calls.policy import CallCaps
from sipagent.calls.profile import AgentProfile
from sipagent.calls.spend import SpendLimits
from sipagent.calls.variables import Business

DENIED_STATUS = 603
"""Decline: no other destination need be tried (RFC 3261 section 21.6.2)."""
NO_ROUTE_STATUS = 404
FULL_STATUS = 486

CalendarState = Literal["open", "closed", "holiday"]
_Missing = tuple[Literal["to", "from", "header", "when"], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """What happens to a call instead: an agent answers it, or a SIP status refuses it. One of them is set."""

    agent: str | None = None
    reject: int | None = None
    calls: int | None = None
    """For want of a place, ``agent`` answers at most so many calls at a time; None for as many as come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """A condition on a calendar: ``holiday`` is a closed day with a name of its own, ``closed`` every other
    time at which it is not open."""

    calendar: str
    state: CalendarState

    def holds(self, opening: Opening) -> bool:
        """Whether a calendar that says ``opening`` is in this state."""
        match self.state:
            case "open":
                return opening.open
            case "closed":
                return not opening.open
            case "holiday":
                return opening.kind in ("holiday", "half_day") and not opening.open


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Matches a call when every condition that is set holds; leads to an agent or to a refusal."""

    agent: str | None = None
    reject: int | None = None
    """A SIP status; set where ``agent`` is not."""
    name: str | None = None
    to: tuple[NumberPattern, ...] = ()
    """Any of these numbers was dialled; () for every call."""
    caller: tuple[NumberPattern, ...] = ()
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By the name of a SIP header, what it may hold; an asterisk at the end stands for anything."""
    when: When | None = None
    hours: str | None = None
    """The calendar outside of which `when_closed` counts."""
    when_closed: Alternative | None = None
    when_full: Alternative | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Callers:
    """Who is answered at all."""

    deny: tuple[NumberPattern, ...] = ()
    allow: tuple[NumberPattern, ...] | None = None
    """If set, nobody else is."""

    def refusal(self, caller: str | None) -> str | None:
        """Why ``caller`` is not answered, as a sentence; None when they are."""
        for pattern in self.deny:
            if pattern.matches(caller):
                return f"The caller is on the list of those who are not answered ({pattern.text})."
        if self.allow is not None and not any(pattern.matches(caller) for pattern in self.allow):
            return "Only callers of a list are answered, and the caller is not on it."
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much is answered, and what happens to what is too much."""

    calls: CallCaps = field(default_factory=CallCaps)
    when_full: Alternative = Alternative(reject=FULL_STATUS)
    spend: SpendLimits | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An agent answers, if there is room."""

    agent: str
    route: str
    when_full: Alternative


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """Nobody answers."""

    reason: EndReason
    sip_status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What becomes of a call, before anybody counts how many there are."""

    outcome: Answer | Refuse
    why: tuple[str, ...]
    """A sentence for each thing that was looked at, in order; the last one decided."""


@dataclass(frozen=True, kw_only=True)
class FrontDoor:
    """One configuration, ready to serve: the agents, and who answers what.

    Every name in it exists; `sipagent.config` sees to that.
    """

    profiles: Mapping[str, AgentProfile]
    routes: tuple[Route, ...]
    fingerprint: str
    """Names this configuration in the records of the calls it served."""
    numbers: NumberRules = field(default_factory=NumberRules)
    callers: Callers = field(default_factory=Callers)
    calendars: Mapping[str, Calendar] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    business: Business = field(default_factory=Business)
    variables: Mapping[str, str] = field(default_factory=dict)
    lookups: tuple[Lookup, ...] = ()

    def numbers_of(self, call: IncomingCall) -> tuple[str | None, str | None]:
        """The caller and the dialled number, by the rules of this configuration."""
        return read_numbers(call.sip_headers, self.numbers)

    def decide(self, call: IncomingCall, now: datetime, *, explain: bool = False) -> Decision:
        """What becomes of ``call``, which comes at ``now`` (aware). Numbers are those of ``call``.

        With ``explain`` the reasons name every route that was looked at, not only the one that decided.
        """
        if (denied := self.callers.refusal(call.caller)) is not None:
            refuse = Refuse(reason=EndReason.REJECTED_DENIED, sip_status=DENIED_STATUS)
            return Decision(outcome=refuse, why=(denied,))
        why: list[str] = []
        asked = _Asked(self, call, now)
        for index, route in self._candidates(call.dialled, every=explain):
            missing = asked.missing(route)
            if missing is not None:
                if explain:
                    why.append(f"{route_label(index, route.name)}: {asked.worded(route, missing)}")
                continue
            label = route_label(index, route.name)
            outcome, said = self._outcome(route, label, asked)
            return Decision(outcome=outcome, why=(*why, f"{label}: {said}"))
        nobody = Refuse(reason=EndReason.REJECTED_NO_ROUTE, sip_status=NO_ROUTE_STATUS)
        return Decision(outcome=nobody, why=(*why, "No route matches: SIP status 404."))

    @cached_property
    def _by_number(self) -> tuple[Mapping[str, tuple[int, ...]], tuple[int, ...]]:
        """Routes by the exact number that they want, and those that want none or a pattern, in order."""
        exact: dict[str, list[int]] = {}
        others: list[int] = []
        for index, route in enumerate(self.routes):
            numbers = [pattern.exact for pattern in route.to]
            if route.to and all(number is not None for number in numbers):
                for number in dict.fromkeys(numbers):
                    assert number is not None
                    exact.setdefault(number, []).append(index)
            else:
                others.append(index)
        return {number: tuple(indices) for number, indices in exact.items()}, tuple(others)

    def _candidates(self, dialled: str | None, *, every: bool) -> Iterator[tuple[int, Route]]:
        """The routes that may match, in order."""
        if every:
            yield from enumerate(self.routes)
            return
        exact, others = self._by_number
        mine = exact.get(dialled, ()) if dialled is not None else ()
        for index in sorted((*mine, *others)) if mine else others:
            yield index, self.routes[index]

    def _outcome(self, route: Route, label: str, asked: _Asked) -> tuple[Answer | Refuse, str]:
        agent, reject, reason = route.agent, route.reject, EndReason.REJECTED_BY_ROUTE
        said = ""
        if route.hours is not None and route.when_closed is not None:
            opening = asked.opening(route.hours)
            if not opening.open:
                agent, reject = route.when_closed.agent, route.when_closed.reject
                reason = EndReason.REJECTED_CLOSED
                said = f"{route.hours} is closed ({opening.reason or opening.kind}), so "
        if agent is None:
            assert reject is not None
            return Refuse(reason=reason, sip_status=reject), f"{said}SIP status {reject}."
        when_full = route.when_full or self.limits.when_full
        return Answer(agent=agent, route=label, when_full=when_full), f"{said}{agent} answers."


class _Asked:
    """One call that is held against routes: what they all look at is found once."""

    def __init__(self, door: FrontDoor, call: IncomingCall, now: datetime) -> None:
        self._calendars = door.calendars
        self._call = call
        self._now = now
        self._openings: dict[str, Opening] = {}
        self._headers: dict[str, list[str]] | None = None

    def opening(self, calendar: str) -> Opening:
        """What ``calendar`` says at the moment of the call."""
        if calendar not in self._openings:
            self._openings[calendar] = self._calendars[calendar].opening(self._now)
        return self._openings[calendar]

    def missing(self, route: Route) -> _Missing | None:
        """The condition of ``route`` that does not hold, and of headers which; None when all hold."""
        call = self._call
        if route.to and not matches_any(route.to, call.dialled):
            return "to", ""
        if route.caller and not matches_any(route.caller, call.caller):
            return "from", ""
        for name, wanted_values in route.headers.items() if route.headers else ():
            if not _holds(self._given(name), wanted_values):
                return "header", name
        if route.when is not None and not route.when.holds(self.opening(route.when.calendar)):
            return "when", ""
        return None

    def worded(self, route: Route, missing: _Missing) -> str:
        """A sentence about the condition that is ``missing``."""
        call = self._call
        match missing[0]:
            case "to":
                wanted = ", ".join(pattern.text for pattern in route.to)
                return f"it wants {wanted}, and {call.dialled or 'an unknown number'} was dialled."
            case "from":
                wanted = ", ".join(pattern.text for pattern in route.caller)
                return f"it wants a call from {wanted}, and {call.caller or 'a hidden number'} calls."
            case "header":
                wanted = " or ".join(route.headers[missing[1]])
                return f"the SIP header {missing[1]} does not hold {wanted}."
            case "when":
                assert route.when is not None, "only what is asked for can be missing"
                opening = self.opening(route.when.calendar)
                state = "open" if opening.open else f"closed ({opening.reason or opening.kind})"
                return f"it wants {route.when.calendar} to be {route.when.state}, which is {state}."

    def _given(self, name: str) -> list[str]:
        if self._headers is None:
            self._headers = {}
            for header, value in self._call.sip_headers:
                self._headers.setdefault(header.lower(), []).append(value.strip())
        return self._headers.get(name.lower(), [])


def route_label(index: int, name: str | None) -> str:
    """What the route at ``index``, from 0, is called in records; ``name`` is its own, if it has one."""
    return name or f"route {index + 1}"


def _holds(given: list[str], wanted_values: tuple[str, ...]) -> bool:
    for value in given:
        for wanted in wanted_values:
            if value == wanted or (wanted.endswith("*") and value.startswith(wanted[:-1])):
                return True
    return False
