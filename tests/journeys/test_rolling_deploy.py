"""Three workers, replaced one after the other under a load of calls that never stops."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from sipagent.simulator.caller import CallPlan
from sipagent.simulator.calls import SimulatedCall
from sipagent.simulator.script import parse_script
from sipagent.simulator.server import Simulator, SimulatorOptions
from tests.journeys.workers import Company, company
from tests.support.practice import API_KEY, GREETING
from tests.support.prompting import say

pytestmark = pytest.mark.journey

SCRIPT = 'greeting: Hello.\notherwise: "You said: {caller}"\n'
EVERY_S = 0.5
WORDS = "Are you still there?"


def plan(number: int) -> CallPlan:
    return CallPlan(
        caller=f"+1555010{number:04d}",
        steps=(),
        hangs_up=False,
    )


async def talk(simulator: Simulator, call: SimulatedCall) -> None:
    """Speak once in the middle of the call, and hang up some time after the answer."""
    await call.wait_answered()
    await asyncio.sleep(7.0)
    await say(simulator, call, WORDS)
    await asyncio.sleep(3.0)
    call.hang_up_as_caller()


async def load(here: Company, calls: list[SimulatedCall], over: asyncio.Event) -> None:
    async with asyncio.TaskGroup() as group:
        while not over.is_set():
            calls.append(here.simulator.place_call(plan(len(calls))))
            group.create_task(talk(here.simulator, calls[-1]))
            await asyncio.sleep(EVERY_S)


@pytest.mark.timeout(600)
async def test_three_workers_are_replaced_under_load_and_no_call_is_lost(
    tmp_path: Path, postgres_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = SimulatorOptions(api_key=API_KEY, script=parse_script(SCRIPT, name="test"))
    calls: list[SimulatedCall] = []
    over = asyncio.Event()
    async with (
        Simulator(options) as simulator,
        company(tmp_path, simulator, postgres_url, "--lease", "5s", workers=3) as here,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(load(here, calls, over))
        await asyncio.sleep(6.0)
        for old in list(here.workers):
            await here.start()
            old.signal(signal.SIGTERM)
            assert await old.ended() == 0, old.log.read_text()
            await asyncio.sleep(2.0)
        over.set()
        async with asyncio.timeout(120):
            for call in calls:
                await call.wait_over()
        records = await here.records(calls)
    lost = [
        f"{record.summary.call_id}: {record.summary.end_reason}: {record.end_detail}"
        for record in records
        if record.summary.end_reason != "caller_hung_up"
    ]
    agent = [[line.text for line in call.conversation.transcript] for call in calls if call.conversation]
    duplicates = sum(lines.count(GREETING) > 1 for lines in agent)
    handed_over = sum(any(note.kind == "adopted" for note in record.notes) for record in records)
    with capsys.disabled():
        sys.stdout.write(
            f"\nrolling deploy of 3 workers: {len(calls)} calls, {handed_over} handed over, "
            f"{len(lost)} lost, {duplicates} duplicates\n"
        )
    assert not lost, lost
    assert duplicates == 0
    assert handed_over > 0
    assert all(f"You said: {WORDS}" in lines for lines in agent), "everybody was answered"
