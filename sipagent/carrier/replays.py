"""Which deliveries were answered before, and which legs were heard of. Pure: ``now`` in seconds on any clock.

A carrier that gets no answer in time asks again, and must get the same answer, with no second effect. What
comes again much later is no second try: somebody has kept a copy.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

from sipagent.errors import WebhookLateError, WebhookReplayedError

RETRY_WINDOW_S = 60.0
"""For so long after the first delivery a carrier may try again: Twilio gives up after 15 seconds a try."""
KEEP_S = 4 * 3600.0
CAPACITY = 20_000

Answer = TypeVar("Answer")


class SeenDeliveries(Generic[Answer]):
    """Remembers answers by what they answered, `KEEP_S` seconds long, at most ``capacity``: beyond it, the
    oldest is forgotten."""

    def __init__(self, *, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._seen: OrderedDict[str, tuple[float, Answer]] = OrderedDict()

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._seen)

    def answer_of(self, fingerprint: str, now: float) -> Answer | None:
        """What was answered; None for what is new. Raises `WebhookReplayedError` for what comes again too
        late to be a second try."""
        while self._seen and next(iter(self._seen.values()))[0] < now - KEEP_S:
            self._seen.popitem(last=False)
        found = self._seen.get(fingerprint)
        if found is None:
            return None
        age_s = now - found[0]
        if age_s > RETRY_WINDOW_S:
            raise WebhookReplayedError(f"The same request was answered {age_s:.0f} seconds ago.")
        return found[1]

    def remember(self, fingerprint: str, answer: Answer, now: float) -> None:
        """``answer`` is what is said to this delivery, and to each further try."""
        self._seen[fingerprint] = (now, answer)
        while len(self._seen) > self._capacity:
            self._seen.popitem(last=False)

    def forget(self, fingerprint: str) -> None:
        """It was not answered after all: a further try is the first."""
        self._seen.pop(fingerprint, None)


class SeenLegs:
    """When each leg was first announced: a call is announced once, while it rings."""

    def __init__(self, *, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._first: OrderedDict[str, float] = OrderedDict()

    def announced(self, leg_id: str, now: float) -> None:
        """A leg was announced. Raises `WebhookLateError` where its first announcement is too long ago for a
        call that still rings."""
        first = self._first.setdefault(leg_id, now)
        while len(self._first) > self._capacity:
            self._first.popitem(last=False)
        if now - first > RETRY_WINDOW_S:
            raise WebhookLateError(f"The call was announced {now - first:.0f} seconds ago.")
