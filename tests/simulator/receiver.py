"""A tiny service: takes webhooks on a real port and hands them to the test."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

LIMIT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    body: bytes
    headers: dict[str, str]

    @property
    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)["data"]
        return found

    @property
    def call_id(self) -> str:
        return str(self.data["call_id"])


class WebhookReceiver:
    """Answers every webhook with `status` and queues it."""

    def __init__(self) -> None:
        self.status = 200
        self.url = ""
        self.webhooks: asyncio.Queue[Webhook] = asyncio.Queue()

    async def next(self) -> Webhook:
        async with asyncio.timeout(LIMIT_S):
            return await self.webhooks.get()

    async def take(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.webhooks.put_nowait(Webhook(body=await request.read(), headers=headers))
        return web.Response(status=self.status)


@asynccontextmanager
async def webhook_receiver() -> AsyncIterator[WebhookReceiver]:
    receiver = WebhookReceiver()
    app = web.Application()
    app.router.add_post("/webhooks/openai", receiver.take)
    async with TestServer(app) as server:
        receiver.url = str(server.make_url("/webhooks/openai"))
        yield receiver
