"""Notices conversations that lead nowhere: a stuck agent, a queue's music, two machines. Pure.

It sees lines and speech, nothing else, and would rather miss a loop than end a call of two people who talk.
So short lines never count as repeated, and speech without words counts only where transcription is known to
find none in it.
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sipagent.calls.endings import EndReason
from sipagent.calls.manners import LoopLimits
from sipagent.identifiers import ItemId
from sipagent.realtime.session_events import (
    RealtimeCallerSpeechStarted,
    RealtimeCallerSpeechStopped,
    RealtimeDtmfReceived,
    RealtimeSessionEvent,
    RealtimeTranscriptionUsage,
    RealtimeTranscriptLine,
    TranscriptRole,
)

SHORTEST_LINE = 12
"""Letters and digits of a line that can count as repeated."""
LINES = 12
"""How many lines of each side are remembered."""
LINES_OF_BOTH = 6
WORDLESS_TURNS = 3
"""So many turns of the caller must have been found to hold no word."""

_NOT_WORDS = re.compile(r"[\W_]+")
_ANNOTATION = re.compile(r"[\[(*♪♫].{0,60}[\])*♪♫]")
"""What transcription writes for sounds that are no words: ``[Music]``, ``(beeping)``, ``♪ ♪``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """Why a conversation leads nowhere."""

    reason: EndReason
    detail: str


class LoopWatch:
    """Looks at one conversation. ``now`` is in seconds, on any one clock."""

    def __init__(self, limits: LoopLimits, *, ours: Iterable[str] = ()) -> None:
        """``ours`` are words that the agent is made to say, and may say again and again."""
        self._limits = limits
        self._ours = frozenset(normalised(words) for words in ours)
        self._lines: Mapping[TranscriptRole, OrderedDict[ItemId, str]] = {
            "agent": OrderedDict(),
            "caller": OrderedDict(),
        }
        self._speech_since: float | None = None
        self._wordless_s = 0.0
        """How long the caller's line was heard since there was last a word."""
        self._turns_without: set[ItemId] = set()
        """Turns of the caller since then in which transcription found no word."""
        self._turns_with: OrderedDict[ItemId, None] = OrderedDict()

    def go_on(self, limits: LoopLimits, *, ours: Iterable[str]) -> None:
        """Another agent speaks: ``limits`` count from now on, and ``ours`` too are words of its own. What was
        heard so far still counts: two agents that send a caller to and fro are a loop as well."""
        self._limits = limits
        self._ours |= {normalised(words) for words in ours}

    def observe(self, event: RealtimeSessionEvent, now: float) -> None:
        """Take in one event of the session."""
        match event:
            case RealtimeCallerSpeechStarted():
                self._speech_since = now
            case RealtimeCallerSpeechStopped():
                if self._speech_since is not None:
                    self._wordless_s += now - self._speech_since
                self._speech_since = None
            case RealtimeDtmfReceived():
                self._forget_silence(now)
            case RealtimeTranscriptionUsage(item_id=item_id):
                if item_id not in self._turns_with:
                    self._turns_without.add(item_id)
            case RealtimeTranscriptLine(final=True):
                self._said(event, now)
            case _:
                pass

    def deadline(self) -> float:
        """When `due` has something to say, if nothing happens before; infinite when it never will."""
        if self._speech_since is None:
            return math.inf
        if len(self._turns_without) >= WORDLESS_TURNS:
            return self._speech_since + max(0.0, self._limits.wordless_s - self._wordless_s)
        # Nobody speaks for so long without a pause, so here transcription is not asked.
        return self._speech_since + self._limits.wordless_s

    def due(self, now: float) -> Loop | None:
        """What is found at ``now``. The same is found again until something else happens."""
        return self._repeated() or self._wordless(now)

    # Inside ----------------------------------------------------------------------------------------

    def _said(self, line: RealtimeTranscriptLine, now: float) -> None:
        words = normalised(line.text)
        if line.role == "caller":
            if not words or _ANNOTATION.fullmatch(line.text.strip()):
                self._turns_without.add(line.item_id)
                return
            self._turns_with[line.item_id] = None
            while len(self._turns_with) > LINES:
                self._turns_with.popitem(last=False)
            self._forget_silence(now)
        if words in self._ours:
            return
        lines = self._lines[line.role]
        lines[line.item_id] = words
        while len(lines) > LINES:
            lines.popitem(last=False)

    def _forget_silence(self, now: float) -> None:
        self._wordless_s = 0.0
        self._turns_without.clear()
        if self._speech_since is not None:
            self._speech_since = now

    def _repeated(self) -> Loop | None:
        limits = self._limits
        agent = _most(self._lines["agent"].values())
        caller = _most(self._lines["caller"].values())
        if agent >= limits.same_agent_lines:
            detail = f"The agent said the same {agent} times."
            return Loop(reason=EndReason.AGENT_LOOP, detail=detail)
        if caller >= limits.same_caller_lines:
            detail = f"The caller's line said the same {caller} times, as a recording does."
            return Loop(reason=EndReason.MACHINE_CALLER, detail=detail)
        recent = [list(lines.values())[-LINES_OF_BOTH:] for lines in self._lines.values()]
        if all(_most(lines) >= limits.same_lines_of_both for lines in recent):
            detail = "Both sides kept saying the same."
            return Loop(reason=EndReason.MACHINE_CALLER, detail=detail)
        return None

    def _wordless(self, now: float) -> Loop | None:
        if now < self.deadline():
            enough = (
                len(self._turns_without) >= WORDLESS_TURNS and self._wordless_s >= self._limits.wordless_s
            )
            if self._speech_since is not None or not enough:
                return None
        detail = f"The caller's line was heard for {self._limits.wordless_s:.0f} s without a word."
        return Loop(reason=EndReason.HOLD_MUSIC, detail=detail)


def normalised(text: str) -> str:
    """``text`` as far as it is words, so that two hearings of one line are the same."""
    return _NOT_WORDS.sub(" ", text.casefold()).strip()


def _most(lines: Iterable[str]) -> int:
    """How often the most frequent of the longer lines is among ``lines``."""
    counts: dict[str, int] = {}
    for line in lines:
        if len(line) >= SHORTEST_LINE:
            counts[line] = counts.get(line, 0) + 1
    return max(counts.values(), default=0)
