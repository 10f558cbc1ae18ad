"""A conversation in writing with an agent that answers calls: the same tools and handoffs, and no telephone.

`Chat` holds the session and tells a `ChatView` what happens. What only a call can do is said to be
impossible (transfer), or ends the conversation (hang up).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import Any, Self

from sipagent.calls.chat_call import PretendedCall, call_from_nobody, readied
from sipagent.calls.chat_view import (
    AgentLines,
    ChatAgent,
    ChatEnd,
    ChatLine,
    ChatView,
    as_line,
    problem_of,
    sentence,
)
from sipagent.calls.context import CallContext
from sipagent.calls.profile import AgentProfile, CallTool, TransferTarget
from sipagent.calls.tools.state import ToolState
from sipagent.calls.tools.updates import partial_update
from sipagent.calls.writing import in_writing
from sipagent.errors import ConnectionLostError
from sipagent.identifiers import CallId
from sipagent.realtime import (
    DEFAULT_REALTIME_MODEL,
    OpenAIRealtimeWebSocketModel,
    RealtimeAgent,
    RealtimeModelConfig,
    RealtimeRunner,
    RealtimeSession,
    RealtimeToolCallItem,
    Usage,
)
from sipagent.realtime.session_events import (
    RealtimeError,
    RealtimeGuardrailTripped,
    RealtimeHandoffEvent,
    RealtimeInputGuardrailTripped,
    RealtimeResponseEnded,
    RealtimeResponseRequested,
    RealtimeResponseStarted,
    RealtimeSessionEvent,
    RealtimeToolApprovalRequired,
    RealtimeToolEnd,
    RealtimeToolStart,
    RealtimeTranscriptDelta,
    RealtimeTranscriptLine,
)

SILENCE_TIMEOUT_S = 90.0
"""Longer than a model thinks that reasons hard."""
GUARDRAIL_LOOK_S = 0.25
"""How long guardrails may look at an answer that is over before the turn is."""
GUARDRAIL_PATIENCE_S = 3.0
"""How long an answer that a guardrail cut off may take to be followed by another one."""


class Chat:
    """Enter it, then take turns: `greet` once, `say` as often as wanted.

    Leaving closes the connection, the tools that run and the questions that are open.
    """

    def __init__(
        self,
        profile: AgentProfile,
        *,
        api_key: str,
        base_url: str,
        view: ChatView,
        pretended: PretendedCall | None = None,
        silence_timeout_s: float = SILENCE_TIMEOUT_S,
    ) -> None:
        """``base_url`` is the REST base of the Realtime API, as for calls. ``pretended`` is the call that
        ``profile`` would answer; without one nothing is known of it, and there is nobody to hand over to. A
        model that owes an answer and says nothing for ``silence_timeout_s`` has left."""
        self._profile = profile
        self._pretended = pretended or call_from_nobody(profile)
        self._greeting: str | None = None
        self._view = view
        self._tools = ToolState()
        self._settings = in_writing(profile.settings)
        self._config: RealtimeModelConfig = {"api_key": api_key, "base_url": base_url}
        self._stack = AsyncExitStack()
        self._session: RealtimeSession | None = None
        self._lines = AgentLines(view)
        self._silence_timeout_s = silence_timeout_s
        self._settled = False
        """Nothing is under way: no answer, no tool."""
        self._stirred = asyncio.Event()
        """Something happened."""
        self._end: ChatEnd | None = None
        self._over = asyncio.Event()
        self._hung_up = False
        self._answers_again = False
        """A guardrail cut an answer off, and has not asked for another one yet."""
        self._asking: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Connect. Raises `AttachError` when that fails, `UserError` for an agent that cannot be used.
        Cancel-safe: nothing stays open."""
        call = self._pretended.call
        async with AsyncExitStack() as stack:
            ready = await stack.enter_async_context(readied(self._profile, self._pretended))
            for words in ready.missing:
                self._view.failed(words)
            context = CallContext(
                call_id=CallId(f"chat_{secrets.token_hex(6)}"),
                caller=call.caller,
                dialled=call.dialled,
                sip_headers=call.sip_headers,
                controls=self,
                variables=ready.values,
                tools=self._tools,
            )
            self._greeting = ready.prepared.greeting_for(context)
            team = ready.prepared.team
            runner = RealtimeRunner(
                ready.prepared.agent,
                model=OpenAIRealtimeWebSocketModel(),
                config={
                    "model_settings": self._settings,
                    "settings_of_agent": lambda *of_agent: in_writing(team.settings_of_agent(*of_agent)),
                },
            )
            session = await runner.run(context=context, model_config=self._config)
            # The group is left after the session: closing that is what ends the task in it.
            group = await stack.enter_async_context(asyncio.TaskGroup())
            await stack.enter_async_context(session)
            group.create_task(self._follow(session), name="chat: events")
            self._session = session
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.__aexit__(exception_type, exception, traceback)

    # What it is ------------------------------------------------------------------------------------

    @property
    def agent(self) -> ChatAgent:
        """Who leads now."""
        agent = self._running.agent
        return ChatAgent(
            name=agent.name,
            model=self._settings.get("model_name", DEFAULT_REALTIME_MODEL),
            tools=tuple(tool.name for tool in agent.tools),
            handoffs=tuple(
                way.name if isinstance(way, RealtimeAgent) else way.agent_name for way in agent.handoffs
            ),
        )

    @property
    def history(self) -> tuple[ChatLine, ...]:
        """What was said and done so far, in conversation order."""
        return tuple(as_line(item) for item in self._running.history)

    @property
    def usage(self) -> Usage:
        """Tokens of all answers so far; a lower bound."""
        return self._running.usage

    @property
    def end(self) -> ChatEnd | None:
        """Why the chat is over; None while it goes on."""
        return self._end

    async def wait_over(self) -> None:
        """Return once `end` says why. Cancel-safe."""
        await self._over.wait()

    # Taking turns ----------------------------------------------------------------------------------

    async def greet(self) -> None:
        """Have the agent say its greeting, if it has one; returns when it was said. Raises as `say`."""
        if self._greeting is not None:
            await self._running.say(self._greeting)
            await self._answered()

    async def say(self, text: str) -> None:
        """Say ``text``; returns when all that follows from it is over, tools and further answers too.

        Raises `ConnectionLostError` when the chat is over. Cancelling leaves the answer to go on.
        """
        if self._end is not None:
            raise ConnectionLostError(f"The conversation is over: {self._end.detail}")
        await self._running.send_message(text)
        await self._answered()

    async def interrupt(self) -> None:
        """Cut the answer off; a tool that runs goes on."""
        await self._running.interrupt()

    async def _answered(self) -> None:
        # Only now that the request is made: until then everything was settled.
        self._consider()
        await self._wait_settled()
        while self._running.agent.output_guardrails and await self._guardrail_trips():
            await self._wait_settled()

    async def _wait_settled(self) -> None:
        while not self._settled:
            self._stirred.clear()
            patience_s = self._silence_timeout_s if self._running.response_active else None
            try:
                async with asyncio.timeout(patience_s):
                    await self._stirred.wait()
            except TimeoutError:
                self._conclude(f"The model owed an answer, and nothing came for {patience_s:g} s.")

    async def _guardrail_trips(self) -> bool:
        """Whether one that looks at the whole answer trips right away. A session does not say when all have
        looked; one that takes longer is shown when it trips, in the turn after."""
        with suppress(TimeoutError):
            async with asyncio.timeout(GUARDRAIL_LOOK_S):
                while self._settled:
                    self._stirred.clear()
                    await self._stirred.wait()
        return not self._settled

    # What tools may do (`CallControls`) ------------------------------------------------------------

    @property
    def agent_is_busy(self) -> bool:
        """Whether the agent makes an answer, or was asked for one."""
        return self._running.response_active

    async def speak(self, words: str) -> None:
        """Have the agent say exactly ``words``. See `CallControls`."""
        await self._running.say(words)

    async def tell(self, text: str) -> None:
        """Tell the model something. See `CallControls`."""
        await self._running.add_system_message(text)

    async def update_session(self, changes: Mapping[str, Any]) -> None:
        """Change parts of the session. See `CallControls`."""
        await self._running.model.send_event(partial_update(changes))

    def note(self, kind: str, **data: Any) -> None:
        """Nothing is recorded: whoever writes sees what happens."""

    async def finish_speaking(self) -> None:
        """Return at once: what is written needs no time to be heard. The chat ends after the answer."""

    async def transfer(self, target: TransferTarget, briefing: str = "") -> str:
        """Nobody is called; returns what to tell the agent."""
        return (
            f"Nobody was called: this is a conversation in writing, and there is no telephone call to "
            f"transfer to {target.spoken_name}. Say that on the telephone you would connect them now."
        )

    # What happens ----------------------------------------------------------------------------------

    @property
    def _running(self) -> RealtimeSession:
        assert self._session is not None, "the chat was entered"
        return self._session

    async def _follow(self, session: RealtimeSession) -> None:
        loop = asyncio.get_running_loop()
        try:
            async for event in session:
                self._take(event)
                if isinstance(event, RealtimeToolApprovalRequired):
                    question = loop.create_task(self._ask(event), name=f"chat: approve {event.tool.name}")
                    self._asking.add(question)
                    question.add_done_callback(self._asking.discard)
                elif isinstance(event, RealtimeGuardrailTripped):
                    self._answers_again = True
                    loop.call_later(GUARDRAIL_PATIENCE_S, self._expect_no_more)
                self._consider()
        finally:
            self._lines.finish(interrupted=True)
            self._conclude(_why_closed(session))
            questions = tuple(self._asking)
            for question in questions:
                question.cancel()
            if questions:
                await asyncio.wait(questions)

    async def _ask(self, event: RealtimeToolApprovalRequired) -> None:
        if await self._view.approve(event.tool.name, event.arguments):
            await self._running.approve_tool_call(event.call_id)
        else:
            await self._running.reject_tool_call(event.call_id)

    def _take(self, event: RealtimeSessionEvent) -> None:
        view = self._view
        self._tools.observe(event)
        match event:
            case RealtimeTranscriptDelta(role="agent"):
                self._lines.grow(event.item_id, self._running.agent.name, event.delta)
            case RealtimeTranscriptLine(role="agent"):
                self._lines.read(event.item_id, self._running.agent.name, event.text, final=event.final)
            case RealtimeResponseRequested() | RealtimeResponseStarted():
                self._answers_again = False
            case RealtimeResponseEnded():
                self._lines.finish(interrupted=event.status != "completed")
                if (problem := problem_of(event)) is not None:
                    view.failed(problem)
            case RealtimeToolStart():
                view.tool_started(event.tool.name, event.arguments)
            case RealtimeToolEnd():
                view.tool_ended(
                    event.tool.name,
                    event.arguments,
                    event.output_text,
                    is_error=event.is_error,
                    duration_ms=event.duration_ms,
                )
                if event.tool.name == CallTool.HANG_UP.value and not event.is_error:
                    self._hung_up = True
            case RealtimeHandoffEvent():
                view.handed_off(event.from_agent.name, event.to_agent.name)
            case RealtimeGuardrailTripped() | RealtimeInputGuardrailTripped():
                names = ", ".join(result.guardrail.get_name() for result in event.guardrail_results)
                view.guardrail_tripped(names, event.message)
            case RealtimeError(error=error):
                view.failed(sentence(error))
            case _:
                pass

    def _expect_no_more(self) -> None:
        self._answers_again = False
        self._consider()

    def _consider(self) -> None:
        """Note whether everything is settled. Called after each event, so that nobody who waits for it
        goes on before the events up to now were told."""
        session = self._running
        unanswered = any(
            isinstance(item, RealtimeToolCallItem) and item.status == "completed" and item.output is None
            for item in session.history
        )
        self._settled = not (unanswered or session.response_active or self._answers_again)
        self._stirred.set()
        if self._settled and self._hung_up:
            self._conclude("The agent ended the conversation.")

    def _conclude(self, detail: str) -> None:
        """It is over, unless it was before."""
        self._settled = True
        self._stirred.set()
        if self._end is None:
            self._end = ChatEnd(cause="hung_up" if self._hung_up else "disconnected", detail=detail)
            self._over.set()


def _why_closed(session: RealtimeSession) -> str:
    end = session.end
    if end is None or end.cause == "closed_by_us":
        return "The conversation was ended here."
    return end.detail or f"The server ended the connection ({end.cause}, code {end.close_code})."
