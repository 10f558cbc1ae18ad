"""Two hundred calls at once in one service: each greeted, none lost, none mixed up."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest

from sipagent.simulator.caller import AfterAgent, CallPlan, Say
from sipagent.simulator.calls import SimulatedCall
from sipagent.simulator.script import parse_script
from sipagent.simulator.server import Simulator, SimulatorOptions
from sipagent.store import CallRecord, open_store
from tests.journeys.serving import Serving, serving
from tests.support.eventually import eventually
from tests.support.practice import API_KEY, GREETING

pytestmark = pytest.mark.journey

CALLS = 200
SCRIPT = parse_script('greeting: Hello.\notherwise: "You said: {caller}"\n', name="test")


def marker(number: int) -> str:
    return f"My customer number is {number:04d}."


def plan(number: int) -> CallPlan:
    """Says its marker, hears it back, and is on the line until everybody has been answered."""
    steps = (Say(text=marker(number), when=AfterAgent(pause_s=0.3)),)
    return CallPlan(caller=f"+1555010{number:04d}", steps=steps, hangs_up=False, patience_s=60.0)


def was_answered(call: SimulatedCall, number: int) -> bool:
    lines = () if call.conversation is None else call.conversation.transcript
    return f"You said: {marker(number)}" in [line.text for line in lines]


async def all_records(service: Serving, calls: list[str]) -> dict[str, CallRecord]:
    store = open_store(service.database_url)
    await store.open()
    try:
        async with asyncio.timeout(60):
            while True:
                found = {call_id: await store.call(call_id) for call_id in calls}  # type: ignore[arg-type]
                records = {call_id: record for call_id, record in found.items() if record is not None}
                if len([one for one in records.values() if one.summary.end_reason]) == len(calls):
                    return records
                await asyncio.sleep(0.5)
    finally:
        await store.aclose()


@pytest.mark.timeout(240)
async def test_two_hundred_calls_at_once(tmp_path: Path) -> None:
    options = SimulatorOptions(api_key=API_KEY, script=SCRIPT)
    async with Simulator(options) as openai, serving(tmp_path, openai) as service:
        calls = [openai.place_call(plan(number)) for number in range(CALLS)]
        async with asyncio.timeout(120):
            for call in calls:
                await call.wait_answered()
        assert sum(not call.state.is_over for call in calls) == CALLS, "all two hundred are up at once"
        for number, call in enumerate(calls):
            await eventually(partial(was_answered, call, number))
        for call in calls:
            call.hang_up_as_caller()
        records = await all_records(service, [call.call_id for call in calls])
        _, metrics = await service.get("/metrics")
    for number, call in enumerate(calls):
        record = records[call.call_id]
        said = [(line.role, line.text) for line in record.transcript]
        assert said[0] == ("agent", GREETING), said
        assert [text for role, text in said if role == "caller"] == [marker(number)]
        assert ("agent", f"You said: {marker(number)}") in said
        assert record.summary.caller == f"+1555010{number:04d}"
        assert record.summary.end_reason == "caller_hung_up"
    assert f'sipagent_calls_ended_total{{fault_owner="none",reason="caller_hung_up"}} {CALLS}.0' in metrics
    assert "sipagent_live_calls 0.0" in metrics
