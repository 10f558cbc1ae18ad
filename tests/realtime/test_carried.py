"""A session of a telephone call whose audio passes through us."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sipagent.identifiers import ItemId, ResponseId
from sipagent.realtime import (
    CallPlayer,
    CarriedCallModel,
    EndCause,
    RealtimeModelAudioEvent,
    RealtimeModelConnectionStatusEvent,
    RealtimeModelDtmfEvent,
    RealtimeModelEndOfStreamEvent,
    RealtimeModelPlaybackEvent,
    RealtimeModelSendInterrupt,
    RealtimeModelSendSessionUpdate,
    RealtimeModelTurnEndedEvent,
    RealtimePlaybackState,
)
from sipagent.realtime.events import RealtimeModelSessionEvent
from tests.carrier.bridged import SPEECH_STARTED, audio_delta, audio_done, session_of_telephone
from tests.realtime import messages
from tests.realtime.peer import Peer, RealtimeServer, Recorder, realtime_server
from tests.support.eventually import eventually


class Player(CallPlayer):
    """Remembers what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[Any, ...]] = []
        self.state: RealtimePlaybackState = {
            "current_item_id": None,
            "current_item_content_index": None,
            "elapsed_ms": None,
        }

    def play(self, item_id: ItemId, content_index: int, audio: bytes) -> None:
        self.told.append(("play", item_id, content_index, audio))

    def finish(self, item_id: ItemId, content_index: int) -> None:
        self.told.append(("finish", item_id, content_index))

    def withdraw(self, item_id: ItemId, content_index: int) -> None:
        self.told.append(("withdraw", item_id, content_index))

    def on_interrupted(self) -> None:
        self.told.append(("interrupted",))

    def get_state(self) -> RealtimePlaybackState:
        return self.state

    def connected(self) -> None:
        self.told.append(("connected",))

    def disconnected(self, cause: EndCause | None) -> None:
        self.told.append(("disconnected", cause))

    def hears(self, item_id: str, elapsed_ms: float) -> None:
        self.state = {
            "current_item_id": item_id,
            "current_item_content_index": 0,
            "elapsed_ms": elapsed_ms,
        }


@asynccontextmanager
async def carried(
    server: RealtimeServer, **options: Any
) -> AsyncIterator[tuple[CarriedCallModel, Player, Peer, Recorder, dict[str, Any]]]:
    player, recorder = Player(), Recorder()
    model = CarriedCallModel(player, input_format="g711_alaw")
    model.add_listener(recorder)
    config: Any = {"api_key": "sk-test", "base_url": server.base_url, **options}
    await model.connect(config)
    try:
        peer = await server.peer()
        yield model, player, peer, recorder, await peer.receive("session.update")
    finally:
        await model.close()


def formats(update: dict[str, Any]) -> tuple[str, str]:
    audio = update["session"]["audio"]
    return audio["input"]["format"]["type"], audio["output"]["format"]["type"]


async def test_the_formats_are_the_carriers_whatever_is_set() -> None:
    settings: Any = {"audio": {"input": {"format": "pcm16"}, "output": {"format": "pcm16", "voice": "marin"}}}
    async with (
        realtime_server() as server,
        carried(server, initial_model_settings=settings, first_update='{"type":"of another"}') as it,
    ):
        model, player, peer, _, update = it
        assert formats(update) == ("audio/pcma", "audio/pcmu")
        assert update["session"]["audio"]["output"]["voice"] == "marin"
        assert player.told == [("connected",)]
        await model.send_event(RealtimeModelSendSessionUpdate(session_settings=settings))
        assert formats(await peer.receive("session.update")) == ("audio/pcma", "audio/pcmu")


async def test_a_session_that_takes_the_formats_over_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    async with realtime_server() as server, carried(server) as (_, _, peer, recorder, _):
        await peer.send(messages.session_created())
        await peer.send({**session_of_telephone(), "type": "session.updated"})
        await recorder.until(lambda: len(recorder.all(RealtimeModelSessionEvent)) == 2)
        assert "formats changed" not in caplog.text
        await peer.send(messages.session_updated())
        await recorder.until(lambda: len(recorder.all(RealtimeModelSessionEvent)) == 3)
        assert "formats changed" in caplog.text


async def test_audio_goes_to_the_player_before_anybody_hears_of_it() -> None:
    async with realtime_server() as server, carried(server) as (_, player, peer, recorder, _):
        await peer.send(session_of_telephone(), messages.response_created())
        await peer.send(audio_delta(b"\x01" * 160), audio_done(), messages.response_done())
        await recorder.first(RealtimeModelAudioEvent)
        assert player.told[1] == ("play", "item_1", 0, b"\x01" * 160)
        await recorder.first(RealtimeModelTurnEndedEvent)
        assert player.told[2] == ("finish", "item_1", 0)


async def test_listeners_hear_where_it_begins_and_the_player_all_of_it() -> None:
    async with realtime_server() as server, carried(server) as (_, player, peer, recorder, _):
        await peer.send(session_of_telephone(), messages.response_created())
        for number in range(50):
            await peer.send(audio_delta(bytes((number,)) * 160))
        await peer.send(audio_done(), messages.response_done())
        await recorder.first(RealtimeModelTurnEndedEvent)
        played = [told[3][0] for told in player.told if told[0] == "play"]
        assert played == list(range(50))
        assert len(recorder.all(RealtimeModelAudioEvent)) == 1
        assert recorder.all(RealtimeModelPlaybackEvent)[0].change == "started"


async def test_what_is_cut_off_is_neither_heard_nor_played_again() -> None:
    async with realtime_server() as server, carried(server) as (_, player, peer, recorder, _):
        await peer.send(session_of_telephone(), messages.response_created(), audio_delta(bytes(8000)))
        await recorder.first(RealtimeModelAudioEvent)
        player.hears("item_1", 500.0)
        await peer.send(SPEECH_STARTED)
        truncate = await peer.receive("conversation.item.truncate")
        assert (truncate["item_id"], truncate["audio_end_ms"]) == ("item_1", 500)
        assert player.told[2:] == [("interrupted",), ("withdraw", "item_1", 0)]
        await peer.send(audio_delta(bytes(160)), messages.response_done(status="cancelled"))
        await peer.send(audio_delta(bytes(320), item_id="item_2", response_id="resp_2"))
        await recorder.until(lambda: len(recorder.all(RealtimeModelAudioEvent)) == 2)
        assert player.told[4:] == [("play", "item_2", 0, bytes(320))]


async def test_what_waits_behind_another_is_withdrawn_and_the_other_plays_on() -> None:
    async with realtime_server() as server, carried(server) as (model, player, peer, recorder, _):
        await peer.send(session_of_telephone(), messages.response_created(), audio_delta(bytes(8000)))
        await peer.send(messages.response_done(), messages.response_created("resp_2"))
        await peer.send(audio_delta(bytes(800), item_id="item_2", response_id="resp_2"))
        await eventually(lambda: len(player.told) == 3)
        player.hears("item_1", 100.0)
        await model.send_event(RealtimeModelSendInterrupt(response_id=ResponseId("resp_2")))
        truncate = await peer.receive("conversation.item.truncate")
        assert (truncate["item_id"], truncate["audio_end_ms"]) == ("item_2", 0)
        assert player.told[3:] == [("withdraw", "item_2", 0)]
        told = [(event.change, event.response_id) for event in recorder.all(RealtimeModelPlaybackEvent)]
        assert told == [("started", "resp_1"), ("cleared", "resp_2")]


async def test_keys_are_told_while_there_is_a_session() -> None:
    async with realtime_server() as server, carried(server) as (model, _, _, recorder, _):
        await model.key_pressed("5", received_at=1.5)
        assert recorder.all(RealtimeModelDtmfEvent) == [RealtimeModelDtmfEvent(digit="5", received_at=1.5)]
        await model.close()
        await model.key_pressed("6")
        assert len(recorder.all(RealtimeModelDtmfEvent)) == 1


async def test_a_call_that_is_over_is_told_once() -> None:
    async with realtime_server() as server, carried(server) as (model, player, peer, recorder, _):
        await model.call_over("They hung up.")
        await model.call_over("Again.")
        assert (await peer.gone())[0] == 1000
        assert recorder.all(RealtimeModelConnectionStatusEvent) == [
            RealtimeModelConnectionStatusEvent(
                status="disconnected", cause="call_over", detail="They hung up."
            )
        ]
        assert len(recorder.all(RealtimeModelEndOfStreamEvent)) == 1
        assert player.told.count(("disconnected", None)) == 1


@pytest.mark.parametrize("code", [1000, 1001, 1011])
async def test_a_server_that_closes_has_left_the_caller_alone(code: int) -> None:
    async with realtime_server() as server, carried(server) as (model, player, peer, recorder, _):
        await peer.close(code)
        await recorder.first(RealtimeModelEndOfStreamEvent)
        assert recorder.all(RealtimeModelConnectionStatusEvent)[-1].cause == "lost"
        assert ("disconnected", "lost") in player.told
        await model.call_over()
        assert recorder.all(RealtimeModelConnectionStatusEvent)[-1].cause == "lost"
