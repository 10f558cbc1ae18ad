"""Whether a caller has heard that the call is recorded. Pure.

Words that a model was asked to say are not words that were said: it may leave some out, and the caller may
speak over them. So both are waited for, the transcript of what was said and its being heard to the end.
"""

from __future__ import annotations

import re
import unicodedata
from enum import StrEnum

from sipagent.identifiers import ResponseId
from sipagent.realtime.session_events import (
    RealtimeAgentSpeechCleared,
    RealtimeAgentSpeechStopped,
    RealtimeResponseStarted,
    RealtimeSessionEvent,
    RealtimeTranscriptLine,
)

WORDS_FOR_A_DIFFERENCE = 10
"""One word of so many may be missing, another one, or one too many: transcripts differ in little things. In a
short sentence none may: "not" is no little thing."""
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""Scripts that put no space between words: there, each character counts as one."""
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")


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
        self.sentence = sentence
        self._wanted = _words(sentence)
        self._said: bool | None = None
        self._ended: Heard | None = None
        self._response: ResponseId | None = None
        """The one that is to say it: another one comes where nothing was said in the first."""
        self._told = False

    def observe(self, event: RealtimeSessionEvent) -> Heard | None:
        """Take in one event; the outcome as soon as it is known, once."""
        if self._told:
            return None
        match event:
            case RealtimeResponseStarted() if self._said is None:
                self._response, self._ended = event.response_id, None
            case RealtimeTranscriptLine(role="agent") if self._said is None:
                self._said = _is_in(self._wanted, _words(event.text))
            case RealtimeAgentSpeechStopped() if self._is_end(event.response_id):
                self._ended = Heard.IN_FULL
            case RealtimeAgentSpeechCleared() if self._is_end(event.response_id):
                self._ended = Heard.CUT_OFF
            case _:
                return None
        if self._said is None or self._ended is None:
            return None
        self._told = True
        if self._ended is Heard.CUT_OFF:
            return Heard.CUT_OFF
        return Heard.IN_FULL if self._said else Heard.NOT_SAID

    def _is_end(self, response_id: ResponseId) -> bool:
        return self._ended is None and self._response in (None, response_id)


def _words(text: str) -> list[str]:
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def _is_in(wanted: list[str], said: list[str]) -> bool:
    """Whether ``wanted`` was said, in one piece and nearly word for word."""
    return bool(wanted) and _differences(wanted, said) * WORDS_FOR_A_DIFFERENCE <= len(wanted)


def _differences(wanted: list[str], said: list[str]) -> int:
    """How many words are missing, too many, or others, in what of ``said`` is most like ``wanted``."""
    least = [0] * (len(said) + 1)
    for row, word in enumerate(wanted, start=1):
        before, least[0] = least[0], row
        for column, other in enumerate(said, start=1):
            change = before + (word != other)
            before = least[column]
            least[column] = min(change, before + 1, least[column - 1] + 1)
    return min(least)
