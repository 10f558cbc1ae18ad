"""One conversation of an agent: a model below, tools beside, and a stream of events for whoever listens.

The model's reader calls `RealtimeSession.on_event`; everything that happens becomes a session event in a
bounded queue. A reader that finds it full waits, so that a slow listener slows the socket and nothing is
lost. Tools run as tasks of their own, which end with the session at the latest.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Self

from sipagent.errors import ConnectionLostError
from sipagent.realtime.agent import RealtimeAgent
from sipagent.realtime.approvals import Decision
from sipagent.realtime.events import (
    EndCause,
    RealtimeModelToolCallEvent,
)
from sipagent.realtime.guarding import Guarding
from sipagent.realtime.handover import Handover
from sipagent.realtime.hearing import Hearing
from sipagent.realtime.hosted_tools import HostedTools
from sipagent.realtime.inputs import (
    RealtimeModelRequestResponse,
    RealtimeModelSendAudio,
    RealtimeModelSendInterrupt,
    RealtimeModelSendSystemMessage,
    RealtimeModelSendUserInput,
    RealtimeModelUserInput,
)
from sipagent.realtime.items import RealtimeItem
from sipagent.realtime.latch import Latch
from sipagent.realtime.leading import Offer
from sipagent.realtime.measuring import TurnMeter
from sipagent.realtime.model import RealtimeModel, RealtimeModelConfig
from sipagent.realtime.run_context import RunContextWrapper
from sipagent.realtime.seeding import RealtimeEarlierItem, seeds_of
from sipagent.realtime.session_events import (
    RealtimeEventInfo,
    RealtimeSessionEvent,
)
from sipagent.realtime.settings import RealtimeRunConfig, RealtimeSessionModelSettings, agent_settings
from sipagent.realtime.speaking import Speaking
from sipagent.realtime.stream import EventStream
from sipagent.realtime.takeover import RealtimeTakeover, TakeoverOutcome
from sipagent.realtime.taking_over import TakingOver
from sipagent.realtime.tool_calls import ToolCalls
from sipagent.realtime.translation import Translation
from sipagent.realtime.usage import Usage
from sipagent.realtime.work import SessionWork

logger = logging.getLogger(__name__)

QUEUE_EVENTS = 1000
"""How many events may wait for whoever iterates before the socket is read no further."""
TOOL_GRACE_S = 1.0
"""How long a closing session waits for tools that it has cancelled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEnd:
    """Why a session is no more."""

    cause: EndCause
    close_code: int | None
    detail: str


class RealtimeSession(Hearing):
    """Enter it, iterate over its events, close it.

    ``async for`` ends, without raising, once the connection has ended and every event was read; `end` then
    says why. One reader at a time.
    """

    def __init__(
        self,
        model: RealtimeModel,
        agent: RealtimeAgent[Any],
        context: Any = None,
        model_config: RealtimeModelConfig | None = None,
        run_config: RealtimeRunConfig | None = None,
        history: Iterable[RealtimeEarlierItem] = (),
        takeover: RealtimeTakeover | None = None,
    ) -> None:
        """``history`` and ``takeover``: see `RealtimeRunner.run`."""
        self._takeover_outcome: TakeoverOutcome | None = None
        self._model = model
        self._seeds = seeds_of(history)
        self._model_config: RealtimeModelConfig = model_config or {}
        self._run_config: RealtimeRunConfig = run_config or {}
        self._info = RealtimeEventInfo(
            context=context if isinstance(context, RunContextWrapper) else RunContextWrapper(context)
        )
        raw = bool(self._run_config.get("raw_events"))
        self._quick = not raw
        self._work = SessionWork()
        # Bound to values and not to the session: whoever keeps it shall not keep the session.
        self._settings_of = partial(
            _settings_of,
            context=self._info.context,
            run_config=self._run_config,
            initial=self._model_config.get("initial_model_settings"),
        )
        self._events: EventStream[RealtimeSessionEvent] = EventStream(QUEUE_EVENTS)
        speaking = Speaking()
        self._meter = TurnMeter(
            self._info,
            is_silent=lambda: not (speaking.busy or model.response_pending),
            tell=self._events.put_at_once,
        )
        self._translation = Translation(
            self._info,
            raw=raw,
            speaking=speaking,
            words_come=self._meter.words_come,
            sound_comes=self._meter.sound_comes,
        )
        self._handover = Handover(
            agent,
            model=model,
            history=self._translation.history,
            info=self._info,
            hooks=self._run_config.get("hooks"),
            tell=self._events.put_at_once,
            start=self._work.start,
            resolve=self._settings_of,
        )
        self._tool_calls = ToolCalls(
            model=model,
            info=self._info,
            run_config=self._run_config,
            handover=self._handover,
            translation=self._translation,
            events=self._events,
            meter=self._meter,
            start=self._work.start,
        )
        self._hosted = HostedTools(
            model=model,
            info=self._info,
            lead=self._handover.lead,
            history=self._translation.history,
            events=self._events,
            start=self._work.start,
        )
        self._guarding = Guarding(
            model, self._info, self._run_config, emit=self._events.put_at_once, start=self._work.start
        )
        self._taking_over: TakingOver | None = None
        if takeover is not None:
            self._translation.known(takeover.history)
            self._taking_over = TakingOver(
                takeover,
                model=model,
                history=self._translation.history,
                is_busy=lambda: speaking.busy,
            )
        self._quiet = Latch()
        self._growing = None
        self._entered = False
        self._closed = False

    # What it is -------------------------------------------------------------------------------------

    @property
    def model(self) -> RealtimeModel:
        """The model below."""
        return self._model

    @property
    def agent(self) -> RealtimeAgent[Any]:
        """Who leads the conversation now."""
        return self._handover.lead.current.agent

    @property
    def history(self) -> tuple[RealtimeItem, ...]:
        """All items, in conversation order."""
        return self._translation.history.items

    @property
    def usage(self) -> Usage:
        """What all responses so far consumed; a lower bound."""
        return self._info.context.usage

    @property
    def call_id(self) -> str | None:
        """The telephone call, if this is one."""
        return self._model_config.get("call_id")

    @property
    def takeover_outcome(self) -> TakeoverOutcome | None:
        """What was found when the session was taken over; None before that, and where it was not."""
        return self._takeover_outcome

    @property
    def agent_is_speaking(self) -> bool:
        """Whether the caller hears the agent, or is about to."""
        return self._translation.speaking.agent_is_speaking

    @property
    def response_active(self) -> bool:
        """Whether the model is making a response, or was asked for one."""
        return self._translation.speaking.response_active or self._model.response_pending

    @property
    def end(self) -> SessionEnd | None:
        """Why the connection ended; None while it lasts."""
        ended = self._translation.ended
        if ended is not None and ended.cause is not None:
            return SessionEnd(cause=ended.cause, close_code=ended.close_code, detail=ended.detail)
        return SessionEnd(cause="closed_by_us", close_code=None, detail="") if self._closed else None

    # Its life ---------------------------------------------------------------------------------------

    async def enter(self) -> Self:
        """Connect, and tell the model of the earlier conversation if there was one. Raises what
        `RealtimeModel.connect` raises, and `UserError` for an agent that cannot be used. Cancel-safe: nothing
        stays open."""
        if self._entered:
            raise AssertionError("A session is entered once; make another one")
        self._entered = True
        settings = await self._settings_of(self.agent, first=True)
        self._handover.lead.start(Offer(agent=self.agent, settings=settings))
        config: RealtimeModelConfig = {**self._model_config, "initial_model_settings": settings}
        config["raw_events"] = bool(self._run_config.get("raw_events"))
        if self._taking_over is not None:
            config["runs_already"] = True
        self._model.add_listener(self)
        try:
            await self._model.connect(config)
        except BaseException:
            self._model.remove_listener(self)
            raise
        try:
            await self._tell_history()
            if self._taking_over is not None:
                await self._take_over(self._taking_over, settings)
        except BaseException:
            await self.close()
            raise
        return self

    async def _take_over(self, taking_over: TakingOver, settings: RealtimeSessionModelSettings) -> None:
        outcome, again = await taking_over.find_out(settings)
        self._takeover_outcome = outcome
        for call in again:
            self._tool_calls.begin(
                RealtimeModelToolCallEvent(
                    name=call.name, call_id=call.tool_call_id, arguments=call.arguments
                )
            )

    async def _tell_history(self) -> None:
        for seed in self._seeds:
            for happened in self._translation.seeded(seed):
                self._events.put_at_once(happened)
        try:
            for seed in self._seeds:
                for message in seed.inputs():
                    await self._model.send_event(message)
        except ConnectionLostError:
            # Whoever iterates hears of it, as of any other end.
            logger.info("The connection ended before the earlier conversation was told")

    async def close(self) -> None:
        """End the connection and the tools that run. Idempotent; safe inside a tool, and to cancel.

        Nothing is sent any more: not what tools that are cancelled have to say, and nothing that would stop
        what the server does, so that another process can take the session over. Events that were not read yet
        stay readable. A tool that does not let itself be cancelled is left to itself after a second.
        """
        self._closed = True
        self._model.remove_listener(self)
        self._quiet.set()
        self._events.end()
        cancelled = self._work.cancel()
        try:
            # Before what was cancelled goes on: it may still want to send something.
            await self._model.close()
        finally:
            try:
                await self._work.ended(cancelled, TOOL_GRACE_S)
            finally:
                await self._handover.hooks.close(TOOL_GRACE_S)

    async def __aenter__(self) -> Self:
        return await self.enter()

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __aiter__(self) -> AsyncIterator[RealtimeSessionEvent]:
        """Every event, in order; cancelling loses none."""
        return aiter(self._events)

    # What may be asked of it ------------------------------------------------------------------------

    async def say(self, text: str, *, interruptible: bool = True, unless_begun: bool = False) -> None:
        """Have the agent speak exactly ``text``, as soon as a response may be asked for.

        Not ``interruptible``: the caller cannot cut it off, though `interrupt` can; turn detection lets the
        caller interrupt again once it was heard, or failed, and what the caller said meanwhile is answered
        then. ``unless_begun``, for what is interruptible: a response that runs already when the server gets
        to this one is taken for it. Cancel-safe.
        """
        instructions = f"Say exactly these words and nothing else: {json.dumps(text, ensure_ascii=False)}"
        if unless_begun:
            response = {"instructions": instructions}
            await self._model.send_event(RealtimeModelRequestResponse(response=response, unless_begun=True))
        elif interruptible:
            await self.request_response(instructions)
        else:
            self._growing = None
            await self._handover.speech.say(instructions)

    async def request_response(self, instructions: str | None = None) -> None:
        """Have the agent speak; ``instructions`` hold for this response only. Raises and may be cancelled as
        `RealtimeModel.send_event`."""
        response = None if instructions is None else {"instructions": instructions}
        await self._model.send_event(RealtimeModelRequestResponse(response=response))

    async def send_message(self, message: RealtimeModelUserInput) -> None:
        """Put in a message of the user, and have the agent answer it. Raises and may be cancelled as
        `RealtimeModel.send_event`."""
        await self._model.send_event(RealtimeModelSendUserInput(user_input=message))

    async def add_system_message(self, text: str) -> None:
        """Tell the model something; no response is asked for. Raises and may be cancelled as
        `RealtimeModel.send_event`."""
        await self._model.send_event(RealtimeModelSendSystemMessage(text=text))

    async def send_audio(self, audio: bytes, *, commit: bool = False) -> None:
        """Audio of the caller, where it goes over the socket. Raises and may be cancelled as
        `RealtimeModel.send_event`."""
        await self._model.send_event(RealtimeModelSendAudio(audio=audio, commit=commit))

    async def interrupt(self) -> None:
        """Cut the agent off now, and do not let it go on: a response that was asked for and has not begun is
        taken back, or cancelled as soon as it begins. What `say` and `request_response` asked for with words
        of their own, and still waits for another response to end, is said all the same.

        Over the socket, as in the OpenAI Agents SDK, a response that is still being made is only cancelled
        where the server's turn detection does not do so itself when the caller speaks; to cancel it always,
        send ``RealtimeModelSendInterrupt(force_response_cancel=True)`` to the `model`. Raises and may be
        cancelled as `RealtimeModel.send_event`.
        """
        self._handover.speech.forget_turns()
        await self._model.send_event(RealtimeModelSendInterrupt())

    async def update_agent(self, agent: RealtimeAgent[Any]) -> None:
        """Let ``agent`` lead from now on; tool calls under way keep the agent they began with.

        Raises what the agent's callables and the model raise; then nothing changes. A server that refuses is
        reported as an error of type ``handoff_refused``. Cancel-safe: what was begun goes on.
        """
        await self._handover.update_agent(agent)

    async def approve_tool_call(self, call_id: str, always: bool = False) -> None:
        """Let a call run that `RealtimeToolApprovalRequired` or `RealtimeMcpApprovalRequired` told of; with
        ``always``, every later call of its tool too. Nothing happens when no such call waits (any more)."""
        self._tool_calls.approvals.decide(call_id, Decision(approved=True), always=always)
        self._hosted.decide(call_id, Decision(approved=True), always=always)

    async def reject_tool_call(
        self, call_id: str, always: bool = False, rejection_message: str | None = None
    ) -> None:
        """Have the model told that a call was not approved, in the words of ``rejection_message``, of the
        ``tool_error_formatter`` of the run configuration, or in fixed ones; with ``always``, of every later
        call of its tool too. Nothing happens when no such call waits (any more).

        A hosted tool is refused in the words of ``rejection_message`` or in none: the API has its own."""
        decision = Decision(approved=False, rejection_message=rejection_message)
        self._tool_calls.approvals.decide(call_id, decision, always=always)
        self._hosted.decide(call_id, decision, always=always)

    async def wait_until_agent_silent(self, timeout_s: float) -> bool:
        """True once no response is under way and what was said has been heard; False when ``timeout_s``
        passed first. True as well when the session ends. Cancel-safe."""
        try:
            async with asyncio.timeout(timeout_s):
                while (self.agent_is_speaking or self.response_active) and self.end is None:
                    self._quiet.clear()
                    await self._quiet.wait()
        except TimeoutError:
            return False
        return True


async def _settings_of(
    agent: RealtimeAgent[Any],
    *,
    context: RunContextWrapper[Any],
    run_config: RealtimeRunConfig,
    initial: RealtimeSessionModelSettings | None,
    first: bool = False,
) -> RealtimeSessionModelSettings:
    return await agent_settings(agent, context, run_config=run_config, initial=initial, initial_wins=first)
