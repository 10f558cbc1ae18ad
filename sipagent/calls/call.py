"""One telephone call, from ringing to its last record: the boundary that no failure crosses.

`PhoneCall.run` answers under one deadline, holds the conversation, and always ends with exactly one
terminal fact. Whatever goes wrong in it stays in it: the service's other calls never notice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

import aiohttp

from sipagent.calls.actions import CallContext
from sipagent.calls.client import CallsClient
from sipagent.calls.endings import EndReason, fault_owner
from sipagent.calls.incoming import IncomingCall
from sipagent.calls.journal import CallJournal
from sipagent.calls.lifecycle import CallState
from sipagent.calls.lookup import LONGEST_TIMEOUT_S, LookupOutcome
from sipagent.calls.preparation import CallSession, PreparedProfile
from sipagent.calls.profile import CallTool, TransferTarget
from sipagent.calls.second_try import SecondTry
from sipagent.calls.watch import CallLimits, CallWatch
from sipagent.clock import utc_now
from sipagent.errors import (
    AttachError,
    AttachNotFoundError,
    CallControlError,
    CallControlRateLimitedError,
    CallControlRefusedError,
    CallGoneError,
    UserError,
)
from sipagent.identifiers import CallId
from sipagent.realtime import (
    AttachPolicy,
    OpenAIRealtimeSIPModel,
    RealtimeModelConfig,
    RealtimeRunner,
    RealtimeSession,
    SessionEnd,
)
from sipagent.realtime.session_events import (
    RealtimeConnectionLost,
    RealtimeConnectionRestored,
    RealtimeError,
    RealtimeResponseEnded,
    RealtimeSessionEvent,
    RealtimeToolEnd,
)
from sipagent.telemetry import CallTimeline, Latency, Metrics, Point, bind_call

logger = logging.getLogger(__name__)

CallObserver = Callable[[CallId, RealtimeSessionEvent], None]
"""Sees every session event of every call; returns quickly and never raises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSettings:
    """How calls are answered and ended. All times are in seconds."""

    answer_timeout_s: float = 15.0
    """From webhook to greeting asked for. Callers hear ringing meanwhile."""
    finish_speaking_timeout_s: float = 20.0
    """How long a hang-up or transfer waits for the agent's last words, if their end is never reported."""
    transfer_confirm_s: float = 10.0
    """A transferred call leaves us within this time, or the transfer counts as failed."""
    hang_up_timeout_s: float = 6.0
    """How long the hang-up itself may take, with its retries."""
    drain_reject_status: int = 503
    """503 tells the carrier to try its next route."""
    no_route_reject_status: int = 404
    failed_accept_reject_status: int = 503
    limits: CallLimits = field(default_factory=CallLimits)
    attach: AttachPolicy = field(default_factory=AttachPolicy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """Why and how a call ends."""

    reason: EndReason
    detail: str
    hang_up: bool = True
    """Whether the call may still be up at the API, and must be hung up lest it go on without us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallServices:
    """What every call of a service shares."""

    client: CallsClient
    api_key: str
    base_url: str
    metrics: Metrics
    settings: CallSettings
    observe: CallObserver
    http: aiohttp.ClientSession | None = None
    """Connections for lookups (`open_lookup_session`), shared by all calls; None opens some for each call."""


class PhoneCall:
    """One call. `run` is its whole life."""

    def __init__(
        self,
        incoming: IncomingCall,
        *,
        services: CallServices,
        journal: CallJournal,
        received_at: float,
        called_at: datetime | None = None,
    ) -> None:
        """``received_at`` is when the webhook came, in ``loop.time()`` seconds; ``called_at`` the same moment
        on the clock that people read, for what the agent is told of date and opening hours, by default now.
        """
        self._incoming = incoming
        self._services = services
        self._journal = journal
        self._received_at = received_at
        self._called_at = utc_now() if called_at is None else called_at
        self._timeline = CallTimeline()
        self._timeline.mark("webhook_received", received_at)
        self._session: RealtimeSession | None = None
        self._context = CallContext(
            call_id=incoming.call_id,
            caller=incoming.caller,
            dialled=incoming.dialled,
            sip_headers=incoming.sip_headers,
            controls=self,
        )

    async def run(self, prepared: PreparedProfile | None, *, refuse: EndReason | None = None) -> None:
        """Answer with ``prepared``, or refuse for ``refuse``; return when the call is over.

        Raises nothing but `asyncio.CancelledError`: being cancelled hangs the call up first.
        """
        ending = Ending(reason=EndReason.INTERNAL_ERROR, detail="The call ended without saying why.")
        with bind_call(self._incoming.call_id):
            try:
                if prepared is None or refuse is not None:
                    ending = await self._refuse(refuse or EndReason.REJECTED_NO_ROUTE)
                else:
                    ending = await self._answer(prepared)
            except asyncio.CancelledError:
                ending = Ending(
                    reason=EndReason.SERVICE_STOPPED,
                    detail="The service stopped before the call was over.",
                )
                await self._hang_up()
                raise
            except Exception as error:  # the wall: one bad call can hurt no other
                logger.exception("The call ended by a defect of ours")
                ending = Ending(
                    reason=EndReason.INTERNAL_ERROR,
                    detail=f"A defect of ours: {type(error).__name__}. The log has the traceback.",
                )
                await self._hang_up()
            finally:
                self._end(ending)

    # Answering -------------------------------------------------------------------------------------

    async def _refuse(self, reason: EndReason) -> Ending:
        settings = self._services.settings
        status = settings.no_route_reject_status
        if reason is EndReason.REJECTED_DRAINING:
            status = settings.drain_reject_status
        self._journal.enter(CallState.REJECTING)
        try:
            await self._services.client.reject(
                self._incoming.call_id, status, deadline=self._received_at + settings.answer_timeout_s
            )
        except CallGoneError as error:
            return Ending(reason=EndReason.CALLER_GONE, detail=str(error), hang_up=False)
        except CallControlError as error:
            logger.warning("The refusal did not reach the caller: %s", error)
        return Ending(reason=reason, detail=f"Refused with SIP status {status}.", hang_up=False)

    async def _answer(self, prepared: PreparedProfile) -> Ending:
        deadline = self._received_at + self._services.settings.answer_timeout_s
        answer = await self._accept(prepared, deadline)
        if isinstance(answer, Ending):
            return answer
        self._journal.enter(CallState.ATTACHING)
        session = await self._new_session(prepared, answer)
        self._session = session
        try:
            async with asyncio.timeout_at(deadline):
                await session.enter()
        except AttachNotFoundError as error:
            return await self._hung_up(Ending(reason=EndReason.SESSION_NOT_FOUND, detail=str(error)))
        except AttachError as error:
            return await self._hung_up(Ending(reason=EndReason.ATTACH_FAILED, detail=str(error)))
        except UserError as error:
            return await self._hung_up(Ending(reason=EndReason.OPERATOR_CODE_FAILED, detail=str(error)))
        except TimeoutError:
            detail = (
                f"The socket was not open {self._services.settings.answer_timeout_s:g} s after the webhook."
            )
            return await self._hung_up(Ending(reason=EndReason.ATTACH_FAILED, detail=detail))
        try:
            self._mark("attached")
            self._journal.enter(CallState.TALKING)
            greeting = prepared.greeting_for(self._context)
            if greeting is not None:
                await session.say(greeting)
                self._mark("greeting_asked")
            ending = await self._converse(session, greeting)
            return await self._hung_up(ending)
        finally:
            await session.close()

    async def _accept(self, prepared: PreparedProfile, deadline: float) -> CallSession | Ending:
        """Answer; what was answered with, or why there is no call."""
        self._journal.enter(CallState.ACCEPTING)
        await self._find_out(prepared, deadline)
        try:
            async with asyncio.timeout_at(deadline):
                answer = await prepared.session_for(self._context)
        except UserError as error:
            logger.error("No session could be made for this call: %s", error, exc_info=error)
            return await self._not_made(str(error), deadline)
        except TimeoutError:
            return await self._not_made("The functions that make the session took too long.", deadline)
        try:
            self._mark("accept_asked")
            await self._services.client.accept(self._incoming.call_id, answer.accept, deadline=deadline)
        except CallGoneError as error:
            return Ending(reason=EndReason.CALLER_GONE, detail=str(error), hang_up=False)
        except CallControlError as error:
            self._services.metrics.accept_failed(error.status)
            await self._stop_ringing(deadline)
            match error:
                case CallControlRateLimitedError():
                    reason = EndReason.ACCEPT_RATE_LIMITED
                case CallControlRefusedError():
                    reason = EndReason.ACCEPT_REFUSED
                case _:
                    reason = EndReason.ACCEPT_UNAVAILABLE
            return Ending(reason=reason, detail=str(error), hang_up=False)
        self._mark("accepted")
        return answer

    async def _not_made(self, detail: str, deadline: float) -> Ending:
        await self._stop_ringing(deadline)
        return Ending(reason=EndReason.OPERATOR_CODE_FAILED, detail=detail, hang_up=False)

    async def _find_out(self, prepared: PreparedProfile, deadline: float) -> None:
        """Fill the context with what the variables of this call stand for."""
        briefed = await prepared.briefing.about(
            self._incoming,
            now=self._called_at,
            deadline=min(deadline, self._received_at + LONGEST_TIMEOUT_S),
            http=self._services.http,
        )
        self._context = replace(self._context, variables=briefed.values)
        for outcome in briefed.outcomes:
            self._looked_up(outcome)

    def _looked_up(self, outcome: LookupOutcome) -> None:
        fields = {
            "lookup": outcome.name,
            "failure": outcome.failure,
            "defaulted": list(outcome.defaulted),
            "milliseconds": round(outcome.milliseconds, 1),
        }
        level = logging.INFO if outcome.failure is None else logging.WARNING
        logger.log(level, "Lookup %s: %s", outcome.name, outcome.failure or "found", extra={"fields": fields})

    async def _stop_ringing(self, deadline: float) -> None:
        """After an accept that failed for good: tell the carrier, which may know another route."""
        loop = asyncio.get_running_loop()
        settings = self._services.settings
        try:
            await self._services.client.reject(
                self._incoming.call_id,
                settings.failed_accept_reject_status,
                deadline=min(deadline, loop.time() + settings.hang_up_timeout_s),
            )
        except CallControlError as error:
            logger.info("The call could not be refused either, and is left to ring out: %s", error)

    async def _new_session(self, prepared: PreparedProfile, answer: CallSession) -> RealtimeSession:
        runner = RealtimeRunner(
            answer.agent,
            model=OpenAIRealtimeSIPModel(attach_policy=self._services.settings.attach),
            config={"model_settings": prepared.profile.settings},
        )
        config: RealtimeModelConfig = {
            "api_key": self._services.api_key,
            "base_url": self._services.base_url,
            "call_id": self._incoming.call_id,
        }
        if answer.first_update is not None:
            config["first_update"] = answer.first_update
        return await runner.run(context=self._context, model_config=config)

    # Talking ---------------------------------------------------------------------------------------

    async def _converse(self, session: RealtimeSession, greeting: str | None) -> Ending:
        """Follow the session until the call is over or must be ended."""
        second_try = SecondTry(session, greeting=greeting)
        try:
            return await self._follow(session, second_try)
        finally:
            await second_try.aclose()

    async def _follow(self, session: RealtimeSession, second_try: SecondTry) -> Ending:
        loop = asyncio.get_running_loop()
        watch = CallWatch(self._services.settings.limits, loop.time())
        while True:
            try:
                async with asyncio.timeout_at(watch.deadline()) as timer:
                    async for event in session:
                        now = loop.time()
                        watch.observe(event, now)
                        second_try.observe(event)
                        # Only an earlier deadline must be set at once; a later one is seen when this passes.
                        if (deadline := watch.deadline()) < (timer.when() or 0.0):
                            timer.reschedule(deadline)
                        ending = self._take(event, now)
                        if ending is not None:
                            return ending
                    return self._ending_of(session.end)
            except TimeoutError:
                # Events may have moved the deadline since it was set; only the watch knows whether it holds.
                reason = watch.due(loop.time())
                if reason is not None:
                    return Ending(reason=reason, detail=_LIMIT_DETAILS[reason])

    def _take(self, event: RealtimeSessionEvent, now: float) -> Ending | None:
        if not (isinstance(event, RealtimeToolEnd) and event.tool.name in _CALL_TOOLS):
            # How long a call tool takes is how long the agent's last words are: no measure of a tool.
            self._measured(self._timeline.observe(event, now))
        self._journal.observe(event)
        self._services.observe(self._incoming.call_id, event)
        match event:
            case RealtimeToolEnd():
                self._services.metrics.tool_ran(event.tool.name, is_error=event.is_error)
                if event.tool.name == CallTool.HANG_UP.value and not event.is_error:
                    return Ending(reason=EndReason.AGENT_HUNG_UP, detail="The agent ended the call.")
            case RealtimeConnectionLost():
                logger.warning("The Realtime socket was lost (close code %s); re-attaching", event.close_code)
            case RealtimeConnectionRestored():
                logger.info("Attached to the call again")
            case RealtimeResponseEnded(status="failed"):
                logger.warning("A response of the model failed: %s", event.error_message or event.reason)
            case RealtimeError():
                logger.warning("The Realtime API reported an error: %s", event.error)
            case _:
                pass
        return None

    def _ending_of(self, end: SessionEnd | None) -> Ending:
        assert end is not None, "a session whose events ended knows why"
        if end.cause == "expired":
            return Ending(reason=EndReason.SESSION_EXPIRED, detail=end.detail)
        if end.cause == "lost":
            return Ending(reason=EndReason.CONNECTION_LOST, detail=end.detail)
        # A clean close of a sideband is the end of its call too; hanging up makes sure.
        hang_up = end.cause != "call_over"
        if self._journal.state is CallState.TRANSFERRING:
            return Ending(
                reason=EndReason.TRANSFERRED, detail="The call left us after the transfer.", hang_up=hang_up
            )
        return Ending(reason=EndReason.CALLER_HUNG_UP, detail=end.detail, hang_up=hang_up)

    # What tools may do (`CallControls`) ------------------------------------------------------------

    async def finish_speaking(self) -> None:
        """Return when the agent's words were heard to their end, or after a bound. Cancel safe."""
        assert self._session is not None, "tools run in a session only"
        if not await self._session.wait_until_agent_silent(self._services.settings.finish_speaking_timeout_s):
            logger.warning("The end of the agent's speech was never reported; going on without it")

    async def transfer(self, target: TransferTarget) -> str:
        """Send the caller to ``target``; returns only when that failed, with what to tell the agent."""
        if self._journal.state is not CallState.TALKING:
            return "Another transfer of this call is under way; wait for its outcome."
        self._journal.enter(CallState.TRANSFERRING)
        await self.finish_speaking()
        try:
            await self._services.client.refer(self._incoming.call_id, target.uri)
        except CallControlError as error:
            logger.warning("The transfer to %s was refused: %s", target.name, error)
            return self._transfer_failed(target)
        # The only proof of a transfer is that the call leaves us, which ends the session and this task
        # with it. No event tells of a failure.
        await asyncio.sleep(self._services.settings.transfer_confirm_s)
        logger.warning("The transfer to %s was accepted, but the call did not leave", target.name)
        return self._transfer_failed(target)

    def _transfer_failed(self, target: TransferTarget) -> str:
        if self._journal.state is CallState.TRANSFERRING:
            self._journal.enter(CallState.TALKING)
        return (
            f"The transfer to {target.name} did not go through. The caller is still with you: say so, and "
            "offer another way to help."
        )

    # Ending ----------------------------------------------------------------------------------------

    async def _hung_up(self, ending: Ending) -> Ending:
        if ending.hang_up:
            await self._hang_up()
        return ending

    async def _hang_up(self) -> None:
        """Hang up within a bound; the call being over already is what was wanted."""
        if self._journal.state in (CallState.RINGING, CallState.REJECTING, CallState.ENDED):
            return
        if self._journal.state is not CallState.ENDING:
            self._journal.enter(CallState.ENDING)
        try:
            async with asyncio.timeout(self._services.settings.hang_up_timeout_s):
                await self._services.client.hang_up(self._incoming.call_id)
        except CallGoneError:
            logger.debug("The call was over before it was hung up")
        except (CallControlError, TimeoutError) as error:
            logger.error("The call could not be hung up and may go on without an agent: %s", error)

    def _end(self, ending: Ending) -> None:
        self._journal.ended(ending.reason, ending.detail)
        owner = fault_owner(ending.reason)
        self._services.metrics.call_ended(ending.reason.value, owner.value)
        logger.info(
            "The call is over: %s. %s",
            ending.reason.value,
            ending.detail,
            extra={"fields": {"end_reason": ending.reason.value, "fault_owner": owner.value}},
        )

    def _mark(self, point: Point) -> None:
        self._measured(self._timeline.mark(point, asyncio.get_running_loop().time()))

    def _measured(self, latencies: Iterable[Latency]) -> None:
        for latency in latencies:
            self._journal.latency(latency)
            self._services.metrics.latency(latency)


_CALL_TOOLS = frozenset(tool.value for tool in CallTool)
_LIMIT_DETAILS: dict[EndReason, str] = {
    EndReason.MODEL_SILENT: "The model owed a response and nothing arrived.",
    EndReason.MAXIMUM_DURATION: "The call reached the longest time we allow.",
    EndReason.CALLER_SILENT: "Nobody spoke for the longest time we allow.",
}
