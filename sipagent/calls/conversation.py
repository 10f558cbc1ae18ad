"""Follows the session of one call from its greeting to the moment at which it is over or must be ended."""

from __future__ import annotations

import asyncio
import json
import logging
import math
from dataclasses import dataclass
from typing import assert_never

from sipagent.calls.acts import EndCall, Note, SayGoodbye, SayWords, TellAgent
from sipagent.calls.announcing import TransferPromises
from sipagent.calls.answering import Answered
from sipagent.calls.asking import ask, ask_for_words, tell_agent
from sipagent.calls.checkpoint import Checkpoint
from sipagent.calls.consent import ConsentWatch, Heard
from sipagent.calls.conversation_keeping import ConversationKeeping, SpendingBrake, minded
from sipagent.calls.endings import Ending, EndReason
from sipagent.calls.greeting import GreetingKeeper
from sipagent.calls.journal import CallJournal
from sipagent.calls.leading import Leadership
from sipagent.calls.line import Line
from sipagent.calls.measuring import CallMeasures
from sipagent.calls.minder import CallMinder
from sipagent.calls.preparation import PreparedProfile, spoken
from sipagent.calls.profile import CallTool
from sipagent.calls.second_try import SecondTry
from sipagent.calls.services import CallServices
from sipagent.calls.steering import Steering
from sipagent.calls.transferring import LineControls
from sipagent.clock import utc_now
from sipagent.errors import ConnectionLostError, NotOursError
from sipagent.realtime import RealtimeSession, SessionEnd
from sipagent.realtime.session_events import (
    RealtimeAudio,
    RealtimeConnectionLost,
    RealtimeConnectionRestored,
    RealtimeError,
    RealtimeResponseEnded,
    RealtimeSessionEvent,
    RealtimeToolEnd,
    RealtimeTranscriptDelta,
    RealtimeTranscriptionUsage,
)

logger = logging.getLogger(__name__)

LONGEST_SESSION_S = 7200.0
"""A session that seems to last longer, or to be over, was told of by a clock that is not ours."""
GOODBYE = (
    "The telephone call ends now. Say goodbye to the caller in one short and friendly sentence, in the "
    "language that you speak with them, and nothing else."
)
REPAIR = (
    "You told the caller that you connect them ({promise}), but no transfer has begun: only the tool "
    "transfer connects anybody. Use it now, or tell the caller the truth and offer another way to help."
)


class Conversation:
    """One conversation. `run` is its whole life; the session stays open behind it."""

    def __init__(
        self,
        answered: Answered,
        prepared: PreparedProfile,
        *,
        controls: LineControls,
        line: Line,
        services: CallServices,
        journal: CallJournal,
        measures: CallMeasures,
        brake: SpendingBrake | None = None,
        resumed: Checkpoint | None = None,
    ) -> None:
        """Made when the session is open; time counts from here, or, in a call that another process held until
        ``resumed``, from when that one began to count."""
        self._session = answered.session
        self._context = answered.context
        self._controls = controls
        self._line = line
        self._services = services
        self._journal = journal
        self._measures = measures
        self._brake = brake
        greeting = prepared.profile.greeting
        self._interruptible = greeting is None or greeting.interruptible
        self._greeting = prepared.greeting_for(answered.context)
        recording = prepared.profile.recording
        self._consent: ConsentWatch | None = None
        if recording is not None and line.kind == "stream":
            self._interruptible = False
            sentence = spoken(recording.consent, answered.context)
            self._consent = ConsentWatch(sentence)
            self._greeting = f"{self._greeting} {sentence}" if self._greeting else sentence
        self._keeper = GreetingKeeper(self._greeting if self._interruptible else None)
        self._leadership = Leadership(prepared.profile, prepared.team)
        self._promises = TransferPromises()
        self._second_try = SecondTry(
            _Greeter(self._session, interruptible=self._interruptible), greeting=self._greeting
        )
        self._resumed = resumed
        now = asyncio.get_running_loop().time()
        self._minder = CallMinder(
            prepared.profile.manners,
            services.settings.limits,
            now=now,
            resumed=None if resumed is None else minded(resumed, services.utc_now()),
            finish_s=services.settings.finish_speaking_timeout_s,
            write=lambda words: spoken(words, answered.context),
        )
        self._timer: asyncio.Timeout | None = None
        """Runs out when the minder has something to do; None while no event is waited for."""
        self.steering = Steering(
            self._session,
            controls=controls,
            minder=self._minder,
            targets=lambda: prepared.team.targets(self._session.agent.name),
            wake=self._wake,
        )
        """For whoever may decide about the call beside the agent."""
        self._keeping = ConversationKeeping(
            journal,
            session=self._session,
            minder=self._minder,
            brake=brake,
            tools=self._context.tools,
            utc_now=services.utc_now,
        )
        self._untold: list[_Untold] = []
        """What the agent is to be told as soon as the event is dealt with that asks for it."""
        answered.expiry.tell(self._mind_session_end)

    async def run(self) -> Ending:
        """Greet, and follow the session until the call is over or must be ended.

        Raises `NotOursError` when it turns out that the call is another process's. Cancel-safe.
        """
        self._keeping.begin(self._resumed)
        if self._greeting is not None and not self._was_greeted:
            try:
                await self._greet(self._greeting)
            except NotOursError:
                raise
            except ConnectionLostError as error:
                # The caller hung up at that moment; the session, which is followed next, knows why it ended.
                logger.info("The call was over before the greeting: %s", error)
        self._journal.keep(greeted=True)
        if self._resumed is not None and (was_ending := self._resumed.ending) is not None:
            self.stop(was_ending.reason, was_ending.detail)
        else:
            self.steering.resume()
        ending: Ending | None = None
        try:
            ending = await self._follow()
            return ending
        finally:
            self.steering.ended(ending)
            await self.steering.aclose()
            await self._second_try.aclose()

    async def _greet(self, greeting: str) -> None:
        if self._resumed is None:
            await self._session.say(greeting, interruptible=self._interruptible)
        else:
            # Another process may have asked for it with its last breath, and no word of it is there yet.
            await self._session.say(greeting, unless_begun=True)
        self._measures.reached("greeting_asked")

    def stop(self, reason: EndReason, detail: str) -> None:
        """End the call for ``reason``, politely: whoever speaks may finish, and the agent says goodbye."""
        self._minder.stop(reason, detail, now=asyncio.get_running_loop().time())
        self._wake()

    @property
    def _was_greeted(self) -> bool:
        """Whether another process has greeted the caller, or the conversation has begun without."""
        if self._resumed is None:
            return False
        outcome = self._session.takeover_outcome
        return self._resumed.greeted or (outcome is not None and not outcome.is_empty)

    # Following -------------------------------------------------------------------------------------

    async def _follow(self) -> Ending:
        loop, minder = asyncio.get_running_loop(), self._minder
        minder.settle(loop.time(), quiet=self._quiet)
        while True:
            over = False
            try:
                async with asyncio.timeout_at(_moment(minder.deadline())) as timer:
                    self._timer = timer
                    async for event in self._session:
                        now = loop.time()
                        if isinstance(event, RealtimeTranscriptDelta | RealtimeAudio):
                            self._heard_more(event, now)
                            continue
                        if (ending := self._take(event, now)) is not None:
                            return ending
                        deadline = minder.deadline()
                        if self._untold or deadline <= now:
                            break
                        # Only an earlier deadline must be set at once; a later one is seen when this passes.
                        if deadline < (timer.when() or math.inf):
                            timer.reschedule(deadline)
                    else:
                        over = True
            except TimeoutError:
                # Events may have moved the deadline since it was set, and `stop` has it pass early; only the
                # minder knows whether it holds.
                pass
            finally:
                self._timer = None
            if over:
                return await self._ending_of(self._session.end)
            await self._tell()
            minder.settle(loop.time(), quiet=self._quiet)
            self._keeping.acts()
            while (act := minder.due(loop.time())) is not None:
                if isinstance(act, EndCall):
                    return Ending(reason=act.reason, detail=act.detail, goodbye=act.goodbye)
                await self._perform(act)
                minder.settle(loop.time(), quiet=self._quiet)
                self._keeping.acts()

    def _wake(self) -> None:
        """Have the minder asked now; if no event is waited for, it is asked anyway."""
        if self._timer is not None and not self._timer.expired():
            self._timer.reschedule(asyncio.get_running_loop().time())

    @property
    def _quiet(self) -> bool:
        return not (self._session.agent_is_speaking or self._session.response_active)

    def _heard_more(self, event: RealtimeTranscriptDelta | RealtimeAudio, now: float) -> None:
        """What comes by the thousand, and brings nothing about but that the call lives."""
        self._minder.observe(event, now, quiet=False)
        self._context.tools.observe(event)
        self._services.observe(self._context.call_id, event)

    def _take(self, event: RealtimeSessionEvent, now: float) -> Ending | None:
        self._measures.observe(event, now)
        self._journal.observe(event)
        self._context.tools.observe(event)
        self._services.observe(self._context.call_id, event)
        if (manners := self._leadership.look(self._session.agent.name)) is not None:
            self._minder.led_by(manners)
        was_ending = self._minder.ending
        self._minder.observe(event, now, quiet=self._quiet)
        if was_ending and not self._minder.ending:
            self._journal.note("goodbye_taken_back")
            self._keeping.acts()
        if not self._minder.ending:
            self._second_try.observe(event)
            self._look_for_repairs(event, now)
        if self._brake is not None and isinstance(event, RealtimeResponseEnded | RealtimeTranscriptionUsage):
            detail = self._brake.observe(event)
            if detail is not None:
                note = Note(kind="spend", data={"detail": detail})
                self._minder.stop(EndReason.SPEND_LIMIT, detail, now=now, note=note)
        if self._consent is not None and (heard := self._consent.observe(event)) is not None:
            self._consented(self._consent.sentence, heard)
        self._keeping.observe(event)
        match event:
            case RealtimeToolEnd():
                self._services.metrics.tool_ran(event.tool.name, is_error=event.is_error)
                if event.tool.name == CallTool.HANG_UP.value and not event.is_error:
                    return self._agent_hung_up()
            case RealtimeConnectionLost():
                # So ends every call whose caller hangs up: only what follows says whether something is wrong.
                logger.info("The Realtime socket is closed (code %s); trying it again", event.close_code)
            case RealtimeConnectionRestored():
                logger.info("Attached to the call again")
            case RealtimeResponseEnded(status="failed"):
                logger.warning("A response of the model failed: %s", event.error_message or event.reason)
            case RealtimeError():
                logger.warning("The Realtime API reported an error: %s", event.error)
            case _:
                pass
        return None

    def _consented(self, words: str, heard: Heard) -> None:
        """It is known whether the caller has heard ``words``: that the call is recorded."""
        self._consent = None
        self._journal.note("recording_consent", heard=heard.value)
        if heard is Heard.IN_FULL:
            self._line.consented(words)
        else:
            logger.warning("The call is not recorded: the caller did not hear of it (%s)", heard.value)

    def _look_for_repairs(self, event: RealtimeSessionEvent, now: float) -> None:
        if (text := self._keeper.observe(event, now)) is not None:
            self._journal.note("greeting_kept")
            # The caller's own turn brings the answer.
            self._untold.append(_Untold(text=text, respond=False))
        can_transfer = isinstance(event, RealtimeResponseEnded) and self._can_transfer()
        promise = self._promises.observe(event, can_transfer=can_transfer)
        if promise is not None:
            self._journal.note("transfer_announced", text=promise)
            quoted = json.dumps(promise, ensure_ascii=False)
            self._untold.append(_Untold(text=REPAIR.format(promise=quoted), respond=True))

    def _can_transfer(self) -> bool:
        if self._controls.transferring or not self._leadership.manners.repairs_transfers:
            return False
        return any(tool.name == CallTool.TRANSFER.value for tool in self._session.agent.tools)

    # Acting ----------------------------------------------------------------------------------------

    async def _tell(self) -> None:
        while self._untold:
            untold = self._untold.pop(0)
            await tell_agent(self._session, untold.text, respond=untold.respond)

    async def _perform(self, act: SayWords | TellAgent | SayGoodbye) -> None:
        if act.note is not None:
            self._journal.note(act.note.kind, **act.note.data)
        match act:
            case SayWords():
                await ask(self._session.say(act.words))
            case TellAgent(text=text):
                await tell_agent(self._session, text, respond=True)
            case SayGoodbye(words=words):
                await self._second_try.aclose()
                if words is None:
                    await ask_for_words(self._session, GOODBYE)
                else:
                    await ask(self._session.say(words, interruptible=act.interruptible))
            case never:
                assert_never(never)

    # The end ---------------------------------------------------------------------------------------

    def _agent_hung_up(self) -> Ending | None:
        if (reason := self._minder.saying_goodbye) is not None:
            detail = "The agent ended the call when it was to say goodbye."
            return Ending(reason=reason, detail=detail, goodbye=True)
        if self._controls.transferring:
            # A hang-up now would take the call away from whoever is about to answer it.
            logger.info("The agent hung up during a transfer, whose outcome is waited for")
            return None
        return Ending(reason=EndReason.AGENT_HUNG_UP, detail="The agent ended the call.")

    async def _ending_of(self, end: SessionEnd | None) -> Ending:
        assert end is not None, "a session whose events ended knows why"
        # A clean close of a sideband is the end of its call too; hanging up makes sure.
        hang_up = end.cause != "call_over"
        if (reason := self._minder.saying_goodbye) is not None:
            detail = "The call was over before the agent had said goodbye."
            return Ending(reason=reason, detail=detail, hang_up=hang_up)
        if end.cause == "expired":
            return Ending(reason=EndReason.SESSION_EXPIRED, detail=end.detail)
        if end.cause == "lost":
            return Ending(reason=EndReason.CONNECTION_LOST, detail=end.detail)
        reason, detail = await self._controls.leaving()
        return Ending(reason=reason, detail=detail or end.detail, hang_up=hang_up)

    def _mind_session_end(self, at_unix_s: int) -> None:
        left_s = at_unix_s - utc_now().timestamp()
        if not 0 < left_s <= LONGEST_SESSION_S:
            logger.warning("The API says that the session ends in %.0f s, which is not believed", left_s)
            return
        self._minder.session_ends(asyncio.get_running_loop().time() + left_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Untold:
    """What the agent is to be told."""

    text: str
    respond: bool


class _Greeter:
    """Says a greeting as it was said first."""

    def __init__(self, session: RealtimeSession, *, interruptible: bool) -> None:
        self._session = session
        self._interruptible = interruptible

    async def say(self, text: str) -> None:
        """See `Speaker.say`."""
        await self._session.say(text, interruptible=self._interruptible)

    async def request_response(self) -> None:
        """See `Speaker.request_response`."""
        await self._session.request_response()


def _moment(deadline: float) -> float | None:
    return None if deadline == math.inf else deadline
