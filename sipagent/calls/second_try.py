"""Asks again for a response that failed at the API, so that a caller is not left in silence.

A response may end ``failed`` (a rate limit, a fault of the server) without a word having been spoken. Nothing
else would make the model speak then until the caller does.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from sipagent.errors import SipAgentError
from sipagent.realtime.session_events import (
    RealtimeAgentSpeechStarted,
    RealtimeCallerSpeechStarted,
    RealtimeResponseEnded,
    RealtimeSessionEvent,
)

logger = logging.getLogger(__name__)

PAUSES_S = (0.5, 2.0, 5.0)
"""Before each try in a row; after the last one, the call is left to its limits."""


class Speaker(Protocol):
    """What is needed of a session."""

    async def say(self, text: str) -> None:
        """Speak exactly ``text``."""

    async def request_response(self) -> None:
        """Speak."""


class SecondTry:
    """The tries of one conversation. Leave it with `aclose`, which ends a try that waits."""

    def __init__(
        self, speaker: Speaker, *, greeting: str | None, pauses_s: tuple[float, ...] = PAUSES_S
    ) -> None:
        """``greeting`` is said again, word for word, as long as the agent has never been heard."""
        self._speaker = speaker
        self._greeting = greeting
        self._pauses_s = pauses_s
        self._failures = 0
        self._heard = False
        self._waiting: asyncio.Task[None] | None = None

    def observe(self, event: RealtimeSessionEvent) -> None:
        """Take in one event of the session."""
        match event:
            case RealtimeResponseEnded(status="failed"):
                self._failed()
            case RealtimeResponseEnded():
                self._failures = 0
            case RealtimeAgentSpeechStarted():
                self._heard = True
            case RealtimeCallerSpeechStarted() if self._waiting is not None:
                # The end of the caller's turn brings a response of its own.
                self._waiting.cancel()
            case _:
                pass

    async def aclose(self) -> None:
        """End what waits. Idempotent."""
        if self._waiting is not None:
            self._waiting.cancel()
            await asyncio.wait([self._waiting])

    def _failed(self) -> None:
        if self._failures >= len(self._pauses_s) or (self._waiting is not None and not self._waiting.done()):
            return
        pause_s = self._pauses_s[self._failures]
        self._failures += 1
        self._waiting = asyncio.create_task(self._ask_again(pause_s), name="ask again for a failed response")

    async def _ask_again(self, pause_s: float) -> None:
        await asyncio.sleep(pause_s)
        try:
            if self._greeting is not None and not self._heard:
                await self._speaker.say(self._greeting)
            else:
                await self._speaker.request_response()
        except SipAgentError as error:
            logger.info("A failed response could not be asked for again: %s", error)
