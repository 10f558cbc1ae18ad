"""A caller who follows a plan on a virtual leg: speaks, presses keys, interrupts, hangs up.

Speaking is a pair of timers; there is no audio.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import assert_never

from sipagent.errors import SimulatorError
from sipagent.simulator.call_values import Transfer
from sipagent.simulator.faults import FaultSet
from sipagent.simulator.virtual import VirtualLeg

DIGITS = frozenset("0123456789*#ABCD")
DIGIT_GAP_S = 0.1
SECONDS_PER_CHARACTER = 0.06
SHORTEST_LINE_S = 0.3
LONGEST_LINE_S = 6.0


# What a caller does


@dataclass(frozen=True, slots=True, kw_only=True)
class AfterAgent:
    """``pause_s`` after the agent has finished, tools and all."""

    pause_s: float = 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class At:
    """``since_answer_s`` after the call was answered, whatever the agent does."""

    since_answer_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DuringAgent:
    """``since_start_s`` after the agent began to speak: a caller who interrupts."""

    since_start_s: float


When = AfterAgent | At | DuringAgent


@dataclass(frozen=True, slots=True, kw_only=True)
class Say:
    """Speak a line; ``duration_s`` of None means as long as its text suggests."""

    text: str
    when: When = AfterAgent()
    duration_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Press:
    """Press keys, one after the other."""

    digits: str
    when: When = AfterAgent()


@dataclass(frozen=True, slots=True, kw_only=True)
class HangUp:
    """End the call."""

    when: When = AfterAgent()


Step = Say | Press | HangUp


@dataclass(frozen=True, slots=True, kw_only=True)
class CallPlan:
    """One virtual call to be placed."""

    caller: str = "+15550100123"
    dialled: str = "+15550100000"
    headers: tuple[tuple[str, str], ...] = ()
    """Headers of the pretended INVITE behind the usual ones; ``From`` and ``To`` replace those."""
    steps: tuple[Step, ...] | None = None
    """What the caller does; None takes the lines of the headers, or else of the script."""
    hangs_up: bool = True
    """Whether the caller hangs up after the last step; otherwise the agent must."""
    faults: FaultSet = field(default_factory=lambda: FaultSet.of())
    media_security: str = "rtp"
    patience_s: float = 10.0
    refer_status: int = 202
    """What a REFER is answered with."""
    transfer_status: int = 200
    """How the transferred call ends."""
    transfers: tuple[Transfer, ...] = ()
    """How the first REFERs fare, one after the other; the two above are for those beyond."""


def speaking_time_s(text: str) -> float:
    """How long a caller takes to say ``text``."""
    return min(max(len(text) * SECONDS_PER_CHARACTER, SHORTEST_LINE_S), LONGEST_LINE_S)


# The caller


class VirtualCaller:
    """Follows a plan of steps on a `VirtualLeg`; every wait ends, if need be by ``patience_s``."""

    def __init__(self, leg: VirtualLeg, steps: Sequence[Step], *, patience_s: float = 10.0) -> None:
        """A caller who has heard nothing for ``patience_s`` goes on with the next step all the same."""
        self._leg = leg
        self._steps = deque(steps)
        self._patience_s = patience_s
        self._answered_at_s = 0.0
        self._agent_speaks = False
        self._heard = False
        """The agent has finished a turn since our last step."""
        self._busy = False
        self._next: asyncio.TimerHandle | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._action: asyncio.TimerHandle | None = None
        leg.carry(self)

    # What the person at the other end may ask for at once

    def say(self, text: str, *, duration_s: float | None = None) -> None:
        """Speak now. Raises `SimulatorError` when not on the line, or in the middle of something."""
        self._require_free()
        self._perform(Say(text=text, duration_s=duration_s))

    def press(self, digits: str) -> None:
        """Press keys now. Raises `SimulatorError` like `say`, or for a key that no telephone has."""
        check_digits(digits)
        self._require_free()
        self._perform(Press(digits=digits))

    def hang_up(self) -> None:
        """End the call now, answered or not; does nothing when it is over."""
        self._leg.end()

    # What the leg reports

    def answered(self) -> None:
        """The call was answered."""
        self._answered_at_s = asyncio.get_running_loop().time()
        self._arm()

    def agent_started(self) -> None:
        """The agent began to speak."""
        self._agent_speaks = True
        self._arm()

    def agent_stopped(self) -> None:
        """The agent fell silent, by itself or because it was cut off; it may not have finished."""
        self._agent_speaks = False
        self._arm()

    def agent_finished(self) -> None:
        """The agent has said what it had to say, tools and all: it is our turn."""
        self._heard = not self._busy
        self._arm()

    def over(self) -> None:
        """The call is over; nothing is done any more."""
        self._steps.clear()
        for timer in (self._next, self._patience, self._action):
            if timer is not None:
                timer.cancel()

    # Inside

    def _require_free(self) -> None:
        if self._leg.phase != "answered":
            raise SimulatorError("the caller is not on the line: the call is not answered, or over")
        if self._busy:
            raise SimulatorError("the caller is still speaking or pressing keys")

    def _arm(self) -> None:
        """Decide when the next step is due, as things are now."""
        for timer in (self._next, self._patience):
            if timer is not None:
                timer.cancel()
        self._next = self._patience = None
        if self._busy or not self._steps or self._leg.phase != "answered":
            return
        loop = asyncio.get_running_loop()
        match self._steps[0].when:
            case At(since_answer_s=since_s):
                self._next = loop.call_at(self._answered_at_s + since_s, self._step)
                return
            case AfterAgent(pause_s=pause_s):
                if self._heard and not self._agent_speaks:
                    self._next = loop.call_later(pause_s, self._step)
            case DuringAgent(since_start_s=since_s):
                if self._agent_speaks:
                    self._next = loop.call_later(since_s, self._step)
            case never:
                assert_never(never)
        if not self._agent_speaks and self._next is None:
            self._patience = loop.call_later(self._patience_s, self._step)

    def _step(self) -> None:
        self._perform(self._steps.popleft())

    def _perform(self, step: Step) -> None:
        loop = asyncio.get_running_loop()
        match step:
            case Say(text=text):
                duration_s = speaking_time_s(text) if step.duration_s is None else step.duration_s
                self._busy, self._heard = True, False
                self._leg.speech_started()
                self._action = loop.call_later(duration_s, self._said, text, duration_s)
            case Press(digits=digits):
                self._busy, self._heard = True, False
                self._press_next(digits)
            case HangUp():
                self._leg.end()
            case never:
                assert_never(never)

    def _said(self, text: str, duration_s: float) -> None:
        self._busy = self._heard = False
        self._leg.speech_stopped(text, duration_s=duration_s)
        self._arm()

    def _press_next(self, digits: str) -> None:
        self._leg.press(digits[0])
        if self._leg.phase != "answered":
            return
        if len(digits) > 1:
            self._action = asyncio.get_running_loop().call_later(DIGIT_GAP_S, self._press_next, digits[1:])
        else:
            self._busy = False
            self._arm()


def check_digits(digits: str) -> None:
    """Raises `SimulatorError` unless ``digits`` is a non-empty row of ``0-9*#A-D``."""
    if not digits or not set(digits) <= DIGITS:
        raise SimulatorError(f"keys are 0-9, *, # and A-D, but {digits!r} was given")
