"""One pending or live call, from its INVITE to its end: the place where all that may happen to it meets.

A CANCEL races an accept, a BYE races a REFER, a deadline races them all. So one small machine decides, on
the event loop's thread and without awaiting in between:

    trying ── accept ──► ringing ── answer delay ──► answered ── BYE, hangup, refer, expiry ──► ended
      │ reject, no accept in time ──► rejected          ▲
      └ CANCEL ──► cancelled ◄── CANCEL ── ringing ─────┘ (whoever comes first; the other finds it over)

Delays and statuses are assumptions where the real service documents none (`CallSettings`).
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from sipagent import clock
from sipagent.identifiers import CallId
from sipagent.simulator.call_values import (
    MOST_REQUESTS,
    CallRequest,
    CallSettings,
    CallState,
    EndedBy,
    StateChange,
    Verdict,
)
from sipagent.simulator.controllers import Controllers, Socket
from sipagent.simulator.conversation import Conversation
from sipagent.simulator.faults import Fault, FaultSet
from sipagent.simulator.leg import CallLeg, LegEnd, LegStatistics
from sipagent.simulator.script import Script
from sipagent.simulator.speech import VoiceLike
from sipagent.simulator.webhooks import WebhookAttempt, WebhookSender, incoming_call_body

EXPIRED_CODE = 1001
EXPIRED_REASON = "Your session hit the maximum duration of 60 minutes."

_log = logging.getLogger(__name__)


_LEG_ENDS: Mapping[LegEnd, EndedBy] = {
    LegEnd.CANCELLED: EndedBy.CALLER,
    LegEnd.HUNG_UP: EndedBy.CALLER,
    LegEnd.MEDIA_TIMEOUT: EndedBy.MEDIA_TIMEOUT,
    LegEnd.ACK_TIMEOUT: EndedBy.ACK_TIMEOUT,
    LegEnd.FAILED: EndedBy.TRANSPORT,
}


class MeasuredLeg(CallLeg, Protocol):
    """A leg that counts."""

    def statistics(self) -> LegStatistics:
        """What came in and went out so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSurroundings:
    """What all calls of a simulator share."""

    settings: CallSettings
    script: Script
    voice: VoiceLike
    webhooks: WebhookSender


class SimulatedCall:
    """A call, its leg, its conversation and its sockets.

    It listens to its leg (`LegListener`) and is the host of its conversation (`ConversationHost`). Except
    for `run` and `refer` nothing awaits, so each method sees and leaves a consistent state.
    """

    def __init__(
        self,
        *,
        call_id: CallId,
        leg: MeasuredLeg,
        surroundings: CallSurroundings,
        faults: FaultSet,
        on_agent_finished: Callable[[], None] | None = None,
    ) -> None:
        """``on_agent_finished`` is called whenever it is the caller's turn. Needs a running loop."""
        self.call_id = call_id
        self.leg = leg
        self.faults = faults
        self.state = CallState.TRYING
        self.ended_by: EndedBy | None = None
        self.conversation: Conversation | None = None
        """From the accept on, and after the end."""
        self.webhook_attempts: list[WebhookAttempt] = []
        self.history = [StateChange(state=CallState.TRYING, at_s=clock.unix_s())]
        self._surroundings = surroundings
        self._on_agent_finished = on_agent_finished
        self._accepted = False
        self.controllers = Controllers()
        """Whoever is attached, and was."""
        self.requests: list[CallRequest] = []
        """What was asked of the call over HTTP, in order."""
        self._changed = asyncio.Event()
        """Set at the next change of state, and then replaced."""
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._tries: Counter[Fault] = Counter()
        leg.listen(self)  # last: an end that happened before is reported at once

    # The call's own life

    async def run(self, release: Callable[[], Awaitable[None]] | None = None) -> None:
        """Offer the call to the service and see it through.

        ``release`` is awaited once the call is over, to give back the leg's resources; webhooks that are
        still being repeated keep `run` going after that. Cancelling ends the call and is safe.
        """
        settings = self._surroundings.settings
        if self.state is CallState.TRYING:
            self._later("accept", settings.accept_timeout_s, self._nobody_decided)
            if settings.ringing_at == "invite":
                self.leg.ring()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._notify(), name=f"call {self.call_id}: webhook")
            try:
                await self.wait_over()
            finally:
                await self._tidy_up(release)

    async def wait_over(self) -> None:
        """Return once the call is over. Cancelling is safe."""
        while not self.state.is_over:
            await self._changed.wait()

    async def wait_answered(self) -> bool:
        """Return once the call is answered, or over; says whether it is up. Cancelling is safe."""
        while self.state is not CallState.ANSWERED and not self.state.is_over:
            await self._changed.wait()
        return self.state is CallState.ANSWERED

    async def _tidy_up(self, release: Callable[[], Awaitable[None]] | None) -> None:
        self.stop()  # of use only when `run` was cancelled, or a defect ended it
        try:
            if self.conversation is not None:
                await self.conversation.aclose()
        finally:
            if release is not None:
                await release()

    async def _notify(self) -> None:
        """Send the webhook, if the faults let it, even for a call that is over by then."""
        settings, webhooks = self._surroundings.settings, self._surroundings.webhooks
        if Fault.WEBHOOK_MISSING in self.faults:
            return
        await asyncio.sleep(settings.webhook_delay_s + self.faults.seconds(Fault.WEBHOOK_LATE))
        if webhooks.url is None:
            self._refuse(settings.no_webhook_status, EndedBy.NO_WEBHOOK)
            return
        if Fault.CALLER_HANGS_UP_RINGING in self.faults:
            self.hang_up_as_caller()
        body = incoming_call_body(
            self.call_id,
            sip_headers=self.leg.sip_headers,
            media_security=self.leg.media_security,
            created_at_s=int(clock.unix_s()),
        )
        await webhooks.deliver(
            body,
            attempts=self.webhook_attempts,
            forged=Fault.WEBHOOK_FORGED in self.faults,
            copies=2 if Fault.WEBHOOK_DUPLICATE in self.faults else 1,
        )

    def set_faults(self, faults: FaultSet) -> None:
        """Replace the faults of a call under way. Those of the session are read at the accept."""
        self.faults = faults
        self.leg.set_send_faults(stalled=Fault.MEDIA_STALLED in faults)

    def stop(self) -> None:
        """End the call because the simulator stops. Does nothing when it is over."""
        if not self.state.is_over:
            self._release_caller(EndedBy.SIMULATOR_STOPPED, status=503)

    # Requests of the service

    def note_request(self, action: str, verdict: Verdict) -> Verdict:
        """Remember what was asked and what became of it; gives ``verdict`` back."""
        self.requests.append(CallRequest(action=action, verdict=verdict, at_s=clock.unix_s()))
        del self.requests[:-MOST_REQUESTS]
        return verdict

    def strikes(self, fault: Fault) -> bool:
        """Whether ``fault`` hits this request; counts the request."""
        tries = self._tries[fault]
        self._tries[fault] += 1
        return self.faults.strikes(fault, tries=tries)

    def accept(self, session: Mapping[str, Any]) -> Verdict:
        """Take the call with this session object, which must have been checked."""
        settings = self._surroundings.settings
        if self._accepted:
            return Verdict.GONE if self.state.is_over else Verdict.ALREADY_DECIDED
        if self.state.is_over:
            ghost = settings.cancel_ghost and self.state is CallState.CANCELLED
            self._accepted = ghost
            return Verdict.DONE if ghost else Verdict.GONE
        self._accepted = True
        self._cancel_timer("accept")
        if settings.ringing_at == "accept":
            self.leg.ring()
        self._enter(CallState.RINGING)
        if Fault.ACCEPT_DEAD in self.faults:
            self._later(
                "answer",
                settings.answer_delay_s,
                lambda: self._refuse(settings.accept_timeout_status, EndedBy.DEAD_SESSION),
            )
            return Verdict.DONE
        self.conversation = Conversation(
            session=session,
            leg=self.leg,
            script=self._surroundings.script,
            voice=self._surroundings.voice,
            faults=self.faults,
            call_label=self.call_id,
            lasts_s=settings.maximum_duration_s,
            host=self,
        )
        self._later("answer", settings.answer_delay_s, self._answer)
        return Verdict.DONE

    def reject(self, status: int | None) -> Verdict:
        """Refuse the call with a SIP status, the default one when None."""
        if self.state.is_over:
            return Verdict.GONE
        if self._accepted:
            return Verdict.ALREADY_DECIDED
        self._refuse(self._surroundings.settings.reject_status if status is None else status, EndedBy.REJECT)
        return Verdict.DONE

    def hang_up(self) -> Verdict:
        """End the call from the service's side, answered or not."""
        if self.state.is_over:
            return Verdict.GONE
        self._release_caller(EndedBy.HANGUP, status=self._surroundings.settings.reject_status)
        return Verdict.DONE

    async def refer(self, target_uri: str) -> Verdict:
        """Ask the caller's side to call ``target_uri``; done once it said it would. Cancelling is safe."""
        await asyncio.sleep(self.faults.seconds(Fault.REFER_SLOW))
        if self.state.is_over:
            return Verdict.GONE
        if self.state is not CallState.ANSWERED:
            return Verdict.NOT_ANSWERED
        if Fault.REFER_LOST in self.faults:
            return Verdict.DONE
        status = await self.leg.refer(target_uri)
        return Verdict.DONE if 200 <= status < 300 else Verdict.REFUSED

    # The sockets

    @property
    def is_attachable(self) -> bool:
        """Whether a session exists that a socket could be attached to."""
        return self.conversation is not None and not self.state.is_over

    def attach(self, socket: Socket) -> bool:
        """Give the conversation a socket, beside those that it has; False when there is no conversation."""
        if self.conversation is None or self.state.is_over:
            return False
        self.controllers.attach(socket)
        self.conversation.attach(socket.send)
        return True

    def receive(self, socket: Socket, text: str) -> None:
        """One client event; what comes over a socket that is not attached is ignored."""
        if self.conversation is not None and socket in self.controllers:
            self.controllers.command(socket)
            self.conversation.receive(text, by=socket.send)

    def detach(self, socket: Socket) -> None:
        """The socket is closed. The call goes on; the conversation, too."""
        if self.controllers.detach(socket) and self.conversation is not None:
            self.conversation.detach(socket.send)

    # ConversationHost

    def drop_socket(self) -> None:
        """Break the sockets; the call goes on."""
        for socket in self.controllers.sockets:
            self.detach(socket)
            socket.abort()

    def hang_up_as_caller(self) -> None:
        """End the call as if the caller had done it: CANCEL before the answer, BYE after."""
        if self.state is CallState.ANSWERED:
            self.leg.hang_up()
            self.caller_ended(LegEnd.HUNG_UP)
        elif not self.state.is_over:
            self.leg.reject(487)
            self.caller_ended(LegEnd.CANCELLED)

    def agent_finished(self) -> None:
        """It is the caller's turn."""
        if self._on_agent_finished is not None and not self.state.is_over:
            self._on_agent_finished()

    # LegListener

    def caller_audio(self, ulaw: bytes) -> None:
        """See `LegListener.caller_audio`."""
        if self.conversation is not None:
            self.conversation.caller_audio(ulaw)

    def caller_speech_started(self) -> None:
        """See `LegListener.caller_speech_started`."""
        if self.conversation is not None:
            self.conversation.caller_speech_started()

    def caller_speech_stopped(self, transcript: str) -> None:
        """See `LegListener.caller_speech_stopped`."""
        if self.conversation is not None:
            self.conversation.caller_speech_stopped(transcript)

    def caller_digit(self, digit: str) -> None:
        """See `LegListener.caller_digit`."""
        if self.conversation is not None:
            self.conversation.caller_digit(digit)

    def playback_started(self) -> None:
        """See `LegListener.playback_started`."""
        if self.conversation is not None:
            self.conversation.playback_started()

    def playback_stopped(self) -> None:
        """See `LegListener.playback_stopped`."""
        if self.conversation is not None:
            self.conversation.playback_stopped()

    def refer_progress(self, status: int) -> None:
        """The transferor hangs up once the transfer succeeded; after a failure the call goes on."""
        if 200 <= status < 300 and not self.state.is_over:
            self._release_caller(EndedBy.TRANSFER, status=480)

    def caller_ended(self, end: LegEnd) -> None:
        """See `LegListener.caller_ended`."""
        self._end(CallState.CANCELLED if end is LegEnd.CANCELLED else CallState.ENDED, _LEG_ENDS[end])

    # Inside

    def _answer(self) -> None:
        self.leg.answer()
        if Fault.MEDIA_STALLED in self.faults:
            self.leg.set_send_faults(stalled=True)
        self._enter(CallState.ANSWERED)
        self._later("expiry", self._surroundings.settings.maximum_duration_s, self._expire)

    def _nobody_decided(self) -> None:
        self._refuse(self._surroundings.settings.accept_timeout_status, EndedBy.NO_ACCEPT)

    def _expire(self) -> None:
        for socket in self.controllers.sockets:
            self.detach(socket)
            socket.close(EXPIRED_CODE, EXPIRED_REASON)
        self._release_caller(EndedBy.EXPIRY, status=480)

    def _refuse(self, status: int, by: EndedBy) -> None:
        if not self.state.is_over:
            self.leg.reject(status)
            self._end(CallState.REJECTED, by)

    def _release_caller(self, by: EndedBy, *, status: int) -> None:
        """BYE to an answered caller, ``status`` to any other."""
        if self.state is CallState.ANSWERED:
            self.leg.hang_up()
            self._end(CallState.ENDED, by)
        else:
            self._refuse(status, by)

    def _end(self, state: CallState, by: EndedBy) -> None:
        if self.state.is_over:
            return
        self.ended_by = by
        self._enter(state)
        self._cancel_timers()
        self.drop_socket()

    def _enter(self, state: CallState) -> None:
        self.state = state
        self.history.append(StateChange(state=state, at_s=clock.unix_s()))
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        _log.info("call %s is %s", self.call_id, state.value)

    def _later(self, name: str, delay_s: float, callback: Callable[[], None]) -> None:
        self._timers[name] = asyncio.get_running_loop().call_later(delay_s, callback)

    def _cancel_timer(self, name: str) -> None:
        if (timer := self._timers.pop(name, None)) is not None:
            timer.cancel()

    def _cancel_timers(self) -> None:
        for name in list(self._timers):
            self._cancel_timer(name)
