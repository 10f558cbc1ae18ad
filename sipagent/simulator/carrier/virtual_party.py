"""Somebody with a telephone and a plan, but without a telephone."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeAlias, assert_never

from sipagent.audio.g711 import FRAME_BYTES, PCMU_SILENCE
from sipagent.errors import SimulatorError
from sipagent.simulator.carrier.party import SILENT_FRAME, PartyListener
from sipagent.simulator.carrier.record import Tape
from sipagent.simulator.carrier.subscribers import Act, Sound
from sipagent.simulator.dtmf import check_digits
from sipagent.simulator.phone.changes import Changes, end_task
from sipagent.simulator.phone.ears import Ears
from sipagent.simulator.phone.settings import HangUp, Pause, Press, Say
from sipagent.simulator.rtp import Pacer
from sipagent.simulator.speech import VoiceLike

_KEY_GAP_S = 0.12
_Course: TypeAlias = Coroutine[Any, Any, None]


class VirtualParty:
    """Somebody without a telephone: frames of sound come and go every 20 ms, on the pacer's beat.

    The ``acts`` run by themselves from the answer on. `say`, `play`, `dial_keys`, `hang_up` and the waiting
    methods are for a test that plays the person; those that wait return False when the call ended first. All
    are safe to cancel.
    """

    def __init__(
        self,
        *,
        pacer: Pacer,
        voice: VoiceLike,
        acts: Sequence[Act] = (),
        answers_after_s: float | None = 0.0,
        refuses_with: int | None = None,
        turn_gap_ms: int = 800,
        patience_s: float = 20.0,
    ) -> None:
        """``answers_after_s``: None lets it ring for ever. ``refuses_with``: a SIP status instead of the
        answer. ``turn_gap_ms``: quiet after which the other side has finished."""
        self.tape = Tape()
        self.said = Tape()
        self.ears = Ears(turn_gap_ms=turn_gap_ms)
        self.digits_heard = ""
        self.failure: SimulatorError | None = None
        """What kept the plan from going on, if anything did."""
        self._pacer = pacer
        self._voice = voice
        self._acts = tuple(acts)
        self._answers_after_s = answers_after_s
        self._refuses_with = refuses_with
        self._patience_s = patience_s
        self._changes = Changes()
        self._line = _VirtualLine()
        self._life: asyncio.Task[None] | None = None

    # What they notice

    @property
    def is_answered(self) -> bool:
        """Whether audio has begun to flow, be it over by now."""
        return self._line.answered

    @property
    def is_over(self) -> bool:
        """Whether the call is over for them."""
        return self._line.over

    async def until(self, condition: Callable[[], bool]) -> bool:
        """Wait until ``condition`` holds or the call is over; whether it held."""
        await self._changes.until(lambda: condition() or self.is_over)
        return condition()

    async def hears_speech(self) -> bool:
        """Wait until the other side is in the middle of a turn."""
        return await self.until(lambda: self.ears.hears_speech)

    async def other_finished(self) -> bool:
        """Wait until the other side has said something since our last words, and has fallen silent."""
        return await self.until(lambda: self.ears.may_speak)

    # What they do

    async def say(self, text: str) -> bool:
        """Speak, and return when the last of it has gone out. Raises `SimulatorError` without a voice."""
        return await self.play(await self._voice.speak(text))

    async def play(self, ulaw: bytes) -> bool:
        """Play a sound into the telephone, and return when the last of it has gone out."""
        async with self._line.mouth:
            self._line.speech.extend(
                ulaw[start : start + FRAME_BYTES].ljust(FRAME_BYTES, bytes([PCMU_SILENCE]))
                for start in range(0, len(ulaw), FRAME_BYTES)
            )
            try:
                await self.until(lambda: not self._line.speech)
            finally:
                self._line.speech.clear()
            self.ears.answered()
        return not self.is_over

    async def dial_keys(self, digits: str) -> bool:
        """Press keys, one after the other. Raises `SimulatorError` for something that is no key."""
        for digit in check_digits(digits):
            if self.is_over:
                return False
            self.ears.answered()
            self._line.listener.party_digit(digit)
            await asyncio.sleep(_KEY_GAP_S)
        return not self.is_over

    def hang_up(self) -> None:
        """End the call, or give it up while it rings; idempotent."""
        self._end(200 if self.is_answered else 487)

    # Party

    def listen(self, listener: PartyListener) -> None:
        """As in `Party`."""
        self._line.listener = listener

    def call(self) -> None:
        """As in `Party`."""
        self._start(self._be_called())

    def accept(self) -> None:
        """As in `Party`."""
        if not self._line.answered and not self._line.over:
            self._pick_up()
            self._start(self._act())

    def hear(self, ulaw: bytes) -> None:
        """As in `Party`."""
        if self._line.over:
            return
        self._line.heard = True
        self.tape.record(ulaw, asyncio.get_running_loop().time())
        self._listen(ulaw)

    def press(self, digits: str) -> None:
        """As in `Party`."""
        self.digits_heard += digits
        self._changes.announce()

    def report_refer(self, sip_status: int) -> None:
        """As in `Party`; a virtual party never asks."""

    def release(self, sip_status: int = 200) -> None:
        """As in `Party`."""
        self._line.over = True
        self._pacer.remove(self._beat)
        self._changes.announce()

    async def aclose(self) -> None:
        """As in `Party`."""
        self.release()
        await end_task(self._life)

    # Inside

    def _start(self, course: _Course) -> None:
        assert self._life is None, "a party has one call"
        self._life = asyncio.create_task(self._live(course), name="virtual party")

    async def _live(self, course: _Course) -> None:
        try:
            await course
        except SimulatorError as error:
            self.failure = error
            self.hang_up()

    async def _be_called(self) -> None:
        self._line.listener.party_ringing()
        if self._answers_after_s is None:
            await self.until(lambda: False)
            return
        await asyncio.sleep(self._answers_after_s)
        if self.is_over:
            return
        if self._refuses_with is not None:
            self._end(self._refuses_with)
            return
        self._pick_up()
        self._line.listener.party_answered()
        await self._act()

    def _pick_up(self) -> None:
        self._line.answered = True
        self._pacer.add(self._beat)
        self._changes.announce()

    async def _act(self) -> None:
        for act in self._acts:
            if self.is_over:
                return
            match act:
                case Say(text=text, waits=waits):
                    await self._wait_for_turn(waits)
                    await self.say(text)
                case Sound(ulaw=ulaw, waits=waits):
                    await self._wait_for_turn(waits)
                    await self.play(ulaw)
                case Press(digits=digits, waits=waits):
                    await self._wait_for_turn(waits)
                    await self.dial_keys(digits)
                case HangUp(waits=waits):
                    await self._wait_for_turn(waits)
                    self.hang_up()
                case Pause(seconds=seconds):
                    await asyncio.sleep(seconds)
                case _:
                    assert_never(act)

    async def _wait_for_turn(self, waits: bool) -> None:
        if not waits:
            return
        try:
            async with asyncio.timeout(self._patience_s):
                await self.other_finished()
        except TimeoutError:
            return  # people speak up when a line stays silent

    def _listen(self, ulaw: bytes) -> None:
        if self.ears.hear(ulaw):
            self._changes.announce()

    def _beat(self) -> None:
        if not self._line.heard:
            # A line on which nothing comes is quiet, and quiet ends a turn.
            self._listen(SILENT_FRAME)
        self._line.heard = False
        speech = self._line.speech
        frame = speech.popleft() if speech else SILENT_FRAME
        self.said.record(frame, asyncio.get_running_loop().time())
        self._line.listener.party_audio(frame)
        if frame is not SILENT_FRAME and not speech:
            self._changes.announce()

    def _end(self, sip_status: int) -> None:
        if not self._line.over:
            self.release()
            self._line.listener.party_gone(sip_status)


class _VirtualLine:
    """Where the call of a virtual party stands."""

    __slots__ = ("answered", "heard", "listener", "mouth", "over", "speech")

    def __init__(self) -> None:
        self.answered = False
        self.over = False
        self.heard = False
        """Whether something came since the last beat."""
        self.speech: deque[bytes] = deque()
        self.mouth = asyncio.Lock()
        self.listener: PartyListener
