"""Starts `sipagent serve` as a process, and ends it whatever happens."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from sipagent.simulator.server import Simulator
from tests.support.ports import free_port
from tests.support.practice import API_KEY

CONFIGURATION = """
version: 1
agents:
  front-desk:
    greeting: Harbor Dental, good morning. How can I help?
    instructions: You answer the phone of a dental practice.
    tools: [hang_up]
routes:
  - {agent: front-desk}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """A running service."""

    process: asyncio.subprocess.Process
    port: int
    database_url: str

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def exit_code(self) -> int:
        async with asyncio.timeout(60):
            return await self.process.wait()

    async def get(self, path: str) -> tuple[int, str]:
        """Status and body of a request to the service."""
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"http://127.0.0.1:{self.port}{path}") as response,
        ):
            return response.status, await response.text()

    async def until(self, path: str, status: int) -> None:
        """Return when ``path`` answers ``status``."""
        async with asyncio.timeout(60):
            while True:
                try:
                    if (await self.get(path))[0] == status:
                        return
                except aiohttp.ClientError:
                    assert self.process.returncode is None, "the service ended before it answered"
                await asyncio.sleep(0.05)


@asynccontextmanager
async def serving(
    folder: Path, simulator: Simulator, *arguments: str, configuration: str = CONFIGURATION
) -> AsyncIterator[Serving]:
    """`sipagent serve` against ``simulator``, with a SQLite file in ``folder``; ready when entered."""
    config = folder / "sipagent.yaml"
    config.write_text(configuration, encoding="utf-8")
    port, database_url = free_port(), f"sqlite:///{folder}/calls.db"
    environment = {
        **os.environ,
        "OPENAI_API_KEY": API_KEY,
        "OPENAI_WEBHOOK_SECRET": simulator.webhook_secret,
        "OPENAI_BASE_URL": simulator.base_url,
        "SIPAGENT_DATABASE_URL": database_url,
    }
    with (folder / "serve.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "sipagent",
            "serve",
            "--config",
            str(config),
            "--port",
            str(port),
            *arguments,
            env=environment,
            stdout=log,
            stderr=log,
        )
    service = Serving(process=process, port=port, database_url=database_url)
    try:
        await service.until("/readyz", 200)
        simulator.webhook_url = f"http://127.0.0.1:{port}/webhooks/openai"
        yield service
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
