"""A greeting that was hardly heard is woven into the next answer."""

from __future__ import annotations

import asyncio

import pytest

from sipagent.calls.greeting import HEARD_AFTER_S, GreetingKeeper
from sipagent.realtime import RealtimeSession
from sipagent.realtime.session_events import (
    RealtimeAgentSpeechCleared,
    RealtimeAgentSpeechStarted,
    RealtimeAgentSpeechStopped,
    RealtimeCallerSpeechStarted,
    RealtimeResponseEnded,
    RealtimeSessionEvent,
    ResponseStatus,
)
from tests.calls.events import INFO, item, response
from tests.calls.outliving import ImaginedLine, Worker, World, generation_of, incoming
from tests.support.processes import run_processes

SPEAKS = RealtimeAgentSpeechStarted(response_id=response(1), info=INFO)
STOPS = RealtimeAgentSpeechStopped(response_id=response(1), info=INFO)
CUT = RealtimeAgentSpeechCleared(response_id=response(1), info=INFO)
CALLER = RealtimeCallerSpeechStarted(item_id=item(1), audio_start_ms=0, info=INFO)


def ended(status: ResponseStatus) -> RealtimeResponseEnded:
    return RealtimeResponseEnded(
        response_id=response(1), status=status, reason=None, error_message=None, usage=None, info=INFO
    )


def told(*events: tuple[float, RealtimeSessionEvent], words: str | None = 'Say "hi".') -> list[str]:
    keeper = GreetingKeeper(words)
    said = [keeper.observe(event, now) for now, event in events]
    return [text for text in said if text is not None]


def test_a_greeting_that_was_cut_off_at_once_is_to_begin_the_next_answer() -> None:
    (text,) = told((0, SPEAKS), (0.4, CALLER), (0.4, CUT), (0.5, ended("cancelled")))
    assert r'"Say \"hi\"."' in text
    assert "Begin your next answer" in text


def test_so_is_one_that_was_never_heard() -> None:
    assert len(told((0, CALLER), (0.1, ended("cancelled")))) == 1


def test_one_that_had_said_who_speaks_is_not() -> None:
    assert told((0, SPEAKS), (HEARD_AFTER_S, CUT), (2, ended("cancelled"))) == []


def test_one_that_was_heard_to_its_end_is_not() -> None:
    assert told((0, SPEAKS), (1, STOPS), (1.1, SPEAKS), (1.2, CUT)) == []


def test_one_that_failed_is_left_to_be_asked_for_again() -> None:
    assert told((0, ended("failed")), (1, SPEAKS), (1.1, CUT)) != []


def test_without_a_greeting_there_is_nothing_to_keep() -> None:
    assert told((0, SPEAKS), (0.1, CUT), words=None) == []


@pytest.mark.parametrize("words", [{"interruptible": True}, {"unless_begun": True}], ids=["first", "again"])
def test_a_caller_who_hangs_up_before_the_greeting_has_hung_up(
    words: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    say = RealtimeSession.say

    async def tell() -> str | None:
        world = World()
        monkeypatch.setattr("websockets.connect", world.connect)
        call = incoming(0)
        line = ImaginedLine(call.call_id, one_socket=False)
        world.lines[call.call_id] = line

        async def hang_up_and_say(session: RealtimeSession, text: str, **_: bool) -> None:
            line.hang_up("caller")
            await asyncio.sleep(1.0)
            await say(session, text, **words)

        monkeypatch.setattr(RealtimeSession, "say", hang_up_and_say)
        worker = Worker(world, await generation_of(world))
        await asyncio.sleep(1.0)
        assert await worker.deliver(call)
        await asyncio.sleep(10.0)
        worker.leaves.set()
        await worker.task
        record = world.database.calls.record(call.call_id)
        assert record is not None
        return record.summary.end_reason

    assert run_processes(tell()) == "caller_hung_up"
