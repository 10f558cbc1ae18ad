"""The caller's audio in its order, from a carrier that does not promise it. Pure.

What comes in its turn goes on at once. What comes too early waits for what is missing, but not long: soon the
caller's next words count for more than a gap. Telnyx: "Media frame order is not guaranteed. Use media.chunk".
"""

from __future__ import annotations

from sipagent.carrier.stream import CallerAudio

MOST_HELD = 3
"""So many pieces wait for one that is missing: 60 ms."""
MOST_IN_VAIN = 5
"""After so many waits for something that never came, nothing is waited for any more: the carrier counts in
another way than by one."""
MOST_LATE = 10
"""After so many that are late, each behind the other and none in its turn, the count has begun anew."""
NEW_COUNT = 1000
"""A piece that is so far off belongs to another count."""


class InOrder:
    """The order of one stream."""

    def __init__(self) -> None:
        self._next: int | None = None
        self._held: dict[int, CallerAudio] = {}
        self._in_vain = 0
        self._late_in_turn = 0
        self._last_late = 0
        self.late = 0
        """Pieces that came when they were given up, and were dropped."""

    def take(self, piece: CallerAudio) -> list[CallerAudio]:
        """What goes on now that ``piece`` has come, in order."""
        number = piece.sequence
        if number is None or self._next is None or self._is_of_another_count(number, self._next):
            self._late_in_turn = 0
            going = [*self._released(), piece]
            self._next = None if number is None else number + 1
            return going
        if number < self._next:
            self.late += 1
            self._in_vain = 0  # it was on its way: to wait was right, if not long enough
            return []
        self._late_in_turn = 0
        self._held[number] = piece
        going = self._in_turn()
        if len(self._held) > MOST_HELD or (self._held and self._in_vain >= MOST_IN_VAIN):
            self._in_vain += 1
            going += self._released()
        return going

    def _is_of_another_count(self, number: int, wanted: int) -> bool:
        if number < wanted:
            goes_on = self._late_in_turn and number > self._last_late
            self._late_in_turn = self._late_in_turn + 1 if goes_on else 1
            self._last_late = number
        return abs(number - wanted) > NEW_COUNT or self._late_in_turn >= MOST_LATE

    def _in_turn(self) -> list[CallerAudio]:
        going: list[CallerAudio] = []
        while self._next is not None and (piece := self._held.pop(self._next, None)) is not None:
            going.append(piece)
            self._next += 1
        return going

    def _released(self) -> list[CallerAudio]:
        """All that is held, whatever is missing."""
        going = [self._held[number] for number in sorted(self._held)]
        if self._held:
            self._next = max(self._held) + 1
            self._held.clear()
        return going
