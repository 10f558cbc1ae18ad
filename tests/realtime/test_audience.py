"""Listeners of a model: each hears everything, in order, whatever the others do."""

from __future__ import annotations

import pytest

from sipagent.identifiers import ItemId
from sipagent.realtime import (
    RealtimeModelCallerSpeechStartedEvent,
    RealtimeModelEndOfStreamEvent,
    RealtimeModelEvent,
    RealtimeModelExceptionEvent,
    RealtimeModelListener,
)
from sipagent.realtime.audience import Audience

SPEAKS = RealtimeModelCallerSpeechStartedEvent(item_id=ItemId("item_1"))
END = RealtimeModelEndOfStreamEvent()


class Listener(RealtimeModelListener):
    def __init__(self, *, breaks: bool = False) -> None:
        self.heard: list[RealtimeModelEvent] = []
        self.breaks = breaks

    async def on_event(self, event: RealtimeModelEvent) -> None:
        self.heard.append(event)
        if self.breaks:
            raise ZeroDivisionError


class Prompt(Listener):
    """Hears without waiting while there is room."""

    room = 1

    def take_now(self, event: RealtimeModelEvent) -> bool:
        if len(self.heard) >= self.room:
            return False
        self.heard.append(event)
        return True


async def test_everybody_hears_everything_in_order() -> None:
    audience, first, second = Audience(), Listener(), Prompt()
    for listener in (first, second, first):
        audience.add(listener)
    await audience.tell(SPEAKS)
    await audience.tell(END)
    assert first.heard == second.heard == [SPEAKS, END]


async def test_who_is_gone_hears_nothing_more() -> None:
    audience, first, second = Audience(), Listener(), Listener()
    audience.remove(first)
    audience.add(first)
    audience.add(second)
    audience.remove(first)
    await audience.tell(SPEAKS)
    assert (first.heard, second.heard) == ([], [SPEAKS])


async def test_who_can_hear_at_once_is_known_by_a_method_of_its_own() -> None:
    audience, slow, prompt = Audience(), Listener(), Prompt()
    audience.add(slow)
    audience.add(prompt)
    assert [take_now is not None for _, take_now in audience.members] == [False, True]


async def test_one_that_raises_is_reported_to_all_and_once(caplog: pytest.LogCaptureFixture) -> None:
    audience, broken, other = Audience(), Listener(breaks=True), Listener()
    audience.add(broken)
    audience.add(other)
    await audience.tell(SPEAKS)
    for listener in (broken, other):
        kinds = sorted(type(event).__name__ for event in listener.heard)
        assert kinds == ["RealtimeModelCallerSpeechStartedEvent", "RealtimeModelExceptionEvent"]
    [report] = [event for event in other.heard if isinstance(event, RealtimeModelExceptionEvent)]
    assert isinstance(report.exception, ZeroDivisionError)
    assert caplog.text.count("A listener raised ZeroDivisionError") == 2


async def test_one_listener_with_room_hears_at_once_and_nobody_else_does() -> None:
    audience, prompt = Audience(), Prompt()
    assert not audience.tell_now(SPEAKS)
    audience.add(prompt)
    assert audience.tell_now(SPEAKS)
    assert not audience.tell_now(END)  # it has no more room
    prompt.room = 2
    audience.add(Listener())
    assert not audience.tell_now(END)
    assert prompt.heard == [SPEAKS]


async def test_one_that_raises_at_once_is_told_and_the_log_knows(caplog: pytest.LogCaptureFixture) -> None:
    class Raising(Listener):
        def take_now(self, event: RealtimeModelEvent) -> bool:
            self.heard.append(event)
            raise ZeroDivisionError

    audience, broken = Audience(), Raising()
    audience.add(broken)
    assert audience.tell_now(SPEAKS)
    assert [type(event) for event in broken.heard] == [type(SPEAKS), RealtimeModelExceptionEvent]
    assert caplog.text.count("A listener raised ZeroDivisionError") == 2
    audience.remove(broken)
    audience.report_now(ValueError())
    assert len(broken.heard) == 2
