"""Cutting the agent off: all of it, one response, what is heard of it, or what is made of it."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sipagent.errors import UserError
from sipagent.identifiers import ResponseId
from sipagent.realtime import (
    OpenAIRealtimeSIPModel,
    OpenAIRealtimeWebSocketModel,
    RealtimeModelAudioEvent,
    RealtimeModelAudioInterruptedEvent,
    RealtimeModelRequestResponse,
    RealtimeModelSendInterrupt,
    RealtimeModelTurnEndedEvent,
    RealtimeModelTurnStartedEvent,
)
from sipagent.realtime.interrupting import check_interrupt
from tests.realtime import messages
from tests.realtime.attached import SocketModel, attached, fence
from tests.realtime.peer import Peer, Recorder, realtime_server

AUDIO = base64.b64encode(bytes(9600)).decode()
"""200 ms of PCM at 24 kHz."""
R1, R2 = ResponseId("resp_1"), ResponseId("resp_2")
EITHER = pytest.mark.parametrize("kind", [OpenAIRealtimeSIPModel, OpenAIRealtimeWebSocketModel])


@asynccontextmanager
async def talking(kind: type[SocketModel]) -> AsyncIterator[tuple[SocketModel, Peer, Recorder]]:
    """A model on a call, or over the socket, whose session.update was read already."""
    async with realtime_server() as server, attached(kind(), server, call_id="rtc_1") as found:
        yield found


def test_fields_that_contradict_each_other_are_refused() -> None:
    for event, wrong in (
        (RealtimeModelSendInterrupt(playback_only=True, force_response_cancel=True), "cancels nothing"),
        (
            RealtimeModelSendInterrupt(playback_only=True, cancel_response_only=True, response_id=R1),
            "cancels nothing",
        ),
        (RealtimeModelSendInterrupt(cancel_response_only=True), "needs the response_id"),
    ):
        with pytest.raises(UserError, match=wrong):
            check_interrupt(event)
    check_interrupt(RealtimeModelSendInterrupt(playback_only=True))
    check_interrupt(RealtimeModelSendInterrupt(cancel_response_only=True, response_id=R1))


@EITHER
async def test_a_contradiction_reaches_nobody(kind: type[SocketModel]) -> None:
    async with talking(kind) as (model, peer, recorder):
        await peer.send(messages.response_created())
        await recorder.first(RealtimeModelTurnStartedEvent)
        with pytest.raises(UserError):
            await model.send_event(RealtimeModelSendInterrupt(playback_only=True, force_response_cancel=True))
        await fence(model, peer)


# One response ---------------------------------------------------------------------------------------


async def test_on_a_call_only_the_playing_or_only_the_making_can_be_ended() -> None:
    async with talking(OpenAIRealtimeSIPModel) as (model, peer, recorder):
        await peer.send(messages.response_created(), messages.playback("started"))
        await recorder.first(RealtimeModelTurnStartedEvent)
        await model.send_event(RealtimeModelSendInterrupt(response_id=R1, playback_only=True))
        await peer.receive("output_audio_buffer.clear")
        await model.send_event(RealtimeModelSendInterrupt(response_id=R2, cancel_response_only=True))
        await fence(model, peer)  # that one does not run
        await model.send_event(RealtimeModelSendInterrupt(response_id=R1, cancel_response_only=True))
        assert (await peer.receive("response.cancel"))["response_id"] == R1
        await fence(model, peer)


async def test_over_the_socket_only_the_playing_can_be_ended() -> None:
    async with talking(OpenAIRealtimeWebSocketModel) as (model, peer, recorder):
        await peer.send(messages.session_created(), messages.response_created(), messages.audio_delta(AUDIO))
        await recorder.first(RealtimeModelAudioEvent)
        await model.send_event(RealtimeModelSendInterrupt(response_id=R1, playback_only=True))
        await peer.receive("conversation.item.truncate")
        await fence(model, peer)
        # It is made to its end, and nothing of that is heard.
        await peer.send(messages.audio_delta(AUDIO), messages.response_done())
        await recorder.first(RealtimeModelTurnEndedEvent)
        assert len(recorder.all(RealtimeModelAudioEvent)) == 1
        assert len(recorder.all(RealtimeModelAudioInterruptedEvent)) == 1


async def test_over_the_socket_only_the_making_can_be_ended() -> None:
    async with talking(OpenAIRealtimeWebSocketModel) as (model, peer, recorder):
        await peer.send(messages.session_created(), messages.response_created(), messages.audio_delta(AUDIO))
        await recorder.first(RealtimeModelAudioEvent)
        await model.send_event(RealtimeModelSendInterrupt(response_id=R1, cancel_response_only=True))
        # Although the server would cancel by itself when the caller speaks: nobody speaks.
        assert (await peer.receive("response.cancel"))["response_id"] == R1
        await peer.send(messages.audio_delta(AUDIO), messages.response_done(status="cancelled"))
        await recorder.first(RealtimeModelTurnEndedEvent)
        assert len(recorder.all(RealtimeModelAudioEvent)) == 2
        assert recorder.all(RealtimeModelAudioInterruptedEvent) == []


# What has not begun ---------------------------------------------------------------------------------


@EITHER
async def test_a_request_that_waits_is_taken_back_unless_somebody_wants_it_said(
    kind: type[SocketModel],
) -> None:
    async with talking(kind) as (model, peer, recorder):
        await peer.send(messages.response_created())
        await recorder.first(RealtimeModelTurnStartedEvent)
        await model.send_event(RealtimeModelRequestResponse())
        pending = [model.response_pending]
        await model.send_event(RealtimeModelSendInterrupt(force_response_cancel=True))
        assert [*pending, model.response_pending] == [True, False]
        await peer.receive("response.cancel")
        if kind is OpenAIRealtimeSIPModel:
            await peer.receive("output_audio_buffer.clear")
        goodbye = {"instructions": "Say goodbye."}
        await model.send_event(RealtimeModelRequestResponse(response=goodbye))
        await model.send_event(RealtimeModelSendInterrupt(force_response_cancel=True))
        if kind is OpenAIRealtimeSIPModel:
            await peer.receive("output_audio_buffer.clear")
        await peer.send(messages.response_done(status="cancelled"))
        assert (await peer.receive("response.create"))["response"] == goodbye
        await peer.send(messages.response_created(R2), messages.response_done(R2))
        await recorder.until(lambda: len(recorder.all(RealtimeModelTurnEndedEvent)) == 2)
        await fence(model, peer)


@EITHER
async def test_a_request_on_its_way_is_cancelled_as_soon_as_it_is_granted(kind: type[SocketModel]) -> None:
    async with talking(kind) as (model, peer, recorder):
        await model.send_event(RealtimeModelRequestResponse())
        await peer.receive("response.create")
        await model.send_event(RealtimeModelSendInterrupt())
        if kind is OpenAIRealtimeSIPModel:
            await peer.receive("output_audio_buffer.clear")
        # What is asked for behind it is wanted.
        await model.send_event(RealtimeModelRequestResponse(response={"instructions": "Say sorry."}))
        await peer.send(messages.response_created())
        assert (await peer.receive("response.cancel"))["response_id"] == R1
        await peer.send(messages.response_done(status="cancelled"))
        assert (await peer.receive("response.create"))["response"] == {"instructions": "Say sorry."}
        await peer.send(messages.response_created(R2))
        await recorder.until(lambda: len(recorder.all(RealtimeModelTurnStartedEvent)) == 2)
        await fence(model, peer)


@EITHER
async def test_a_request_that_was_taken_back_and_refused_is_not_asked_again(kind: type[SocketModel]) -> None:
    async with talking(kind) as (model, peer, recorder):
        await model.send_event(RealtimeModelRequestResponse())
        asked = await peer.receive("response.create")
        await model.send_event(RealtimeModelSendInterrupt(force_response_cancel=True))
        if kind is OpenAIRealtimeSIPModel:
            await peer.receive("output_audio_buffer.clear")
        await peer.send(
            messages.error("conversation_already_has_active_response", event_id=asked["event_id"]),
            messages.response_done(),
        )
        await recorder.first(RealtimeModelTurnEndedEvent)
        await fence(model, peer)


@EITHER
async def test_ending_one_response_takes_nothing_back(kind: type[SocketModel]) -> None:
    async with talking(kind) as (model, peer, recorder):
        await peer.send(messages.response_created())
        await recorder.first(RealtimeModelTurnStartedEvent)
        await model.send_event(RealtimeModelRequestResponse())
        await model.send_event(RealtimeModelSendInterrupt(response_id=R1, cancel_response_only=True))
        await peer.receive("response.cancel")
        await peer.send(messages.response_done(status="cancelled"))
        await peer.receive("response.create")
