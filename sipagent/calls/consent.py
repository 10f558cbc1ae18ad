"""Whether a caller has heard that the call is recorded. Pure.

Words that a model was asked to say are not words that were said: it may leave some out, and the caller may
speak over them. So both are waited for, the transcript of what was said and its being heard to the end.
"""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from enum import StrEnum

from sipagent.realtime.session_events import (
    RealtimeAgentSpeechCleared,
    RealtimeAgentSpeechStopped,
    RealtimeSessionEvent,
    RealtimeTranscriptLine,
)

ALIKE = 0.9
"""How much of the sentence must have been said, word by word: transcripts differ in little things."""
_WORD = re.compile(r"\w+")


class Heard(StrEnum):
    """What became of the sentence."""

    IN_FULL = "in_full"
    CUT_OFF = "cut_off"
    """The caller, or somebody else, broke it off."""
    NOT_SAID = "not_said"
    """The agent said something else."""


class ConsentWatch:
    """Follows the first words of one conversation until it is known whether ``sentence`` was heard."""

    def __init__(self, sentence: str) -> None:
        self._wanted = _words(sentence)
        self._said: bool | None = None
        self._ended: Heard | None = None
        self._told = False

    def observe(self, event: RealtimeSessionEvent) -> Heard | None:
        """Take in one event; the outcome as soon as it is known, once."""
        if self._told:
            return None
        match event:
            case RealtimeTranscriptLine(role="agent") if self._said is None:
                self._said = _is_in(self._wanted, _words(event.text))
            case RealtimeAgentSpeechStopped() if self._ended is None:
                self._ended = Heard.IN_FULL
            case RealtimeAgentSpeechCleared() if self._ended is None:
                self._ended = Heard.CUT_OFF
            case _:
                return None
        if self._said is None or self._ended is None:
            return None
        self._told = True
        if self._ended is Heard.CUT_OFF:
            return Heard.CUT_OFF
        return Heard.IN_FULL if self._said else Heard.NOT_SAID


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _is_in(wanted: list[str], said: list[str]) -> bool:
    """Whether ``wanted`` was said, in one piece and nearly word for word."""
    matcher = SequenceMatcher(None, wanted, said, autojunk=False)
    found = sum(block.size for block in matcher.get_matching_blocks())
    return bool(wanted) and found >= ALIKE * len(wanted)
