"""A reload that moves to another address of the API: calls in progress stay, the next ones go there."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp

from sipagent.app import Service, ServiceSettings
from sipagent.config import load_configuration
from sipagent.simulator.call_values import CallSettings as SimulatedCallSettings
from sipagent.simulator.caller import CallPlan, Say
from sipagent.simulator.calls import SimulatedCall
from sipagent.simulator.script import parse_script
from sipagent.simulator.server import Simulator, SimulatorOptions
from sipagent.simulator.speech import SilentVoice
from sipagent.store import MemoryCallStore
from tests.support.eventually import eventually
from tests.support.practice import API_KEY, QUICK, Practice
from tests.support.prompting import say

CONFIGURATION = """
version: 1
openai: {{base_url: "{address}"}}
agents:
  front-desk: {{instructions: Hi., greeting: Hello., tools: [hang_up]}}
routes: [{{agent: front-desk}}]
"""
SCRIPT = "greeting: Hello.\notherwise: {say: Goodbye., call: hang_up}\n"


def simulator() -> Simulator:
    return Simulator(
        SimulatorOptions(
            api_key=API_KEY,
            script=parse_script(SCRIPT, name="test"),
            calls=SimulatedCallSettings(webhook_delay_s=0.02, answer_delay_s=0.05, accept_timeout_s=20),
            virtual_voice=SilentVoice(ms_per_character=5),
        )
    )


async def up(call: SimulatedCall) -> None:
    await eventually(lambda: call.conversation is not None and "Hello" in str(call.conversation.transcript))


async def test_calls_stay_where_they_are_and_the_next_ones_go_to_the_new_address(tmp_path: Path) -> None:
    file = tmp_path / "sipagent.yaml"
    later = CallPlan(steps=(), hangs_up=False)
    soon = CallPlan(steps=(Say(text="Bye."),), hangs_up=False)
    store = MemoryCallStore()
    async with AsyncExitStack() as stack:
        old, new = [await stack.enter_async_context(simulator()) for _ in range(2)]
        file.write_text(CONFIGURATION.format(address=old.base_url), encoding="utf-8")
        loaded = load_configuration(file, {})
        service = await stack.enter_async_context(
            Service(
                front_door=loaded,
                api_key=API_KEY,
                base_url=loaded.base_url,
                webhook_secrets=[old.webhook_secret, new.webhook_secret],
                store=store,
                settings=ServiceSettings(port=0, drain_timeout_s=10, calls=QUICK),
            )
        )
        old.webhook_url = new.webhook_url = service.webhook_url
        first = old.place_call(later)
        await up(first)
        file.write_text(CONFIGURATION.format(address=new.base_url), encoding="utf-8")
        assert (await service.reload()).result == "loaded"
        second = new.place_call(soon)
        await up(second)
        await say(old, first, "Bye.")
        for call in (second, first):
            async with asyncio.timeout(60):
                await call.wait_over()
        desk = Practice(simulator=old, service=service, store=store)
        records = [await desk.ended_record(call.call_id) for call in (first, second)]
        # A third one, when nothing of the old address is left.
        third = new.place_call(soon)
        async with asyncio.timeout(60):
            await third.wait_over()
        records.append(await desk.ended_record(third.call_id))
    endings = [record.summary.end_reason for record in records]
    assert endings == ["agent_hung_up"] * 3, "each was hung up where it was"


async def test_an_address_that_is_none_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "sipagent.yaml"
    file.write_text(CONFIGURATION.format(address="http://127.0.0.1:9/v1"), encoding="utf-8")
    loaded = load_configuration(file, {})
    service = Service(
        front_door=loaded,
        api_key=API_KEY,
        base_url=loaded.base_url,
        webhook_secrets=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        store=MemoryCallStore(),
        settings=ServiceSettings(port=0),
    )
    async with service, aiohttp.ClientSession() as http:
        file.write_text(CONFIGURATION.format(address="nowhere"), encoding="utf-8")
        outcome = await service.reload()
        assert (outcome.result, service.generation.number) == ("failed", 1)
        async with http.get(service.webhook_url.replace("/webhooks/openai", "/readyz")) as answer:
            assert (await answer.json())["configuration"]["problems_at"] == ["sipagent.yaml:3:20"]
