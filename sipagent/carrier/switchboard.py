"""What is done about what carriers say: calls are decided about, steps follow steps, reports are kept."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Protocol, assert_never

from sipagent.calls.incoming import CarrierLeg, IncomingCall
from sipagent.calls.line import Line
from sipagent.calls.routing import FrontDoor, Refuse
from sipagent.carrier.base import (
    Carrier,
    CarrierAnswer,
    ConnectStream,
    DialNumber,
    DialSip,
    HangUp,
    HoldPerson,
    Instruction,
    JoinConference,
    LegAnswered,
    LegReport,
    Message,
    OfferAnswer,
    OfferCall,
    PersonLeft,
    PersonWaited,
    ReferRequest,
    RejectLeg,
    SayAndHangUp,
    StepOutcome,
    VoiceRequest,
    WordsSpoken,
)
from sipagent.carrier.desk import CarrierDesk
from sipagent.carrier.offering import Offered
from sipagent.carrier.plan import AFTER_THE_LAST, name_of, refusal
from sipagent.carrier.refusing import RefusingLine
from sipagent.carrier.replays import SeenLegs
from sipagent.carrier.reports import LegReports
from sipagent.carrier.settings import AnswerByStream
from sipagent.carrier.transfers import carrier_side
from sipagent.errors import CarrierError, CarrierLegGoneError, WebhookLateError
from sipagent.identifiers import CallId

logger = logging.getLogger(__name__)

STORE_WAIT_S = 0.1
"""The longest a call waits for what the store knows of its leg."""
LINE_RESULT_WAIT_S = 1.5
"""The longest a carrier waits for what became of a call whose audio came to us: another process may know."""
RINGING_S = 300.0
"""A call that was first heard of longer ago does not ring any more."""
ANSWER_TRIES = 3
"""How often a leg is answered, each time as long as a request may take, while nobody says whether it is."""
MOST_AT_WORK = 500
"""Commands that are carried out at the same time."""


class FrontDoorView(Protocol):
    """What the service shows of itself."""

    def door(self) -> FrontDoor:
        """Who answers what, at present."""
        ...

    async def refuse(self, call: IncomingCall, received_at: float, line: Line) -> None:
        """Have it recorded that ``call`` was refused, once, whichever process of ours was asked about it."""
        ...


class CarrierMetrics(Protocol):
    """Where it is counted."""

    def carrier_webhook(self, carrier: str, result: str) -> None:
        """A webhook was answered."""
        ...

    def carrier_step(self, carrier: str, step: str, result: str) -> None:
        """A step of a plan is over."""
        ...


class Switchboard:
    """Handles the messages of carriers. One for each service; owns the tasks of commands."""

    def __init__(
        self,
        *,
        front: FrontDoorView,
        reports: LegReports,
        metrics: CarrierMetrics,
        utc_now: Callable[[], datetime],
    ) -> None:
        self._front = front
        self._reports = reports
        self._metrics = metrics
        self._utc_now = utc_now
        self._people = Offered(reports, utc_now)
        self._legs = SeenLegs()
        self._work: set[asyncio.Task[None]] = set()

    @property
    def country(self) -> str | None:
        """Whose national numbers are meant, by the configuration that answers."""
        return self._front.door().numbers.default_country

    async def handle(self, desk: CarrierDesk, carrier: Carrier, message: Message) -> CarrierAnswer | None:
        """Do what follows from ``message``; the answer, or None where it needs none of its own.

        Raises `WebhookLateError` for a call that does not ring any more. Waits for nothing but the store, and
        for that not long.
        """
        now_s = self._utc_now().timestamp()
        match message:
            case LegReport():
                self._reports.note(message)
                return None
            case VoiceRequest():
                instruction = await self._decide(desk, message, now_s)
                return self._answered(desk, carrier, message.leg, instruction, answered=False)
            case LegAnswered():
                instruction = desk.planner.again(message.token, now_s)
                return self._answered(desk, carrier, message.leg, instruction)
            case StepOutcome():
                following = await self._after(desk, message, now_s)
                return self._answered(desk, carrier, message.leg, following)
            case ReferRequest():
                instruction = desk.planner.refer(message.token, message.target_uri, now_s)
                return self._answered(desk, carrier, message.leg, instruction)
            case WordsSpoken():
                return self._answered(desk, carrier, message.leg, HangUp())
            case OfferAnswer():
                return self._offered(desk, carrier, message)
            case PersonWaited():
                person = replace(message.token.leg, carrier_call_id=message.carrier_call_id)
                return self._answered(desk, carrier, person, await self._people.waited(desk, message))
            case PersonLeft():
                self._work_on(desk, self._people.left(desk, message), "the caller of a person who left")
                return None
            case _:
                assert_never(message)

    async def close(self, timeout_s: float = 2.0) -> None:
        """Let commands that are under way finish, for ``timeout_s`` seconds, and stop the others."""
        work = set(self._work)
        if not work:
            return
        _, left = await asyncio.wait(work, timeout=timeout_s)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    # Deciding --------------------------------------------------------------------------------------

    async def _decide(self, desk: CarrierDesk, request: VoiceRequest, now_s: float) -> Instruction:
        leg = request.leg
        at = asyncio.get_running_loop().time()
        self._legs.announced(f"{leg.carrier} {leg.carrier_call_id}", at)
        # Processes that were started since do not remember; the store does.
        heard = await self._reports.heard_of(leg.carrier, leg.carrier_call_id, within_s=STORE_WAIT_S)
        if heard is not None and now_s - heard.timestamp() > RINGING_S:
            raise WebhookLateError("The call was announced long ago, to another process.")
        now = self._utc_now()
        call = IncomingCall(
            call_id=CallId(f"{leg.carrier}:{leg.carrier_call_id}:refused"),
            webhook_id=request.event_id or f"{leg.carrier}:{leg.carrier_call_id}",
            caller=leg.caller,
            dialled=leg.dialled,
            sip_call_id=None,
            sip_headers=request.sip_headers,
            media_security=None,
            line="none",
            leg=leg,
        )
        outcome = self._front.door().decide(call, now).outcome
        self._reports.note(_announced(request, now))
        if isinstance(outcome, Refuse):
            await self._front.refuse(call, at, RefusingLine())
            self._metrics.carrier_step(leg.carrier, "refuse", "done")
            return refusal(outcome.sip_status)
        return desk.planner.begin(leg, outcome.route, now_s)

    async def _after(self, desk: CarrierDesk, outcome: StepOutcome, now_s: float) -> Instruction | None:
        token = outcome.token
        if outcome.by_stream:
            if token.step >= AFTER_THE_LAST:
                # The caller was taken out of the stream and is somewhere else by now.
                return None
            self._reports.was_asked(token)
        if outcome.by_stream and not outcome.caller_gone:
            known = await self._reports.line_result(token, within_s=LINE_RESULT_WAIT_S)
            # By the plan as it was when the call came: it may have another step in that place since.
            if known is None and not isinstance(desk.planner.step_of(token), AnswerByStream):
                # The end of a stream before the step that the caller has come to.
                return None
            if known is None and (side := carrier_side(desk, self._reports, token.leg, self._utc_now)):
                # The process that held it is gone, and perhaps it was calling somebody for the caller.
                calling_off = side.call_off(caller_is_here=True)
                self._work_on(desk, calling_off, f"leg {token.leg.carrier_call_id}: nobody is called for it")
            # A stream of which nobody says how it went has ended without a reason: the caller goes on.
            outcome = replace(outcome, result=known or "failed")
        result = "caller_gone" if outcome.caller_gone else outcome.result
        self._metrics.carrier_step(token.leg.carrier, name_of(desk.planner.step_of(token)), result)
        following = desk.planner.after(outcome, now_s)
        logger.info(
            "A step of a carrier's call is over: %s",
            result,
            extra={
                "fields": {
                    "carrier": token.leg.carrier,
                    "carrier_call_id": token.leg.carrier_call_id,
                    "step": token.step,
                    "sip_status": outcome.sip_status,
                    "next": None if following is None else type(following).__name__,
                }
            },
        )
        return following

    def _offered(self, desk: CarrierDesk, carrier: Carrier, message: OfferAnswer) -> CarrierAnswer:
        person = replace(message.token.leg, carrier_call_id=message.carrier_call_id)
        instruction = self._people.follows(desk, message)
        answer = carrier.answer(instruction, person, answered=True)
        hold = partial(self._carry_out, desk, carrier, person, instruction, True)
        waits = self._people.waits(message, hold if answer.commands else None)
        self._work_on(desk, waits, f"leg {message.carrier_call_id}: waits")
        return answer

    # Carrying out ----------------------------------------------------------------------------------

    def _answered(
        self,
        desk: CarrierDesk,
        carrier: Carrier,
        leg: CarrierLeg,
        instruction: Instruction | None,
        *,
        answered: bool = True,
    ) -> CarrierAnswer:
        answer = carrier.answer(instruction, leg, answered=answered)
        if answer.commands and instruction is not None:
            self._begin(desk, carrier, leg, instruction, answered)
        return answer

    def _begin(
        self, desk: CarrierDesk, carrier: Carrier, leg: CarrierLeg, instruction: Instruction, answered: bool
    ) -> None:
        if len(self._work) >= MOST_AT_WORK:
            logger.error("A call is left to its carrier: too many commands are under way")
            return
        work = self._carry_out(desk, carrier, leg, instruction, answered)
        self._work_on(desk, work, f"leg {leg.carrier_call_id}: {type(instruction).__name__}")

    def _work_on(self, desk: CarrierDesk, work: Coroutine[None, None, None], name: str) -> None:
        async def use_desk() -> None:
            with desk.used():
                await work

        task = asyncio.create_task(use_desk(), name=name)
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        # Of one that was cancelled before it had begun.
        task.add_done_callback(lambda _: work.close())

    async def _carry_out(
        self, desk: CarrierDesk, carrier: Carrier, leg: CarrierLeg, instruction: Instruction, answered: bool
    ) -> None:
        """Give the commands of ``instruction``. What the API refuses, or does not answer, is a step that
        failed: the next one follows, until there is none. Only a leg that is to be answered, and may have
        been, is left to what its events say: another step would end the one that has begun."""
        following: Instruction | None = instruction
        tries = 1
        while following is not None:
            try:
                for command in carrier.answer(following, leg, answered=answered).commands:
                    await desk.command(command)
            except CarrierLegGoneError as error:
                logger.info("Nothing can be done for a call that is over: %s", error)
                return
            except CarrierError as error:
                logger.warning("A carrier did not do what it was asked: %s", error)
                if not answered and error.status is None:
                    if tries == ANSWER_TRIES:
                        return
                    # Given twice, it acts once.
                    tries += 1
                    continue
                following = await self._instead(desk, leg, following)
            else:
                return

    async def _instead(self, desk: CarrierDesk, leg: CarrierLeg, failed: Instruction) -> Instruction | None:
        """What follows an instruction that could not be given; None when nothing is left."""
        match failed:
            case DialSip() | DialNumber() | ConnectStream():
                now_s = self._utc_now().timestamp()
                token = desk.tokens.read(failed.callbacks.token, now_s)
                return await self._after(desk, StepOutcome(leg=leg, token=token, result="failed"), now_s)
            case SayAndHangUp() | RejectLeg():
                return HangUp()
            case HangUp() | JoinConference() | OfferCall() | HoldPerson():
                return None
            case _:
                assert_never(failed)


# Inside ------------------------------------------------------------------------------------------------


def _announced(request: VoiceRequest, now: datetime) -> LegReport:
    """The first report of a leg: what the carrier said when it rang."""
    leg = request.leg
    return LegReport(
        carrier=leg.carrier,
        carrier_call_id=leg.carrier_call_id,
        parent_call_id=None,
        kind="announced",
        at=now,
        event_id=f"{leg.carrier_call_id}:announced",
        detail=request.parameters,
    )
