"""What the tools of one call remember, and what they need to know of the conversation."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping

from sipagent.calls.tools.confirming import Questions
from sipagent.calls.tools.keys import Keys
from sipagent.calls.tools.ledger import Ledger
from sipagent.realtime.session_events import (
    RealtimeCallerSpeechStarted,
    RealtimeCallerSpeechStopped,
    RealtimeDtmfReceived,
    RealtimeResponseStarted,
    RealtimeSessionEvent,
    RealtimeToolStart,
)

ANSWER_S = 1.0
"""How long after the caller's words an answer begins that begins by itself."""
CATCH_UP_S = 2.0
"""How long a tool waits until whoever follows the call has seen what happened before it was called."""
_STARTS_REMEMBERED = 200


class ToolState:
    """One call's. It learns what happens from `observe`, which whoever follows the session calls."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        """What was done in the world."""
        self.questions = Questions()
        """What the caller must confirm."""
        self.keys = Keys()
        """What the caller typed, since the agent's turn began."""
        self.typed: dict[str, str] = {}
        """What `collect_digits` has collected, whole, by the name that its tool has."""
        self.language: str | None = None
        """What the caller chose to speak, by its tag, once they did."""
        self.caller_turns = 0
        """How often the caller has said something."""
        self.caller_is_speaking = False
        self.collecting = False
        """Whether a tool reads `keys` now."""
        self._responses = 0
        self._words_claimed_at = -1
        self._answered = True
        self._started: deque[str] = deque(maxlen=_STARTS_REMEMBERED)
        self._moved = asyncio.Event()

    @property
    def values(self) -> Mapping[str, str]:
        """For templates: ``digits.NAME`` is what was typed."""
        return {f"digits.{name}": digits for name, digits in self.typed.items()}

    def observe(self, event: RealtimeSessionEvent) -> None:
        """Take in one event of the session. Never waits, never raises."""
        self.questions.observe(event)
        match event:
            case RealtimeToolStart(tool_call_id=tool_call_id):
                self._started.append(tool_call_id)
                self._moved.set()
            case RealtimeDtmfReceived(digit=digit):
                self.keys.press(digit)
            case RealtimeCallerSpeechStarted():
                self.caller_is_speaking = True
            case RealtimeCallerSpeechStopped():
                self.caller_is_speaking = False
                self.caller_turns += 1
                self._answered = False
            case RealtimeResponseStarted():
                self._responses += 1
                self._answered = True
                self._moved.set()
                if not self.collecting:
                    # Whoever types ahead does so while the agent asks; what was typed before is stale.
                    self.keys.forget()
            case _:
                pass

    def claim_words(self) -> bool:
        """Whether a guardrail may have something said: one for each response, whoever asks first."""
        if self._words_claimed_at == self._responses:
            return False
        self._words_claimed_at = self._responses
        return True

    async def answer_begun(self, timeout_s: float = ANSWER_S) -> bool:
        """Return once an answer to what the caller said last has begun; False when none did within
        ``timeout_s``. Cancel-safe."""
        return await self._until(lambda: self._answered, timeout_s)

    async def caught_up(self, tool_call_id: str, timeout_s: float = CATCH_UP_S) -> bool:
        """Return once everything was observed that happened before the tool call began; False when that took
        longer than ``timeout_s``. Cancel-safe.

        A tool runs beside whoever reads the events, and may be ahead of it.
        """
        return await self._until(lambda: tool_call_id in self._started, timeout_s)

    async def _until(self, holds: Callable[[], bool], timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                while not holds():
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            return False
        return True
