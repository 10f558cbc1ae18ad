"""One leg of a call at a pretended carrier: a far end, its state, and where its audio goes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Protocol, TypeAlias

from sipagent.simulator.carrier.faults import NO_FAULTS, CarrierFaults
from sipagent.simulator.carrier.party import Party
from sipagent.simulator.carrier.record import Tape, Timeline
from sipagent.simulator.carrier.verbs import ReportTo

Direction: TypeAlias = Literal["inbound", "outbound-api", "outbound-dial"]


class LegStatus(StrEnum):
    """As Twilio and TeXML name them."""

    QUEUED = "queued"
    INITIATED = "initiated"
    RINGING = "ringing"
    IN_PROGRESS = "in-progress"
    COMPLETED = "completed"
    BUSY = "busy"
    NO_ANSWER = "no-answer"
    FAILED = "failed"
    CANCELED = "canceled"


FINAL = frozenset(
    {LegStatus.COMPLETED, LegStatus.BUSY, LegStatus.NO_ANSWER, LegStatus.FAILED, LegStatus.CANCELED}
)


def status_of_refusal(sip_status: int) -> LegStatus:
    """What a carrier calls a call that was answered with ``sip_status``, 300 or more."""
    if sip_status in (486, 600, 603):
        return LegStatus.BUSY
    if sip_status in (408, 480):
        return LegStatus.NO_ANSWER
    if sip_status == 487:
        return LegStatus.CANCELED
    return LegStatus.FAILED


@dataclass(frozen=True, slots=True, kw_only=True)
class LegFacts:
    """What does not change."""

    sid: str
    """The carrier's identifier: ``CA…``, or a ``call_control_id``."""
    caller: str
    called: str
    direction: Direction
    parent_sid: str | None = None
    session: str = ""
    """What legs that belong together share, where the carrier has such a thing."""
    faults: CarrierFaults = NO_FAULTS


@dataclass(slots=True, kw_only=True)
class LegTimes:
    """What became of a leg, and when: ``loop.time()``, None for what has not happened."""

    answered_at_s: float | None = None
    ended_at_s: float | None = None
    sip_status: int | None = None
    """The answer to our INVITE, where it was one and has come."""
    hung_up_by: Literal["caller", "callee", "carrier", ""] = ""
    reports: int = 0
    """How many status callbacks were written."""

    @property
    def talked_s(self) -> float:
        """From the answer to the end; 0 without an answer."""
        if self.answered_at_s is None or self.ended_at_s is None:
            return 0.0
        return self.ended_at_s - self.answered_at_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something the carrier complains about, as its console would show it."""

    code: int
    message: str


class LegOwner(Protocol):
    """The carrier, as a leg sees it."""

    def leg_changed(self, leg: Leg, event: str) -> None:
        """``initiated``, ``ringing``, ``answered`` or ``completed``."""


class Leg:
    """One leg. Its status only moves forward; a final one is the last."""

    def __init__(self, facts: LegFacts, party: Party, *, owner: LegOwner, timeline: Timeline) -> None:
        self.facts = facts
        self.party = party
        self.timeline = timeline
        """Shared with the legs this one belongs to."""
        self.status = LegStatus.QUEUED
        self.times = LegTimes()
        self.report_to: ReportTo | None = None
        self.notices: list[Notice] = []
        """What the carrier complains about."""
        self.sentences: list[str] = []
        """What the carrier's own voice has said here to the end."""
        self.taken = False
        """Whether the service has given a leg that was dialled something of its own to do."""
        self.extra: dict[str, str] = {}
        """What a carrier keeps with a leg besides, such as Telnyx' client state."""
        self.on_audio: Callable[[bytes], None] = _drop
        """Where the far end's audio goes now."""
        self.on_digit: Callable[[str], None] = _drop_digit
        self.on_refer: Callable[[str], int] = _decline
        """Who decides when the far end wants to be replaced; returns the SIP status of the answer."""
        self._owner = owner
        party.listen(self)

    @property
    def sid(self) -> str:
        """The carrier's identifier."""
        return self.facts.sid

    @property
    def sip_status(self) -> int | None:
        """The answer to our INVITE, or that a far end would have given; None before there is one."""
        return self.times.sip_status

    @property
    def hung_up_by(self) -> str:
        """``caller``, ``callee``, ``carrier``; "" while it is up."""
        return self.times.hung_up_by

    @property
    def is_over(self) -> bool:
        """Whether it has ended, answered or not."""
        return self.status in FINAL

    @property
    def is_answered(self) -> bool:
        """Whether it was answered, be it over by now."""
        return self.times.answered_at_s is not None

    @property
    def heard(self) -> Tape:
        """What was heard at the far end."""
        return self.party.tape

    @property
    def said(self) -> Tape:
        """What came from the far end."""
        return self.party.said

    async def until(self, condition: Callable[[], bool]) -> bool:
        """Wait until ``condition`` holds or the leg is over; whether it held. Safe to cancel."""
        await self.timeline.changes.until(lambda: condition() or self.is_over)
        return condition()

    def note(self, what: str, **detail: str) -> None:
        """Put a moment into the timeline."""
        self.timeline.note(asyncio.get_running_loop().time(), what, self.sid, **detail)

    def complain(self, code: int, message: str) -> None:
        """Keep a notice."""
        self.notices.append(Notice(code=code, message=message))
        self.note("error", code=str(code), message=message)

    # What the carrier does

    def call(self) -> None:
        """Call the far end."""
        self._move(LegStatus.INITIATED, "initiated")
        self.party.call()

    def ring(self) -> None:
        """A call that came to the carrier rings."""
        self._move(LegStatus.RINGING, "ringing")

    def answer(self) -> None:
        """Answer a call that came to the carrier; nothing when that is done."""
        if not self.is_over and not self.is_answered and self.facts.direction == "inbound":
            self.party.accept()
            self.party_answered()

    def play(self, ulaw: bytes) -> None:
        """Let the far end hear 160 bytes now."""
        if self.is_answered and not self.is_over:
            self.party.hear(ulaw)

    def release_audio(self) -> None:
        """Nobody listens to the far end any more."""
        self.on_audio = _drop
        self.on_digit = _drop_digit
        self.on_refer = _decline

    def release_audio_from(self, sink: Callable[[bytes], None]) -> None:
        """As `release_audio`, unless somebody else than ``sink`` listens by now."""
        if self.on_audio == sink:
            self.release_audio()

    def end(self, status: LegStatus = LegStatus.COMPLETED, *, sip_status: int = 200) -> None:
        """End it from the carrier's side; ``sip_status`` refuses a call that was not answered."""
        if not self.is_over:
            self.times.hung_up_by = self.times.hung_up_by or "carrier"
            self.party.release(sip_status)
            self._finish(status)

    # PartyListener

    def party_ringing(self) -> None:
        """It rings at the far end."""
        if self.status in (LegStatus.QUEUED, LegStatus.INITIATED):
            self._move(LegStatus.RINGING, "ringing")

    def party_answered(self) -> None:
        """The far end took the call, or the carrier took theirs."""
        if not self.is_over and not self.is_answered:
            self.times.answered_at_s = asyncio.get_running_loop().time()
            if self.facts.direction != "inbound":
                self.times.sip_status = 200
            self._move(LegStatus.IN_PROGRESS, "answered")

    def party_audio(self, ulaw: bytes) -> None:
        """A frame from the far end."""
        self.on_audio(ulaw)

    def party_digit(self, digit: str) -> None:
        """A key from the far end."""
        self.note("digit", digit=digit)
        self.on_digit(digit)

    def party_gone(self, sip_status: int) -> None:
        """The far end is gone, or cannot be had."""
        if self.is_over:
            return
        self.times.hung_up_by = "caller" if self.facts.direction == "inbound" else "callee"
        if self.is_answered:
            self._finish(LegStatus.COMPLETED)
            return
        self.times.sip_status = sip_status
        self._finish(status_of_refusal(sip_status) if sip_status >= 300 else LegStatus.CANCELED)

    def party_refers(self, target: str) -> int:
        """The far end wants to be replaced."""
        self.note("refer", target=target)
        return self.on_refer(target)

    # Inside

    def _move(self, status: LegStatus, event: str) -> None:
        self.status = status
        self.note(event, caller=self.facts.caller, called=self.facts.called)
        self._owner.leg_changed(self, event)

    def _finish(self, status: LegStatus) -> None:
        self.status = status
        self.release_audio()
        self.times.ended_at_s = asyncio.get_running_loop().time()
        self.note(status.value, by=self.hung_up_by, sip_status=str(self.sip_status or ""))
        self._owner.leg_changed(self, "completed")


def _drop(ulaw: bytes) -> None:
    pass


def _drop_digit(digit: str) -> None:
    pass


def _decline(target: str) -> int:
    return 603
