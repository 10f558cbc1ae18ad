"""Calls and the configuration they began with, while others come."""

from __future__ import annotations

import asyncio
import gc
import json
import weakref
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sipagent.calls import Generation, prepare_generation
from sipagent.config import load_configuration
from sipagent.errors import ConfigurationError
from sipagent.simulator.caller import CallPlan
from sipagent.simulator.calls import SimulatedCall
from sipagent.simulator.speech import SilentVoice
from tests.support.eventually import eventually
from tests.support.practice import Practice, front_door, practice
from tests.support.prompting import say

CONFIGURATION = """
version: 1
agents:
  front-desk:
    instructions: You are number {number}.
    greeting: This is number {number}.
    tools: [hang_up, {{python: "generation_shop:price"}}]
routes: [{{agent: front-desk}}]
"""
TOOL = "def price(item: str) -> str:\n    '''The price.'''\n    return '{number} euros'\n"
SCRIPT = """
greeting: "{asked}"
turns:
  - call: {tool: price, with: {item: floss}, then: "It costs {output}."}
otherwise: {say: Goodbye., call: hang_up}
"""

QUICK_VOICE = SilentVoice(ms_per_character=5)


def write(file: Path, number: int) -> None:
    (file.parent / "generation_shop.py").write_text(TOOL.format(number=number))
    file.write_text(CONFIGURATION.format(number=number))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "sipagent.yaml"
    write(file, 1)
    return file


def spoken(call: SimulatedCall) -> str:
    return "" if call.conversation is None else str(call.conversation.transcript)


async def greeted(desk: Practice, plan: CallPlan) -> SimulatedCall:
    """A call that has heard its greeting, and is up."""
    call = desk.simulator.place_call(plan)
    await eventually(lambda: "number" in spoken(call))
    return call


async def test_a_generation_holds_every_profile_ready() -> None:
    generation = await prepare_generation(
        front_door(), number=4, loaded_at=datetime(2026, 11, 20, tzinfo=UTC)
    )
    assert set(generation.prepared) == {"front-desk"}
    assert generation.prepared["front-desk"].session is not None
    assert (generation.number, generation.fingerprint) == (4, "c0ffee")


async def test_a_call_keeps_what_it_began_with_and_the_next_one_gets_the_new(file: Path) -> None:
    waits = CallPlan(steps=(), hangs_up=False)
    async with practice(door=load_configuration(file), script=SCRIPT, virtual_voice=QUICK_VOICE) as desk:
        first = await greeted(desk, waits)
        one = desk.service.generation
        write(file, 2)
        assert (await desk.service.reload()).result == "loaded"
        second = await greeted(desk, waits)
        two = desk.service.generation
        for call in (first, second):
            for words in ("How much?", "Bye."):
                await say(desk.simulator, call, words)
            async with asyncio.timeout(60):
                await call.wait_over()
        records = [await desk.ended_record(call.call_id) for call in (first, second)]
        known = await desk.store.configurations()
    assert (one.number, two.number) == (1, 2)
    for number, record in enumerate(records, start=1):
        said = [line.text for line in record.transcript if line.role == "agent"]
        assert said[0] == f"This is number {number}."
        assert [run.output for run in record.tools if run.name == "price"] == [f"{number} euros"]
        assert record.configuration == (one, two)[number - 1].fingerprint
    notes = [[json.loads(note.data) for note in record.notes if note.kind == "reload"] for record in records]
    assert notes == [
        [
            {
                "keeps": one.fingerprint,
                "keeps_generation": 1,
                "newer": two.fingerprint,
                "newer_generation": 2,
            }
        ],
        [],
    ]
    assert [(each.fingerprint, each.number) for each in known] == [(two.fingerprint, 2), (one.fingerprint, 1)]
    assert "You are number 1." in known[1].text
    assert known[1].summary == "1 agent, 1 route"


async def test_a_call_that_sees_many_reloads_notes_one(file: Path) -> None:
    plan = CallPlan(steps=(), hangs_up=False)
    async with practice(door=load_configuration(file), script=SCRIPT, virtual_voice=QUICK_VOICE) as desk:
        call = await greeted(desk, plan)
        for number in range(2, 6):
            write(file, number)
            assert (await desk.service.reload()).result == "loaded"
        assert desk.service.generation.number == 5
        call.hang_up_as_caller()
        async with asyncio.timeout(60):
            await call.wait_over()
        record = await desk.ended_record(call.call_id)
    assert [note.kind for note in record.notes].count("reload") == 1


async def test_an_old_generation_goes_with_its_last_call(file: Path) -> None:
    plan = CallPlan(steps=(), hangs_up=False)

    def in_use(desk: Practice) -> bytes:
        lines = desk.service.metrics.render()[0].splitlines()
        return next(line for line in lines if line.startswith(b"sipagent_configuration_generations_in_use "))

    async with practice(door=load_configuration(file), script=SCRIPT, virtual_voice=QUICK_VOICE) as desk:
        calls = [await greeted(desk, plan) for _ in range(2)]
        first: weakref.ref[Generation] = weakref.ref(desk.service.generation)
        write(file, 2)
        await desk.service.reload()
        for number, call in enumerate(calls):
            gc.collect()
            assert first() is not None
            assert in_use(desk).endswith(b" 2.0"), number
            call.hang_up()
            await desk.ended_record(call.call_id)
        await eventually(lambda: desk.service.live_calls == 0)
        assert in_use(desk).endswith(b" 1.0")
        gc.collect()
        assert first() is None


MOST_OBJECTS_LEFT = 2
"""Of sixty attempts, half of them broken; a generation is some two hundred."""


async def test_generations_that_nobody_serves_leave_nothing_behind(file: Path) -> None:
    async def attempt(number: int) -> None:
        write(file, number)
        if number % 2:
            shop = file.parent / "generation_shop.py"
            shop.write_text(shop.read_text() + "raise RuntimeError('not today')\n")
            with pytest.raises(ConfigurationError):
                load_configuration(file)
        else:
            loaded = load_configuration(file)
            loaded.read.keep()
            await prepare_generation(loaded.door, number=number, loaded_at=datetime.now(UTC))

    def objects() -> int:
        gc.collect()
        return len(gc.get_objects())

    for number in range(20):  # until caches have what they want
        await attempt(number)
    before = objects()
    for number in range(20, 80):
        await attempt(number)
    assert objects() <= before + MOST_OBJECTS_LEFT
