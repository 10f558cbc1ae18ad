"""What becomes of people whom a caller was offered to, whichever process of ours lives to see it.

Whoever made the offer moves the caller and the person. They may be gone by then: so a person who has taken a
call waits at their carrier, which was told beforehand for how long, and what is said then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from datetime import datetime

from sipagent.carrier.base import (
    DECLINED,
    JOINED,
    JOINING,
    TAKEN,
    HangUp,
    Instruction,
    LegReport,
    OfferAnswer,
    PersonLeft,
    PersonWaited,
)
from sipagent.carrier.desk import CarrierDesk
from sipagent.carrier.plan import AFTER_THE_LAST
from sipagent.carrier.reports import LegReports
from sipagent.carrier.tokens import LegToken
from sipagent.carrier.transfers import people_of
from sipagent.errors import CarrierError

logger = logging.getLogger(__name__)

STORE_WAIT_S = 0.2
"""The longest it is asked for whether a person is being put together with the caller."""
SETTLE_S = 0.25
"""How long a carrier may take from our answer to doing as it says."""
ALONE_S = 2.0
"""So long after a person has left, a caller who met them has left as well."""


class Offered:
    """The people of one service's offers."""

    def __init__(self, reports: LegReports, utc_now: Callable[[], datetime]) -> None:
        self._reports = reports
        self._utc_now = utc_now

    def follows(self, desk: CarrierDesk, answer: OfferAnswer) -> Instruction:
        """What a person does who has said whether they take a call."""
        if not answer.taken:
            return HangUp()
        offer = _offer_of(answer.token)
        return desk.planner.hold(answer.token.leg, offer, self._utc_now().timestamp())

    async def waits(
        self, answer: OfferAnswer, hold: Callable[[], Coroutine[None, None, None]] | None
    ) -> None:
        """Let who made the offer know of ``answer``, which they follow by the reports, once the person waits:
        by commands, which ``hold`` gives, or by the document that is the answer to a webhook. Moved before
        that, they might be taken away again from where they were moved to."""
        if hold is not None:
            await hold()
        elif answer.taken:
            await asyncio.sleep(SETTLE_S)
        offer = _offer_of(answer.token)
        self._reports.note(
            LegReport(
                carrier=answer.token.leg.carrier,
                carrier_call_id=answer.carrier_call_id,
                parent_call_id=answer.token.leg.carrier_call_id,
                kind=TAKEN if answer.taken else DECLINED,
                at=self._utc_now(),
                # The first answer counts.
                event_id=f"{answer.carrier_call_id}:offer:{offer}",
                offer=offer,
            )
        )

    async def waited(self, desk: CarrierDesk, waited: PersonWaited) -> Instruction | None:
        """A person was patient enough, unless they are being put together with the caller."""
        token = waited.token
        if await self._reported(token, JOINING):
            return None
        logger.warning("Somebody who has taken a call waited for a caller who does not come")
        return desk.planner.sorry(token.leg, _offer_of(token), self._utc_now().timestamp())

    async def left(self, desk: CarrierDesk, left: PersonLeft) -> None:
        """Let no caller wait for a person who has hung up in the moment in which they were to meet."""
        await asyncio.sleep(ALONE_S)
        token = left.token
        people = people_of(desk, token.leg)
        if people is None or not await self._reported(token, JOINED):
            return
        leg_id = token.leg.carrier_call_id
        try:
            if await people.state(leg_id) not in ("answered", "in_progress"):
                return
            logger.warning("A caller is alone whose person has hung up when they were to meet")
            now_s = self._utc_now().timestamp()
            await people.say(leg_id, desk.planner.farewell(token.leg, AFTER_THE_LAST, now_s))
        except CarrierError as error:
            logger.info("A caller may be alone, and cannot be told so: %s", error)

    async def _reported(self, token: LegToken, kind: str) -> bool:
        leg = token.leg
        offer = _offer_of(token)
        return await self._reports.has(
            leg.carrier, leg.carrier_call_id, kind, offer=offer, within_s=STORE_WAIT_S
        )


def _offer_of(token: LegToken) -> str:
    assert token.offer is not None, "it is the token of an offer"
    return token.offer
