"""Calls that a dialplan has announced, and that have not come yet; and how those went that have. Pure."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from uuid import UUID

WAIT_S = 60.0
"""A call that is announced comes within that, or not at all."""
MOST_ANNOUNCED = 1000
MOST_REMEMBERED = 1000
LONGEST_NUMBER = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Announced:
    """What the dialplan says of a call."""

    caller: str | None
    dialled: str | None


class AnnouncedCalls:
    """All of them, by their id."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[UUID, tuple[Announced, float]] = OrderedDict()
        self._outcomes: OrderedDict[UUID, str] = OrderedDict()

    def announce(self, uuid: UUID, call: Announced, now: float) -> bool:
        """A call is about to come; False where too many are. Announced again, it waits anew."""
        while self._waiting and next(iter(self._waiting.values()))[1] < now - WAIT_S:
            self._waiting.popitem(last=False)
        self._waiting.pop(uuid, None)
        if len(self._waiting) >= MOST_ANNOUNCED:
            return False
        self._waiting[uuid] = (
            Announced(caller=_short(call.caller), dialled=_short(call.dialled)),
            now,
        )
        return True

    def take(self, uuid: UUID, now: float) -> Announced | None:
        """A call has come; None where nobody has announced it lately. Each comes once."""
        found = self._waiting.pop(uuid, None)
        return found[0] if found is not None and found[1] >= now - WAIT_S else None

    def ended(self, uuid: UUID, outcome: str) -> None:
        """A call is over."""
        self._outcomes[uuid] = outcome
        while len(self._outcomes) > MOST_REMEMBERED:
            self._outcomes.popitem(last=False)

    def outcome(self, uuid: UUID) -> str | None:
        """How a call went; None where it is not over, or not known any more."""
        return self._outcomes.get(uuid)


def _short(number: str | None) -> str | None:
    return None if number is None else number[:LONGEST_NUMBER]
