"""Calls whose audio carriers bring to us, from the socket to the record."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from sipagent.calls.endings import Ending
from sipagent.calls.incoming import CarrierLeg, IncomingCall
from sipagent.carrier.media_endpoint import AsteriskEndpoint, MediaEndpoint
from sipagent.carrier.pacer import Pacer
from sipagent.carrier.stream_line import LineOutcome, LineSettings, StreamLine
from sipagent.carrier.tokens import LegToken, LegTokens
from sipagent.clock import unix_s
from sipagent.identifiers import CallId
from tests.carrier.carrier_client import twilio_stream
from tests.support.eventually import eventually
from tests.support.practice import GREETING, Practice, practice

TOKENS = LegTokens({"twilio": ["secret"], "telnyx": ["another"]})
SPOKEN = bytes([0x10, 0x10, 0x90, 0x90]) * 40
QUIET = bytes([0xFF]) * 160


def token(call_sid: str = "CA0123", *, step: int = 0, carrier: str = "twilio", age_s: float = 0) -> str:
    leg = CarrierLeg(carrier=carrier, carrier_call_id=call_sid, caller="+15550100123", dialled="+15550100100")
    return TOKENS.issue(LegToken(leg=leg, route="front-desk", step=step, issued_at=round(unix_s() - age_s)))


@dataclass
class Counted:
    """Metrics that remember."""

    webhooks: list[tuple[str, str]] = field(default_factory=list)
    dropped: list[tuple[str, int]] = field(default_factory=list)

    def carrier_webhook(self, carrier: str, result: str) -> None:
        self.webhooks.append((carrier, result))

    def stream_frames_dropped(self, direction: str, frames: int = 1) -> None:
        self.dropped.append((direction, frames))


@dataclass(kw_only=True)
class Door:
    """Where carriers reach a practice."""

    base_url: str
    practice: Practice
    metrics: Counted
    endpoint: MediaEndpoint
    told: list[tuple[LegToken, LineOutcome, Ending | None]]
    asterisk_port: int

    @property
    def twilio(self) -> str:
        return f"{self.base_url}/carriers/twilio/media"


@asynccontextmanager
async def door(**options: Any) -> AsyncIterator[Door]:
    async with practice(**options) as it:
        with Pacer() as pacer:
            metrics, told = Counted(), []

            async def take(call: IncomingCall, received_at: float, *, line: StreamLine) -> bool:
                return it.service._running.take(call, received_at, line=line)

            endpoint = MediaEndpoint(
                take=take,
                read_token=TOKENS.read,
                lines=LineSettings(pacer=pacer),
                metrics=metrics,
                told=lambda *what: told.append(what),
            )
            app = web.Application()
            endpoint.add_to(app)
            asterisk = AsteriskEndpoint(endpoint, "dialplan")
            asterisk.add_to(app)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            try:
                async with asterisk.server("127.0.0.1", 0) as server:
                    yield Door(
                        base_url=f"http://127.0.0.1:{runner.addresses[0][1]}",
                        practice=it,
                        metrics=metrics,
                        endpoint=endpoint,
                        told=told,
                        asterisk_port=server.port,
                    )
            finally:
                await runner.cleanup()


async def test_a_call_from_its_greeting_to_its_record() -> None:
    script = "turns: [We open at eight.]\ncaller: {lines: ['When do you open?']}\n"
    async with door(script=script) as it, twilio_stream(it.twilio, token()) as caller:
        await eventually(lambda: len(caller.heard) > 8000)
        await caller.speak(SPOKEN * 25 + QUIET * 60)
        await eventually(lambda: caller.clears and caller.since_clear > 4000)
        await caller.send("stop", stop={"callSid": caller.call_sid})
        record = await it.practice.ended_record(CallId("twilio:CA0123:0"))
        assert record.summary.end_reason == "caller_hung_up"
        said = [line.text for line in record.transcript if line.role == "agent"]
        assert GREETING.startswith(said[0]), "cut off"
        assert said[1:] == ["We open at eight."]
        assert record.summary.caller == "+15550100123"
        await eventually(lambda: it.endpoint.live == 0)
        assert [(outcome, ending.reason) for _, outcome, ending in it.told if ending] == [
            ("ended", "caller_hung_up")
        ]
        assert it.metrics.webhooks == [("twilio", "ok")]
        assert it.metrics.dropped == []
