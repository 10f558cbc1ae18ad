"""Asks a configuration who would answer a call, before anybody calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo

from sipagent.calls.incoming import IncomingCall
from sipagent.calls.numbers import ANONYMOUS, as_number
from sipagent.calls.routing import Alternative, Answer, FrontDoor, Refuse, Route
from sipagent.carrier.settings import CarrierSettings
from sipagent.config.telling import describe_plan
from sipagent.identifiers import CallId


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A call that might come. Numbers are read as those of a real call are."""

    at: datetime
    """An aware moment."""
    to: str | None = None
    """The dialled number; None leaves it to the headers."""
    caller: str | None = None
    """The number that calls, or ``anonymous``; None leaves it to the headers."""
    headers: tuple[tuple[str, str], ...] = ()
    """SIP headers, names and values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarThen:
    """What a calendar says at the moment that was asked about."""

    open: bool
    until: datetime | None
    """In the calendar's zone; None when nothing changes for a long time."""
    reason: str
    """``New Year's Day``; empty for ordinary hours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteVerdict:
    """Who would answer, and why."""

    at: datetime
    """In the zone of the business."""
    caller: str | None
    dialled: str | None
    agent: str | None
    """None when nobody answers."""
    route: str | None
    """The route that decided; None when none matched, or the caller is not answered at all."""
    reason: str | None
    """Why nobody answers, as the call's record says it."""
    sip_status: int | None
    """With which the call is refused."""
    why: tuple[str, ...]
    """A sentence for each thing that was looked at, in order; the last one decided."""
    when_full: str | None
    """What becomes of the call when there is no place for it; None where nobody answers anyhow."""
    plan: str | None = None
    """How a carrier of the configuration answers it, step by step; None where there is none, or nobody
    answers."""
    calendars: Mapping[str, CalendarThen] = field(default_factory=dict)


def zone_of(door: FrontDoor) -> tzinfo:
    """The zone of the business: in which moments are meant that name none."""
    return door.business.timezone


def ask(door: FrontDoor, question: Question, carriers: CarrierSettings | None = None) -> RouteVerdict:
    """What becomes of the call in ``question``, if there is a place for it; ``carriers`` are those of the
    same configuration. Raises nothing."""
    call = call_of(door, question)
    decision = door.decide(call, question.at, explain=True)
    outcome = decision.outcome
    at = question.at.astimezone(zone_of(door))
    calendars = {}
    for name, calendar in door.calendars.items():
        opening = calendar.opening(question.at)
        calendars[name] = CalendarThen(open=opening.open, until=opening.until, reason=opening.reason)
    match outcome:
        case Answer():
            return RouteVerdict(
                at=at,
                caller=call.caller,
                dialled=call.dialled,
                agent=outcome.agent,
                route=outcome.route,
                reason=None,
                sip_status=None,
                why=decision.why,
                when_full=_instead(outcome.when_full),
                plan=None if carriers is None else describe_plan(carriers.plan_of(outcome.route)),
                calendars=calendars,
            )
        case Refuse():
            return RouteVerdict(
                at=at,
                caller=call.caller,
                dialled=call.dialled,
                agent=None,
                route=None,
                reason=outcome.reason,
                sip_status=outcome.sip_status,
                why=decision.why,
                when_full=None,
                calendars=calendars,
            )


def call_of(door: FrontDoor, question: Question) -> IncomingCall:
    """The call of ``question``, as its webhook would tell it. Raises nothing."""
    call = IncomingCall(
        call_id=CallId("rtc_question"),
        webhook_id="wh_question",
        caller=None,
        dialled=None,
        sip_call_id=None,
        sip_headers=question.headers,
        media_security=None,
    )
    caller, dialled = door.numbers_of(call)
    country = door.numbers.default_country
    if question.caller is not None:
        caller = None if question.caller.lower() == ANONYMOUS else as_number(question.caller, country)
    if question.to is not None:
        dialled = as_number(question.to, country)
    return IncomingCall(
        call_id=call.call_id,
        webhook_id=call.webhook_id,
        caller=caller,
        dialled=dialled,
        sip_call_id=None,
        sip_headers=question.headers,
        media_security=None,
    )


def describe_route(route: Route) -> str:
    """``calls to +15550100000 when office is open: front-desk answers``."""
    words = ["calls" if route.caller or route.to or route.headers or route.when else "all other calls"]
    if route.to:
        words.append("to " + " or ".join(pattern.text for pattern in route.to))
    if route.caller:
        words.append("from " + " or ".join(pattern.text for pattern in route.caller))
    for name, values in route.headers.items():
        words.append(f"with {name} {' or '.join(values)}")
    if route.when is not None:
        words.append(f"when {route.when.calendar} is {route.when.state}")
    outcome = _instead(Alternative(agent=route.agent, reject=route.reject))
    if route.when_closed is not None:
        outcome += f"; when {route.hours} is closed, {_instead(route.when_closed)}"
    if route.when_full is not None:
        outcome += f"; when full, {_instead(route.when_full)}"
    return f"{' '.join(words)}: {outcome}"


def _instead(alternative: Alternative) -> str:
    if alternative.agent is not None:
        most = "" if alternative.calls is None else f", {alternative.calls} such calls at a time"
        return f"{alternative.agent} answers{most}"
    return f"SIP status {alternative.reject}"
