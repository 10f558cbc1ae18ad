"""Which tool calls are still to be answered before a response may be asked for. Pure.

Several calls of one response are all answered first and then followed by one response; the response that made
them must have ended too, since another call may still come. Calls of hosted tools, which the API answers
itself, count as well: it does not go on by itself once it has an answer (its own example for approvals asks
for a response after ``response.mcp_call.completed`` and ``response.done``), and where a server does, what it
began is not asked for again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from sipagent.identifiers import ItemId, ResponseId, ToolCallId
from sipagent.realtime.events import RealtimeModelEvent, RealtimeModelItemUpdatedEvent
from sipagent.realtime.items import AssistantMessageItem
from sipagent.realtime.mcp_events import (
    RealtimeModelMcpApprovalRequestedEvent,
    RealtimeModelMcpCallArgumentsEvent,
    RealtimeModelMcpCallEvent,
)
from sipagent.realtime.mcp_items import (
    RealtimeMcpApprovalRequestItem,
    RealtimeMcpApprovalResponseItem,
    RealtimeMcpCallItem,
)
from sipagent.realtime.turn import EndedResponses, ResponseGate


class Wanted(Enum):
    """Whether a response is to be asked for now; true unless it is `NO`."""

    NO = "no"
    YES = "yes"
    UNLESS_BEGUN = "unless begun"
    """Yes, but one that the server has begun by itself meanwhile will do."""

    def __bool__(self) -> bool:
        return self is not Wanted.NO


def request_wanted(gate: ResponseGate, wanted: Wanted) -> None:
    """Ask ``gate`` for what is wanted."""
    if wanted:
        gate.request(perhaps_heard=wanted is Wanted.UNLESS_BEGUN)


class ToolTurns:
    """The calls of each response, by who answers them: whoever that is says so here."""

    def __init__(self) -> None:
        self._open: dict[ResponseId | None, set[ToolCallId]] = {}
        self._response_of: dict[ToolCallId, ResponseId | None] = {}
        """Every call there ever was, so that a repeated one is known."""
        self._wanting: dict[ResponseId | None, Wanted] = {}
        self._running: set[ResponseId] = set()
        self._ended = EndedResponses()

    def response_began(self, response_id: ResponseId) -> None:
        """A response began."""
        if response_id not in self._ended:  # else its end overtook it, or this is told twice
            self._running.add(response_id)

    def called(self, call_id: ToolCallId, response_id: ResponseId | None) -> bool:
        """The model called a tool; False when it is a call that was told before."""
        if call_id in self._response_of:
            return False
        self._open.setdefault(response_id, set()).add(call_id)
        self._response_of[call_id] = response_id
        return True

    def answered(self, call_id: ToolCallId, *, wants_response: bool, perhaps_heard: bool = False) -> Wanted:
        """A call was answered; ``perhaps_heard``: by the server, which may go on without being asked."""
        response_id = self._response_of.get(call_id)
        self._open.get(response_id, set()).discard(call_id)
        if wants_response:
            surely = not perhaps_heard or self._wanting.get(response_id) is Wanted.YES
            self._wanting[response_id] = Wanted.YES if surely else Wanted.UNLESS_BEGUN
        return self._due(response_id)

    def goes_on(self, response_id: ResponseId) -> None:
        """A response says something more: what it learned from the server's own tools is part of it."""
        if self._wanting.get(response_id) is Wanted.UNLESS_BEGUN:
            del self._wanting[response_id]

    def response_ended(self, response_id: ResponseId) -> Wanted:
        """A response ended."""
        self._running.discard(response_id)
        self._ended.add(response_id, begun=True)
        return self._due(response_id)

    def lost(self) -> Wanted:
        """The connection was lost, and the ends of responses with it."""
        self._running.clear()
        due = [self._due(response_id) for response_id in list(self._wanting)]
        return max(due, key=(Wanted.NO, Wanted.UNLESS_BEGUN, Wanted.YES).index, default=Wanted.NO)

    def _due(self, response_id: ResponseId | None) -> Wanted:
        if response_id in self._running or self._open.get(response_id):
            return Wanted.NO
        self._open.pop(response_id, None)
        return self._wanting.pop(response_id, Wanted.NO)


# Hosted tools ---------------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class _HostedCall:
    """One call of a hosted tool."""

    response_id: ResponseId | None
    arguments: str = ""
    request_id: ItemId | None = None
    """What asks for its approval, where something does."""
    started: bool = False
    ended: bool = False


@dataclass(slots=True, kw_only=True)
class _Request:
    """One question whether a hosted tool may be called."""

    response_id: ResponseId | None
    arguments: str
    call_id: ItemId | None = None
    """The call that it is about, where that is known."""
    answered: bool = False


class HostedTurns:
    """The calls of hosted tools among `ToolTurns`: open from when they are told of until they have ended.

    An approval request is open until it is answered. What is told twice, or once more after the connection
    was lost, changes nothing.
    """

    def __init__(self, tools: ToolTurns) -> None:
        self._tools = tools
        self._calls: dict[ItemId, _HostedCall] = {}
        self._requests: dict[ItemId, _Request] = {}

    @property
    def any(self) -> bool:
        """Whether there ever was one."""
        return bool(self._calls or self._requests)

    @property
    def running(self) -> tuple[ItemId, ...]:
        """Calls that have not ended and wait for nobody."""
        return tuple(
            item_id
            for item_id, call in self._calls.items()
            if not call.ended and (call.request_id is None or self._requests[call.request_id].answered)
        )

    def take(self, event: RealtimeModelEvent, running: ResponseId | None) -> Wanted:
        """What happened to a call; ``running`` is the response that runs now."""
        match event:
            case RealtimeModelMcpCallArgumentsEvent(item_id=item_id, arguments=arguments):
                self._begin(item_id, event.response_id or running, arguments)
            case RealtimeModelMcpCallEvent(item_id=item_id, change=change):
                self._begin(item_id, running)
                self._calls[item_id].started = True
                if change != "in_progress":
                    return self._end(item_id)
            case RealtimeModelMcpApprovalRequestedEvent(request=request):
                self._ask(request, event.response_id or running)
            case RealtimeModelItemUpdatedEvent(item=RealtimeMcpCallItem() as item):
                return self._take_item(item, event.response_id)
            case RealtimeModelItemUpdatedEvent(item=RealtimeMcpApprovalResponseItem() as item):
                return self.answered(item.approval_request_id, approve=item.approve)
            case RealtimeModelItemUpdatedEvent(
                item=AssistantMessageItem(status="in_progress"), response_id=response_id
            ) if response_id is not None:
                self._tools.goes_on(response_id)
            case _:
                pass
        return Wanted.NO

    def answered(self, request_id: ItemId, *, approve: bool) -> Wanted:
        """An approval request was answered, here or elsewhere."""
        request = self._requests.get(request_id)
        if request is None or request.answered:
            return Wanted.NO
        request.answered = True
        self._find_call(request_id, request)
        if not approve and request.call_id is not None:
            self._calls[request.call_id].ended = True
            self._tools.answered(_key(request.call_id), wants_response=False)
        # The model must hear of a refusal, and nothing else tells it to speak; an approved call will end.
        return self._tools.answered(_key(request_id), wants_response=not approve, perhaps_heard=True)

    def gone(self, item_id: ItemId) -> Wanted:
        """The server does not know a call any more."""
        call = self._calls.get(item_id)
        if call is None or call.ended:
            return Wanted.NO
        call.ended = True
        return self._tools.answered(_key(item_id), wants_response=False)

    def _begin(self, item_id: ItemId, response_id: ResponseId | None, arguments: str = "") -> None:
        call = self._calls.get(item_id)
        if call is None:
            self._calls[item_id] = _HostedCall(response_id=response_id, arguments=arguments)
            self._tools.called(_key(item_id), response_id)
        elif arguments:
            call.arguments = arguments

    def _end(self, item_id: ItemId) -> Wanted:
        call = self._calls[item_id]
        if call.ended:
            return Wanted.NO
        call.ended = True
        return self._tools.answered(_key(item_id), wants_response=True, perhaps_heard=True)

    def _take_item(self, item: RealtimeMcpCallItem, response_id: ResponseId | None) -> Wanted:
        if response_id is not None:
            self._begin(item.item_id, response_id, item.arguments)
        # An item that no response made is part of an earlier conversation.
        if item.item_id in self._calls and (item.output is not None or item.error is not None):
            return self._end(item.item_id)
        return Wanted.NO

    def _ask(self, request: RealtimeMcpApprovalRequestItem, response_id: ResponseId | None) -> None:
        if request.item_id in self._requests:
            return
        made = _Request(response_id=response_id, arguments=request.arguments)
        self._requests[request.item_id] = made
        self._find_call(request.item_id, made)
        call = None if made.call_id is None else self._calls[made.call_id]
        self._tools.called(_key(request.item_id), response_id if call is None else call.response_id)

    def _find_call(self, request_id: ItemId, request: _Request) -> None:
        """Find out which call a request is about, which no field says: one that has not begun, with the same
        arguments, or at least of the same response."""
        if request.call_id is not None:
            return
        free = [
            (item_id, call)
            for item_id, call in reversed(self._calls.items())
            if call.request_id is None and not call.started and not call.ended
        ]
        same = [each for each in free if each[1].arguments == request.arguments]
        for item_id, call in [*same, *free]:
            if same or call.response_id == request.response_id:
                request.call_id, call.request_id = item_id, request_id
                return


def _key(item_id: ItemId) -> ToolCallId:
    """A hosted call among calls that are named otherwise."""
    return ToolCallId(f"hosted {item_id}")
