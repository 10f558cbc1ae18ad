"""A service as a process, and the program of its MCP server as another: who ends when."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from sipagent.simulator.script import parse_script
from sipagent.simulator.server import Simulator, SimulatorOptions
from tests.calls.test_furnishing import QUICK_VOICE, SOON, alive, outputs
from tests.calls.tools.test_mcp_servers import SHOP
from tests.journeys.serving import Serving, serving
from tests.journeys.test_stopping import records
from tests.support.practice import API_KEY

pytestmark = pytest.mark.journey

CONFIGURATION = """
version: 1
agents:
  front-desk:
    greeting: Hello.
    instructions: Hi.
    tools:
      - hang_up
      - mcp: {command: [python, shop.py, stdio], start_timeout: 60s}
routes: [{agent: front-desk}]
"""
SCRIPT = parse_script(
    """
greeting: Hello.
turns:
  - call: {tool: process, then: "It is {output}."}
  - call: {tool: process, then: "It is {output}."}
otherwise: {say: Goodbye., call: hang_up}
""",
    name="test",
)


async def program_of(openai: Simulator, service: Serving) -> int:
    """The process that serves a call, which is made to find out."""
    call = openai.place_call(SOON)
    async with asyncio.timeout(60):
        await call.wait_over()
        while True:
            [record] = await records(service, call)
            if record.summary.end_reason is not None:
                break
            await asyncio.sleep(0.05)  # a file is asked, it does not tell
    first, second = outputs(record)
    assert first == second
    return int(first.split()[0])


async def until(service: Serving, state: str) -> None:
    async with asyncio.timeout(60):
        while True:
            if json.loads((await service.get("/readyz"))[1])["mcp_servers"] == {"shop": state}:
                return
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_a_program_that_is_killed_is_started_again_and_ends_with_the_service(
    tmp_path: Path, loop: str
) -> None:
    shutil.copy(SHOP, tmp_path / "shop.py")
    async with (
        Simulator(SimulatorOptions(api_key=API_KEY, script=SCRIPT, virtual_voice=QUICK_VOICE)) as openai,
        serving(tmp_path, openai, "--loop", loop, configuration=CONFIGURATION) as service,
    ):
        await until(service, "up")
        first = await program_of(openai, service)
        os.kill(first, signal.SIGKILL)
        await until(service, "down")
        await until(service, "up")
        second = await program_of(openai, service)
        assert (first == second, alive(second)) == (False, True)
        service.signal(signal.SIGTERM)
        assert await service.exit_code() == 0
        assert not alive(second)
    log = (tmp_path / "serve.log").read_text(encoding="utf-8")
    assert "MCP server shop is down: the connection was lost; trying again and again" in log
    assert log.count("MCP server shop is up, with ") == 2
    assert "Traceback" not in log
