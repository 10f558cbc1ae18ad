"""Tools with manners in whole calls, through the service and the simulator's line."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

from aiohttp import web

from sipagent.calls.template import Template
from sipagent.calls.tools.arguments import Arguments
from sipagent.calls.tools.digits import DigitTool, make_digits_tool
from sipagent.calls.tools.http import HttpTool, make_http_tool
from sipagent.calls.tools.language import make_language_tool
from sipagent.calls.tools.manners import ToolManners, with_manners
from sipagent.calls.tools.messages import MessageTool, make_message_tool
from sipagent.calls.tools.texts import ToolText
from sipagent.realtime import FunctionTool, RealtimeAgent
from sipagent.simulator.caller import AfterAgent, CallPlan, DuringAgent, Press, Say
from sipagent.simulator.speech import SilentVoice
from sipagent.store import CallRecord
from tests.support.practice import front_door, practice
from tests.support.web import serving


async def record_of(script: str, tools: list[FunctionTool], *steps: Say | Press) -> CallRecord:
    quick = SilentVoice(ms_per_character=15)
    door = front_door(tools=tools, greeting="Hello.")
    async with practice(door=door, script=script, virtual_voice=quick) as both:
        call = await both.call(CallPlan(steps=steps))
        return await both.ended_record(call.call_id)


def said_by_agent(record: CallRecord) -> list[str]:
    return [line.text for line in record.transcript if line.role == "agent"]


def notes(record: CallRecord, kind: str) -> list[dict[str, Any]]:
    return [json.loads(note.data) for note in record.notes if note.kind == kind]


def booking(base: str, **manners: Any) -> FunctionTool:
    spec = HttpTool(
        name="book",
        description="Book a table.",
        method="POST",
        url=ToolText(f"{base}/tables/{{day}}"),
        arguments=Arguments({"day": "The day"}, ["day"]),
        body={"caller": ToolText("{{caller}}")},
        result="/number",
    )
    return with_manners(make_http_tool(spec), ToolManners(side_effects=spec.changes_something, **manners))


async def test_a_language_that_the_caller_chose_is_heard_after_a_handoff_too() -> None:
    script = """
greeting: Hello.
turns:
  - call: {tool: set_language, with: {language: de}, then: Gern.}
  - call: {tool: send_to_agent_night-desk, then: Guten Abend.}
  - {say: Tschau., call: hang_up}
"""
    tool = make_language_tool(["en", "de"], transcription={"model": "gpt-transcribe"})
    door = front_door(tools=[tool], greeting="Hello.")
    (desk,) = door.profiles.values()
    night = replace(
        desk,
        name="night-desk",
        agent=RealtimeAgent(name="night-desk", instructions="Good night.", handoff_description="At night."),
        settings={**desk.settings, "input_audio_transcription": {"model": "whisper-1"}},
        languages=("en", "de"),
    )
    door = replace(door, profiles={desk.name: replace(desk, handoffs=("night-desk",)), night.name: night})
    words = ("Deutsch, bitte.", "Die Nacht, bitte.", "Danke.")
    async with practice(door=door, script=script, virtual_voice=SilentVoice(ms_per_character=15)) as both:
        call = await both.call(CallPlan(steps=tuple(Say(text=each) for each in words)))
        record = await both.ended_record(call.call_id)
    assert notes(record, "language_set") == [{"language": "de"}]
    assert call.conversation is not None
    session = call.conversation.session
    transcription = session["audio"]["input"]["transcription"]
    assert (transcription["model"], transcription["language"]) == ("whisper-1", "de")
    assert session["instructions"].startswith("Good night.")
    assert "The caller has chosen German" in session["instructions"]


async def test_the_caller_confirms_and_it_is_booked_once() -> None:
    booked: list[tuple[str, Any]] = []

    async def book(request: web.Request) -> web.Response:
        booked.append((request.path, await request.json()))
        return web.json_response({"number": f"number {len(booked)}"})

    script = """
greeting: Hello.
turns:
  - call: {tool: book, with: {day: Monday}, then: "{output}"}
  - call: {tool: book, with: {day: Monday}, then: "It is {output}."}
  - call: {tool: book, with: {day: Monday}, then: "{output}"}
  - {say: Goodbye., call: hang_up}
"""
    async with serving(book) as base:
        record = await record_of(
            script,
            [booking(base, confirm=ToolText("Shall I book {day}?"))],
            *(Say(text=words) for words in ("Monday please.", "Yes.", "And again.", "Bye.")),
        )
    assert booked == [("/tables/Monday", {"caller": "+15550100123"})]
    outputs = [tool.output or "" for tool in record.tools if tool.name == "book"]
    assert "Shall I book Monday?" in outputs[0]
    assert outputs[1] == "number 1"
    assert "not done again" in outputs[2]
    assert "It is number 1." in said_by_agent(record)


async def test_a_slow_tool_is_bridged_by_words() -> None:
    async def book(request: web.Request) -> web.Response:
        await asyncio.sleep(1.5)
        return web.json_response({"number": "number 7"})

    script = """
greeting: Hello.
turns:
  - call: {tool: book, with: {day: Monday}, then: "It is {output}."}
  - {say: Goodbye., call: hang_up}
"""
    async with serving(book) as base:
        record = await record_of(
            script,
            [booking(base, filler=ToolText("One moment, I book {day}."), patience_s=0.2)],
            Say(text="Monday please."),
            Say(text="Bye.", when=AfterAgent(pause_s=2.0)),
        )
    lines = said_by_agent(record)
    assert lines.index("One moment, I book Monday.") < lines.index("It is number 7.")
    assert lines.count("One moment, I book Monday.") == 1


async def test_what_is_typed_is_collected_and_masked_in_the_record() -> None:
    spec = DigitTool(name="pin", prompt=Template("Type your PIN."), minimum=4, maximum=4, masked=True)
    script = """
greeting: Hello.
turns:
  - call: {tool: pin, then: "Thank you."}
  - {say: Goodbye., call: hang_up}
"""
    record = await record_of(
        script,
        [make_digits_tool(spec)],
        Say(text="I want my balance."),
        Press(digits="8642", when=DuringAgent(since_start_s=0.1)),
        Say(text="Bye."),
    )
    assert "Type your PIN." in said_by_agent(record)
    (tool,) = [each for each in record.tools if each.name == "pin"]
    assert (tool.output or "").startswith("The caller typed 4 digits")
    assert notes(record, "digits_collected") == [
        {"tool": "pin", "attempt": 1, "digits": "••••", "accepted": True}
    ]
    assert "8642" not in repr(record)


async def test_a_message_is_in_the_record() -> None:
    script = """
greeting: Hello.
turns:
  - call: {tool: take_message, with: {name: Ann, message: Call me.}, then: "Noted."}
  - {say: Goodbye., call: hang_up}
"""
    record = await record_of(
        script, [make_message_tool(MessageTool())], Say(text="Please call me."), Say(text="Bye.")
    )
    (note,) = notes(record, "message_taken")
    assert note["fields"] == {"name": "Ann", "message": "Call me."}
