"""Several workers as processes of their own, a balancer before them, and a world in which tools do things."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from aiohttp import web

from sipagent.identifiers import CallId
from sipagent.simulator.calls import SimulatedCall
from sipagent.simulator.server import Simulator
from sipagent.store import CallRecord, open_store
from tests.support.ports import free_port
from tests.support.practice import API_KEY

CONFIGURATION = """
version: 1
agents:
  front-desk:
    greeting: Harbor Dental, good morning. How can I help?
    instructions: You answer the phone of a dental practice.
    tools:
      - hang_up
      - transfer
      - http:
          name: book
          description: Book an appointment.
          method: POST
          url: "{world}/bookings"
          arguments: {{day: {{type: string, description: which day}}}}
          body: {{day: "{{day}}", caller: "{{{{caller}}}}"}}
          side_effects: true
          timeout: 20s
    transfer:
      billing:
        to: "tel:+15550100001"
        description: invoices and payments
        confirm: 3s
    ending: {{idle: []}}
routes:
  - {{agent: front-desk}}
"""


class World:
    """Where tools book. It counts every booking, and takes its time."""

    def __init__(self) -> None:
        self.bookings: Counter[str] = Counter()
        self.takes_s = 1.0
        self.url = ""

    async def book(self, request: web.Request) -> web.Response:
        """Book for a caller."""
        caller = (await request.json())["caller"]
        self.bookings[caller] += 1
        await asyncio.sleep(self.takes_s)
        return web.json_response({"booked": caller})


@dataclass(slots=True, kw_only=True, eq=False)
class Worker:
    """One process."""

    process: asyncio.subprocess.Process
    port: int
    log: Path

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    @property
    def is_up(self) -> bool:
        """Whether the process has not ended."""
        return self.process.returncode is None

    async def ended(self) -> int:
        """Its exit code, once it has ended."""
        async with asyncio.timeout(90):
            return await self.process.wait()

    async def is_ready(self) -> bool:
        """Whether new calls should go there."""
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as http,
                http.get(f"http://127.0.0.1:{self.port}/readyz") as answer,
            ):
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False


@dataclass(kw_only=True)
class Company:
    """Workers that share a database, and what is around them."""

    simulator: Simulator
    folder: Path
    database_url: str
    world: World
    arguments: tuple[str, ...]
    workers: list[Worker] = field(default_factory=list)
    sent: Counter[int] = field(default_factory=Counter)
    """Webhooks that were delivered, by the status that the balancer gave back."""
    _next: int = 0

    async def start(self) -> Worker:
        """Another worker, ready."""
        number, port = len(self.workers), free_port()
        config = self.folder / "sipagent.yaml"
        if not config.exists():
            config.write_text(CONFIGURATION.format(world=self.world.url), encoding="utf-8")
        log = self.folder / f"worker-{number}.log"
        environment = {
            **os.environ,
            "OPENAI_API_KEY": API_KEY,
            "OPENAI_WEBHOOK_SECRET": self.simulator.webhook_secret,
            "OPENAI_BASE_URL": self.simulator.base_url,
            "SIPAGENT_DATABASE_URL": self.database_url,
        }
        command = ["serve", "--config", str(config), "--port", str(port), *self.arguments]
        command += ["--spill", str(self.folder / f"spill-{number}"), "--drain-timeout", "30s"]
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "sipagent", *command, env=environment, stdout=output, stderr=output
            )
        worker = Worker(process=process, port=port, log=log)
        self.workers.append(worker)
        async with asyncio.timeout(60):
            while not await worker.is_ready():
                assert worker.is_up, log.read_text()
                await asyncio.sleep(0.05)
        return worker

    async def balance(self, request: web.Request) -> web.Response:
        """Deliver a webhook to the next worker that takes it, as a balancer before the workers does."""
        body = await request.read()
        headers = {name: value for name, value in request.headers.items() if name.lower() != "host"}
        up = [worker for worker in self.workers if worker.is_up]
        self._next += 1
        timeout = aiohttp.ClientTimeout(total=1.0)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            for offset in range(len(up)):
                worker = up[(self._next + offset) % len(up)]
                url = f"http://127.0.0.1:{worker.port}/webhooks/openai"
                try:
                    async with http.post(url, data=body, headers=headers) as answer:
                        if answer.status < 500:
                            self.sent[answer.status] += 1
                            return web.Response(status=answer.status)
                except (aiohttp.ClientError, TimeoutError):
                    continue
        self.sent[503] += 1
        return web.Response(status=503)

    async def records(self, calls: Sequence[SimulatedCall], *, within_s: float = 60) -> list[CallRecord]:
        """The records of ``calls``, which must all end."""
        store = open_store(self.database_url)
        await store.open()
        try:
            async with asyncio.timeout(within_s):
                found: dict[CallId, CallRecord] = {}
                while len(found) < len(calls):
                    for call in calls:
                        record = None if call.call_id in found else await store.call(call.call_id)
                        if record is not None and record.summary.end_reason is not None:
                            found[call.call_id] = record
                    await asyncio.sleep(0.2)
        except TimeoutError:
            missing = [call.call_id for call in calls if call.call_id not in found]
            raise AssertionError(f"{len(missing)} calls have no end: {missing[:5]}") from None
        finally:
            await store.aclose()
        return [found[call.call_id] for call in calls]


@asynccontextmanager
async def company(
    folder: Path, simulator: Simulator, database_url: str, *arguments: str, workers: int
) -> AsyncIterator[Company]:
    """``workers`` processes behind a balancer, to which ``simulator`` sends its webhooks."""
    world = World()
    here = Company(
        simulator=simulator, folder=folder, database_url=database_url, world=world, arguments=arguments
    )
    async with AsyncExitStack() as stack:
        app = web.Application()
        app.router.add_post("/bookings", world.book)
        app.router.add_post("/webhooks/openai", here.balance)
        runner = web.AppRunner(app, access_log=None)
        stack.push_async_callback(runner.cleanup)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        world.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        stack.push_async_callback(_end, here)
        for _ in range(workers):
            await here.start()
        simulator.webhook_url = f"{world.url}/webhooks/openai"
        yield here


async def _end(here: Company) -> None:
    for worker in here.workers:
        if worker.is_up:
            worker.signal(signal.SIGCONT)
            worker.process.kill()
            await worker.process.wait()
