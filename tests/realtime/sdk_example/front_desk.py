"""A bicycle workshop on the telephone: a front desk that books repairs, and a bookkeeper beside it.

    python front_desk.py ws://HOST:PORT/v1/realtime

Talks until the server ends the conversation, then writes as JSON what it heard.
"""

# mypy: ignore-errors
# Written for a package that need not be installed; with other imports this file is checked by a test.

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from agents import (
    GuardrailFunctionOutput,
    RunContextWrapper,
    function_tool,
    output_guardrail,
)
from agents.realtime import (
    RealtimeAgent,
    RealtimeItem,
    RealtimeRunConfig,
    RealtimeRunner,
    RealtimeSession,
    RealtimeSessionEvent,
    realtime_handoff,
)
from agents.realtime.model import RealtimeModelConfig
from agents.tool_context import ToolContext
from pydantic import BaseModel, Field

PATIENCE_BYTES = 20 * 8000
"""Twenty seconds of G.711: nobody listens to one answer for longer."""


@dataclass
class Caller:
    """Who is on the line, and what was arranged so far."""

    number: str
    bookings: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)


# What the agents can do -----------------------------------------------------------------------------


class Weekday(StrEnum):
    """The days on which the workshop is open."""

    TUESDAY = "tuesday"
    SATURDAY = "saturday"


class Bicycle(BaseModel):
    """What stands in the workshop."""

    maker: str = Field(description="Who built it")
    electric: bool


@dataclass
class Share:
    """A part of an invoice."""

    percent: int
    rounded: bool


@dataclass
class Invoice:
    """What somebody owes."""

    number: int
    total_cents: int
    paid: bool


@function_tool
def opening_hours(day: Weekday) -> str:
    """Say when the workshop is open.

    Args:
        day: The day that the caller asks about.
    """
    return {Weekday.TUESDAY: "nine to five", Weekday.SATURDAY: "ten to one"}[day]


@function_tool
async def book_repair(
    context: RunContextWrapper[Caller],
    bicycle: Bicycle,
    urgency: Literal["today", "this_week"],
    note: str | None = None,
) -> str:
    """Book a repair.

    Args:
        bicycle: What is to be repaired.
        urgency: How soon it has to be done.
        note: What else the mechanic should know.
    """
    await asyncio.sleep(0)
    booking = f"{bicycle.maker}, {urgency}, {note or 'no note'}"
    context.context.bookings.append(booking)
    return f"Booked for {context.context.number}: {booking}"


def workshop_is_loud(context: RunContextWrapper[Any], error: Exception) -> str:
    """What the model hears instead of an exception."""
    return "The mechanic does not hear the telephone."


@function_tool(name_override="ask_the_mechanic", strict_mode=False, failure_error_function=workshop_is_loud)
def ask(question: str, minutes: int = 5) -> str:
    """Ask the mechanic something; takes some minutes."""
    raise RuntimeError(f"nobody answers within {minutes} minutes")


@function_tool
def find_invoice(context: ToolContext[Caller], number: int) -> Invoice:
    """Look an invoice up by its number."""
    assert context.tool_name == "find_invoice"
    assert context.tool_call_id
    return Invoice(number=number, total_cents=4200, paid=True)


@function_tool(needs_approval=True, timeout=10.0)
async def refund(number: int, share: Share) -> dict[str, Any]:
    """Pay a part of an invoice back."""
    return {"invoice": number, "percent": share.percent, "currency": "€"}


@output_guardrail
async def no_gifts(context: RunContextWrapper[Any], agent: Any, agent_output: Any) -> GuardrailFunctionOutput:
    """Nobody but the owner gives work away."""
    return GuardrailFunctionOutput(
        output_info={"agent": agent.name},
        tripwire_triggered="free of charge" in agent_output,
    )


# Who they are ---------------------------------------------------------------------------------------


class Reason(BaseModel):
    """Why a caller is put through."""

    reason: str


async def note_reason(context: RunContextWrapper[Caller], given: Reason) -> None:
    """Remember why the bookkeeper is asked."""
    context.context.reasons.append(given.reason)


def how_to_greet(context: RunContextWrapper[Caller], agent: RealtimeAgent[Caller]) -> str:
    """Instructions that depend on who calls."""
    who = f"You are the {agent.name.lower()} of Lakeside Bicycles."
    return f"{who} The caller's number is {context.context.number}."


bookkeeper: RealtimeAgent[Caller] = RealtimeAgent(
    name="Bookkeeper",
    handoff_description="Knows every invoice.",
    instructions="You keep the books of Lakeside Bicycles. Be exact.",
    tools=[find_invoice, refund],
    output_guardrails=[no_gifts],
)
front_desk: RealtimeAgent[Caller] = RealtimeAgent(
    name="Front Desk",
    instructions=how_to_greet,
    tools=[opening_hours, book_repair, ask],
    handoffs=[realtime_handoff(bookkeeper, on_handoff=note_reason, input_type=Reason)],
)
bookkeeper.handoffs.append(
    realtime_handoff(front_desk, tool_description_override="Back to the front desk, for everything else.")
)

CONFIG: RealtimeRunConfig = {
    "model_settings": {
        "model_name": "gpt-realtime-2.1",
        "voice": "marin",
        "modalities": ["audio"],
        "input_audio_format": "g711_ulaw",
        "output_audio_format": "g711_ulaw",
        "input_audio_transcription": {"model": "gpt-transcribe", "language": "en"},
        "turn_detection": {"type": "semantic_vad", "interrupt_response": True, "eagerness": "low"},
        "tool_choice": "auto",
    },
    "guardrails_settings": {"debounce_text_length": 40},
    "tracing_disabled": True,
}


# The conversation -----------------------------------------------------------------------------------


@dataclass
class Heard:
    """What the program noticed."""

    events: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    conversation: list[str] = field(default_factory=list)
    bookings: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)


class Conversation:
    """One call: reacts to what happens, and takes notes."""

    def __init__(self, session: RealtimeSession, heard: Heard) -> None:
        self.session = session
        self.heard = heard
        self.audio_bytes: dict[str, int] = {}
        self.cut_off: set[str] = set()

    async def run(self) -> None:
        """Say hello, then listen until the server hangs up."""
        await self.session.send_message("Hello, is anybody there?")
        async for event in self.session:
            self.heard.events.append(event.type)
            await self.react(event)

    async def react(self, event: RealtimeSessionEvent) -> None:
        """Do what one event asks for."""
        match event.type:
            case "agent_start":
                self.note(f"{event.agent.name} begins")
            case "agent_end":
                self.note(f"{event.agent.name} ends")
            case "handoff":
                self.note(f"{event.from_agent.name} hands over to {event.to_agent.name}")
            case "tool_start":
                self.note(f"{event.tool.name} starts with {event.arguments}")
            case "tool_end":
                self.note(f"{event.tool.name} gave {event.output}")
            case "tool_approval_required":
                self.note(f"{event.tool.name} asks for leave")
                await self.session.approve_tool_call(event.call_id)
            case "guardrail_tripped":
                names = [result.guardrail.get_name() for result in event.guardrail_results]
                self.note(f"{names} tripped over {event.message}")
            case "audio":
                await self.play(event.item_id, event.audio.data)
            case "audio_interrupted":
                self.note(f"{event.item_id} was cut off at part {event.content_index}")
            case "audio_end":
                self.note(f"{event.item_id} is all there")
            case "history_updated":
                self.heard.conversation = [words(item) for item in event.history]
            case "error":
                self.note(f"error: {event.error}")

    async def play(self, item_id: str, audio: bytes) -> None:
        """Where a loudspeaker would be: count, and lose patience."""
        self.audio_bytes[item_id] = self.audio_bytes.get(item_id, 0) + len(audio)
        if self.audio_bytes[item_id] >= PATIENCE_BYTES and item_id not in self.cut_off:
            self.cut_off.add(item_id)
            await self.session.interrupt()

    def note(self, line: str) -> None:
        """Remember one line."""
        self.heard.lines.append(line)


def words(item: RealtimeItem) -> str:
    """One line for an item of the conversation."""
    if item.type == "function_call":
        return f"{item.name} {item.status}: {item.output}"
    if item.type != "message":
        return item.type
    said: list[str] = []
    for part in item.content:
        if part.type == "input_text" or part.type == "text":
            said.append(part.text or "")
        elif part.type == "input_audio" or part.type == "audio":
            said.append(part.transcript or "")
    return f"{item.role}: {' '.join(said)}"


async def talk(url: str) -> Heard:
    """Have the whole conversation with the server at ``url``."""
    caller = Caller(number="+15550100123")
    heard = Heard(bookings=caller.bookings, reasons=caller.reasons)
    model_config: RealtimeModelConfig = {
        "api_key": "sk-example",
        "url": url,
        "initial_model_settings": {"speed": 1.1},
    }
    runner = RealtimeRunner(starting_agent=front_desk, config=CONFIG)
    session = await runner.run(context=caller, model_config=model_config)
    async with session:
        await Conversation(session, heard).run()
    return heard


if __name__ == "__main__":
    sys.stdout.write(json.dumps(vars(asyncio.run(talk(sys.argv[1])))))
