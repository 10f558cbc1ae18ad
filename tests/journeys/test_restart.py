"""One worker with a SQLite file is killed and started again."""

from __future__ import annotations

import asyncio
import signal
import sys
from functools import partial
from pathlib import Path

import pytest

from sipagent.clock import utc_now
from sipagent.simulator.caller import CallPlan
from sipagent.simulator.calls import SimulatedCall
from sipagent.simulator.script import parse_script
from sipagent.simulator.server import Simulator, SimulatorOptions
from tests.journeys.workers import company
from tests.support.eventually import eventually
from tests.support.practice import API_KEY, GREETING
from tests.support.prompting import attached_again, say

pytestmark = pytest.mark.journey

SCRIPT = 'greeting: Hello.\notherwise: "You said: {caller}"\n'
LEASE_S = 6.0


def plan(number: int) -> CallPlan:
    return CallPlan(caller=f"+1555010{number:04d}", steps=(), hangs_up=False)


async def talk_on(simulator: Simulator, call: SimulatedCall) -> None:
    """Let the caller ask whoever has the call by now, and hang up."""
    await attached_again(call)
    await say(simulator, call, "Are you back?")
    call.hang_up_as_caller()


def has_begun(call: SimulatedCall) -> bool:
    return call.conversation is not None and bool(call.conversation.transcript)


@pytest.mark.timeout(300)
async def test_calls_that_are_still_up_are_adopted_and_the_others_closed_truthfully(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = SimulatorOptions(api_key=API_KEY, script=parse_script(SCRIPT, name="test"))
    url = f"sqlite:///{tmp_path}/calls.db"
    async with (
        Simulator(options) as simulator,
        company(tmp_path, simulator, url, "--lease", f"{LEASE_S:g}s", workers=1) as here,
    ):
        staying = [simulator.place_call(plan(number)) for number in range(10)]
        leaving = [simulator.place_call(plan(10 + number)) for number in range(5)]
        for call in (*staying, *leaving):
            await eventually(partial(has_begun, call))
        await asyncio.sleep(1.0)
        (worker,) = here.workers
        worker.signal(signal.SIGKILL)
        await worker.ended()
        for call in leaving:
            call.hang_up_as_caller()
        await here.start()
        ready_at = utc_now()
        async with asyncio.timeout(120), asyncio.TaskGroup() as group:
            for call in staying:
                group.create_task(talk_on(simulator, call))
        stayed, left = await here.records(staying), await here.records(leaving)
    pauses = sorted(
        (note.at - ready_at).total_seconds()
        for record in stayed
        for note in record.notes
        if note.kind == "adopted"
    )
    with capsys.disabled():
        sys.stdout.write(
            f"\nkill -9 and restart on SQLite: {len(pauses)} of {len(stayed)} calls adopted, the last "
            f"{pauses[-1]:.1f} s after the start; {len(left)} closed\n"
        )
    assert [record.summary.end_reason for record in stayed] == ["caller_hung_up"] * len(staying)
    assert len(pauses) == len(staying)
    assert pauses[-1] < LEASE_S + 10
    for call in staying:
        lines = [line.text for line in call.conversation.transcript] if call.conversation else []
        assert lines.count(GREETING) == 1
        assert "You said: Are you back?" in lines
    for record in left:
        assert record.summary.end_reason == "caller_hung_up"
        assert record.end_detail is not None
        assert "before it could be taken over" in record.end_detail
        assert len([state for state in record.states if state.state == "ended"]) == 1
