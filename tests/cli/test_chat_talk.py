from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sipagent.calls.chat import Chat
from sipagent.cli.chat_screen import JsonScreen
from sipagent.cli.chat_talk import Talk
from sipagent.cli.lines import Lines
from sipagent.errors import ConnectionLostError
from sipagent.simulator.script import parse_script
from sipagent.simulator.server import Simulator, SimulatorOptions
from sipagent.simulator.speech import SilentVoice
from tests.calls.chatting import API_KEY, profile
from tests.support.eventually import eventually

SCRIPT = "pace: 20\ndelay_ms: 5\notherwise: Yes.\nturns: ['" + "word " * 200 + "']\n"


class Recorded(JsonScreen):
    """A screen that keeps what it tells."""

    def __init__(self, lines: Lines) -> None:
        super().__init__(lines)
        self.told: list[dict[str, Any]] = []

    def _tell(self, kind: str, **fields: Any) -> None:
        self.told.append({"type": kind, **fields})

    def types(self) -> list[str]:
        """The types of all but the words."""
        return [each["type"] for each in self.told if each["type"] != "words"]


@asynccontextmanager
async def talking() -> AsyncIterator[tuple[Talk, Recorded, int, Simulator]]:
    """A talk, its screen, where to type, and who answers."""
    reader, writer = os.pipe()
    lines = Lines(reader)
    screen = Recorded(lines)
    options = SimulatorOptions(script=parse_script(SCRIPT, name="test"), voice=SilentVoice())
    try:
        async with (
            asyncio.timeout(60),
            Simulator(options) as simulator,
            Chat(profile(), api_key=API_KEY, base_url=simulator.base_url, view=screen) as chat,
        ):
            yield Talk(chat, lines, screen), screen, writer, simulator
    finally:
        os.close(reader)
        os.close(writer)


async def test_quitting_is_exit_code_0() -> None:
    async with talking() as (talk, screen, keyboard, _):
        os.write(keyboard, b"  \n/nothing\n/quit\n")
        assert await talk.run() == 0
        assert screen.types() == ["settled", "note", "over"]
        assert screen.told[-1]["cause"] == "left"


async def test_ctrl_c_cuts_off_and_then_ends() -> None:
    async with talking() as (talk, screen, keyboard, _):
        running = asyncio.create_task(talk.run())
        os.write(keyboard, b"Tell me everything\n")
        await eventually(lambda: "words" in [each["type"] for each in screen.told])
        talk.interrupt()
        await eventually(lambda: screen.types().count("settled") == 2)
        [line] = [each for each in screen.told if each["type"] == "line"]
        assert line["interrupted"]
        talk.interrupt()
        assert await running == 130


async def test_a_line_in_between_forgives_the_first_ctrl_c() -> None:
    async with talking() as (talk, screen, keyboard, _):
        running = asyncio.create_task(talk.run())
        await eventually(lambda: screen.types() == ["settled"])
        talk.interrupt()
        await eventually(lambda: screen.types()[-1] == "note")
        os.write(keyboard, b"/help\n")
        await eventually(lambda: "help" in screen.types())
        talk.interrupt()
        await eventually(lambda: screen.types().count("note") == 3)
        assert not running.done()
        os.write(keyboard, b"/quit\n")
        assert await running == 0


async def test_a_connection_that_ends_while_you_think_ends_the_talk() -> None:
    async with talking() as (talk, screen, _, simulator):
        running = asyncio.create_task(talk.run())
        await eventually(lambda: screen.types() == ["settled"])
        await simulator.__aexit__(None, None, None)
        with pytest.raises(ConnectionLostError):
            await running
        assert screen.told[-1]["cause"] == "disconnected"
