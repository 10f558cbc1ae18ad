"""From ringing to an open socket, under one deadline: what is known of the call, accept, attach."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from sipagent.calls.checkpoint import Checkpoint
from sipagent.calls.context import CallContext
from sipagent.calls.endings import Ending, EndReason
from sipagent.calls.incoming import IncomingCall
from sipagent.calls.journal import CallJournal
from sipagent.calls.lease import Lease
from sipagent.calls.lifecycle import CallState
from sipagent.calls.line import Line
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
    NotOursError,
    UserError,
)
from sipagent.identifiers import ToolCallId
from sipagent.realtime import (
    AssistantAudio,
    AssistantMessageItem,
    InputAudio,
    PendingToolCall,
    RealtimeItem,
    RealtimeModel,
    RealtimeModelConfig,
    RealtimeModelEvent,
    RealtimeModelListener,
    RealtimeModelSessionEvent,
    RealtimeRunner,
    RealtimeSession,
    RealtimeTakeover,
    UserMessageItem,
)
from sipagent.store import CallRecord, TranscriptLineSaid

logger = logging.getLogger(__name__)

TAKEN_OVER_ANSWER_S = 5.0
"""How long a call that another process was about to answer may ring on at least."""


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
        line: Line,
        *,
        services: CallServices,
        journal: CallJournal,
        measures: CallMeasures,
        received_at: float,
        called_at: datetime,
        lease: Lease | None = None,
    ) -> None:
        """``received_at`` is when the webhook came, in ``loop.time()`` seconds; ``called_at`` the same moment
        on the clock that people read. ``lease`` says whether this process may act for the call."""
        self._incoming = incoming
        self._line = line
        self._services = services
        self._journal = journal
        self._measures = measures
        self._received_at = received_at
        self._called_at = called_at
        self._lease = lease
        self.session: RealtimeSession | None = None
        """The session from when it is made, open or not."""
        self._deadline = received_at + services.settings.answer_timeout_s

    async def answer(
        self, prepared: PreparedProfile, context: CallContext, *, maybe_accepted: bool = False
    ) -> Answered | Ending:
        """Answer with ``prepared``; the open session, or why there is no call. Whoever gets the session
        closes it.

        ``context`` is what is known so far; ``maybe_accepted``: another process may have accepted the call
        before it was gone. Cancel-safe, but for what the API has done by then.
        """
        if self._journal.state is not CallState.ACCEPTING:
            self._journal.enter(CallState.ACCEPTING)
        if maybe_accepted:
            loop = asyncio.get_running_loop()
            self._deadline = max(self._deadline, loop.time() + TAKEN_OVER_ANSWER_S)
        context = await self._find_out(prepared, context)
        model = self._line.model(prepared.profile)
        answered: Answered | Ending | None = None
        try:
            answered = await self._answer(prepared, context, model, maybe_accepted=maybe_accepted)
            return answered
        finally:
            if not isinstance(answered, Answered):
                await model.close()

    async def _answer(
        self, prepared: PreparedProfile, context: CallContext, model: RealtimeModel, *, maybe_accepted: bool
    ) -> Answered | Ending:
        answer = await self._accept(prepared, context, model, maybe_accepted=maybe_accepted)
        if isinstance(answer, Ending):
            return answer
        # Until here, whoever takes the call over finds them out anew.
        self._journal.enter(CallState.ATTACHING, variables=dict(context.variables))
        # Whoever accepted it may have begun to talk as well, and have had no time to say so.
        takeover = RealtimeTakeover() if maybe_accepted else None
        session = await self._new_session(prepared, answer, context, model, takeover=takeover)
        return await self._enter(session, context)

    async def take_over(
        self,
        prepared: PreparedProfile,
        context: CallContext,
        checkpoint: Checkpoint,
        known: CallRecord | None,
    ) -> Answered | Ending:
        """Attach to a call that another process held; ``prepared`` is of the agent that led it, ``known``
        what the store knows. Ends, raises and may be cancelled as `answer`; a call that is over ends as one
        whose caller hung up.
        """
        loop = asyncio.get_running_loop()
        self._deadline = loop.time() + self._services.settings.answer_timeout_s
        try:
            async with asyncio.timeout_at(self._deadline):
                answer = await prepared.session_for(context)
        except (UserError, TimeoutError) as error:
            detail = f"No session could be made when the call was taken over: {error}"
            return Ending(reason=EndReason.OPERATOR_CODE_FAILED, detail=detail)
        model = self._line.model(prepared.profile)
        takeover = takeover_of(checkpoint, known)
        session = await self._new_session(prepared, answer, context, model, takeover=takeover)
        answered = await self._enter(session, context)
        if isinstance(answered, Ending) and answered.reason is EndReason.SESSION_NOT_FOUND:
            detail = "The call was over before it could be taken over from a process that was gone."
            return Ending(reason=EndReason.CALLER_HUNG_UP, detail=detail, hang_up=False)
        return answered

    async def _enter(self, session: RealtimeSession, context: CallContext) -> Answered | Ending:
        self.session = session
        expiry = SessionExpiry(session)
        try:
            async with asyncio.timeout_at(self._deadline):
                await session.enter()
        except AttachNotFoundError as error:
            return Ending(reason=EndReason.SESSION_NOT_FOUND, detail=str(error))
        except NotOursError:
            raise
        except AttachError as error:
            return Ending(reason=EndReason.ATTACH_FAILED, detail=str(error))
        except UserError as error:
            return Ending(reason=EndReason.OPERATOR_CODE_FAILED, detail=str(error))
        except TimeoutError:
            timeout_s = self._services.settings.answer_timeout_s
            detail = f"The socket was not open {timeout_s:g} s after the webhook."
            return Ending(reason=EndReason.ATTACH_FAILED, detail=detail)
        self._measures.reached("attached")
        logger.info("%s answers", session.agent.name, extra={"fields": {"agent": session.agent.name}})
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

    async def _accept(
        self, prepared: PreparedProfile, context: CallContext, model: RealtimeModel, *, maybe_accepted: bool
    ) -> CallSession | Ending:
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
            async with asyncio.timeout_at(self._deadline):
                await self._permitted()
        except TimeoutError:
            detail = "Until the caller had waited for too long, nobody could say whose the call is."
            return Ending(reason=EndReason.ACCEPT_UNAVAILABLE, detail=detail, hang_up=False)
        try:
            self._measures.reached("accept_asked")
            # The request is on its way before this begins.
            model.approach(self._model_config(answer))
            await self._line.accept(answer, deadline=self._deadline, maybe_accepted=maybe_accepted)
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
            await self._line.reject(
                settings.failed_accept_reject_status,
                deadline=min(self._deadline, loop.time() + settings.hang_up_timeout_s),
            )
        except CallControlError as error:
            logger.info("The call could not be refused either, and is left to ring out: %s", error)

    async def _permitted(self) -> None:
        if self._lease is not None and not self._lease.held:
            await self._lease.wait()

    async def _new_session(
        self,
        prepared: PreparedProfile,
        answer: CallSession,
        context: CallContext,
        model: RealtimeModel,
        *,
        takeover: RealtimeTakeover | None,
    ) -> RealtimeSession:
        runner = RealtimeRunner(
            answer.agent,
            model=model,
            config={
                "model_settings": prepared.profile.settings,
                "settings_of_agent": prepared.team.settings_of_agent,
            },
        )
        config = self._model_config(answer)
        return await runner.run(context=context, model_config=config, takeover=takeover)

    def _model_config(self, answer: CallSession) -> RealtimeModelConfig:
        config: RealtimeModelConfig = {
            **self._line.model_config(answer),
            "api_key": self._services.api_key,
            "base_url": self._services.base_url,
        }
        if self._lease is not None:
            config["permission"] = self._lease
        return config


def takeover_of(checkpoint: Checkpoint, known: CallRecord | None) -> RealtimeTakeover:
    """What is known of the conversation that is taken over."""
    lines = () if known is None else known.transcript
    return RealtimeTakeover(
        history=tuple(_item_of(line) for line in lines),
        pending=tuple(
            PendingToolCall(tool_call_id=ToolCallId(tool_call_id), name=tool.name, arguments=tool.arguments)
            for tool_call_id, tool in checkpoint.tools.items()
        ),
    )


def _item_of(line: TranscriptLineSaid) -> RealtimeItem:
    if line.role == "caller":
        return UserMessageItem(
            item_id=line.item_id, content=(InputAudio(transcript=line.text),), position=line.position
        )
    return AssistantMessageItem(
        item_id=line.item_id,
        content=(AssistantAudio(transcript=line.text),),
        interrupted=line.interrupted,
        position=line.position,
    )


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
