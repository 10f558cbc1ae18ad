"""A carriers' door on a real port, with a service behind it that only notes what it is handed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import aiohttp
from aiohttp import web

from sipagent.calls import FrontDoor
from sipagent.calls.incoming import CarrierLeg, IncomingCall
from sipagent.calls.line import Line
from sipagent.carrier.base import LegReport
from sipagent.carrier.desk import CarrierDesk
from sipagent.carrier.endpoint import CarrierEndpoint
from sipagent.carrier.http import RestLimits
from sipagent.carrier.reports import LegReports, LookUp
from sipagent.carrier.settings import CarrierSettings
from sipagent.carrier.tokens import LegToken
from tests.carrier.legs import ACCOUNT, CALLER, DIALLED, LEG, NOW_S
from tests.carrier.signing import PUBLIC_URL, telnyx_headers, twilio_headers
from tests.support.practice import front_door

QUICK = RestLimits(try_timeout_s=2.5, total_s=2.5, first_retry_s=0.01)


class Counted:
    """Implements `CarrierMetrics`."""

    def __init__(self) -> None:
        self.webhooks: Counter[str] = Counter()
        self.steps: list[tuple[str, str, str]] = []

    def carrier_webhook(self, carrier: str, result: str) -> None:
        self.webhooks[f"{carrier} {result}"] += 1

    def carrier_step(self, carrier: str, step: str, result: str) -> None:
        self.steps.append((carrier, step, result))


class Front:
    """Implements `FrontDoorView`."""

    def __init__(self, door: FrontDoor | None = None) -> None:
        self.current = door or front_door()
        self.taken: list[tuple[IncomingCall, Line]] = []

    def door(self) -> FrontDoor:
        return self.current

    async def refuse(self, call: IncomingCall, received_at: float, line: Line) -> None:
        self.taken.append((call, line))


class Doorway:
    """The door, and a carrier in front of it."""

    def __init__(
        self, settings: CarrierSettings, front: Front | None = None, look_up: LookUp | None = None
    ) -> None:
        self.now_s = float(NOW_S)
        self.metrics = Counted()
        self.front = front or Front()
        self.noted: list[LegReport] = []
        self.reports = LegReports(record=self.noted.append, look_up=look_up, poll_s=0.05)
        self.desk = CarrierDesk(settings, limits=QUICK)
        self.endpoint = CarrierEndpoint(
            desk=self.desk,
            front=self.front,
            reports=self.reports,
            metrics=self.metrics,
            utc_now=lambda: self.now,
        )
        self.base = ""
        self.http: aiohttp.ClientSession | None = None

    @property
    def now(self) -> datetime:
        """The door's present time."""
        return datetime.fromtimestamp(self.now_s, UTC)

    def issue(self, token: LegToken) -> str:
        """``token``, written at the door's present time."""
        return self.desk.tokens.issue(token)

    async def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, str]:
        assert self.http is not None
        async with self.http.post(self.base + path, data=body, headers=headers) as response:
            return response.status, await response.text()

    async def twilio(
        self, purpose: str, form: Mapping[str, str], token: LegToken | None = None, **signing: str
    ) -> tuple[int, str]:
        """A form post of Twilio's."""
        query = "" if token is None else f"?t={self.issue(token)}"
        path = f"/carriers/twilio/{purpose}{query}"
        headers = twilio_headers(PUBLIC_URL + path, form, **signing)
        return await self.post(path, urlencode(form).encode(), headers)

    async def texml(
        self, purpose: str, form: Mapping[str, str], token: LegToken | None = None
    ) -> tuple[int, str]:
        """A form post of Telnyx'."""
        query = "" if token is None else f"?t={self.issue(token)}"
        body = urlencode(form).encode()
        headers = telnyx_headers(body, self.now_s) | {"content-type": "application/x-www-form-urlencoded"}
        return await self.post(f"/carriers/telnyx/texml/{purpose}{query}", body, headers)

    async def event(self, kind: str, event_id: str, **payload: Any) -> tuple[int, str]:
        """An event of Call Control."""
        event = {"event_type": kind, "id": event_id, "payload": payload, "record_type": "event"}
        body = json.dumps({"data": event}).encode()
        headers = telnyx_headers(body, self.now_s) | {"content-type": "application/json"}
        return await self.post("/carriers/telnyx/call-control", body, headers)


def ringing(leg: CarrierLeg = LEG, **changes: str) -> dict[str, str]:
    """The form that announces ``leg``."""
    return {
        "CallSid": leg.carrier_call_id,
        "AccountSid": ACCOUNT,
        "From": CALLER,
        "To": DIALLED,
        "CallStatus": "ringing",
        "Direction": "inbound",
        **changes,
    }


@asynccontextmanager
async def doorway(
    settings: CarrierSettings, *, front: Front | None = None, look_up: LookUp | None = None
) -> AsyncIterator[Doorway]:
    """A door on a port of its own."""
    way = Doorway(settings, front, look_up)
    app = web.Application()
    way.endpoint.add_to(app)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, lingering_time=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        way.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with way.desk, aiohttp.ClientSession() as http:
            way.http = http
            yield way
            await way.endpoint.close()
    finally:
        await runner.cleanup()
