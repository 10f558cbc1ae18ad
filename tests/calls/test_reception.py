"""Calls that a whole service receives: places are taken, refused and given back, and records say so."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from sipagent.calls import FrontDoor
from sipagent.calls.numbers import NumberPattern
from sipagent.calls.policy import CallCaps
from sipagent.calls.routing import Callers, Limits
from sipagent.simulator.caller import CallPlan, Say
from sipagent.simulator.faults import FaultSet
from sipagent.store import CallRecord
from tests.support.eventually import eventually
from tests.support.practice import Practice, front_door, practice

SCRIPT = """
greeting: Hello.
turns:
  - {say: Goodbye., call: hang_up}
otherwise: {say: Goodbye., call: hang_up}
"""
SHORT = CallPlan(steps=(Say(text="Bye."),), hangs_up=False)


def with_caps(caps: CallCaps) -> FrontDoor:
    return replace(front_door(greeting="Hello."), limits=Limits(calls=caps))


async def outcome(desk: Practice, plan: CallPlan = SHORT) -> CallRecord:
    call = await desk.call(plan)
    return await desk.ended_record(call.call_id)


async def all_over(desk: Practice) -> None:
    """The record of a call is written a moment before its place is given back."""
    await eventually(lambda: desk.service.live_calls == 0)


async def test_of_calls_at_once_as_many_are_answered_as_there_are_places() -> None:
    async with practice(door=with_caps(CallCaps(total=2)), script=SCRIPT) as desk:
        records = await asyncio.gather(*(outcome(desk) for _ in range(5)))
        reasons = sorted(record.summary.end_reason or "" for record in records)
        assert reasons == ["agent_hung_up"] * 2 + ["rejected_full"] * 3
        refused = next(record for record in records if record.summary.end_reason == "rejected_full")
        cap = [json.loads(note.data)["cap"] for note in refused.notes if note.kind == "admission"]
        assert cap == ["total"]
        await all_over(desk)
        again = await outcome(desk)
        assert again.summary.end_reason == "agent_hung_up"
        why = [json.loads(note.data)["why"] for note in again.notes if note.kind == "route"]
        assert why == [["route 1: front-desk answers."]]


@pytest.mark.parametrize(
    "faults", ["accept_404", "accept_500", "accept_dead", "socket_404", "socket_stalled"]
)
async def test_a_place_is_given_back_however_the_call_ends(faults: str) -> None:
    async with practice(door=with_caps(CallCaps(total=1)), script=SCRIPT) as desk:
        broken = await outcome(desk, replace(SHORT, faults=FaultSet.parse(faults), patience_s=2.0))
        assert broken.summary.end_reason != "agent_hung_up"
        await all_over(desk)
        assert (await outcome(desk)).summary.end_reason == "agent_hung_up"


async def test_a_denied_caller_takes_no_place() -> None:
    door = replace(with_caps(CallCaps(total=1)), callers=Callers(deny=(NumberPattern("*"),)))
    async with practice(door=door, script=SCRIPT) as desk:
        record = await outcome(desk)
        assert record.summary.end_reason == "rejected_denied"
        assert [state.state for state in record.states] == ["ringing", "rejecting", "ended"]
