"""Calls of the example company, by day, by night, on a holiday, when everybody is busy, and when things fail;
each with the record that is expected of it."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack

import pytest

from sipagent.calls import EndReason
from sipagent.simulator.call_values import Transfer
from sipagent.simulator.caller import At, CallPlan, HangUp, Press, Say
from sipagent.simulator.calls import SimulatedCall
from sipagent.simulator.virtual import VirtualLeg
from tests.company.staging import DAY, HOLIDAY, NIGHT, company, noted, said
from tests.support.eventually import eventually

CUSTOMER = "+15550100123"
OFFICE = "+15550100000"
SHORT = CallPlan(caller=CUSTOMER, steps=(Say(text="Thank you, goodbye."),), hangs_up=False)
HANGS_UP = "otherwise: {say: Goodbye., call: hang_up}\n"


def status_of(call: SimulatedCall) -> int | None:
    """With which SIP status a call was refused."""
    assert isinstance(call.leg, VirtualLeg)
    return call.leg.final_status


@pytest.fixture(autouse=True)
def own_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))


async def test_by_day_the_front_desk_looks_an_order_up() -> None:
    script = """
turns:
  - call: {tool: order_state, with: {order: A1234}, then: "It is {output.state}, and comes {output.arrives}."}
otherwise: {say: Goodbye., call: hang_up}
"""
    plan = CallPlan(
        caller=CUSTOMER, steps=(Say(text="Where is my order A1234?"), Say(text="Bye.")), hangs_up=False
    )
    async with company(script, at=DAY) as desk:
        call = await desk.call(plan)
        record = await desk.ended_record(call.call_id)
        assert desk.system.requests("GET", "/orders/A1234") == [None]
    summary = record.summary
    assert (summary.agent, summary.caller, summary.dialled) == ("front-desk", CUSTOMER, OFFICE)
    assert (summary.end_reason, summary.fault_owner) == ("agent_hung_up", "none")
    assert record.configuration == desk.loaded.fingerprint
    assert noted(record, "route")[0]["why"][-1] == "office hours: front-desk answers."
    [looked_up] = noted(record, "variables_looked_up")
    assert (looked_up["lookups"][0]["lookup"], looked_up["lookups"][0]["failure"]) == ("customer", None)
    assert said(record)[:2] == [
        "Northpier Heating, good day. How can I help?",
        "It is shipped, and comes on Tuesday.",
    ]
    [order] = [run for run in record.tools if run.name == "order_state"]
    assert (order.is_error, "margin" in (order.output or "")) == (False, False)
    assert "a-token-of-the-test" not in str(record)


async def test_what_is_known_of_the_call_stands_in_the_session() -> None:
    async with company(HANGS_UP, at=DAY) as desk:
        call = await desk.call(SHORT)
        assert call.conversation is not None
        instructions = call.conversation._config.value("instructions")
    assert "Northpier Heating, Harbor Street 12" in instructions
    assert "Friday 20 November 2026" in instructions
    assert "Ann Example" in instructions


@pytest.mark.parametrize(
    ("at", "route"), [(NIGHT, "after hours"), (HOLIDAY, "holiday")], ids=["night", "holiday"]
)
async def test_when_the_office_is_closed_a_message_is_taken(at: object, route: str) -> None:
    script = """
turns:
  - call:
      tool: take_message
      with: {name: Ann, number: "+15550100123", reason: The heating is cold.}
      then: I have noted that. Goodbye!
  - {say: Goodbye., call: hang_up}
otherwise: {say: Goodbye., call: hang_up}
"""
    plan = CallPlan(
        caller=CUSTOMER, steps=(Say(text="My heating is cold."), Say(text="Bye.")), hangs_up=False
    )
    async with company(script, at=at) as desk:  # type: ignore[arg-type]
        call = await desk.call(plan)
        record = await desk.ended_record(call.call_id)
        await eventually(lambda: desk.system.requests("POST", "/messages"))
        [told] = desk.system.requests("POST", "/messages")
    assert record.summary.agent == "night-desk"
    assert noted(record, "route")[0]["why"][-1] == f"{route}: night-desk answers."
    assert said(record)[0].startswith("Northpier Heating. Nobody can answer right now")
    [message] = noted(record, "message_taken")
    assert "The heating is cold." in str(message)
    assert "The heating is cold." in str(told)
    assert record.summary.end_reason == "agent_hung_up"


async def test_when_the_front_desk_is_full_the_night_desk_answers_and_then_nobody() -> None:
    waits = (HangUp(when=At(since_answer_s=20.0)),)
    async with company("greeting: Hello.\n", at=DAY) as desk, AsyncExitStack() as stack:
        calls = []
        for number in range(4):
            plan = CallPlan(caller=f"+155501002{number:02d}", steps=waits, hangs_up=False)
            call = desk.simulator.place_call(plan)
            stack.callback(call.stop)
            async with asyncio.timeout(20):
                await call.wait_answered()
            calls.append(call)
        refused = await desk.call(CallPlan(caller="+15550100299", steps=waits, hangs_up=False))
        record = await desk.ended_record(refused.call_id)
        assert record.summary.end_reason == EndReason.REJECTED_FULL
        assert status_of(refused) == 486
        agents = []
        for call in calls:
            live = await desk.store.call(call.call_id)
            assert live is not None
            agents.append(live.summary.agent)
            if live.summary.agent == "night-desk":
                assert noted(live, "admission")[0]["agent"] == "night-desk"
        assert agents == ["front-desk", "front-desk", "night-desk", "night-desk"]


async def test_a_denied_caller_is_refused_before_anything_is_asked() -> None:
    async with company(HANGS_UP, at=DAY) as desk:
        call = await desk.call(CallPlan(caller="+19005550100", steps=()))
        record = await desk.ended_record(call.call_id)
        assert desk.system.asked == []
    assert status_of(call) == 603
    assert (record.summary.agent, record.summary.end_reason) == (None, EndReason.REJECTED_DENIED)
    assert "+1900*" in noted(record, "route")[0]["why"][-1]
    assert record.transcript == ()


async def test_a_number_that_is_no_more() -> None:
    async with company(HANGS_UP, at=DAY) as desk:
        call = await desk.call(CallPlan(caller=CUSTOMER, dialled="+15550100008", steps=()))
        record = await desk.ended_record(call.call_id)
    assert (status_of(call), record.summary.end_reason) == (410, EndReason.REJECTED_BY_ROUTE)


async def test_a_tool_that_fails_is_told_and_the_call_goes_on() -> None:
    script = """
turns:
  - call: {tool: order_state, with: {order: A1234}, then: I cannot see that right now.}
otherwise: {say: Goodbye., call: hang_up}
"""
    plan = CallPlan(caller=CUSTOMER, steps=(Say(text="Where is my order?"), Say(text="Bye.")), hangs_up=False)
    async with company(script, at=DAY) as desk:
        desk.system.broken = True
        call = await desk.call(plan)
        record = await desk.ended_record(call.call_id)
        assert len(desk.system.requests("GET", "/orders/A1234")) == 2, "once, and once more"
    assert record.summary.end_reason == "agent_hung_up"
    [order] = [run for run in record.tools if run.name == "order_state"]
    assert "out of order" not in (order.output or "")
    assert said(record)[1] == "I cannot see that right now."
    [looked_up] = noted(record, "variables_looked_up")
    assert looked_up["lookups"][0]["defaulted"], "a caller nobody knows is answered all the same"


async def test_a_transfer_that_nobody_answers_tries_the_next_and_comes_back() -> None:
    script = """
turns:
  - say: One moment.
    call: {tool: transfer, with: {target: office}, then: "{output}"}
  - {say: Goodbye., call: hang_up}
otherwise: {say: Goodbye., call: hang_up}
"""
    busy = Transfer(transfer_status=486)
    plan = CallPlan(
        caller=CUSTOMER,
        steps=(Say(text="The office, please."), Say(text="Bye.")),
        hangs_up=False,
        patience_s=30.0,
        transfers=(busy, busy),
    )
    async with company(script, at=DAY) as desk:
        call = await desk.call(plan)
        record = await desk.ended_record(call.call_id)
    assert [note["uri"] for note in noted(record, "transfer_tried")] == [
        "tel:+15550100011",
        "tel:+15550100012",
    ]
    assert "connected" not in {note["outcome"] for note in noted(record, "transfer_outcome")}
    assert record.summary.end_reason == "agent_hung_up"
    [run] = [run for run in record.tools if run.name == "transfer"]
    assert "message" in (run.output or "")


async def test_a_transfer_that_is_answered() -> None:
    script = """
turns:
  - say: One moment.
    call: {tool: transfer, with: {target: office}}
"""
    plan = CallPlan(caller=CUSTOMER, steps=(Say(text="The office, please."),), hangs_up=False)
    async with company(script, at=DAY) as desk:
        call = await desk.call(plan)
        record = await desk.ended_record(call.call_id)
    assert record.summary.end_reason == EndReason.TRANSFERRED
    assert [note["outcome"] for note in noted(record, "transfer_outcome")] == ["connected"]


async def test_the_technician_takes_over_and_books_a_visit_once() -> None:
    script = """
turns:
  - call: {tool: send_to_agent_technician}
  - call: {tool: in_stock, with: {part: pump}, then: "The pump: {output}"}
  - call: {tool: next_visit, with: {trouble: cold}, then: "I can offer {output}."}
  - call:
      tool: book_visit
      with: {day: tomorrow, trouble: cold}
      then: "Your visit is {output}."
otherwise: {say: Goodbye., call: hang_up}
"""
    lines = ("My heating is cold.", "It is the pump.", "When can you come?", "Yes, book it.", "Bye.")
    plan = CallPlan(caller=CUSTOMER, steps=tuple(Say(text=line) for line in lines), hangs_up=False)
    async with company(script, at=DAY) as desk:
        call = await desk.call(plan)
        record = await desk.ended_record(call.call_id)
        booked = desk.system.requests("POST", "/visits")
    assert [run.name for run in record.tools][:3] == ["in_stock", "next_visit", "book_visit"], (
        "the technician's"
    )
    assert booked == [{"day": "tomorrow", "trouble": "cold", "number": CUSTOMER}]
    assert "The pump: 2 in stock." in said(record)
    assert any("V77" in line for line in said(record))
    assert "tomorrow between eight and ten" in str([run.output for run in record.tools])


async def test_typed_digits_stand_in_no_record() -> None:
    script = """
turns:
  - call: {tool: customer_number, then: Thank you.}
otherwise: {say: Goodbye., call: hang_up}
"""
    plan = CallPlan(
        caller=CUSTOMER,
        steps=(Say(text="My order."), Press(digits="471108#"), Say(text="Bye.")),
        hangs_up=False,
    )
    async with company(script, at=DAY) as desk:
        call = await desk.call(plan)
        record = await desk.ended_record(call.call_id)
    assert noted(record, "digits_collected")
    assert "471108" not in str(record)
