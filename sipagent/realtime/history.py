"""The items of a conversation in their order, and its lines as people read them. Pure.

Events arrive out of order: the transcript of what the caller said comes beside the answer to it, sometimes
before the item itself. So items are ordered by ``previous_item_id`` and not by arrival (`order`), what comes
early is kept, and what comes late takes nothing back.
"""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace

from sipagent.identifiers import ItemId, ResponseId, ToolCallId
from sipagent.realtime.items import (
    AssistantAudio,
    AssistantMessageItem,
    InputAudio,
    RealtimeItem,
    RealtimeToolCallItem,
    UserMessageItem,
    text_of,
)
from sipagent.realtime.merging import ENDED, merged_item, says_the_same, with_heard
from sipagent.realtime.order import ItemOrder
from sipagent.realtime.value import Value

TranscriptRole = Literal["caller", "agent"]
Change = Literal["added", "changed", "same"]


class Line(Value, frozen=True, kw_only=True):
    """One line of the transcript as it stands now."""

    role: TranscriptRole
    item_id: ItemId
    position: float
    text: str
    interrupted: bool
    final: bool


class Growing:
    """A part of what the agent says whose words come now, and nothing else that concerns it."""

    __slots__ = ("content_index", "item_id", "newest")

    def __init__(self, item_id: ItemId, content_index: int) -> None:
        self.item_id = item_id
        self.content_index = content_index
        self.newest: list[str] | None = []
        """Words that the history has not joined to the others yet: whoever has more may append them. None
        once it has: then they are for `History.spoke`."""


class History:
    """The items of one session. Methods return whether, or as which line, the history changed."""

    __slots__ = (
        "_cut_early",
        "_deleted",
        "_early_transcripts",
        "_final",
        "_full",
        "_hearing",
        "_items",
        "_items_of",
        "_order",
        "_sorted",
        "_spoken",
        "_told",
        "_unshown",
        "growing",
    )

    def __init__(self) -> None:
        self._items: dict[ItemId, RealtimeItem] = {}
        self._sorted = True
        """Whether they stand in conversation order there; else `_order` has it."""
        self._order = ItemOrder()
        self._hearing: dict[ItemId, str] = {}
        """What the caller says, as it grows."""
        self._early_transcripts: dict[ItemId, str] = {}
        self._spoken: dict[ItemId, dict[int, str]] = {}
        """What the agent says, as it grows, by part."""
        self._unshown: set[ItemId] = set()
        """Items that lack the newest words. Words come far more often than anybody looks."""
        self.growing: Growing | None = None
        """The part whose words come now, and only they: its item is known, and known to be unshown."""
        self._final: set[ItemId] = set()
        self._full: dict[ItemId, set[int]] = {}
        """Parts of what the agent says that were told in full."""
        self._cut_early: set[ItemId] = set()
        """Items that were cut off before they came."""
        self._deleted: set[ItemId] = set()
        self._items_of: dict[ResponseId, list[ItemId]] = {}
        self._told: dict[ItemId, Line] = {}

    @property
    def items(self) -> tuple[RealtimeItem, ...]:
        """All items in conversation order."""
        self._show()
        if not self._sorted:
            self._items = {item_id: self._items[item_id] for item_id in self._order.ids}
            self._sorted = True
        return tuple(self._items.values())

    @property
    def holds_speech_of_agent(self) -> bool:
        """Whether the agent has spoken."""
        self._show()
        return any(
            isinstance(part, AssistantAudio)
            for item in self._items.values()
            if isinstance(item, AssistantMessageItem)
            for part in item.content
        )

    def said(self, response_id: ResponseId) -> str:
        """The words of one response, as far as they are known."""
        self._show()
        items = [self._items.get(item_id) for item_id in self._items_of.get(response_id, ())]
        return " ".join(text_of(item) for item in items if isinstance(item, AssistantMessageItem))

    def get(self, item_id: ItemId) -> RealtimeItem | None:
        """One item."""
        self._show()
        return self._items.get(item_id)

    # Items -----------------------------------------------------------------------------------------

    def place(self, item_id: ItemId, previous_item_id: ItemId | None) -> None:
        """Say where an item belongs, which may be still to come. One that has its place keeps it."""
        if item_id in self._items:
            self._put(item_id, previous_item_id)
        else:
            self._order.expect(item_id, previous_item_id)

    def update(self, item: RealtimeItem, *, placed: bool, response_id: ResponseId | None = None) -> Change:
        """An item is new, or may be known better. ``placed`` says that ``previous_item_id`` is known; None
        is then the predecessor of the first item."""
        if self._unshown or self.growing is not None:
            self._show()
        item_id = item.item_id
        if type(item) is AssistantMessageItem:
            if response_id is not None:
                self._belongs(item_id, response_id)
            if item.status in ENDED:
                self._fill(item)
        old = self._items.get(item_id)
        if old is not None:
            placed = placed and self._order.is_unplaced(item_id)
            if not placed and says_the_same(old, item):
                return "same"  # most items are told three or four times
            stands = self._put(item_id, item.previous_item_id) if placed else old
            merged = replace(merged_item(stands, item), position=stands.position)
            self._items[item_id] = merged
            return "same" if merged == stands and stands.position == old.position else "changed"
        if item_id in self._deleted:
            if not placed:
                return "same"  # said of what was there before it was taken out
            self._deleted.discard(item_id)
        previous = item.previous_item_id
        if not placed and item_id in self._order.expected:
            placed, previous = True, self._order.expected[item_id]
        self._number(self._order.add(item_id, previous, placed=placed))
        self._sorted = self._sorted and self._order.ids[-1] == item_id
        if item_id in self._early_transcripts and type(item) is UserMessageItem:
            item = with_heard(item, self._early_transcripts.pop(item_id))
        if item_id in self._cut_early and type(item) is AssistantMessageItem:
            item = replace(item, interrupted=True)
        position = self._order.positions[item_id]
        self._items[item_id] = replace(item, position=position, previous_item_id=previous)
        return "added"

    def restore(self, item: RealtimeItem) -> None:
        """Put in an item of this very conversation, as known elsewhere, behind those that are here. Its
        line has been told; it keeps its position where that sorts."""
        self._show()
        if item.item_id in self._items:
            return
        position = self._order.restore(item.item_id, item.position)
        self._items[item.item_id] = replace(item, position=position, previous_item_id=None)
        if isinstance(item, UserMessageItem | AssistantMessageItem) and text_of(item):
            self._final.add(item.item_id)
        self._line(item.item_id)

    def answer_tool(self, call_id: ToolCallId, output: str) -> RealtimeToolCallItem | None:
        """Put the output of a tool to its call."""
        for item in self._items.values():
            if isinstance(item, RealtimeToolCallItem) and item.call_id == call_id:
                answered = replace(item, output=output, status="completed")
                self._items[item.item_id] = answered
                return answered
        return None

    def delete(self, item_id: ItemId) -> bool:
        """Take an item out; False when there is none."""
        self._show()
        if self._items.pop(item_id, None) is None:
            return False
        self._order.remove(item_id)
        self._deleted.add(item_id)
        self._hearing.pop(item_id, None)
        self._unshown.discard(item_id)
        return True

    def finish(self) -> list[Line]:
        """Nothing more will come: the lines of what was begun and not completed."""
        self._show()
        self._final.update(self._early_transcripts)
        for item_id, words in {**self._hearing, **self._early_transcripts}.items():
            item = self._items.get(item_id)
            if item is None:
                item = UserMessageItem(item_id=item_id)
                self.update(item, placed=False)
                item = self._items[item_id]
            if isinstance(item, UserMessageItem) and not text_of(item):
                self._items[item_id] = with_heard(item, words)
        for item_id, item in self._items.items():
            if (
                item_id in self._spoken
                and item_id not in self._final
                and isinstance(item, AssistantMessageItem)
            ):
                self._items[item_id] = replace(item, interrupted=True)
        return [line for item_id in self._order.ids if (line := self._line(item_id)) is not None]

    # Words -----------------------------------------------------------------------------------------

    def hears(self, item_id: ItemId, delta: str) -> None:
        """The caller says more."""
        if item_id in self._final or item_id in self._deleted:
            return
        self._hearing[item_id] = self._hearing.get(item_id, "") + delta

    def heard(self, item_id: ItemId, transcript: str) -> Line | None:
        """What the caller said in an item is known now."""
        if item_id in self._deleted:
            return None
        self._show()
        self._hearing.pop(item_id, None)
        item = self._items.get(item_id)
        if item is None:
            self._early_transcripts[item_id] = transcript
            if item_id not in self._order.expected:
                return None
            # Its place is known, so the line need not wait for the item.
            item = UserMessageItem(item_id=item_id, content=(InputAudio(),), status="completed")
            self.update(item, placed=False)
            item = self._items[item_id]
        if type(item) is UserMessageItem:
            self._items[item_id] = with_heard(item, transcript)
        self._final.add(item_id)
        return self._line(item_id)

    def spoke(self, item_id: ItemId, delta: str, response_id: ResponseId, content_index: int = 0) -> None:
        """The agent says more."""
        if (growing := self.growing) is not None:
            if item_id == growing.item_id and content_index == growing.content_index:
                assert growing.newest is not None, "it is joined when it is given up"
                growing.newest.append(delta)
                return
            self._join()
        full = self._full.get(item_id)
        if full is not None and content_index in full:
            return  # it was overtaken by the whole
        self._belongs(item_id, response_id)
        parts = self._spoken.setdefault(item_id, {})
        parts[content_index] = parts.get(content_index, "") + delta
        if item_id in self._items:
            self._unshown.add(item_id)
            self.growing = Growing(item_id, content_index)
        elif item_id not in self._deleted:
            self._show_spoken(item_id)

    def spoken(
        self, item_id: ItemId, transcript: str, response_id: ResponseId, content_index: int = 0
    ) -> Line | None:
        """All that the agent says in one part of an item is known now."""
        if item_id in self._deleted:
            return None
        self._join()
        self._belongs(item_id, response_id)
        self._spoken.setdefault(item_id, {})[content_index] = transcript
        self._full.setdefault(item_id, set()).add(content_index)
        self._unshown.discard(item_id)
        self._show_spoken(item_id)
        self._final.add(item_id)
        return self._line(item_id)

    def interrupt(self, response_id: ResponseId) -> list[Line]:
        """What the agent said in a response was not heard to its end."""
        return [line for item_id in self._items_of.get(response_id, ()) if (line := self.cut(item_id))]

    def cut(self, item_id: ItemId) -> Line | None:
        """One item of the agent was not heard to its end."""
        self._show()
        item = self._items.get(item_id)
        if item is None:
            self._cut_early.add(item_id)
        if not isinstance(item, AssistantMessageItem) or item.interrupted:
            return None
        self._items[item_id] = replace(item, interrupted=True)
        return self._line(item_id)

    def line_of(self, item_id: ItemId) -> Line | None:
        """The line of a message whose text came with it, if it says something new."""
        self._show()
        item = self._items.get(item_id)
        if type(item) is UserMessageItem and text_of(item):
            self._final.add(item_id)
            return self._line(item_id)
        if type(item) is AssistantMessageItem and item.status in ENDED:
            if item.status == "completed" and text_of(item):
                self._final.add(item_id)
            return self._line(item_id)
        return None

    # Inside ----------------------------------------------------------------------------------------

    def _line(self, item_id: ItemId) -> Line | None:
        """The line of an item, if it says something else than when it was last asked for."""
        item = self._items.get(item_id)
        role: TranscriptRole
        if type(item) is AssistantMessageItem:
            role, interrupted = "agent", item.interrupted
        elif type(item) is UserMessageItem:
            role, interrupted = "caller", False
        else:
            return None
        text = text_of(item).strip()
        line = Line(
            role=role,
            item_id=item_id,
            position=item.position,
            text=text,
            interrupted=interrupted,
            final=item_id in self._final,
        )
        if not text or self._told.get(item_id) == line:
            return None
        self._told[item_id] = line
        return line

    def _belongs(self, item_id: ItemId, response_id: ResponseId) -> None:
        known = self._items_of.setdefault(response_id, [])
        if item_id not in known:
            known.append(item_id)

    def _fill(self, item: AssistantMessageItem) -> None:
        """All that the agent says in an item is known now."""
        for index, part in enumerate(item.content):
            if type(part) is AssistantAudio and part.transcript:
                self._spoken.setdefault(item.item_id, {})[index] = part.transcript
                self._full.setdefault(item.item_id, set()).add(index)

    def _put(self, item_id: ItemId, previous: ItemId | None) -> RealtimeItem:
        """Let an item that has come stand where it belongs, if that was not known yet; the item then."""
        if self._order.is_unplaced(item_id):
            self._items[item_id] = replace(self._items[item_id], previous_item_id=previous)
            self._number(self._order.place(item_id, previous))
        return self._items[item_id]

    def _number(self, moved: list[ItemId]) -> None:
        for item_id in moved:
            self._sorted = False
            self._items[item_id] = replace(self._items[item_id], position=self._order.positions[item_id])

    def _join(self) -> None:
        """Put the newest words behind the others of their part. Before anything else looks at them."""
        growing, self.growing = self.growing, None
        if growing is not None:
            assert growing.newest is not None, "it is joined once"
            self._spoken[growing.item_id][growing.content_index] += "".join(growing.newest)
            growing.newest = None

    def _show(self) -> None:
        if self.growing is not None:
            self._join()
        while self._unshown:
            self._show_spoken(self._unshown.pop())

    def _show_spoken(self, item_id: ItemId) -> None:
        item = self._items.get(item_id)
        if item is None:
            item = AssistantMessageItem(item_id=item_id, status="in_progress")
            self.update(item, placed=False)
            item = self._items[item_id]
        if type(item) is AssistantMessageItem:
            parts = self._spoken[item_id]
            content = tuple(AssistantAudio(transcript=parts[index]) for index in sorted(parts))
            self._items[item_id] = replace(item, content=content)
