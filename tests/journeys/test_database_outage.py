"""The database is away for half a minute while calls come and go."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from sipagent.simulator.caller import CallPlan
from sipagent.simulator.calls import SimulatedCall
from sipagent.simulator.script import parse_script
from sipagent.simulator.server import Simulator, SimulatorOptions
from tests.journeys.workers import Company, company
from tests.support.postgres import PostgresServer
from tests.support.practice import API_KEY, GREETING
from tests.support.prompting import say

pytestmark = pytest.mark.journey

AWAY_S = 30.0
SCRIPT = """
greeting: Hello.
otherwise: "You said: {caller}"
reactions:
  - said: book
    call: {tool: book, with: {day: Tuesday}, then: "It says: {output}"}
"""


def plan(number: int) -> CallPlan:
    return CallPlan(caller=f"+1555010{number:04d}", steps=(), hangs_up=False)


async def talk(simulator: Simulator, call: SimulatedCall) -> None:
    """Book, say thank you some seconds later, and hang up some seconds after the answer."""
    await call.wait_answered()
    for words in ("Please book me in.", "Thank you."):
        await asyncio.sleep(4.0)
        await say(simulator, call, words)
    await asyncio.sleep(3.0)
    call.hang_up_as_caller()


async def load(here: Company, calls: list[SimulatedCall], over: asyncio.Event) -> None:
    async with asyncio.TaskGroup() as group:
        while not over.is_set():
            calls.append(here.simulator.place_call(plan(len(calls))))
            group.create_task(talk(here.simulator, calls[-1]))
            await asyncio.sleep(0.7)


@pytest.mark.timeout(600)
async def test_callers_notice_nothing_of_a_database_that_is_away_for_half_a_minute(
    tmp_path: Path, stoppable_postgres: PostgresServer, capsys: pytest.CaptureFixture[str]
) -> None:
    options = SimulatorOptions(api_key=API_KEY, script=parse_script(SCRIPT, name="test"))
    calls: list[SimulatedCall] = []
    over = asyncio.Event()
    url = stoppable_postgres.url(await asyncio.to_thread(stoppable_postgres.create_database))
    async with (
        Simulator(options) as simulator,
        company(tmp_path, simulator, url, "--lease", "5s", workers=2) as here,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(load(here, calls, over))
        await asyncio.sleep(8.0)
        before = len(calls)
        await asyncio.to_thread(stoppable_postgres.stop, "fast")
        await asyncio.sleep(AWAY_S)
        during = len(calls) - before
        await asyncio.to_thread(stoppable_postgres.start)
        await asyncio.sleep(10.0)
        over.set()
        async with asyncio.timeout(120):
            for call in calls:
                await call.wait_over()
        records = await here.records(calls, within_s=120)
    lost = [
        f"{record.summary.call_id}: {record.summary.end_reason}: {record.end_detail}"
        for record in records
        if record.summary.end_reason != "caller_hung_up"
    ]
    agent = [[line.text for line in call.conversation.transcript] for call in calls if call.conversation]
    silent = [lines for lines in agent if "You said: Thank you." not in lines or GREETING not in lines]
    unbooked = [lines for lines in agent if not any(line.startswith("It says: ") for line in lines)]
    twice = [caller for caller, count in here.world.bookings.items() if count > 1]
    waits = sorted(
        latency.milliseconds
        for record in records[before : before + during]
        for latency in record.latencies
        if latency.name == "webhook_to_accept"
    )
    with capsys.disabled():
        sys.stdout.write(
            f"\ndatabase away for {AWAY_S:.0f} s: {len(calls)} calls, {during} of them begun meanwhile; "
            f"{len(lost)} lost, {len(silent)} not answered, {len(twice)} booked twice; "
            f"webhook to accept meanwhile at most {waits[-1]:.0f} ms\n"
        )
    assert not lost, lost
    assert not silent, silent[:3]
    assert not unbooked, unbooked[:3]
    assert not twice
    assert all(len(record.transcript) >= 4 for record in records), "every record has every line"


@pytest.mark.timeout(300)
async def test_a_worker_that_starts_without_a_database_answers_and_records_later(
    tmp_path: Path, stoppable_postgres: PostgresServer
) -> None:
    options = SimulatorOptions(api_key=API_KEY, script=parse_script(SCRIPT, name="test"))
    url = stoppable_postgres.url(await asyncio.to_thread(stoppable_postgres.create_database))
    await asyncio.to_thread(stoppable_postgres.stop, "fast")
    async with (
        Simulator(options) as simulator,
        company(tmp_path, simulator, url, "--lease", "5s", workers=1) as here,
        asyncio.TaskGroup() as group,
    ):
        calls = [simulator.place_call(plan(number)) for number in range(3)]
        for call in calls:
            group.create_task(talk(simulator, call))
        await asyncio.sleep(6.0)
        await asyncio.to_thread(stoppable_postgres.start)
        async with asyncio.timeout(120):
            for call in calls:
                await call.wait_over()
        records = await here.records(calls)
    assert [record.summary.end_reason for record in records] == ["caller_hung_up"] * 3
    assert all(len(record.transcript) >= 4 for record in records)
    assert sorted(here.world.bookings.values()) == [1, 1, 1]
