"""A carrier's side of a media stream over a real WebSocket, made after the carriers' documents."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

FRAME = 160


class TwilioStream:
    """Speaks as Twilio does. Plays nothing: marks are confirmed when their time has come."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, call_sid: str) -> None:
        self.socket = socket
        self.call_sid = call_sid
        self.stream_sid = "MZ" + call_sid[2:]
        self.heard = bytearray()
        self.clears = 0
        self.since_clear = 0
        """Bytes that came after the last clear."""
        self.close_code: int | None = None
        self._dry_at = 0.0
        self._chunk = 0
        self._closed = asyncio.Event()

    async def begin(self, token: str) -> None:
        """Say whose stream it is."""
        await self.send("connected", protocol="Call", version="1.0.0")
        start = {
            "streamSid": self.stream_sid,
            "callSid": self.call_sid,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": {"t": token},
        }
        await self.send("start", start=start)

    async def send(self, event: str, **fields: Any) -> None:
        """Any message."""
        await self.socket.send_str(json.dumps({"event": event, "streamSid": self.stream_sid, **fields}))

    async def speak(self, audio: bytes, *, paced: bool = True) -> None:
        """The caller says ``audio``, in frames of 20 ms."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number, at in enumerate(range(0, len(audio), FRAME)):
            payload = base64.b64encode(audio[at : at + FRAME]).decode()
            self._chunk += 1
            media = {
                "track": "inbound",
                "chunk": str(self._chunk),
                "timestamp": str(self._chunk * 20),
                "payload": payload,
            }
            await self.send("media", media=media)
            if paced:
                await asyncio.sleep(max(0.0, began + (number + 1) * 0.02 - loop.time()))

    async def closed(self) -> int | None:
        """Return when our side has closed; its code."""
        async with asyncio.timeout(30):
            await self._closed.wait()
        return self.close_code

    async def listen(self) -> None:
        """Take what comes until the end."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            async for message in self.socket:
                data = json.loads(message.data)
                match data["event"]:
                    case "media":
                        audio = base64.b64decode(data["media"]["payload"])
                        self.heard += audio
                        self.since_clear += len(audio)
                        self._dry_at = max(self._dry_at, loop.time()) + len(audio) / 8000
                    case "clear":
                        self.clears += 1
                        self.since_clear = 0
                        self._dry_at = loop.time()
                    case "mark":
                        group.create_task(self._confirm(data["mark"]["name"], self._dry_at))
                    case other:
                        raise AssertionError(f"Twilio knows no {other}")
            self.close_code = self.socket.close_code
            self._closed.set()

    async def _confirm(self, name: str, at: float) -> None:
        await asyncio.sleep(max(0.0, at - asyncio.get_running_loop().time()))
        # A connection that a test has cut off is not closed as far as the client knows.
        with contextlib.suppress(aiohttp.ClientConnectionResetError):
            if not self.socket.closed:
                await self.send("mark", mark={"name": name})


@asynccontextmanager
async def twilio_stream(
    url: str, token: str | None, *, call_sid: str = "CA0123"
) -> AsyncIterator[TwilioStream]:
    """A stream that is open, and has started unless ``token`` is None."""
    async with aiohttp.ClientSession() as http, http.ws_connect(url) as socket:
        stream = TwilioStream(socket, call_sid)
        listening = asyncio.create_task(stream.listen())
        try:
            if token is not None:
                await stream.begin(token)
            yield stream
        finally:
            await socket.close()
            await listening
