"""A Calls API and a Realtime socket that do as they are told, and remember what that was."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from sipagent.clock import unix_s
from tests.bench.wire import webhook_request


@dataclass(slots=True, kw_only=True)
class Told:
    """What the service said about one call."""

    accepted: dict[str, Any] | None = None
    """The session of the accept."""
    updated: dict[str, Any] | None = None
    """The session of the first update."""
    asked: str = ""
    """The first response that was asked for, as JSON."""
    refused: bool = False
    hung_up: bool = False
    """By the service, while the caller was there."""
    greeted: asyncio.Event = field(default_factory=asyncio.Event)
    socket: web.WebSocketResponse | None = None


class PlainApi:
    """Listens on a free port of the loopback while its context is open."""

    def __init__(self) -> None:
        self.calls: dict[str, Told] = {}
        self.base_url = ""
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> PlainApi:
        app = web.Application()
        app.router.add_get("/v1/realtime", self._socket)
        app.router.add_post("/v1/realtime/calls/{call_id}/{verb}", self._control)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.base_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        for told in self.calls.values():
            if told.socket is not None:
                await told.socket.close()
        assert self._runner is not None
        await self._runner.cleanup()

    async def ring(self, call_id: str, service_port: int) -> Told:
        """A call that was greeted; `TimeoutError` for one that nobody answers."""
        told = self.calls[call_id] = Told()
        reader, writer = await asyncio.open_connection("127.0.0.1", service_port)
        try:
            writer.write(webhook_request(call_id, timestamp=int(unix_s()), port=service_port))
            status = await reader.readuntil(b"\r\n")
            assert b" 200 " in status, status
        finally:
            writer.close()
            await writer.wait_closed()
        async with asyncio.timeout(30):
            await told.greeted.wait()
        return told

    async def hang_up(self, told: Told) -> None:
        """The caller leaves."""
        assert told.socket is not None
        await told.socket.close(code=WSCloseCode.OK)

    async def close_connections(self) -> None:
        """Close what is kept open for the next request; for when no call is up."""
        assert self._runner is not None
        assert self._runner.server is not None
        await self._runner.server.shutdown()

    async def _control(self, request: web.Request) -> web.Response:
        told = self.calls[request.match_info["call_id"]]
        body = await request.read()
        match request.match_info["verb"]:
            case "accept":
                told.accepted = json.loads(body)
            case "reject":
                told.refused = True
                told.greeted.set()
            case "hangup":
                told.hung_up = told.socket is not None and not told.socket.closed
            case verb:
                raise AssertionError(f"nobody should {verb} a call here")
        return web.Response()

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        told = self.calls[request.query["call_id"]]
        told.socket = socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                command = json.loads(message.data)
                if command["type"] == "session.update" and told.updated is None:
                    told.updated = command["session"]
                elif command["type"] == "response.create" and not told.asked:
                    told.asked = message.data
                    await self._respond(socket)
                    told.greeted.set()
        return socket

    async def _respond(self, socket: web.WebSocketResponse) -> None:
        response = {"id": "resp_1", "object": "realtime.response", "status": "in_progress", "output": []}
        await socket.send_json({"type": "response.created", "event_id": "e1", "response": response})
        await socket.send_json(
            {"type": "output_audio_buffer.started", "event_id": "e2", "response_id": "resp_1"}
        )
        response = {**response, "status": "completed"}
        await socket.send_json({"type": "response.done", "event_id": "e3", "response": response})
        await socket.send_json(
            {"type": "output_audio_buffer.stopped", "event_id": "e4", "response_id": "resp_1"}
        )
