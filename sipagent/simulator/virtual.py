"""A call without a network: what would be SIP and RTP is only counted.

Nothing here works per frame. Playing is a moment at which the queue will have run empty; so hundreds of
calls fit on one core.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from sipagent.simulator.call_values import Transfer
from sipagent.simulator.leg import LegEnd, LegListener, LegStatistics

BYTES_PER_SECOND = 8_000
FRAME_S = 0.020

Phase = Literal["offered", "answered", "over"]


class CallerEars(Protocol):
    """What a caller on a `VirtualLeg` notices (`sipagent.simulator.caller`; here it breaks a cycle)."""

    def answered(self) -> None:
        """The call was answered."""

    def agent_started(self) -> None:
        """The agent began to speak."""

    def agent_stopped(self) -> None:
        """The agent fell silent, by itself or because it was cut off."""

    def over(self) -> None:
        """The call is over."""


class VirtualLeg:
    """A `CallLeg` without SIP and RTP: the time that playing takes passes, the audio goes nowhere."""

    def __init__(
        self,
        *,
        headers: Sequence[tuple[str, str]],
        media_security: str = "rtp",
        refer_status: int = 202,
        transfer_status: int = 200,
        transfers: Sequence[Transfer] = (),
    ) -> None:
        """``headers`` stand for the INVITE's. The n-th REFER fares as the n-th of ``transfers``; one beyond
        them is answered ``refer_status``, and when that is 2xx, the transferred call then ends with
        ``transfer_status``."""
        self.sip_headers = tuple(headers)
        self.media_security = media_security
        self.phase: Phase = "offered"
        self.final_status: int | None = None
        """The SIP status the call was answered with."""
        self.referrals: list[str] = []
        """Where REFERs sent the caller, in order."""
        self._transfers = deque(transfers)
        self._usual_transfer = Transfer(refer_status=refer_status, transfer_status=transfer_status)
        self._listener: LegListener | None = None
        self._caller: CallerEars | None = None
        self._playback = _Playback(self._playback_began, self._playback_ran_empty)
        self._timers: set[asyncio.TimerHandle] = set()
        self._stalled = False
        self._digits: list[str] = []
        self._spoken_s = 0.0

    @property
    def referred_to(self) -> str | None:
        """Where the last REFER sent the caller."""
        return self.referrals[-1] if self.referrals else None

    # CallLeg

    def listen(self, listener: LegListener) -> None:
        """See `CallLeg.listen`."""
        self._listener = listener

    def ring(self) -> None:
        """See `CallLeg.ring`; a virtual caller does not hear it."""

    def answer(self) -> None:
        """See `CallLeg.answer`. What was queued before starts to play now."""
        if self.phase != "offered":
            return
        self.phase, self.final_status = "answered", 200
        self._playback.open()
        if self._caller is not None:
            self._caller.answered()

    def reject(self, status: int) -> None:
        """See `CallLeg.reject`."""
        if self.phase == "offered":
            self.final_status = status
            self._over()

    def hang_up(self) -> None:
        """See `CallLeg.hang_up`."""
        if self.phase == "answered":
            self._over()

    async def refer(self, target_uri: str) -> int:
        """See `CallLeg.refer`; answers at once and reports progress a little later."""
        self.referrals.append(target_uri)
        transfer = self._transfers.popleft() if self._transfers else self._usual_transfer
        if transfer.refer_status < 300:
            self._later(min(0.02, transfer.after_s), self._report_progress, 100)
            self._later(transfer.after_s, self._report_progress, transfer.transfer_status)
        return transfer.refer_status

    def play(self, ulaw: bytes) -> None:
        """See `CallLeg.play`."""
        if self.phase != "over":
            self._playback.add(len(ulaw) / BYTES_PER_SECOND)

    def finish_playing(self) -> None:
        """See `CallLeg.finish_playing`."""
        self._playback.finish()

    def clear_playback(self) -> float:
        """See `CallLeg.clear_playback`."""
        was_playing = self._playback.playing
        sent_s = self._playback.clear()
        if was_playing and self._caller is not None:
            self._caller.agent_stopped()
        return sent_s * 1000

    def set_send_faults(self, *, stalled: bool) -> None:
        """See `CallLeg.set_send_faults`; a stalled caller does not notice that the agent speaks."""
        self._stalled = stalled

    def statistics(self) -> LegStatistics:
        """What would have been on the wire; nothing is ever lost here."""
        return LegStatistics(
            frames_sent=round(self._playback.sent_s() / FRAME_S),
            frames_received=round(self._spoken_s / FRAME_S),
            frames_lost=0,
            jitter_ms=0.0,
            digits="".join(self._digits),
        )

    # The caller's side

    def carry(self, caller: CallerEars) -> None:
        """Let ``caller`` hear what happens. Once, before the call is offered."""
        self._caller = caller

    def speech_started(self) -> None:
        """The caller begins to speak."""
        if self.phase == "answered" and self._listener is not None:
            self._listener.caller_speech_started()

    def speech_stopped(self, transcript: str, *, duration_s: float) -> None:
        """The caller has said ``transcript``, which took ``duration_s``."""
        if self.phase == "answered" and self._listener is not None:
            self._spoken_s += duration_s
            self._listener.caller_speech_stopped(transcript)

    def press(self, digit: str) -> None:
        """The caller presses one key."""
        if self.phase == "answered" and self._listener is not None:
            self._digits.append(digit)
            self._listener.caller_digit(digit)

    def end(self) -> None:
        """The caller hangs up, or gives up before the answer."""
        if self.phase == "over":
            return
        end = LegEnd.CANCELLED if self.phase == "offered" else LegEnd.HUNG_UP
        self._over()
        if self._listener is not None:
            self._listener.caller_ended(end)

    # Inside

    def _playback_began(self) -> None:
        if self._listener is not None:
            self._listener.playback_started()
        if self._caller is not None and not self._stalled:
            self._caller.agent_started()

    def _playback_ran_empty(self) -> None:
        if self._caller is not None and not self._stalled:
            self._caller.agent_stopped()
        if self._listener is not None:
            self._listener.playback_stopped()

    def _report_progress(self, status: int) -> None:
        if self.phase == "answered" and self._listener is not None:
            self._listener.refer_progress(status)

    def _later(self, delay_s: float, callback: Callable[[int], None], status: int) -> None:
        def fire() -> None:
            self._timers.discard(timer)
            callback(status)

        timer = asyncio.get_running_loop().call_later(delay_s, fire)
        self._timers.add(timer)

    def _over(self) -> None:
        self.phase = "over"
        self._playback.clear()
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        if self._caller is not None:
            self._caller.over()


class _Playback:
    """When queued audio begins and ends, computed, not counted. Times are on the loop's clock.

    A *burst* lasts from the first queued byte until the queue ran empty after `finish`, or until `clear`.
    Before `open` nothing plays; what is queued then waits.
    """

    def __init__(self, began: Callable[[], None], ran_empty: Callable[[], None]) -> None:
        self._began = began
        self._ran_empty = ran_empty
        self._opened = False
        self._queued_s = 0.0
        """Length of the present burst, played or not."""
        self._ends_at_s = 0.0
        self._finishing = False
        self._start: asyncio.Handle | None = None
        self._stop: asyncio.TimerHandle | None = None
        self._sent_before_s = 0.0

    @property
    def playing(self) -> bool:
        """Whether a burst is under way (a gap between two pieces of it included)."""
        return self._opened and self._queued_s > 0

    def open(self) -> None:
        """Start the clock."""
        self._opened = True
        if self._queued_s:
            self._begin(self._queued_s)

    def add(self, length_s: float) -> None:
        """Queue ``length_s`` behind what is there."""
        if length_s <= 0:
            return
        first = self._queued_s == 0
        self._queued_s += length_s
        if not self._opened:
            return
        if first:
            self._begin(length_s)
            return
        now_s = asyncio.get_running_loop().time()
        self._ends_at_s = max(self._ends_at_s, now_s) + length_s
        self._finishing = False
        self._cancel_stop()

    def finish(self) -> None:
        """Report the end of the burst once all of it was played."""
        if self._queued_s == 0:
            return
        self._finishing = True
        if self._opened:
            self._cancel_stop()
            self._stop = asyncio.get_running_loop().call_at(self._ends_at_s, self._finished)

    def clear(self) -> float:
        """Drop the burst; how many seconds of it were played."""
        sent_s = self._burst_sent_s()
        self._sent_before_s += sent_s
        self._reset()
        return sent_s

    def sent_s(self) -> float:
        """Seconds played since the beginning, in all bursts."""
        return self._sent_before_s + self._burst_sent_s()

    def _burst_sent_s(self) -> float:
        if not self.playing:
            return 0.0
        remaining_s = self._ends_at_s - asyncio.get_running_loop().time()
        return self._queued_s - min(max(remaining_s, 0.0), self._queued_s)

    def _begin(self, length_s: float) -> None:
        loop = asyncio.get_running_loop()
        self._ends_at_s = loop.time() + length_s
        # Not called here and now: whoever queues audio is still in the middle of its own work.
        self._start = loop.call_soon(self._began)
        if self._finishing:
            self.finish()

    def _finished(self) -> None:
        self._sent_before_s += self._queued_s
        self._reset()
        self._ran_empty()

    def _reset(self) -> None:
        self._queued_s = 0.0
        self._finishing = False
        self._cancel_stop()
        if self._start is not None:
            self._start.cancel()
            self._start = None

    def _cancel_stop(self) -> None:
        if self._stop is not None:
            self._stop.cancel()
            self._stop = None
