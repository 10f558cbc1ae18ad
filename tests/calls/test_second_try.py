"""Failed responses are asked for again, a few times, and not over the caller's words."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sipagent.calls.second_try import SecondTry
from sipagent.errors import ConnectionLostError
from sipagent.realtime.session_events import (
    RealtimeAgentSpeechStarted,
    RealtimeCallerSpeechStarted,
    RealtimeResponseEnded,
)
from tests.calls.events import INFO, item, response

FAILED = RealtimeResponseEnded(
    response_id=response(1), status="failed", reason="server_error", error_message=None, usage=None, info=INFO
)
COMPLETED = RealtimeResponseEnded(
    response_id=response(1), status="completed", reason=None, error_message=None, usage=None, info=INFO
)
HEARD = RealtimeAgentSpeechStarted(response_id=response(1), info=INFO)
CALLER = RealtimeCallerSpeechStarted(item_id=item(1), audio_start_ms=0, info=INFO)


class Speaker:
    """Notes what it is asked for."""

    def __init__(self, *, gone: bool = False) -> None:
        self.asked: asyncio.Queue[str] = asyncio.Queue()
        self._gone = gone

    async def say(self, text: str) -> None:
        self.asked.put_nowait(text)
        if self._gone:
            raise ConnectionLostError("gone")

    async def request_response(self) -> None:
        self.asked.put_nowait("anything")


@asynccontextmanager
async def tries(speaker: Speaker, *, pauses_s: tuple[float, ...] = (0.01, 0.01)) -> AsyncIterator[SecondTry]:
    second_try = SecondTry(speaker, greeting="Good morning.", pauses_s=pauses_s)
    try:
        yield second_try
    finally:
        await second_try.aclose()


async def asked(speaker: Speaker) -> str:
    async with asyncio.timeout(10):
        return await speaker.asked.get()


async def test_a_greeting_that_was_never_heard_is_said_again_word_for_word() -> None:
    speaker = Speaker()
    async with tries(speaker) as second_try:
        second_try.observe(FAILED)
        assert await asked(speaker) == "Good morning."


async def test_later_responses_are_asked_for_again_in_the_models_own_words() -> None:
    speaker = Speaker()
    async with tries(speaker) as second_try:
        second_try.observe(HEARD)
        second_try.observe(FAILED)
        assert await asked(speaker) == "anything"


async def test_tries_in_a_row_are_bounded_and_begin_anew_after_a_success() -> None:
    speaker = Speaker()
    async with tries(speaker) as second_try:
        for _ in range(2):
            second_try.observe(FAILED)
            await asked(speaker)
            await asyncio.sleep(0)
        second_try.observe(FAILED)
        with pytest.raises(asyncio.QueueEmpty):
            await asyncio.sleep(0.05)
            speaker.asked.get_nowait()
        second_try.observe(COMPLETED)
        second_try.observe(FAILED)
        await asked(speaker)


async def test_a_caller_who_speaks_brings_a_response_and_needs_no_other() -> None:
    speaker = Speaker()
    async with tries(speaker, pauses_s=(0.05,)) as second_try:
        second_try.observe(FAILED)
        second_try.observe(CALLER)
        await asyncio.sleep(0.1)
        assert speaker.asked.empty()


async def test_a_connection_that_is_gone_ends_the_tries_quietly() -> None:
    speaker = Speaker(gone=True)
    async with tries(speaker) as second_try:
        second_try.observe(FAILED)
        assert await asked(speaker) == "Good morning."


async def test_closing_ends_a_try_that_waits() -> None:
    speaker = Speaker()
    async with tries(speaker, pauses_s=(60.0,)) as second_try:
        second_try.observe(FAILED)
    assert speaker.asked.empty()
