"""What a carrier does for a call that we hold: bring somebody in, send the caller elsewhere, end their leg.

Nobody is sent to a telephone that rings for nobody: the person is called first, told what the call is about,
and asked. Until they take it, nothing happens to the caller, who talks with the agent.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from sipagent.calls.incoming import CarrierLeg
from sipagent.calls.line import BringIn, CarrierSide, WarmOutcome
from sipagent.carrier.base import (
    DECLINED,
    HEARD,
    TAKEN,
    Callbacks,
    DialNumber,
    LegReport,
    OfferCall,
)
from sipagent.carrier.desk import CarrierDesk
from sipagent.carrier.markup import DECIDE_S, TEXML, TWIML
from sipagent.carrier.people import ByCommands, ByDocuments, People
from sipagent.carrier.plan import AFTER_THE_LAST
from sipagent.carrier.reports import Following, LegReports
from sipagent.carrier.rest import TexmlApi
from sipagent.carrier.settings import CallNumber, OfferManner
from sipagent.carrier.telnyx import TEXML_INTERFACE
from sipagent.carrier.telnyx_call_control import CALL_CONTROL_INTERFACE
from sipagent.errors import (
    CallControlRateLimitedError,
    CallControlRefusedError,
    CallControlUnavailableError,
    CallGoneError,
    CarrierError,
    CarrierLegGoneError,
    CarrierRefusedError,
    CarrierUnavailableError,
)

logger = logging.getLogger(__name__)

CHARACTERS_PER_S = 10.0
"""How fast a carrier's voice reads, at least."""
MARGIN_S = 15.0
"""For dialling, and for reports on their way."""
LOOK_S = 5.0
"""How often a person's leg is looked at when nothing is reported of it: reports get lost."""
FIRST_REPORT_S = 6.0
"""How long the first report may take of a call that the carrier has not said to have made."""
_OVER = {
    "busy": WarmOutcome.BUSY,
    "no_answer": WarmOutcome.NO_ANSWER,
    "canceled": WarmOutcome.NO_ANSWER,
    "failed": WarmOutcome.REFUSED,
}


def carrier_side(
    desk: CarrierDesk, reports: LegReports, leg: CarrierLeg, utc_now: Callable[[], datetime]
) -> CarrierSide | None:
    """What the carrier of ``leg`` can do for it; None where it has no API that we know how to use."""
    people: People
    if leg.carrier == "twilio" and desk.twilio is not None:
        people = ByDocuments(leg, desk.twilio, TWIML)
    elif leg.interface == TEXML_INTERFACE and desk.telnyx is not None and desk.telnyx_account is not None:
        api = TexmlApi(
            desk.telnyx, account=leg.account or "", application_id=desk.telnyx_account.connection_id
        )
        people = ByDocuments(leg, api, TEXML)
    elif leg.interface == CALL_CONTROL_INTERFACE and desk.call_control is not None:
        people = ByCommands(leg, desk.call_control)
    else:
        return None
    return CarrierLegSide(leg, desk, people, reports, utc_now)


class CarrierLegSide:
    """The carrier's side of one caller. Implements `sipagent.calls.line.CarrierSide`."""

    def __init__(
        self,
        leg: CarrierLeg,
        desk: CarrierDesk,
        people: People,
        reports: LegReports,
        utc_now: Callable[[], datetime],
    ) -> None:
        self._leg = leg
        self._planner = desk.planner
        self._manner = desk.settings.offers
        self._people = people
        self._reports = reports
        self._utc_now = utc_now

    async def bring_in(self, person: BringIn) -> WarmOutcome:
        """As `CarrierSide.bring_in`."""
        caller_id = self._planner.caller_id(self._leg)
        if caller_id is None:
            logger.warning("Nobody can be called: no number is known to show them; set caller_id")
            return WarmOutcome.REFUSED
        # Without a word about it, nobody could know that they are to listen.
        question = (
            self._manner.question if person.briefing else self._manner.question or OfferManner().question
        )
        callbacks = self._callbacks(secrets.token_hex(8), "" if question else HEARD)
        words = OfferCall(
            briefing=person.briefing,
            question=question,
            language=self._manner.language,
            answer_timeout_s=max(5, round(person.answer_timeout_s)),
            callbacks=callbacks,
        )
        number = person.number.removeprefix("tel:")
        offer = _Offer(number, caller_id, words, self._callbacks(), self._people, self._leg)
        return await offer.make(self._reports)

    async def send_to(self, target_uri: str) -> None:
        """As `CarrierSide.send_to`. When nobody answers there, the caller hears the plan's words."""
        instruction = DialNumber(
            number=target_uri,
            caller_id=self._planner.caller_id(self._leg),
            answer_timeout_s=CallNumber(number=target_uri).answer_timeout_s,
            callbacks=self._callbacks(),
        )
        with _in_words_of_calls():
            await self._people.send_caller(instruction)

    async def release(self) -> None:
        """As `CarrierSide.release`."""
        with _in_words_of_calls():
            await self._people.end(self._leg.carrier_call_id)

    def _callbacks(self, offer: str | None = None, route: str = "") -> Callbacks:
        now_s = self._utc_now().timestamp()
        return self._planner.callbacks(self._leg, route, AFTER_THE_LAST, now_s, offer)


class _Offer:
    """One attempt to bring one person in."""

    def __init__(
        self,
        number: str,
        caller_id: str,
        words: OfferCall,
        after: Callbacks,
        people: People,
        leg: CarrierLeg,
    ) -> None:
        self._number = number
        self._caller_id = caller_id
        self._words = words
        self._callbacks = words.callbacks
        self._after = after
        self._people = people
        self._leg = leg
        self._person_leg: str | None = None
        self._answered = False

    async def make(self, reports: LegReports) -> WarmOutcome:
        """Call, brief, ask, and connect; how it went. Whoever is not connected is not left ringing."""
        # By a task of its own: cancelled in the middle of it, nobody would know whom to hang up on.
        calling = asyncio.ensure_future(self._people.call(self._number, self._caller_id, self._words))
        outcome: WarmOutcome | None = None
        try:
            outcome = await self._called(calling, reports)
            if outcome is WarmOutcome.JOINED:
                outcome = await self._connected()
            return outcome
        finally:
            if outcome is not WarmOutcome.JOINED:
                await self._let_go(calling)

    async def _called(self, calling: asyncio.Future[str | None], reports: LegReports) -> WarmOutcome:
        placed = True
        try:
            self._person_leg = await asyncio.shield(calling)
        except CarrierRefusedError as error:
            logger.warning("The carrier does not call whom a caller is to be connected with: %s", error)
            return WarmOutcome.REFUSED
        except CarrierUnavailableError as error:
            logger.warning("The carrier did not say whether it calls: %s", error)
            if error.status is not None:
                return WarmOutcome.UNAVAILABLE
            placed = False
        leg = self._leg
        with reports.follow(leg.carrier, leg.carrier_call_id, offer=self._callbacks.place) as following:
            return await self._until_known(following, placed)

    async def _until_known(self, following: Following, placed: bool) -> WarmOutcome:
        """Follow the person's leg until it is clear whether they take the call."""
        loop = asyncio.get_running_loop()
        words_s = len(self._words.briefing + self._words.question) / CHARACTERS_PER_S
        ends_at = loop.time() + self._words.answer_timeout_s + words_s + DECIDE_S + MARGIN_S
        if not placed:
            report = await following.next(loop.time() + FIRST_REPORT_S)
            if report is None:
                return WarmOutcome.UNAVAILABLE
            self._person_leg = report.carrier_call_id
            if (outcome := await self._told(report)) is not None:
                return outcome
        while loop.time() < ends_at:
            report = await following.next(min(ends_at, loop.time() + LOOK_S))
            if report is not None:
                self._person_leg = self._person_leg or report.carrier_call_id
                outcome = await self._told(report)
            else:
                outcome = await self._looked()
            if outcome is not None:
                return outcome
        return WarmOutcome.DECLINED if self._answered else WarmOutcome.NO_ANSWER

    async def _told(self, report: LegReport) -> WarmOutcome | None:
        """What ``report`` makes clear; None for nothing yet."""
        if report.kind == TAKEN:
            return WarmOutcome.JOINED
        if report.kind == DECLINED:
            return WarmOutcome.DECLINED
        if report.kind == "answered" and not self._answered:
            self._answered = True
            try:
                await self._people.brief(report.carrier_call_id, self._words)
            except CarrierError as error:
                logger.warning("Whom a caller is to be connected with cannot be told so: %s", error)
                return WarmOutcome.UNAVAILABLE
        if report.kind == "completed":
            return WarmOutcome.DECLINED if self._answered else WarmOutcome.NO_ANSWER
        return _OVER.get(report.kind)

    async def _looked(self) -> WarmOutcome | None:
        """What the carrier says about the leg, of which nothing was reported for a while."""
        if self._person_leg is None:
            return None
        try:
            kind = await self._people.state(self._person_leg)
        except CarrierLegGoneError:
            kind = "completed"
        except CarrierError as error:
            logger.info("A leg cannot be looked at: %s", error)
            return None
        if kind == "completed":
            return WarmOutcome.DECLINED if self._answered else WarmOutcome.NO_ANSWER
        return _OVER.get(kind)

    async def _connected(self) -> WarmOutcome:
        assert self._person_leg is not None, "they have answered"
        try:
            await self._people.join(self._person_leg, self._callbacks.place, self._after)
        except CarrierLegGoneError as error:
            logger.info("A caller is gone who was to be connected: %s", error)
            return WarmOutcome.CALLER_GONE
        except CarrierError as error:
            logger.warning("A caller could not be connected, and stays: %s", error)
            return WarmOutcome.UNAVAILABLE
        return WarmOutcome.JOINED

    async def _let_go(self, calling: asyncio.Future[str | None]) -> None:
        """End the call to the person, wherever it is. Raises nothing of the carrier's."""
        try:
            self._person_leg = self._person_leg or await calling
            if self._person_leg is not None:
                await self._people.end(self._person_leg)
        except CarrierLegGoneError:
            return
        except CarrierError as error:
            logger.warning("A call to somebody could not be ended: %s", error)


@contextmanager
def _in_words_of_calls() -> Iterator[None]:
    """The seam at which a carrier's errors become those that a `Line` raises."""
    try:
        yield
    except CarrierLegGoneError as error:
        raise CallGoneError(str(error), status=error.status) from error
    except CarrierRefusedError as error:
        raise CallControlRefusedError(str(error), status=error.status) from error
    except CarrierError as error:
        kind = CallControlRateLimitedError if error.status == 429 else CallControlUnavailableError
        raise kind(str(error), status=error.status) from error
