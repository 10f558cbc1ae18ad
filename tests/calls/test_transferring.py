"""Transfers tell the truth, whatever becomes of them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, timedelta
from typing import Any

import pytest

from sipagent.calls import EndReason, TransferTarget
from sipagent.calls.calendar import Calendar, Closure, Span
from sipagent.clock import utc_now
from sipagent.realtime import RealtimeAgent, realtime_handoff
from sipagent.simulator.call_values import EndedBy, Transfer
from sipagent.simulator.caller import CallPlan, Say
from sipagent.simulator.faults import FaultSet
from sipagent.simulator.speech import SilentVoice
from sipagent.simulator.virtual import VirtualLeg
from tests.calls.mannered import desk_with, door_with, notes, one_call, said
from tests.support.eventually import eventually
from tests.support.practice import QUICK

FIRST, SECOND, THIRD = "tel:+15550100001", "tel:+15550100002", "sip:sales@practice.test"
SALES = TransferTarget(name="sales", uris=(FIRST,), label="our sales team", description="orders")

SCRIPT = """
greeting: Hello.
turns:
  - say: One moment.
    call: {tool: transfer, with: {target: sales}, then: "{output}"}
  - {say: Goodbye., call: hang_up}
otherwise: Still here.
"""
ASKS = CallPlan(steps=(Say(text="Sales, please."), Say(text="Bye.")), hangs_up=False, patience_s=15.0)

REFUSED = Transfer(refer_status=603)
UNANSWERED = Transfer(transfer_status=486)


def outcomes(record: Any) -> list[tuple[str | None, str]]:
    return [(note.get("uri"), note["outcome"]) for note in notes(record, "transfer_outcome")]


def told(record: Any) -> str:
    (run,) = [run for run in record.tools if run.name == "transfer"]
    return run.output or ""


async def test_a_call_that_leaves_in_time_was_transferred() -> None:
    call, record = await one_call(door_with(SALES), SCRIPT, ASKS)
    assert call.ended_by is EndedBy.TRANSFER
    assert record.summary.end_reason == EndReason.TRANSFERRED.value
    assert [note["uri"] for note in notes(record, "transfer_tried")] == [FIRST]
    assert outcomes(record) == [(FIRST, "connected")]
    assert [state.state for state in record.states][-3:] == ["talking", "transferring", "ended"]
    assert not any(run.is_error for run in record.tools)


async def test_the_next_address_is_tried_and_the_caller_hears_of_it() -> None:
    target = replace(SALES, uris=(FIRST, SECOND, THIRD), confirm_s=2.0)
    # A refused REFER is asked for twice: 500 is often a passing fault.
    plan = replace(ASKS, transfers=(REFUSED, REFUSED, UNANSWERED, Transfer()))
    call, record = await one_call(door_with(target), SCRIPT, plan)
    assert record.summary.end_reason == EndReason.TRANSFERRED.value
    assert outcomes(record) == [(FIRST, "unavailable"), (SECOND, "not_confirmed"), (THIRD, "connected")]
    assert isinstance(call.leg, VirtualLeg)
    assert call.leg.referrals == [FIRST, FIRST, SECOND, THIRD]
    assert said(record).count("Still here.") == 2, "once before each further address"


async def test_when_nobody_was_reached_the_agent_goes_on_and_knows_it() -> None:
    target = replace(SALES, uris=(FIRST, "mailto:sales@practice.test"), confirm_s=0.3, otherwise="message")
    call, record = await one_call(door_with(target), SCRIPT, replace(ASKS, transfers=(UNANSWERED,)))
    assert call.ended_by is EndedBy.HANGUP
    assert record.summary.end_reason == EndReason.AGENT_HUNG_UP.value
    assert outcomes(record) == [(FIRST, "not_confirmed"), ("mailto:sales@practice.test", "refused")]
    assert told(record) == (
        "The transfer to our sales team did not go through on any of 2 lines: it was refused. The caller is "
        "still with you: say so, and offer to take a message."
    )
    assert told(record) in said(record)
    assert [state.state for state in record.states][3:6] == ["talking", "transferring", "talking"]


@pytest.mark.parametrize("made", [lambda agent: agent, realtime_handoff], ids=["agent", "handoff"])
async def test_another_agent_takes_over_when_nobody_was_reached(made: Any) -> None:
    night = RealtimeAgent[Any](name="night-desk", instructions="You are the night desk.")
    target = replace(SALES, otherwise="night-desk", confirm_s=0.2)
    door = door_with(target)
    (profile,) = door.profiles.values()
    profile = replace(profile, agent=replace(profile.agent, handoffs=[made(night)]))
    door = replace(door, profiles={profile.name: profile})
    script = SCRIPT.replace("call: hang_up", "").replace("{say: Goodbye., }", "Goodbye.")
    plan = replace(ASKS, transfers=(UNANSWERED,), hangs_up=True)
    call, record = await one_call(door, script, plan)
    assert "you are night-desk now" in told(record)
    assert notes(record, "transfer_otherwise") == [{"target": "sales", "agent": "night-desk"}]
    assert call.conversation is not None
    assert call.conversation.events_received["session.update"] >= 2, "the session speaks for the other agent"


async def test_an_agent_that_nobody_may_hand_over_to_is_offered_in_words() -> None:
    target = replace(SALES, otherwise="night-desk", confirm_s=0.2)
    _, record = await one_call(door_with(target), SCRIPT, replace(ASKS, transfers=(UNANSWERED,)))
    assert told(record).endswith("say so, and offer the help of night-desk.")
    assert notes(record, "transfer_otherwise") == []


# Hours ----------------------------------------------------------------------------------------------


ALL_DAY = Calendar(zone=UTC, week=((Span(begin_min=0, end_min=1440),),) * 7)


async def test_a_target_that_is_closed_is_not_called_and_the_agent_knows_until_when() -> None:
    today = utc_now().date()
    # Long enough that midnight, should it come now, changes nothing.
    opens = today + timedelta(days=10)
    closure = Closure(first=today - timedelta(days=1), last=opens - timedelta(days=1), reason="Summer break")
    door = door_with(replace(SALES, calendar="office", otherwise="message"))
    door = replace(door, calendars={"office": replace(ALL_DAY, closures=(closure,))})
    call, record = await one_call(door, SCRIPT, ASKS)
    until = f"{opens:%A} {opens.day} {opens:%B} {opens.year}, 00:00"
    assert isinstance(call.leg, VirtualLeg)
    assert call.leg.referrals == []
    assert told(record) == (
        f"Nobody was called: our sales team is closed now (Summer break), and there again from {until}. "
        "Tell the caller so, and offer to take a message."
    )
    assert notes(record, "transfer_outcome") == [{"target": "sales", "outcome": "closed", "until": until}]
    assert "transferring" not in [state.state for state in record.states]


async def test_a_target_that_is_open_is_called() -> None:
    door = replace(door_with(replace(SALES, calendar="office")), calendars={"office": ALL_DAY})
    _, record = await one_call(door, SCRIPT, ASKS)
    assert record.summary.end_reason == EndReason.TRANSFERRED.value


# A caller who hangs up --------------------------------------------------------------------------------


async def test_a_caller_who_hangs_up_before_the_refer_was_not_transferred() -> None:
    long = "One moment, please: this sentence takes a while to be spoken to its very end. " * 4
    # The words are made, and the tool is called, at once; they are heard for five seconds.
    script = SCRIPT.replace("One moment.", f'"{long}"') + "pace: 50\n"
    async with desk_with(door_with(SALES), script, voice=SilentVoice(ms_per_character=16)) as desk:
        call = desk.simulator.place_call(CallPlan(steps=(Say(text="Sales, please."),), hangs_up=False))
        await eventually(lambda: call.conversation is not None and call.conversation.tool_outputs)
        await asyncio.sleep(1.0)  # the tool is under way, and waits until the agent has spoken
        call.hang_up_as_caller()
        record = await desk.ended_record(call.call_id)
    assert call.ended_by is EndedBy.CALLER
    assert record.summary.end_reason == EndReason.TRANSFER_ABANDONED.value
    assert record.summary.fault_owner == "caller"
    assert notes(record, "transfer_tried") == []
    assert [outcome for _, outcome in outcomes(record)] == ["caller_gone"]


async def test_a_caller_who_hangs_up_while_the_refer_is_on_its_way_was_not_transferred() -> None:
    plan = replace(ASKS, steps=(Say(text="Sales, please."),), faults=FaultSet.parse("refer_slow=2.5"))
    async with desk_with(door_with(SALES), SCRIPT) as desk:
        call = desk.simulator.place_call(plan)
        while (begun := await desk.store.call(call.call_id)) is None or not notes(begun, "transfer_tried"):  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # a store is asked, it does not tell
        call.hang_up_as_caller()
        record = await desk.ended_record(call.call_id)
        # The simulator is still at it.
        await eventually(lambda: "refer" in [request.action for request in call.requests])
    assert call.ended_by is EndedBy.CALLER
    assert [note["uri"] for note in notes(record, "transfer_tried")] == [FIRST]
    assert record.summary.end_reason == EndReason.TRANSFER_ABANDONED.value


async def test_a_call_that_leaves_after_it_was_given_up_may_have_been_taken_over_late() -> None:
    script = SCRIPT.replace("- {say: Goodbye., call: hang_up}", "")
    plan = CallPlan(steps=(Say(text="Sales, please."),), hangs_up=False, transfers=(Transfer(after_s=3.0),))
    call, record = await one_call(door_with(replace(SALES, confirm_s=0.3)), script, plan)
    assert call.ended_by is EndedBy.TRANSFER
    assert record.summary.end_reason == EndReason.CALLER_HUNG_UP.value
    assert "or was taken over late" in (record.end_detail or "")


# What else goes on --------------------------------------------------------------------------------------


async def test_an_agent_that_hangs_up_besides_does_not_take_the_call_away() -> None:
    script = """
greeting: Hello.
turns:
  - say: One moment. Goodbye.
    call: [{tool: transfer, with: {target: sales}, then: "{output}"}, {tool: hang_up, then: "Still here."}]
  - {say: Goodbye., call: hang_up}
otherwise: Still here.
"""
    plan = replace(ASKS, transfers=(Transfer(after_s=0.6),))
    call, record = await one_call(door_with(SALES), script, plan)
    assert call.ended_by is EndedBy.TRANSFER
    assert record.summary.end_reason == EndReason.TRANSFERRED.value


async def test_a_second_transfer_waits_for_the_outcome_of_the_first() -> None:
    script = SCRIPT.replace(
        "call: {tool: transfer, with: {target: sales}",
        "call: [{tool: transfer, with: {target: sales}}, {tool: transfer, with: {target: sales}",
    ).replace('then: "{output}"}', 'then: "{output}"}]')
    _, record = await one_call(door_with(replace(SALES, confirm_s=0.3)), script, ASKS)
    assert "being tried" in [run.output or "" for run in record.tools if run.name == "transfer"][1]


async def test_a_service_that_stops_during_a_transfer_hangs_up_once() -> None:
    plan = replace(ASKS, transfers=(UNANSWERED,))
    patient = replace(QUICK, transfer_confirm_s=30.0)
    async with desk_with(door_with(SALES), SCRIPT, calls=patient) as desk:
        call = desk.simulator.place_call(plan)
        await eventually(lambda: call.leg.referrals)  # type: ignore[attr-defined]
        async with asyncio.timeout(60):
            await desk.service.drain(0.1)
            await call.wait_over()
        record = await desk.ended_record(call.call_id)
    assert call.ended_by is EndedBy.HANGUP
    assert record.summary.end_reason == EndReason.SERVICE_STOPPED.value
    assert [state.state for state in record.states][-3:] == ["transferring", "ending", "ended"]


# Promises -----------------------------------------------------------------------------------------------

PROMISING = """
greeting: Hello.
turns:
  - Of course. I'll connect you now.
  - {say: Goodbye., call: hang_up}
otherwise: {say: "Just a second.", call: {tool: transfer, with: {target: sales}, then: "{output}"}}
"""


async def test_a_transfer_that_was_announced_and_not_begun_is_repaired() -> None:
    _, record = await one_call(
        door_with(SALES), PROMISING, replace(ASKS, steps=(Say(text="Sales, please."),))
    )
    assert notes(record, "transfer_announced") == [{"text": "I'll connect you now."}]
    assert record.summary.end_reason == EndReason.TRANSFERRED.value


async def test_repairs_can_be_left_out() -> None:
    door = door_with(SALES)
    (profile,) = door.profiles.values()
    profile = replace(profile, manners=replace(profile.manners, repairs_transfers=False))
    _, record = await one_call(replace(door, profiles={profile.name: profile}), PROMISING, ASKS)
    assert notes(record, "transfer_announced") == []
    assert record.summary.end_reason == EndReason.AGENT_HUNG_UP.value
