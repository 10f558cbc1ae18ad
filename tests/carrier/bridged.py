"""A bridge between a pretended carrier and a pretended server, ready for a test to talk."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sipagent.carrier.bridge import Bridge
from sipagent.carrier.pacer import Pacer
from sipagent.realtime import CarriedCallModel
from tests.carrier.pretended_stream import PretendedStream
from tests.realtime import messages
from tests.realtime.peer import Peer, Recorder, realtime_server


@dataclass(frozen=True, kw_only=True)
class Bridged:
    """Both sides of a bridge."""

    bridge: Bridge
    stream: PretendedStream
    model: CarriedCallModel
    peer: Peer
    recorder: Recorder
    update: dict[str, Any]
    """The session's first update."""
    running: asyncio.Task[None]

    async def appended(self, byte_count: int) -> bytes:
        """So much of what the caller said, as the server gets it."""
        audio = b""
        while len(audio) < byte_count:
            message = await self.peer.receive("input_audio_buffer.append")
            audio += base64.b64decode(message["audio"])
        return audio


def session_of_telephone(spoken: str = "audio/pcmu") -> dict[str, Any]:
    """What the server says of a session that speaks G.711."""
    created = messages.session_created()
    created["session"]["audio"]["input"]["format"] = {"type": spoken}
    created["session"]["audio"]["output"]["format"] = {"type": spoken}
    return created


def audio_delta(audio: bytes, *, item_id: str = "item_1", response_id: str = "resp_1") -> dict[str, Any]:
    """The server says something."""
    return {
        "type": "response.output_audio.delta",
        "event_id": "event_x",
        "response_id": response_id,
        "item_id": item_id,
        "output_index": 0,
        "content_index": 0,
        "delta": base64.b64encode(audio).decode(),
    }


def audio_done(*, item_id: str = "item_1", response_id: str = "resp_1") -> dict[str, Any]:
    """It has said all of it."""
    return {
        "type": "response.output_audio.done",
        "event_id": "event_y",
        "response_id": response_id,
        "item_id": item_id,
        "output_index": 0,
        "content_index": 0,
    }


SPEECH_STARTED = {
    "type": "input_audio_buffer.speech_started",
    "event_id": "event_z",
    "item_id": "item_caller",
    "audio_start_ms": 0,
}


@asynccontextmanager
async def bridged(
    stream: PretendedStream, *, keep_early: bool = True, connect: bool = True
) -> AsyncIterator[Bridged]:
    """A bridge whose session is open."""
    async with realtime_server() as server:
        with Pacer() as pacer:
            bridge = Bridge(stream, pacer=pacer)
            running = asyncio.create_task(bridge.run())
            model = bridge.new_model(keep_early=keep_early)
            recorder = Recorder()
            model.add_listener(recorder)
            try:
                await model.connect({"api_key": "sk-test", "base_url": server.base_url})
                peer = await server.peer()
                update = await peer.receive("session.update")
                await peer.send(session_of_telephone())
                yield Bridged(
                    bridge=bridge,
                    stream=stream,
                    model=model,
                    peer=peer,
                    recorder=recorder,
                    update=update,
                    running=running,
                )
            finally:
                running.cancel()
                await asyncio.wait([running])
                await model.close()
