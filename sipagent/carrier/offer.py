"""One attempt to bring a person to a caller: they are called, told, asked, and put together with them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from sipagent.calls.incoming import CarrierLeg
from sipagent.calls.line import WarmOutcome
from sipagent.carrier.base import (
    DECLINED,
    JOINED,
    JOINING,
    TAKEN,
    Callbacks,
    LegReport,
    OfferCall,
    SayAndHangUp,
)
from sipagent.carrier.markup import DECIDE_S
from sipagent.carrier.people import People
from sipagent.carrier.reports import Following, LegReports
from sipagent.errors import CarrierError, CarrierLegGoneError, CarrierRefusedError, CarrierUnavailableError

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


class Offer:
    """One attempt to bring one person in."""

    def __init__(
        self,
        number: str,
        caller_id: str,
        words: OfferCall,
        after: Callbacks,
        people: People,
        leg: CarrierLeg,
        reports: LegReports,
    ) -> None:
        self._number = number
        self._caller_id = caller_id
        self._words = words
        self._callbacks = words.callbacks
        self._after = after
        self._people = people
        self._leg = leg
        self._reports = reports
        self._person_leg: str | None = None
        self._answered = False
        self._taken = False
        self._joined = False

    async def make(
        self, moving: Callable[[], None], sorry: SayAndHangUp, utc_now: Callable[[], datetime]
    ) -> WarmOutcome:
        """Call, brief, ask, and connect; how it went. Whoever is not connected is not left ringing, and who
        has taken the call is told ``sorry``."""
        # By a task of its own: cancelled in the middle of it, nobody would know whom to hang up on.
        calling = asyncio.ensure_future(self._people.call(self._number, self._caller_id, self._words))
        try:
            outcome = await self._called(calling)
            if outcome is WarmOutcome.JOINED:
                self._taken = True
                outcome = await self._connected(moving, utc_now)
            return outcome
        finally:
            if not self._joined:
                await self._end(calling, sorry)

    async def _called(self, calling: asyncio.Future[str | None]) -> WarmOutcome:
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
        with self._reports.follow(leg.carrier, leg.carrier_call_id, offer=self._callbacks.place) as following:
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

    async def _connected(self, moving: Callable[[], None], utc_now: Callable[[], datetime]) -> WarmOutcome:
        assert self._person_leg is not None, "they have answered"
        place = self._callbacks.place
        self._note(JOINING, utc_now())
        try:
            # The person first: nobody may hang up on a caller who is alone already.
            room = await self._people.admit(self._person_leg, place, self._after)
        except CarrierLegGoneError:
            return WarmOutcome.DECLINED
        except CarrierError as error:
            logger.warning("Somebody who takes a call could not be connected: %s", error)
            return WarmOutcome.UNAVAILABLE
        moving()
        joining = asyncio.ensure_future(self._people.join(room, place, self._after))
        try:
            await asyncio.shield(joining)
        except asyncio.CancelledError:
            # Perhaps because the caller has left us for where they were moved to: the person must not be
            # hung up on who waits there.
            while not joining.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([joining])
            if joining.exception() is None:
                self._is_joined(utc_now())
            raise
        except CarrierLegGoneError as error:
            logger.info("A caller is gone who was to be connected: %s", error)
            return WarmOutcome.CALLER_GONE
        except CarrierError as error:
            logger.warning("A caller could not be connected, and stays: %s", error)
            return WarmOutcome.UNAVAILABLE
        self._is_joined(utc_now())
        return WarmOutcome.JOINED

    def _is_joined(self, at: datetime) -> None:
        self._joined = True
        self._note(JOINED, at)

    def _note(self, kind: str, at: datetime) -> None:
        """For whoever finds the person when this process is gone."""
        assert self._person_leg is not None, "they have answered"
        offer = self._callbacks.place
        self._reports.note(
            LegReport(
                carrier=self._leg.carrier,
                carrier_call_id=self._person_leg,
                parent_call_id=self._leg.carrier_call_id,
                kind=kind,
                at=at,
                event_id=f"{self._person_leg}:{kind}:{offer}",
                offer=offer,
            )
        )

    async def _end(self, calling: asyncio.Future[str | None], sorry: SayAndHangUp) -> None:
        """End the call to the person, wherever it is. Raises nothing of the carrier's."""
        try:
            self._person_leg = self._person_leg or await calling
        except CarrierError as error:
            logger.info("A call to somebody was not made after all: %s", error)
        if self._person_leg is not None:
            await let_go(self._people, self._person_leg, sorry if self._taken else None)


async def let_go(people: People, person_leg: str, sorry: SayAndHangUp | None) -> None:
    """End the leg of a person, who hears ``sorry`` before. Raises nothing of the carrier's."""
    try:
        if sorry is not None:
            try:
                await people.say(person_leg, sorry)
                return
            except CarrierRefusedError as error:
                logger.info("Somebody who waits cannot be told that nobody comes: %s", error)
        await people.end(person_leg)
    except CarrierLegGoneError:
        return
    except CarrierError as error:
        logger.warning("A call to somebody could not be ended: %s", error)
