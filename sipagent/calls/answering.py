"""From ringing to an open socket, under one deadline: what is known of the call, accept, attach."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from sipagent.calls.context import CallContext
from sipagent.calls.endings import Ending, EndReason
from sipagent.calls.incoming import IncomingCall
from sipagent.calls.journal import CallJournal
from sipagent.calls.lifecycle import CallState
from sipagent.calls.lookup import LONGEST_TIMEOUT_S, LookupOutcome
from sipagent.calls.measuring import CallMeasures
from sipagent.calls.preparation import CallSession, PreparedProfile
from sipagent.calls.services import CallServices
from sipagent.errors import (
    AttachError,
    AttachNotFoundError,
    CallControlError,
    CallControlRateLimitedError,
    CallControlRefusedError,
    CallGoneError,
    UserError,
)
from sipagent.realtime import (
    OpenAIRealtimeSIPModel,
    RealtimeModelConfig,
    RealtimeModelEvent,
    RealtimeModelListener,
    RealtimeModelSessionEvent,
    RealtimeRunner,
    RealtimeSession,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A call that is up, and its session, which is open."""

    session: RealtimeSession
    context: CallContext
    expiry: SessionExpiry


class SessionExpiry(RealtimeModelListener):
    """When the API will close a session, as it said at the beginning. Listens until then, and no longer."""

    def __init__(self, session: RealtimeSession) -> None:
        """Hears of ``session``, which is not entered yet."""
        self._session = session
        self._at_unix_s: int | None = None
        self._told: Callable[[int], None] | None = None
        session.model.add_listener(self)

    def tell(self, told: Callable[[int], None]) -> None:
        """Call ``told``, once, as soon as it is known: with seconds since 1970 UTC, on the API's clock."""
        self._told = told
        if self._at_unix_s is not None:
            told(self._at_unix_s)

    async def on_event(self, event: RealtimeModelEvent) -> None:
        """See `RealtimeModelListener.on_event`."""
        if not isinstance(event, RealtimeModelSessionEvent) or event.expires_at is None:
            return
        self._session.model.remove_listener(self)
        self._at_unix_s = event.expires_at
        if self._told is not None:
            self._told(event.expires_at)

    def take_now(self, event: RealtimeModelEvent) -> bool:
        """See `RealtimeModelListener.take_now`."""
        return not isinstance(event, RealtimeModelSessionEvent)


class Answering:
    """The answering of one call."""

    def __init__(
        self,
        incoming: IncomingCall,
        *,
        services: CallServices,
        journal: CallJournal,
        measures: CallMeasures,
        received_at: float,
        called_at: datetime,
    ) -> None:
        """``received_at`` is when the webhook came, in ``loop.time()`` seconds; ``called_at`` the same moment
        on the clock that people read."""
        self._incoming = incoming
        self._services = services
        self._journal = journal
        self._measures = measures
        self._received_at = received_at
        self._called_at = called_at
        self._deadline = received_at + services.settings.answer_timeout_s

    async def answer(self, prepared: PreparedProfile, context: CallContext) -> Answered | Ending:
        """Answer with ``prepared``; the open session, or why there is no call. Whoever gets the session
        closes it.

        ``context`` is what is known so far. Cancel-safe, but for what the API has done by then.
        """
        self._journal.enter(CallState.ACCEPTING)
        context = await self._find_out(prepared, context)
        answer = await self._accept(prepared, context)
        if isinstance(answer, Ending):
            return answer
        self._journal.enter(CallState.ATTACHING)
        session = await self._new_session(prepared, answer, context)
        expiry = SessionExpiry(session)
        try:
            async with asyncio.timeout_at(self._deadline):
                await session.enter()
        except AttachNotFoundError as error:
            return Ending(reason=EndReason.SESSION_NOT_FOUND, detail=str(error))
        except AttachError as error:
            return Ending(reason=EndReason.ATTACH_FAILED, detail=str(error))
        except UserError as error:
            return Ending(reason=EndReason.OPERATOR_CODE_FAILED, detail=str(error))
        except TimeoutError:
            timeout_s = self._services.settings.answer_timeout_s
            detail = f"The socket was not open {timeout_s:g} s after the webhook."
            return Ending(reason=EndReason.ATTACH_FAILED, detail=detail)
        self._measures.reached("attached")
        return Answered(session=session, context=context, expiry=expiry)

    async def _find_out(self, prepared: PreparedProfile, context: CallContext) -> CallContext:
        """``context`` with what the variables of this call stand for."""
        briefed = await prepared.briefing.about(
            self._incoming,
            now=self._called_at,
            deadline=min(self._deadline, self._received_at + LONGEST_TIMEOUT_S),
            http=self._services.http,
        )
        if briefed.outcomes:
            self._journal.note(
                "variables_looked_up", lookups=[_looked_up(outcome) for outcome in briefed.outcomes]
            )
        return replace(context, variables=briefed.values)

    async def _accept(self, prepared: PreparedProfile, context: CallContext) -> CallSession | Ending:
        """Accept; what was answered with, or why there is no call."""
        try:
            async with asyncio.timeout_at(self._deadline):
                answer = await prepared.session_for(context)
        except UserError as error:
            logger.error("No session could be made for this call: %s", error, exc_info=error)
            return await self._not_made(str(error))
        except TimeoutError:
            return await self._not_made("The functions that make the session took too long.")
        try:
            self._measures.reached("accept_asked")
            await self._services.client.accept(self._incoming.call_id, answer.accept, deadline=self._deadline)
        except CallGoneError as error:
            return Ending(reason=EndReason.CALLER_GONE, detail=str(error), hang_up=False)
        except CallControlError as error:
            self._services.metrics.accept_failed(error.status)
            await self._stop_ringing()
            match error:
                case CallControlRateLimitedError():
                    reason = EndReason.ACCEPT_RATE_LIMITED
                case CallControlRefusedError():
                    reason = EndReason.ACCEPT_REFUSED
                case _:
                    reason = EndReason.ACCEPT_UNAVAILABLE
            return Ending(reason=reason, detail=str(error), hang_up=False)
        self._measures.reached("accepted")
        return answer

    async def _not_made(self, detail: str) -> Ending:
        await self._stop_ringing()
        return Ending(reason=EndReason.OPERATOR_CODE_FAILED, detail=detail, hang_up=False)

    async def _stop_ringing(self) -> None:
        """After an accept that failed for good: tell the carrier, which may know another route."""
        loop = asyncio.get_running_loop()
        settings = self._services.settings
        try:
            await self._services.client.reject(
                self._incoming.call_id,
                settings.failed_accept_reject_status,
                deadline=min(self._deadline, loop.time() + settings.hang_up_timeout_s),
            )
        except CallControlError as error:
            logger.info("The call could not be refused either, and is left to ring out: %s", error)

    async def _new_session(
        self, prepared: PreparedProfile, answer: CallSession, context: CallContext
    ) -> RealtimeSession:
        runner = RealtimeRunner(
            answer.agent,
            model=OpenAIRealtimeSIPModel(attach_policy=self._services.settings.attach),
            config={
                "model_settings": prepared.profile.settings,
                "settings_of_agent": prepared.team.settings_of_agent,
            },
        )
        config: RealtimeModelConfig = {
            "api_key": self._services.api_key,
            "base_url": self._services.base_url,
            "call_id": self._incoming.call_id,
        }
        if answer.first_update is not None:
            config["first_update"] = answer.first_update
        return await runner.run(context=context, model_config=config)


def _looked_up(outcome: LookupOutcome) -> dict[str, object]:
    """What of a lookup is fit for logs and records: no value, and no header."""
    fields: dict[str, object] = {
        "lookup": outcome.name,
        "failure": outcome.failure,
        "defaulted": list(outcome.defaulted),
        "milliseconds": round(outcome.milliseconds, 1),
    }
    level = logging.INFO if outcome.failure is None else logging.WARNING
    logger.log(level, "Lookup %s: %s", outcome.name, outcome.failure or "found", extra={"fields": fields})
    return fields
