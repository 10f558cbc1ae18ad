"""Who answers which call, and why."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.calls.calendar import Calendar, Closure, Span
from sipagent.calls.endings import EndReason
from sipagent.calls.incoming import IncomingCall
from sipagent.calls.numbers import NumberPattern, NumberRules
from sipagent.calls.policy import CallCaps
from sipagent.calls.profile import AgentProfile
from sipagent.calls.reception import Received, Reception
from sipagent.calls.routing import Alternative, Answer, Callers, FrontDoor, Limits, Refuse, Route, When
from sipagent.calls.spend import SpendLimits
from sipagent.identifiers import CallId
from sipagent.realtime import RealtimeAgent, RealtimeSessionModelSettings

DAY = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
NIGHT = datetime(2026, 11, 20, 22, 0, tzinfo=UTC)
HOLIDAY = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
OFFICE = Calendar(
    zone=UTC,
    week=((Span(begin_min=8 * 60, end_min=18 * 60),),) * 7,
    closures=(Closure(first=HOLIDAY.date(), reason="Founders' day"),),
)
CALL = IncomingCall(
    call_id=CallId("rtc_1"),
    webhook_id="wh_1",
    caller="+15550100123",
    dialled="+15550100000",
    sip_call_id=None,
    sip_headers=(("X-Tenant", "acme-north"),),
    media_security=None,
)


def numbers(*texts: str) -> tuple[NumberPattern, ...]:
    return tuple(map(NumberPattern, texts))


def door(*routes: Route, callers: Callers | None = None, limits: Limits | None = None) -> FrontDoor:
    named = [route.agent for route in routes]
    for route in routes:
        named += [each.agent for each in (route.when_closed, route.when_full) if each is not None]
    if limits is not None:
        named.append(limits.when_full.agent)
    return FrontDoor(
        profiles={
            name: AgentProfile(name=name, agent=RealtimeAgent(name=name), settings={})
            for name in named
            if name is not None
        },
        routes=routes,
        fingerprint="c0ffee",
        calendars={"office": OFFICE},
        callers=callers or Callers(),
        limits=limits or Limits(),
    )


def who(served: FrontDoor, call: IncomingCall = CALL, now: datetime = DAY) -> str | int:
    outcome = served.decide(call, now).outcome
    plain = served.decide(call, now, explain=True).outcome
    assert plain == outcome, "explaining changes nothing"
    return outcome.agent if isinstance(outcome, Answer) else outcome.sip_status


def test_the_first_route_that_matches_wins() -> None:
    served = door(
        Route(to=numbers("+15550100000"), agent="front"),
        Route(to=numbers("+15550100001", "+15550100002"), agent="billing"),
        Route(agent="all"),
        Route(to=numbers("+15550100003"), agent="never"),
    )
    assert who(served) == "front"
    assert who(served, replace(CALL, dialled="+15550100002")) == "billing"
    assert who(served, replace(CALL, dialled="+15550100003")) == "all"
    assert who(served, replace(CALL, dialled=None)) == "all"


def test_nobody_answers_without_a_route() -> None:
    served = door(Route(to=numbers("+15550100001"), agent="front"))
    decision = served.decide(CALL, DAY)
    assert decision.outcome == Refuse(reason=EndReason.REJECTED_NO_ROUTE, sip_status=404)


@pytest.mark.parametrize(
    ("route", "matches"),
    [
        (Route(agent="a", caller=numbers("+1555*")), True),
        (Route(agent="a", caller=numbers("+1556*", "anonymous")), False),
        (Route(agent="a", headers={"x-tenant": ("acme-north",)}), True),
        (Route(agent="a", headers={"X-Tenant": ("other", "acme-*")}), True),
        (Route(agent="a", headers={"X-Tenant": ("acme",)}), False),
        (Route(agent="a", headers={"X-Tenant": ("acme-*",), "X-Other": ("1",)}), False),
        (Route(agent="a", to=numbers("+1555010*")), True),
        (Route(agent="a", when=When(calendar="office", state="open")), True),
        (Route(agent="a", when=When(calendar="office", state="closed")), False),
    ],
)
def test_every_condition_must_hold(route: Route, matches: bool) -> None:
    assert who(door(route, Route(agent="rest"))) == ("a" if matches else "rest")


def test_the_calendar_decides_by_the_moment_of_the_call() -> None:
    served = door(
        Route(agent="day", when=When(calendar="office", state="open")),
        Route(agent="night", when=When(calendar="office", state="closed")),
    )
    assert [who(served, now=now) for now in (DAY, NIGHT, HOLIDAY)] == ["day", "night", "night"]
    hours = door(Route(agent="day", hours="office", when_closed=Alternative(reject=480)))
    assert [who(hours, now=now) for now in (DAY, NIGHT)] == ["day", 480]
    refused = hours.decide(CALL, HOLIDAY)
    assert refused.outcome == Refuse(reason=EndReason.REJECTED_CLOSED, sip_status=480)
    assert "Founders' day" in refused.why[-1]


def test_a_route_may_refuse() -> None:
    decision = door(Route(name="robots", reject=603)).decide(CALL, DAY)
    assert decision.outcome == Refuse(reason=EndReason.REJECTED_BY_ROUTE, sip_status=603)
    assert decision.why == ("robots: SIP status 603.",)


@pytest.mark.parametrize(
    ("callers", "caller", "answered"),
    [
        (Callers(deny=numbers("+1900*")), "+19005550100", False),
        (Callers(deny=numbers("+1900*")), "+15550100123", True),
        (Callers(deny=numbers("anonymous")), None, False),
        (Callers(allow=numbers("+1555*")), "+15550100123", True),
        (Callers(allow=numbers("+1555*")), "+4930123456", False),
        (Callers(allow=numbers("+1555*"), deny=numbers("+15550100123")), "+15550100123", False),
    ],
)
def test_some_callers_are_not_answered(callers: Callers, caller: str | None, answered: bool) -> None:
    outcome = door(Route(agent="front"), callers=callers).decide(replace(CALL, caller=caller), DAY).outcome
    if answered:
        assert isinstance(outcome, Answer)
    else:
        assert outcome == Refuse(reason=EndReason.REJECTED_DENIED, sip_status=603)


def test_each_route_says_why_it_does_not_match() -> None:
    served = door(
        Route(name="other number", to=numbers("+15550100001"), agent="a"),
        Route(name="others", caller=numbers("+49*"), agent="a"),
        Route(headers={"X-Tenant": ("x",)}, agent="a"),
        Route(name="nights", when=When(calendar="office", state="closed"), agent="a"),
        Route(name="days", agent="b"),
    )
    assert served.decide(CALL, DAY, explain=True).why == (
        "other number: it wants +15550100001, and +15550100000 was dialled.",
        "others: it wants a call from +49*, and +15550100123 calls.",
        "route 3: the SIP header X-Tenant does not hold x.",
        "nights: it wants office to be closed, which is open.",
        "days: b answers.",
    )


def test_numbers_are_read_by_the_rules_of_the_configuration() -> None:
    call = replace(
        CALL, sip_headers=(("X-Dialled", "<sip:030123456@pbx.test>"), ("From", "<sip:100@pbx.test>"))
    )
    rules = NumberRules(dialled_headers=("X-Dialled",), caller_headers=("From",), default_country="DE")
    served = replace(door(Route(agent="front")), numbers=rules)
    assert served.numbers_of(call) == ("100", "+4930123456")


def test_two_hundred_routes_cost_little() -> None:
    many = [
        Route(to=numbers(f"+1555{number:07d}"), agent="front", when=When(calendar="office", state="open"))
        for number in range(200)
    ]
    served = door(*many, Route(agent="rest"))
    assert who(served, replace(CALL, dialled="+15550000199")) == "front"
    began = time.process_time()
    for _ in range(200):
        served.decide(replace(CALL, dialled="+15550000199"), DAY)
    assert (time.process_time() - began) / 200 < 0.005, "a wide bound; the bench has the number"


def test_routes_that_no_index_helps_with_cost_little_too() -> None:
    callers = [Route(caller=numbers(f"+1666{number:04d}*"), agent="front") for number in range(100)]
    tenants = [Route(headers={"X-Tenant": (f"tenant-{number}",)}, agent="front") for number in range(100)]
    served = door(*callers, *tenants, Route(agent="rest"))
    assert who(served) == "rest"
    began = time.process_time()
    for _ in range(100):
        served.decide(CALL, DAY)
    assert (time.process_time() - began) / 100 < 0.005, "a wide bound"


def test_a_header_of_any_name_is_explained() -> None:
    served = door(Route(headers={"When": ("now",)}, agent="a"), Route(headers={"to": ("b",)}, agent="b"))
    assert served.decide(CALL, DAY, explain=True).why[:2] == (
        "route 1: the SIP header When does not hold now.",
        "route 2: the SIP header to does not hold b.",
    )


PATTERNS = st.sampled_from(["+15550100000", "+15550100001", "+1555*", "*", "anonymous", "100"])
SOME = st.lists(PATTERNS, max_size=2).map(lambda texts: numbers(*texts))
ROUTES = st.builds(
    Route,
    agent=st.sampled_from(["a", "b"]),
    to=SOME,
    caller=SOME,
    headers=st.sampled_from([{}, {"X-Tenant": ("acme-*",)}, {"X-Tenant": ("other",)}]),
    when=st.sampled_from(
        [None, When(calendar="office", state="open"), When(calendar="office", state="holiday")]
    ),
)
NUMBERS = st.sampled_from([None, "+15550100000", "+15550100001", "100", "reception"])


def matches(route: Route, call: IncomingCall, now: datetime) -> bool:
    """What a route means, said as plainly as can be."""

    def one_of(patterns: tuple[NumberPattern, ...], number: str | None) -> bool:
        return not patterns or any(pattern.matches(number) for pattern in patterns)

    tenants = [value for wanted in route.headers.values() for value in wanted]
    return (
        one_of(route.to, call.dialled)
        and one_of(route.caller, call.caller)
        and "other" not in tenants
        and (route.when is None or route.when.holds(OFFICE.opening(now)))
    )


@given(
    routes=st.lists(ROUTES, max_size=8),
    caller=NUMBERS,
    dialled=NUMBERS,
    now=st.sampled_from([DAY, NIGHT, HOLIDAY]),
)
def test_whatever_the_routes_the_first_that_matches_wins(
    routes: list[Route], caller: str | None, dialled: str | None, now: datetime
) -> None:
    call = replace(CALL, caller=caller, dialled=dialled)
    served = door(*routes)
    first = next((route.agent for route in routes if matches(route, call, now)), 404)
    assert who(served, call, now) == first
    explained = served.decide(call, now, explain=True)
    assert explained.why[-1] == served.decide(call, now).why[-1]
    looked_at = [matches(route, call, now) for route in routes]
    assert len(explained.why) == (looked_at.index(True) + 1 if any(looked_at) else len(routes) + 1)


# Reception ------------------------------------------------------------------------------------------


def receive(
    reception: Reception, served: FrontDoor, caller: str = "+15550100123", at: float = 0.0
) -> Received:
    return reception.receive(served, replace(CALL, caller=caller), now=DAY, at=at)


def test_a_place_is_taken_and_given_back() -> None:
    served = door(Route(agent="front"), limits=Limits(calls=CallCaps(total=1)))
    reception = Reception(lambda: DAY)
    first = receive(reception, served)
    assert first.agent == "front"
    second = receive(reception, served)
    assert second.refusal is not None
    assert (second.refusal.reason, second.refusal.sip_status) == (EndReason.REJECTED_FULL, 486)
    reception.leave(second)
    reception.leave(first)
    reception.leave(first)
    assert receive(reception, served).agent == "front"
    assert receive(reception, served).agent is None


def test_another_agent_answers_when_it_is_full() -> None:
    limits = Limits(calls=CallCaps(total=1, per_agent={"machine": 1}), when_full=Alternative(agent="machine"))
    served = door(Route(agent="front"), limits=limits)
    reception = Reception(lambda: DAY)
    received = [receive(reception, served) for _ in range(3)]
    assert [each.agent for each in received] == ["front", "machine", None]
    assert received[1].full is not None
    assert received[2].refusal is not None


def test_the_agent_that_answers_when_it_is_full_has_no_more_calls_than_it_may() -> None:
    limits = Limits(calls=CallCaps(total=1), when_full=Alternative(agent="machine", calls=2))
    served = door(Route(agent="front"), limits=limits)
    reception = Reception(lambda: DAY)
    received = [receive(reception, served) for _ in range(4)]
    assert [each.agent for each in received] == ["front", "machine", "machine", None]
    refusal, full = received[3].refusal, received[3].full
    assert refusal is not None
    assert full is not None
    assert (refusal.reason, refusal.sip_status, full.cap) == (EndReason.REJECTED_FULL, 486, "total")
    assert "All 1 places are taken" in refusal.detail
    assert "machine has 2 calls" in refusal.detail
    reception.leave(received[1])
    assert receive(reception, served).agent == "machine"
    reception.leave(received[0])
    assert receive(reception, served).agent == "front", "whoever answers instead takes no place of the total"


def test_a_flood_is_refused_by_whoever_it_comes_from() -> None:
    limits = Limits(calls=CallCaps(per_caller_per_minute=1), when_full=Alternative(agent="machine"))
    served = door(Route(agent="front"), limits=limits)
    reception = Reception(lambda: DAY)
    assert receive(reception, served).agent == "front"
    flooded = receive(reception, served)
    assert flooded.refusal is not None
    assert flooded.refusal.reason is EndReason.REJECTED_FLOOD
    assert receive(reception, served, caller="+15550100124").agent == "front"


def test_nobody_is_answered_when_the_day_has_cost_enough() -> None:
    spend = SpendLimits(per_day=1.0)
    served = door(Route(agent="front"), limits=Limits(spend=spend))
    reception = Reception(lambda: DAY)
    received = receive(reception, served)
    assert reception.brake(served, received) is not None
    reception.day.add(1.0, DAY, UTC)
    refused = receive(reception, served)
    assert refused.refusal is not None
    assert (refused.refusal.reason, refused.refusal.sip_status) == (EndReason.REJECTED_SPENT, 480)
    assert reception.brake(served, refused) is None


def test_places_outlive_the_configuration_that_gave_them() -> None:
    reception = Reception(lambda: DAY)
    before = receive(reception, door(Route(agent="front")))
    after = door(Route(agent="front"), limits=Limits(calls=CallCaps(total=1)))
    assert receive(reception, after).agent is None
    reception.leave(before)
    assert receive(reception, after).agent == "front"


def test_a_brake_that_cannot_hold_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    served = door(Route(agent="front"), limits=Limits(spend=SpendLimits(per_call=1.0)))
    settings: RealtimeSessionModelSettings = {"model_name": "one of tomorrow"}
    served = replace(served, profiles={"front": replace(served.profiles["front"], settings=settings)})
    reception = Reception(lambda: DAY)
    assert reception.brake(served, receive(reception, served)) is not None
    assert "one of tomorrow" in caplog.text
