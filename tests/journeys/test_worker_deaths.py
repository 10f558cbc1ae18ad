"""Two workers, fifty calls in every state; one worker is killed, told to go, and frozen past its lease."""

from __future__ import annotations

import asyncio
import signal
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from sipagent.clock import unix_s, utc_now
from sipagent.simulator.call_values import StateChange, Transfer
from sipagent.simulator.caller import At, CallPlan, Say, Step
from sipagent.simulator.calls import SimulatedCall
from sipagent.simulator.script import parse_script
from sipagent.simulator.server import Simulator, SimulatorOptions
from tests.journeys.workers import Company, Worker, company
from tests.support.eventually import eventually
from tests.support.practice import API_KEY, GREETING
from tests.support.prompting import say

pytestmark = pytest.mark.journey

LEASE = "4s"
WRITTEN_IN_S = 0.3
SCRIPT = """
greeting: Hello.
otherwise: "You said: {caller}"
reactions:
  - said: book
    call: {tool: book, with: {day: Tuesday}, then: "It says: {output}"}
  - said: billing
    say: I connect you.
    call: {tool: transfer, with: {target: billing}}
  - said: goodbye
    say: Goodbye then.
    call: hang_up
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What a caller does, and how the call must end whatever happens to the workers."""

    words: str | None
    at_s: float
    ends: str


KINDS = {
    "talks": Kind(words="Tell me more.", at_s=6.0, ends="caller_hung_up"),
    "books": Kind(words="Please book me in.", at_s=5.0, ends="caller_hung_up"),
    "is transferred": Kind(words="I want billing.", at_s=5.0, ends="transferred"),
    "says goodbye": Kind(words="That is all, goodbye.", at_s=5.0, ends="agent_hung_up"),
    "listens": Kind(words=None, at_s=0.0, ends="caller_hung_up"),
}


def plan(kind: Kind, number: int) -> CallPlan:
    steps: list[Step] = []
    if kind.words is not None:
        steps.append(Say(text=kind.words, when=At(since_answer_s=kind.at_s)))
    transfers = (Transfer(after_s=1.0),)
    return CallPlan(caller=f"+1555010{number:04d}", steps=tuple(steps), hangs_up=False, transfers=transfers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    kind: str
    number: int
    call: SimulatedCall


async def fifty(here: Company, first_number: int, over_s: float) -> list[Placed]:
    """Fifty calls, placed over some seconds, so that they are everywhere when something happens."""
    placed = []
    for number in range(50):
        kind = list(KINDS)[number % len(KINDS)]
        call = here.simulator.place_call(plan(KINDS[kind], first_number + number))
        placed.append(Placed(kind=kind, number=first_number + number, call=call))
        await asyncio.sleep(over_s / 50)
    return placed


async def struck_when_ends_are_written(
    placed: list[Placed], worker: Worker, blow: signal.Signals
) -> datetime:
    """Strike ``worker`` when no call has ended a moment ago, and say when that was.

    An end that nobody had written yet is found by the next worker, who can only say that the call is gone.
    """
    over = [one.call.history for one in placed]
    await eventually(
        lambda: all(unix_s() - history[-1].at_s > WRITTEN_IN_S for history in over if _is_over(history))
    )
    worker.signal(blow)
    return utc_now()


def _is_over(history: list[StateChange]) -> bool:
    return history[-1].state.is_over


async def to_the_end(simulator: Simulator, placed: Placed) -> None:
    """Let a caller who stays on the line ask once more, be answered, and hang up."""
    call, kind = placed.call, KINDS[placed.kind]
    if kind.ends == "caller_hung_up":
        await eventually(lambda: kind.words is None or kind.words in heard(call))
        await say(simulator, call, "Still there?")
        call.hang_up_as_caller()
    await call.wait_over()


async def judged(
    here: Company, placed: list[Placed], capsys: pytest.CaptureFixture[str], what: str, struck_at: datetime
) -> None:
    """Nothing was lost, and nothing was done twice. A pause lasts from the moment of the blow until another
    worker has the call."""
    async with asyncio.timeout(180), asyncio.TaskGroup() as group:
        for one in placed:
            group.create_task(to_the_end(here.simulator, one))
    records = await here.records([one.call for one in placed])
    lost = []
    for one, record in zip(placed, records, strict=True):
        expected = KINDS[one.kind].ends
        if record.summary.end_reason != expected:
            lost.append(f"{one.kind} {one.call.call_id}: {record.summary.end_reason}: {record.end_detail}")
        assert len([state for state in record.states if state.state == "ended"]) == 1, record.states
        caller = f"+1555010{one.number:04d}"
        assert here.world.bookings[caller] <= 1, "a booking was made twice"
        if one.kind == "books" and here.world.bookings[caller] == 0:
            # Begun by a worker that was gone before it had asked: nobody knows, and the caller is told.
            assert any("Nobody knows" in line for line in said(one.call)), said(one.call)
        assert greetings(one.call) <= 1, "greeted twice"
    taken_at = [note.at for record in records for note in record.notes if note.kind == "adopted"]
    pauses = sorted((at - struck_at).total_seconds() for at in taken_at)
    with capsys.disabled():
        sys.stdout.write(
            f"\n{what}: {len(placed)} calls, {len(taken_at)} adopted, {len(lost)} lost; "
            f"pause p50 {quantile(pauses, 0.5):.2f} s, p99 {quantile(pauses, 0.99):.2f} s\n"
        )
    assert not lost, lost


def heard(call: SimulatedCall) -> list[str]:
    """What the caller said."""
    lines = [] if call.conversation is None else call.conversation.transcript
    return [line.text for line in lines if line.role == "caller"]


def said(call: SimulatedCall) -> list[str]:
    """What the agent said."""
    lines = [] if call.conversation is None else call.conversation.transcript
    return [line.text for line in lines if line.role == "agent"]


def greetings(call: SimulatedCall) -> int:
    return sum(GREETING in line for line in said(call))


def quantile(values: list[float], part: float) -> float:
    return values[min(len(values) - 1, int(len(values) * part))] if values else 0.0


@pytest.mark.timeout(600)
async def test_fifty_calls_outlive_a_kill_a_term_and_a_freeze(
    tmp_path: Path, postgres_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = SimulatorOptions(api_key=API_KEY, script=parse_script(SCRIPT, name="test"))
    async with (
        Simulator(options) as simulator,
        company(tmp_path, simulator, postgres_url, "--lease", LEASE, workers=2) as here,
    ):
        first, second = here.workers
        placed = await fifty(here, 0, over_s=8.0)
        struck_at = await struck_when_ends_are_written(placed, first, signal.SIGKILL)
        await judged(here, placed, capsys, "kill -9", struck_at)

        third = await here.start()
        placed = await fifty(here, 100, over_s=8.0)
        struck_at = utc_now()
        second.signal(signal.SIGTERM)
        assert await second.ended() == 0
        await judged(here, placed, capsys, "kill -TERM", struck_at)

        fourth = await here.start()
        placed = await fifty(here, 200, over_s=8.0)
        struck_at = await struck_when_ends_are_written(placed, third, signal.SIGSTOP)
        await asyncio.sleep(8.0)
        third.signal(signal.SIGCONT)
        await judged(here, placed, capsys, "frozen for 8 s", struck_at)
        assert await third.is_ready()
        assert await fourth.is_ready()
