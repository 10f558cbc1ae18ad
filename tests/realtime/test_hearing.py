"""Whom an event of the model concerns, and that nobody else's affair is forgotten."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from sipagent.identifiers import ItemId, ResponseId
from sipagent.realtime import RealtimeAgent, RealtimeModelEvent, RealtimeSession, hearing
from sipagent.realtime.events import (
    RealtimeModelDtmfEvent,
    RealtimeModelTranscriptDeltaEvent,
    RealtimeModelTurnEndedEvent,
    RealtimeModelTurnStartedEvent,
)
from sipagent.realtime.guarding import GUARDED
from sipagent.realtime.handover import NOTEWORTHY
from sipagent.realtime.hosted_tools import HOSTED
from sipagent.realtime.measuring import MEASURED
from sipagent.realtime.testing import ScriptedRealtimeModel

EVERY = get_args(RealtimeModelEvent)
RESPONSE, ITEM = ResponseId("resp_1"), ItemId("item_1")


def session() -> RealtimeSession:
    return RealtimeSession(ScriptedRealtimeModel(), RealtimeAgent(name="practice"))


@pytest.mark.parametrize("concerned", [GUARDED, NOTEWORTHY, HOSTED, MEASURED])
def test_whoever_needs_to_hear_of_events_names_kinds_that_there_are(concerned: frozenset[type[Any]]) -> None:
    assert concerned <= set(EVERY)


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: str(kind.__name__))
def test_the_table_says_of_every_kind_whom_it_concerns(kind: type[Any]) -> None:
    concerns = hearing._CONCERNS[kind]
    assert concerns.guardrails == (kind in GUARDED)
    assert concerns.handover == (kind in NOTEWORTHY)
    assert concerns.hosted_tools == (kind in HOSTED)
    assert concerns.meter == (kind in MEASURED)


async def test_what_is_taken_at_once_is_what_is_heard_otherwise() -> None:
    happened: list[list[object]] = []
    for at_once in (True, False):
        one = session()
        for event in (
            RealtimeModelTurnStartedEvent(response_id=RESPONSE),
            RealtimeModelTranscriptDeltaEvent(item_id=ITEM, delta="Hello", response_id=RESPONSE),
            RealtimeModelTranscriptDeltaEvent(item_id=ITEM, delta=" you.", response_id=RESPONSE),
            RealtimeModelDtmfEvent(digit="5"),
            RealtimeModelTurnEndedEvent(response_id=RESPONSE, status="cancelled"),
        ):
            if at_once:
                assert one.take_now(event)
            else:
                await one.on_event(event)
        await one.close()
        happened.append([(type(each), getattr(each, "delta", None)) async for each in one])
    assert happened[0] == happened[1]
    assert len(happened[0]) > 5


async def test_nothing_is_taken_at_once_without_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipagent.realtime.session.QUEUE_EVENTS", 1)
    one = session()
    assert one.take_now(RealtimeModelDtmfEvent(digit="1"))
    assert not one.take_now(RealtimeModelDtmfEvent(digit="2"))
    await one.close()
    assert [getattr(each, "digit", None) async for each in one] == ["1"]


async def test_an_event_that_nobody_knows_concerns_nobody() -> None:
    class Own:
        type = "own"

    one = session()
    await one.on_event(Own())  # type: ignore[arg-type]
    await one.close()
    assert [each async for each in one] == []
