"""How much of what was sent to a carrier its caller has heard. Pure: the clock is an argument.

All positions are in bytes of G.711, of which a millisecond has eight, counted from the first that was sent.

A carrier plays what it gets, one after the other, and stands still when it has nothing. So the clock tells
where it is, from the moment at which it was given something to play; and where it confirms marks, each of
them says it exactly. Between two marks the clock goes on, but not beyond the next that is not confirmed.

What is told is the position at which the carrier will be when a word from us reaches it: that is what will
have been heard when it is told to stop. A mark comes back a journey later than it was played, and our word
needs another one, so a confirmed mark counts as passed a whole round trip ago. Round trips are measured where
a mark comes back at once: while nothing plays, and when the carrier's buffer was emptied.
A carrier may hold the first of a sound back for a moment, against jitter; the first mark of one sound tells
it of the next.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

BYTES_PER_S = 8000
OVERDUE_S = 2.0
"""A mark that is not confirmed so long after it must have been played will not be: then the clock alone is
believed, until the next one is confirmed."""
MOST_ROUND_TRIP_S = 1.0
MOST_LATE_S = 0.3
AT_ONCE_S = 0.03
"""A mark that comes back so soon did not wait for anything to be played."""
_TRIPS_KEPT = 8
_MARKS_MOST = 512
_ECHOES_MOST = 16
_SURELY_UNPLAYED = BYTES_PER_S * 60 // 1000
"""With so much before it, a mark comes back because the buffer was emptied, and not because it was played."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mark:
    name: str
    position: int
    played_before: float | None = None
    """When it was sent, where the carrier ought to have been past it by then."""


class Heard:
    """The listener's place in what was sent."""

    def __init__(self, *, confirms: bool) -> None:
        """``confirms``: the carrier sends marks back."""
        self.sent = 0
        """All bytes that were sent, cleared or not."""
        self._anchor = 0
        self._anchored_at = 0.0
        """When the carrier was, or will be, at the anchor, seen from us: a word sent then finds it there."""
        self._began_at: float | None = None
        """When the first of what plays was sent; None when a mark was confirmed since."""
        self._late_s = 0.0
        """How long the carrier holds the first of a sound back, as far as it is known."""
        self._behind_s = 0.0
        """How much later than expected the word of the last mark came, and was not believed."""
        self._confirmed = 0
        self._believes = confirms
        self._marks: deque[_Mark] = deque()
        self._echoes: dict[str, float] = {}
        """Marks that come back at once, and since when they are on their way."""
        self._trips: deque[float] = deque(maxlen=_TRIPS_KEPT)

    @property
    def round_trip_s(self) -> float:
        """To the carrier and back, as far as it is known; 0 when it is not."""
        return min(self._trips, default=0.0)

    @property
    def confirmed(self) -> int:
        """What was surely heard, or thrown away."""
        return self._confirmed

    @property
    def is_quiet(self) -> bool:
        """Whether the carrier surely has nothing to play: a mark would come back at once."""
        return self.sent == self._confirmed

    def sends(self, byte_count: int, now: float) -> None:
        """So much is sent now, behind what was sent before."""
        if self._by_clock(now) >= self.sent:
            self._anchor, self._anchored_at = self.sent, now + self._late_s
            self._began_at = now
        self.sent += byte_count

    def marks(self, name: str, now: float) -> None:
        """A mark is sent behind all that was sent so far. Names are never used twice."""
        if self.is_quiet:
            self._expect_back(name, now)
            return
        if len(self._marks) >= _MARKS_MOST:
            self._marks.popleft()
        is_past = self._by_clock(now) >= self.sent
        self._marks.append(_Mark(name=name, position=self.sent, played_before=now if is_past else None))

    def confirms(self, name: str, now: float) -> None:
        """The carrier says that it is past a mark; one that nobody set says nothing."""
        if (since := self._echoes.pop(name, None)) is not None:
            if now - since <= MOST_ROUND_TRIP_S:
                self._trips.append(now - since)
            return
        if not any(mark.name == name for mark in self._marks):
            return
        while (mark := self._marks.popleft()).name != name:
            pass
        self._believes = True
        passed_at = now - self.round_trip_s
        self._confirmed = mark.position
        if mark.played_before is not None and passed_at <= mark.played_before + AT_ONCE_S:
            return  # there was nothing left to wait for, and nobody knows since when
        if self._began_at is not None and mark.position <= self._anchor:
            # A mark of the sound before, or of the one before that: what plays now began behind it.
            began_at = passed_at + (self._anchor - mark.position) / BYTES_PER_S
            if began_at > self._anchored_at:
                self._anchored_at, self._began_at = began_at, None
            return
        if self._began_at is not None:
            late_s = passed_at - self._began_at - (mark.position - self._anchor) / BYTES_PER_S
            self._late_s = min(max(0.0, late_s), MOST_LATE_S)
            self._began_at = None
            self._behind_s = 0.0
        else:
            passed_at = self._smoothed(passed_at, self.played_at(mark.position))
        self._anchor, self._anchored_at = mark.position, passed_at

    def cleared(self, now: float) -> None:
        """The carrier is told to throw away what it has not played; its marks come back at once."""
        if self._marks and (last := self._marks[-1]).position - self._by_clock(now) >= _SURELY_UNPLAYED:
            self._expect_back(last.name, now)
        self._marks.clear()
        self._anchor = self._confirmed = self.sent
        self._anchored_at, self._began_at = now, None

    def position(self, now: float) -> int:
        """What will have been heard when a word that is sent now gets there."""
        reached = min(self._by_clock(now), self.sent)
        if self._believes and self._marks:
            first = self._marks[0]
            limit = first.position + round(self.round_trip_s * BYTES_PER_S)
            if reached > limit:
                if self._is_overdue(first, now):
                    self._believes = False
                    return reached
                reached = limit
        return max(reached, self._confirmed)

    def unplayed(self, now: float) -> int:
        """What the carrier holds and has not played, by the clock."""
        return max(0, self.sent - self._by_clock(now))

    def played_at(self, position: int) -> float:
        """When the carrier is at a position, by the clock."""
        return self._anchored_at + (position - self._anchor) / BYTES_PER_S

    # Inside ----------------------------------------------------------------------------------------

    def _by_clock(self, now: float) -> int:
        return self._anchor + max(0, round((now - self._anchored_at) * BYTES_PER_S))

    def _smoothed(self, passed_at: float, expected_at: float) -> float:
        """When a mark was passed whose word came as if at ``passed_at``. Words are held up; none comes too
        early: so one that is late is believed as far as the one before it was late as well."""
        late_s = passed_at - expected_at
        believed_s = min(late_s, self._behind_s)
        self._behind_s = late_s - believed_s
        return expected_at + believed_s

    def _is_overdue(self, mark: _Mark, now: float) -> bool:
        expected_at = self._anchored_at + (mark.position - self._anchor) / BYTES_PER_S + self.round_trip_s
        return now - expected_at > OVERDUE_S

    def _expect_back(self, name: str, now: float) -> None:
        if len(self._echoes) >= _ECHOES_MOST:
            del self._echoes[next(iter(self._echoes))]
        self._echoes[name] = now
