"""When a response may be asked for. Pure.

The server runs one response of the conversation at a time, and starts some by itself when the caller falls
silent. A request that comes while one runs is refused, and what it was for (a greeting, the answer to a
tool) would never be spoken. So requests wait here::

    state        what it means                     request waits?  leaves on
    idle         nothing runs, nothing was asked   sent at once    a request → requested; created → active
    requested    asked, not begun                  waits           created → active; an error → idle, or
                                                                   active when the error says one runs
    active       a response runs                   waits           done → idle; cancel → cancelling
    cancelling   its end was asked for             waits           done → idle; "nothing to cancel" → idle

Requests without parameters of their own are merged, since one response answers them all; those with
parameters keep their place. A request outside the conversation (``conversation: none``) never waits.

The server may begin a response of its own while our request is on its way. Ours is then *in doubt*: refused,
if the server got to it while its own was running, and then asked again after that one has ended.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sipagent.identifiers import ResponseId, ToolCallId

ALREADY_ACTIVE = "conversation_already_has_active_response"
NOTHING_TO_CANCEL = "response_cancel_not_active"


class TurnState(StrEnum):
    """Where the one response of the conversation stands."""

    IDLE = "idle"
    REQUESTED = "requested"
    ACTIVE = "active"
    CANCELLING = "cancelling"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseRequest:
    """One ``response.create``."""

    event_id: str
    response: Mapping[str, Any] | None = None
    """Its own parameters; None for an automatic request, which may be merged."""

    @property
    def out_of_band(self) -> bool:
        """Whether it leaves the conversation alone."""
        return self.response is not None and self.response.get("conversation") == "none"


class ResponseGate:
    """The state above and the requests that wait. After each call, `take` says what to send now."""

    def __init__(self) -> None:
        self.state = TurnState.IDLE
        self.response_id: ResponseId | None = None
        """The response that runs, where known."""
        self._waiting: deque[ResponseRequest] = deque()
        self._sent: ResponseRequest | None = None
        """Sent, and neither begun nor refused for certain."""
        self._count = 0

    @property
    def pending(self) -> bool:
        """A request waits or was sent, and has not begun."""
        return bool(self._waiting) or self.state is TurnState.REQUESTED

    def request(self, response: Mapping[str, Any] | None = None, *, event_id: str | None = None) -> None:
        """Want a response, with ``response`` as its own parameters."""
        self._count += 1
        wanted = ResponseRequest(event_id=event_id or f"sipagent_response_{self._count}", response=response)
        if wanted.out_of_band:
            self._waiting.appendleft(wanted)
        elif response is not None or not self._merges():
            self._waiting.append(wanted)

    def take(self) -> ResponseRequest | None:
        """The request to send now, if any; call again until None."""
        if not self._waiting:
            return None
        if self._waiting[0].out_of_band:
            return self._waiting.popleft()
        if self.state is not TurnState.IDLE:
            return None
        self.state = TurnState.REQUESTED
        self._sent = self._waiting.popleft()
        return self._sent

    def created(self, response_id: ResponseId) -> None:
        """The server began a response of the conversation: ours, or one of its own."""
        self.state = TurnState.ACTIVE
        self.response_id = response_id

    def done(self, response_id: ResponseId) -> None:
        """A response of the conversation ended."""
        if self.response_id is not None and response_id != self.response_id:
            return
        if self.state is TurnState.REQUESTED:
            return  # the end of one that we never saw begin; ours is still on its way
        self.state = TurnState.IDLE
        self.response_id = None
        self._sent = None

    def cancel(self) -> bool:
        """Whether ``response.cancel`` should be sent now."""
        if self.state is not TurnState.ACTIVE:
            return False
        self.state = TurnState.CANCELLING
        return True

    def refused(self, *, event_id: str | None, code: str | None) -> bool:
        """The server reports an error; True when it was about a request of ours that is asked again."""
        if code == NOTHING_TO_CANCEL:
            if self.state is TurnState.CANCELLING:
                self.state = TurnState.IDLE
                self.response_id = None
            return False
        sent = self._sent
        if sent is None or event_id not in (None, sent.event_id):
            return False
        if code == ALREADY_ACTIVE:
            self._sent = None
            self._waiting.appendleft(sent)
            # The response in the way may not have been announced to us yet; its end will be.
            if self.state is TurnState.REQUESTED:
                self.state = TurnState.ACTIVE
            return True
        if event_id is not None or code in _REFUSALS_WITHOUT_ID:
            # Refused for what it says: asking again would be refused again.
            self._sent = None
            if self.state is TurnState.REQUESTED:
                self.state = TurnState.IDLE
        return False

    def lost(self) -> None:
        """The connection was lost: what ran and what was sent cannot be known any more.

        Requests that still wait are kept; one that was sent is asked again, for the caller may be waiting
        for it. Should the old response still run, the refusal puts that right.
        """
        if self._sent is not None and self.state is TurnState.REQUESTED:
            self._waiting.appendleft(self._sent)
        self._sent = None
        self.state = TurnState.IDLE
        self.response_id = None

    def _merges(self) -> bool:
        """Whether an automatic request is covered by one that waits, with no other behind that."""
        return bool(self._waiting) and self._waiting[-1].response is None


_REFUSALS_WITHOUT_ID = frozenset({"bad_response_create", "rate_limit_exceeded"})


class ToolTurns:
    """Which tool calls of which response are still to be answered.

    Several calls of one response are all answered first and then followed by one response; the response
    that made them must have ended too, since another call may still come.
    """

    def __init__(self) -> None:
        self._open: dict[ResponseId | None, set[ToolCallId]] = {}
        self._response_of: dict[ToolCallId, ResponseId | None] = {}
        self._wanting: set[ResponseId | None] = set()
        self._running: set[ResponseId] = set()

    def response_began(self, response_id: ResponseId) -> None:
        """A response began."""
        self._running.add(response_id)

    def called(self, call_id: ToolCallId, response_id: ResponseId | None) -> None:
        """The model called a tool."""
        self._open.setdefault(response_id, set()).add(call_id)
        self._response_of[call_id] = response_id

    def answered(self, call_id: ToolCallId, *, wants_response: bool) -> bool:
        """A call was answered; True when a response is to be asked for now."""
        response_id = self._response_of.pop(call_id, None)
        self._open.get(response_id, set()).discard(call_id)
        if wants_response:
            self._wanting.add(response_id)
        return self._due(response_id)

    def response_ended(self, response_id: ResponseId) -> bool:
        """A response ended; True when a response is to be asked for now."""
        self._running.discard(response_id)
        return self._due(response_id)

    def lost(self) -> bool:
        """The connection was lost, and the ends of responses with it; True when a response is due now."""
        self._running.clear()
        due = [self._due(response_id) for response_id in list(self._wanting)]
        return any(due)

    def _due(self, response_id: ResponseId | None) -> bool:
        if response_id in self._running or self._open.get(response_id):
            return False
        self._open.pop(response_id, None)
        if response_id not in self._wanting:
            return False
        self._wanting.discard(response_id)
        return True
