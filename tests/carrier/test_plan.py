"""Plans: what follows what, and that nothing goes round in a circle or ends in silence."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.carrier.base import (
    ConnectStream,
    DialNumber,
    DialSip,
    HangUp,
    Instruction,
    SayAndHangUp,
    StepOutcome,
    StepResult,
)
from sipagent.carrier.desk import tokens_of
from sipagent.carrier.plan import AFTER_THE_LAST, Planner, conference_name, goes_on, name_of, refusal
from sipagent.carrier.settings import (
    AnswerBySip,
    AnswerByStream,
    AnswerPlan,
    CallNumber,
    CarrierSettings,
    SayMessage,
    Step,
)
from tests.carrier.legs import (
    CONTROL_LEG,
    DIALLED,
    LEG,
    NOW_S,
    PERSON,
    PLAN,
    TEXML_LEG,
    WORDS,
    settings,
    token,
)

FAILURES: tuple[StepResult, ...] = ("busy", "no_answer", "failed", "canceled", "rejected")
SIP_FAULTS = (400, 403, 404, 408, 480, 486, 487, 488, 500, 503, 603, None)


def planner(configured: CarrierSettings | None = None) -> Planner:
    configured = configured or settings()
    return Planner(configured, tokens_of(configured))


def after(result: StepResult, *, step: int = 0, **changes: object) -> Instruction | None:
    outcome = StepOutcome(leg=LEG, token=token(step=step), result=result)
    return planner().after(replace(outcome, **changes), NOW_S)  # type: ignore[arg-type]


def test_the_steps_in_order() -> None:
    first = planner().begin(LEG, "route 1", NOW_S)
    assert isinstance(first, DialSip)
    assert first.target.project == "proj_demo"
    second, third, fourth = after("failed"), after("failed", step=1), after("failed", step=2)
    assert isinstance(second, ConnectStream)
    assert isinstance(third, DialNumber)
    assert (third.number, third.caller_id) == (PERSON, DIALLED)
    assert isinstance(fourth, SayAndHangUp)
    assert (fourth.words, fourth.language) == (WORDS, "en-GB")


@pytest.mark.parametrize("result", FAILURES)
@pytest.mark.parametrize("sip_status", SIP_FAULTS)
def test_every_fault_of_a_sip_leg_goes_on(result: StepResult, sip_status: int | None) -> None:
    assert isinstance(after(result, sip_status=sip_status), ConnectStream)


def test_whoever_was_answered_is_done() -> None:
    assert isinstance(after("ended"), HangUp)
    assert after("ended", leg_follows=True) is None
    assert after("transferred") is None
    assert all(after(result, caller_gone=True) is None for result in get_args(StepResult))
    assert [result for result in get_args(StepResult) if not goes_on(result)] == ["ended", "transferred"]


@pytest.mark.parametrize("step", [3, 4, AFTER_THE_LAST])
def test_behind_the_last_step_are_its_words(step: int) -> None:
    """A reload made the plan shorter, or a transfer by the carrier failed."""
    said = after("failed", step=step)
    assert isinstance(said, SayAndHangUp)
    assert said.words == WORDS


STEPS = st.lists(
    st.one_of(
        st.just(AnswerBySip()),
        st.just(AnswerByStream()),
        st.just(CallNumber(number=PERSON)),
    ),
    max_size=6,
)


@given(steps=STEPS, sip=st.booleans(), results=st.lists(st.sampled_from(FAILURES), min_size=10, max_size=10))
def test_every_plan_ends_with_words(steps: list[Step], sip: bool, results: list[StepResult]) -> None:
    plan = AnswerPlan(steps=(*steps, SayMessage(words=WORDS)))
    configured = settings(plan=plan) if sip else settings(plan=plan, sip=None)
    plans, tokens = Planner(configured, tokens_of(configured)), tokens_of(configured)
    instruction: Instruction | None = plans.begin(LEG, "r", NOW_S)
    for result in results[: len(steps)]:
        if isinstance(instruction, SayAndHangUp):
            break
        assert isinstance(instruction, DialSip | ConnectStream | DialNumber)
        assert sip or not isinstance(instruction, DialSip)
        carried = tokens.read(instruction.callbacks.token, NOW_S)
        instruction = plans.after(StepOutcome(leg=LEG, token=carried, result=result), NOW_S)
    assert isinstance(instruction, SayAndHangUp)


def test_a_route_has_a_plan_of_its_own() -> None:
    long = "a label of a route that is much too long to travel in every token"
    own = AnswerPlan(steps=(CallNumber(number=PERSON),))
    plans = planner(settings(plans={long: own}))
    called = plans.begin(LEG, long, NOW_S)
    assert isinstance(called, DialNumber)
    tokens = tokens_of(settings())
    outcome = StepOutcome(leg=LEG, token=tokens.read(called.callbacks.token, NOW_S), result="busy")
    said = plans.after(outcome, NOW_S)
    assert isinstance(said, SayAndHangUp)
    assert "sorry" in said.words
    assert isinstance(plans.begin(LEG, "another", NOW_S), DialSip)


def test_the_same_step_again() -> None:
    plans = planner()
    assert isinstance(plans.again(token(step=1), NOW_S), ConnectStream)


def test_a_refer_goes_on_where_the_caller_was() -> None:
    plans = planner(settings(caller_id="+15550100111"))
    sent = plans.refer(token(step=0), "tel:+15550100177", NOW_S)
    assert isinstance(sent, DialNumber)
    assert (sent.number, sent.caller_id) == ("tel:+15550100177", "+15550100111")
    carried = tokens_of(settings()).read(sent.callbacks.token, NOW_S)
    assert carried.step == 0
    assert isinstance(plans.after(StepOutcome(leg=LEG, token=carried, result="busy"), NOW_S), ConnectStream)


@pytest.mark.parametrize(
    ("leg", "base"),
    [
        (LEG, "https://phone.example.com/carriers/twilio"),
        (TEXML_LEG, "https://phone.example.com/carriers/telnyx/texml"),
        (CONTROL_LEG, "https://phone.example.com/carriers/telnyx/call-control"),
    ],
)
def test_callbacks(leg: object, base: str) -> None:
    assert leg in (LEG, TEXML_LEG, CONTROL_LEG)
    callbacks = planner().callbacks(leg, "r", 2, NOW_S, "offer")
    assert callbacks.url("next") == f"{base}/next?t={callbacks.token}"
    carrier = "twilio" if leg is LEG else "telnyx"
    assert callbacks.media_url == f"wss://phone.example.com/carriers/{carrier}/media"
    assert callbacks.place == "offer"
    assert tokens_of(settings()).read(callbacks.token, NOW_S).offer == "offer"


def test_refusals() -> None:
    assert refusal(486).busy
    assert refusal(600).busy
    assert not refusal(603).busy
    assert not refusal(404).busy


def test_names() -> None:
    assert [name_of(step) for step in PLAN.steps] == ["sip", "stream", "call", "say"]
    assert planner().step_of(token(step=1)) == AnswerByStream()
    assert planner().step_of(token(step=AFTER_THE_LAST)) == PLAN.steps[-1]
    assert conference_name("x") == "sipagent-x"
