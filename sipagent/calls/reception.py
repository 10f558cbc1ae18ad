"""Receives each call that rings: decides who answers it, and gives it a place if there is one.

Everything here happens at once, before the task of the call begins, so that no two calls can take the same
place. It outlives configurations: places and what a day has cost are counted over all of them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from sipagent.calls.endings import EndReason
from sipagent.calls.incoming import IncomingCall
from sipagent.calls.policy import Admission, Full, Place
from sipagent.calls.routing import FULL_STATUS, Answer, Decision, FrontDoor, Refuse
from sipagent.calls.spend import CallSpend, DaySpend
from sipagent.realtime.session_events import RealtimeSessionEvent

logger = logging.getLogger(__name__)

SPENT_STATUS = 480
"""Temporarily unavailable."""
_FLOODING = frozenset({"per_caller", "per_caller_per_minute", "per_minute"})
"""Caps against floods: no other agent answers what they refuse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a call is not answered."""

    reason: EndReason
    sip_status: int
    detail: str
    """One sentence."""

    @property
    def kept(self) -> tuple[str, int, str]:
        """The same for a `Checkpoint`."""
        return self.reason.value, self.sip_status, self.detail


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """What becomes of a call: an agent and a place, or a refusal."""

    agent: str | None
    place: Place | None
    refusal: Refusal | None
    decision: Decision
    full: Full | None
    """The cap that was reached, if one was: another agent answers then, or nobody."""


class SpendBrake:
    """Ends one call when it, or the day, has cost too much: a brake for `sipagent.calls.conversation`."""

    def __init__(self, spend: CallSpend, utc_now: Callable[[], datetime]) -> None:
        self.spend = spend
        self._utc_now = utc_now

    @property
    def spent(self) -> float:
        """What the call has cost so far."""
        return self.spend.cost

    def observe(self, event: RealtimeSessionEvent) -> str | None:
        """Take in one event of the session; why the call must end, or None."""
        return self.spend.observe(event, self._utc_now())


class Reception:
    """The places and the spending of one service."""

    def __init__(self, utc_now: Callable[[], datetime]) -> None:
        self._utc_now = utc_now
        self.admission = Admission()
        self.day = DaySpend()

    def receive(self, door: FrontDoor, call: IncomingCall, *, now: datetime, at: float) -> Received:
        """Decide about ``call``, which came at ``now`` (aware), ``at`` on a clock that only goes forward.

        The place is given back with `leave`.
        """
        decision = door.decide(call, now)
        outcome = decision.outcome
        if isinstance(outcome, Refuse):
            refusal = Refusal(reason=outcome.reason, sip_status=outcome.sip_status, detail=decision.why[-1])
            return Received(agent=None, place=None, refusal=refusal, decision=decision, full=None)
        limits = door.limits
        if limits.spend is not None and (spent := self.day.refusal(limits.spend, now)) is not None:
            refusal = Refusal(reason=EndReason.REJECTED_SPENT, sip_status=SPENT_STATUS, detail=spent)
            return Received(agent=None, place=None, refusal=refusal, decision=decision, full=None)
        place = self.admission.admit(limits.calls, outcome.agent, call.caller, at)
        if isinstance(place, Place):
            return Received(agent=outcome.agent, place=place, refusal=None, decision=decision, full=None)
        return self._instead(door, call, outcome, decision, place, at)

    def readmit(self, door: FrontDoor, call: IncomingCall, agent: str | None) -> Received:
        """Take a place for a call that is up already, whether there is one or not: it was admitted before,
        by another process. ``agent`` is None for one that is refused."""
        place = None if agent is None else self.admission.seat(agent, call.caller)
        decision = Decision(outcome=Refuse(reason=EndReason.WORKER_LOST, sip_status=FULL_STATUS), why=())
        known = agent if agent in door.profiles else None
        return Received(agent=known, place=place, refusal=None, decision=decision, full=None)

    def leave(self, received: Received) -> None:
        """The call is over. Doing it twice changes nothing."""
        if received.place is not None:
            self.admission.release(received.place)

    def brake(self, door: FrontDoor, received: Received, *, spent: float = 0.0) -> SpendBrake | None:
        """What ends the call when it costs too much; None where nothing is said about costs. ``spent`` is
        what it has cost already."""
        if door.limits.spend is None or received.agent is None:
            return None
        settings = door.profiles[received.agent].settings
        transcription = settings.get("input_audio_transcription") or {}
        spend = CallSpend(
            door.limits.spend,
            self.day,
            model=settings.get("model_name"),
            transcription_model=transcription.get("model"),
        )
        spend.cost = spent
        if not spend.has_prices:
            logger.warning(
                "What the model %s costs is not known: no limit of costs holds for the call",
                settings.get("model_name"),
            )
        return SpendBrake(spend, self._utc_now)

    def _instead(
        self,
        door: FrontDoor,
        call: IncomingCall,
        answer: Answer,
        decision: Decision,
        full: Full,
        at: float,
    ) -> Received:
        """What becomes of a call for which there is no place."""
        instead, reason = answer.when_full, EndReason.REJECTED_FULL
        if full.cap in _FLOODING:
            reason = EndReason.REJECTED_FLOOD
        elif instead.agent is not None:
            place = self.admission.admit(
                door.limits.calls, instead.agent, call.caller, at, alternative=True, most=instead.calls
            )
            if isinstance(place, Place):
                return Received(agent=instead.agent, place=place, refusal=None, decision=decision, full=full)
            full = replace(full, detail=f"{full.detail} {place.detail}")
        refusal = Refusal(reason=reason, sip_status=instead.reject or FULL_STATUS, detail=full.detail)
        return Received(agent=None, place=None, refusal=refusal, decision=decision, full=full)
