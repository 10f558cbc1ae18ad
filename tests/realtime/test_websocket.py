"""A session whose audio goes over its socket."""

from __future__ import annotations

import base64

import pytest

from sipagent.identifiers import ResponseId
from sipagent.realtime import (
    OpenAIRealtimeWebSocketModel,
    RealtimeModelAudioEvent,
    RealtimeModelAudioInterruptedEvent,
    RealtimeModelSendAudio,
    RealtimeModelSendInterrupt,
    RealtimeModelTurnEndedEvent,
    RealtimePlaybackTracker,
)
from sipagent.realtime.events import RealtimeModelSessionEvent
from tests.realtime import messages
from tests.realtime.attached import connected, fence
from tests.realtime.peer import realtime_server

# Connecting -----------------------------------------------------------------------------------------


async def test_the_model_is_named_in_the_address_and_in_the_update() -> None:
    async with realtime_server() as server:
        model = OpenAIRealtimeWebSocketModel()
        await model.connect(
            {
                "api_key": "sk-test",
                "base_url": server.base_url,
                "initial_model_settings": {"model_name": "gpt realtime"},
            }
        )
        peer = await server.peer()
        update = await peer.receive("session.update")
        await model.close()
    assert peer.path == "/v1/realtime?model=gpt%20realtime"
    assert peer.headers["Authorization"] == "Bearer sk-test"
    assert update["session"]["model"] == "gpt realtime"
    assert update["session"]["audio"]["input"]["format"] == {"type": "audio/pcm", "rate": 24000}
    assert update["session"]["audio"]["output"]["format"] == {"type": "audio/pcm", "rate": 24000}


async def test_headers_of_ones_own_replace_the_key() -> None:
    async with (
        realtime_server() as server,
        connected(server, headers={"api-key": "secret"}) as (_, peer, _recorder),
    ):
        assert peer.headers["api-key"] == "secret"
        assert "Authorization" not in peer.headers


# Audio ----------------------------------------------------------------------------------------------


async def test_audio_is_appended_and_committed() -> None:
    async with realtime_server() as server, connected(server) as (model, peer, _):
        await model.send_event(RealtimeModelSendAudio(audio=b"\x01\x02", commit=True))
        assert (await peer.receive("input_audio_buffer.append"))["audio"] == "AQI="
        await peer.receive("input_audio_buffer.commit")


@pytest.mark.parametrize("server_interrupts", [True, False])
async def test_when_the_caller_speaks_the_agent_is_cut_to_what_was_heard(server_interrupts: bool) -> None:
    tracker = RealtimePlaybackTracker()
    created = messages.session_created()
    created["session"]["audio"]["input"]["turn_detection"]["interrupt_response"] = server_interrupts
    # 200 ms of PCM at 24 kHz.
    audio = base64.b64encode(bytes(9600)).decode()
    async with (
        realtime_server() as server,
        connected(server, playback_tracker=tracker) as (model, peer, recorder),
    ):
        await peer.send(created, messages.response_created(), messages.audio_delta(audio))
        await recorder.first(RealtimeModelAudioEvent)
        tracker.on_play_bytes("item_1", 0, bytes(4800))
        await peer.send(messages.speech_started())
        cut = await peer.receive("conversation.item.truncate")
        assert (cut["item_id"], cut["content_index"], cut["audio_end_ms"]) == ("item_1", 0, 100)
        if not server_interrupts:
            await peer.receive("response.cancel")
        assert len(recorder.all(RealtimeModelAudioInterruptedEvent)) == 1
        assert tracker.get_state()["current_item_id"] is None
        # A second one finds nothing that plays, even when audio of the same item still comes.
        await peer.send(messages.audio_delta(audio), messages.speech_started(), messages.response_done())
        await recorder.first(RealtimeModelTurnEndedEvent)
        await fence(model, peer)


async def test_an_interruption_of_ones_own_can_force_the_cancellation() -> None:
    audio = base64.b64encode(bytes(9600)).decode()
    async with realtime_server() as server, connected(server) as (model, peer, recorder):
        await peer.send(messages.session_created(), messages.response_created(), messages.audio_delta(audio))
        await recorder.first(RealtimeModelAudioEvent)
        await model.send_event(RealtimeModelSendInterrupt(force_response_cancel=True))
        cut = await peer.receive("conversation.item.truncate")
        assert 0 <= cut["audio_end_ms"] <= 200
        await peer.receive("response.cancel")
        await model.send_event(RealtimeModelSendInterrupt(force_response_cancel=True))
        await fence(model, peer)


async def test_one_response_is_cut_off_and_nothing_more_of_it_is_heard() -> None:
    audio = base64.b64encode(bytes(9600)).decode()
    one = RealtimeModelSendInterrupt(force_response_cancel=True, response_id=ResponseId("resp_1"))
    async with realtime_server() as server, connected(server) as (model, peer, recorder):
        await peer.send(messages.session_created(), messages.response_created(), messages.audio_delta(audio))
        await recorder.first(RealtimeModelAudioEvent)
        await model.send_event(one)
        assert (await peer.receive("conversation.item.truncate"))["item_id"] == "item_1"
        assert (await peer.receive("response.cancel"))["response_id"] == "resp_1"
        await peer.send(messages.audio_delta(audio), messages.response_done(status="cancelled"))
        await recorder.first(RealtimeModelTurnEndedEvent)
        assert len(recorder.all(RealtimeModelAudioEvent)) == 1
        assert len(recorder.all(RealtimeModelAudioInterruptedEvent)) == 1


async def test_a_newer_response_plays_on_when_an_older_one_is_cut_off() -> None:
    audio = base64.b64encode(bytes(9600)).decode()
    one = RealtimeModelSendInterrupt(force_response_cancel=True, response_id=ResponseId("resp_1"))
    async with realtime_server() as server, connected(server) as (model, peer, recorder):
        await peer.send(
            messages.session_created(),
            messages.response_created(),
            messages.audio_delta(audio),
            messages.response_done(),
            messages.response_created("resp_2"),
            messages.audio_delta(audio, "item_2", "resp_2"),
        )
        await recorder.until(lambda: len(recorder.all(RealtimeModelAudioEvent)) == 2)
        await model.send_event(one)
        await fence(model, peer)
        assert recorder.all(RealtimeModelAudioInterruptedEvent) == []
        await peer.send(messages.audio_delta(audio, "item_2", "resp_2"))
        await recorder.until(lambda: len(recorder.all(RealtimeModelAudioEvent)) == 3)


async def test_a_response_that_waits_to_be_played_is_never_heard_when_it_is_cut_off() -> None:
    audio = base64.b64encode(bytes(960_000)).decode()
    two = RealtimeModelSendInterrupt(force_response_cancel=True, response_id=ResponseId("resp_2"))
    async with realtime_server() as server, connected(server) as (model, peer, recorder):
        await peer.send(
            messages.session_created(),
            messages.response_created(),
            messages.audio_delta(audio),
            messages.response_done(),
            messages.response_created("resp_2"),
            messages.audio_delta(audio, "item_2", "resp_2"),
        )
        await recorder.until(lambda: len(recorder.all(RealtimeModelAudioEvent)) == 2)
        await model.send_event(two)
        cut = await peer.receive("conversation.item.truncate")
        assert (cut["item_id"], cut["audio_end_ms"]) == ("item_2", 0)
        await peer.receive("response.cancel")
        (stopped,) = recorder.all(RealtimeModelAudioInterruptedEvent)
        assert stopped.item_id == "item_2"
        # What plays is still known: the caller may cut that off.
        await model.send_event(RealtimeModelSendInterrupt())
        assert (await peer.receive("conversation.item.truncate"))["item_id"] == "item_1"


async def test_the_format_of_the_session_measures_what_is_played() -> None:
    tracker = RealtimePlaybackTracker()
    async with (
        realtime_server() as server,
        connected(server, playback_tracker=tracker) as (_, peer, recorder),
    ):
        await peer.send(messages.session_created(format={"type": "audio/pcmu"}))
        await recorder.first(RealtimeModelSessionEvent)
        tracker.on_play_bytes("item_1", 0, bytes(480))
        assert tracker.get_state()["elapsed_ms"] == 60.0
