"""Messages are taken where they come as far as nothing waits, and by the reader from there on: in order, each
event once, whatever stops it half-way."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from sipagent.realtime import (
    OpenAIRealtimeSIPModel,
    RealtimeModelAudioEvent,
    RealtimeModelConfig,
    RealtimeModelEndOfStreamEvent,
    RealtimeModelEvent,
    RealtimeModelExceptionEvent,
    RealtimeModelInputAudioTranscriptionDeltaEvent,
    RealtimeModelListener,
    RealtimeModelTranscriptDeltaEvent,
    RealtimeModelTurnEndedEvent,
    RealtimeModelTurnStartedEvent,
    RealtimeModelUsageEvent,
    TransportConfig,
)
from sipagent.realtime.audience import Audience
from sipagent.realtime.events import RealtimeModelCallerSpeechStartedEvent, RealtimeModelPlaybackEvent
from sipagent.realtime.taking import OFTEN, Reaction, Taking
from sipagent.realtime.wire_frequent import read
from tests.realtime import messages
from tests.realtime.peer import PATIENCE_S, Peer, realtime_server

USAGE = {"total_tokens": 2, "input_tokens": 1, "output_tokens": 1}
DONE = messages.response_done(usage=USAGE)
"""Means two events."""


class Prompt(RealtimeModelListener):
    """Hears without waiting as long as it has room, and else by itself."""

    def __init__(self, room: int = 1000) -> None:
        self.room = room
        self.at_once: list[RealtimeModelEvent] = []
        self.awaited: list[RealtimeModelEvent] = []
        self.heard: list[RealtimeModelEvent] = []
        self.in_tasks: list[bool] = []
        """Of each event that was heard: whether a task ran."""
        self.over = asyncio.Event()

    def take_now(self, event: RealtimeModelEvent) -> bool:
        if len(self.at_once) >= self.room:
            return False
        self.at_once.append(event)
        self._hear(event)
        return True

    async def on_event(self, event: RealtimeModelEvent) -> None:
        self.awaited.append(event)
        self._hear(event)

    def _hear(self, event: RealtimeModelEvent) -> None:
        self.heard.append(event)
        self.in_tasks.append(asyncio.current_task() is not None)
        if isinstance(event, RealtimeModelEndOfStreamEvent):
            self.over.set()

    @property
    def kinds(self) -> list[type[RealtimeModelEvent]]:
        return [type(event) for event in self.heard]


class Raising(RealtimeModelListener):
    def __init__(self) -> None:
        self.heard: list[RealtimeModelEvent] = []

    def take_now(self, event: RealtimeModelEvent) -> bool:
        self.heard.append(event)
        raise ZeroDivisionError

    async def on_event(self, event: RealtimeModelEvent) -> None:
        raise AssertionError("it was told already")


class Room:
    """A `Taking` with its surroundings."""

    def __init__(self, *listeners: RealtimeModelListener) -> None:
        self.audience = Audience()
        for listener in listeners:
            self.audience.add(listener)
        self.noted: list[RealtimeModelEvent] = []
        self.kept: set[type[RealtimeModelEvent]] = set()
        self.reacted: list[str] = []
        self.reacts = False
        self.asked = 0
        self.asks = False
        self.taking = Taking(
            self.audience,
            notes={
                RealtimeModelTurnStartedEvent: self._note,
                RealtimeModelUsageEvent: self._note,
                RealtimeModelTurnEndedEvent: self._note,
            },
            reactions={RealtimeModelUsageEvent: self._react},
            at_once=OFTEN - {RealtimeModelAudioEvent},
            for_reader=frozenset({RealtimeModelAudioEvent, RealtimeModelCallerSpeechStartedEvent}),
            asks=lambda: self._ask if self.asks else None,
        )

    def _note(self, event: RealtimeModelEvent) -> bool:
        self.noted.append(event)
        return type(event) not in self.kept

    def _react(self, event: RealtimeModelEvent) -> Reaction | None:
        async def react() -> None:
            self.reacted.append(f"{len(self.noted)} noted")

        return react if self.reacts else None

    async def _ask(self) -> None:
        self.asked += 1

    def comes(self, message: dict[str, Any]) -> bool:
        return self.taking.take_now(json.dumps(message).encode())

    async def take(self, message: dict[str, Any]) -> None:
        """As the reader does."""
        if self.taking.begun is not None:
            await self.taking.finish(self.taking.begun)
            return
        events = read(json.dumps(message).encode())
        await self.taking.take(events if isinstance(events, tuple) else (events,))


async def test_all_of_a_message_is_taken_where_nothing_waits() -> None:
    listener = Prompt()
    room = Room(listener)
    assert room.comes(messages.response_created())
    assert room.comes(messages.transcript_delta("Hello"))
    assert room.comes(DONE)
    assert listener.kinds == [
        RealtimeModelTurnStartedEvent,
        RealtimeModelTranscriptDeltaEvent,
        RealtimeModelUsageEvent,
        RealtimeModelTurnEndedEvent,
    ]
    assert listener.heard == listener.at_once
    words = listener.heard.pop(1)
    assert room.noted == listener.heard
    assert room.taking.spoke == words


@pytest.mark.parametrize("message", [DONE, messages.transcript_delta("Hello")], ids=["rare", "frequent"])
async def test_where_several_listen_the_reader_tells(message: dict[str, Any]) -> None:
    first, second = Prompt(), Prompt()
    room = Room(first, second)
    assert not room.comes(message)
    assert first.heard == second.heard == []


async def test_who_must_be_waited_for_hears_by_the_reader() -> None:
    class Slow(RealtimeModelListener):
        heard: list[RealtimeModelEvent] = []

        async def on_event(self, event: RealtimeModelEvent) -> None:
            self.heard.append(event)

    slow = Slow()
    room = Room(slow)
    assert not room.comes(DONE)
    await room.take(DONE)
    assert [type(event) for event in slow.heard] == [RealtimeModelUsageEvent, RealtimeModelTurnEndedEvent]
    assert room.noted == slow.heard
    assert not room.comes(messages.transcript_delta("Hello"))


@pytest.mark.parametrize("space", [0, 1])
async def test_the_reader_goes_on_where_room_ended(space: int) -> None:
    listener = Prompt(room=space)
    room = Room(listener)
    assert not room.comes(DONE)
    assert len(listener.heard) == space
    await room.take(DONE)
    assert listener.kinds == [RealtimeModelUsageEvent, RealtimeModelTurnEndedEvent]
    assert len(listener.at_once) == space
    assert room.noted == listener.heard
    # The next message is a new one.
    await room.take(messages.response_created())
    assert listener.kinds[2:] == [RealtimeModelTurnStartedEvent]


async def test_what_is_to_be_sent_goes_out_before_anybody_hears() -> None:
    listener = Prompt()
    room = Room(listener)
    room.reacts = True
    assert not room.comes(DONE)
    assert (listener.heard, room.reacted, len(room.noted)) == ([], [], 1)
    await room.take(DONE)
    assert room.reacted == ["1 noted"]
    assert listener.kinds == [RealtimeModelUsageEvent, RealtimeModelTurnEndedEvent]
    assert room.noted == listener.heard


async def test_what_is_noted_to_be_kept_is_told_to_nobody() -> None:
    listener = Prompt()
    room = Room(listener)
    room.kept = {RealtimeModelUsageEvent}
    assert room.comes(DONE)
    await room.take(DONE)
    assert listener.kinds == [RealtimeModelTurnEndedEvent] * 2
    assert len(room.noted) == 4


async def test_what_only_the_reader_may_take_is_not_even_noted() -> None:
    listener = Prompt()
    room = Room(listener)
    assert not room.comes(messages.speech_started())
    assert not room.comes(messages.audio_delta("AAAA"))
    assert listener.heard == []


async def test_the_reader_asks_for_what_waits() -> None:
    listener = Prompt()
    room = Room(listener)
    room.asks = True
    assert not room.comes(DONE)
    assert (len(listener.heard), room.asked) == (2, 0)
    await room.take(DONE)
    assert (len(listener.heard), room.asked) == (2, 1)


@pytest.mark.parametrize("message", [DONE, messages.transcript_delta("Hello")], ids=["rare", "frequent"])
async def test_one_that_raises_is_told_of_it_and_stops_nothing(message: dict[str, Any]) -> None:
    listener = Raising()
    room = Room(listener)
    assert room.comes(message)
    events = read(json.dumps(message).encode())
    assert listener.heard[::2] == list(events if isinstance(events, tuple) else (events,))
    told = [type(event) for event in listener.heard]
    assert told[1::2] == [RealtimeModelExceptionEvent] * (len(told) // 2)


async def test_what_showed_last_that_the_agent_speaks_is_known() -> None:
    room = Room(Prompt())
    first, other = messages.transcript_delta("Hello"), messages.transcript_delta("Bye", "item_2", "resp_2")
    for message in (first, first, other):
        assert room.comes(message)
    assert isinstance(room.taking.spoke, RealtimeModelTranscriptDeltaEvent)
    assert (room.taking.spoke.item_id, room.taking.spoke.response_id) == ("item_2", "resp_2")
    assert room.comes({**other, "content_index": 1})
    assert room.taking.spoke.content_index == 1
    room.taking.say_otherwise(None)
    assert room.comes({**other, "content_index": 1})
    assert room.taking.spoke is not None


async def test_another_socket_begins_anew() -> None:
    listener = Prompt(room=0)
    room = Room(listener)
    assert not room.comes(DONE)
    room.taking.start()
    await room.take(messages.response_created())
    assert listener.kinds == [RealtimeModelTurnStartedEvent]


# By a real socket -----------------------------------------------------------------------------------

PICOWS: TransportConfig = {"library": "picows"}


async def attached(listener: RealtimeModelListener, base_url: str) -> OpenAIRealtimeSIPModel:
    model = OpenAIRealtimeSIPModel(transport_config=PICOWS)
    model.add_listener(listener)
    config: RealtimeModelConfig = {"api_key": "sk-test", "base_url": base_url, "call_id": "rtc_1"}
    await model.connect(config)
    return model


async def talk(peer: Peer, turns: int) -> int:
    """Play some turns one message after the other; how many events they mean."""
    for turn in range(turns):
        response_id, item_id = f"resp_{turn}", f"item_{turn}"
        await peer.send(
            messages.response_created(response_id),
            messages.transcript_delta("Hello", item_id, response_id),
            messages.playback("started", response_id),
            {
                "type": "conversation.item.input_audio_transcription.delta",
                "item_id": f"caller_{turn}",
                "delta": "Hi",
            },
            messages.response_done(response_id, usage=USAGE),
        )
    return turns * 6


async def test_no_task_runs_for_what_comes_to_a_listener_with_room() -> None:
    listener = Prompt()
    async with realtime_server() as server, asyncio.timeout(PATIENCE_S):
        model = await attached(listener, server.base_url)
        peer = await server.peer()
        await peer.receive("session.update")
        expected = await talk(peer, 20)
        await peer.close()
        await listener.over.wait()
        await model.close()
    one_turn = [
        RealtimeModelTurnStartedEvent,
        RealtimeModelTranscriptDeltaEvent,
        RealtimeModelPlaybackEvent,
        RealtimeModelInputAudioTranscriptionDeltaEvent,
        RealtimeModelUsageEvent,
        RealtimeModelTurnEndedEvent,
    ]
    assert listener.kinds[:expected] == one_turn * 20
    # What came behind a message that woke the reader, or before it waited at all, it took itself.
    assert listener.in_tasks[:expected].count(False) > 0
    assert listener.in_tasks[expected:] == [True, True]


@pytest.mark.parametrize("space", range(7))
async def test_order_holds_wherever_room_ends(space: int) -> None:
    listener = Prompt(room=space)
    async with realtime_server() as server, asyncio.timeout(PATIENCE_S):
        model = await attached(listener, server.base_url)
        peer = await server.peer()
        await peer.receive("session.update")
        expected = await talk(peer, 3)
        await peer.close()
        await listener.over.wait()
        await model.close()
    assert len(listener.heard) == expected + 2
    ended = [event.response_id for event in listener.heard if isinstance(event, RealtimeModelTurnEndedEvent)]
    assert ended == ["resp_0", "resp_1", "resp_2"]
    assert listener.kinds[0:18:6] == [RealtimeModelTurnStartedEvent] * 3
