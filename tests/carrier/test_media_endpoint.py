"""Calls whose audio carriers bring to us, from the socket to the record."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from sipagent.calls.endings import Ending
from sipagent.calls.incoming import CarrierLeg, IncomingCall
from sipagent.carrier import media_endpoint, web_stream
from sipagent.carrier.asterisk_endpoint import AsteriskEndpoint
from sipagent.carrier.media_endpoint import MediaEndpoint
from sipagent.carrier.pacer import Pacer
from sipagent.carrier.stream_line import LineOutcome, LineSettings, StreamLine
from sipagent.carrier.tokens import LegToken, LegTokens
from sipagent.clock import unix_s
from sipagent.identifiers import CallId
from sipagent.realtime.session_events import RealtimeDtmfReceived, RealtimeSessionEvent
from sipagent.simulator.faults import Fault, FaultSet
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


async def test_an_agent_who_hangs_up_closes_the_stream_after_it_was_told() -> None:
    script = "turns: [{say: 'Goodbye!', call: hang_up}]\ncaller: {lines: ['Thank you, goodbye.']}\n"
    async with door(script=script) as it, twilio_stream(it.twilio, token()) as caller:
        await eventually(lambda: caller.heard)
        await caller.speak(SPOKEN * 25 + QUIET * 60)
        assert await caller.closed() == 1000
        assert [outcome for _, outcome, _ in it.told] == ["ended"]
        record = await it.practice.ended_record(CallId("twilio:CA0123:0"))
        assert record.summary.end_reason == "agent_hung_up"


async def test_keys_reach_the_session() -> None:
    keys: list[str] = []

    def observe(_: CallId, event: RealtimeSessionEvent) -> None:
        if isinstance(event, RealtimeDtmfReceived):
            keys.append(event.digit)

    async with door() as it, twilio_stream(it.twilio, token()) as caller:
        it.practice.service.observe(observe)
        await eventually(lambda: caller.heard)
        await caller.send("dtmf", dtmf={"track": "inbound_track", "digit": "5"})
        await caller.send("dtmf", dtmf={"track": "inbound_track", "digit": "no key"})
        await caller.send("dtmf", dtmf={"track": "inbound_track", "digit": "#"})
        await eventually(lambda: keys == ["5", "#"])


async def test_a_session_that_is_lost_ends_the_line_as_one_that_failed() -> None:
    faults = FaultSet.of(Fault.SOCKET_DROPPED)
    async with door(faults=faults) as it, twilio_stream(it.twilio, token()) as caller:
        assert await caller.closed() == 1000
        assert [outcome for _, outcome, _ in it.told] == ["failed"]
        record = await it.practice.ended_record(CallId("twilio:CA0123:0"))
        assert record.summary.end_reason == "connection_lost"


@pytest.mark.parametrize(
    ("text", "code", "counted"),
    [
        ("forged", 4401, "bad_signature"),
        ("", 4401, "bad_signature"),
        (token(age_s=5 * 3600), 4401, "bad_signature"),
        (token("CA9999"), 4401, "replayed"),
        (token(carrier="telnyx"), 4401, "replayed"),
    ],
)
async def test_streams_that_are_not_ours_are_refused_and_counted(text: str, code: int, counted: str) -> None:
    async with door() as it, twilio_stream(it.twilio, text) as caller:
        assert await caller.closed() == code
        await eventually(lambda: it.metrics.webhooks == [("twilio", counted)])
        assert it.practice.service.live_calls == 0


async def test_a_socket_that_does_not_say_whose_it_is_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_stream, "START_WITHIN_S", 0.2)
    async with door() as it:
        async with twilio_stream(it.twilio, None) as caller:
            assert await caller.closed() == 4400
        async with twilio_stream(it.twilio, None) as caller:
            for _ in range(web_stream.MOST_BEFORE_START):
                await caller.send("connected")
            assert await caller.closed() == 4400
        async with twilio_stream(it.twilio, None) as caller:
            await caller.socket.send_str("no json")
            assert await caller.closed() == 4400
        async with twilio_stream(it.twilio, None) as caller:
            await caller.socket.send_str("x" * 100_000)
            assert await caller.closed() in (1009, 4400)
        assert [result for _, result in it.metrics.webhooks] == ["bad_body"] * 4
        await eventually(lambda: it.endpoint.live == 0)


async def test_a_start_that_is_nested_without_end_is_none() -> None:
    async with door() as it, twilio_stream(it.twilio, None) as caller:
        await caller.socket.send_str('{"event": "start", "start": ' + "[" * 30_000 + "]" * 30_000 + "}")
        assert await caller.closed() == 4400
        assert it.metrics.webhooks == [("twilio", "bad_body")]


async def test_a_call_that_cannot_be_taken_leaves_no_socket_open(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with door() as it:

        def broken(*_: object, **__: object) -> bool:
            raise RuntimeError("a defect")

        monkeypatch.setattr(it.practice.service._running, "take", broken)
        async with twilio_stream(it.twilio, token()) as caller:
            assert await caller.closed() is not None
        await eventually(lambda: it.endpoint.live == 0)
        assert "by a defect of ours" in caplog.text
        monkeypatch.undo()
        async with twilio_stream(it.twilio, token("CA2"), call_sid="CA2") as caller:
            await eventually(lambda: caller.heard)


async def test_what_is_no_web_socket_is_told_so() -> None:
    async with door() as it, aiohttp.ClientSession() as http:
        async with http.get(it.twilio) as response:
            assert response.status == 426
        async with http.post(it.twilio) as response:
            assert response.status == 405


async def test_there_are_only_so_many_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media_endpoint, "MOST_STREAMS", 1)
    async with door() as it, twilio_stream(it.twilio, token()) as caller:
        await eventually(lambda: caller.heard)
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with twilio_stream(it.twilio, token("CA2")):
                pass
        assert refused.value.status == 503
        assert ("twilio", "limited") in it.metrics.webhooks


async def test_a_second_stream_of_a_call_is_closed_and_the_first_goes_on() -> None:
    async with door() as it, twilio_stream(it.twilio, token()) as caller:
        await eventually(lambda: caller.heard)
        async with twilio_stream(it.twilio, token()) as second:
            assert await second.closed() == 1000
            assert not second.heard
        before = len(caller.heard)
        await eventually(lambda: len(caller.heard) > before)
        assert it.metrics.webhooks == [("twilio", "ok"), ("twilio", "duplicate")]
        async with twilio_stream(it.twilio, token(step=1)) as next_step:
            await eventually(lambda: next_step.heard)


async def test_messages_that_are_none_are_passed_over_until_they_are_too_many() -> None:
    async with door() as it, twilio_stream(it.twilio, token()) as caller:
        await eventually(lambda: caller.heard)
        for _ in range(web_stream.MOST_UNREADABLE):
            await caller.socket.send_str("{")
        await caller.socket.send_bytes(b"binary")
        await caller.send("something new")
        before = len(caller.heard)
        await eventually(lambda: len(caller.heard) > before)
        await caller.socket.send_str("{")
        assert await caller.closed() == 1000
        record = await it.practice.ended_record(CallId("twilio:CA0123:0"))
        assert record.summary.end_reason == "caller_hung_up"


async def test_a_socket_that_breaks_ends_the_call_and_perhaps_not_for_the_caller() -> None:
    async with door() as it, twilio_stream(it.twilio, token()) as caller:
        await eventually(lambda: caller.heard)
        connection = caller.socket.get_extra_info("socket")
        assert connection is not None
        transport = caller.socket._response.connection.transport  # type: ignore[union-attr]
        transport.abort()  # type: ignore[union-attr]
        record = await it.practice.ended_record(CallId("twilio:CA0123:0"))
        assert record.summary.end_reason == "caller_hung_up"
        assert it.told[0][1] == "failed", "the carrier asks, if the caller is still there"


async def test_telnyx_brings_its_callers_too() -> None:
    async with door() as it, aiohttp.ClientSession() as http:
        async with http.ws_connect(f"{it.base_url}/carriers/telnyx/media") as socket:
            await socket.send_json({"event": "connected", "version": "1.0.0"})
            start = {
                "call_control_id": "v3:leg",
                "custom_parameters": {"t": token("v3:leg", carrier="telnyx")},
                "media_format": {"encoding": "PCMA", "sample_rate": 8000, "channels": 1},
            }
            await socket.send_json({"event": "start", "stream_id": "s1", "start": start})
            heard = b""
            async with asyncio.timeout(30):
                while len(heard) < 8000:
                    message = await socket.receive_json()
                    if message["event"] == "media":
                        heard += base64.b64decode(message["media"]["payload"])
            await socket.send_json({"event": "stop", "stream_id": "s1"})
        record = await it.practice.ended_record(CallId("telnyx:v3:leg:0"))
        assert record.summary.end_reason == "caller_hung_up"
        assert it.metrics.webhooks == [("telnyx", "ok")]


async def test_sockets_that_say_nothing_keep_nobody_else_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media_endpoint, "MOST_STARTING", 2)
    stranger = {"X-Forwarded-For": "203.0.113.7"}
    async with door() as it, aiohttp.ClientSession() as http, contextlib.AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(http.ws_connect(it.twilio, headers=stranger))
        await eventually(lambda: it.endpoint.live == 2)
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await http.ws_connect(it.twilio, headers=stranger)
        assert it.metrics.webhooks == [("twilio", "limited")]
        caller = await stack.enter_async_context(twilio_stream(it.twilio, token()))
        await eventually(lambda: caller.heard)
        await stack.aclose()
        await eventually(lambda: not it.endpoint._starting)
