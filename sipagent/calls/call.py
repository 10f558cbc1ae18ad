"""One telephone call, from ringing to its last record: the boundary that no failure crosses.

`PhoneCall.run` answers under one deadline, holds the conversation, and always ends with exactly one
terminal fact. Whatever goes wrong in it stays in it: the service's other calls never notice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sipagent.calls.answering import Answered, Answering
from sipagent.calls.checkpoint import Checkpoint, EndingUnderWay
from sipagent.calls.context import CallContext
from sipagent.calls.conversation import Conversation
from sipagent.calls.conversation_keeping import SpendingBrake
from sipagent.calls.effects import StoredEffects
from sipagent.calls.endings import Ending as Ending
from sipagent.calls.endings import EndReason, fault_owner
from sipagent.calls.incoming import IncomingCall
from sipagent.calls.journal import CallJournal
from sipagent.calls.lease import Holding, Lease
from sipagent.calls.lifecycle import CallState
from sipagent.calls.line import Line
from sipagent.calls.measuring import CallMeasures
from sipagent.calls.preparation import PreparedProfile
from sipagent.calls.reception import Refusal
from sipagent.calls.services import CallObserver as CallObserver
from sipagent.calls.services import CallServices as CallServices
from sipagent.calls.services import CallSettings as CallSettings
from sipagent.calls.transferring import LineControls
from sipagent.errors import (
    CallControlError,
    CallControlRefusedError,
    CallGoneError,
    NotOursError,
    StoreAwayError,
    StoreError,
)
from sipagent.identifiers import CallId, WorkerId
from sipagent.realtime import RealtimeSession
from sipagent.store import CallRecord
from sipagent.telemetry import bind_call

logger = logging.getLogger(__name__)

REMEMBER_S = 2.0
"""How long a caller waits, at most, until it is known what was said before the call was taken over."""
DOUBT_S = 60.0
"""How long a call whose socket was closed waits for a database that does not say whose it is."""
ASK_AGAIN_S = 1.0
CALL_OFF_S = 10.0
"""The longest a call that was adopted, and is over, waits until whoever was called for it has been let go."""
HANG_UP_AGAIN_S = 2.0
"""Between attempts to hang up that failed."""
_ON_THE_WIRE = frozenset(
    {CallState.RINGING, CallState.REJECTING, CallState.ACCEPTING, CallState.ATTACHING, CallState.ENDING}
)


class PhoneCall:
    """One call. `run` is its whole life."""

    def __init__(
        self,
        incoming: IncomingCall,
        line: Line,
        *,
        services: CallServices,
        journal: CallJournal,
        received_at: float,
        called_at: datetime | None = None,
        brake: SpendingBrake | None = None,
        holding: Holding | None = None,
        doubtful: bool = False,
    ) -> None:
        """``received_at`` is when the webhook came, in ``loop.time()`` seconds; ``called_at`` the same moment
        on the clock that people read, for what the agent is told of date and opening hours, by default now.
        ``brake`` ends the call politely when it costs too much. ``holding`` is by what right this process
        acts, where several share the calls; ``doubtful``: the one that held the call before may have done
        things in it that the store does not know.
        """
        self._incoming = incoming
        self._line = line
        self._services = services
        self._journal = journal
        self._received_at = received_at
        self._called_at = services.utc_now() if called_at is None else called_at
        self._brake = brake
        self._measures = CallMeasures(journal, services.metrics, received_at=received_at)
        self._holding = holding
        self._doubtful = doubtful
        self._conversation: Conversation | None = None
        self._let_go = False
        self._ending: Ending | None = None
        """Why the call is being hung up, as soon as it is."""
        self._may_be_up = False
        """It could not be hung up."""
        self._task: asyncio.Task[None] | None = None

    @property
    def call_id(self) -> CallId:
        """Its id at the Calls API."""
        return self._incoming.call_id

    @property
    def conversation(self) -> Conversation | None:
        """The conversation while it lasts."""
        return self._conversation

    @property
    def address(self) -> str:
        """REST base of the API that it comes from."""
        return self._services.base_url

    def is_held_under(self, lease: Lease) -> bool:
        """Whether this process acts for the call by the right of ``lease``."""
        return self._holding is not None and self._holding.lease is lease

    def rename(self, worker: WorkerId) -> Holding:
        """The process goes by another name, and nobody else knows of the call."""
        assert self._holding is not None, "calls that no worker holds have no name"
        self._holding.worker = worker
        return self._holding

    def write_checkpoint(self) -> None:
        """Write how far the call has come, though nothing is new."""
        self._journal.keep_again()

    @property
    def is_movable(self) -> bool:
        """Whether another process could go on with the call: not where its audio passes through this one."""
        return self._line.kind == "sip"

    @property
    def has_work(self) -> bool:
        """Whether something is under way that another process could not go on with without asking twice: a
        request to the Calls API, or a tool."""
        kept = self._journal.kept
        if kept is None or self._journal.state in _ON_THE_WIRE:
            return self._journal.state in _ON_THE_WIRE
        transfer = kept.transfer
        refers = transfer is not None and transfer.asked_at is not None and not transfer.accepted
        return refers or bool(kept.tools)

    def let_go(self) -> None:
        """Leave the call to another process: its task ends, the call does not, and nothing more is written
        down of it."""
        self._let_go = True
        self._journal.mute()
        if self._task is not None:
            self._task.cancel()

    async def run(self, answer: PreparedProfile | Refusal) -> None:
        """Answer, or refuse; return when the call is over, or let go of.

        Raises nothing but `asyncio.CancelledError`: being cancelled hangs the call up first.
        """
        if isinstance(answer, Refusal):
            await self._walled(self._refuse(answer))
        else:
            await self._walled(self._answer(answer))

    async def resume(self, prepared: Mapping[str, PreparedProfile], checkpoint: Checkpoint) -> None:
        """Go on with a call that another process held until ``checkpoint``. Ends and raises as `run`."""
        await self._walled(self._resume(prepared, checkpoint))

    async def _walled(self, work: Coroutine[Any, Any, Ending]) -> None:
        ending = Ending(reason=EndReason.INTERNAL_ERROR, detail="The call ended without saying why.")
        self._task = asyncio.current_task()
        with bind_call(self._incoming.call_id):
            try:
                if self._let_go:  # before this task had begun
                    raise NotOursError("The call was left to another process before anything was done.")
                ending = await work
                await self._see_it_end(ending)
            except NotOursError as error:
                self._let_go = True
                logger.warning("The call goes on without this process: %s", error)
            except asyncio.CancelledError:
                if self._let_go:
                    logger.info("The call is left to another process")
                    raise
                ending = self._ending or Ending(
                    reason=EndReason.SERVICE_STOPPED,
                    detail="The service stopped before the call was over.",
                )
                await self._hang_up(ending)
                raise
            except Exception as error:  # the wall: one bad call can hurt no other
                logger.exception("The call ended by a defect of ours")
                ending = Ending(
                    reason=EndReason.INTERNAL_ERROR,
                    detail=f"A defect of ours: {type(error).__name__}. The log has the traceback.",
                )
                await self._hang_up(ending)
                await self._see_it_end(ending)
            finally:
                self._line.close(None if self._let_go else ending)
                if self._let_go:
                    work.close()
                    self._services.metrics.workers.let_go()
                else:
                    self._end(ending)

    async def _refuse(self, refusal: Refusal) -> Ending:
        settings = self._services.settings
        deadline = self._received_at + settings.answer_timeout_s
        maybe_refused = self._journal.state is CallState.REJECTING
        if maybe_refused:
            # By another process, which may not have got through to the caller.
            deadline = max(deadline, asyncio.get_running_loop().time() + settings.hang_up_timeout_s)
        else:
            self._journal.enter(CallState.REJECTING)
        try:
            await self._line.reject(refusal.sip_status, deadline=deadline)
        except CallGoneError as error:
            if not maybe_refused:
                return Ending(reason=EndReason.CALLER_GONE, detail=str(error), hang_up=False)
        except CallControlError as error:
            logger.warning("The refusal did not reach the caller: %s", error)
        detail = f"{refusal.detail} Refused with SIP status {refusal.sip_status}."
        return Ending(reason=refusal.reason, detail=detail, hang_up=False)

    async def _answer(self, prepared: PreparedProfile) -> Ending:
        controls, answering = self._controls(), self._answering()
        context = self._context(controls)
        # What the process before did last may not have been written down.
        maybe_accepted = self._holding is not None and self._holding.epoch > 1
        if maybe_accepted:
            await self._known(context)
            self._doubt_pending(context, answering)
        answered = await answering.answer(prepared, context, maybe_accepted=maybe_accepted)
        if isinstance(answered, Ending):
            if answered.reason is EndReason.ACCEPT_REFUSED:
                # Perhaps because another process has accepted it, if the claim to it was not stored.
                await self._make_sure_it_is_ours(patient=True, even_if_nobody=True)
            return await self._hung_up(answered)
        return await self._talk(answered, prepared, controls, self._journal.kept if maybe_accepted else None)

    async def _resume(self, prepared: Mapping[str, PreparedProfile], checkpoint: Checkpoint) -> Ending:
        if checkpoint.refusal is not None:
            reason, status, detail = checkpoint.refusal
            return await self._refuse(Refusal(reason=EndReason(reason), sip_status=status, detail=detail))
        profile = prepared.get(checkpoint.profile or "") or next(iter(prepared.values()))
        if checkpoint.state is CallState.ENDING:
            ending = checkpoint.ending
            if ending is None:
                detail = "The call was being hung up by a process that was gone."
                return await self._hung_up(Ending(reason=EndReason.WORKER_LOST, detail=detail))
            return await self._hung_up(Ending(reason=ending.reason, detail=ending.detail))
        if checkpoint.state in (CallState.RINGING, CallState.ACCEPTING):
            return await self._answer(profile)
        controls = self._controls()
        controls.resume(checkpoint.transfer)
        context = replace(self._context(controls), variables=checkpoint.variables)
        context.tools.typed.update(checkpoint.typed)
        context.tools.language = checkpoint.language
        known = await self._known(context)
        leader = prepared.get(checkpoint.agent or "") or profile
        answering = self._answering()
        self._doubt_pending(context, answering)
        answered = await answering.take_over(leader, context, checkpoint, known)
        work = self._call_off(checkpoint, caller_is_here=not isinstance(answered, Ending))
        calling_off = asyncio.ensure_future(work)
        try:
            if not isinstance(answered, Ending):
                return await self._talk(answered, profile, controls, checkpoint)
            if checkpoint.ending is not None:
                answered = replace(answered, reason=checkpoint.ending.reason, detail=checkpoint.ending.detail)
            elif answered.reason is EndReason.CALLER_HUNG_UP:
                reason, detail = await controls.leaving()
                answered = replace(answered, reason=reason, detail=detail or answered.detail)
            return await self._hung_up(answered)
        finally:
            try:
                await asyncio.wait([calling_off], timeout=CALL_OFF_S)
            finally:
                calling_off.cancel()
                await asyncio.wait([calling_off])
            if not calling_off.cancelled() and (error := calling_off.exception()) is not None:
                logger.error("Whoever was called for the call could not be let go", exc_info=error)

    async def _call_off(self, checkpoint: Checkpoint, *, caller_is_here: bool) -> None:
        """Whom the process before was bringing in waits for nobody."""
        if checkpoint.transfer is not None and (carrier := self._line.carrier) is not None:
            await carrier.call_off(caller_is_here=caller_is_here)

    async def _talk(
        self,
        answered: Answered,
        prepared: PreparedProfile,
        controls: LineControls,
        checkpoint: Checkpoint | None,
    ) -> Ending:
        try:
            controls.attach(answered.session, answered.context, prepared.briefing.calendars)
            if self._journal.state is not CallState.TALKING:
                self._journal.enter(CallState.TALKING)
            self._conversation = Conversation(
                answered,
                prepared,
                controls=controls,
                line=self._line,
                services=self._services,
                journal=self._journal,
                measures=self._measures,
                brake=self._brake,
                resumed=checkpoint,
            )
            ending = await self._conversation.run()
            if answered.session.end is not None:
                # The API may close a socket because another process has attached to the call.
                await self._make_sure_it_is_ours(patient=answered.session.end.cause == "closed")
            return await self._hung_up(ending)
        finally:
            self._conversation = None
            await answered.session.close()

    async def _make_sure_it_is_ours(self, *, patient: bool, even_if_nobody: bool = False) -> None:
        """Raises `NotOursError` when the call belongs to another process. One that the database does not tell
        us about may: whoever is ``patient``, because no caller waits for it, asks again for a while. A
        database that answers nobody gives calls to nobody else, but ``even_if_nobody`` it is asked again."""
        if self._holding is None or self._services.memory is None:
            return
        loop = asyncio.get_running_loop()
        asked_until = loop.time() + (DOUBT_S if patient else 0.0)
        while True:
            try:
                async with asyncio.timeout(REMEMBER_S):
                    found = await self._services.memory.holder(self.call_id)
                    record = None if found is not None else await self._services.memory.call(self.call_id)
                break
            except (StoreError, TimeoutError) as error:
                logger.warning("Whose the call is could not be asked: %s", error)
                serves_nobody = isinstance(error, StoreAwayError) and error.serves_nobody
                if (serves_nobody and not even_if_nobody) or loop.time() >= asked_until:
                    return
            await asyncio.sleep(ASK_AGAIN_S)
        if record is not None and record.summary.end_reason is not None:
            raise NotOursError("The call was taken over and ended by another process.")
        if found is not None and (found.worker, found.epoch) != (self._holding.worker, self._holding.epoch):
            raise NotOursError("The call was taken over by another process.")

    async def _known(self, context: CallContext) -> CallRecord | None:
        """What the store knows of the call, with what its tools did, in the ledger; None where it does not
        answer in time: the caller waits."""
        if not isinstance(context.effects, StoredEffects) or self._services.memory is None:
            return None
        try:
            async with asyncio.timeout(REMEMBER_S):
                await context.effects.recall(context.tools.ledger)
                return await self._services.memory.call(self.call_id)
        except (StoreError, TimeoutError) as error:
            logger.warning("The call goes on without what was said before: %s", error)
            return None

    def _doubt_pending(self, context: CallContext, answering: Answering) -> None:
        if self._doubtful and isinstance(context.effects, StoredEffects):
            context.effects.doubt(lambda tool_call_id: _was_pending(answering.session, tool_call_id))

    def _controls(self) -> LineControls:
        return LineControls(
            self._line,
            journal=self._journal,
            settings=self._services.settings,
            utc_now=self._services.utc_now,
            lease=None if self._holding is None else self._holding.lease,
        )

    def _answering(self) -> Answering:
        return Answering(
            self._incoming,
            self._line,
            services=self._services,
            journal=self._journal,
            measures=self._measures,
            received_at=self._received_at,
            called_at=self._called_at,
            lease=None if self._holding is None else self._holding.lease,
        )

    def _context(self, controls: LineControls) -> CallContext:
        effects = None
        if self._holding is not None and self._services.memory is not None:
            effects = StoredEffects(self.call_id, memory=self._services.memory, holding=self._holding)
        return CallContext(
            call_id=self._incoming.call_id,
            caller=self._incoming.caller,
            dialled=self._incoming.dialled,
            sip_headers=self._incoming.sip_headers,
            controls=controls,
            http=self._services.http,
            effects=effects,
        )

    # Ending ----------------------------------------------------------------------------------------

    async def _hung_up(self, ending: Ending) -> Ending:
        if ending.hang_up:
            self._ending = ending
            self._journal.keep(ending=EndingUnderWay(reason=ending.reason, detail=ending.detail))
            await self._hang_up(ending)
        return ending

    async def _hang_up(self, ending: Ending) -> None:
        """Hang up within a bound; the call being over already is what was wanted."""
        self._may_be_up = False
        if self._journal.state in (CallState.RINGING, CallState.REJECTING, CallState.ENDED):
            return
        if self._journal.state is not CallState.ENDING:
            self._journal.enter(CallState.ENDING)
        try:
            async with asyncio.timeout(self._services.settings.hang_up_timeout_s):
                if self._holding is not None:
                    await self._holding.lease.wait()
                await self._line.hang_up(ending)
        except CallGoneError:
            logger.debug("The call was over before it was hung up")
        except NotOursError:
            self._let_go = True
        except CallControlRefusedError as error:
            logger.error("The call could not be hung up and may go on without an agent: %s", error)
        except (CallControlError, TimeoutError) as error:
            self._may_be_up = True
            why = str(error) or "no answer in time"
            logger.error("The call could not be hung up and may go on without an agent: %s", why)

    async def _see_it_end(self, ending: Ending) -> None:
        """Go on trying to hang up while that fails: a call that is up costs money, and its caller is kept by
        nobody. Until then it has no end in the store, so that whoever adopts it goes on trying."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._services.settings.hang_up_for_s
        while self._may_be_up and loop.time() + HANG_UP_AGAIN_S < until:
            await asyncio.sleep(HANG_UP_AGAIN_S)
            await self._hang_up(ending)

    def _end(self, ending: Ending) -> None:
        self._journal.ended(ending.reason, ending.detail)
        owner = fault_owner(ending.reason)
        self._services.metrics.call_ended(ending.reason.value, owner.value)
        logger.info(
            "The call ended as %s: %s",
            ending.reason.value,
            ending.detail,
            extra={"fields": {"end_reason": ending.reason.value, "fault_owner": owner.value}},
        )


def _was_pending(session: RealtimeSession | None, tool_call_id: str) -> bool:
    """Whether another process may have begun this tool call."""
    outcome = None if session is None else session.takeover_outcome
    return outcome is not None and tool_call_id in outcome.rerun
