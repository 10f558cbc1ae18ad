"""Whoever listens to a model: each hears every event, and none can hurt another by raising."""

from __future__ import annotations

import logging
from collections.abc import Callable

from sipagent.realtime.events import RealtimeModelEvent, RealtimeModelExceptionEvent
from sipagent.realtime.model import RealtimeModelListener

logger = logging.getLogger(__name__)

TakeNow = Callable[[RealtimeModelEvent], bool]


class Audience:
    """The listeners of one model, in the order in which they came."""

    __slots__ = ("members", "prompt")

    def __init__(self) -> None:
        self.members: tuple[tuple[RealtimeModelListener, TakeNow | None], ...] = ()
        """Each with the method by which it hears without waiting, if it has one. Changed by `add` and
        `remove` only; for whoever tells events too often to ask for more."""
        self.prompt: TakeNow | None = None
        """That method of the one listener; None where several listen, or one that has none."""

    def add(self, listener: RealtimeModelListener) -> None:
        """``listener`` hears every event from now on. Adding it twice changes nothing."""
        if not any(each is listener for each, _ in self.members):
            own = getattr(type(listener), "take_now", None)
            plain = own is None or own is RealtimeModelListener.take_now
            self._change((*self.members, (listener, None if plain else listener.take_now)))

    def remove(self, listener: RealtimeModelListener) -> None:
        """``listener`` hears nothing more; nothing happens if it never did."""
        self._change(tuple(pair for pair in self.members if pair[0] is not listener))

    async def tell(self, event: RealtimeModelEvent) -> None:
        """Let every listener hear ``event``; one that raises is reported. Returns when all have taken it.
        Cancelling leaves out those that have not heard it yet."""
        for listener, take_now in self.members:
            try:
                if take_now is None or not take_now(event):
                    await listener.on_event(event)
            except Exception as error:  # noqa: BLE001 - code that users wrote
                if isinstance(event, RealtimeModelExceptionEvent):
                    logger.warning("A listener raised %s", type(error).__name__)
                else:
                    await self.report(error)

    def tell_now(self, event: RealtimeModelEvent) -> bool:
        """Let the one listener hear ``event`` if that takes no waiting; False when nobody has heard it yet,
        as always where several listen. One that raises is reported."""
        try:
            return self.prompt is not None and self.prompt(event)
        except Exception as error:  # noqa: BLE001 - code that users wrote
            self.report_now(error)
            return True

    def report_now(self, error: Exception) -> None:
        """Let the one listener know that it raised, as far as that takes no waiting; the log knows anyway."""
        logger.warning("A listener raised %s", type(error).__name__)
        if self.prompt is None:
            return
        try:
            self.prompt(RealtimeModelExceptionEvent(exception=error, context="a listener raised"))
        except Exception as again:  # noqa: BLE001 - code that users wrote
            logger.warning("A listener raised %s", type(again).__name__)

    async def report(self, error: Exception) -> None:
        """Let everybody know that a listener raised."""
        logger.warning("A listener raised %s", type(error).__name__)
        await self.tell(RealtimeModelExceptionEvent(exception=error, context="a listener raised"))

    def _change(self, members: tuple[tuple[RealtimeModelListener, TakeNow | None], ...]) -> None:
        self.members = members
        self.prompt = members[0][1] if len(members) == 1 else None
