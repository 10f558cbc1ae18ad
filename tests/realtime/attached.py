"""A socket model connected to a pretended server, ready for a test to talk."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sipagent.realtime import OpenAIRealtimeWebSocketModel, RealtimeModelSendSystemMessage
from tests.realtime.peer import Peer, RealtimeServer, Recorder


@asynccontextmanager
async def connected(
    server: RealtimeServer, **options: Any
) -> AsyncIterator[tuple[OpenAIRealtimeWebSocketModel, Peer, Recorder]]:
    """A model whose session.update was read already."""
    model, recorder = OpenAIRealtimeWebSocketModel(), Recorder()
    model.add_listener(recorder)
    config: Any = {"api_key": "sk-test", "base_url": server.base_url, **options}
    await model.connect(config)
    try:
        peer = await server.peer()
        await peer.receive("session.update")
        yield model, peer, recorder
    finally:
        await model.close()


async def fence(model: OpenAIRealtimeWebSocketModel, peer: Peer) -> None:
    """Nothing was sent before this that was not read: the next message is the one sent now."""
    await model.send_event(RealtimeModelSendSystemMessage(text="fence"))
    message = await peer.receive("conversation.item.create")
    assert message["item"]["content"] == [{"type": "input_text", "text": "fence"}]
