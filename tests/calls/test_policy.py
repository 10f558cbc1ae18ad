"""Caps on calls: exact, whatever comes and goes in which order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.calls import policy
from sipagent.calls.policy import Admission, CallCaps, Full, Place

CAPS = CallCaps(
    total=5, per_agent={"billing": 2, "front": 4}, reserved={"billing": 1, "vip": 2}, per_caller=3
)
AGENTS = ("front", "billing", "vip", "message-taker")


def took(result: Place | Full) -> Place:
    assert isinstance(result, Place), result
    return result


def cap_of(result: Place | Full) -> str:
    assert isinstance(result, Full)
    assert result.detail.endswith(".")
    return result.cap


def test_places_that_are_kept_for_an_agent_are_nobody_elses() -> None:
    ledger = Admission()
    places = [took(ledger.admit(CAPS, "front", None, 0.0)) for _ in range(2)]
    assert cap_of(ledger.admit(CAPS, "front", None, 0.0)) == "total"
    vips = [took(ledger.admit(CAPS, "vip", None, 0.0)) for _ in range(2)]
    took(ledger.admit(CAPS, "billing", None, 0.0))
    assert cap_of(ledger.admit(CAPS, "vip", None, 0.0)) == "total"
    ledger.release(places[0])
    ledger.release(places[0])
    took(ledger.admit(CAPS, "front", None, 0.0))
    assert cap_of(ledger.admit(CAPS, "front", None, 0.0)) == "total", "given back only once"
    ledger.release(vips[0])
    assert cap_of(ledger.admit(CAPS, "front", None, 0.0)) == "total", "kept for a vip again"


def test_an_agent_and_a_caller_have_caps_of_their_own() -> None:
    ledger = Admission()
    caps = CallCaps(per_agent={"billing": 1}, per_caller=2)
    took(ledger.admit(caps, "billing", "+15550100123", 0.0))
    assert cap_of(ledger.admit(caps, "billing", "+15550100124", 0.0)) == "per_agent"
    second = took(ledger.admit(caps, "front", "+15550100123", 0.0))
    assert cap_of(ledger.admit(caps, "front", "+15550100123", 0.0)) == "per_caller"
    took(ledger.admit(caps, "front", None, 0.0))
    ledger.release(second)
    took(ledger.admit(caps, "front", "+15550100123", 0.0))


def test_a_minute_slides() -> None:
    ledger = Admission()
    caps = CallCaps(per_minute=2, per_caller_per_minute=1)
    took(ledger.admit(caps, "front", "+15550100123", 0.0))
    assert cap_of(ledger.admit(caps, "front", "+15550100123", 30.0)) == "per_caller_per_minute"
    took(ledger.admit(caps, "front", "+15550100124", 31.0))
    assert cap_of(ledger.admit(caps, "front", "+15550100125", 59.9)) == "per_minute"
    assert cap_of(ledger.admit(caps, "front", "+15550100125", 60.0)) == "per_caller_per_minute", "it tried"
    took(ledger.admit(caps, "front", "+15550100126", 60.0))
    assert cap_of(ledger.admit(caps, "front", "+15550100127", 60.1)) == "per_minute"


def test_a_flooder_keeps_nobody_else_out() -> None:
    ledger = Admission()
    caps = CallCaps(total=3, per_minute=5, per_caller=1, per_caller_per_minute=2)
    for second in range(40):
        ledger.admit(caps, "front", "+15550100123", second / 10)
    took(ledger.admit(caps, "front", "+15550100124", 5.0))
    took(ledger.admit(caps, "front", "+15550100125", 5.0))
    assert cap_of(ledger.admit(caps, "front", "+15550100126", 5.0)) == "total"
    assert len(ledger._recent) == 3, "refusals do not count"


def test_callers_without_a_number_are_not_one_caller() -> None:
    ledger = Admission()
    caps = CallCaps(per_caller=1, per_caller_per_minute=1)
    for _ in range(3):
        took(ledger.admit(caps, "front", None, 0.0))


def test_what_is_remembered_of_callers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "_CALLERS_REMEMBERED", 100)
    ledger = Admission()
    caps = CallCaps(per_minute=10_000, per_caller=3, per_caller_per_minute=2)
    for number in range(5_000):
        place = took(ledger.admit(caps, "front", f"+1555{number:07}", number / 100))
        ledger.release(place)
    assert len(ledger._recent_of) == 100
    assert not ledger._by_caller
    ledger.admit(caps, "front", None, 200.0)
    assert len(ledger._recent) == 1, "what is older than a minute is forgotten"


@given(
    calls=st.lists(st.tuples(st.integers(0, 40), st.sampled_from([None, "a", "b", "c"])), max_size=60),
    most=st.integers(1, 4),
    mine=st.integers(1, 3),
)
def test_no_minute_has_more_calls_than_allowed(
    calls: list[tuple[int, str | None]], most: int, mine: int
) -> None:
    ledger = Admission()
    caps = CallCaps(per_minute=most, per_caller_per_minute=mine)
    answered: list[tuple[int, str | None]] = []
    now = 0
    for pause, caller in calls:
        now += pause
        before = sum(now - at < 60 for at, _ in answered)
        result = ledger.admit(caps, "front", caller, now)
        if isinstance(result, Place):
            answered.append((now, caller))
            assert before < most
            assert caller is None or sum(now - at < 60 for at, who in answered if who == caller) <= mine
        elif result.cap == "per_minute":
            assert before >= most, "refused although there was room"


def test_who_answers_instead_needs_no_place_of_the_total() -> None:
    ledger = Admission()
    caps = CallCaps(total=1, per_agent={"message-taker": 1})
    took(ledger.admit(caps, "front", None, 0.0))
    instead = took(ledger.admit(caps, "message-taker", None, 0.0, alternative=True))
    assert cap_of(ledger.admit(caps, "message-taker", None, 0.0, alternative=True)) == "per_agent"
    ledger.release(instead)
    took(ledger.admit(caps, "message-taker", None, 0.0, alternative=True))
    assert cap_of(ledger.admit(caps, "front", None, 0.0)) == "total"


def test_who_answers_instead_may_have_a_bound_of_its_own() -> None:
    ledger = Admission()
    caps = CallCaps(total=1)
    took(ledger.admit(caps, "machine", None, 0.0))
    instead = [took(ledger.admit(caps, "machine", None, 0.0, alternative=True, most=2)) for _ in range(2)]
    full = ledger.admit(caps, "machine", None, 0.0, alternative=True, most=2)
    assert isinstance(full, Full)
    assert full.cap == "when_full"
    assert "machine has 2 calls for which there was no other place" in full.detail
    ledger.release(instead[0])
    took(ledger.admit(caps, "machine", None, 0.0, alternative=True, most=2))
    assert cap_of(ledger.admit(caps, "machine", None, 0.0, alternative=True, most=2)) == "when_full"
    took(ledger.admit(caps, "machine", None, 0.0, alternative=True, most=3))
    took(ledger.admit(caps, "machine", None, 0.0, alternative=True))


def test_calls_that_came_the_usual_way_do_not_count_towards_that_bound() -> None:
    ledger = Admission()
    for _ in range(5):
        took(ledger.admit(CallCaps(), "machine", None, 0.0))
    took(ledger.admit(CallCaps(), "machine", None, 0.0, alternative=True, most=1))


def test_who_answers_instead_counts_towards_the_minute() -> None:
    ledger = Admission()
    caps = CallCaps(total=1, per_minute=2)
    took(ledger.admit(caps, "front", None, 0.0))
    assert cap_of(ledger.admit(caps, "front", None, 1.0)) == "total"
    took(ledger.admit(caps, "message-taker", None, 1.0, alternative=True))
    assert cap_of(ledger.admit(caps, "front", None, 2.0)) == "per_minute"


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["admit", "release", "release again"]),
        st.sampled_from(AGENTS),
        st.sampled_from([None, "+15550100123", "+15550100124"]),
        st.integers(0, 30),
    ),
    max_size=80,
)


@given(steps=STEPS)
def test_no_cap_is_ever_passed_and_no_place_is_lost(
    steps: list[tuple[str, str, str | None, int]],
) -> None:
    ledger = Admission()
    held: list[Place] = []
    gone: list[Place] = []
    for action, agent, caller, which in steps:
        if action == "admit":
            result = ledger.admit(CAPS, agent, caller, 0.0)
            if isinstance(result, Place):
                held.append(result)
            else:
                by_agent = sum(place.agent == agent for place in held)
                by_caller = sum(place.caller == caller for place in held)
                kept = sum(
                    max(0, places - sum(place.agent == other for place in held))
                    for other, places in CAPS.reserved.items()
                    if other != agent
                )
                assert (
                    by_agent >= CAPS.per_agent.get(agent, 99)
                    or (caller is not None and by_caller >= 3)
                    or len(held) + kept >= 5
                ), "refused although there was room"
        elif action == "release" and held:
            place = held.pop(which % len(held))
            ledger.release(place)
            gone.append(place)
        elif gone:
            ledger.release(gone[which % len(gone)])
        assert len(held) <= 5
        for name in AGENTS:
            assert ledger.of_agent(name) == sum(place.agent == name for place in held)
            assert ledger.of_agent(name) <= CAPS.per_agent.get(name, 5)
    for place in held:
        ledger.release(place)
    assert not any(ledger.of_agent(name) for name in AGENTS)
    took(ledger.admit(CAPS, "front", "+15550100123", 0.0))
