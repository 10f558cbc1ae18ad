"""Which responses run, and what of them is still to be heard. Pure.

A response is made faster than it is spoken, so it *runs* until the model has made it and is *audible* until
it was heard or cut off. Connections are lost and messages with them: whatever a response does shows that it
runs, although its beginning was missed, and one that begins shows that an older one has ended.
"""

from __future__ import annotations

from typing import Any

from sipagent.identifiers import ResponseId
from sipagent.realtime.agent import RealtimeAgent


class Speaking:
    """The responses of one session."""

    __slots__ = (
        "_aside",
        "_audible",
        "_over",
        "_played",
        "_playing",
        "_playing_is_told",
        "_playing_is_unknown",
        "_running",
    )

    def __init__(self) -> None:
        self._running: dict[ResponseId, RealtimeAgent[Any]] = {}
        self._aside: set[ResponseId] = set()
        """Responses outside the conversation, which run beside another."""
        self._over: set[ResponseId] = set()
        self._audible: dict[ResponseId, None] = {}
        """Responses that speak, and have not been heard to their end, in the order in which they will be."""
        self._playing: set[ResponseId] = set()
        self._played: set[ResponseId] = set()
        """Responses that were heard to their end, or cut off."""
        self._playing_is_told = False
        """The model tells what is played."""
        self._playing_is_unknown = False
        """Audio came over the socket, and its model tells nobody what becomes of it."""

    @property
    def response_active(self) -> bool:
        """Whether a response is under way."""
        return bool(self._running)

    @property
    def agent_is_speaking(self) -> bool:
        """Whether the agent is heard, or has begun what will be heard."""
        return bool(self._audible)

    @property
    def busy(self) -> bool:
        """Whether there is either."""
        return bool(self._running or self._audible)

    def was_heard(self, response_id: ResponseId) -> bool:
        """Whether a response that began has ended, and nothing of it is still to be heard."""
        return response_id not in self._running and response_id not in self._audible

    def begin(self, response_id: ResponseId, agent: RealtimeAgent[Any], *, aside: bool) -> None:
        """A response of ``agent`` began."""
        if response_id in self._over:
            return  # told late, or twice
        if aside:
            self._aside.add(response_id)
        else:
            # The conversation runs one response at a time: the end of an older one was missed.
            self._running = {each: who for each, who in self._running.items() if each in self._aside}
        self._running[response_id] = agent

    def shows_itself(self, response_id: ResponseId | None, agent: RealtimeAgent[Any]) -> None:
        """A response does something, so it runs, unless it has ended."""
        if response_id is not None and response_id not in self._over:
            self._running.setdefault(response_id, agent)

    def end(self, response_id: ResponseId, agent: RealtimeAgent[Any], *, unheard: bool) -> RealtimeAgent[Any]:
        """A response was made, or broken off; ``unheard`` when nothing more of it will be played. Returns who
        began it, ``agent`` when that was missed."""
        who = self._running.pop(response_id, agent)
        self._over.add(response_id)
        if unheard and response_id not in self._playing:
            self._audible.pop(response_id, None)  # it never came to be heard
        return who

    def has_words(self, response_id: ResponseId) -> None:
        """A response has words, which will be played."""
        if response_id in self._running and response_id not in self._played and not self._playing_is_unknown:
            self._audible.setdefault(response_id)

    def has_sound(self, response_id: ResponseId) -> None:
        """Audio of a response came over the socket. Of a model that has not told before that it is played,
        its end will not be told either: nobody should wait for it."""
        if not self._playing_is_told:
            self._playing_is_unknown = True
            self._audible.pop(response_id, None)
        elif response_id not in self._played:
            self._audible.setdefault(response_id)

    def starts_to_play(self, response_id: ResponseId) -> None:
        """A response is played now."""
        self._playing_is_told, self._playing_is_unknown = True, False
        self._audible[response_id] = None
        self._playing.add(response_id)
        self._played.discard(response_id)  # it may have run dry, and go on now
        # One after the other: whatever was to be heard before this one was, though nobody said so.
        for earlier in list(self._audible):
            if earlier == response_id:
                break
            self.stops_to_play(earlier)

    def stops_to_play(self, response_id: ResponseId) -> bool:
        """A response was heard to its end, or cut off; False when it had been before."""
        before = response_id in self._played
        self._audible.pop(response_id, None)
        self._playing.discard(response_id)
        self._played.add(response_id)
        return not before

    def missed(self) -> None:
        """The connection was away: a response that ended meanwhile will never be reported; one that did not
        shows itself again. Speech that was playing may well be playing on, and a goodbye must not be cut."""
        self._running.clear()
