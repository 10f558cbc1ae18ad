"""Asking an agent to speak goes wrong quietly, and within a bound."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sipagent.calls import asking
from sipagent.calls.asking import ask, ask_for_words, tell_agent
from sipagent.errors import ConnectionLostError
from sipagent.realtime import (
    RealtimeAgent,
    RealtimeModelRequestResponse,
    RealtimeModelSendSystemMessage,
    RealtimeRunner,
    RealtimeSession,
)
from sipagent.realtime.testing import ScriptedRealtimeModel


@asynccontextmanager
async def talking() -> AsyncIterator[tuple[ScriptedRealtimeModel, RealtimeSession]]:
    model = ScriptedRealtimeModel()
    async with await RealtimeRunner(RealtimeAgent(name="front-desk"), model=model).run() as session:
        yield model, session


async def test_words_are_asked_for_without_tools() -> None:
    async with talking() as (model, session):
        assert await ask_for_words(session, "Say goodbye.")
        assert model.sent == [
            RealtimeModelRequestResponse(response={"instructions": "Say goodbye.", "tool_choice": "none"})
        ]


async def test_the_agent_is_told_and_speaks_only_if_it_should() -> None:
    async with talking() as (model, session):
        assert await tell_agent(session, "The call ends soon.", respond=False)
        assert model.sent == [RealtimeModelSendSystemMessage(text="The call ends soon.")]
        assert await tell_agent(session, "Now.", respond=True)
        assert isinstance(model.sent[-1], RealtimeModelRequestResponse)


async def test_a_connection_that_is_gone_is_no_error() -> None:
    async with talking() as (model, session):
        await model.end()
        assert not await tell_agent(session, "Now.", respond=True)
        assert not await ask_for_words(session, "Say goodbye.")


async def test_a_request_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "ASKING_TIMEOUT_S", 0.05)
    assert not await ask(_never())


async def test_a_defect_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        await ask(_fails(ZeroDivisionError()))
    assert not await ask(_fails(ConnectionLostError("gone")))


async def _never() -> None:
    await asyncio.Event().wait()


async def _fails(error: Exception) -> None:
    raise error
