"""Each turn of a session is told of once, when it is over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from sipagent.clock import monotonic_s
from sipagent.identifiers import ItemId, ResponseId, ToolCallId
from sipagent.realtime import (
    RealtimeAgent,
    RealtimeModelAudioEvent,
    RealtimeModelCallerSpeechStartedEvent,
    RealtimeModelCallerSpeechStoppedEvent,
    RealtimeModelOutputTextDeltaEvent,
    RealtimeModelPlaybackEvent,
    RealtimeModelRequestResponse,
    RealtimeModelResponseRequestedEvent,
    RealtimeModelSendToolOutput,
    RealtimeModelToolCallEvent,
    RealtimeModelTranscriptDeltaEvent,
    RealtimeModelTurnEndedEvent,
    RealtimeModelTurnStartedEvent,
    RealtimeRunner,
    RealtimeSession,
    RealtimeSessionEvent,
    RealtimeTurnMetrics,
    function_tool,
)
from sipagent.realtime.testing import ScriptedRealtimeModel
from tests.realtime.peer import PATIENCE_S

R1, R2, R3 = ResponseId("r1"), ResponseId("r2"), ResponseId("r3")
ITEM = ItemId("item_1")
STOPPED = RealtimeModelCallerSpeechStoppedEvent(item_id=ITEM)
SPEAKS = RealtimeModelCallerSpeechStartedEvent(item_id=ITEM)


def began(response_id: ResponseId = R1, *, out_of_band: bool = False) -> RealtimeModelTurnStartedEvent:
    return RealtimeModelTurnStartedEvent(response_id=response_id, out_of_band=out_of_band)


def ended(response_id: ResponseId = R1, status: Any = "completed") -> RealtimeModelTurnEndedEvent:
    return RealtimeModelTurnEndedEvent(response_id=response_id, status=status)


def words(response_id: ResponseId = R1) -> RealtimeModelTranscriptDeltaEvent:
    return RealtimeModelTranscriptDeltaEvent(item_id=ITEM, delta="Hello ", response_id=response_id)


def plays(change: Any = "started", response_id: ResponseId = R1) -> RealtimeModelPlaybackEvent:
    return RealtimeModelPlaybackEvent(change=change, response_id=response_id)


def calls(name: str, number: int, response_id: ResponseId = R1) -> RealtimeModelToolCallEvent:
    return RealtimeModelToolCallEvent(
        name=name, call_id=ToolCallId(f"call_{number}"), arguments="{}", response_id=response_id
    )


@dataclass
class Talk:
    """A session, and everything it has told so far."""

    model: ScriptedRealtimeModel
    session: RealtimeSession
    events: list[RealtimeSessionEvent] = field(default_factory=list)
    more: asyncio.Event = field(default_factory=asyncio.Event)

    async def listen(self) -> None:
        async for event in self.session:
            self.events.append(event)
            self.more.set()

    @property
    def turns(self) -> list[RealtimeTurnMetrics]:
        return [event for event in self.events if isinstance(event, RealtimeTurnMetrics)]

    async def turn(self, number: int = 1) -> RealtimeTurnMetrics:
        """The turn of this number, as soon as it was told."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.turns) < number:
                self.more.clear()
                await self.more.wait()
        return self.turns[number - 1]

    async def emit(self, *events: Any) -> None:
        await self.model.emit(*events)
        await asyncio.sleep(0)


@asynccontextmanager
async def talk(agent: RealtimeAgent[None] | None = None, **config: Any) -> AsyncIterator[Talk]:
    model = ScriptedRealtimeModel()
    runner = RealtimeRunner(agent or RealtimeAgent(name="a"), model=model, config=config or None)  # type: ignore[arg-type]
    async with await runner.run() as session:
        held = Talk(model, session)
        listening = asyncio.create_task(held.listen())
        yield held
        await session.close()
        await listening


async def test_a_turn_is_told_when_it_was_heard_to_its_end() -> None:
    async with talk() as held:
        began_at = monotonic_s()
        await held.emit(SPEAKS, STOPPED, began(), words(), words(), plays(), words(), ended())
        assert held.turns == []
        await held.emit(plays("stopped"))
        metrics = await held.turn()
        took_ms = (monotonic_s() - began_at) * 1000
        assert metrics.first_word_ms is not None
        assert metrics.first_text_ms is not None
        assert 0 <= metrics.first_text_ms <= metrics.first_word_ms <= took_ms
        assert metrics.response_ids == (R1,)
        assert not metrics.interrupted
        assert held.events[-1] is metrics
        assert metrics.info.context.usage is held.session.usage


async def test_a_greeting_is_measured_from_its_request() -> None:
    async with talk() as held:
        await held.emit(RealtimeModelResponseRequestedEvent(event_id="e1"))
        await asyncio.sleep(0.02)
        await held.emit(began(), words(), plays(), ended(), plays("stopped"))
        metrics = await held.turn()
        assert metrics.first_word_ms is None
        assert metrics.requested_ms is not None
        assert metrics.requested_ms >= 20


async def test_a_turn_in_writing_ends_with_its_response() -> None:
    async with talk() as held:
        text = RealtimeModelOutputTextDeltaEvent(item_id=ITEM, delta="Hello", response_id=R1)
        await held.emit(RealtimeModelResponseRequestedEvent(event_id="e1"), began(), text, text, ended())
        metrics = await held.turn()
        assert metrics.first_text_ms is not None
        assert (metrics.first_word_ms, metrics.requested_ms) == (None, None)


async def test_a_model_that_tells_nothing_of_its_playing_is_measured_by_its_sound() -> None:
    async with talk() as held:
        sound = RealtimeModelAudioEvent(data=b"\0", response_id=R1, item_id=ITEM)
        await held.emit(STOPPED, began(), sound, words(), sound, ended())
        assert (await held.turn()).first_word_ms is not None


async def test_a_turn_with_tools_is_one_turn() -> None:
    gate = asyncio.Event()

    @function_tool
    async def slow() -> str:
        """Wait."""
        await gate.wait()
        return "done"

    @function_tool
    async def fast() -> str:
        """Do not wait."""
        return "done"

    async with talk(RealtimeAgent(name="a", tools=[slow, fast])) as held:
        await held.emit(STOPPED, began(), words(), plays(), calls("slow", 1), calls("fast", 2), ended())
        await held.emit(plays("stopped"))
        await held.model.wait_until_sent(RealtimeModelSendToolOutput)
        await asyncio.sleep(0.02)
        assert held.turns == []  # a tool still runs
        gate.set()
        await held.model.wait_until_sent(RealtimeModelSendToolOutput, count=2)
        await held.emit(began(R2), words(R2), plays("started", R2), ended(R2), plays("stopped", R2))
        metrics = await held.turn()
        assert metrics.response_ids == (R1, R2)
        assert metrics.tool_calls == 2
        assert 20 <= metrics.tool_ms < 2000
        assert len(held.turns) == 1


async def test_a_turn_ends_with_a_tool_after_which_nothing_is_said() -> None:
    @function_tool(starts_response=False)
    async def note() -> str:
        """Write it down."""
        return "noted"

    async with talk(RealtimeAgent(name="a", tools=[note])) as held:
        await held.emit(STOPPED, began(), calls("note", 1), ended())
        metrics = await held.turn()
        assert (metrics.first_word_ms, metrics.tool_calls) == (None, 1)
        assert [event.type for event in held.events][-2:] == ["tool_end", "turn_metrics"]


async def test_handoffs_and_unknown_tools_are_calls_too() -> None:
    agent = RealtimeAgent[None](name="a", handoffs=[RealtimeAgent[None](name="b")])
    async with talk(agent) as held:
        await held.emit(STOPPED, began(), calls("transfer_to_b", 1), calls("nothing", 2), ended())
        await held.model.wait_until_sent(RealtimeModelSendToolOutput, count=2)
        await held.emit(began(R2), ended(R2))
        assert (await held.turn()).tool_calls == 2


@pytest.mark.parametrize(
    "cut", [(plays("cleared"), ended(status="cancelled")), (ended(), plays("cleared"))], ids=["made", "heard"]
)
async def test_a_turn_that_is_cut_off_is_told_at_once(cut: tuple[Any, ...]) -> None:
    async with talk() as held:
        await held.emit(STOPPED, began(), words(), plays(), SPEAKS, *cut)
        assert (await held.turn()).interrupted
        # What the caller said is answered in a turn of its own.
        await held.emit(STOPPED, began(R2), words(R2), plays("started", R2), ended(R2), plays("stopped", R2))
        second = await held.turn(2)
        assert (second.response_ids, second.interrupted) == ((R2,), False)
        assert second.first_word_ms is not None


async def test_what_is_asked_for_outside_the_conversation_is_no_turn() -> None:
    async with talk() as held:
        await held.emit(began(R3, out_of_band=True), ended(R3))
        await held.emit(STOPPED, began(), ended())
        assert (await held.turn()).response_ids == (R1,)


async def test_a_call_that_ends_in_the_middle_of_a_turn_tells_of_it() -> None:
    async with talk() as held:
        await held.emit(STOPPED, began(), words(), plays())
        await held.model.end()
        metrics = await held.turn()
        assert metrics.interrupted
        assert metrics.first_word_ms is not None


async def test_turns_follow_what_is_said_to_the_model() -> None:
    async with talk() as held:
        held.model.expect(RealtimeModelRequestResponse, *held.model.agent_says("Good morning."))
        await held.session.say("Good morning.")
        await held.emit(*held.model.caller_says("Hello."), *held.model.agent_says("How can I help?"))
        assert [turn.responses for turn in (await held.turn(1), await held.turn(2))] == [1, 1]
        assert held.turns[0].first_word_ms is None
        assert held.turns[1].first_word_ms is not None
