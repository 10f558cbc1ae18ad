"""When a response may be asked for. Pure.

The server runs one response of the conversation at a time, and starts some by itself when the caller falls
silent. A request that comes while one runs is refused, and what it was for (a greeting, the answer to a
tool) would never be spoken. So requests wait here, and one table says where each thing that happens leads::

    state        what it means                       a request
    idle         nothing runs, nothing was asked     is sent at once
    requested    asked, not begun                    waits
    active       a response runs                     waits
    cancelling   its end was asked for               waits

Requests without parameters of their own are merged, since one response answers them all; those with
parameters keep their place. A request outside the conversation (``conversation: none``) never waits.

The server may begin a response of its own while our request is on its way. Ours is then *in doubt*: refused,
if the server got to it while its own was running, and then asked again after that one has ended.

A caller who may not interrupt can end a turn while a response runs. The server then fails to answer it, and
says so without naming a request, as it may when it refuses one of ours. Which of them it means shows in the
order: one of ours is refused behind the turn that brought the response in its way, not before the next.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from sipagent.identifiers import ResponseId

ALREADY_ACTIVE = "conversation_already_has_active_response"
NOTHING_TO_CANCEL = "response_cancel_not_active"
_REMEMBERED_REQUESTS = 16
_REMEMBERED_RESPONSES = 32

# The table ------------------------------------------------------------------------------------------


class TurnState(StrEnum):
    """Where the one response of the conversation stands."""

    IDLE = "idle"
    REQUESTED = "requested"
    ACTIVE = "active"
    CANCELLING = "cancelling"


class TurnSignal(StrEnum):
    """What may happen to it."""

    ASKED = "asked"
    """We sent ``response.create``."""
    UNSENT = "unsent"
    """It turned out that we could not."""
    CREATED = "created"
    """The server began a response, ours or its own."""
    DONE = "done"
    """The response that runs ended."""
    COLLIDED = "collided"
    """Our request was refused because a response runs."""
    REFUSED = "refused"
    """Our request was refused for another reason, or may have been."""
    CANCELLED = "cancelled"
    """We sent ``response.cancel``."""
    NOTHING_TO_CANCEL = "nothing_to_cancel"
    """The server has no response to cancel."""
    LOST = "lost"
    """The connection was lost."""


_IDLE, _REQUESTED, _ACTIVE, _CANCELLING = TurnState
TRANSITIONS: dict[TurnState, dict[TurnSignal, TurnState]] = {
    _IDLE: {
        TurnSignal.ASKED: _REQUESTED,
        TurnSignal.CREATED: _ACTIVE,
    },
    _REQUESTED: {
        TurnSignal.UNSENT: _IDLE,
        TurnSignal.CREATED: _ACTIVE,
        # The response in the way may not have been announced to us yet; its end will be.
        TurnSignal.COLLIDED: _ACTIVE,
        TurnSignal.REFUSED: _IDLE,
        TurnSignal.LOST: _IDLE,
    },
    _ACTIVE: {
        # A newer response means that the end of the older one was missed.
        TurnSignal.CREATED: _ACTIVE,
        TurnSignal.DONE: _IDLE,
        TurnSignal.CANCELLED: _CANCELLING,
        TurnSignal.LOST: _IDLE,
    },
    _CANCELLING: {
        TurnSignal.CREATED: _ACTIVE,
        TurnSignal.DONE: _IDLE,
        TurnSignal.NOTHING_TO_CANCEL: _IDLE,
        TurnSignal.LOST: _IDLE,
    },
}
"""A signal that a state does not name leaves it as it is."""


# Requests -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseRequest:
    """One ``response.create``."""

    event_id: str
    number: int
    """Counts what was wanted, so that what is asked again finds its old place."""
    response: Mapping[str, Any] | None = None
    """Its own parameters; None for an automatic request, which may be merged."""
    perhaps_heard: bool = False
    """A response that is in the way of it may well be this one's: the connection was lost while it was on its
    way, or the server may have begun what it asks for by itself."""
    only_if: Callable[[], bool] | None = None
    """Asked when its turn has come: False drops it. Must not raise."""

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
        self._outside_waiting: deque[ResponseRequest] = deque()
        self._sent: ResponseRequest | None = None
        """The latest request that was sent; in doubt until the response after it has ended."""
        self._doubtful = False
        """`_sent` may still be refused without being named."""
        self._recent: deque[ResponseRequest] = deque(maxlen=_REMEMBERED_REQUESTS)
        """What was sent before: a request may be under way for longer than the server's own response."""
        self._outside: set[ResponseId] = set()
        self._outside_asked: deque[str] = deque()
        """The requests for such responses that were sent, by event id."""
        self._names_conversations = False
        """The server has told of a response that is inside, so that one outside can be known by that."""
        self._ended = EndedResponses()
        self._stray_end = False
        """A response ended, since the latest request was sent, whose beginning we have not seen."""
        self._turn_ended = False
        """The caller has ended a turn since the response that runs began, which the server will fail to
        answer if it tries."""
        self._count = 0
        self._newest_sent = 0
        self._taken_back: set[int] = set()
        """The numbers of those in `_recent` to which nobody wants an answer any more."""
        self.unwanted: ResponseId | None = None
        """A response that began although what it was asked for had been taken back."""

    @property
    def pending(self) -> bool:
        """A request waits or was sent, and has not begun."""
        return bool(self._waiting or self._outside_waiting) or self.state is TurnState.REQUESTED

    def request(
        self,
        response: Mapping[str, Any] | None = None,
        *,
        event_id: str | None = None,
        perhaps_heard: bool = False,
        only_if: Callable[[], bool] | None = None,
    ) -> None:
        """Want a response, with ``response`` as its own parameters; with ``only_if``, as long as that holds
        when its turn has come. ``perhaps_heard``: one that the server begins by itself before it gets to ours
        is what was wanted."""
        self._count += 1
        wanted = ResponseRequest(
            event_id=event_id or f"sipagent_response_{self._count}",
            number=self._count,
            response=response,
            perhaps_heard=perhaps_heard,
            only_if=only_if,
        )
        if wanted.out_of_band:
            self._outside_waiting.append(wanted)
        elif response is not None or not self._merges():
            self._waiting.append(wanted)

    def take(self) -> ResponseRequest | None:
        """The request to send now, if any; call again until None."""
        if self._outside_waiting:
            self._outside_asked.append(self._outside_waiting[0].event_id)
            return self._outside_waiting.popleft()
        if self.state is not TurnState.IDLE:
            return None
        while self._waiting and (only_if := self._waiting[0].only_if) is not None and not only_if():
            self._waiting.popleft()
        if not self._waiting:
            return None
        self._signal(TurnSignal.ASKED)
        self._sent, self._doubtful, self._stray_end = self._eldest(), True, False
        self._newest_sent = max(self._newest_sent, self._sent.number)
        self._recent.append(self._sent)
        return self._sent

    def take_back(self) -> None:
        """The agent is not to go on: automatic requests that wait are dropped, and what is on its way is not
        wanted any more. Requests with parameters of their own that wait are kept, because somebody wants
        that very thing said; so are those outside the conversation.

        The response to what is on its way will be `unwanted`. The server may begin one of its own at that
        very moment; the two cannot be told apart, and it is unwanted as well.
        """
        self._taken_back = {each.number for each in self._recent}
        self._waiting = deque(each for each in self._waiting if each.response is not None)

    def unsent(self, request: ResponseRequest) -> None:
        """``request``, which `take` gave last, could not be sent: it waits again, in its old place."""
        if request.out_of_band:
            self._outside_waiting.appendleft(request)
            if request.event_id in self._outside_asked:
                self._outside_asked.remove(request.event_id)
        elif request is self._sent:  # else `lost` has put it back already
            self._wait_again(request)
            self._sent, self._doubtful = None, False
            self._recent.remove(request)
            self._signal(TurnSignal.UNSENT)

    def created(self, response_id: ResponseId, *, out_of_band: bool = False) -> None:
        """The server began a response. It is outside the conversation only if we asked for such a one."""
        if response_id == self.response_id or response_id in self._outside or self._ended.after(response_id):
            return  # told before
        overtaken = response_id in self._ended
        self._names_conversations = self._names_conversations or not out_of_band
        if out_of_band and self._outside_asked:
            self._outside_asked.popleft()
            if not overtaken:
                self._outside.add(response_id)
        elif not overtaken:
            if self.response_id is not None:
                self._ended.add(self.response_id, begun=True)
            if self.state is TurnState.REQUESTED and self._is_taken_back(self._sent):
                self.unwanted = response_id
            self._signal(TurnSignal.CREATED)
            self.response_id, self._turn_ended = response_id, False
        elif self.state is TurnState.REQUESTED:
            # Its end came first. It may well be ours; should it not be, ours is asked for again when refused.
            self._signal(TurnSignal.CREATED)
            self._signal(TurnSignal.DONE)
        if overtaken:
            self._ended.add(response_id, begun=True)

    def caller_ended_turn(self) -> None:
        """The caller fell silent."""
        self._turn_ended = self.response_id is not None

    def done(self, response_id: ResponseId) -> None:
        """A response ended."""
        outside = response_id in self._outside
        self._outside.discard(response_id)
        self._ended.add(response_id, begun=outside or response_id == self.response_id)
        if outside and self.state is TurnState.REQUESTED and not self._names_conversations:
            # A server that puts no response into a conversation makes ours look like one outside.
            self._signal(TurnSignal.CREATED)
        unknown_runs = self.state is TurnState.ACTIVE and self.response_id is None
        if not unknown_runs and (outside or self.response_id not in (None, response_id)):
            return
        # While a request is under way, this is the end of a response that we never saw begin.
        if self.state in (TurnState.ACTIVE, TurnState.CANCELLING):
            self._doubtful = False
        self._stray_end = self._stray_end or self.state is TurnState.REQUESTED
        self._signal(TurnSignal.DONE)

    def cancel(self, response_id: ResponseId | None = None) -> bool:
        """Whether ``response.cancel`` should be sent now; if so, it counts as sent.

        With a ``response_id`` only if that very response runs, be it outside the conversation.
        """
        if response_id in self._outside:
            return True
        if self.state is not TurnState.ACTIVE or response_id not in (None, self.response_id):
            return False
        self._signal(TurnSignal.CANCELLED)
        return True

    def refused(self, *, event_id: str | None, code: str | None) -> bool:
        """The server reports an error; True when it is taken care of here and need trouble nobody."""
        if code == NOTHING_TO_CANCEL:
            ours = self.state is TurnState.CANCELLING
            self._signal(TurnSignal.NOTHING_TO_CANCEL)
            return ours
        if event_id is not None and event_id in self._outside_asked:
            self._outside_asked.remove(event_id)
            return False
        if code == ALREADY_ACTIVE and self._refused_late(event_id):
            return True
        if code == ALREADY_ACTIVE and event_id is None and self._turn_ended:
            # The server's own attempt at an answer: it does not come back to it.
            self._turn_ended = False
            self.request()
            return True
        sent = self._sent
        if sent is None or event_id not in (None, sent.event_id):
            return False
        # Nothing else of ours can be in the way of a response that we did not ask for.
        in_the_way = code == ALREADY_ACTIVE and self.state in (TurnState.ACTIVE, TurnState.CANCELLING)
        if event_id is None and not self._doubtful and not in_the_way:
            return False
        if code == ALREADY_ACTIVE:
            self._sent, self._doubtful = None, False
            self._recent.remove(sent)
            if not sent.perhaps_heard:
                self._wait_again(sent)
            # What was in the way may have told its end before this came; nothing more would come of it then.
            self._signal(TurnSignal.REFUSED if self._stray_end else TurnSignal.COLLIDED)
            return True
        # Refused for what it says: asking again would be refused again. An error that names nothing may be
        # about something else; going on is safe all the same, since a collision is asked again.
        if event_id is not None:
            self._sent, self._doubtful = None, False
        self._signal(TurnSignal.REFUSED)
        return False

    def _refused_late(self, event_id: str | None) -> bool:
        """Whether an older request was refused, which seemed to have been granted: ask it again."""
        for request in self._recent:
            if request.event_id == event_id and request is not self._sent:
                self._recent.remove(request)
                self._wait_again(request)
                return True
        return False

    def lost(self) -> None:
        """The connection was lost: what runs and what was sent cannot be known any more.

        Requests that still wait are kept. One that was on its way is sent again; should it turn out that a
        response runs, that is taken for its answer, so that nothing is said twice.
        """
        if (sent := self._sent) is not None and self.state is TurnState.REQUESTED:
            event_id = sent.event_id if sent.perhaps_heard else f"{sent.event_id}_again"
            self._wait_again(replace(sent, event_id=event_id, perhaps_heard=True))
        self._sent, self._doubtful = None, False
        self._recent.clear()
        self._outside.clear()
        self._outside_asked.clear()
        self._signal(TurnSignal.LOST)

    def _signal(self, signal: TurnSignal) -> None:
        self.state = TRANSITIONS[self.state].get(signal, self.state)
        if self.state not in (TurnState.ACTIVE, TurnState.CANCELLING):
            self.response_id, self._turn_ended = None, False

    def _merges(self) -> bool:
        """Whether an automatic request is covered by one that waits, with no other behind that: none that
        waits, and none that was sent and may be back."""
        if not self._waiting:
            return False
        last = self._waiting[-1]
        # One that may have been heard covers nothing, nor one on a condition: either may be dropped.
        if last.perhaps_heard or last.only_if is not None:
            return False
        return last.response is None and last.number > self._newest_sent

    def _eldest(self) -> ResponseRequest:
        """The request whose turn it is, with the automatic ones behind it merged into it."""
        request = self._waiting.popleft()
        while request.response is None and self._waiting and self._waiting[0].response is None:
            covered = self._waiting.popleft()
            if request.perhaps_heard and (covered.only_if is None or covered.only_if()):
                request = covered
        return request

    def _is_taken_back(self, request: ResponseRequest | None) -> bool:
        return request is not None and request.number in self._taken_back

    def _wait_again(self, request: ResponseRequest) -> None:
        """Let a request that was taken wait in its old place, unless it was taken back meanwhile."""
        if self._is_taken_back(request):
            return
        older = sum(each.number < request.number for each in self._waiting)
        self._waiting.insert(older, request)


class EndedResponses:
    """Responses that ended lately, so that what comes late or twice is not taken for a new one."""

    def __init__(self) -> None:
        self._begun: dict[ResponseId, bool] = {}

    def __contains__(self, response_id: ResponseId) -> bool:
        return response_id in self._begun

    def after(self, response_id: ResponseId) -> bool:
        """Whether its beginning was told too."""
        return self._begun.get(response_id, False)

    def add(self, response_id: ResponseId, *, begun: bool) -> None:
        """A response ended, whose beginning was told or not."""
        self._begun[response_id] = begun or self.after(response_id)
        if len(self._begun) > _REMEMBERED_RESPONSES:
            del self._begun[next(iter(self._begun))]
