"""What happens with hosted tools, from what a model reports of it to the events of a session. Pure.

The server's messages name an item; what was called, and what came of it, is in the item, which comes before
or behind. So a start waits for its item, and an end for its output; the next turn waits for neither.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from sipagent.identifiers import ItemId, ResponseId
from sipagent.realtime.agent import RealtimeAgent
from sipagent.realtime.events import (
    RealtimeModelEndOfStreamEvent,
    RealtimeModelEvent,
    RealtimeModelItemUpdatedEvent,
    RealtimeModelTurnEndedEvent,
    RealtimeModelTurnStartedEvent,
)
from sipagent.realtime.history import History
from sipagent.realtime.mcp_events import (
    McpProgress,
    RealtimeModelMcpCallArgumentsEvent,
    RealtimeModelMcpCallEvent,
    RealtimeModelMcpListToolsEvent,
)
from sipagent.realtime.mcp_items import McpTool, RealtimeMcpCallItem, RealtimeMcpListToolsItem
from sipagent.realtime.mcp_session_events import RealtimeMcpCallEnd, RealtimeMcpCallStart, RealtimeMcpToolList
from sipagent.realtime.session_events import RealtimeEventInfo

Events = list[RealtimeMcpToolList | RealtimeMcpCallStart | RealtimeMcpCallEnd]
AgentOf = Callable[[ResponseId | None], RealtimeAgent[Any]]

TURNING: Final = frozenset(
    {RealtimeModelTurnStartedEvent, RealtimeModelTurnEndedEvent, RealtimeModelEndOfStreamEvent}
)
"""Among the next: what says nothing of hosted tools, but that time has passed."""
FOLDED: Final = TURNING | {
    RealtimeModelMcpListToolsEvent,
    RealtimeModelMcpCallArgumentsEvent,
    RealtimeModelMcpCallEvent,
    RealtimeModelItemUpdatedEvent,
}
"""The events that `HostedCalls` needs to hear of, after the history; all are rare."""


@dataclass(slots=True, kw_only=True)
class _Call:
    """One call of a hosted tool, while it is not over."""

    agent: RealtimeAgent[Any]
    started_s: float | None = None
    ended_s: float | None = None
    failed: bool = False
    start_told: bool = False


class HostedCalls:
    """The hosted tools of one session, as its events tell of them."""

    def __init__(self, info: RealtimeEventInfo, history: History, agent_of: AgentOf) -> None:
        """``agent_of`` says who led when a response began."""
        self._info = info
        self._history = history
        self._agent_of = agent_of
        self._calls: dict[ItemId, _Call] = {}
        self._over: set[ItemId] = set()
        """Calls whose end was told."""
        self._lists: set[tuple[ItemId, McpProgress]] = set()
        """What was told of lists."""
        self._awaited: set[ItemId] = set()
        """Lists that are complete, and were not seen yet."""

    @property
    def waiting(self) -> bool:
        """Whether something is to be told of a call that is not over."""
        return bool(self._calls)

    def take(self, event: RealtimeModelEvent, now_s: float) -> Events:
        """What ``event`` means; ``now_s`` is monotonic. The history has heard of it already."""
        match event:
            case RealtimeModelMcpListToolsEvent(item_id=item_id, change=change):
                return self._list(item_id, change)
            case RealtimeModelMcpCallArgumentsEvent(item_id=item_id, response_id=response_id):
                self._call(item_id, response_id)
            case RealtimeModelMcpCallEvent(item_id=item_id, change=change):
                return self._progress(item_id, change, now_s)
            case RealtimeModelItemUpdatedEvent(item=RealtimeMcpListToolsItem(item_id=item_id)):
                return self._listed(item_id) if item_id in self._awaited else []
            case RealtimeModelItemUpdatedEvent(item=RealtimeMcpCallItem(item_id=item_id)):
                if event.response_id is not None:
                    self._call(item_id, event.response_id)
                return self._tell(item_id, now_s, complete=True)
            case (
                RealtimeModelTurnStartedEvent()
                | RealtimeModelTurnEndedEvent()
                | RealtimeModelEndOfStreamEvent()
            ):
                # Whatever is still missing will not come any more.
                waiting = [*self._calls]
                return [each for item_id in waiting for each in self._tell(item_id, now_s, complete=True)]
            case _:
                pass
        return []

    # Lists -----------------------------------------------------------------------------------------

    def _list(self, item_id: ItemId, change: McpProgress) -> Events:
        if change == "completed":
            item = self._history.get(item_id)
            if not isinstance(item, RealtimeMcpListToolsItem) or item.status != "completed":
                self._awaited.add(item_id)
                return []
        return self._list_once(item_id, change)

    def _listed(self, item_id: ItemId) -> Events:
        self._awaited.discard(item_id)
        return self._list_once(item_id, "completed")

    def _list_once(self, item_id: ItemId, status: McpProgress) -> Events:
        if (item_id, status) in self._lists:
            return []
        self._lists.add((item_id, status))
        item = self._history.get(item_id)
        label: str | None = None
        tools: tuple[McpTool, ...] = ()
        if isinstance(item, RealtimeMcpListToolsItem):
            label, tools = item.server_label or None, item.tools if status == "completed" else ()
        return [
            RealtimeMcpToolList(
                status=status, item_id=item_id, server_label=label, tools=tools, info=self._info
            )
        ]

    # Calls -----------------------------------------------------------------------------------------

    def _call(self, item_id: ItemId, response_id: ResponseId | None) -> _Call | None:
        """The call of an item, which may be new; None when its end was told."""
        if item_id in self._over:
            return None
        known = self._calls.get(item_id)
        if known is None:
            known = self._calls[item_id] = _Call(agent=self._agent_of(response_id))
        return known

    def _progress(self, item_id: ItemId, change: McpProgress, now_s: float) -> Events:
        call = self._call(item_id, None)
        if call is None:
            return []
        if change == "in_progress":
            call.started_s = now_s if call.started_s is None else call.started_s
        elif call.ended_s is None:
            call.ended_s, call.failed = now_s, change == "failed"
        return self._tell(item_id, now_s, complete=False)

    def _tell(self, item_id: ItemId, now_s: float, *, complete: bool) -> Events:
        """What can be told of a call and was not yet; ``complete``: no more will be known of its end."""
        call, item = self._calls.get(item_id), self._history.get(item_id)
        if call is None or not isinstance(item, RealtimeMcpCallItem):
            return []
        has_result = item.output is not None or item.error is not None
        if has_result and call.ended_s is None:
            call.ended_s = now_s
        events: Events = []
        about: dict[str, Any] = {
            "agent": call.agent,
            "item_id": item_id,
            "server_label": item.server_label,
            "name": item.name,
            "arguments": item.arguments,
            "info": self._info,
        }
        if not call.start_told and (call.started_s is not None or call.ended_s is not None):
            call.start_told = True
            events.append(RealtimeMcpCallStart(**about))
        if call.ended_s is not None and (has_result or complete):
            self._over.add(item_id)
            del self._calls[item_id]
            started_s = call.started_s
            events.append(
                RealtimeMcpCallEnd(
                    **about,
                    output=item.output,
                    error=item.error,
                    is_error=call.failed or item.error is not None,
                    duration_ms=None if started_s is None else (call.ended_s - started_s) * 1000,
                )
            )
        return events
