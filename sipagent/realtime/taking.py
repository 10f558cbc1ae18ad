"""What becomes of a message of the server: noted, reacted to, told.

Most messages need nobody who waits: the listeners hear of them, and that is all. Those are taken at once, in
the very call that brought them, which saves the reader of the socket being woken. The first thing that has
to be waited for leaves the rest of its message to the reader, and everything behind it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sipagent.identifiers import ItemId
from sipagent.realtime.audience import Audience
from sipagent.realtime.events import (
    RealtimeModelAudioEvent,
    RealtimeModelEvent,
    RealtimeModelInputAudioTranscriptionDeltaEvent,
    RealtimeModelOutputTextDeltaEvent,
    RealtimeModelPlaybackEvent,
    RealtimeModelTranscriptDeltaEvent,
)
from sipagent.realtime.wire_frequent import read

OFTEN: frozenset[type[Any]] = frozenset(
    {
        RealtimeModelTranscriptDeltaEvent,
        RealtimeModelAudioEvent,
        RealtimeModelInputAudioTranscriptionDeltaEvent,
        RealtimeModelOutputTextDeltaEvent,
    }
)
"""Nearly all that comes."""
Events = tuple[RealtimeModelEvent, ...]
Spoke = RealtimeModelTranscriptDeltaEvent | RealtimeModelPlaybackEvent
Note = Callable[[Any], bool]
"""Keeps the model in step with an event; False when nobody need hear of it."""
Reaction = Callable[[], Awaitable[object]]
"""Sends or tells something because of an event, before the listeners hear of that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """What is still to be done of a message whose beginning was taken at once."""

    reaction: Reaction | None = None
    event: RealtimeModelEvent | None = None
    """Noted, and to be told behind the reaction."""
    rest: Events = ()
    """Not even noted."""


class Taking:
    """Takes the messages of one model."""

    __slots__ = (
        "_asks",
        "_at_once",
        "_audience",
        "_for_reader",
        "_notes",
        "_reactions",
        "_said",
        "_said_part",
        "begun",
        "spoke",
        "take_for_reader",
    )

    def __init__(
        self,
        audience: Audience,
        *,
        notes: Mapping[type[Any], Note],
        reactions: Mapping[type[Any], Callable[[Any], Reaction | None]],
        at_once: frozenset[type[Any]],
        for_reader: frozenset[type[Any]],
        asks: Callable[[], Reaction | None],
    ) -> None:
        """``at_once``: events that come often, and that nothing notes or reacts to; words of the agent are
        `said`. ``for_reader``: those that only the reader may take. ``asks`` gives what has to be sent when a
        message was taken, if anything."""
        self._audience = audience
        self._notes = notes
        self._reactions = reactions
        self._at_once = at_once
        self._for_reader = for_reader
        self._asks = asks
        self.take_for_reader: Callable[[Any], bool] | None = None
        """Takes an event that is for the reader, if just this one changes nothing for it; False leaves it."""
        self.begun: Begun | None = None
        """What the reader has to `finish` instead of the next message that it receives."""
        self.spoke: Spoke | None = None
        """What showed last that the agent speaks, as far as somebody else did not `say_otherwise`."""
        self._said: ItemId | None = None
        """Its item and its part, where it is words."""
        self._said_part = 0

    def start(self) -> None:
        """Another socket is read: what was left of the messages of the one before is left for ever."""
        self.begun = None

    def say_otherwise(self, spoke: Spoke | None) -> None:
        """Something else than words has shown that the agent speaks, or no longer does."""
        self.spoke, self._said = spoke, None

    def said(self, words: RealtimeModelTranscriptDeltaEvent) -> None:
        """The agent says more."""
        # Only where it is news: what is put in its place would have to be found in memory to be let go.
        if words.item_id != self._said or words.content_index != self._said_part:
            self.spoke, self._said, self._said_part = words, words.item_id, words.content_index

    def take_now(self, message: bytes) -> bool:
        """Take a message that nothing waits before; False leaves it, or the rest of it, to the reader.
        Raises nothing but for a defect."""
        event = read(message)
        if isinstance(event, tuple):
            return self._begin(event)
        if type(event) not in self._at_once:
            return self._begin((event,))
        take_now = self._audience.prompt
        try:
            if take_now is None or not take_now(event):
                return False
        except Exception as error:  # noqa: BLE001 - code that users wrote
            self._audience.report_now(error)
        if type(event) is RealtimeModelTranscriptDeltaEvent and (
            event.item_id != self._said or event.content_index != self._said_part
        ):
            self.said(event)
        return True

    def _begin(self, events: Events) -> bool:
        for number, event in enumerate(events):
            kind = type(event)
            if kind in self._for_reader:
                if self.take_for_reader is not None and self.take_for_reader(event):
                    continue
                self.begun = Begun(rest=events[number:])
                return False
            note = self._notes.get(kind)
            if note is not None and not note(event):
                continue
            react = self._reactions.get(kind)
            reaction = None if react is None else react(event)
            if reaction is not None or not self._audience.tell_now(event):
                self.begun = Begun(event=event, reaction=reaction, rest=events[number + 1 :])
                return False
        if self._asks() is not None:
            self.begun = Begun()
            return False
        return True

    async def finish(self, begun: Begun) -> None:
        """Take what `take_now` has left of a message. Cancelling leaves out what was not told yet."""
        self.begun = None
        if begun.reaction is not None:
            await begun.reaction()
        if begun.event is not None:
            await self._audience.tell(begun.event)
        await self.take(begun.rest)

    async def take(self, events: Events) -> None:
        """Take all that a message means. Cancelling leaves out what was not told yet."""
        for event in events:
            kind = type(event)
            if kind in self._notes and not self._notes[kind](event):
                continue
            if kind in self._reactions and (reaction := self._reactions[kind](event)) is not None:
                await reaction()
            await self._audience.tell(event)
        if (ask := self._asks()) is not None:
            await ask()
