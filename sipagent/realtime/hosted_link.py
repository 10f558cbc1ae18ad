"""Between a model and the tools that its server calls: answers to approval requests, and the calls that were
under way when the connection broke.
"""

from __future__ import annotations

import logging
from typing import Final

from sipagent.identifiers import ItemId
from sipagent.realtime import commands
from sipagent.realtime.events import RealtimeModelEvent, RealtimeModelItemUpdatedEvent
from sipagent.realtime.inputs import RealtimeModelSendMcpApproval
from sipagent.realtime.mcp_items import MCP_ITEM_TYPES, RealtimeMcpApprovalResponseItem
from sipagent.realtime.outgoing import Outgoing
from sipagent.realtime.tool_turns import HostedTurns, ToolTurns, request_wanted
from sipagent.realtime.turn import ResponseGate

logger = logging.getLogger(__name__)

_RETRIEVE: Final = "sipagent_retrieve_"


class HostedLink:
    """The hosted tools of one connection, from its first socket to its last."""

    def __init__(self, outgoing: Outgoing, gate: ResponseGate, tools: ToolTurns) -> None:
        self._outgoing = outgoing
        self._gate = gate
        self._turns = HostedTurns(tools)

    def take(self, event: RealtimeModelEvent) -> bool:
        """Something happened to a hosted tool, or to an item. True: everybody is to hear of it."""
        if type(event) is RealtimeModelItemUpdatedEvent:
            item = event.item
            if type(item) is RealtimeMcpApprovalResponseItem:
                self._outgoing.came(item.item_id)
            elif type(item) not in MCP_ITEM_TYPES and not self._turns.any:
                return True  # as nearly always
        request_wanted(self._gate, self._turns.take(event, self._gate.response_id))
        return True

    async def answer(self, event: RealtimeModelSendMcpApproval) -> None:
        """Send the answer to an approval request, unless one was sent. Raises and waits as `Outgoing.send`
        does. Cancel-safe: sent whole, or not at all."""
        request_id = event.approval_request_id
        answer = commands.approval_response(request_id, approve=event.approve, reason=event.reason)
        if await self._outgoing.send_once(answer):
            request_wanted(self._gate, self._turns.answered(request_id, approve=event.approve))

    async def restored(self) -> None:
        """The connection is back: ask how the calls stand that were under way, since their end may have been
        told while nobody listened."""
        for item_id in self._turns.running:
            await self._outgoing.try_send(commands.item_retrieve(item_id, f"{_RETRIEVE}{item_id}"))

    def refused(self, event_id: object) -> bool:
        """Whether an error is about something that was said to make sure, so that it need trouble nobody."""
        if self._outgoing.refused_again(event_id):
            logger.debug("An answer was refused when it was repeated")
            return True
        if not isinstance(event_id, str) or not event_id.startswith(_RETRIEVE):
            return False
        request_wanted(self._gate, self._turns.gone(ItemId(event_id.removeprefix(_RETRIEVE))))
        return True
