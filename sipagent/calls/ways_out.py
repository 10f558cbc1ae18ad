"""The ways by which a caller is sent to somebody else, and what each of them answers.

A REFER is carried out by the Realtime API, and nobody tells how it went. A carrier that has a door to us
(`CarrierSide`) says more: it can call the other first, so that the caller is only let go of when somebody is
there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import assert_never

from sipagent.calls.asking import ask_for_words
from sipagent.calls.line import BringIn, CarrierSide, Line, WarmOutcome
from sipagent.calls.profile import TransferTarget
from sipagent.errors import CallControlError, CallGoneError
from sipagent.realtime import RealtimeSession

logger = logging.getLogger(__name__)

COMFORT_S = 10.0
"""How long a caller hears nothing while another telephone rings."""
STILL_RINGING = (
    "{label} is still being called. Tell the caller so in one very short sentence, in the language that you "
    "speak with them, unless you are talking with them anyway."
)


class TransferOutcome(StrEnum):
    """How one try, or a whole transfer, went."""

    CONNECTED = "connected"
    """The call left us after the other side had agreed."""
    REFUSED = "refused"
    """The Calls API or the carrier said no."""
    UNAVAILABLE = "unavailable"
    """The Calls API or the carrier failed, or did not answer."""
    NOT_CONFIRMED = "not_confirmed"
    """It was accepted, and the call stayed."""
    BUSY = "busy"
    """Whoever was called had no time. This and the next two are known of warm transfers only."""
    NO_ANSWER = "no_answer"
    DECLINED = "declined"
    """They heard what it is about, and did not take the call."""
    CLOSED = "closed"
    """Nobody was called: the target's calendar says that nobody is there."""
    CALLER_GONE = "caller_gone"
    """The call was over before the transfer was accepted."""
    STOPPED = "stopped"
    """The transfer was broken off, because it took longer than a tool may."""


class WaysOut:
    """Asks for the transfers of one call."""

    def __init__(self, line: Line, note: Callable[..., None]) -> None:
        """``note`` writes into the record of the call; see `CallJournal.note`."""
        self._line = line
        self._note = note
        self._bringing: asyncio.Future[WarmOutcome] | None = None
        self._called_off = False

    def call_off(self) -> None:
        """Stop calling whom the caller is to be connected with, at once: the caller has hung up."""
        if self._bringing is not None:
            self._called_off = True
            self._bringing.cancel()

    async def ask(
        self,
        session: RealtimeSession,
        target: TransferTarget,
        uri: str,
        briefing: str,
        *,
        patience_s: float,
        moving: Callable[[], None],
    ) -> TransferOutcome | None:
        """Have the caller sent to ``uri`` of ``target``; None when that was accepted and only their leaving
        is still to come, or why it was not. Raises as `Line.refer`; cancelling stops what can be stopped.

        ``patience_s`` is how long somebody who is called first may take to answer. ``moving`` is called
        before anybody is asked to move the caller: a call that is over before that was hung up.
        """
        carrier = self._line.carrier
        if carrier is not None and target.way == "warm":
            person = BringIn(number=uri, briefing=briefing, answer_timeout_s=patience_s)
            async with _comforted(session, target):
                return _outcome(await self._bring_in(carrier, person, moving))
        moving()
        if carrier is not None and target.way == "carrier":
            await carrier.send_to(uri)
            return None
        try:
            await self._line.refer(uri)
        except CallGoneError:
            raise
        except CallControlError as error:
            # What was not answered may be carried out: asking another for the same would be one too many.
            if carrier is None or error.status is None:
                raise
            logger.info("A REFER was refused, and the carrier is asked instead: %s", error)
            self._note("transfer_by_carrier", target=target.name, uri=uri)
            await carrier.send_to(uri)
        return None

    async def _bring_in(
        self, carrier: CarrierSide, person: BringIn, moving: Callable[[], None]
    ) -> WarmOutcome:
        bringing = self._bringing = asyncio.ensure_future(carrier.bring_in(person, moving))
        try:
            return await bringing
        except asyncio.CancelledError:
            if not self._called_off:
                raise
            return WarmOutcome.CALLER_GONE
        finally:
            self._bringing = None


@asynccontextmanager
async def _comforted(session: RealtimeSession, target: TransferTarget) -> AsyncIterator[None]:
    """Let the caller, who stays meanwhile, hear now and then that something happens."""

    async def comfort() -> None:
        while True:
            await asyncio.sleep(COMFORT_S)
            if not (session.agent_is_speaking or session.response_active):
                await ask_for_words(session, STILL_RINGING.format(label=target.spoken_name))

    comforting = asyncio.ensure_future(comfort())
    try:
        yield
    finally:
        comforting.cancel()
        await asyncio.gather(comforting, return_exceptions=True)


def _outcome(warm: WarmOutcome) -> TransferOutcome | None:
    match warm:
        case WarmOutcome.JOINED:
            return None
        case WarmOutcome.BUSY:
            return TransferOutcome.BUSY
        case WarmOutcome.NO_ANSWER:
            return TransferOutcome.NO_ANSWER
        case WarmOutcome.DECLINED:
            return TransferOutcome.DECLINED
        case WarmOutcome.REFUSED:
            return TransferOutcome.REFUSED
        case WarmOutcome.UNAVAILABLE:
            return TransferOutcome.UNAVAILABLE
        case WarmOutcome.CALLER_GONE:
            return TransferOutcome.CALLER_GONE
        case never:
            assert_never(never)
