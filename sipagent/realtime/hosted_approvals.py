"""Calls of hosted tools that wait until somebody says yes or no.

The server asks, and waits for ever. Here the tool's own function answers where it has one, else the
application, without a deadline as for tools that run here. A question that nobody can hear, since nobody
iterates over the session, is answered with no: a caller who is told that something did not work is better off
than one who hears nothing. Each question is answered once, for the agent that led when it was asked.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sipagent.errors import ConnectionLostError
from sipagent.identifiers import ItemId, ToolCallId
from sipagent.realtime.agent import RealtimeAgent
from sipagent.realtime.approvals import Decision
from sipagent.realtime.hosted_mcp import (
    HostedMCPTool,
    MCPApprovalRequestData,
    MCPToolApprovalFunction,
    MCPToolApprovalRequest,
)
from sipagent.realtime.inputs import RealtimeModelSendMcpApproval
from sipagent.realtime.leading import Lead
from sipagent.realtime.mcp_events import RealtimeModelMcpApprovalRequestedEvent
from sipagent.realtime.mcp_items import RealtimeMcpApprovalRequestItem
from sipagent.realtime.mcp_session_events import RealtimeMcpApprovalRequired
from sipagent.realtime.model import RealtimeModel
from sipagent.realtime.session_events import RealtimeError, RealtimeEventInfo, RealtimeSessionEvent
from sipagent.realtime.stream import EventStream
from sipagent.realtime.user_code import call_user_code

logger = logging.getLogger(__name__)

UNHEARD_S: Final = 10.0
"""How long a question waits for somebody to begin to iterate over the session."""
NOBODY_TO_ASK: Final = "Nobody could be asked for approval."
"""What the model hears when that did not happen."""
COULD_NOT_ASK: Final = "The approval could not be given, because of an error."
"""What the model hears when the function that decides failed; its exception may hold secrets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """One question, and who is to answer it."""

    request: RealtimeMcpApprovalRequestItem
    agent: RealtimeAgent[Any]
    tool: HostedMCPTool | None

    def same_tool(self, other: _Asked) -> bool:
        """Whether both are about one tool; that of another agent's server was never talked about."""
        mine, its = self.request, other.request
        return self.tool is other.tool and (mine.server_label, mine.name) == (its.server_label, its.name)


class HostedApprovals:
    """The questions of one session."""

    def __init__(
        self,
        *,
        model: RealtimeModel,
        info: RealtimeEventInfo,
        lead: Lead,
        events: EventStream[RealtimeSessionEvent],
        start: Callable[[Coroutine[Any, Any, None], str], object],
    ) -> None:
        """``start`` runs something under a name until the session ends."""
        self._model = model
        self._info = info
        self._lead = lead
        self._events = events
        self._start = start
        self._asked: dict[ItemId, _Asked] = {}
        """Every question there ever was."""
        self._waiting: dict[ItemId, asyncio.Future[Decision | None]] = {}
        self._for_good: list[tuple[_Asked, Decision]] = []
        self._settled: set[ItemId] = set()
        """Answered by somebody else who is attached to the call."""

    def ask(self, event: RealtimeModelMcpApprovalRequestedEvent) -> None:
        """The server asks. Never waits."""
        request = event.request
        if request.item_id in self._asked:
            return
        offer = self._lead.offer_of(event.response_id)
        label = request.server_label
        # Perhaps the server had followed to another agent without telling.
        tool = offer.find_hosted(label) or self._lead.current.find_hosted(label)
        asked = self._asked[request.item_id] = _Asked(request=request, agent=offer.agent, tool=tool)
        if request.item_id not in self._settled:
            self._start(self._decide(asked), f"approve {request.name[:100]} {request.item_id[:100]}")

    def decide(self, call_id: str, decision: Decision, *, always: bool) -> None:
        """Somebody answers; ``always`` answers every later question about the same tool too. Nothing happens
        when no such question waits."""
        request_id = ItemId(call_id)
        future = self._waiting.get(request_id)
        if future is None or future.done():
            return
        if always:
            self._for_good.append((self._asked[request_id], decision))
        future.set_result(decision)

    def settled(self, request_id: ItemId) -> None:
        """The question is answered, by us or by somebody else: what is decided here any more is not sent."""
        self._settled.add(request_id)
        future = self._waiting.get(request_id)
        if future is not None and not future.done():
            future.set_result(None)

    # Inside ----------------------------------------------------------------------------------------

    async def _decide(self, asked: _Asked) -> None:
        request, failure = asked.request, None
        decision = self._decided(asked)
        if decision is None and asked.tool is not None and asked.tool.on_approval_request is not None:
            decision, failure = await self._let_decide(asked, asked.tool.on_approval_request)
        elif decision is None:
            decision = await self._wait(asked)
        if decision is not None and request.item_id not in self._settled:
            await self._answer(request, decision)
        if failure is not None:
            await self._events.put(RealtimeError(error=failure, info=self._info))

    def _decided(self, asked: _Asked) -> Decision | None:
        for earlier, decision in self._for_good:
            if asked.same_tool(earlier):
                return decision
        return None

    async def _let_decide(
        self, asked: _Asked, function: MCPToolApprovalFunction
    ) -> tuple[Decision, Mapping[str, Any] | None]:
        """What the tool's own function says, and what to report when it failed."""
        request = asked.request
        data = MCPApprovalRequestData(
            id=request.item_id,
            server_label=request.server_label,
            name=request.name,
            arguments=request.arguments,
        )
        try:
            question = MCPToolApprovalRequest(ctx_wrapper=self._info.context, data=data)
            return _decision(await call_user_code(function, question)), None
        except Exception as error:  # noqa: BLE001 - code that users wrote
            what = f"{request.server_label}.{request.name}"[:200]
            logger.warning("Hosted tool %s is not approved: asking failed (%s)", what, type(error).__name__)
            message = f"The approval of {what} failed ({type(error).__name__}); it counts as refused."
            failure = {"type": "approval_failed", "message": message}
            return Decision(approved=False, rejection_message=COULD_NOT_ASK), failure

    async def _wait(self, asked: _Asked) -> Decision | None:
        """What the application says; None when the question is settled otherwise."""
        request = asked.request
        future: asyncio.Future[Decision | None] = asyncio.get_running_loop().create_future()
        # Before it is announced: whoever hears of it may decide at once.
        self._waiting[request.item_id] = future
        event = RealtimeMcpApprovalRequired(
            agent=asked.agent,
            tool=asked.tool,
            server_label=request.server_label,
            name=request.name,
            arguments=request.arguments,
            call_id=ToolCallId(request.item_id),
            info=self._info,
        )
        try:
            # At once, even beyond the capacity: a queue that nobody empties must not hide that nobody does.
            self._events.put_at_once(event)
            await asyncio.wait([future], timeout=UNHEARD_S)
            if not future.done() and not self._events.was_read:
                what = f"{request.server_label}.{request.name}"[:200]
                logger.warning("Hosted tool %s is not approved: nobody iterates over the session", what)
                return Decision(approved=False, rejection_message=NOBODY_TO_ASK)
            return await future
        finally:
            del self._waiting[request.item_id]

    async def _answer(self, request: RealtimeMcpApprovalRequestItem, decision: Decision) -> None:
        answer = RealtimeModelSendMcpApproval(
            approval_request_id=request.item_id,
            approve=decision.approved,
            reason=decision.rejection_message,
        )
        try:
            await self._model.send_event(answer)
        except ConnectionLostError:
            logger.info("The approval of %s came after the end of the connection", request.name[:100])
        except Exception as error:  # noqa: BLE001 - a model may be one that users wrote
            logger.warning("The approval of %s could not be sent: %s", request.name[:100], error)
            await self._events.put(RealtimeError(error=error, info=self._info))


def _decision(answer: Any) -> Decision:
    """What a function says; raises `TypeError` for what is neither yes nor no."""
    if isinstance(answer, bool):
        return Decision(approved=answer)
    if not isinstance(answer, Mapping) or not isinstance(answer.get("approve"), bool):
        raise TypeError(
            f"on_approval_request gave {type(answer).__name__}, not a bool or {{'approve': bool}}"
        )
    reason = answer.get("reason")
    return Decision(approved=answer["approve"], rejection_message=reason if isinstance(reason, str) else None)
