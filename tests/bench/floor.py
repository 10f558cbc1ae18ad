"""The floor: the least that any service must do for a call. A process of its own.

A bare aiohttp handler that checks the HMAC, posts the accept, opens the socket and asks for a greeting.
No routes, no records, no deadlines, no tools: nothing a company could put its number on.

    python -m tests.bench.floor PORT BASE_URL SECRET
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import sys

import aiohttp
import websockets
from aiohttp import web

SESSION = {
    "type": "realtime",
    "model": "gpt-realtime-2.1",
    "instructions": "You answer the phone of a dental practice. Be brief and kind.",
    "audio": {
        "input": {"format": {"type": "audio/pcmu"}},
        "output": {"format": {"type": "audio/pcmu"}, "voice": "marin"},
    },
}
GREETING = json.dumps({"type": "response.create", "response": {"instructions": "Greet the caller."}})


async def main(port: int, base_url: str, secret: str) -> None:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    headers = {"Authorization": "Bearer bench"}
    socket_base = "ws" + base_url.removeprefix("http")
    calls: set[asyncio.Task[None]] = set()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1000)) as http:

        async def answer(call_id: str) -> None:
            url = f"{base_url}/realtime/calls/{call_id}/accept"
            async with http.post(url, json=SESSION, headers=headers) as response:
                response.raise_for_status()
            url = f"{socket_base}/realtime?call_id={call_id}"
            async with websockets.connect(
                url, additional_headers=headers, compression=None, proxy=None
            ) as socket:
                await socket.send(GREETING)
                async for event in socket:
                    json.loads(event)

        async def webhook(request: web.Request) -> web.Response:
            body = await request.read()
            signed = (
                f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + body
            )
            expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
            if not hmac.compare_digest(expected, request.headers["webhook-signature"]):
                return web.Response(status=400)
            task = asyncio.create_task(answer(json.loads(body)["data"]["call_id"]))
            calls.add(task)
            task.add_done_callback(calls.discard)
            return web.Response()

        app = web.Application()
        app.router.add_post("/webhooks/openai", webhook)
        app.router.add_get("/healthz", lambda request: asyncio.sleep(0, web.Response()))
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
