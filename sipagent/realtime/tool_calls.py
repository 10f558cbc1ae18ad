"""The tool calls of one session: each is run once, and answered once, whatever happens.

A call runs as a task of its own, so that nothing waits for a tool: not the socket, not the talk, not another
tool. The model always gets an answer, and the caller with it; a tool that does not exist is answered too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from sipagent.clock import monotonic_s
from sipagent.errors import ConnectionLostError
from sipagent.identifiers import ToolCallId
from sipagent.realtime.agent import RealtimeAgent
from sipagent.realtime.approvals import Approvals
from sipagent.realtime.events import RealtimeModelToolCallEvent
from sipagent.realtime.handoffs import Handoff
from sipagent.realtime.handover import Handover
from sipagent.realtime.inputs import RealtimeModelSendToolOutput
from sipagent.realtime.leading import Offer
from sipagent.realtime.measuring import TurnMeter
from sipagent.realtime.model import RealtimeModel
from sipagent.realtime.session_events import (
    RealtimeError,
    RealtimeEventInfo,
    RealtimeSessionEvent,
    RealtimeToolApprovalRequired,
    RealtimeToolEnd,
    RealtimeToolStart,
)
from sipagent.realtime.settings import RealtimeRunConfig
from sipagent.realtime.stream import EventStream
from sipagent.realtime.tool_guardrails import check_tool_input, run_guarded_tool
from sipagent.realtime.tools import FunctionTool, ToolContext, ToolResult
from sipagent.realtime.translation import Translation

logger = logging.getLogger(__name__)


class ToolCalls:
    """Runs what the model calls."""

    def __init__(
        self,
        *,
        model: RealtimeModel,
        info: RealtimeEventInfo,
        run_config: RealtimeRunConfig,
        handover: Handover,
        translation: Translation,
        events: EventStream[RealtimeSessionEvent],
        meter: TurnMeter,
        start: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]],
    ) -> None:
        """``start`` runs something under a name until the session ends."""
        self._model = model
        self._info = info
        self._run_config = run_config
        self._handover = handover
        self._translation = translation
        self._events = events
        self._meter = meter
        self._start = start
        self.approvals = Approvals(run_config.get("tool_error_formatter"))
        self._called: set[ToolCallId] = set()
        self._one_at_a_time = None if run_config.get("async_tool_calls", True) else asyncio.Lock()

    def begin(self, call: RealtimeModelToolCallEvent) -> None:
        """The model calls something. Never waits."""
        if call.call_id in self._called:
            return  # a repeated event must not run a tool twice
        self._called.add(call.call_id)
        self._meter.tool_called(call.call_id)
        offer, found = self._handover.lead.find(call)
        match found:
            case FunctionTool():
                work = self._run_tool(call, found, offer.agent)
            case Handoff():
                work = self._hand_off(call, found, offer)
            case None:
                work = self._unknown_tool(call)
        run = self._start(work, f"tool {call.name[:100]} {call.call_id[:100]}")
        run.add_done_callback(lambda _: self._meter.tool_answered(call.call_id))

    def has_begun(self, tool_call_id: ToolCallId) -> bool:
        """Whether the call was heard, and is being run or was."""
        return tool_call_id in self._called

    async def _hand_off(self, call: RealtimeModelToolCallEvent, way: Handoff[Any, Any], offer: Offer) -> None:
        self._meter.tool_starts(call.call_id)
        try:
            text = await self._handover.hand_off(call, way, offer)
        finally:
            self._meter.tool_ends(call.call_id)
        await self._answer(call, text, starts_response=True)

    async def _run_tool(
        self, call: RealtimeModelToolCallEvent, tool: FunctionTool, agent: RealtimeAgent[Any]
    ) -> None:
        context = ToolContext(
            context=self._info.context.context,
            usage=self._info.context.usage,
            tool_name=tool.name,
            tool_call_id=call.call_id,
            tool_arguments=call.arguments,
        )
        # Nobody else waits while somebody makes up their mind, so this is outside of the lock.
        refused = await self._refused(call, tool, agent, context)
        if self._one_at_a_time is not None:
            async with self._one_at_a_time:
                await self._run_tool_now(call, tool, agent, context, refused)
        else:
            await self._run_tool_now(call, tool, agent, context, refused)

    async def _refused(
        self,
        call: RealtimeModelToolCallEvent,
        tool: FunctionTool,
        agent: RealtimeAgent[Any],
        context: ToolContext[Any],
    ) -> ToolResult | None:
        """The answer to give instead of running ``tool``, where it needs an approval that it does not get."""
        if tool.needs_approval is False:
            return None
        if self._run_config.get("tool_execution", {}).get("pre_approval_tool_input_guardrails"):
            refused = await check_tool_input(tool, context, agent=agent)
            if refused is not None:
                return refused
        event = RealtimeToolApprovalRequired(
            agent=agent, tool=tool, arguments=call.arguments, call_id=call.call_id, info=self._info
        )
        return await self.approvals.refusal(tool, context, lambda: self._events.put(event))

    async def _run_tool_now(
        self,
        call: RealtimeModelToolCallEvent,
        tool: FunctionTool,
        agent: RealtimeAgent[Any],
        context: ToolContext[Any],
        refused: ToolResult | None,
    ) -> None:
        about: dict[str, Any] = {
            "agent": agent,
            "tool": tool,
            "arguments": call.arguments,
            "tool_call_id": call.call_id,
            "info": self._info,
        }
        await self._events.put(RealtimeToolStart(**about))
        self._handover.hooks.tool_started(context, agent, tool)
        began = monotonic_s()
        self._meter.tool_starts(call.call_id)
        result = refused or await run_guarded_tool(tool, context, call.arguments, agent=agent)
        self._meter.tool_ends(call.call_id)
        duration_ms = (monotonic_s() - began) * 1000
        self._handover.hooks.tool_ended(context, agent, tool, result.output)
        if result.error is not None:
            await self._events.put(RealtimeError(error=result.error, info=self._info))
        await self._answer(call, result.text, starts_response=tool.starts_response or result.is_error)
        await self._events.put(
            RealtimeToolEnd(
                **about,
                output=result.output,
                output_text=result.text,
                is_error=result.is_error,
                duration_ms=duration_ms,
            )
        )

    async def _unknown_tool(self, call: RealtimeModelToolCallEvent) -> None:
        logger.warning("The model called a tool that does not exist: %s", call.name[:100])
        error = {"type": "unknown_tool", "message": f"The model called the unknown tool {call.name!r}."}
        await self._events.put(RealtimeError(error=error, info=self._info))
        # A caller who hears nothing is worse off than one who hears that something did not work.
        await self._answer(call, f"Tool {call.name} not found", starts_response=True)

    async def _answer(self, call: RealtimeModelToolCallEvent, output: str, *, starts_response: bool) -> None:
        try:
            await self._model.send_event(
                RealtimeModelSendToolOutput(tool_call=call, output=output, start_response=starts_response)
            )
        except ConnectionLostError:
            logger.info("The answer of tool %s came after the end of the connection", call.name[:100])
        except Exception as error:  # noqa: BLE001 - a model may be one that users wrote
            logger.warning("The answer of tool %s could not be sent: %s", call.name[:100], error)
            await self._events.put(RealtimeError(error=error, info=self._info))
        for happened in self._translation.tool_answered(call.call_id, output):
            await self._events.put(happened)
