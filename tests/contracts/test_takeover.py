"""A telephone call whose process is gone, taken over by another: over real sockets, against the simulator."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from sipagent.errors import NotOursError
from sipagent.realtime import (
    FunctionTool,
    OpenAIRealtimeSIPModel,
    RealtimeAgent,
    RealtimeModelConfig,
    RealtimeRunner,
    RealtimeSession,
    RealtimeSessionEvent,
    RealtimeTakeover,
    RealtimeTranscriptLine,
    SendPermission,
    function_tool,
)
from sipagent.simulator.call_values import CallSettings
from sipagent.simulator.caller import CallPlan
from sipagent.simulator.calls import SimulatedCall
from sipagent.simulator.conversation import Conversation
from sipagent.simulator.script import Script, parse_script
from sipagent.simulator.server import Simulator, SimulatorOptions
from sipagent.simulator.speech import SilentVoice
from tests.simulator.receiver import WebhookReceiver, webhook_receiver
from tests.support.eventually import eventually

LIMIT_S = 60.0
GREETING = "Good morning, this is the practice, and we have a great deal of time for you today."
SCRIPT = f"""
delay_ms: 1
greeting: {GREETING}
turns:
  - say: One moment.
    call: {{tool: next_free_slot, with: {{day: monday}}, then: "It is {{output}}."}}
otherwise: I see.
"""
SLOT = {
    "type": "function",
    "name": "next_free_slot",
    "parameters": {"type": "object", "properties": {"day": {"type": "string"}}},
}


@dataclass
class Slots:
    """A tool that takes its time, and how often it was begun."""

    answers: asyncio.Event = field(default_factory=asyncio.Event)
    begun: int = 0

    def tool(self, slot: str) -> FunctionTool:
        @function_tool
        async def next_free_slot(day: str) -> str:
            """The next free slot."""
            self.begun += 1
            await self.answers.wait()
            return slot

        return next_free_slot


class Lost:
    """A permission that can be lost for good."""

    held = True

    async def wait(self) -> None:
        """See `SendPermission.wait`."""
        raise NotOursError("the call is another's")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A call that is up, and a way to attach to it."""

    simulator: Simulator
    call: SimulatedCall

    @property
    def conversation(self) -> Conversation:
        assert self.call.conversation is not None
        return self.call.conversation

    async def attach(
        self,
        *tools: FunctionTool,
        takeover: RealtimeTakeover | None = None,
        permission: SendPermission | None = None,
        instructions: str = "Be kind.",
    ) -> RealtimeSession:
        agent = RealtimeAgent[Any](name="Practice", instructions=instructions, tools=list(tools))
        config: RealtimeModelConfig = {
            "api_key": "sk-test",
            "base_url": self.simulator.base_url,
            "call_id": self.call.call_id,
        }
        if permission is not None:
            config["permission"] = permission
        runner = RealtimeRunner(agent, model=OpenAIRealtimeSIPModel())
        session = await runner.run(model_config=config, takeover=takeover)
        async with asyncio.timeout(LIMIT_S):
            return await session.enter()


@pytest.fixture
async def receiver() -> AsyncIterator[WebhookReceiver]:
    async with webhook_receiver() as receiver:
        yield receiver


@pytest.fixture
async def line(receiver: WebhookReceiver) -> AsyncIterator[Line]:
    script: Script = parse_script(SCRIPT, name="test.yaml")
    options = SimulatorOptions(
        media="virtual",
        api_key="sk-test",
        script=script,
        webhook_url=receiver.url,
        virtual_voice=SilentVoice(ms_per_character=10),
        calls=CallSettings(webhook_delay_s=0, answer_delay_s=0),
    )
    async with Simulator(options) as simulator:
        call = simulator.place_call(CallPlan(steps=(), hangs_up=False))
        call.accept(
            {"type": "realtime", "model": "gpt-realtime-2.1", "instructions": "Be kind.", "tools": [SLOT]}
        )
        async with asyncio.timeout(LIMIT_S):
            assert await call.wait_answered()
        yield Line(simulator=simulator, call=call)


async def heard(line: Line, text: str) -> None:
    """Return when the agent has said ``text``."""
    await eventually(lambda: text in [each.text for each in line.conversation.transcript])


async def lines_until(session: RealtimeSession, text: str) -> list[RealtimeTranscriptLine]:
    """The lines of the transcript that a session tells, up to one that is ``text``."""
    lines: list[RealtimeTranscriptLine] = []
    async with asyncio.timeout(LIMIT_S):
        async for event in session:
            if isinstance(event, RealtimeTranscriptLine):
                lines.append(event)
                if event.text == text:
                    break
    return lines


async def test_a_sentence_goes_on_and_is_said_once(line: Line) -> None:
    first = await line.attach(Slots().tool("nine"))
    await first.request_response()
    await eventually(lambda: line.conversation.events_sent["response.output_audio_transcript.delta"])
    await first.close()
    second = await line.attach(Slots().tool("nine"), takeover=RealtimeTakeover())
    assert second.takeover_outcome is not None
    assert not second.takeover_outcome.is_empty
    lines = await lines_until(second, GREETING)
    assert lines[-1].final
    await second.close()
    assert line.conversation.events_received["response.create"] == 1
    assert line.conversation.events_received["response.cancel"] == 0
    assert line.conversation.events_received["refused"] == 0
    assert line.conversation.events_received["session.update"] == 1, "the first one set it up"


async def greeted(line: Line, session: RealtimeSession) -> None:
    """Let the agent greet, and the caller ask for a slot."""
    await session.request_response()
    await heard(line, GREETING)
    await eventually(lambda: line.conversation.agent_is_idle)
    line.call.caller_speech_started()
    line.call.caller_speech_stopped("Have you a free slot?")


async def test_a_tool_call_that_died_with_its_process_is_found_and_run(line: Line) -> None:
    slots = Slots()
    first = await line.attach(slots.tool("nine"))
    await greeted(line, first)
    await eventually(lambda: slots.begun == 1)
    await first.close()
    slots.answers.set()
    second = await line.attach(slots.tool("ten"), takeover=RealtimeTakeover())
    await heard(line, "It is ten.")
    await second.close()
    assert slots.begun == 2
    assert list(line.conversation.tool_outputs.values()) == [1]
    assert [each.text for each in line.conversation.transcript if each.role == "agent"] == [
        GREETING, "One moment.", "It is ten."
    ]  # fmt: skip


async def test_an_output_that_was_sent_last_is_spoken_of(line: Line) -> None:
    slots = Slots()
    first = await line.attach(slots.tool("nine"))
    await greeted(line, first)
    await eventually(lambda: slots.begun == 1)
    await first.close()
    (tool_call_id,) = line.conversation.tool_outputs
    item = {"id": "fco_1", "type": "function_call_output", "call_id": tool_call_id, "output": "nine"}
    line.conversation.receive(json.dumps({"type": "conversation.item.create", "item": item}))
    second = await line.attach(slots.tool("ten"), takeover=RealtimeTakeover())
    await heard(line, "It is nine.")
    await second.close()
    assert slots.begun == 1
    assert list(line.conversation.tool_outputs.values()) == [1]


async def test_a_process_that_wakes_up_too_late_says_nothing(line: Line) -> None:
    slots, permission = Slots(), Lost()
    first = await line.attach(slots.tool("nine"), permission=permission)
    await greeted(line, first)
    await eventually(lambda: slots.begun == 1)
    permission.held = False  # frozen: its socket stays open
    awake = Slots()
    awake.answers.set()
    second = await line.attach(awake.tool("ten"), takeover=RealtimeTakeover())
    assert len(line.call.controllers.sockets) == 2
    await heard(line, "It is ten.")
    commands = line.call.controllers.attachments[0].commands
    slots.answers.set()
    with pytest.raises(NotOursError):
        await first.add_system_message("The caller is in a hurry.")
    with pytest.raises(NotOursError):
        await first.interrupt()
    await first.request_response()  # waits until it may be asked for, which is never
    await first.close()
    await eventually(lambda: len(line.call.controllers.sockets) == 1)
    assert line.call.controllers.attachments[0].commands == commands
    assert list(line.conversation.tool_outputs.values()) == [1]
    await second.close()


async def test_a_handoff_that_was_lost_is_told_again(line: Line) -> None:
    first = await line.attach(Slots().tool("nine"))
    await first.close()
    second = await line.attach(
        Slots().tool("nine"), takeover=RealtimeTakeover(), instructions="You are the doctor now."
    )
    await eventually(lambda: line.conversation.session["instructions"] == "You are the doctor now.")
    await second.close()
    assert line.conversation.events_received["refused"] == 0


async def test_whoever_takes_over_hears_all_that_comes_then(line: Line) -> None:
    first = await line.attach(Slots().tool("nine"))
    second = await line.attach(Slots().tool("nine"), takeover=RealtimeTakeover())
    kinds: list[str] = []

    async def follow() -> None:
        event: RealtimeSessionEvent
        async for event in second:
            kinds.append(event.type)

    async with asyncio.TaskGroup() as group:
        group.create_task(follow())
        await second.request_response()
        await heard(line, GREETING)
        await eventually(lambda: "response_ended" in kinds)
        await second.close()
    await first.close()
    assert "history_added" in kinds
    assert all("takeover" not in item.item_id for item in second.history)
