from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.calls.carrier_says import TOLERANCE_S, carrier_says
from sipagent.calls.endings import EndReason
from sipagent.calls.lifecycle import CallState
from sipagent.store import CallRecord, CarrierReported, MemoryCallStore
from tests.store.facts import CALL, LEG, ended, opened, report, state

PERSON = "CA0000000000000000000000000000000002"


async def record(
    reason: str, *reports: CarrierReported, leg: str | None = LEG, talked: bool = True
) -> CallRecord:
    """A call of a minute that ended for ``reason``, with what its carrier reported."""
    store = MemoryCallStore()
    await store.apply([opened(carrier="twilio", leg=leg), ended(reason, second=60), *reports])
    if talked:
        await store.apply([state(1, CallState.TALKING.value)])
    if reason == "transferred":
        await store.apply([state(57, CallState.TRANSFERRING.value)])
    found = await store.call(CALL)
    assert found is not None
    return found


async def objections(reason: str, *reports: CarrierReported, talked: bool = True) -> list[str]:
    return [one.objection for one in carrier_says(await record(reason, *reports, talked=talked))]


def data(**fields: Any) -> str:
    return json.dumps(fields)


@pytest.mark.parametrize("reason", list(EndReason))
async def test_a_leg_that_ends_with_its_call_agrees_with_every_ending_but_a_transfer(reason: str) -> None:
    found = await objections(reason, report("answered", event_id="e1", second=0), report("completed"))
    assert found == (["nobody_reached"] if reason == EndReason.TRANSFERRED else [])


@pytest.mark.parametrize("reason", list(EndReason))
async def test_without_reports_nothing_is_said(reason: str) -> None:
    assert await objections(reason) == []
    assert await objections(reason, report("answered", second=1)) == []


@pytest.mark.parametrize("reason", ["caller_hung_up", "caller_gone", "transfer_abandoned"])
async def test_a_caller_whose_leg_goes_on_has_not_hung_up(reason: str) -> None:
    found = carrier_says(await record(reason, report("completed", second=94)))
    assert [(one.objection, one.words) for one in found] == [
        ("caller_stayed", "The caller had not hung up: their leg went on for 34 seconds.")
    ]
    assert await objections(reason, report("completed", second=60 + TOLERANCE_S)) == []


async def test_a_call_that_we_hung_up_and_whose_leg_goes_on() -> None:
    assert await objections("agent_hung_up", report("completed", second=94)) == ["leg_went_on"]
    # After these, another way to answer follows.
    assert await objections("connection_lost", report("completed", second=94)) == []
    assert await objections("rejected_full", report("completed", second=94), talked=False) == []


@pytest.mark.parametrize("name", ["hangup_source", "HangupSource"])
async def test_who_hung_up_where_the_carrier_says_it(name: str) -> None:
    by_callee = report("completed", data=data(detail={name: "callee"}))
    assert await objections("caller_hung_up", by_callee) == ["not_the_caller"]
    assert await objections("agent_hung_up", by_callee) == []
    by_caller = report("completed", data=data(detail={name: "caller"}))
    assert await objections("caller_hung_up", by_caller) == []


async def test_a_conversation_that_the_carrier_does_not_count() -> None:
    failed = report("failed", data=data(sip_status=503))
    (found,) = carrier_says(await record("agent_hung_up", failed))
    assert found.objection == "not_counted"
    assert found.words.endswith("the carrier calls it failed (SIP 503).")
    assert await objections("caller_gone", report("canceled"), talked=False) == []


async def test_a_transfer_whose_leg_goes_on_agrees() -> None:
    assert await objections("transferred", report("completed", second=600)) == []


async def test_a_transfer_to_somebody_who_is_not_reached() -> None:
    busy = report("busy", event_id="e2", second=63, leg=PERSON, parent=LEG, data=data(sip_status=486))
    (found,) = carrier_says(await record("transferred", busy, report("completed", second=64)))
    assert found.objection == "nobody_reached"
    assert found.words == "Whom the caller was to reach was not reached: busy (SIP 486)."
    dial = report("dial_no_answer", event_id="e3", second=90, leg=PERSON, parent=LEG)
    assert await objections("transferred", dial) == ["nobody_reached"]


async def test_a_transfer_that_reached_somebody_at_last_agrees() -> None:
    busy = report("busy", event_id="e2", second=63, leg="CA3", parent=LEG)
    answered = report("answered", event_id="e3", second=70, leg=PERSON, parent=LEG)
    assert await objections("transferred", busy, answered, report("completed", second=61)) == []


async def test_the_leg_by_which_the_call_had_come_says_nothing_about_a_transfer() -> None:
    """It was answered, and ends when the caller is sent on."""
    sip = [
        report("initiated", event_id="e1", second=0, leg="CA3", parent=LEG),
        report("completed", event_id="e2", second=60, leg="CA3", parent=LEG),
    ]
    busy = report("busy", event_id="e3", second=61, leg=PERSON, parent=LEG)
    assert await objections("transferred", *sip, busy) == ["nobody_reached"]
    assert await objections("transferred", *sip, report("completed", second=61)) == ["nobody_reached"]
    assert await objections("transferred", *sip, report("completed", second=99)) == []


@pytest.mark.parametrize("kind", ["bridged", "conference_participant_join"])
async def test_a_caller_who_was_put_together_with_somebody_was_transferred(kind: str) -> None:
    """A carrier that follows a REFER by itself tells nothing of the new leg."""
    over = report("completed", event_id="e3", second=61)
    assert await objections("transferred", report(kind, event_id="e2", second=59), over) == []
    # With the agent, before.
    assert await objections("transferred", report(kind, event_id="e2", second=1), over) == ["nobody_reached"]


async def test_a_person_who_was_called_before_the_transfer_was_done_is_reached() -> None:
    person = report("answered", event_id="e1", second=58, leg=PERSON, parent=LEG)
    assert await objections("transferred", person, report("completed", second=61)) == []


async def test_legs_of_earlier_steps_say_nothing_about_a_transfer() -> None:
    """The address of the Realtime API was dialled first, and failed."""
    failed = report("failed", event_id="e2", second=1, leg="CA3", parent=LEG, data=data(sip_status=503))
    assert await objections("transferred", failed, report("completed", second=600)) == []
    assert await objections("caller_hung_up", failed, report("completed", second=61)) == []


async def test_a_call_without_a_leg_or_without_an_end_has_no_objections() -> None:
    assert carrier_says(await record("caller_hung_up", report("completed", second=94), leg=None)) == ()
    store = MemoryCallStore()
    await store.apply([opened(carrier="twilio", leg=LEG), report("completed", second=94)])
    up = await store.call(CALL)
    assert up is not None
    assert carrier_says(up) == ()
    assert await objections("invented_later", report("completed", second=94)) == []


@given(text=st.one_of(st.text(), st.from_regex(r'\{"(detail|sip_status)": ?[\[\]{}"a0-9]*\}')))
async def test_what_a_carrier_says_may_be_anything(text: str) -> None:
    assert carrier_says(await record("caller_hung_up", report("failed", data=text)))
