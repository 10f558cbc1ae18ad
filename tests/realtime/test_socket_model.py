"""A session over a real socket: what is sent when, what is reported, and what no message can break."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest

from sipagent.errors import AttachError, ConnectionLostError, UserError
from sipagent.identifiers import ToolCallId
from sipagent.realtime import (
    OpenAIRealtimeWebSocketModel,
    RealtimeModelConfig,
    RealtimeModelConnectionStatusEvent,
    RealtimeModelEndOfStreamEvent,
    RealtimeModelErrorEvent,
    RealtimeModelEvent,
    RealtimeModelExceptionEvent,
    RealtimeModelListener,
    RealtimeModelOtherEvent,
    RealtimeModelRawServerEvent,
    RealtimeModelRequestResponse,
    RealtimeModelSendRawMessage,
    RealtimeModelSendSystemMessage,
    RealtimeModelSendToolOutput,
    RealtimeModelSendUserInput,
    RealtimeModelToolCallEvent,
    RealtimeModelTurnEndedEvent,
    RealtimeModelTurnStartedEvent,
)
from sipagent.realtime.events import RealtimeModelResponseRequestedEvent, RealtimeModelSessionEvent
from tests.realtime import messages
from tests.realtime.attached import connected, fence
from tests.realtime.peer import Recorder, realtime_server

ALREADY_ACTIVE = "conversation_already_has_active_response"


def call(number: int) -> RealtimeModelToolCallEvent:
    return RealtimeModelToolCallEvent(name="look_up", call_id=ToolCallId(f"call_{number}"), arguments="{}")


def answer(number: int, *, start_response: bool = True) -> RealtimeModelSendToolOutput:
    return RealtimeModelSendToolOutput(
        tool_call=call(number), output=f"output {number}", start_response=start_response
    )


# Connecting -----------------------------------------------------------------------------------------


async def test_settings_that_cannot_work_open_no_socket() -> None:
    async with realtime_server() as server:
        config: RealtimeModelConfig = {
            "api_key": "sk-test",
            "base_url": server.base_url,
            "initial_model_settings": {"input_audio_format": "wav"},
        }
        with pytest.raises(UserError, match="wav"):
            await OpenAIRealtimeWebSocketModel().connect(config)
        assert server.handshakes == []


async def test_one_object_serves_one_connection_at_a_time() -> None:
    async with realtime_server() as server, connected(server) as (model, peer, recorder):
        again: RealtimeModelConfig = {"api_key": "sk-test", "base_url": server.base_url}
        with pytest.raises(AssertionError, match="Already connected"):
            await model.connect(again)
        await fence(model, peer)
        await model.close()
        assert await peer.gone() == (1000, "")
        with pytest.raises(ConnectionLostError):
            await model.send_event(RealtimeModelRequestResponse())
        await model.connect(again)
        second = await server.peer()
        await second.receive("session.update")
        await fence(model, second)
        assert recorder.events == []


async def test_nothing_can_be_asked_without_a_connection() -> None:
    model = OpenAIRealtimeWebSocketModel()
    for event in (RealtimeModelRequestResponse(), RealtimeModelSendSystemMessage(text="hint"), answer(1)):
        with pytest.raises(ConnectionLostError, match="Not connected"):
            await model.send_event(event)


async def test_a_peer_that_speaks_no_websocket_is_an_attach_error() -> None:
    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-hello\r\n")
        writer.close()

    listening = await asyncio.start_server(rude, "127.0.0.1", 0)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        with pytest.raises(AttachError):
            await OpenAIRealtimeWebSocketModel().connect(
                {"api_key": "sk-test", "base_url": f"http://127.0.0.1:{port}/v1"}
            )


# Responses ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("named", [True, False])
async def test_a_request_that_loses_the_race_is_asked_again(named: bool) -> None:
    async with realtime_server() as server, connected(server) as (model, peer, recorder):
        await model.send_event(RealtimeModelRequestResponse(response={"instructions": "Greet."}))
        first = await peer.receive("response.create")
        await peer.send(
            messages.response_created("resp_vad"),
            messages.error(ALREADY_ACTIVE, event_id=first["event_id"] if named else None),
            messages.response_done("resp_vad"),
        )
        second = await peer.receive("response.create")
        assert second["response"] == {"instructions": "Greet."}
        await peer.send(messages.response_created("resp_2"), messages.response_done("resp_2"))
        await recorder.until(lambda: len(recorder.all(RealtimeModelTurnEndedEvent)) == 2)
        assert not model.response_pending
        await fence(model, peer)
        # The race is nobody else's business.
        assert recorder.all(RealtimeModelErrorEvent) == []


@pytest.mark.parametrize("named", [True, False])
async def test_a_refusal_before_the_response_in_the_way_is_known_waits_for_its_end(named: bool) -> None:
    async with realtime_server() as server, connected(server) as (model, peer, _):
        await model.send_event(RealtimeModelRequestResponse())
        first = await peer.receive("response.create")
        await peer.send(
            messages.error(ALREADY_ACTIVE, event_id=first["event_id"] if named else None),
            messages.response_created("resp_vad"),
        )
        await fence(model, peer)
        await peer.send(messages.response_done("resp_vad"))
        await peer.receive("response.create")


async def test_a_request_refused_for_what_it_says_is_reported_and_keeps_nobody_waiting() -> None:
    async with realtime_server() as server, connected(server) as (model, peer, recorder):
        await model.send_event(RealtimeModelRequestResponse(response={"instructions": "x"}))
        first = await peer.receive("response.create")
        await model.send_event(RealtimeModelRequestResponse())
        await peer.send(messages.error("invalid_value", event_id=first["event_id"]))
        second = await peer.receive("response.create")
        assert "response" not in second
        assert [event.error["code"] for event in recorder.all(RealtimeModelErrorEvent)] == ["invalid_value"]


async def test_every_request_is_told_when_it_is_sent() -> None:
    async with realtime_server() as server, connected(server) as (model, peer, recorder):
        await model.send_event(RealtimeModelRequestResponse())
        sent = await peer.receive("response.create")
        assert [event.event_id for event in recorder.all(RealtimeModelResponseRequestedEvent)] == [
            sent["event_id"]
        ]


async def test_several_tool_calls_are_all_answered_and_then_followed_by_one_response() -> None:
    async with realtime_server() as server, connected(server) as (model, peer, recorder):
        calls = [messages.function_call("look_up", f"call_{number}") for number in (1, 2)]
        await peer.send(messages.response_created())
        await peer.send(*(messages.output_item_done(item) for item in calls))
        await recorder.until(lambda: len(recorder.all(RealtimeModelToolCallEvent)) == 2)
        await model.send_event(answer(2))
        assert (await peer.receive("conversation.item.create"))["item"]["call_id"] == "call_2"
        # The end of the response names both again; they run once.
        await peer.send(messages.response_done(output=calls))
        await recorder.first(RealtimeModelTurnEndedEvent)
        await model.send_event(answer(1))
        item = (await peer.receive("conversation.item.create"))["item"]
        item_id = item.pop("id")
        assert len(item_id) <= 32, "the API takes no more"
        assert item == {"type": "function_call_output", "call_id": "call_1", "output": "output 1"}
        await peer.receive("response.create")
        await fence(model, peer)
        assert len(recorder.all(RealtimeModelToolCallEvent)) == 2


async def test_a_tool_answered_before_the_end_of_its_response_waits_for_it() -> None:
    async with realtime_server() as server, connected(server) as (model, peer, recorder):
        await peer.send(
            messages.response_created(), messages.output_item_done(messages.function_call("x", "call_1"))
        )
        await recorder.first(RealtimeModelToolCallEvent)
        await model.send_event(answer(1))
        await peer.receive("conversation.item.create")
        await fence(model, peer)
        await peer.send(messages.response_done())
        await peer.receive("response.create")


async def test_a_tool_that_wants_no_response_gets_none() -> None:
    async with realtime_server() as server, connected(server) as (model, peer, recorder):
        await peer.send(
            messages.response_created(), messages.output_item_done(messages.function_call("bye", "call_1"))
        )
        await recorder.first(RealtimeModelToolCallEvent)
        await model.send_event(answer(1, start_response=False))
        await peer.receive("conversation.item.create")
        await peer.send(messages.response_done())
        await recorder.first(RealtimeModelTurnEndedEvent)
        await fence(model, peer)


async def test_a_message_of_the_user_asks_for_a_response() -> None:
    async with realtime_server() as server, connected(server) as (model, peer, _):
        await model.send_event(RealtimeModelSendUserInput(user_input="Hello"))
        item = (await peer.receive("conversation.item.create"))["item"]
        assert item["role"] == "user"
        assert item["content"] == [{"type": "input_text", "text": "Hello"}]
        await peer.receive("response.create")


async def test_raw_messages_go_as_they_are_and_raw_requests_wait_their_turn() -> None:
    async with realtime_server() as server, connected(server) as (model, peer, recorder):
        await peer.send(messages.response_created())
        await recorder.first(RealtimeModelTurnStartedEvent)
        await model.send_event(
            RealtimeModelSendRawMessage(
                message={
                    "type": "response.create",
                    "other_data": {"event_id": "mine", "response": {"instructions": "later"}},
                }
            )
        )
        await model.send_event(
            RealtimeModelSendRawMessage(
                message={
                    "type": "response.create",
                    "other_data": {"response": {"conversation": "none", "input": []}},
                }
            )
        )
        aside = await peer.receive("response.create")
        assert aside["response"]["conversation"] == "none"
        await peer.send(
            messages.response_created("resp_aside", conversation_id=None),
            messages.response_done("resp_aside", conversation_id=None),
        )
        await model.send_event(
            RealtimeModelSendRawMessage(
                message={"type": "conversation.item.delete", "other_data": {"item_id": "item_1"}}
            )
        )
        assert (await peer.receive("conversation.item.delete"))["item_id"] == "item_1"
        await peer.send(messages.response_done())
        later = await peer.receive("response.create")
        assert (later["event_id"], later["response"]) == ("mine", {"instructions": "later"})


async def test_a_server_that_puts_no_response_into_a_conversation_is_understood() -> None:
    async with realtime_server() as server, connected(server) as (model, peer, _):
        for number in range(2):
            await model.send_event(RealtimeModelRequestResponse())
            await peer.receive("response.create")
            await peer.send(
                messages.response_created(f"resp_{number}", conversation_id=None),
                messages.response_done(f"resp_{number}", conversation_id=None),
            )


async def test_every_command_has_an_id_of_its_own() -> None:
    async with realtime_server() as server, connected(server) as (model, peer, _):
        for text in ("one", "two"):
            await model.send_event(RealtimeModelSendUserInput(user_input=text))
        for _ in range(3):
            await peer.receive()
        ids = [message["event_id"] for message in peer.received]
        assert len(set(ids)) == len(ids) == 4


# What no message can break --------------------------------------------------------------------------

ODD: list[str | bytes | dict[str, Any]] = [
    "no JSON",
    "",
    "[1, 2]",
    "null",
    b"\xff\xfe\x00",
    "[" * 100_000,
    '{"no": "type"}',
    '{"type": 7}',
    '{"type": ["response.created"]}',
    {"type": "something.new", "x": 1},
    {"type": "response.created"},
    {"type": "response.created", "response": {}},
    {"type": "response.done", "response": {"id": "resp_1", "status": {}, "output": 5, "usage": []}},
    {
        "type": "response.output_item.done",
        "item": {"type": "function_call", "id": "i", "status": "completed"},
    },
    {"type": "response.output_item.done", "item": {"type": "message", "id": "i", "role": "ghost"}},
    {"type": "error", "error": {"code": [], "event_id": {}}},
    {"type": "error", "error": "words"},
    {"type": "session.updated", "session": {"audio": "loud"}},
    {"type": "rate_limits.updated", "rate_limits": "none"},
    '{"type": "input_audio_buffer.speech_started", "item_id": "i", "audio_start_ms": 1e999}',
    '{"type": "input_audio_buffer.dtmf_event_received", "event": "1", "received_at": ' + "9" * 400 + "}",
    {"type": "response.output_audio.delta", "response_id": "r", "item_id": "i", "delta": "%%%"},
    {"type": "conversation.item.added", "item": {"type": "message", "id": 5}},
]


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: str(odd)[:60])
async def test_the_conversation_goes_on_after_any_message(odd: str | bytes | dict[str, Any]) -> None:
    async with realtime_server() as server, connected(server) as (model, peer, recorder):
        await model.send_event(RealtimeModelRequestResponse())
        await peer.receive("response.create")
        await peer.send(odd, messages.response_created("resp_7"))
        await recorder.until(
            lambda: any(
                event.response_id == "resp_7" for event in recorder.all(RealtimeModelTurnStartedEvent)
            )
        )
        await fence(model, peer)


async def test_a_message_that_is_not_understood_is_reported_with_its_text() -> None:
    async with realtime_server() as server, connected(server) as (_, peer, recorder):
        await peer.send("no JSON", {"type": "something.new"})
        await recorder.until(lambda: len(recorder.all(RealtimeModelOtherEvent)) == 2)
        first, second = recorder.all(RealtimeModelOtherEvent)
        assert (first.data, first.event_type, bool(first.problem)) == ("no JSON", "", True)
        assert (second.data, second.event_type, second.problem) == (
            {"type": "something.new"},
            "something.new",
            None,
        )


@pytest.mark.parametrize("wanted", [True, False])
async def test_raw_messages_come_first_and_only_when_asked_for(wanted: bool) -> None:
    async with realtime_server() as server, connected(server, raw_events=wanted) as (_, peer, recorder):
        await peer.send(messages.response_created())
        await recorder.first(RealtimeModelTurnStartedEvent)
        kinds = [type(event) for event in recorder.events]
        assert kinds == ([RealtimeModelRawServerEvent] if wanted else []) + [RealtimeModelTurnStartedEvent]


async def test_formats_that_change_are_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    async with realtime_server() as server, connected(server) as (_, peer, recorder):
        with caplog.at_level(logging.WARNING, "sipagent.realtime"):
            await peer.send(
                messages.session_created(),
                {**messages.session_created(format={"type": "audio/pcmu"}), "type": "session.updated"},
            )
            await recorder.until(lambda: len(recorder.all(RealtimeModelSessionEvent)) == 2)
    assert any("audio/pcmu" in record.getMessage() for record in caplog.records)


# Listeners ------------------------------------------------------------------------------------------


async def test_a_listener_that_raises_is_reported_and_hurts_no_other() -> None:
    class Broken(RealtimeModelListener):
        async def on_event(self, event: RealtimeModelEvent) -> None:
            raise ValueError("broken")

    async with realtime_server() as server:
        model, recorder = OpenAIRealtimeWebSocketModel(), Recorder()
        model.add_listener(Broken())
        model.add_listener(recorder)
        model.add_listener(recorder)
        await model.connect({"api_key": "sk-test", "base_url": server.base_url})
        await (await server.peer()).send(messages.response_created())
        await recorder.first(RealtimeModelTurnStartedEvent)
        assert len(recorder.all(RealtimeModelTurnStartedEvent)) == 1
        assert isinstance(recorder.all(RealtimeModelExceptionEvent)[0].exception, ValueError)
        await model.close()


async def test_a_listener_may_close_the_model() -> None:
    class Closer(RealtimeModelListener):
        def __init__(self) -> None:
            self.closed = asyncio.Event()

        async def on_event(self, event: RealtimeModelEvent) -> None:
            await model.close()
            self.closed.set()

    async with realtime_server() as server:
        model, closer = OpenAIRealtimeWebSocketModel(), Closer()
        model.add_listener(closer)
        await model.connect({"api_key": "sk-test", "base_url": server.base_url})
        peer = await server.peer()
        await peer.send(messages.response_created())
        async with asyncio.timeout(30):
            await closer.closed.wait()
        await peer.gone()
        await model.close()


async def test_a_listener_that_sends_into_a_lost_connection_is_told_so() -> None:
    class Answering(RealtimeModelListener):
        def __init__(self) -> None:
            self.refused = asyncio.Event()

        async def on_event(self, event: RealtimeModelEvent) -> None:
            if isinstance(event, RealtimeModelConnectionStatusEvent):
                try:
                    await model.send_event(RealtimeModelSendSystemMessage(text="too late"))
                except ConnectionLostError:
                    self.refused.set()

    async with realtime_server() as server, connected(server) as (model, peer, recorder):
        answering = Answering()
        model.add_listener(answering)
        peer.drop()
        await recorder.first(RealtimeModelEndOfStreamEvent)
        async with asyncio.timeout(30):
            await answering.refused.wait()


async def test_closing_does_not_wait_for_a_listener_that_does_not_return() -> None:
    class Stuck(RealtimeModelListener):
        def __init__(self) -> None:
            self.reached = asyncio.Event()

        async def on_event(self, event: RealtimeModelEvent) -> None:
            self.reached.set()
            await asyncio.Event().wait()

    async with realtime_server() as server, connected(server) as (model, peer, _):
        stuck = Stuck()
        model.add_listener(stuck)
        await peer.send(messages.response_created())
        async with asyncio.timeout(30):
            await stuck.reached.wait()
            await model.close()


# The end --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "cause"), [(1000, "closed"), (1001, "expired"), (1011, "lost"), (None, "lost")]
)
async def test_every_event_before_the_end_is_heard(code: int | None, cause: str) -> None:
    async with realtime_server() as server, connected(server) as (_, peer, recorder):
        await peer.send(messages.response_created(), messages.response_done())
        if code is None:
            await recorder.first(RealtimeModelTurnEndedEvent)
            peer.drop()
        else:
            await peer.close(code)
        await recorder.first(RealtimeModelEndOfStreamEvent)
        assert recorder.all(RealtimeModelTurnEndedEvent)
        last = recorder.all(RealtimeModelConnectionStatusEvent)[-1]
        assert (last.status, last.cause, last.close_code) == ("disconnected", cause, code or 1006)
        assert len(server.handshakes) == 1


async def test_a_session_that_says_it_expired_did_not_break() -> None:
    async with realtime_server() as server, connected(server) as (_, peer, recorder):
        await peer.send(messages.error("session_expired"))
        await recorder.first(RealtimeModelErrorEvent)
        peer.drop()
        await recorder.first(RealtimeModelEndOfStreamEvent)
        assert recorder.all(RealtimeModelConnectionStatusEvent)[-1].cause == "expired"


async def test_closing_twice_at_once_closes_once() -> None:
    async with realtime_server() as server, connected(server) as (model, peer, recorder):
        await asyncio.gather(model.close(), model.close())
        assert await peer.gone() == (1000, "")
        assert recorder.events == []


async def test_cancelling_the_close_still_ends_the_connection() -> None:
    async with realtime_server() as server, connected(server) as (model, peer, _):
        closing = asyncio.create_task(model.close())
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        await peer.gone()


async def test_a_message_too_large_breaks_the_connection_and_not_the_service() -> None:
    async with realtime_server() as server:
        model, recorder = OpenAIRealtimeWebSocketModel(transport_config={"max_size": 1000}), Recorder()
        model.add_listener(recorder)
        await model.connect({"api_key": "sk-test", "base_url": server.base_url})
        await (await server.peer()).send(json.dumps({"type": "x", "data": "x" * 2000}))
        await recorder.first(RealtimeModelEndOfStreamEvent)
        assert recorder.all(RealtimeModelConnectionStatusEvent)[-1].cause == "lost"
        await model.close()
