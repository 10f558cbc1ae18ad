"""How much of the agent's speech was heard, where its audio comes over the socket. Pure.

The server makes speech faster than it is played. When the caller interrupts, the conversation must be cut
to what was heard, and only whoever plays the audio knows how much that is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypedDict

from sipagent.audio.formats import bytes_to_ms
from sipagent.identifiers import ItemId, ResponseId


class RealtimePlaybackState(TypedDict):
    """What is playing; all None when nothing is."""

    current_item_id: str | None
    current_item_content_index: int | None
    elapsed_ms: float | None


class RealtimePlaybackTracker:
    """Told by whoever plays the audio how far it got; asked by the model when the caller interrupts.

    For players that know better than the clock what was heard, such as a phone company that confirms what
    it played. Without one, the model assumes that audio plays as soon as it comes.
    """

    def __init__(self) -> None:
        self._format: Any = None
        self._item: tuple[str, int] | None = None
        self._elapsed_ms = 0.0

    def on_play_bytes(self, item_id: str, item_content_index: int, bytes: bytes) -> None:
        """``bytes`` of this part were played, in the session's output format."""
        self.on_play_ms(item_id, item_content_index, bytes_to_ms(len(bytes), self._format))

    def on_play_ms(self, item_id: str, item_content_index: int, ms: float) -> None:
        """Another ``ms`` milliseconds of this part were played; another part starts again at ``ms``."""
        part = (item_id, item_content_index)
        self._elapsed_ms = self._elapsed_ms + ms if part == self._item else ms
        self._item = part

    def on_interrupted(self) -> None:
        """Playing stopped: forget the part, keep the format."""
        self._item = None
        self._elapsed_ms = 0.0

    def set_audio_format(self, format: Any) -> None:
        """The session's output format, in any spelling of `sipagent.audio.formats`."""
        self._format = format

    def get_state(self) -> RealtimePlaybackState:
        """What is playing, and how far it got."""
        if self._item is None:
            return {"current_item_id": None, "current_item_content_index": None, "elapsed_ms": None}
        return {
            "current_item_id": self._item[0],
            "current_item_content_index": self._item[1],
            "elapsed_ms": self._elapsed_ms,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """How much of one part was heard when it was cut."""

    item_id: ItemId
    content_index: int
    heard_ms: int
    """Whole milliseconds, within what was received of the part."""
    response_id: ResponseId | None
    fully_played: bool
    """All that was received had been played."""


@dataclass(slots=True)
class _Part:
    response_id: ResponseId
    first_at: float
    """When it began to play, later by the time in which there was nothing to play."""
    received_ms: float

    @property
    def played_at(self) -> float:
        """When all of it that came will have been played."""
        return self.first_at + self.received_ms / 1000


class ReceivedAudio:
    """The audio of the agent as it comes: how much of which part, and since when it can be playing.

    Parts of the same item or of several follow one another: a part starts to play when it comes, or when
    what came before it has been played, whichever is later.
    """

    def __init__(self) -> None:
        self._format: Any = None
        self._parts: dict[tuple[ItemId, int], _Part] = {}
        self._cut_off: set[ItemId] = set()
        self._until = 0.0
        """What `playing_until` says; sound comes too often to look through all parts."""

    def set_audio_format(self, spelling: Any) -> None:
        """The session's output format."""
        self._format = spelling

    def add(
        self, *, item_id: ItemId, content_index: int, response_id: ResponseId, byte_count: int, now: float
    ) -> bool:
        """Another ``byte_count`` bytes came; True when they are the first of their part. Those of an item
        that was cut off will not be heard."""
        if item_id in self._cut_off:
            return False
        key = (item_id, content_index)
        duration_ms = bytes_to_ms(byte_count, self._format)
        part = self._parts.get(key)
        starts_at = max(now, self._until)
        if part is None:
            self._parts[key] = _Part(response_id, starts_at, duration_ms)
            self._until = starts_at + duration_ms / 1000
            return True
        # Where a part ran dry, silence was heard until now, and nothing of the part.
        part.first_at += max(0.0, starts_at - part.played_at)
        part.received_ms += duration_ms
        self._until = part.played_at
        return False

    @property
    def latest_part(self) -> tuple[ItemId, int] | None:
        """The item and the part of which audio came last, and is not cut off; None when nothing came."""
        return next(reversed(self._parts), None)

    @property
    def latest_response(self) -> ResponseId | None:
        """Whose audio came last, and is not cut off; None when nothing came."""
        return next(reversed(self._parts.values())).response_id if self._parts else None

    def is_cut_off(self, item_id: ItemId) -> bool:
        """Whether nothing more of an item will be heard."""
        return item_id in self._cut_off

    def goes_on(self, item_id: ItemId, content_index: int) -> bool:
        """Whether some of a part has come, so that more of it begins nothing."""
        return (item_id, content_index) in self._parts

    def playing_until(self) -> float:
        """When all that came will have been played, on the clock of ``now``; 0 when nothing came."""
        return self._until

    def unplayed_ms(
        self, response_id: ResponseId, tracker: RealtimePlaybackState | None, now: float
    ) -> float:
        """How much of what came of a response is still to be played, after ``tracker`` if there is one, else
        after the clock; 0 for one of which nothing came, or that was cut off."""
        parts = [part for part in self._parts.values() if part.response_id == response_id]
        if tracker is None:
            return max((0.0, *((part.played_at - now) * 1000 for part in parts)))
        item, index = tracker["current_item_id"], tracker["current_item_content_index"]
        playing = None if item is None or index is None else self._parts.get((ItemId(item), index))
        if playing is None:
            return sum(part.received_ms for part in parts)  # it was not begun, as far as the tracker knows
        later = sum(part.received_ms for part in parts if part.first_at > playing.first_at)
        if playing.response_id != response_id:
            return later
        elapsed_ms = tracker["elapsed_ms"]
        if elapsed_ms is None or not math.isfinite(elapsed_ms):
            elapsed_ms = 0.0
        return later + max(0.0, playing.received_ms - elapsed_ms)

    def heard(self, tracker: RealtimePlaybackState | None, now: float) -> Heard | None:
        """What was heard by ``now``, after ``tracker`` if there is one, else after the clock; None when no
        part is known to be playing."""
        if tracker is not None:
            item, index = tracker["current_item_id"], tracker["current_item_content_index"]
            elapsed_ms = tracker["elapsed_ms"]
            if item is None or index is None or elapsed_ms is None or not math.isfinite(elapsed_ms):
                return None
            if item in self._cut_off:
                return None
            return self._cut(ItemId(item), index, elapsed_ms)
        if not self._parts:
            return None
        # Of two that began at once, the first was empty.
        started = [key for key, part in reversed(self._parts.items()) if part.first_at <= now]
        key = max(started, key=lambda each: self._parts[each].first_at, default=next(iter(self._parts)))
        return self._cut(*key, (now - self._parts[key].first_at) * 1000)

    def interrupted(self) -> None:
        """Playing stopped: nothing of what came, or still comes, of these items will be heard any more."""
        self._cut_off.update(item_id for item_id, _ in self._parts)
        self._parts.clear()
        self._until = 0.0

    def withdraw(self, response_id: ResponseId) -> tuple[Heard, ...]:
        """Take back what came of a response that has not begun to play, part by part: none of it will be
        heard, while what came before plays on."""
        parts = [key for key, part in self._parts.items() if part.response_id == response_id]
        for key in parts:
            del self._parts[key]
            self._cut_off.add(key[0])
        self._until = max((part.played_at for part in self._parts.values()), default=0.0)
        return tuple(
            Heard(
                item_id=item_id,
                content_index=content_index,
                heard_ms=0,
                response_id=response_id,
                fully_played=False,
            )
            for item_id, content_index in parts
        )

    def _cut(self, item_id: ItemId, content_index: int, elapsed_ms: float) -> Heard:
        part = self._parts.get((item_id, content_index))
        position_ms = max(0, round(elapsed_ms))
        if part is None:
            # A player may report a part we know nothing of; its word is all there is.
            return Heard(
                item_id=item_id,
                content_index=content_index,
                heard_ms=position_ms,
                response_id=None,
                fully_played=False,
            )
        # Beyond the real length the API answers with an error.
        return Heard(
            item_id=item_id,
            content_index=content_index,
            heard_ms=min(position_ms, math.floor(part.received_ms)),
            response_id=part.response_id,
            fully_played=position_ms >= part.received_ms,
        )
