"""Commands at a command line of their own, for calls that other processes hold; one of those dies over it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from sipagent.simulator.caller import CallPlan
from sipagent.simulator.calls import SimulatedCall
from sipagent.simulator.script import parse_script
from sipagent.simulator.server import Simulator, SimulatorOptions
from tests.journeys.workers import Company, Worker, company
from tests.support.eventually import eventually
from tests.support.practice import API_KEY, GREETING

pytestmark = pytest.mark.journey

SCRIPT = "greeting: Hello.\notherwise: I see.\n"
LISTENS = CallPlan(steps=(), hangs_up=False)
WORDS = "We close in five minutes."


def heard(call: SimulatedCall, words: str) -> int:
    """How often the caller has heard ``words``."""
    return (
        0 if call.conversation is None else sum(line.text == words for line in call.conversation.transcript)
    )


async def calls(here: Company, *arguments: str) -> tuple[int, Any]:
    """Exit code and JSON of `sipagent calls`, as a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sipagent", "calls", *arguments, "--json",
        env={**os.environ, "SIPAGENT_DATABASE_URL": here.database_url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(90):
        output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, json.loads(output)


async def held(here: Company) -> dict[str, str]:
    """Which worker holds which call."""
    _, rows = await calls(here, "list", "--live")
    return {row["call_id"]: row["worker"] for row in rows}


async def worker_called(here: Company, name: str) -> Worker:
    """The process that calls itself so."""
    _, rows = await calls(here, "workers")
    (process_id,) = [int(row["name"].rpartition(":")[2]) for row in rows if row["worker"] == name]
    (found,) = [worker for worker in here.workers if worker.process.pid == process_id]
    return found


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_whichever_process_holds_a_call(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    database = f"sqlite:///{tmp_path / 'calls.db'}"
    if kind == "postgresql":
        database = request.getfixturevalue("postgres_url")
    options = SimulatorOptions(api_key=API_KEY, script=parse_script(SCRIPT, name="test"))
    async with (
        Simulator(options) as simulator,
        company(tmp_path, simulator, database, "--lease", "30s", workers=2) as here,
    ):
        placed = [simulator.place_call(LISTENS) for _ in range(4)]
        for call in placed:
            await eventually(lambda call=call: heard(call, GREETING), within_s=60)  # type: ignore[misc]
        holders = await held(here)
        assert set(holders) == {call.call_id for call in placed}
        assert len(set(holders.values())) == 2, "both hold some"

        one_of_each = {holders[call.call_id]: call for call in reversed(placed)}.values()
        for call in one_of_each:
            code, said = await calls(here, "say", call.call_id, WORDS)
            assert (code, said["outcome"]) == (0, "done"), said
            await eventually(lambda call=call: heard(call, WORDS))  # type: ignore[misc]
        first = placed[0]
        code, said = await calls(here, "hangup", first.call_id)
        assert code == 0, said
        async with asyncio.timeout(60):
            await first.wait_over()
        (record,) = await here.records([first])
        assert record.summary.end_reason == "hung_up_by_operator"
        code, said = await calls(here, "say", first.call_id, WORDS)
        assert code == 3, "it is over"

        # Frozen: nobody answers, and nothing is done later. Dead: whoever adopts the call does it.
        second = next(call for call in one_of_each if call is not first)
        worker = await worker_called(here, holders[second.call_id])
        worker.signal(signal.SIGSTOP)
        code, said = await calls(here, "say", second.call_id, "Never said.", "--timeout", "500ms")
        assert (code, said["outcome"]) == (4, "no_answer"), said
        worker.signal(signal.SIGKILL)
        await worker.ended()
        code, said = await calls(here, "say", second.call_id, "Said by another.", "--timeout", "45s")
        assert (code, said["outcome"]) == (0, "done"), said
        await eventually(lambda: heard(second, "Said by another."))
        assert heard(second, "Said by another.") == 1
        assert heard(second, "Never said.") == 0
        assert (await held(here))[second.call_id] != holders[second.call_id]

        code, said = await calls(here, "hangup", second.call_id, "--now", "--timeout", "45s")
        assert code == 0, said
        (record,) = await here.records([second])
        assert record.summary.end_reason == "hung_up_by_operator"
        _, shown = await calls(here, "show", second.call_id)
    assert [(line["verb"], line["outcome"]) for line in shown["commands"]] == [
        ("say", "done"),
        ("say", "taken_back"),
        ("say", "done"),
        ("hangup", "done"),
    ]
