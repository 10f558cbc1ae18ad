"""Keeps the greeting when the caller speaks first. Pure.

A caller's "Hello?" cuts off a greeting that had hardly begun, and the server has the agent answer the
"Hello?". The agent is told then to begin that answer with the greeting, so that the caller still hears whom
they have reached, once and in one breath.
"""

from __future__ import annotations

import json

from sipagent.realtime.session_events import (
    RealtimeAgentSpeechCleared,
    RealtimeAgentSpeechStarted,
    RealtimeAgentSpeechStopped,
    RealtimeResponseEnded,
    RealtimeSessionEvent,
)

HEARD_AFTER_S = 1.5
"""A greeting cut off later has said whose telephone it is."""


class GreetingKeeper:
    """Follows the greeting of one conversation. ``now`` is in seconds, on any one clock."""

    def __init__(self, words: str | None) -> None:
        """``words`` are the greeting; None keeps nothing."""
        self._words = words
        self._playing_since: float | None = None

    def observe(self, event: RealtimeSessionEvent, now: float) -> str | None:
        """Take in one event; what the agent must be told because of it, at most once."""
        if self._words is None:
            return None
        match event:
            case RealtimeAgentSpeechStarted():
                self._playing_since = now
            case RealtimeAgentSpeechStopped():
                self._words = None
            case RealtimeAgentSpeechCleared() | RealtimeResponseEnded(status="cancelled"):
                words, self._words = self._words, None
                if self._playing_since is None or now < self._playing_since + HEARD_AFTER_S:
                    quoted = json.dumps(words, ensure_ascii=False)
                    return (
                        "The caller began to speak before your greeting was heard. Begin your next answer "
                        f"with these words, and then answer the caller: {quoted}"
                    )
            case _:
                pass
        return None
