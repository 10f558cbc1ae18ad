"""A tiny service for carriers: answers requests with what a test gave it, and checks every signature."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestServer

from tests.simulator.carrier.twiml import RequestValidator, VoiceResponse

LIMIT_S = 60.0
TOKEN = "pretended-auth-token"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request as it came."""

    path: str
    form: dict[str, str]
    headers: dict[str, str]
    body: bytes
    query: dict[str, str]
    signed: bool


@dataclass(slots=True)
class Service:
    """Documents by path; a path without one answers 204."""

    url: str = ""
    documents: dict[str, str | bytes] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    pauses: dict[str, asyncio.Event] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    sockets: asyncio.Queue[Socket] = field(default_factory=asyncio.Queue)
    check: Callable[[Asked, str], bool] | None = None
    came: asyncio.Condition = field(default_factory=asyncio.Condition)

    def tell(self, path: str, document: VoiceResponse | str | bytes) -> None:
        """Answer requests for ``path`` with ``document``."""
        self.documents[path] = document if isinstance(document, str | bytes) else str(document)

    def address(self, path: str) -> str:
        return f"{self.url}{path}"

    @property
    def media_url(self) -> str:
        return self.url.replace("http://", "ws://") + "/media"

    def forms(self, path: str) -> list[dict[str, str]]:
        return [asked.form for asked in self.asked if asked.path == path]

    async def has(self, path: str, count: int = 1) -> list[Asked]:
        """Wait until ``path`` was asked for ``count`` times."""
        async with asyncio.timeout(LIMIT_S), self.came:
            await self.came.wait_for(lambda: len([each for each in self.asked if each.path == path]) >= count)
        return [each for each in self.asked if each.path == path]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        form = {name: str(value) for name, value in (await request.post()).items()}
        asked = Asked(
            path=request.path,
            form=form,
            headers=dict(request.headers),
            body=body,
            query=dict(request.query),
            signed=False,
        )
        url = self.url + request.raw_path
        signed = self.check(asked, url) if self.check is not None else twilio_signed(asked, url)
        asked = Asked(
            path=asked.path,
            form=form,
            headers=asked.headers,
            body=body,
            query=asked.query,
            signed=signed,
        )
        async with self.came:
            self.asked.append(asked)
            self.came.notify_all()
        if request.path in self.pauses:
            await self.pauses[request.path].wait()
        if not signed:
            return web.Response(status=403)
        if request.path in self.statuses:
            return web.Response(status=self.statuses[request.path])
        document = self.documents.get(request.path)
        if document is None:
            return web.Response(status=204)
        if isinstance(document, bytes):
            return web.Response(body=document, content_type="audio/wav")
        return web.Response(text=document, content_type="text/xml")

    async def stream(self, request: web.Request) -> web.WebSocketResponse:
        response = web.WebSocketResponse()
        await response.prepare(request)
        socket = Socket(response, headers=dict(request.headers))
        self.sockets.put_nowait(socket)
        await socket.read()
        return response

    async def next_socket(self) -> Socket:
        async with asyncio.timeout(LIMIT_S):
            return await self.sockets.get()


class Socket:
    """The service's end of an audio socket."""

    def __init__(self, response: web.WebSocketResponse, *, headers: dict[str, str]) -> None:
        self.response = response
        self.headers = headers
        self.messages: deque[tuple[float, dict[str, object]]] = deque()
        self.closed = asyncio.Event()
        self._came = asyncio.Condition()

    async def read(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            async for message in self.response:
                assert message.type is WSMsgType.TEXT
                async with self._came:
                    self.messages.append((loop.time(), message.json()))
                    self._came.notify_all()
        finally:
            # A connection that breaks cancels this handler.
            self.closed.set()
            async with self._came:
                self._came.notify_all()

    def events(self, name: str) -> list[dict[str, object]]:
        return [message for _, message in self.messages if message["event"] == name]

    async def until(self, name: str, count: int = 1) -> list[dict[str, object]]:
        """Wait for so many messages of one event."""
        async with asyncio.timeout(LIMIT_S), self._came:
            await self._came.wait_for(lambda: len(self.events(name)) >= count or self.closed.is_set())
        assert len(self.events(name)) >= count, f"closed before {count} {name}"
        return self.events(name)

    async def send(self, message: dict[str, object]) -> None:
        await self.response.send_json(message)


def twilio_signed(asked: Asked, url: str) -> bool:
    """Judged by Twilio's own library."""
    signature = asked.headers.get("X-Twilio-Signature", "")
    return bool(RequestValidator(TOKEN).validate(url, asked.form, signature))


@asynccontextmanager
async def service() -> AsyncIterator[Service]:
    """One service on a real port."""
    found = Service()
    app = web.Application()
    app.router.add_get("/media", found.stream)
    app.router.add_route("*", "/{path:.*}", found.answer)
    async with TestServer(app) as server:
        found.url = str(server.make_url("")).rstrip("/")
        yield found
