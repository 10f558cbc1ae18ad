"""What the agent is told, and who helps instead, where a transfer failed or nobody is there at this hour."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from sipagent.calls.briefing import OpeningHours
from sipagent.calls.context import CallContext
from sipagent.calls.journal import CallJournal
from sipagent.calls.profile import TAKE_A_MESSAGE, TransferTarget
from sipagent.calls.variables import CallFacts, Opening, values_of
from sipagent.calls.ways_out import TransferOutcome
from sipagent.realtime import Handoff, RealtimeAgent, RealtimeSession, RunContextWrapper

logger = logging.getLogger(__name__)

_WHY = {
    TransferOutcome.REFUSED: "it was refused",
    TransferOutcome.UNAVAILABLE: "the telephone service did not answer",
    TransferOutcome.NOT_CONFIRMED: "nobody took the call",
    TransferOutcome.BUSY: "the line is busy",
    TransferOutcome.NO_ANSWER: "nobody answered",
    TransferOutcome.DECLINED: "they cannot take the call now",
    TransferOutcome.CALLER_GONE: "the call seems to be over",
}


class InsteadOfTransfer:
    """Of one call, as long as its session lasts."""

    def __init__(
        self,
        session: RealtimeSession,
        context: CallContext,
        calendars: Mapping[str, OpeningHours],
        *,
        journal: CallJournal,
        utc_now: Callable[[], datetime],
    ) -> None:
        """``calendars`` are those that targets name."""
        self._session = session
        self._context = context
        self._calendars = calendars
        self._journal = journal
        self._utc_now = utc_now

    def closed(self, target: TransferTarget) -> Opening | None:
        """What the target's calendar says, if nobody is there."""
        if target.calendar is None:
            return None
        opening = self._calendars[target.calendar].opening(self._utc_now())
        return None if opening.open else opening

    async def failed(self, target: TransferTarget, outcome: TransferOutcome) -> str:
        """What the agent is to be told of a transfer that failed; whoever is to help instead takes over."""
        why = _WHY.get(outcome, "it did not work")
        tried = f" on any of {len(target.uris)} lines" if len(target.uris) > 1 else ""
        offer = await self._offer(target)
        return (
            f"The transfer to {target.spoken_name} did not go through{tried}: {why}. The caller is still "
            f"with you: say so, and {offer}"
        )

    async def nobody_there(self, target: TransferTarget, opening: Opening) -> str:
        """As `failed`, where it is known before anybody was called: ``opening`` is what `closed` said."""
        assert target.calendar is not None, "somebody is always there without one"
        until = _until(target.calendar, opening, self._utc_now())
        self._journal.note(
            "transfer_outcome", target=target.name, outcome=TransferOutcome.CLOSED.value, until=until
        )
        reason = f" ({opening.reason})" if opening.reason else ""
        again = f", and there again from {until}" if until else ""
        offer = await self._offer(target)
        return (
            f"Nobody was called: {target.spoken_name} is closed now{reason}{again}. Tell the caller so, and "
            f"{offer}"
        )

    async def _offer(self, target: TransferTarget) -> str:
        """What the agent is to do instead, as the end of a sentence; an agent that does it takes over."""
        otherwise = target.otherwise
        if otherwise is None:
            return "offer another way to help."
        if otherwise == TAKE_A_MESSAGE:
            return "offer to take a message."
        if not await self._hand_over(otherwise):
            return f"offer the help of {otherwise}."
        self._journal.note("transfer_otherwise", target=target.name, agent=otherwise)
        return f"help them yourself: you are {otherwise} now, and lead the conversation."

    async def _hand_over(self, name: str) -> bool:
        """Let the agent ``name`` lead, if the one that leads may hand over to it."""
        leading = self._session.agent
        for way in leading.handoffs:
            if (way.agent_name if isinstance(way, Handoff) else way.name) != name:
                continue
            try:
                await self._session.update_agent(await self._agent_behind(way))
            except Exception as error:  # noqa: BLE001 - handoffs and instructions may be operators' functions
                logger.warning("%s could not take over: %s", name, type(error).__name__)
                return False
            return True
        logger.warning("Nobody took over: %s is no agent that %s hands over to", name, leading.name)
        return False

    async def _agent_behind(self, way: RealtimeAgent[Any] | Handoff[Any, Any]) -> RealtimeAgent[Any]:
        if isinstance(way, RealtimeAgent):
            return way
        agent: RealtimeAgent[Any] = await way.on_invoke_handoff(RunContextWrapper(self._context), "{}")
        return agent


def _until(calendar: str, opening: Opening, now: datetime) -> str | None:
    """When somebody is there again, in the words in which the agent knows of hours."""
    facts = CallFacts(caller=None, dialled=None, sip_headers=(), now=now, calendars={calendar: opening})
    return values_of(facts).get(f"calendar.{calendar}.until")
