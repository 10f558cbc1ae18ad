"""Attaching to a call, losing the socket, having it again, and what is never said on SIP."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trustme

from sipagent.errors import AttachError, AttachNotFoundError, ConnectionLostError, UserError
from sipagent.identifiers import ResponseId
from sipagent.realtime import (
    AttachPolicy,
    OpenAIRealtimeSIPModel,
    RealtimeAgent,
    RealtimeModelAudioInterruptedEvent,
    RealtimeModelConfig,
    RealtimeModelConnectionStatusEvent,
    RealtimeModelEndOfStreamEvent,
    RealtimeModelPlaybackEvent,
    RealtimeModelRequestResponse,
    RealtimeModelSendAudio,
    RealtimeModelSendInterrupt,
    RealtimeModelSendSessionUpdate,
    RealtimeModelSendSystemMessage,
    RealtimeModelSendToolOutput,
    RealtimeModelToolCallEvent,
    RealtimeModelTranscriptDeltaEvent,
    RealtimeModelTurnEndedEvent,
    RealtimeModelTurnStartedEvent,
    RealtimeRunConfig,
    RealtimeRunner,
    RealtimeSessionModelSettings,
    function_tool,
)
from sipagent.realtime.events import (
    RealtimeModelErrorEvent,
    RealtimeModelItemPlacedEvent,
    RealtimeModelSessionEvent,
)
from tests.realtime import messages
from tests.realtime.attached import attached as attached_to
from tests.realtime.attached import fence
from tests.realtime.peer import PATIENCE_S, Peer, RealtimeServer, Recorder, realtime_server

QUICK = AttachPolicy(
    not_found_deadline_s=1.5, first_retry_s=0.01, reattach_attempts=2, reattach_deadline_s=5.0
)


def config(server: RealtimeServer, **settings: Any) -> RealtimeModelConfig:
    initial: RealtimeSessionModelSettings = {"instructions": "Be kind.", **settings}  # type: ignore[typeddict-item]
    return {
        "api_key": "sk-test",
        "base_url": server.base_url,
        "call_id": "rtc_u1/ü",
        "initial_model_settings": initial,
    }


@asynccontextmanager
async def attached(
    server: RealtimeServer, policy: AttachPolicy = QUICK, **settings: Any
) -> AsyncIterator[tuple[OpenAIRealtimeSIPModel, Peer, Recorder]]:
    """A model on a call, whose session.update was read and answered already."""
    model = OpenAIRealtimeSIPModel(attach_policy=policy)
    async with attached_to(model, server, **config(server, **settings)) as (_, peer, recorder):
        await peer.send(messages.session_updated())
        await recorder.first(RealtimeModelSessionEvent)
        yield model, peer, recorder


def ended(recorder: Recorder) -> tuple[str | None, int | None]:
    """Cause and close code of the end, which must be the last that was heard."""
    assert isinstance(recorder.events[-1], RealtimeModelEndOfStreamEvent)
    last = recorder.events[-2]
    assert isinstance(last, RealtimeModelConnectionStatusEvent)
    assert last.status == "disconnected"
    return last.cause, last.close_code


# Attaching ------------------------------------------------------------------------------------------


async def test_a_call_that_is_not_found_yet_is_asked_for_again() -> None:
    async with (
        realtime_server([404, 404]) as server,
        attached(server, AttachPolicy(first_retry_s=0.01)) as (_, peer, _recorder),
    ):
        assert server.handshakes == ["/v1/realtime?call_id=rtc_u1%2F%C3%BC"] * 3
        assert peer.headers["Authorization"] == "Bearer sk-test"
        assert peer.headers["User-Agent"].startswith("sipagent/")
        assert "OpenAI-Beta" not in peer.headers


async def test_a_call_that_is_never_found_is_given_up_at_the_deadline_and_not_before() -> None:
    model = OpenAIRealtimeSIPModel(attach_policy=QUICK)
    loop = asyncio.get_running_loop()
    async with realtime_server() as server:
        server.always = 404
        began = loop.time()
        with pytest.raises(AttachNotFoundError, match="within 1.5 seconds") as caught:
            await model.connect(config(server))
        assert loop.time() - began >= 1.5
        assert caught.value.status == 404
        assert len(server.handshakes) >= 4


@pytest.mark.parametrize(("status", "words"), [(401, "the key must belong"), (500, "answered 500")])
async def test_any_other_answer_to_the_handshake_is_not_asked_for_again(status: int, words: str) -> None:
    model = OpenAIRealtimeSIPModel(attach_policy=QUICK)
    async with realtime_server([status]) as server:
        with pytest.raises(AttachError, match=words) as caught:
            await model.connect(config(server))
        assert caught.value.status == status
        assert not isinstance(caught.value, AttachNotFoundError)
        assert len(server.handshakes) == 1
        # The object is as good as new.
        await model.connect(config(server))
        await model.close()


async def test_a_server_that_does_not_listen_is_an_attach_error() -> None:
    async with realtime_server() as server:
        nobody = config(server)
    with pytest.raises(AttachError, match="could not be opened"):
        await OpenAIRealtimeSIPModel(attach_policy=QUICK).connect(nobody)


async def test_a_call_needs_its_id() -> None:
    with pytest.raises(UserError, match="call_id"):
        await OpenAIRealtimeSIPModel().connect({"api_key": "sk-test"})


async def test_cancelling_the_attachment_leaves_nothing_open() -> None:
    async with realtime_server() as server:
        server.hold = asyncio.Event()
        model = OpenAIRealtimeSIPModel(attach_policy=QUICK)
        task = asyncio.create_task(model.connect(config(server)))
        await server.handshake(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        server.hold.set()
        server.hold = None
        await model.connect(config(server))
        await model.close()


async def test_a_socket_over_tls_is_trusted_only_with_its_authority() -> None:
    authority = trustme.CA()
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(serving)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    logging.getLogger("websockets.server").setLevel(logging.CRITICAL)
    async with realtime_server(tls=serving) as server:
        with pytest.raises(AttachError, match="certificate"):
            await OpenAIRealtimeSIPModel(attach_policy=QUICK).connect(config(server))
        model = OpenAIRealtimeSIPModel(attach_policy=QUICK, transport_config={"ssl_context": trusting})
        await model.connect(config(server))
        peer = await server.peer()
        await peer.receive("session.update")
        await model.close()


# What is said ---------------------------------------------------------------------------------------


@function_tool
def next_free_slot(treatment: str) -> str:
    """Find the next free slot.

    Args:
        treatment: What is to be done.
    """
    return treatment


def everything() -> RealtimeSessionModelSettings:
    return {
        "model_name": "gpt-realtime-2.1-mini",
        "voice": "marin",
        "speed": 1.1,
        "output_modalities": ["audio"],
        "max_output_tokens": 900,
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "reasoning": {"effort": "low"},
        "truncation": {"retention_ratio": 0.8, "token_limit": 8000},
        "include": ["item.input_audio_transcription.logprobs"],
        "audio": {
            "input": {
                "noise_reduction": {"type": "far_field"},
                "transcription": {"model": "gpt-transcribe", "languages": ["de"]},
                "turn_detection": {
                    "type": "server_vad",
                    "threshold": 0.6,
                    "prefix_padding_ms": 250,
                    "silence_duration_ms": 450,
                    "idle_timeout_ms": None,
                },
            }
        },
    }


@pytest.mark.parametrize("audio_format", [None, "negotiated", "g711_alaw"])
async def test_accept_and_attach_say_the_same_but_for_the_model(audio_format: str | None) -> None:
    agent = RealtimeAgent[None](name="a", instructions="Be kind.", tools=[next_free_slot])
    settings = everything()
    if audio_format is not None:
        settings["input_audio_format"] = settings["output_audio_format"] = audio_format
    payload = await OpenAIRealtimeSIPModel.build_initial_session_payload(
        agent, run_config={"model_settings": settings}
    )
    accepted = payload.model_dump(mode="json", exclude_unset=True)
    async with realtime_server() as server:
        model = OpenAIRealtimeSIPModel(attach_policy=QUICK)
        given: Any = {**settings, "instructions": "Be kind.", "tools": [next_free_slot]}
        await model.connect({**config(server), "initial_model_settings": given})
        peer = await server.peer()
        update = (await peer.receive("session.update"))["session"]
        await model.close()
    assert accepted.pop("model") == "gpt-realtime-2.1-mini"
    assert update == accepted
    formats = [update["audio"][way].get("format", "left out") for way in ("input", "output")]
    wanted: Any = {None: {"type": "audio/pcmu"}, "g711_alaw": {"type": "audio/pcma"}}.get(
        audio_format, "left out"
    )
    assert formats == [wanted, wanted]


async def test_the_first_update_may_be_written_once_for_many_calls() -> None:
    agent = RealtimeAgent[None](name="a", instructions="Be kind.", tools=[next_free_slot])
    run_config: RealtimeRunConfig = {"model_settings": everything()}
    text = await OpenAIRealtimeSIPModel.build_first_update(agent, run_config=run_config)
    updates = []
    async with realtime_server() as server:
        for prepared in ({}, {"first_update": text}):
            model_config: Any = {"api_key": "k", "base_url": server.base_url, "call_id": "rtc_1", **prepared}
            runner = RealtimeRunner(agent, model=OpenAIRealtimeSIPModel(), config=run_config)
            async with await runner.run(model_config=model_config) as session:
                peer = await server.peer()
                updates.append(await peer.receive("session.update"))
                await session.say("Hello")
                command = await peer.receive("response.create")
                assert command["event_id"] not in (updates[-1]["event_id"], "")
    assert updates[0]["session"] == updates[1]["session"]
    assert json.loads(text) == updates[1]


async def test_every_later_update_says_the_formats_too_and_never_the_model() -> None:
    async with realtime_server() as server, attached(server) as (model, peer, _):
        settings: RealtimeSessionModelSettings = {"instructions": "Be brief.", "model_name": "another"}
        await model.send_event(RealtimeModelSendSessionUpdate(session_settings=settings))
        update = (await peer.receive("session.update"))["session"]
        assert update["instructions"] == "Be brief."
        assert "model" not in update
        for way in ("input", "output"):
            assert update["audio"][way]["format"] == {"type": "audio/pcmu"}


async def test_an_interruption_cancels_and_clears_and_never_truncates() -> None:
    async with realtime_server() as server, attached(server) as (model, peer, recorder):
        await peer.send(messages.response_created(), messages.audio_delta("AAAA"))
        await recorder.first(RealtimeModelTurnStartedEvent)
        await model.send_event(RealtimeModelSendInterrupt())
        assert (await peer.receive("response.cancel"))["response_id"] == "resp_1"
        await peer.receive("output_audio_buffer.clear")
        # A second one finds nothing more to cancel; speech of the caller is the server's business.
        await model.send_event(RealtimeModelSendInterrupt())
        await peer.receive("output_audio_buffer.clear")
        await peer.send(messages.speech_started(), messages.response_done(status="cancelled"))
        await recorder.first(RealtimeModelTurnEndedEvent)
        await model.send_event(RealtimeModelSendInterrupt())
        await peer.receive("output_audio_buffer.clear")
        await fence(model, peer)


async def test_one_response_is_cut_off_while_it_runs_or_is_heard_and_no_newer_one() -> None:
    one = RealtimeModelSendInterrupt(response_id=ResponseId("resp_1"))
    async with realtime_server() as server, attached(server) as (model, peer, recorder):
        # It runs: both.
        await peer.send(messages.response_created(), messages.transcript_delta("Yes"))
        await recorder.first(RealtimeModelTranscriptDeltaEvent)
        await model.send_event(one)
        assert (await peer.receive("response.cancel"))["response_id"] == "resp_1"
        await peer.receive("output_audio_buffer.clear")
        # It has ended and is still to be heard, while another has begun that has said nothing yet.
        await peer.send(
            messages.response_done(), messages.playback("started"), messages.response_created("resp_2")
        )
        await recorder.until(lambda: len(recorder.all(RealtimeModelTurnStartedEvent)) == 2)
        await model.send_event(one)
        await peer.receive("output_audio_buffer.clear")
        # The other one speaks.
        await peer.send(messages.transcript_delta("No", "item_2", "resp_2"))
        await recorder.until(lambda: len(recorder.all(RealtimeModelTranscriptDeltaEvent)) == 2)
        await model.send_event(one)
        await fence(model, peer)
        # It has been heard to its end, and another waits.
        await peer.send(
            messages.response_done("resp_2"),
            messages.playback("stopped", "resp_2"),
            messages.response_created("resp_3"),
        )
        await recorder.until(lambda: len(recorder.all(RealtimeModelTurnStartedEvent)) == 3)
        await model.send_event(RealtimeModelSendInterrupt(response_id=ResponseId("resp_2")))
        await fence(model, peer)


async def test_audio_does_not_go_over_the_socket_of_a_call() -> None:
    async with realtime_server() as server, attached(server) as (model, _peer, _):
        with pytest.raises(UserError, match="audio"):
            await model.send_event(RealtimeModelSendAudio(audio=b"\x00"))


# Losing the socket ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "cause"), [(1000, "closed"), (1001, "expired")])
async def test_a_close_in_order_is_the_end(code: int, cause: str) -> None:
    async with realtime_server() as server, attached(server) as (model, peer, recorder):
        await peer.send(messages.transcript_delta("Good"))
        await peer.close(code, "the reason")
        await recorder.first(RealtimeModelEndOfStreamEvent)
        assert ended(recorder) == (cause, code)
        assert recorder.all(RealtimeModelTranscriptDeltaEvent)
        assert recorder.all(RealtimeModelConnectionStatusEvent)[-1].detail == "the reason"
        assert len(server.handshakes) == 1
        with pytest.raises(ConnectionLostError):
            await model.send_event(RealtimeModelSendSystemMessage(text="too late"))
        with pytest.raises(ConnectionLostError):
            await model.send_event(RealtimeModelRequestResponse())


async def test_a_call_that_is_over_shows_when_attaching_again() -> None:
    async with realtime_server() as server, attached(server) as (_, peer, recorder):
        await peer.send(messages.transcript_delta("Good"))
        server.always = 404
        peer.drop()
        await recorder.first(RealtimeModelEndOfStreamEvent)
        assert ended(recorder) == ("call_over", 1006)
        assert [event.status for event in recorder.all(RealtimeModelConnectionStatusEvent)] == [
            "lost",
            "disconnected",
        ]
        assert recorder.all(RealtimeModelConnectionStatusEvent)[0].close_code == 1006


async def test_a_broken_socket_is_had_again_and_nothing_is_said_twice() -> None:
    async with realtime_server() as server, attached(server) as (model, peer, recorder):
        await model.send_event(RealtimeModelRequestResponse(response={"instructions": "Greet."}))
        await peer.receive("response.create")
        await peer.send(messages.response_created())
        await recorder.first(RealtimeModelTurnStartedEvent)
        peer.drop()
        second = await server.peer()
        await recorder.until(lambda: len(recorder.all(RealtimeModelConnectionStatusEvent)) == 2)
        restored = recorder.all(RealtimeModelConnectionStatusEvent)[1]
        assert (restored.status, restored.reattached) == ("connected", True)
        assert server.handshakes == ["/v1/realtime?call_id=rtc_u1%2F%C3%BC"] * 2
        await fence(model, second)
        # The gate is open again, although the end of the old response was never told.
        await model.send_event(RealtimeModelRequestResponse())
        await second.receive("response.create")


async def test_an_update_that_may_not_have_been_heard_is_said_once_more() -> None:
    async with realtime_server() as server, attached(server) as (model, peer, recorder):
        for instructions in ("Be brief.", "Be loud."):
            await model.send_event(
                RealtimeModelSendSessionUpdate(session_settings={"instructions": instructions})
            )
            await peer.receive("session.update")
        await peer.send(messages.session_updated())
        await recorder.until(lambda: len(recorder.all(RealtimeModelSessionEvent)) == 2)
        peer.drop()
        second = await server.peer()
        assert (await second.receive("session.update"))["session"]["instructions"] == "Be loud."
        await second.send(messages.session_updated())
        await recorder.until(lambda: len(recorder.all(RealtimeModelSessionEvent)) == 3)
        second.drop()
        await fence(model, await server.peer())


async def test_an_answer_of_a_tool_that_may_not_have_been_heard_is_said_once_more() -> None:
    async with realtime_server() as server, attached(server) as (model, peer, recorder):
        call = messages.function_call("look_up", "call_1")
        await peer.send(messages.output_item_done(call), messages.response_done(output=[call]))
        event = await recorder.first(RealtimeModelToolCallEvent)
        answer = RealtimeModelSendToolOutput(tool_call=event, output="found", start_response=False)
        await model.send_event(answer)
        first = await peer.receive("conversation.item.create")
        peer.drop()
        second = await server.peer()
        again = await second.receive("conversation.item.create")
        assert again == first, "of the same id, so that the server takes one of them only"
        await second.send(messages.error("item_exists", event_id=again["event_id"]))
        await model.send_event(answer)
        await fence(model, second)
        assert not recorder.all(RealtimeModelErrorEvent), "nobody need hear of that"


async def test_an_answer_of_a_tool_that_the_server_has_shown_is_not_said_again() -> None:
    async with realtime_server() as server, attached(server) as (model, peer, recorder):
        call = messages.function_call("look_up", "call_1")
        await peer.send(messages.output_item_done(call), messages.response_done(output=[call]))
        event = await recorder.first(RealtimeModelToolCallEvent)
        await model.send_event(
            RealtimeModelSendToolOutput(tool_call=event, output="found", start_response=False)
        )
        item = (await peer.receive("conversation.item.create"))["item"]
        await peer.send(messages.item_added(item, "item_call_1"))
        await recorder.first(RealtimeModelItemPlacedEvent)
        peer.drop()
        second = await server.peer()
        await fence(model, second)


async def test_a_request_on_its_way_is_asked_again_but_not_against_a_response_that_runs() -> None:
    async with realtime_server() as server, attached(server) as (model, peer, recorder):
        await model.send_event(RealtimeModelRequestResponse(response={"instructions": "Greet."}))
        await peer.receive("response.create")
        peer.drop()
        second = await server.peer()
        again = await second.receive("response.create")
        assert again["response"] == {"instructions": "Greet."}
        # It was heard after all, and runs: asking a third time would greet twice.
        await second.send(
            messages.error("conversation_already_has_active_response", event_id=again["event_id"])
        )
        await second.send(messages.response_done("resp_greeting"))
        await recorder.first(RealtimeModelTurnEndedEvent)
        await fence(model, second)


async def test_what_is_sent_while_the_socket_is_away_is_sent_afterwards() -> None:
    async with realtime_server() as server, attached(server) as (model, peer, recorder):
        server.hold = asyncio.Event()
        peer.drop()
        await recorder.first(RealtimeModelConnectionStatusEvent)
        call: Any = RealtimeModelToolCallEvent(name="x", call_id="call_1", arguments="{}")  # type: ignore[arg-type]
        async with asyncio.TaskGroup() as group:
            group.create_task(
                model.send_event(
                    RealtimeModelSendToolOutput(tool_call=call, output="Tuesday", start_response=True)
                )
            )
            await asyncio.sleep(0)
            server.hold.set()
            second = await server.peer()
            message = await second.receive("conversation.item.create")
            assert message["item"]["output"] == "Tuesday"
            await second.receive("response.create")


async def test_the_end_of_the_call_ends_whoever_waits_to_send() -> None:
    async with realtime_server() as server, attached(server) as (model, peer, recorder):
        server.hold = asyncio.Event()
        server.always = 404
        peer.drop()
        await recorder.first(RealtimeModelConnectionStatusEvent)
        waiting = asyncio.create_task(model.send_event(RealtimeModelSendSystemMessage(text="hint")))
        await asyncio.sleep(0)
        server.hold.set()
        with pytest.raises(ConnectionLostError):
            await waiting
        await recorder.first(RealtimeModelEndOfStreamEvent)
        assert ended(recorder) == ("call_over", 1006)


async def test_a_server_that_fails_is_asked_so_often_and_no_more() -> None:
    async with realtime_server() as server, attached(server) as (_, peer, recorder):
        server.always = 503
        peer.drop()
        await recorder.first(RealtimeModelEndOfStreamEvent)
        assert ended(recorder) == ("lost", 1006)
        assert len(server.handshakes) == 3
        assert "503" in recorder.all(RealtimeModelConnectionStatusEvent)[-1].detail


async def test_a_server_that_does_not_answer_is_given_up() -> None:
    policy = AttachPolicy(reattach_deadline_s=0.1)
    async with realtime_server() as server, attached(server, policy) as (_, peer, recorder):
        server.hold = asyncio.Event()
        peer.drop()
        await recorder.first(RealtimeModelEndOfStreamEvent)
        assert ended(recorder) == ("lost", 1006)


async def test_a_server_that_lets_us_in_and_drops_us_at_once_is_given_up() -> None:
    async with realtime_server() as server, attached(server) as (_, peer, recorder):
        for _ in range(3):
            peer.drop()
            if recorder.all(RealtimeModelEndOfStreamEvent) or len(server.handshakes) == 3:
                break
            peer = await server.peer()
        peer.drop()
        await recorder.first(RealtimeModelEndOfStreamEvent)
        assert ended(recorder) == ("lost", 1006)


async def test_a_key_that_cannot_be_had_again_ends_the_connection() -> None:
    keys = iter(["sk-test"])
    async with realtime_server() as server:
        model = OpenAIRealtimeSIPModel(attach_policy=QUICK)
        recorder = Recorder()
        model.add_listener(recorder)
        await model.connect({**config(server), "api_key": lambda: next(keys)})
        (await server.peer()).drop()
        await recorder.first(RealtimeModelEndOfStreamEvent)
        assert ended(recorder) == ("lost", 1006)
        await model.close()


async def test_closing_while_attaching_again_leaves_nothing_behind() -> None:
    async with realtime_server() as server, attached(server) as (model, peer, recorder):
        server.hold = asyncio.Event()
        peer.drop()
        await recorder.first(RealtimeModelConnectionStatusEvent)
        await server.handshake(2)
        await model.close()
        await model.close()
        assert not recorder.all(RealtimeModelEndOfStreamEvent)


async def test_a_lost_tool_call_is_found_in_the_end_of_its_response() -> None:
    async with realtime_server() as server, attached(server) as (model, peer, recorder):
        await peer.send(messages.response_created())
        await recorder.first(RealtimeModelTurnStartedEvent)
        peer.drop()
        second = await server.peer()
        call = messages.function_call("next_free_slot", "call_1", '{"treatment": "filling"}')
        await second.send(messages.response_done(output=[call]))
        found = await recorder.first(RealtimeModelToolCallEvent)
        assert (found.name, found.call_id) == ("next_free_slot", "call_1")
        await model.send_event(
            RealtimeModelSendToolOutput(tool_call=found, output="Tuesday", start_response=True)
        )
        await second.receive("conversation.item.create")
        await second.receive("response.create")


# What the caller heard ------------------------------------------------------------------------------


def cut_short(recorder: Recorder) -> list[tuple[str, int]]:
    events = recorder.all(RealtimeModelAudioInterruptedEvent)
    return [(event.item_id, event.content_index) for event in events]


async def told(recorder: Recorder, *changes: str) -> None:
    await recorder.until(
        lambda: [each.change for each in recorder.all(RealtimeModelPlaybackEvent)] == list(changes)
    )


async def test_what_the_server_stops_to_play_was_interrupted() -> None:
    async with realtime_server() as server, attached(server) as (_, peer, recorder):
        words = {**messages.transcript_delta("Good morn"), "content_index": 1}
        await peer.send(messages.response_created(), words, messages.playback("started"))
        await peer.send(messages.speech_started(), messages.playback("cleared"))
        await told(recorder, "started", "cleared")
        assert cut_short(recorder) == [("item_1", 1)]
        assert isinstance(recorder.events[-2], RealtimeModelAudioInterruptedEvent)
        await peer.send(messages.playback("cleared"))
        await told(recorder, "started", "cleared", "cleared")
        assert len(cut_short(recorder)) == 1


async def test_what_was_heard_to_its_end_was_not_interrupted() -> None:
    async with realtime_server() as server, attached(server) as (_, peer, recorder):
        await peer.send(messages.response_created(), messages.transcript_delta("Good morning."))
        await peer.send(messages.playback("started"), messages.playback("stopped"))
        await peer.send(messages.playback("cleared"))
        await told(recorder, "started", "stopped", "cleared")
        assert cut_short(recorder) == []


async def test_the_item_that_plays_is_known_although_newer_words_came() -> None:
    async with realtime_server() as server, attached(server) as (_, peer, recorder):
        for number in range(12):  # more than anybody keeps
            said = messages.assistant_message(f"item_{number}", None, status="in_progress")
            await peer.send({**messages.output_item_done(said, f"resp_{number}")})
        await peer.send(messages.playback("started", "resp_10"))
        await peer.send(messages.transcript_delta("Then", "item_11", "resp_11"))
        await peer.send(messages.playback("cleared", "resp_10"))
        await told(recorder, "started", "cleared")
        assert cut_short(recorder) == [("item_10", 0)]


async def test_of_what_nobody_knows_nothing_was_interrupted() -> None:
    async with realtime_server() as server, attached(server) as (_, peer, recorder):
        await peer.send(messages.playback("started"), messages.playback("cleared"))
        await told(recorder, "started", "cleared")
        assert cut_short(recorder) == []


async def test_a_session_tells_that_the_agent_was_interrupted_on_a_call() -> None:
    async with realtime_server() as server:
        runner = RealtimeRunner(
            RealtimeAgent[None](name="a"), model=OpenAIRealtimeSIPModel(attach_policy=QUICK)
        )
        async with await runner.run(model_config=config(server)) as session:
            peer = await server.peer()
            await peer.receive("session.update")
            await peer.send(
                messages.response_created(),
                messages.transcript_delta("Good morning."),
                messages.playback("started"),
                messages.speech_started(),
                messages.playback("cleared"),
            )
            happened = []
            async with asyncio.timeout(PATIENCE_S):
                async for event in session:
                    happened.append(event)
                    if event.type == "agent_speech_cleared":
                        break
            [stop] = [event for event in happened if event.type == "audio_interrupted"]
            assert (stop.item_id, stop.content_index) == ("item_1", 0)
            [line] = [event for event in happened if event.type == "transcript_line"]
            assert (line.text, line.interrupted) == ("Good morning.", True)


# The payload ----------------------------------------------------------------------------------------


async def test_settings_that_the_api_would_refuse_are_refused_at_once() -> None:
    settings: Any = {"output_modalities": ["smell"]}
    with pytest.raises(UserError, match="output_modalities"):
        await OpenAIRealtimeSIPModel.build_initial_session_payload(
            RealtimeAgent[None](name="a"), run_config={"model_settings": settings}
        )


async def test_overrides_win_over_everything() -> None:
    agent = RealtimeAgent[None](name="a", instructions="Be kind.")
    payload = await OpenAIRealtimeSIPModel.build_initial_session_payload(
        agent,
        model_config={"initial_model_settings": {"instructions": "Be brief.", "voice": "cedar"}},
        overrides={"instructions": "Be loud."},
    )
    assert payload.instructions == "Be loud."
    assert payload.model_dump(mode="json", exclude_unset=True)["audio"]["output"]["voice"] == "cedar"


async def test_instructions_may_depend_on_the_call() -> None:
    agent = RealtimeAgent[str](
        name="a", instructions=lambda context, agent: f"The caller is {context.context}."
    )
    payload = await OpenAIRealtimeSIPModel.build_initial_session_payload(agent, context="Ann")
    assert payload.instructions == "The caller is Ann."
