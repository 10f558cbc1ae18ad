"""What becomes of a message of the server: noted, reacted to, told.

Most messages need nobody who waits: the listeners hear of them, and that is all. Those are taken at once, in
the very call that brought them, which saves the reader of the socket being woken. The first thing that has
to be waited for leaves the rest of its message to the reader, and everything behind it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sipagent.realtime.audience import Audience
from sipagent.realtime.events import RealtimeModelEvent, RealtimeModelRawServerEvent
from sipagent.realtime.wire import Events, parse_message, parse_text
from sipagent.realtime.wire_frequent import parse_frequent

Note = Callable[[Any], bool]
"""Keeps the model in step with an event; False when nobody need hear of it."""
Reaction = Callable[[], Awaitable[object]]
"""Sends or tells something because of an event, before the listeners hear of that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Begun:
    """What is still to be done of a message whose beginning was taken at once."""

    reaction: Reaction | None = None
    event: RealtimeModelEvent | None = None
    """Noted, and to be told behind the reaction."""
    rest: Events = ()
    """Not even noted."""


class Taking:
    """Takes the messages of one model."""

    __slots__ = ("_asks", "_audience", "_begun", "_for_reader", "notes", "reactions")

    def __init__(
        self,
        audience: Audience,
        *,
        notes: dict[type[Any], Note],
        reactions: dict[type[Any], Callable[[Any], Reaction | None]],
        for_reader: frozenset[type[Any]],
        asks: Callable[[], Reaction | None],
    ) -> None:
        """``for_reader``: events that only the reader may take. ``asks`` gives what has to be sent when a
        message was taken, if anything.

        What comes for every word is noted after it was told when it is taken at once: its note must return
        True, unless it is for the reader.
        """
        self._audience = audience
        self.notes: Mapping[type[Any], Note] = notes
        self.reactions: Mapping[type[Any], Callable[[Any], Reaction | None]] = reactions
        self._for_reader = for_reader
        self._asks = asks
        self._begun: _Begun | None = None
        """What the reader has to do with the message that it receives next."""

    def start(self) -> None:
        """Another socket is read: what was left of the messages of the one before is left for ever."""
        self._begun = None

    def take_now(self, message: bytes) -> bool:
        """Take a message that nothing waits before; False leaves it, or the rest of it, to the reader, who
        calls `take`. Raises nothing but for a defect."""
        frequent = parse_frequent(message)
        if frequent is None:
            return self._begin(parse_message(parse_text(message)))
        kind = type(frequent)
        members = self._audience.members
        if kind in self._for_reader or len(members) != 1:
            return False
        _, take_now = members[0]
        try:
            if take_now is None or not take_now(frequent):
                return False
        except Exception as error:  # noqa: BLE001 - code that users wrote
            self._audience.report_now(error)
        if (note := self.notes.get(kind)) is not None:
            note(frequent)
        return True

    def _begin(self, events: Events) -> bool:
        for number, event in enumerate(events):
            kind = type(event)
            if kind in self._for_reader:
                self._begun = _Begun(rest=events[number:])
                return False
            if kind in self.notes and not self.notes[kind](event):
                continue
            reaction = self.reactions[kind](event) if kind in self.reactions else None
            if reaction is not None or not self._audience.tell_now(event):
                self._begun = _Begun(event=event, reaction=reaction, rest=events[number + 1 :])
                return False
        if self._asks() is not None:
            self._begun = _Begun()
            return False
        return True

    async def take(self, message: bytes, *, raw: bool) -> None:
        """Take a message, or what `take_now` left of it. Cancelling leaves out what was not told yet."""
        begun, self._begun = self._begun, None
        if begun is not None:
            events = begun.rest
            if begun.reaction is not None:
                await begun.reaction()
            if begun.event is not None:
                await self._audience.tell(begun.event)
        else:
            parsed = parse_text(message)
            if raw:
                await self._audience.tell(RealtimeModelRawServerEvent(data=parsed))
            events = parse_message(parsed)
        for event in events:
            kind = type(event)
            if kind in self.notes and not self.notes[kind](event):
                continue
            if kind in self.reactions and (reaction := self.reactions[kind](event)) is not None:
                await reaction()
            await self._audience.tell(event)
        if (ask := self._asks()) is not None:
            await ask()
