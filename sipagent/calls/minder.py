"""Decides what a conversation needs beside being led: a question into the silence, a wrap-up, a goodbye, an
end. Pure: events and time come in, acts come out.

::

    talking ──── a reason to end it with words ────► finishing ── nobody speaks, or waited long ──► goodbye
       ▲  │                                                                                           │
       │  └── a reason that leaves nobody to talk to ──────────────────────────────► over ◄── heard ──┘
       └───────────── the silent caller speaks ─────────────────────────────────────────────────── ┘

A call ends for the first reason that was found. A goodbye is heard to its end; only a bound of its own, for
a server that never tells of that end, is stronger. `CallMinder.due` is asked whenever its deadline has come;
each act is to be carried out, and how things stand then is reported by `CallMinder.settle`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import assert_never

from sipagent.calls.acts import Act, EndCall, Note, SayGoodbye, SayWords, TellAgent
from sipagent.calls.endings import EndReason
from sipagent.calls.floor import Floor
from sipagent.calls.idle import IdleLadder
from sipagent.calls.loops import LoopWatch
from sipagent.calls.manners import IdleStep, Manners
from sipagent.calls.template import Template
from sipagent.calls.watch import CallLimits, CallWatch
from sipagent.calls.wrapping_up import TimeLeft
from sipagent.realtime.session_events import (
    RealtimeAudio,
    RealtimeCallerSpeechStarted,
    RealtimeDtmfReceived,
    RealtimeResponseEnded,
    RealtimeSessionEvent,
    RealtimeTranscriptDelta,
)

GOODBYE_TRIES = 2
"""A goodbye whose response failed, or that the caller talked down, is tried so often in all."""
GOODBYE_S_PER_CHARACTER = 0.1
"""Slow speech: long words have more time to be heard."""
LADDER_MARGIN_S = 30.0
"""A silence that the idle ladder minds is left to the limits only so long after the ladder's own time."""
WRAP_UP = (
    "About {left_s} seconds are left of this telephone call. Tell the caller so now, in the language that "
    "you speak with them, bring what matters most to an end, and say goodbye."
)
_DETAILS: dict[EndReason, str] = {
    EndReason.MODEL_SILENT: "The model owed a response and nothing arrived.",
    EndReason.MODEL_FAILED: "The model's responses failed, and no other was asked for.",
    EndReason.MODEL_RATE_LIMITED: "The model's responses failed: the project's limits were used up.",
    EndReason.MAXIMUM_DURATION: "The call reached the longest time we allow.",
    EndReason.SESSION_LIMIT: "The API would have closed the session soon.",
    EndReason.CALLER_SILENT: "Nobody spoke for the longest time we allow.",
    EndReason.CALLER_UNRESPONSIVE: "The caller did not answer when the agent asked whether they were there.",
}


class _Phase(StrEnum):
    TALKING = "talking"
    FINISHING = "finishing"
    """It is decided that the call ends; whoever speaks may finish."""
    GOODBYE = "goodbye"
    OVER = "over"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Closing:
    """Why a call ends that ends with words."""

    reason: EndReason
    detail: str
    words: Template | None
    note: Note | None
    revocable: bool
    """A caller who speaks takes it back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """How far a conversation had come when another process went on with it."""

    elapsed_s: float
    idle_steps: int
    wrapped_up: bool


class CallMinder:
    """Minds one conversation. ``now`` is in seconds, on one clock throughout."""

    def __init__(
        self,
        manners: Manners,
        limits: CallLimits,
        *,
        now: float,
        finish_s: float,
        write: Callable[[Template], str],
        resumed: Resumed | None = None,
    ) -> None:
        """``finish_s`` bounds each wait for words to be heard to their end; ``write`` puts what is known of
        the call into words that are said. ``resumed`` is how far another process had come."""
        self._manners = manners
        self._limits = limits
        self._finish_s = finish_s
        self._write = write
        longest = manners.maximum_duration_s
        wrap_up = manners.wrap_up
        self._time = TimeLeft(
            began=now if resumed is None else now - resumed.elapsed_s,
            maximum_s=limits.maximum_duration_s
            if longest is None
            else min(longest, limits.maximum_duration_s),
            wrap_up_before_s=None if wrap_up is None else wrap_up.before_s,
        )
        self._watch = CallWatch(_for_silence(limits, manners.idle), now)
        self._idle = IdleLadder(manners.idle, taken=0 if resumed is None else resumed.idle_steps)
        if resumed is not None and resumed.wrapped_up:
            self._time.wrapped_up = True
        self._loops = None if manners.loops is None else LoopWatch(manners.loops, ours=self._own_words())
        self._floor = Floor()
        self._phase = _Phase.TALKING
        self._closing: _Closing | None = None
        self._phase_ends_at = math.inf
        """When a wait for words gives up, while the call is being ended."""
        self._tries = 0
        self._goodbye_broken = self._goodbye_said = False

    @property
    def saying_goodbye(self) -> EndReason | None:
        """Why the call ends, once its goodbye was asked for; None before that."""
        return self._closing.reason if self._phase is _Phase.GOODBYE and self._closing is not None else None

    @property
    def ending(self) -> bool:
        """Whether it is decided that the call ends."""
        return self._phase is not _Phase.TALKING

    @property
    def closing(self) -> tuple[EndReason, str] | None:
        """Why the call is being ended, in a sentence too; None while it is not."""
        return None if self._closing is None else (self._closing.reason, self._closing.detail)

    @property
    def idle_steps(self) -> int:
        """How many steps of the ladder were taken since the caller was last there."""
        return self._idle.taken

    @property
    def wrapped_up(self) -> bool:
        """Whether the caller was told that little time is left."""
        return self._time.wrapped_up

    def session_ends(self, at: float) -> None:
        """The API closes the session at ``at``."""
        self._time.session_ends(at)

    def led_by(self, manners: Manners) -> None:
        """An agent with ``manners`` leads from now on. How long the call may last stays as it was, and so
        does what is decided: a goodbye that was asked for is said as it stands."""
        self._manners = manners
        self._time.wrap_up(None if manners.wrap_up is None else manners.wrap_up.before_s)
        self._watch.allow(_for_silence(self._limits, manners.idle))
        self._idle.climb(manners.idle)
        if manners.loops is None:
            self._loops = None
        elif self._loops is None:
            self._loops = LoopWatch(manners.loops, ours=self._own_words())
        else:
            self._loops.go_on(manners.loops, ours=self._own_words())

    def stop(self, reason: EndReason, detail: str, *, now: float, note: Note | None = None) -> None:
        """The call is to end for ``reason``, politely. Nothing happens when it ends already."""
        words = self._manners.goodbye
        if reason is EndReason.SPEND_LIMIT and self._manners.spend_say is not None:
            words = self._manners.spend_say
        self._close(_Closing(reason=reason, detail=detail, words=words, note=note, revocable=False), now)

    def abort(self, reason: EndReason, detail: str) -> None:
        """The call is to end without another word: for ``reason``, unless it is being ended for another."""
        if self._phase is _Phase.OVER:
            return
        if self._closing is None or self._closing.revocable:
            self._closing = _Closing(reason=reason, detail=detail, words=None, note=None, revocable=False)
        self._phase = _Phase.GOODBYE
        self._phase_ends_at = -math.inf

    def observe(self, event: RealtimeSessionEvent, now: float, *, quiet: bool) -> None:
        """Take in one event. ``quiet``: the agent is not heard, and no response runs, waits or was asked
        for."""
        self._watch.observe(event, now)
        if isinstance(event, RealtimeTranscriptDelta | RealtimeAudio):
            return  # nearly all events are such, and say no more than that the socket lives
        self._idle.observe(event, now)
        self._floor.observe(event)
        if self._phase is _Phase.TALKING and self._loops is not None:
            self._loops.observe(event, now)
            if (loop := self._loops.due(now)) is not None:
                self._found_loop(loop.reason, loop.detail, now)
        if self._phase is not _Phase.OVER and self._closing is not None and self._closing.revocable:
            match event:
                case RealtimeCallerSpeechStarted() | RealtimeDtmfReceived():
                    self._take_back()
                case _:
                    pass
        if self._phase is _Phase.GOODBYE and isinstance(event, RealtimeResponseEnded):
            self._goodbye_broken = event.status in ("failed", "cancelled")
            self._goodbye_said = self._goodbye_said or event.status == "completed"
        self.settle(now, quiet=quiet)

    def settle(self, now: float, *, quiet: bool) -> None:
        """How things stand after an act was carried out, or when nothing happened."""
        self._floor.quiet = quiet
        self._idle.count(now, silent=self._floor.silent)

    def deadline(self) -> float:
        """When `due` has something to do, if nothing happens before."""
        match self._phase:
            case _Phase.TALKING:
                moments = [self._watch.deadline(), self._idle.deadline()]
                moments.append(self._time.deadline(free=self._floor.silent))
                if self._loops is not None:
                    moments.append(self._loops.deadline())
                return min(moments)
            case _Phase.FINISHING if self._floor.silent:
                return -math.inf
            case _Phase.FINISHING:
                # Whoever is on the way to somebody else is not held back; transfers have their own bound.
                return math.inf if self._floor.transferring else self._phase_ends_at
            case _Phase.GOODBYE:
                return -math.inf if self._floor.quiet_line else self._phase_ends_at
            case _Phase.OVER:
                return math.inf
            case never:
                assert_never(never)

    def due(self, now: float) -> Act | None:
        """What is to be done at ``now``; ask again until None."""
        if now < self.deadline():
            return None
        match self._phase:
            case _Phase.TALKING:
                return self._due_while_talking(now)
            case _Phase.FINISHING:
                return self._say_goodbye(now)
            case _Phase.GOODBYE:
                if now < self._phase_ends_at and self._goodbye_broken and self._tries < GOODBYE_TRIES:
                    return self._say_goodbye(now)
                return self._end()
            case _Phase.OVER:
                return None
            case never:
                assert_never(never)

    # While they talk -------------------------------------------------------------------------------

    def _due_while_talking(self, now: float) -> Act | None:
        if (reason := self._watch.due(now)) is not None:
            self._phase = _Phase.OVER
            return EndCall(reason=reason, detail=_DETAILS[reason])
        if self._loops is not None and (loop := self._loops.due(now)) is not None:
            self._found_loop(loop.reason, loop.detail, now)
            return self.due(now)
        match self._time.due(now, free=self._floor.silent):
            case "over":
                return self._time_is_over(now)
            case "wrap_up":
                return self._wrap_up(now)
            case None:
                pass
        step = self._idle.due(now)
        return None if step is None else self._climb(step, now)

    def _time_is_over(self, now: float) -> Act | None:
        reason = self._time.reason
        if self._manners.wrap_up is None:
            self._phase = _Phase.OVER
            return EndCall(reason=reason, detail=_DETAILS[reason])
        note = Note(kind="wrap_up", data={"over": reason.value})
        words = self._manners.goodbye
        self._close(
            _Closing(reason=reason, detail=_DETAILS[reason], words=words, note=note, revocable=False), now
        )
        return self.due(now)

    def _wrap_up(self, now: float) -> Act:
        left_s = round(self._time.left_s(now))
        wrap_up = self._manners.wrap_up
        assert wrap_up is not None, "there is no such signal without it"
        note = Note(kind="wrap_up", data={"left_s": left_s, "reason": self._time.reason.value})
        if wrap_up.say is not None:
            return SayWords(words=self._write(wrap_up.say), note=note)
        return TellAgent(text=WRAP_UP.format(left_s=left_s), note=note)

    def _climb(self, step: IdleStep, now: float) -> Act | None:
        note = Note(kind="idle_step", data={"step": self._idle.taken, "hangs_up": step.hang_up is not None})
        if step.say is not None:
            return SayWords(words=self._write(step.say), note=note)
        reason = EndReason.CALLER_UNRESPONSIVE
        self._close(
            _Closing(reason=reason, detail=_DETAILS[reason], words=step.hang_up, note=note, revocable=True),
            now,
        )
        return self.due(now)

    def _found_loop(self, reason: EndReason, detail: str, now: float) -> None:
        note = Note(kind="loop_detected", data={"reason": reason.value, "detail": detail})
        self.stop(reason, detail, now=now, note=note)

    # The end ---------------------------------------------------------------------------------------

    def _close(self, closing: _Closing, now: float) -> None:
        if self._phase is not _Phase.TALKING:
            return
        self._closing = closing
        self._phase = _Phase.FINISHING
        self._phase_ends_at = now + self._finish_s
        self._tries = 0

    def _take_back(self) -> None:
        self._closing = None
        self._phase = _Phase.TALKING
        self._phase_ends_at = math.inf
        self._goodbye_said = False

    def _say_goodbye(self, now: float) -> Act:
        closing = self._closing
        assert closing is not None, "it was decided that the call ends"
        words = None if closing.words is None else self._write(closing.words)
        note = closing.note if self._tries == 0 else None
        self._phase = _Phase.GOODBYE
        self._phase_ends_at = now + self._finish_s + GOODBYE_S_PER_CHARACTER * len(words or "")
        self._tries += 1
        self._goodbye_broken = False
        self._floor.quiet = False  # until it is known to be quiet again
        return SayGoodbye(words=words, interruptible=closing.revocable, note=note)

    def _end(self) -> Act:
        closing = self._closing
        assert closing is not None, "it was decided that the call ends"
        self._phase = _Phase.OVER
        return EndCall(reason=closing.reason, detail=closing.detail, goodbye=self._goodbye_said)

    def _own_words(self) -> list[str]:
        wrap_up = self._manners.wrap_up
        given = [step.say or step.hang_up for step in self._manners.idle]
        given += [None if wrap_up is None else wrap_up.say, self._manners.goodbye]
        return [self._write(words) for words in given if words is not None]


def _for_silence(limits: CallLimits, steps: tuple[IdleStep, ...]) -> CallLimits:
    """``limits`` without the longest duration, which is minded here, and no shorter than the ladder."""
    longest_s = max((step.after_s for step in steps), default=0.0)
    silence_s = max(limits.caller_silence_s, longest_s + LADDER_MARGIN_S if steps else 0.0)
    return replace(limits, maximum_duration_s=math.inf, caller_silence_s=silence_s)
