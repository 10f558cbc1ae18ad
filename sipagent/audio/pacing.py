"""When the next 20 ms frame is due, for many streams at once. Pure: the clock is an argument.

Deadlines are absolute: the n-th frame of a stream is due n frames after the first, however late the frames
before it were, so a late wake-up never stretches the sound. The frame is divided into slots and each
stream lives in one of them, which spreads the work of many streams evenly over the 20 ms.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

Member = TypeVar("Member", bound=Hashable)


class PaceWheel(Generic[Member]):
    """A wheel of slots that turns once per frame; `due` tells whose frame it is now.

    After a stall of more than ``max_backlog_frames`` frames (a stopped process, a sleeping laptop) the missed
    turns are given up instead of being sent in one burst; ``turns_skipped`` counts them.
    """

    def __init__(self, *, frame_s: float = 0.020, slot_count: int = 20, max_backlog_frames: int = 5) -> None:
        assert slot_count > 0
        assert max_backlog_frames > 0
        self._slot_s = frame_s / slot_count
        # Dictionaries as ordered sets: the order of streams within a slot stays the order of arrival.
        self._slots: list[dict[Member, None]] = [{} for _ in range(slot_count)]
        self._slot_of: dict[Member, int] = {}
        self._started_at_s = 0.0
        self._tick = 0
        self._max_backlog_ticks = max_backlog_frames * slot_count
        self.turns_skipped = 0

    def __len__(self) -> int:
        return len(self._slot_of)

    def __contains__(self, member: object) -> bool:
        return member in self._slot_of

    def add(self, member: Member, now_s: float) -> None:
        """Let ``member`` take part from its next slot on, at most one frame from now.

        Adding a member twice changes nothing.
        """
        if member in self._slot_of:
            return
        if not self._slot_of:
            # Nobody waited, so the idle time is no backlog.
            self._started_at_s = now_s
            self._tick = 0
        slot = min(range(len(self._slots)), key=lambda index: len(self._slots[index]))
        self._slots[slot][member] = None
        self._slot_of[member] = slot

    def remove(self, member: Member) -> None:
        """Let ``member`` be due no more; unknown members are ignored."""
        slot = self._slot_of.pop(member, None)
        if slot is not None:
            del self._slots[slot][member]

    def next_due_s(self) -> float | None:
        """When `due` will next name somebody, on the caller's clock; None while the wheel is empty."""
        if not self._slot_of:
            return None
        slot_count = len(self._slots)
        ahead = next(n for n in range(1, slot_count + 1) if self._slots[(self._tick + n) % slot_count])
        return self._started_at_s + (self._tick + ahead) * self._slot_s

    def due(self, now_s: float) -> list[Member]:
        """Everyone whose frame came due since the last call, in order; twice if two frames did."""
        # Half a slot of tolerance: timers may fire a rounding error before the deadline they were set for.
        reached = int((now_s - self._started_at_s) / self._slot_s + 0.5)
        behind = reached - self._tick
        if behind > self._max_backlog_ticks:
            turns = (behind - self._max_backlog_ticks + len(self._slots) - 1) // len(self._slots)
            self._started_at_s += turns * len(self._slots) * self._slot_s
            reached -= turns * len(self._slots)
            self.turns_skipped += turns
        slot_count = len(self._slots)
        due: list[Member] = []
        while self._tick < reached:
            self._tick += 1
            due.extend(self._slots[self._tick % slot_count])
        return due
