"""The four SIP transactions as state machines that know no network and no clock (RFC 3261 section 17).

Each machine takes what happened and the time, and returns what to do: `Transmit` a message, hand a
`Received` answer to the user, or tell it what `Happened`. When ``deadline`` is not None, call ``expire``
once that moment has passed. A machine whose ``over`` is True can be forgotten.

Where RFC 3261 and RFC 6026 differ, RFC 6026 is followed: a transaction answered 2xx lives on, so that a
retransmitted INVITE is not taken for a new call. The 2xx itself is repeated here, although the RFC leaves
that to the transaction's user: one place then owns every timer of an INVITE.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import TypeAlias

from sipagent.simulator.sip.matching import ack_of_refusal
from sipagent.simulator.sip.message import Request, Response, SipMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class Timers:
    """Base values of all timers, in seconds (RFC 3261 table 4)."""

    t1_s: float = 0.5
    """Estimated round trip; the first retransmission comes after it."""
    t2_s: float = 4.0
    """Longest interval between retransmissions."""
    t4_s: float = 5.0
    """How long a message stays in the network."""

    @property
    def give_up_s(self) -> float:
        """64 times T1: when a transaction stops hoping (timers B, F, H, J, L, M)."""
        return 64 * self.t1_s


class Outcome(StrEnum):
    """What a transaction's user has to know besides answers."""

    ACKNOWLEDGED = "acknowledged"
    """The first ACK for our final answer came."""
    NOT_ACKNOWLEDGED = "not_acknowledged"
    """No ACK for our final answer (timer H, or RFC 3261 section 13.3.1.4)."""
    NO_ANSWER = "no_answer"
    """No final answer to our request (timers B and F)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transmit:
    """Send this message, again or for the first time."""

    message: SipMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """An answer for the user: provisional ones, the final one, and each repetition of a 2xx to INVITE."""

    response: Response


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """An outcome for the user."""

    outcome: Outcome


Action: TypeAlias = Transmit | Received | Happened


class _State(Enum):
    TRYING = 1
    PROCEEDING = 2
    ACCEPTED = 3
    COMPLETED = 4
    CONFIRMED = 5
    TERMINATED = 6


class Transaction(ABC):
    """What all four machines share: the state, one give-up moment and one retransmission moment."""

    def __init__(self, *, timers: Timers, reliable: bool) -> None:
        self._timers = timers
        self._reliable = reliable
        self._state = _State.TRYING
        self._gives_up_at: float | None = None
        self._resends_at: float | None = None
        self._interval_s = timers.t1_s

    @property
    def deadline(self) -> float | None:
        """When `expire` wants to be called, on the clock of ``now``."""
        moments = [at for at in (self._gives_up_at, self._resends_at) if at is not None]
        return min(moments, default=None)

    @property
    def over(self) -> bool:
        """Nothing more happens here."""
        return self._state is _State.TERMINATED

    def expire(self, now: float) -> list[Action]:
        """Do what is due at ``now``; nothing when nothing is."""
        if self._gives_up_at is not None and now >= self._gives_up_at:
            return self._give_up()
        if self._resends_at is not None and now >= self._resends_at:
            self._interval_s = self._next_interval()
            # Counted from now and not from the missed moment: a loop that was blocked must not send a burst.
            self._resends_at = now + self._interval_s
            return self._resend()
        return []

    def terminate(self) -> None:
        """Forget everything: the transport is gone or the endpoint closes."""
        self._enter(_State.TERMINATED)

    def _enter(
        self, state: _State, *, gives_up_at: float | None = None, resends_at: float | None = None
    ) -> None:
        self._state = state
        self._gives_up_at = gives_up_at
        self._resends_at = resends_at
        self._interval_s = self._timers.t1_s

    def _linger(self, now: float, state: _State, seconds: float) -> None:
        """Stay to absorb repetitions; on a reliable transport there are none (RFC 3261 section 17)."""
        if self._reliable or seconds <= 0:
            self._enter(_State.TERMINATED)
        else:
            self._enter(state, gives_up_at=now + seconds)

    def _next_interval(self) -> float:
        return min(2 * self._interval_s, self._timers.t2_s)

    @abstractmethod
    def _resend(self) -> list[Action]: ...

    @abstractmethod
    def _give_up(self) -> list[Action]: ...


class InviteServerTransaction(Transaction):
    """Our side of an INVITE we received (RFC 3261 section 17.2.1, RFC 6026 section 7.1)."""

    def __init__(self, *, timers: Timers, reliable: bool) -> None:
        super().__init__(timers=timers, reliable=reliable)
        self._state = _State.PROCEEDING
        self._last: Response | None = None

    @property
    def answered(self) -> bool:
        """A final answer was given."""
        return self._state is not _State.PROCEEDING

    @property
    def accepted(self) -> bool:
        """The final answer was a 2xx, whose ACK comes through the dialog."""
        return self._state is _State.ACCEPTED

    def respond(self, response: Response, now: float) -> list[Action]:
        """Answer; ignored once a final answer was given."""
        if self.answered:
            return []
        self._last = response
        if 200 <= response.status < 300:
            # Over TCP, too: a 2xx is acknowledged end to end, and proxies may lose it on a later hop.
            give_up = now + self._timers.give_up_s
            self._enter(_State.ACCEPTED, gives_up_at=give_up, resends_at=now + self._timers.t1_s)
        elif response.is_final:
            resend = None if self._reliable else now + self._timers.t1_s
            self._enter(_State.COMPLETED, gives_up_at=now + self._timers.give_up_s, resends_at=resend)
        return [Transmit(message=response)]

    def repeated(self) -> list[Action]:
        """The INVITE came again: repeat the last answer, unless it was acknowledged."""
        waiting = self._resends_at is not None or self._state in {_State.PROCEEDING, _State.COMPLETED}
        return self._resend() if waiting else []

    def acknowledge(self, now: float) -> list[Action]:
        """An ACK came, for a 2xx through its dialog, for other answers in this transaction."""
        if self._state is _State.COMPLETED:
            self._linger(now, _State.CONFIRMED, self._timers.t4_s)
            return [Happened(outcome=Outcome.ACKNOWLEDGED)]
        if self._state is _State.ACCEPTED and self._resends_at is not None:
            self._resends_at = None
            return [Happened(outcome=Outcome.ACKNOWLEDGED)]
        return []

    def _resend(self) -> list[Action]:
        return [] if self._last is None else [Transmit(message=self._last)]

    def _give_up(self) -> list[Action]:
        missing = self._state is _State.COMPLETED or (
            self._state is _State.ACCEPTED and self._resends_at is not None
        )
        self._enter(_State.TERMINATED)
        return [Happened(outcome=Outcome.NOT_ACKNOWLEDGED)] if missing else []


class ServerTransaction(Transaction):
    """Our side of any other request we received (RFC 3261 section 17.2.2)."""

    def __init__(self, *, timers: Timers, reliable: bool) -> None:
        super().__init__(timers=timers, reliable=reliable)
        self._last: Response | None = None

    @property
    def answered(self) -> bool:
        """A final answer was given."""
        return self._state in {_State.COMPLETED, _State.TERMINATED}

    def respond(self, response: Response, now: float) -> list[Action]:
        """Answer; ignored once a final answer was given."""
        if self.answered:
            return []
        self._last = response
        if response.is_final:
            self._linger(now, _State.COMPLETED, self._timers.give_up_s)
        return [Transmit(message=response)]

    def repeated(self) -> list[Action]:
        """The request came again: repeat the last answer, if there is one yet."""
        return self._resend()

    def _resend(self) -> list[Action]:
        return [] if self._last is None else [Transmit(message=self._last)]

    def _give_up(self) -> list[Action]:
        self._enter(_State.TERMINATED)
        return []


class ClientTransaction(Transaction):
    """Our side of a request other than INVITE that we send (RFC 3261 section 17.1.2)."""

    def __init__(self, request: Request, *, timers: Timers, reliable: bool) -> None:
        super().__init__(timers=timers, reliable=reliable)
        self._request = request

    def start(self, now: float) -> list[Action]:
        """Send the request."""
        resend = None if self._reliable else now + self._timers.t1_s
        self._enter(_State.TRYING, gives_up_at=now + self._timers.give_up_s, resends_at=resend)
        return [Transmit(message=self._request)]

    def receive(self, response: Response, now: float) -> list[Action]:
        """An answer came."""
        if self._state not in {_State.TRYING, _State.PROCEEDING}:
            return []
        if response.is_final:
            self._linger(now, _State.COMPLETED, self._timers.t4_s)
        else:
            self._state = _State.PROCEEDING
        return [Received(response=response)]

    def _next_interval(self) -> float:
        return self._timers.t2_s if self._state is _State.PROCEEDING else super()._next_interval()

    def _resend(self) -> list[Action]:
        return [Transmit(message=self._request)]

    def _give_up(self) -> list[Action]:
        waited = self._state in {_State.TRYING, _State.PROCEEDING}
        self._enter(_State.TERMINATED)
        return [Happened(outcome=Outcome.NO_ANSWER)] if waited else []


class InviteClientTransaction(Transaction):
    """Our side of an INVITE that we send (RFC 3261 section 17.1.1, RFC 6026 section 7.2).

    It acknowledges refusals itself; the ACK of a 2xx belongs to the dialog, which sees every repetition.
    """

    def __init__(self, request: Request, *, timers: Timers, reliable: bool) -> None:
        super().__init__(timers=timers, reliable=reliable)
        self._request = request
        self._ack: Request | None = None

    def start(self, now: float) -> list[Action]:
        """Send the INVITE."""
        resend = None if self._reliable else now + self._timers.t1_s
        self._enter(_State.TRYING, gives_up_at=now + self._timers.give_up_s, resends_at=resend)
        return [Transmit(message=self._request)]

    def receive(self, response: Response, now: float) -> list[Action]:
        """An answer came."""
        if self._state is _State.ACCEPTED:
            return [Received(response=response)] if 200 <= response.status < 300 else []
        if self._state is _State.COMPLETED:
            return [Transmit(message=self._ack)] if response.is_final and self._ack is not None else []
        if self.over:
            return []
        if not response.is_final:
            if self._state is _State.TRYING:
                # No timer C: how long a phone may ring is the caller's business.
                self._enter(_State.PROCEEDING)
            return [Received(response=response)]
        if response.status < 300:
            self._enter(_State.ACCEPTED, gives_up_at=now + self._timers.give_up_s)
            return [Received(response=response)]
        self._ack = ack_of_refusal(self._request, response)
        self._linger(now, _State.COMPLETED, self._timers.give_up_s)
        return [Transmit(message=self._ack), Received(response=response)]

    def cancel(self, now: float) -> bool:
        """Whether a CANCEL may be sent now; True at most once (RFC 3261 section 9.1).

        From then on the 487 is not waited for longer than any other answer.
        """
        if self._state is not _State.PROCEEDING or self._gives_up_at is not None:
            return False
        self._gives_up_at = now + self._timers.give_up_s
        return True

    def _next_interval(self) -> float:
        # Timer A doubles without the ceiling of T2 (RFC 3261 section 17.1.1.2).
        return 2 * self._interval_s

    def _resend(self) -> list[Action]:
        return [Transmit(message=self._request)]

    def _give_up(self) -> list[Action]:
        waited = self._state in {_State.TRYING, _State.PROCEEDING}
        self._enter(_State.TERMINATED)
        return [Happened(outcome=Outcome.NO_ANSWER)] if waited else []
