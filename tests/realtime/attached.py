"""A socket model connected to a pretended server, ready for a test to talk."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from sipagent.realtime import (
    OpenAIRealtimeSIPModel,
    OpenAIRealtimeWebSocketModel,
    RealtimeModelSendSystemMessage,
)
from tests.realtime.peer import Peer, RealtimeServer, Recorder

SocketModel = OpenAIRealtimeSIPModel | OpenAIRealtimeWebSocketModel
ModelT = TypeVar("ModelT", OpenAIRealtimeSIPModel, OpenAIRealtimeWebSocketModel, SocketModel)


@asynccontextmanager
async def attached(
    model: ModelT, server: RealtimeServer, **options: Any
) -> AsyncIterator[tuple[ModelT, Peer, Recorder]]:
    """``model``, whose session.update was read already."""
    recorder = Recorder()
    model.add_listener(recorder)
    config: Any = {"api_key": "sk-test", "base_url": server.base_url, **options}
    await model.connect(config)
    try:
        peer = await server.peer()
        await peer.receive("session.update")
        yield model, peer, recorder
    finally:
        await model.close()


@asynccontextmanager
async def connected(
    server: RealtimeServer, **options: Any
) -> AsyncIterator[tuple[OpenAIRealtimeWebSocketModel, Peer, Recorder]]:
    """A model over the socket, whose session.update was read already."""
    async with attached(OpenAIRealtimeWebSocketModel(), server, **options) as found:
        yield found


async def fence(model: SocketModel, peer: Peer) -> None:
    """Nothing was sent before this that was not read: the next message is the one sent now."""
    await model.send_event(RealtimeModelSendSystemMessage(text="fence"))
    message = await peer.receive("conversation.item.create")
    assert message["item"]["content"] == [{"type": "input_text", "text": "fence"}]
