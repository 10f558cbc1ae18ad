"""A session whose audio goes over its socket."""

from __future__ import annotations

import asyncio
import base64

import pytest

from sipagent.identifiers import ResponseId
from sipagent.realtime import (
    OpenAIRealtimeWebSocketModel,
    RealtimeAgent,
    RealtimeModelAudioEvent,
    RealtimeModelAudioInterruptedEvent,
    RealtimeModelCallerSpeechStartedEvent,
    RealtimeModelErrorEvent,
    RealtimeModelPlaybackEvent,
    RealtimeModelSendAudio,
    RealtimeModelSendInterrupt,
    RealtimeModelTurnEndedEvent,
    RealtimeModelTurnStartedEvent,
    RealtimePlaybackTracker,
    RealtimeRunner,
)
from sipagent.realtime.events import RealtimeModelSessionEvent
from tests.realtime import messages
from tests.realtime.attached import connected, fence
from tests.realtime.peer import PATIENCE_S, Recorder, realtime_server

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
        [stop] = recorder.all(RealtimeModelAudioInterruptedEvent)
        assert not stop.heard_in_full
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


# What is heard --------------------------------------------------------------------------------------

SHORT = base64.b64encode(bytes(2400)).decode()
"""50 ms of PCM at 24 kHz."""
LONG = base64.b64encode(bytes(48000 * 30)).decode()
"""30 s, longer than any test takes."""


def playing(recorder: Recorder) -> list[str]:
    return [f"{event.response_id} {event.change}" for event in recorder.all(RealtimeModelPlaybackEvent)]


async def test_a_response_begins_with_its_first_sound_and_ends_when_all_was_played() -> None:
    async with realtime_server() as server, connected(server) as (model, peer, recorder):
        await peer.send(messages.session_created(), messages.response_created())
        await peer.send(messages.audio_delta(SHORT), messages.audio_delta(SHORT))
        await recorder.until(lambda: len(recorder.all(RealtimeModelAudioEvent)) == 2)
        kinds = [type(event) for event in recorder.events]
        assert kinds.index(RealtimeModelPlaybackEvent) == kinds.index(RealtimeModelAudioEvent) - 1
        assert playing(recorder) == ["resp_1 started"]
        await peer.send(messages.response_done())
        await recorder.until(lambda: len(playing(recorder)) == 2)
        assert playing(recorder) == ["resp_1 started", "resp_1 stopped"]
        assert model.unplayed_s == 0.0
        # What comes afterwards is read as ever.
        await peer.send(messages.response_created("resp_2"), messages.audio_delta(LONG, "item_2", "resp_2"))
        await recorder.until(lambda: len(playing(recorder)) == 3)
        assert playing(recorder)[2:] == ["resp_2 started"]


async def test_who_speaks_when_all_was_heard_cuts_nothing_off() -> None:
    async with realtime_server() as server, connected(server) as (model, peer, recorder):
        await peer.send(
            messages.session_created(),
            messages.response_created(),
            messages.audio_delta(SHORT),
            messages.response_done(),
        )
        await recorder.until(lambda: len(playing(recorder)) == 2)
        await peer.send(messages.speech_started())
        await recorder.first(RealtimeModelCallerSpeechStartedEvent)
        [stop] = recorder.all(RealtimeModelAudioInterruptedEvent)
        assert stop.heard_in_full
        await fence(model, peer)


async def test_messages_that_come_while_a_response_plays_to_its_end_are_read_at_once() -> None:
    async with realtime_server() as server, connected(server) as (_, peer, recorder):
        await peer.send(
            messages.session_created(),
            messages.response_created(),
            messages.audio_delta(LONG),
            messages.response_done(),
        )
        await recorder.first(RealtimeModelTurnEndedEvent)
        await peer.send(messages.error("x"), messages.error("y"))
        await recorder.until(lambda: len(recorder.all(RealtimeModelErrorEvent)) == 2)
        assert playing(recorder) == ["resp_1 started"]


async def test_a_tracker_says_when_a_response_was_played() -> None:
    tracker = RealtimePlaybackTracker()
    async with (
        realtime_server() as server,
        connected(server, playback_tracker=tracker) as (_, peer, recorder),
    ):
        await peer.send(
            messages.session_created(),
            messages.response_created(),
            messages.audio_delta(LONG),
            messages.response_done(),
        )
        await recorder.first(RealtimeModelTurnEndedEvent)
        tracker.on_play_bytes("item_1", 0, bytes(48000 * 30))
        await recorder.until(lambda: len(playing(recorder)) == 2)
        assert playing(recorder) == ["resp_1 started", "resp_1 stopped"]


@pytest.mark.parametrize("by_caller", [True, False])
async def test_an_interruption_ends_what_is_heard(by_caller: bool) -> None:
    async with realtime_server() as server, connected(server) as (model, peer, recorder):
        await peer.send(messages.session_created(), messages.response_created(), messages.audio_delta(LONG))
        await peer.send(messages.response_done())
        await recorder.first(RealtimeModelTurnEndedEvent)
        if by_caller:
            await peer.send(messages.speech_started())
        else:
            await model.send_event(RealtimeModelSendInterrupt())
        await peer.receive("conversation.item.truncate")
        await recorder.until(lambda: len(playing(recorder)) == 2)
        assert playing(recorder) == ["resp_1 started", "resp_1 cleared"]
        kinds = [type(event) for event in recorder.events]
        assert kinds.index(RealtimeModelAudioInterruptedEvent) < len(kinds) - 1 - kinds[::-1].index(
            RealtimeModelPlaybackEvent
        )
        await model.send_event(RealtimeModelSendInterrupt())
        await fence(model, peer)
        assert len(playing(recorder)) == 2


async def test_whoever_plays_is_stopped_although_its_tracker_knows_nothing_yet() -> None:
    async with (
        realtime_server() as server,
        connected(server, playback_tracker=RealtimePlaybackTracker()) as (model, peer, recorder),
    ):
        await peer.send(messages.session_created(), messages.response_created(), messages.audio_delta(LONG))
        await recorder.first(RealtimeModelAudioEvent)
        await peer.send(messages.speech_started())
        await recorder.first(RealtimeModelCallerSpeechStartedEvent)
        [stop] = recorder.all(RealtimeModelAudioInterruptedEvent)
        assert (stop.item_id, stop.content_index, stop.heard_in_full) == ("item_1", 0, False)
        assert playing(recorder) == ["resp_1 started", "resp_1 cleared"]
        await fence(model, peer)  # nobody knows how much was heard


async def test_closing_while_a_response_plays_tells_nothing_more() -> None:
    async with realtime_server() as server, connected(server) as (model, peer, recorder):
        await peer.send(messages.session_created(), messages.response_created(), messages.audio_delta(SHORT))
        await peer.send(messages.response_done())
        await recorder.first(RealtimeModelTurnEndedEvent)
        await model.close()
        told = len(recorder.events)
        await model.connect({"api_key": "sk-test", "base_url": server.base_url})
        second = await server.peer()
        await second.receive("session.update")
        await second.send(messages.session_created(), messages.response_created("resp_9"))
        await recorder.until(
            lambda: any(
                event.response_id == "resp_9" for event in recorder.all(RealtimeModelTurnStartedEvent)
            )
        )
        assert [
            event for event in recorder.events[told:] if isinstance(event, RealtimeModelPlaybackEvent)
        ] == []


async def test_a_session_knows_whether_its_agent_is_heard() -> None:
    async with realtime_server() as server:
        runner = RealtimeRunner(RealtimeAgent[None](name="a"))
        session = await runner.run(model_config={"api_key": "sk-test", "base_url": server.base_url})
        async with session:
            peer = await server.peer()
            await peer.receive("session.update")
            await peer.send(
                messages.session_created(),
                messages.response_created(),
                messages.transcript_delta("Good morning."),
                messages.audio_delta(LONG),
                messages.response_done(),
            )
            async with asyncio.timeout(PATIENCE_S):
                async for event in session:
                    if event.type == "response_ended":
                        break
            assert (session.agent_is_speaking, session.response_active) == (True, False)
            assert not await session.wait_until_agent_silent(0.01)
            await session.interrupt()
            assert await session.wait_until_agent_silent(PATIENCE_S)
            await peer.send(
                messages.response_created("resp_2"),
                messages.audio_delta(SHORT, "item_2", "resp_2"),
                messages.transcript_delta("Goodbye.", "item_2", "resp_2"),
                messages.response_done("resp_2"),
            )
            heard = []
            async with asyncio.timeout(PATIENCE_S):
                async for event in session:
                    if event.type.startswith("agent_speech"):
                        heard.append(event.type)
                    if event.type == "agent_speech_stopped":
                        break
            assert heard == ["agent_speech_cleared", "agent_speech_started", "agent_speech_stopped"]
            assert not session.agent_is_speaking
