"""A chat against the simulator, and a view that remembers what it was told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from sipagent.calls import AgentProfile, CallTool, Greeting, TransferTarget
from sipagent.calls.chat import SILENCE_TIMEOUT_S, Chat
from sipagent.calls.chat_call import PretendedCall
from sipagent.calls.template import Template
from sipagent.realtime import FunctionTool, RealtimeAgent
from sipagent.realtime.agent import Instructions
from sipagent.simulator.faults import FaultSet
from sipagent.simulator.script import parse_script
from sipagent.simulator.server import Simulator, SimulatorOptions
from sipagent.simulator.speech import SilentVoice

API_KEY = "key-of-the-test"


@dataclass
class Told:
    """A `ChatView`. Each entry of ``all`` begins with the name of the method."""

    approves: bool = True
    all: list[tuple[str, ...]] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    never_answers: bool = False
    spoke: asyncio.Event = field(default_factory=asyncio.Event)
    words: dict[str, str] = field(default_factory=dict)

    def said(self, agent: str, words: str) -> None:
        self.words[agent] = self.words.get(agent, "") + words
        self.spoke.set()

    def line(self, agent: str, text: str, *, interrupted: bool) -> None:
        self.all.append(("cut" if interrupted else "line", agent, text))

    def tool_started(self, name: str, arguments: str) -> None:
        self.all.append(("tool_started", name))

    def tool_ended(
        self, name: str, arguments: str, output: str, *, is_error: bool, duration_ms: float
    ) -> None:
        assert duration_ms >= 0
        self.all.append(("tool_failed" if is_error else "tool_ended", name, arguments, output))

    def handed_off(self, from_agent: str, to_agent: str) -> None:
        self.all.append(("handed_off", from_agent, to_agent))

    def guardrail_tripped(self, guardrail: str, words: str) -> None:
        self.all.append(("guardrail_tripped", guardrail))

    def failed(self, message: str) -> None:
        self.all.append(("failed", message))

    async def approve(self, name: str, arguments: str) -> bool:
        self.all.append(("approve", name, arguments))
        self.asked.set()
        if self.never_answers:
            await asyncio.Event().wait()
        return self.approves

    def of(self, *kinds: str) -> list[tuple[str, ...]]:
        """The entries of these kinds."""
        return [entry for entry in self.all if entry[0] in kinds]


def profile(
    *, agent: RealtimeAgent[None] | None = None, greeting: str | None = None, **changes: object
) -> AgentProfile:
    """An agent that may hang up and transfer, with the settings that calls have."""
    instructions: str | Instructions = "You answer the phone of a dental practice."
    tools: list[FunctionTool] = []
    return AgentProfile(
        name="front-desk",
        agent=agent or RealtimeAgent(name="front-desk", instructions=instructions, tools=tools),
        settings={
            "model_name": "gpt-realtime-2.1",
            "voice": "marin",
            "speed": 1.1,
            "input_audio_format": "g711_ulaw",
            "output_audio_format": "g711_ulaw",
            "input_audio_noise_reduction": {"type": "near_field"},
            "input_audio_transcription": {"model": "gpt-transcribe"},
            "turn_detection": {"type": "server_vad", "idle_timeout_ms": 5000},
        },
        greeting=None if greeting is None else Greeting(text=Template(greeting)),
        call_tools=(CallTool.HANG_UP, CallTool.TRANSFER),
        transfer_targets=(
            TransferTarget(name="billing", uris=("tel:+15550100001",), description="invoices and payments"),
        ),
    )


@asynccontextmanager
async def chatting(
    script: str,
    *,
    who: AgentProfile | None = None,
    told: Told | None = None,
    faults: str = "",
    pace: float = 50,
    silence_timeout_s: float = SILENCE_TIMEOUT_S,
    pretended: PretendedCall | None = None,
) -> AsyncIterator[tuple[Chat, Told]]:
    """A chat that was entered, with a pretended model that follows ``script`` (YAML)."""
    plan = parse_script(f"pace: {pace}\ndelay_ms: 5\n{script}", name="test")
    options = SimulatorOptions(
        script=plan, api_key=API_KEY, voice=SilentVoice(), faults=FaultSet.parse(faults)
    )
    told = told or Told()
    async with (
        asyncio.timeout(60),
        Simulator(options) as simulator,
        Chat(
            who or profile(),
            api_key=API_KEY,
            base_url=simulator.base_url,
            view=told,
            silence_timeout_s=silence_timeout_s,
            pretended=pretended,
        ) as chat,
    ):
        yield chat, told
