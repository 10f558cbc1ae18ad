"""Which response is heard, where its audio comes over the socket. Pure.

On a call the server says when it begins to play a response and when it has played it. Over the socket
somebody else plays, and all that is known is what came, and when; and how far a playback tracker says that
it got. From that, this tells the same: one response after the other, each begins once and ends once.
"""

from __future__ import annotations

from collections import deque

from sipagent.identifiers import ResponseId
from sipagent.realtime.events import RealtimeModelPlaybackEvent
from sipagent.realtime.playback import RealtimePlaybackState, ReceivedAudio

STALLED_S = 2.0
"""A tracker that has not moved for so long, although all must have been played by the clock, is believed no
more: its player may be gone, or never have told it anything."""
_OFTEN_S, _SELDOM_S = 0.02, 0.25
"""How often a tracker is asked: nobody says when it moves."""
_ROUNDING_MS = 1.0


class SpokenResponses:
    """The responses of one connection that are heard, or wait to be."""

    def __init__(self, received: ReceivedAudio) -> None:
        """``received`` knows what came; it is only read."""
        self.due: float | None = None
        """When to ask `next_report` again, on the clock of ``now``; None when nothing can have changed."""
        self._received = received
        self._queue: deque[ResponseId] = deque()
        """The first is the one that plays; the others wait for its end."""
        self._told = False
        """That the first one plays has been told."""
        self._made: set[ResponseId] = set()
        """Responses of the queue that are whole: no more audio of them will come."""
        self._seen: RealtimePlaybackState | None = None
        """What the tracker said when it last had moved, and when that was."""
        self._moved_at = 0.0

    def sounds(self, response_id: ResponseId, now: float, tracker: RealtimePlaybackState | None) -> bool:
        """Audio of a new part of a response came; True when nothing plays before it, and `next_report` has
        something to tell."""
        if response_id in self._queue:
            return False
        self._queue.append(response_id)
        if len(self._queue) == 1:
            return True
        self._plan(now, tracker)
        return False

    def made(self, response_id: ResponseId, now: float, tracker: RealtimePlaybackState | None) -> None:
        """A response ended: what came of it is all."""
        if response_id in self._queue:
            self._made.add(response_id)
            self._plan(now, tracker)

    def next_report(
        self, now: float, tracker: RealtimePlaybackState | None
    ) -> RealtimeModelPlaybackEvent | None:
        """What is to be told now, by ``tracker`` if there is one, else by the clock; ask until None."""
        self.due = None
        if not self._queue:
            return None
        first = self._queue[0]
        if not self._told:
            self._told = True
            self._plan(now, tracker)
            return RealtimeModelPlaybackEvent(change="started", response_id=first)
        if not self._can_end() or not self._is_played(first, now, tracker):
            self._plan(now, tracker)
            return None
        self._queue.popleft()
        self._made.discard(first)
        self._told = False
        self.due = now if self._queue else None
        return RealtimeModelPlaybackEvent(change="stopped", response_id=first)

    def cut(self, response_id: ResponseId | None = None) -> RealtimeModelPlaybackEvent | None:
        """Playing stopped, of one response or of all: what is told of it; ask until None. Those that waited
        will not be heard either."""
        which = response_id or next(iter(self._queue), None)
        if which is None or which not in self._queue:
            return None
        if which == self._queue[0]:
            self._told, self.due = False, None
        self._queue.remove(which)
        self._made.discard(which)
        return RealtimeModelPlaybackEvent(change="cleared", response_id=which)

    # Inside ----------------------------------------------------------------------------------------

    def _can_end(self) -> bool:
        """Whether the first one ends when what came of it was played. One that another follows does too,
        although its end was not told."""
        return self._queue[0] in self._made or len(self._queue) > 1

    def _is_played(self, response_id: ResponseId, now: float, tracker: RealtimePlaybackState | None) -> bool:
        if self._received.unplayed_ms(response_id, tracker, now) <= _ROUNDING_MS:
            return True
        if tracker is None:
            return False
        if tracker != self._seen:
            self._seen, self._moved_at = tracker, now
        by_clock_ms = self._received.unplayed_ms(response_id, None, now)
        return by_clock_ms <= 0.0 and now - self._moved_at >= STALLED_S

    def _plan(self, now: float, tracker: RealtimePlaybackState | None) -> None:
        """Say when to look again."""
        if not self._told or not self._can_end():
            return
        unplayed_s = self._received.unplayed_ms(self._queue[0], tracker, now) / 1000
        if tracker is not None:
            unplayed_s = min(max(unplayed_s, _OFTEN_S), _SELDOM_S)
        self.due = now + unplayed_s
