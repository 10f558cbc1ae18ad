"""The tools that the API itself calls, as far as a session has to do with them.

It tells what happens, and answers when approval is asked for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from sipagent.clock import monotonic_s
from sipagent.realtime.approvals import Decision
from sipagent.realtime.events import RealtimeModelEvent, RealtimeModelItemUpdatedEvent
from sipagent.realtime.history import History
from sipagent.realtime.hosted_approvals import HostedApprovals
from sipagent.realtime.hosted_calls import FOLDED, TURNING, HostedCalls
from sipagent.realtime.leading import Lead
from sipagent.realtime.mcp_events import RealtimeModelMcpApprovalRequestedEvent
from sipagent.realtime.mcp_items import MCP_ITEM_TYPES, RealtimeMcpApprovalResponseItem
from sipagent.realtime.mcp_session_events import RealtimeMcpToolList
from sipagent.realtime.model import RealtimeModel
from sipagent.realtime.session_events import RealtimeEventInfo, RealtimeSessionEvent
from sipagent.realtime.stream import EventStream

logger = logging.getLogger(__name__)

HOSTED: Final = FOLDED | {RealtimeModelMcpApprovalRequestedEvent}
"""The events that `HostedTools` needs to hear of; all are rare."""


class HostedTools:
    """The hosted tools of one session."""

    def __init__(
        self,
        *,
        model: RealtimeModel,
        info: RealtimeEventInfo,
        lead: Lead,
        history: History,
        events: EventStream[RealtimeSessionEvent],
        start: Callable[[Coroutine[Any, Any, None], str], object],
    ) -> None:
        """``start`` runs something under a name until the session ends."""
        self._calls = HostedCalls(info, history, lambda response_id: lead.offer_of(response_id).agent)
        self._approvals = HostedApprovals(model=model, info=info, lead=lead, events=events, start=start)

    def take(self, event: RealtimeModelEvent) -> Sequence[RealtimeSessionEvent]:
        """What one of the `HOSTED` events means. The history has heard of it already."""
        if type(event) is RealtimeModelItemUpdatedEvent:
            if type(event.item) not in MCP_ITEM_TYPES:
                return ()  # as nearly always
            if isinstance(event.item, RealtimeMcpApprovalResponseItem):
                self._approvals.settled(event.item.approval_request_id)
        elif type(event) in TURNING and not self._calls.waiting:
            return ()
        told = self._calls.take(event, monotonic_s())
        for each in told:
            if isinstance(each, RealtimeMcpToolList) and each.status == "failed":
                logger.warning("The tools of MCP server %s could not be listed", each.server_label or "?")
        return told

    def ask(self, event: RealtimeModelMcpApprovalRequestedEvent) -> None:
        """The server asks for approval. Never waits."""
        self._approvals.ask(event)

    def decide(self, call_id: str, decision: Decision, *, always: bool) -> None:
        """Somebody answers. Nothing happens when no such question waits."""
        self._approvals.decide(call_id, decision, always=always)
