"""What a deploy, and what a crash, does to calls."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from sipagent.simulator.call_values import CallState
from sipagent.simulator.caller import CallPlan, Say
from sipagent.simulator.calls import SimulatedCall
from sipagent.simulator.script import parse_script
from sipagent.simulator.server import Simulator, SimulatorOptions
from sipagent.store import CallRecord, open_store
from tests.journeys.serving import Serving, serving
from tests.support.eventually import eventually
from tests.support.practice import API_KEY
from tests.support.prompting import say

pytestmark = pytest.mark.journey

SCRIPT = parse_script("greeting: Hello.\notherwise: I see.\n", name="test")

SAYS_HELLO = CallPlan(steps=(Say(text="Hello?"),), hangs_up=False)


def simulator() -> Simulator:
    return Simulator(SimulatorOptions(api_key=API_KEY, script=SCRIPT))


async def greeted(call: SimulatedCall) -> None:
    """Return when the agent has begun to speak."""
    await eventually(lambda: call.conversation is not None and call.conversation.transcript)


async def records(service: Serving, *calls: SimulatedCall) -> list[CallRecord]:
    """The records of ``calls`` as a stranger reads them from the file."""
    store = open_store(service.database_url)
    await store.open()
    try:
        found = [await store.call(call.call_id) for call in calls]
    finally:
        await store.aclose()
    assert None not in found
    return [record for record in found if record is not None]


async def written(service: Serving, call: SimulatedCall, words: str) -> None:
    """Return when ``words`` are in the record of ``call``: facts may wait a little to be written together."""
    store = open_store(service.database_url)
    await store.open()
    try:
        async with asyncio.timeout(60):
            while True:
                record = await store.call(call.call_id)
                if record is not None and words in [line.text for line in record.transcript]:
                    return
                await asyncio.sleep(0.1)  # a file is asked, it does not tell
    finally:
        await store.aclose()


async def test_sigterm_refuses_new_calls_and_lets_live_ones_finish(tmp_path: Path) -> None:
    async with simulator() as openai, serving(tmp_path, openai) as service:
        live = [openai.place_call(SAYS_HELLO) for _ in range(3)]
        for call in live:
            await eventually(lambda call=call: "Hello?" in said(call))  # type: ignore[misc]
        service.signal(signal.SIGTERM)
        await service.until("/readyz", 503)
        assert (await service.get("/healthz"))[0] == 200
        late = openai.place_call(CallPlan())
        await late.wait_over()
        assert late.state is CallState.REJECTED
        assert getattr(late.leg, "final_status") == 503  # noqa: B009 - a virtual leg's, behind the protocol
        assert all(not call.state.is_over for call in live), "nobody was cut off"
        for call in live:
            await say(openai, call, "Are you there?")
            call.hang_up_as_caller()
        assert await service.exit_code() == 0
        finished = await records(service, *live)
        (refused,) = await records(service, late)
    assert [record.summary.end_reason for record in finished] == ["caller_hung_up"] * 3
    assert "Are you there?" in [line.text for line in finished[0].transcript]
    assert (refused.summary.end_reason, refused.summary.fault_owner) == ("rejected_draining", "operator")


async def test_calls_that_outlast_the_drain_are_hung_up_and_say_so(tmp_path: Path) -> None:
    async with simulator() as openai, serving(tmp_path, openai, "--drain-timeout", "1s") as service:
        call = openai.place_call(CallPlan(steps=(), hangs_up=False))
        await greeted(call)
        service.signal(signal.SIGTERM)
        assert await service.exit_code() == 0
        await call.wait_over()
        (record,) = await records(service, call)
    assert (record.summary.end_reason, record.summary.fault_owner) == ("service_stopped", "operator")


async def test_a_second_signal_ends_the_drain_at_once(tmp_path: Path) -> None:
    async with simulator() as openai, serving(tmp_path, openai, "--drain-timeout", "10m") as service:
        call = openai.place_call(CallPlan(steps=(), hangs_up=False))
        await greeted(call)
        service.signal(signal.SIGINT)
        await service.until("/readyz", 503)
        service.signal(signal.SIGINT)
        assert await service.exit_code() == 0
        await call.wait_over()


async def test_after_kill_9_the_record_shows_what_happened_up_to_then(tmp_path: Path) -> None:
    async with simulator() as openai, serving(tmp_path, openai) as service:
        call = openai.place_call(SAYS_HELLO)
        await eventually(lambda: "Hello?" in said(call))
        await written(service, call, "Hello?")
        service.signal(signal.SIGKILL)
        await service.exit_code()
        (record,) = await records(service, call)
        call.hang_up_as_caller()
    assert record.summary.state == "talking"
    assert record.summary.end_reason is None
    assert [change.state for change in record.states] == ["ringing", "accepting", "attaching", "talking"]
    assert [line.role for line in record.transcript][:2] == ["agent", "caller"]
    assert {latency.name for latency in record.latencies} >= {
        "webhook_to_accept",
        "webhook_to_greeting_asked",
    }


def said(call: SimulatedCall) -> list[str]:
    return [] if call.conversation is None else [line.text for line in call.conversation.transcript]
