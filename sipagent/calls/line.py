"""The telephone side of one call: where its caller is, and what can be done about them.

Two kinds exist. On a SIP line the caller is connected to the Realtime API, and the Calls API acts for us
(`sipagent.calls.sip_line`). On a stream line the caller's audio comes to us from their carrier
(`sipagent.carrier`), and the carrier acts. All that answers, talks, transfers and ends is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from sipagent.calls.endings import Ending
from sipagent.calls.incoming import LineKind
from sipagent.calls.preparation import CallSession
from sipagent.calls.profile import AgentProfile
from sipagent.realtime import RealtimeModel, RealtimeModelConfig


class Line(Protocol):
    """What a call does with its line.

    Every coroutine raises `CallGoneError` when the call is over, `CallControlRefusedError` for what is not
    allowed, `CallControlRateLimitedError` and `CallControlUnavailableError` when retries are used up; each is
    safe to cancel, and whether the other side has acted is unknown then.
    """

    @property
    def kind(self) -> LineKind:
        """Whether the caller's audio passes through us."""
        ...

    @property
    def carrier(self) -> CarrierSide | None:
        """What the caller's carrier can do besides; None where it has no door to us."""
        ...

    async def accept(self, session: CallSession, *, deadline: float, maybe_accepted: bool = False) -> None:
        """Answer the call, until ``deadline`` (``loop.time()``). ``maybe_accepted``: another process may have
        done it."""
        ...

    async def reject(self, sip_status: int, *, deadline: float) -> None:
        """Refuse the call, which has not been accepted."""
        ...

    async def refer(self, target_uri: str) -> None:
        """Send the caller to ``target_uri``. Success is no proof; that the call leaves us is."""
        ...

    async def hang_up(self, ending: Ending) -> None:
        """End the call, for ``ending``: a line that others may go on with tells them how it went."""
        ...

    def model(self, profile: AgentProfile) -> RealtimeModel:
        """A model for a session with this caller, not connected yet. Called once for each session."""
        ...

    def model_config(self, session: CallSession) -> RealtimeModelConfig:
        """What of the model's configuration is the line's: the call it attaches to, or how audio comes."""
        ...

    def consented(self, words: str) -> None:
        """The caller has heard to its end that the call is recorded, in these ``words``; recording may begin.
        Raises nothing."""
        ...

    def close(self, ending: Ending | None) -> None:
        """Nothing more is done here, however it came to that: the last thing that is called, once. Raises
        nothing. ``ending`` is why the call is over; None when it was left to another process, or is nobody's
        any more."""
        ...


class WarmOutcome(StrEnum):
    """How it went to bring somebody in."""

    JOINED = "joined"
    """They took the call; the caller is with them, and leaves us."""
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    DECLINED = "declined"
    """They heard what it is about, and did not take it."""
    REFUSED = "refused"
    """The carrier would not call."""
    UNAVAILABLE = "unavailable"
    """The carrier did not answer."""
    CALLER_GONE = "caller_gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class BringIn:
    """Somebody to be brought to a caller."""

    number: str
    """``tel:+15550100123``, ``sip:user@host``."""
    briefing: str
    """What they are told before they take the call; "" for nothing."""
    answer_timeout_s: float


class CarrierSide(Protocol):
    """What the carrier that has the caller's leg does for us, by its own API. Raises as `Line` does."""

    async def bring_in(self, person: BringIn, moving: Callable[[], None]) -> WarmOutcome:
        """Call ``person`` while the caller stays with the agent, brief them, and put both together when they
        take the call. Returns when it is known how it went. ``moving`` is called before the carrier is asked
        to move the caller: a call that is over before that was hung up. Cancelling stops the call to
        ``person``, but for one with whom the caller is together by then."""
        ...

    async def call_off(self, *, caller_is_here: bool) -> None:
        """Whom a process that is gone was bringing in: tell them so, and let them go. Unless
        ``caller_is_here``, with whom the caller may be together by then stays. Raises nothing."""
        ...

    async def send_to(self, target_uri: str) -> None:
        """Send the caller to ``target_uri``, without asking them first: for where a REFER does not work."""
        ...

    async def release(self) -> None:
        """End the caller's leg."""
        ...
