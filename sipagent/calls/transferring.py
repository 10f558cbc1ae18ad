"""What tools may do with a live call: wait for the agent's last word, and send the caller elsewhere.

A transfer is a REFER, and then a wait. The Calls API tells nobody how a REFER went: 200 says that it was
handed over, and no event follows. The one proof is that the call leaves us, which closes its session. A call
that has not left in time was not transferred: the next address is tried, and at last the agent is told the
truth.

What cannot be told apart: a caller who hangs up between an accepted REFER and its proof looks like one who
arrived. A session that closes while the REFER is still unanswered waits for the answer, and counts as a
caller who hung up unless that says yes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sipagent.calls.asking import ask_for_words
from sipagent.calls.briefing import OpeningHours
from sipagent.calls.checkpoint import TransferUnderWay
from sipagent.calls.context import CallContext
from sipagent.calls.endings import EndReason
from sipagent.calls.instead import InsteadOfTransfer
from sipagent.calls.journal import CallJournal
from sipagent.calls.lease import Lease
from sipagent.calls.lifecycle import CallState
from sipagent.calls.line import Line
from sipagent.calls.profile import TransferTarget
from sipagent.calls.services import CallSettings
from sipagent.calls.tools.updates import partial_update
from sipagent.calls.ways_out import TransferOutcome as TransferOutcome
from sipagent.calls.ways_out import WaysOut
from sipagent.errors import CallControlError, CallControlRefusedError, CallGoneError
from sipagent.realtime import RealtimeSession

logger = logging.getLogger(__name__)

REFER_ANSWER_S = 2.0
"""How long the answer to a REFER is awaited after the session has closed: they come over two connections."""
WARM_ANSWER_S = 10.0
"""The same for the carrier's word that it has put a caller together with somebody who took the call."""
RING_S = 30.0
"""How long a telephone rings that is called first, where its target says nothing."""
LATE_S = 20.0
"""A call that leaves so soon after a transfer was given up may have been taken over late."""
SAY_NEXT = (
    "The transfer to {label} has not gone through yet, and another line there is being tried now. Tell the "
    "caller so in one short sentence, in the language that you speak with them. Do not say goodbye."
)


@dataclass(slots=True)
class _Attempt:
    """One transfer, with all its tries."""

    target: TransferTarget
    briefing: str = ""
    """What whoever is called first is told."""
    by_order: bool = False
    """It was not the agent's doing."""
    uri: str = ""
    """The address that is tried now."""
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    """Set unless somebody has been asked to move the caller, and has not answered."""
    accepted: bool = False
    """A REFER was accepted."""
    unanswered: bool = False
    """The answer to a REFER never came: it may have been carried out."""


class LineControls:
    """The controls of one call (see `CallControls`)."""

    def __init__(
        self,
        line: Line,
        *,
        journal: CallJournal,
        settings: CallSettings,
        utc_now: Callable[[], datetime],
        lease: Lease | None = None,
    ) -> None:
        """``lease`` says whether this process may act for the call."""
        self._lease = lease
        self._before: TransferUnderWay | None = None
        self._ways = WaysOut(line, journal.note)
        self._journal = journal
        self._settings = settings
        self._utc_now = utc_now
        self._session: RealtimeSession | None = None
        self._instead: InsteadOfTransfer | None = None
        self._attempt: _Attempt | None = None
        self._given_up_at: float | None = None
        """When a transfer was given up whose REFER had been accepted, or may have been."""

    def attach(
        self, session: RealtimeSession, context: CallContext, calendars: Mapping[str, OpeningHours]
    ) -> None:
        """The call has its session; tools run from now on. ``calendars`` are those that targets name."""
        self._session = session
        self._instead = InsteadOfTransfer(
            session, context, calendars, journal=self._journal, utc_now=self._utc_now
        )

    def resume(self, before: TransferUnderWay | None) -> None:
        """Another process held the call, and ``before`` is the transfer it was trying, if any. It goes on
        when whatever asked for it asks again; no address is tried twice."""
        self._before = before

    @property
    def before(self) -> TransferUnderWay | None:
        """The transfer that another process was trying, as long as it does not go on."""
        return self._before

    def intend(self, target: TransferTarget) -> None:
        """Keep, for another process, that a transfer by order is about to begin."""
        if self._attempt is None and self._before is None:
            under_way = TransferUnderWay(target=target.name, line=0, asked_at=None, by_order=True)
            self._journal.keep(transfer=under_way)

    def intend_no_more(self) -> None:
        """The transfer by order does not begin, or does not go on."""
        self._before = None
        if self._attempt is None:
            self._journal.keep(transfer=None)

    @property
    def transferring(self) -> bool:
        """Whether the caller may be on the way to somebody else."""
        return self._attempt is not None

    # What tools may do (`CallControls`) ------------------------------------------------------------

    @property
    def agent_is_busy(self) -> bool:
        """See `CallControls.agent_is_busy`."""
        return self._running.agent_is_speaking or self._running.response_active

    async def speak(self, words: str) -> None:
        """See `CallControls.speak`."""
        await self._running.say(words)

    async def interrupt(self) -> None:
        """See `CallControls.interrupt`."""
        await self._running.interrupt()

    async def tell(self, text: str) -> None:
        """See `CallControls.tell`."""
        await self._running.add_system_message(text)

    async def update_session(self, changes: Mapping[str, Any]) -> None:
        """See `CallControls.update_session`."""
        await self._running.model.send_event(partial_update(changes))

    def note(self, kind: str, **data: Any) -> None:
        """See `CallControls.note`."""
        self._journal.note(kind, **data)

    async def finish_speaking(self) -> None:
        """Return when the agent's words were heard to their end, or after a bound. Cancel safe."""
        if not await self._running.wait_until_agent_silent(self._settings.finish_speaking_timeout_s):
            logger.warning("The end of the agent's speech was never reported; going on without it")

    async def transfer(self, target: TransferTarget, briefing: str = "") -> str:
        """Send the caller to ``target``; returns only when that failed, with what to tell the agent. Whoever
        is called first is told ``briefing``.

        Raises nothing of its own. Cancelling gives up; a REFER that was accepted may take effect all the
        same.
        """
        if not self.may_transfer:
            return "Another transfer of this call is being tried; wait for its outcome."
        if (opening := self.instead.closed(target)) is not None:
            return await self.instead.nobody_there(target, opening)
        return await self.instead.failed(target, await self.send(target, briefing))

    @property
    def may_transfer(self) -> bool:
        """Whether a transfer may begin now."""
        return self._journal.state is CallState.TALKING

    @property
    def instead(self) -> InsteadOfTransfer:
        """What becomes of a caller who cannot be transferred."""
        assert self._instead is not None, "tools run in a session only"
        return self._instead

    async def send(
        self, target: TransferTarget, briefing: str = "", *, by_order: bool = False
    ) -> TransferOutcome:
        """As `transfer`, which may begin now; how it failed. ``by_order``: the agent has not asked for it."""
        session = self._running
        self._journal.enter(CallState.TRANSFERRING)
        attempt = self._attempt = _Attempt(target, briefing, by_order)
        attempt.answered.set()
        outcome = TransferOutcome.STOPPED
        try:
            outcome = await self._try_all(session, attempt)
        finally:
            # A call that is over by now has left through this transfer, or not: `leaving` says which.
            if session.end is None:
                self._give_up(attempt, outcome)
        return outcome

    # How the call left -----------------------------------------------------------------------------

    async def leaving(self) -> tuple[EndReason, str]:
        """Why a call is over whose session has closed by itself, in a sentence too. Cancel-safe."""
        now = asyncio.get_running_loop().time()
        attempt = self._attempt
        if attempt is None and (before := self._before) is not None and self._is_recent(before.asked_at):
            if before.accepted:
                return EndReason.TRANSFERRED, "The call left us after the transfer."
            return EndReason.CALLER_HUNG_UP, (
                "A process that was gone had asked for a transfer, and nobody heard the answer: the caller "
                "hung up, or was transferred all the same."
            )
        if attempt is None:
            if self._given_up_at is not None and now < self._given_up_at + LATE_S:
                detail = (
                    f"The call left us {now - self._given_up_at:.0f} s after a transfer was given up that "
                    "the carrier may have taken: the caller hung up, or was taken over late."
                )
                return EndReason.CALLER_HUNG_UP, detail
            return EndReason.CALLER_HUNG_UP, ""
        try:
            async with asyncio.timeout(WARM_ANSWER_S if attempt.target.way == "warm" else REFER_ANSWER_S):
                await attempt.answered.wait()
        except TimeoutError:
            logger.info("The call ended before the answer to its REFER came")
        # Whoever is being called rings for nobody by now.
        self._ways.call_off()
        if not attempt.accepted and attempt.unanswered:
            self._noted(attempt, TransferOutcome.UNAVAILABLE)
            detail = "A REFER was never answered: the caller hung up, or was transferred all the same."
            return EndReason.CALLER_HUNG_UP, detail
        if not attempt.accepted:
            self._noted(attempt, TransferOutcome.CALLER_GONE)
            detail = "The caller hung up before the carrier was asked to transfer the call."
            return EndReason.TRANSFER_ABANDONED, detail
        self._noted(attempt, TransferOutcome.CONNECTED)
        return EndReason.TRANSFERRED, "The call left us after the transfer."

    def _is_recent(self, asked_at: datetime | None) -> bool:
        return asked_at is not None and (self._utc_now() - asked_at).total_seconds() < LATE_S

    # One transfer ----------------------------------------------------------------------------------

    @property
    def _running(self) -> RealtimeSession:
        assert self._session is not None, "tools run in a session only"
        return self._session

    async def _try_all(self, session: RealtimeSession, attempt: _Attempt) -> TransferOutcome:
        target = attempt.target
        outcome = TransferOutcome.UNAVAILABLE
        before, self._before = self._before, None
        if before is not None and before.target != target.name:
            before = None
        for number, uri in enumerate(target.uris):
            attempt.uri = uri
            if before is not None and number < before.line:
                continue  # a process that is gone has tried it
            if before is not None and number == before.line and before.asked_at is not None:
                attempt.accepted, attempt.unanswered = before.accepted, not before.accepted
                outcome = await self._proof(target, since=before.asked_at)
            else:
                if number > 0:
                    # Otherwise the caller would sit in silence, not knowing whether anything happens.
                    await ask_for_words(session, SAY_NEXT.format(label=target.spoken_name))
                self._keep(attempt, number)
                await self.finish_speaking()
                outcome = await self._try(session, attempt, number)
            if outcome is TransferOutcome.CALLER_GONE:
                break
            if number + 1 < len(target.uris):
                self._noted(attempt, outcome)
        return outcome

    def _keep(
        self, attempt: _Attempt, line: int, *, asked_at: datetime | None = None, accepted: bool = False
    ) -> None:
        under_way = TransferUnderWay(
            target=attempt.target.name,
            line=line,
            asked_at=asked_at,
            accepted=accepted,
            by_order=attempt.by_order,
        )
        self._journal.keep(transfer=under_way)

    async def _try(self, session: RealtimeSession, attempt: _Attempt, line: int) -> TransferOutcome:
        if session.end is not None:
            return TransferOutcome.CALLER_GONE
        target = attempt.target
        if self._lease is not None:
            await self._lease.wait()
        self._journal.note("transfer_tried", target=target.name, uri=attempt.uri)
        asked_at = self._utc_now()
        self._keep(attempt, line, asked_at=asked_at)
        try:
            outcome = await self._ways.ask(
                session,
                target,
                attempt.uri,
                attempt.briefing,
                patience_s=target.confirm_s or RING_S,
                moving=attempt.answered.clear,
            )
            if outcome is not None:
                return outcome
        except CallGoneError as error:
            logger.info("The call was over before it could be transferred: %s", error)
            return TransferOutcome.CALLER_GONE
        except CallControlError as error:
            logger.warning("The transfer to %s was refused: %s", target.name, error)
            attempt.unanswered = attempt.unanswered or error.status is None
            refused = isinstance(error, CallControlRefusedError)
            return TransferOutcome.REFUSED if refused else TransferOutcome.UNAVAILABLE
        else:
            attempt.accepted = True
            # Whoever was called first has taken their time: the call has all of its own to leave.
            asked_at = self._utc_now()
            self._keep(attempt, line, asked_at=asked_at, accepted=True)
        finally:
            attempt.answered.set()
        return await self._proof(target, since=asked_at)

    async def _proof(self, target: TransferTarget, *, since: datetime) -> TransferOutcome:
        """Wait for the proof of a transfer that was accepted at ``since``, which is that the call leaves us:
        it ends the session, and this task with it. No event tells of a failure."""
        confirm_s = self._settings.transfer_confirm_s if target.confirm_s is None else target.confirm_s
        passed_s = (self._utc_now() - since).total_seconds()
        await asyncio.sleep(confirm_s - min(max(0.0, passed_s), confirm_s))
        logger.warning("The transfer to %s was accepted, but the call did not leave", target.name)
        return TransferOutcome.NOT_CONFIRMED

    def _give_up(self, attempt: _Attempt, outcome: TransferOutcome) -> None:
        self._attempt = None
        self._journal.keep(transfer=None)
        if attempt.accepted or attempt.unanswered:
            self._given_up_at = asyncio.get_running_loop().time()
        self._noted(attempt, outcome)
        if self._journal.state is CallState.TRANSFERRING:
            self._journal.enter(CallState.TALKING)

    def _noted(self, attempt: _Attempt, outcome: TransferOutcome) -> None:
        self._journal.note(
            "transfer_outcome", target=attempt.target.name, uri=attempt.uri, outcome=outcome.value
        )
