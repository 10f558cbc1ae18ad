"""One call, cancelled at each point at which it waits, and REFERs that end in every way."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import cast

import pytest

from sipagent.calls import (
    CallContext,
    CallJournal,
    CallsClient,
    CallState,
    EndReason,
    IdleStep,
    Manners,
    TransferTarget,
)
from sipagent.calls.sip_line import SipLine
from sipagent.calls.template import Template
from sipagent.calls.transferring import LineControls
from sipagent.clock import utc_now
from sipagent.errors import (
    CallControlError,
    CallControlRateLimitedError,
    CallControlRefusedError,
    CallControlUnavailableError,
    CallGoneError,
)
from sipagent.realtime import FunctionTool, RealtimeAgent, RealtimeRunner
from sipagent.store import Fact
from tests.calls.mannered import door_with
from tests.calls.scripted import CALL, Api, Model, scripted
from tests.support.eventually import eventually
from tests.support.practice import QUICK
from tests.support.suspensions import Point, at_every_point, cancelled_at

SALES = TransferTarget(name="sales", uris=("tel:+15550100001", "tel:+15550100002"), confirm_s=0.005)
TRANSFER = '!transfer {"target": "sales"}'
MANNERS = Manners(
    idle=(
        IdleStep(after_s=0.005, say=Template("Are you there?")),
        IdleStep(after_s=0.005, hang_up=Template("Goodbye.")),
    )
)
DOOR = door_with(SALES, manners=MANNERS)
BRIEF = replace(QUICK, finish_speaking_timeout_s=0.5)

GONE = CallGoneError("gone", status=404)
REFUSED = CallControlRefusedError("no", status=403)
FAILED = CallControlUnavailableError("broken", status=500)
SLOW = CallControlRateLimitedError("slow down", status=429)
NEVER_ANSWERED = CallControlUnavailableError("no answer", status=None)


async def test_the_whole_call(monkeypatch: pytest.MonkeyPatch) -> None:
    call = await scripted(DOOR, "Hello.", TRANSFER, monkeypatch=monkeypatch, settings=BRIEF)
    await call.run()
    assert call.endings == [EndReason.CALLER_UNRESPONSIVE.value]
    assert call.states == ["accepting", "attaching", "talking", "transferring", "talking", "ending", "ended"]
    assert call.api.asked == ["accept", "refer tel:+15550100001", "refer tel:+15550100002", "hang_up"]
    assert call.model.config is None, "the session is closed"


async def test_a_call_that_is_cancelled_at_any_point_ends_once_and_leaves_nothing_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def attempt(point: Point) -> bool:
        call = await scripted(DOOR, "Hello.", TRANSFER, monkeypatch=monkeypatch, settings=BRIEF)
        before = asyncio.all_tasks()
        was_cancelled = await cancelled_at(point, call.run())
        assert len(call.endings) == 1
        assert call.states[-1] == "ended"
        assert call.states.count("ended") == 1
        if "accept" in call.api.asked:
            assert call.api.asked[-1] == "hang_up"
        assert call.model.config is None, "the session is closed"
        assert asyncio.all_tasks() <= before, "nothing runs on"
        return was_cancelled

    await at_every_point(attempt, at_least=8)


async def test_a_transfer_that_is_cancelled_at_any_point_can_be_tried_again() -> None:
    facts: list[Fact] = []

    async def attempt(point: Point) -> bool:
        journal = CallJournal(CALL, facts.append, utc_now)
        for state in (CallState.ACCEPTING, CallState.ATTACHING, CallState.TALKING):
            journal.enter(state)
        controls = LineControls(
            SipLine(CALL, client=cast(CallsClient, Api())), journal=journal, settings=BRIEF, utc_now=utc_now
        )
        runner = RealtimeRunner(RealtimeAgent(name="front-desk"), model=Model())
        async with await runner.run() as session:
            context = CallContext(call_id=CALL, caller=None, dialled=None, sip_headers=(), controls=controls)
            controls.attach(session, context, {})
            was_cancelled = await cancelled_at(point, controls.transfer(SALES))
            assert not controls.transferring
            assert journal.state is CallState.TALKING
            assert "did not go through" in await controls.transfer(SALES)
        return was_cancelled

    await at_every_point(attempt, at_least=4)


@pytest.mark.parametrize(
    ("error", "outcome", "tries"),
    [
        (REFUSED, "refused", 2),
        (FAILED, "unavailable", 2),
        (SLOW, "unavailable", 2),
        (NEVER_ANSWERED, "unavailable", 2),
        (GONE, "caller_gone", 1),
    ],
)
async def test_a_refer_that_fails_is_told_and_the_call_goes_on(
    error: CallControlError, outcome: str, tries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = await scripted(
        DOOR, "Hello.", TRANSFER, monkeypatch=monkeypatch, settings=BRIEF, refers=[error, error]
    )
    await call.run()
    assert call.endings == [EndReason.CALLER_UNRESPONSIVE.value]
    assert len(call.notes("transfer_tried")) == tries
    assert all(f'"outcome":"{outcome}"' in note for note in call.notes("transfer_outcome"))
    assert len(call.notes("transfer_outcome")) == tries


async def test_a_call_that_leaves_while_a_refer_has_no_answer_may_be_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    patient = door_with(replace(SALES, confirm_s=30.0))
    call = await scripted(
        patient, "Hello.", TRANSFER, monkeypatch=monkeypatch, settings=BRIEF, refers=[NEVER_ANSWERED, REFUSED]
    )
    call.prepared = replace(
        call.prepared, profile=replace(call.prepared.profile, manners=Manners(idle=MANNERS.idle[:1]))
    )
    running = asyncio.create_task(call.run())
    await eventually(lambda: len(call.notes("transfer_outcome")) == 2)
    await call.model.end()
    await running
    assert call.endings == [EndReason.CALLER_HUNG_UP.value]
    assert "or was taken over late" in call.detail


async def test_a_transfer_that_takes_longer_than_a_tool_may_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    patient = door_with(replace(SALES, confirm_s=30.0), manners=MANNERS)
    call = await scripted(patient, "Hello.", TRANSFER, monkeypatch=monkeypatch, settings=BRIEF)
    (tool,) = [tool for tool in call.prepared.agent.tools if tool.name == "transfer"]
    assert isinstance(tool, FunctionTool)
    hasty = replace(call.prepared.agent, tools=[replace(tool, timeout_s=0.1)])
    call.prepared = replace(call.prepared, agent=hasty)
    await call.run()
    assert call.endings == [EndReason.CALLER_UNRESPONSIVE.value]
    assert call.states[2:5] == ["talking", "transferring", "talking"]
    assert ['"outcome":"stopped"' in note for note in call.notes("transfer_outcome")] == [True]
