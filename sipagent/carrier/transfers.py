"""What a carrier does for a call that we hold: bring somebody in, send the caller elsewhere, end their leg.

Nobody is sent to a telephone that rings for nobody: the person is called first, told what the call is about,
and asked. Until they take it, nothing happens to the caller, who talks with the agent.
"""

from __future__ import annotations

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
    JOINED,
    JOINING,
    TAKEN,
    Callbacks,
    DialNumber,
    OfferCall,
)
from sipagent.carrier.desk import CarrierDesk
from sipagent.carrier.markup import TEXML, TWIML
from sipagent.carrier.offer import Offer, let_go
from sipagent.carrier.people import ByCommands, ByDocuments, People
from sipagent.carrier.plan import AFTER_THE_LAST
from sipagent.carrier.reports import LegReports
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
)

logger = logging.getLogger(__name__)

_GONE = frozenset({"completed", "busy", "no_answer", "failed", "canceled", DECLINED})


def carrier_side(
    desk: CarrierDesk, reports: LegReports, leg: CarrierLeg, utc_now: Callable[[], datetime]
) -> CarrierSide | None:
    """What the carrier of ``leg`` can do for it; None where it has no API that we know how to use."""
    people = people_of(desk, leg)
    return None if people is None else CarrierLegSide(leg, desk, people, reports, utc_now)


def people_of(desk: CarrierDesk, leg: CarrierLeg) -> People | None:
    """By which people are called for ``leg``, and it is moved; None as for `carrier_side`."""
    if leg.carrier == "twilio" and desk.twilio is not None:
        return ByDocuments(leg, desk.twilio, TWIML)
    if leg.interface == TEXML_INTERFACE and desk.telnyx is not None and desk.telnyx_account is not None:
        api = TexmlApi(
            desk.telnyx, account=leg.account or "", application_id=desk.telnyx_account.connection_id
        )
        return ByDocuments(leg, api, TEXML)
    if leg.interface == CALL_CONTROL_INTERFACE and desk.call_control is not None:
        return ByCommands(leg, desk.call_control)
    return None


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

    async def bring_in(self, person: BringIn, moving: Callable[[], None]) -> WarmOutcome:
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
        offer = Offer(number, caller_id, words, self._callbacks(), self._people, self._leg, self._reports)
        sorry = self._planner.sorry(self._leg, callbacks.place, self._utc_now().timestamp())
        return await offer.make(moving, sorry, self._utc_now)

    async def call_off(self, *, caller_is_here: bool) -> None:
        """As `CarrierSide.call_off`."""
        leg = self._leg
        reports = await self._reports.of_offers(leg.carrier, leg.carrier_call_id)
        kinds: dict[tuple[str, str], set[str]] = {}
        for report in reports:
            assert report.offer is not None, "these are of offers"
            kinds.setdefault((report.offer, report.carrier_call_id), set()).add(report.kind)
        for (offer, person_leg), known in kinds.items():
            if known & _GONE or JOINED in known or (JOINING in known and not caller_is_here):
                continue
            logger.info("Somebody was being brought in by a process that is gone, and is let go")
            now_s = self._utc_now().timestamp()
            sorry = self._planner.sorry(leg, offer, now_s) if known & {"answered", TAKEN} else None
            await let_go(self._people, person_leg, sorry)

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
