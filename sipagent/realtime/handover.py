"""Giving a conversation from one agent to another: what is sent, in which order, and what when it fails.

On the wire the new agent's ``session.update`` comes first, then the answer of the call that asked for it,
then the request for a response: the answer makes the model speak, and it must be the new agent who does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from sipagent.errors import ConnectionLostError, ModelBehaviorError, UserError
from sipagent.realtime.agent import RealtimeAgent
from sipagent.realtime.events import (
    RealtimeModelConnectionStatusEvent,
    RealtimeModelErrorEvent,
    RealtimeModelEvent,
    RealtimeModelSessionEvent,
    RealtimeModelToolCallEvent,
    RealtimeModelTurnStartedEvent,
)
from sipagent.realtime.handoffs import Handoff
from sipagent.realtime.history import History
from sipagent.realtime.hook_caller import HookCaller
from sipagent.realtime.hooks import RealtimeRunHooks
from sipagent.realtime.inputs import RealtimeModelSendSessionUpdate, RealtimeModelSendSystemMessage
from sipagent.realtime.leading import Change, Lead, Offer
from sipagent.realtime.model import RealtimeModel
from sipagent.realtime.run_context import RunContextWrapper
from sipagent.realtime.session_events import RealtimeError, RealtimeEventInfo, RealtimeHandoffEvent
from sipagent.realtime.settings import RealtimeSessionModelSettings
from sipagent.realtime.speech import ProtectedSpeech
from sipagent.realtime.tools import FunctionTool, ToolContext, run_tool

logger = logging.getLogger(__name__)

HANDOFF_FAILED = "The handoff did not take place because of an error. Go on yourself."
"""What the model hears when a handoff raised; the exception itself is for the log, it may hold secrets."""

Tell = Callable[[RealtimeError | RealtimeHandoffEvent], None]
Resolve = Callable[[RealtimeAgent[Any]], Awaitable[RealtimeSessionModelSettings]]
Start = Callable[[Coroutine[Any, Any, None], str], object]


NOTEWORTHY = frozenset(
    {
        RealtimeModelTurnStartedEvent,
        RealtimeModelSessionEvent,
        RealtimeModelErrorEvent,
        RealtimeModelConnectionStatusEvent,
    }
)
"""The events that `Handover` needs to hear of; all are rare."""


class Handover:
    """Who leads one session, and how that changes."""

    __slots__ = (
        "_history",
        "_info",
        "_model",
        "_one_at_a_time",
        "_resolve",
        "_start",
        "_tell",
        "hooks",
        "lead",
        "speech",
    )

    def __init__(
        self,
        agent: RealtimeAgent[Any],
        *,
        model: RealtimeModel,
        history: History,
        info: RealtimeEventInfo,
        hooks: RealtimeRunHooks[Any] | None,
        tell: Tell,
        start: Start,
        resolve: Resolve,
    ) -> None:
        """``resolve`` gives the settings of an agent; ``start`` runs something until the session ends."""
        self.lead = Lead(agent)
        self.hooks = HookCaller(hooks, info.context)
        self.speech = ProtectedSpeech(model=model, lead=self.lead, start=start)
        self._model = model
        self._history = history
        self._info = info
        self._tell = tell
        self._start = start
        self._resolve = resolve
        self._one_at_a_time = asyncio.Lock()

    def notice(self, event: RealtimeModelEvent) -> None:
        """One of the noteworthy events came; nobody else has heard of it yet."""
        match event:
            case RealtimeModelTurnStartedEvent(response_id=response_id):
                self.lead.response_began(response_id)
            case RealtimeModelSessionEvent():
                if not event.created:
                    self.lead.session_changed()
                self.speech.session_changed(event)
            case RealtimeModelErrorEvent(error=error):
                if (change := self.lead.refused(error)) is not None:
                    self._start(self._report(change, error), f"refused {change.event_id}")
            case RealtimeModelConnectionStatusEvent(reattached=True):
                if (change := self.lead.unconfirmed) is not None:
                    # It may have been lost with the connection.
                    self._start(self._repeat(change), f"again {change.event_id}")
            case _:
                pass

    async def update_agent(self, agent: RealtimeAgent[Any]) -> None:
        """Let ``agent`` lead. Raises what its callables, `agent_settings` and the model raise; then whoever
        led still leads. Cancel-safe: once the server is being told, that goes on."""
        await self._switch(Offer(agent=agent, settings=await self._resolve(agent)), handoff=False)

    async def hand_off(self, call: RealtimeModelToolCallEvent, way: Handoff[Any, Any], offer: Offer) -> str:
        """Take ``way``, which the agent of ``offer`` called, and return what the model is to be told.

        Raises nothing of its own: what goes wrong is told to the model, and whoever leads stays.
        """
        async with self._one_at_a_time:
            result = await run_tool(
                self._as_tool(way, offer), self._context(call), call.arguments, agent=offer.agent
            )
        if result.is_error:
            error = {"type": "handoff_failed", "message": f"Handoff {way.tool_name}: {result.text}"}
            self._tell(RealtimeError(error=error, info=self._info))
        return result.text

    # Inside ----------------------------------------------------------------------------------------

    async def _report(self, change: Change, error: Mapping[str, Any]) -> None:
        """The server refused ``change``, which is undone by now: say so, to the model as well."""
        agent, leads = change.after.agent.name, self.lead.current.agent.name
        logger.warning("The server refused to let agent %s lead; %s leads", agent[:100], leads[:100])
        told = {
            "type": "handoff_refused",
            "code": error.get("code"),
            "event_id": change.event_id,
            "message": f"The server refused to let {agent} lead, {leads} leads: {error.get('message')}",
        }
        self._tell(RealtimeError(error=told, info=self._info))
        if change.handoff:
            # The model was told already that the other agent leads, and may speak in its name.
            text = (
                f"The handoff to {agent} did not take place. You are still {leads}: "
                "go on with the conversation yourself."
            )
            await self._try_send(RealtimeModelSendSystemMessage(text=text))

    async def _repeat(self, change: Change) -> None:
        await self._try_send(self._update(change))

    async def _try_send(
        self, command: RealtimeModelSendSessionUpdate | RealtimeModelSendSystemMessage
    ) -> None:
        try:
            await self._model.send_event(command)
        except ConnectionLostError:
            logger.info("The connection ended before a change of agents was through")
        except Exception as error:  # noqa: BLE001 - a model may be one that users wrote
            logger.warning("A change of agents could not be sent: %s", type(error).__name__)

    def _as_tool(self, way: Handoff[Any, Any], offer: Offer) -> FunctionTool:
        """The handoff as a tool, so that it fails as gracefully as one."""

        async def take(context: ToolContext[Any], arguments_json: str) -> str:
            self._require_lead(offer)
            agent = await way.on_invoke_handoff(context, arguments_json)
            if not isinstance(agent, RealtimeAgent):
                raise UserError(f"handoff {way.tool_name!r} gave {type(agent).__name__}, not a RealtimeAgent")
            settings = await self._resolve(agent)
            self._require_lead(offer)  # the application may have changed it meanwhile
            new = Offer(agent=agent, settings=settings)
            await self._switch(new, handoff=True)
            self._require_lead(new)  # the server may have refused already
            self._tell(RealtimeHandoffEvent(from_agent=offer.agent, to_agent=agent, info=self._info))
            self.hooks.handed_off(offer.agent, agent)
            return way.get_transfer_message(agent)

        return FunctionTool(
            name=way.tool_name,
            description=way.tool_description,
            params_json_schema=way.input_json_schema,
            on_invoke_tool=take,
            is_enabled=way.is_enabled,
            failure_error_function=_why_not,
        )

    def _require_lead(self, offer: Offer) -> None:
        if self.lead.current is not offer:
            leads = self.lead.current.agent.name
            raise ModelBehaviorError(f"The handoff did not take place: {leads} leads the conversation now.")

    async def _switch(self, offer: Offer, *, handoff: bool) -> None:
        # Before it is sent: the server's answer may come before sending returns.
        change = self.lead.change(offer, handoff=handoff)
        # Whoever cancels us cannot take back what may be on the wire by now, so it goes on by itself.
        outcome: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self._start(self._send(change, outcome), f"send {change.event_id}")
        failure = await asyncio.shield(outcome)
        if failure is not None:
            raise failure

    async def _send(self, change: Change, outcome: asyncio.Future[Exception | None]) -> None:
        failure: Exception | None = ConnectionLostError("The session was closed.")
        try:
            await self._model.send_event(self._update(change))
            failure = None
        except Exception as error:  # noqa: BLE001 - handed to whoever waits
            failure = error
        finally:
            if failure is not None:
                self.lead.undo(change.event_id)
            if not outcome.done():
                outcome.set_result(failure)

    def _update(self, change: Change) -> RealtimeModelSendSessionUpdate:
        settings = self.speech.adjust(change.after.settings)
        if change.before.settings.get("prompt") and "prompt" not in settings:
            # What an update leaves out stays: the prompt of the agent of before would go on leading.
            settings = {**settings, "prompt": None}
        return RealtimeModelSendSessionUpdate(
            session_settings=settings,
            event_id=change.event_id,
            # Once the agent has spoken, an update that names another voice is refused as a whole.
            keep_voice=self._history.holds_speech_of_agent,
        )

    def _context(self, call: RealtimeModelToolCallEvent) -> ToolContext[Any]:
        shared = self._info.context
        return ToolContext(
            context=shared.context,
            usage=shared.usage,
            tool_name=call.name,
            tool_call_id=call.call_id,
            tool_arguments=call.arguments,
        )


def _why_not(context: RunContextWrapper[Any], error: Exception) -> str:
    return str(error) if isinstance(error, ModelBehaviorError) else HANDOFF_FAILED
