"""The example company on the telephone: its configuration, its own system, and a clock that is set."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from aiohttp import web

from sipagent.app import Service, ServiceSettings
from sipagent.calls import FrontDoor
from sipagent.clock import utc_now
from sipagent.config import Loaded, load_configuration
from sipagent.simulator.call_values import CallSettings as SimulatedCallSettings
from sipagent.simulator.script import parse_script
from sipagent.simulator.server import Simulator, SimulatorOptions
from sipagent.simulator.speech import SilentVoice
from sipagent.store import CallRecord, MemoryCallStore
from tests.support.practice import API_KEY, QUICK, Practice

EXAMPLE = Path(__file__).parents[2] / "deploy" / "example" / "company" / "sipagent.yaml"
BERLIN = ZoneInfo("Europe/Berlin")
DAY = datetime(2026, 11, 20, 10, 0, tzinfo=BERLIN)
NIGHT = datetime(2026, 11, 20, 22, 0, tzinfo=BERLIN)
HOLIDAY = datetime(2026, 12, 25, 10, 0, tzinfo=BERLIN)


@dataclass(slots=True)
class OwnSystem:
    """What stands behind NORTHPIER_API."""

    url: str = ""
    broken: bool = False
    """Whether it answers everything with 500."""
    asked: list[tuple[str, Any]] = field(default_factory=list)
    """Method and path of each request, and its body."""

    def requests(self, method: str, path: str) -> list[Any]:
        """The bodies of the requests of this kind."""
        return [body for what, body in self.asked if what == f"{method} {path}"]

    async def answer(self, request: web.Request) -> web.Response:
        """Every request there is."""
        assert request.headers["Authorization"] == "Bearer a-token-of-the-test"
        body = json.loads(await request.read() or b"null")
        self.asked.append((f"{request.method} {request.path}", body))
        if self.broken:
            return web.Response(status=500, text="out of order")
        answers: dict[str, Any] = {
            "/customers": {"name": "Ann Example", "contract": "gold"},
            "/orders/A1234": {"state": "shipped", "arrives": "on Tuesday", "margin": 0.4},
            "/visits": {"visit": "V77"},
            "/messages": {},
        }
        return web.json_response(answers[request.path])


@dataclass(frozen=True, slots=True, kw_only=True)
class Company(Practice):
    """Everybody at work."""

    system: OwnSystem
    loaded: Loaded


@asynccontextmanager
async def own_system() -> AsyncIterator[OwnSystem]:
    """The company's system on a free port."""
    system = OwnSystem()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", system.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        system.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield system
    finally:
        await runner.cleanup()


@asynccontextmanager
async def company(script: str, *, at: datetime) -> AsyncIterator[Company]:
    """The example company, with a model that follows ``script``, on a day on which it is ``at`` now."""
    async with AsyncExitStack() as stack:
        system = await stack.enter_async_context(own_system())
        variables = {"NORTHPIER_API": system.url, "NORTHPIER_TOKEN": "a-token-of-the-test"}
        loaded = load_configuration(EXAMPLE, variables)
        simulator = await stack.enter_async_context(
            Simulator(
                SimulatorOptions(
                    api_key=API_KEY,
                    script=parse_script(script, name="company"),
                    calls=SimulatedCallSettings(
                        webhook_delay_s=0.02, answer_delay_s=0.05, accept_timeout_s=3
                    ),
                    virtual_voice=SilentVoice(ms_per_character=15),
                )
            )
        )
        offset: timedelta = at - utc_now()
        store = MemoryCallStore()
        service = await stack.enter_async_context(
            Service(
                front_door=impatient(loaded.door),
                api_key=API_KEY,
                base_url=simulator.base_url,
                webhook_secrets=[simulator.webhook_secret],
                store=store,
                settings=ServiceSettings(port=0, drain_timeout_s=10, calls=QUICK),
                utc_now=lambda: utc_now() + offset,
            )
        )
        simulator.webhook_url = service.webhook_url
        yield Company(simulator=simulator, service=service, store=store, system=system, loaded=loaded)


def impatient(door: FrontDoor) -> FrontDoor:
    """``door``, whose transfers are given up after a second, which is seconds for the tests."""
    return replace(
        door,
        profiles={
            name: replace(
                profile,
                transfer_targets=tuple(replace(each, confirm_s=1.0) for each in profile.transfer_targets),
            )
            for name, profile in door.profiles.items()
        },
    )


def noted(record: CallRecord, kind: str) -> list[dict[str, Any]]:
    """What the record notes of this kind."""
    return [json.loads(note.data) for note in record.notes if note.kind == kind]


def said(record: CallRecord, role: str = "agent") -> list[str]:
    """What one side said, line by line."""
    return [line.text for line in record.transcript if line.role == role]
