"""What a model sends, and what it sends only as long as something holds."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sipagent.errors import ConnectionLostError
from sipagent.identifiers import ResponseId, ToolCallId
from sipagent.realtime import (
    OpenAIRealtimeSIPModel,
    RealtimeModel,
    RealtimeModelConfig,
    RealtimeModelConnectionStatusEvent,
    RealtimeModelRequestResponse,
    RealtimeModelSendAudio,
    RealtimeModelSendEvent,
    RealtimeModelSendInterrupt,
    RealtimeModelSendSystemMessage,
    RealtimeModelSendToolOutput,
    RealtimeModelSendUserInput,
    RealtimeModelToolCallEvent,
    RealtimeModelTurnEndedEvent,
    RealtimeModelTurnStartedEvent,
)
from sipagent.realtime.commands import CommandWriter
from sipagent.realtime.model import RealtimeModelListener
from sipagent.realtime.outgoing import Outgoing
from tests.realtime import messages
from tests.realtime.attached import connected, fence
from tests.realtime.peer import PATIENCE_S, Peer, RealtimeServer, Recorder, realtime_server

HINT = RealtimeModelSendSystemMessage(text="hint")
WISH = RealtimeModelSendUserInput(user_input="A cleaning, please.")
ASK = RealtimeModelRequestResponse()


class Remembering(RealtimeModel):
    """Somebody's own transport, which knows nothing of conditions."""

    def __init__(self) -> None:
        self.sent: list[RealtimeModelSendEvent] = []

    async def connect(self, options: RealtimeModelConfig) -> None: ...

    def add_listener(self, listener: RealtimeModelListener) -> None: ...

    def remove_listener(self, listener: RealtimeModelListener) -> None: ...

    async def send_event(self, event: RealtimeModelSendEvent) -> None:
        self.sent.append(event)

    async def close(self) -> None: ...


async def test_a_model_that_knows_nothing_of_conditions_loses_nothing() -> None:
    model = Remembering()
    assert not await model.send_event_if(HINT, lambda: False)
    assert await model.send_event_if(WISH, lambda: True)
    assert model.sent == [WISH]


@pytest.mark.parametrize(
    "event",
    [
        HINT,
        WISH,
        ASK,
        RealtimeModelSendAudio(audio=b"\x00"),
        RealtimeModelSendInterrupt(),
        RealtimeModelSendToolOutput(
            tool_call=RealtimeModelToolCallEvent(name="x", call_id=ToolCallId("call_1"), arguments="{}"),
            output="Tuesday",
            start_response=True,
        ),
    ],
)
async def test_nothing_is_sent_when_the_condition_does_not_hold(event: RealtimeModelSendEvent) -> None:
    async with realtime_server() as server, connected(server) as (model, peer, _):
        assert not await model.send_event_if(event, lambda: False)
        assert not model.response_pending
        await fence(model, peer)


async def test_everything_is_sent_when_it_holds() -> None:
    async with realtime_server() as server, connected(server) as (model, peer, _):
        assert await model.send_event_if(HINT, lambda: True)
        assert (await peer.receive("conversation.item.create"))["item"]["role"] == "system"
        assert await model.send_event_if(WISH, lambda: True)
        assert (await peer.receive("conversation.item.create"))["item"]["role"] == "user"
        await peer.receive("response.create")
        assert await model.send_event_if(RealtimeModelSendAudio(audio=b"\x00"), lambda: True)
        await peer.receive("input_audio_buffer.append")


async def test_a_users_input_does_not_come_between_a_request_and_its_response() -> None:
    async with realtime_server() as server, connected(server) as (model, peer, recorder):
        await model.send_event(ASK)
        await peer.receive("response.create")
        assert not await model.send_event_if(WISH, lambda: True)
        assert await model.send_event_if(HINT, lambda: True)
        await peer.receive("conversation.item.create")
        await peer.send(messages.response_created(), messages.response_done())
        await recorder.first(RealtimeModelTurnEndedEvent)
        assert await model.send_event_if(WISH, lambda: True)
        await peer.receive("conversation.item.create")
        await peer.receive("response.create")


async def test_of_two_inputs_at_once_one_is_sent() -> None:
    async with realtime_server() as server, connected(server) as (model, peer, _):
        sent = await asyncio.gather(*(model.send_event_if(WISH, lambda: True) for _ in range(2)))
        assert sorted(sent) == [False, True]
        await peer.receive("conversation.item.create")
        await peer.receive("response.create")
        await fence(model, peer)


async def test_a_condition_is_asked_again_when_the_turn_of_a_request_has_come() -> None:
    async with realtime_server() as server, connected(server) as (model, peer, recorder):
        wanted = True
        await peer.send(messages.response_created())
        await recorder.first(RealtimeModelTurnStartedEvent)
        assert await model.send_event_if(ASK, lambda: wanted)
        wanted = False
        await peer.send(messages.response_done())
        await recorder.first(RealtimeModelTurnEndedEvent)
        await fence(model, peer)


async def test_a_condition_that_raises_raises_where_it_was_given_and_drops_what_waits() -> None:
    def broken() -> bool:
        raise ZeroDivisionError

    async with realtime_server() as server, connected(server) as (model, peer, recorder):
        with pytest.raises(ZeroDivisionError):
            await model.send_event_if(HINT, broken)
        with pytest.raises(ZeroDivisionError):
            await model.send_event_if(WISH, broken)
        await peer.send(messages.response_created())
        await recorder.first(RealtimeModelTurnStartedEvent)
        answers = iter([True])
        assert await model.send_event_if(ASK, lambda: next(answers))
        await peer.send(messages.response_done())
        await recorder.first(RealtimeModelTurnEndedEvent)
        await fence(model, peer)
        assert await model.send_event_if(WISH, lambda: True)
        await peer.receive("conversation.item.create")


async def attached(server: RealtimeServer) -> tuple[OpenAIRealtimeSIPModel, Recorder, Peer]:
    model, recorder = OpenAIRealtimeSIPModel(), Recorder()
    model.add_listener(recorder)
    await model.connect({"api_key": "sk-test", "base_url": server.base_url, "call_id": "rtc_1"})
    peer = await server.peer()
    await peer.receive("session.update")
    await peer.send(messages.session_updated())
    return model, recorder, peer


@pytest.mark.parametrize("event", [HINT, RealtimeModelSendInterrupt(response_id=ResponseId("resp_1"))])
async def test_a_condition_is_asked_after_the_connection_is_back(event: RealtimeModelSendEvent) -> None:
    async with realtime_server() as server:
        model, recorder, peer = await attached(server)
        try:
            wanted, asked = True, 0

            def condition() -> bool:
                nonlocal asked
                asked += 1
                return wanted

            server.hold = asyncio.Event()
            peer.drop()
            await recorder.first(RealtimeModelConnectionStatusEvent)
            sending = asyncio.create_task(model.send_event_if(event, condition))
            await server.handshake(2)
            assert asked == 0
            wanted = False
            server.hold.set()
            assert not await sending
            assert asked == 1
        finally:
            await model.close()


async def test_without_a_connection_there_is_none_to_wait_for() -> None:
    async with realtime_server() as server, connected(server) as (model, _, _recorder):
        await model.close()
        for event in (HINT, ASK, WISH, RealtimeModelSendInterrupt()):
            with pytest.raises(ConnectionLostError):
                await model.send_event_if(event, lambda: True)


class Failing:
    """A socket that is gone, or one that is there."""

    def __init__(self, *, gone: bool) -> None:
        self.tried = asyncio.Event()
        self.sent: list[str] = []
        self._gone = gone

    async def send(self, text: str) -> None:
        self.tried.set()
        if self._gone:
            raise ConnectionLostError("gone")
        self.sent.append(text)


async def test_a_condition_is_asked_for_each_socket() -> None:
    outgoing = Outgoing()
    first, second = Failing(gone=True), Failing(gone=False)
    socket: Any = first
    outgoing.opened(socket, CommandWriter(), "{}")
    asked = 0

    def condition() -> bool:
        nonlocal asked
        asked += 1
        return True

    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as group:
        sending = group.create_task(outgoing.send({"type": "x"}, condition))
        await first.tried.wait()
        socket = second
        await outgoing.restored(socket)
        outgoing.resume()
    assert sending.result()
    assert asked == 2
    assert len(second.sent) == 2  # the update that was not confirmed, and this
