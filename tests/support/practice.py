"""A dental practice whose telephone works: simulator and service joined on one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sipagent.app import Service, ServiceSettings
from sipagent.calls import (
    AgentProfile,
    CallLimits,
    CallSettings,
    CallTool,
    FrontDoor,
    Greeting,
    Manners,
    Route,
    TransferTarget,
)
from sipagent.calls.template import Template
from sipagent.carrier.settings import CarrierSettings
from sipagent.config import Loaded
from sipagent.identifiers import CallId
from sipagent.realtime import AttachPolicy, FunctionTool, RealtimeAgent, function_tool
from sipagent.simulator.call_values import CallSettings as SimulatedCallSettings
from sipagent.simulator.caller import CallPlan
from sipagent.simulator.calls import SimulatedCall
from sipagent.simulator.script import Script, parse_script
from sipagent.simulator.server import Simulator, SimulatorOptions
from sipagent.simulator.webhooks import WebhookSettings
from sipagent.store import CallRecord, CallStore, MemoryCallStore, Store

API_KEY = "sk-test-key"
GREETING = "Harbor Dental, good morning. How can I help?"

QUICK = CallSettings(
    answer_timeout_s=8.0,
    finish_speaking_timeout_s=5.0,
    transfer_confirm_s=3.0,
    limits=CallLimits(model_silence_s=5.0, caller_silence_s=20.0, maximum_duration_s=90.0),
    attach=AttachPolicy(not_found_deadline_s=3.0, reattach_deadline_s=5.0),
)
"""Patience fit for tests, on a machine that now and then stands still for a second; everything else is as in
service."""


@function_tool
def next_free_slot(treatment: str) -> str:
    """Find the next free slot."""
    return f"Tuesday at ten fifteen for a {treatment}"


def front_door(
    *,
    tools: list[FunctionTool] | None = None,
    greeting: str | None = GREETING,
    transfer_uri: str = "tel:+15550100001",
    manners: Manners | None = None,
) -> FrontDoor:
    """One agent that answers everybody."""
    profile = AgentProfile(
        name="front-desk",
        agent=RealtimeAgent(
            name="front-desk",
            instructions="You answer the phone of a dental practice. Be brief and kind.",
            tools=[next_free_slot] if tools is None else tools,
        ),
        settings={
            "model_name": "gpt-realtime-2.1",
            "voice": "marin",
            "input_audio_transcription": {"model": "gpt-transcribe"},
            "turn_detection": {"type": "server_vad", "threshold": 0.5, "silence_duration_ms": 500},
        },
        greeting=None if greeting is None else Greeting(text=Template(greeting)),
        call_tools=(CallTool.HANG_UP, CallTool.TRANSFER),
        manners=Manners() if manners is None else manners,
        transfer_targets=(
            TransferTarget(name="billing", uris=(transfer_uri,), description="invoices and payments"),
        ),
    )
    return FrontDoor(
        profiles={"front-desk": profile}, routes=(Route(agent="front-desk"),), fingerprint="c0ffee"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Practice:
    """Both sides, running."""

    simulator: Simulator
    service: Service
    store: CallStore

    async def call(self, plan: CallPlan | None = None) -> SimulatedCall:
        """Place a virtual call and return when it is over on the simulator's side."""
        call = self.simulator.place_call(plan or CallPlan())
        async with asyncio.timeout(100):
            await call.wait_over()
        return call

    async def ended_record(self, call_id: CallId) -> CallRecord:
        """The record of a call, once its terminal fact is written."""
        async with asyncio.timeout(60):
            while True:
                record = await self.store.call(call_id)
                if record is not None and record.summary.end_reason is not None:
                    return record
                await asyncio.sleep(0.02)  # a store is asked, it does not tell


@asynccontextmanager
async def practice(
    *,
    door: FrontDoor | Loaded | None = None,
    script: Script | str | None = None,
    store: Store | None = None,
    calls: CallSettings = QUICK,
    simulated: SimulatedCallSettings | None = None,
    carriers: CarrierSettings | None = None,
    **options: Any,
) -> AsyncIterator[Practice]:
    """Start simulator and service, and point them at each other. ``script`` may be YAML text."""
    if isinstance(script, str):
        script = parse_script(script, name="test")
    if script is not None:
        options["script"] = script
    simulator_options = SimulatorOptions(
        api_key=API_KEY,
        calls=simulated
        or SimulatedCallSettings(webhook_delay_s=0.02, answer_delay_s=0.05, accept_timeout_s=10),
        webhooks=WebhookSettings(),
        **options,
    )
    store = store or MemoryCallStore()
    async with Simulator(simulator_options) as simulator:
        service = Service(
            front_door=door or front_door(),
            api_key=API_KEY,
            base_url=simulator.base_url,
            webhook_secrets=[simulator.webhook_secret],
            store=store,
            settings=ServiceSettings(port=0, drain_timeout_s=10, calls=calls),
            carriers=carriers,
        )
        async with service:
            simulator.webhook_url = service.webhook_url
            yield Practice(simulator=simulator, service=service, store=store)
