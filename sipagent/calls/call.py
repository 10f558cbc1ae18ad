"""One telephone call, from ringing to its last record: the boundary that no failure crosses.

`PhoneCall.run` answers under one deadline, holds the conversation, and always ends with exactly one
terminal fact. Whatever goes wrong in it stays in it: the service's other calls never notice.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime

from sipagent.calls.answering import Answering
from sipagent.calls.context import CallContext
from sipagent.calls.conversation import Conversation, SpendingBrake
from sipagent.calls.endings import Ending as Ending
from sipagent.calls.endings import EndReason, fault_owner
from sipagent.calls.incoming import IncomingCall
from sipagent.calls.journal import CallJournal
from sipagent.calls.lifecycle import CallState
from sipagent.calls.measuring import CallMeasures
from sipagent.calls.preparation import PreparedProfile
from sipagent.calls.reception import Refusal
from sipagent.calls.services import CallObserver as CallObserver
from sipagent.calls.services import CallServices as CallServices
from sipagent.calls.services import CallSettings as CallSettings
from sipagent.calls.transferring import LineControls
from sipagent.errors import CallControlError, CallGoneError
from sipagent.telemetry import bind_call

logger = logging.getLogger(__name__)


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
        brake: SpendingBrake | None = None,
    ) -> None:
        """``received_at`` is when the webhook came, in ``loop.time()`` seconds; ``called_at`` the same moment
        on the clock that people read, for what the agent is told of date and opening hours, by default now.
        ``brake`` ends the call politely when it costs too much.
        """
        self._incoming = incoming
        self._services = services
        self._journal = journal
        self._received_at = received_at
        self._called_at = services.utc_now() if called_at is None else called_at
        self._brake = brake
        self._measures = CallMeasures(journal, services.metrics, received_at=received_at)

    async def run(self, answer: PreparedProfile | Refusal) -> None:
        """Answer, or refuse; return when the call is over.

        Raises nothing but `asyncio.CancelledError`: being cancelled hangs the call up first.
        """
        ending = Ending(reason=EndReason.INTERNAL_ERROR, detail="The call ended without saying why.")
        with bind_call(self._incoming.call_id):
            try:
                if isinstance(answer, Refusal):
                    ending = await self._refuse(answer)
                else:
                    ending = await self._answer(answer)
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

    async def _refuse(self, refusal: Refusal) -> Ending:
        self._journal.enter(CallState.REJECTING)
        try:
            await self._services.client.reject(
                self._incoming.call_id,
                refusal.sip_status,
                deadline=self._received_at + self._services.settings.answer_timeout_s,
            )
        except CallGoneError as error:
            return Ending(reason=EndReason.CALLER_GONE, detail=str(error), hang_up=False)
        except CallControlError as error:
            logger.warning("The refusal did not reach the caller: %s", error)
        detail = f"{refusal.detail} Refused with SIP status {refusal.sip_status}."
        return Ending(reason=refusal.reason, detail=detail, hang_up=False)

    async def _answer(self, prepared: PreparedProfile) -> Ending:
        controls = LineControls(
            self._incoming.call_id,
            client=self._services.client,
            journal=self._journal,
            settings=self._services.settings,
            utc_now=self._services.utc_now,
        )
        answering = Answering(
            self._incoming,
            services=self._services,
            journal=self._journal,
            measures=self._measures,
            received_at=self._received_at,
            called_at=self._called_at,
        )
        context = CallContext(
            call_id=self._incoming.call_id,
            caller=self._incoming.caller,
            dialled=self._incoming.dialled,
            sip_headers=self._incoming.sip_headers,
            controls=controls,
            http=self._services.http,
        )
        answered = await answering.answer(prepared, context)
        if isinstance(answered, Ending):
            return await self._hung_up(answered)
        try:
            controls.attach(answered.session, answered.context, prepared.briefing.calendars)
            self._journal.enter(CallState.TALKING)
            conversation = Conversation(
                answered,
                prepared,
                controls=controls,
                services=self._services,
                journal=self._journal,
                measures=self._measures,
                brake=self._brake,
            )
            return await self._hung_up(await conversation.run())
        finally:
            await answered.session.close()

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
