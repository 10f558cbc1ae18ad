"""The order of a conversation's items, whatever order they come in. Pure.

The server names the predecessor of each item, and events overtake each other. So an item may come before
the one that it stands behind, or before anybody says where it stands. What is known makes trees: an item
stands behind the one it names, and what was put there later stands nearer to it, as at the server. Items
without a known predecessor are the roots, in the order in which they came.

Each item has a *position*, a number that sorts. It changes only when something that comes later shows that
the item stood in the wrong place.
"""

from __future__ import annotations

from collections.abc import Mapping

from sipagent.identifiers import ItemId


class ItemOrder:
    """The order, and the position of each item."""

    def __init__(self) -> None:
        self.ids: list[ItemId] = []
        """All items in conversation order; not to be changed from outside."""
        self.positions: dict[ItemId, float] = {}
        """What sorts them; not to be changed from outside."""
        self._behind: dict[ItemId, ItemId] = {}
        """The predecessor that an item named, come or not."""
        self._orphans: dict[ItemId, list[ItemId]] = {}
        """By a predecessor that has not come: who named it, in the order of coming."""
        self._unplaced: set[ItemId] = set()
        """Items of which nobody has said where they stand."""
        self._begins: ItemId | None = None
        """The item that is known to be the first."""
        self._gone: dict[ItemId, ItemId | None] = {}
        """Items that were taken out, and what stands in for them: what stood before, or what they named."""
        self._expected: dict[ItemId, ItemId | None] = {}
        """Items that have not come, and may never, with their predecessors."""

    def __contains__(self, item_id: ItemId) -> bool:
        return item_id in self.positions

    def expect(self, item_id: ItemId, previous: ItemId | None) -> None:
        """Say where an item stands that has not come. Should it never come, those behind it still find their
        place: not all that a conversation holds is kept here."""
        self._expected[item_id] = previous

    @property
    def expected(self) -> Mapping[ItemId, ItemId | None]:
        """The items that have not come of which is known where they stand, with their predecessors."""
        return self._expected

    def is_unplaced(self, item_id: ItemId) -> bool:
        """Whether the item stands where it does only because nobody has said better."""
        return item_id in self._unplaced

    def add(self, item_id: ItemId, previous: ItemId | None, *, placed: bool) -> list[ItemId]:
        """Put a new item in its place; ``placed`` says that no predecessor means the first of all. The other
        items whose positions changed."""
        if self.ids and self.ids[-1] == previous and item_id not in self._orphans:
            # As nearly always: behind the last, and before nothing that came too early.
            self._gone.pop(item_id, None)
            self._expected.pop(item_id, None)
            self._behind[item_id] = previous
            self.ids.append(item_id)
            self.positions[item_id] = self.positions[previous] + 1.0
            return []
        self._gone.pop(item_id, None)
        overtaken = self._expected.pop(item_id, None) is not None
        before = self._anchor(previous)
        if before in self.positions:
            assert before is not None
            self._behind[item_id] = before
            index = self.ids.index(before) + 1
        elif before is not None:
            # Those that came before an item that was expected wait for the same as it does.
            followers = [
                *self._orphans.get(item_id, ()),
                *(self._orphans.get(before, ()) if overtaken else ()),
            ]
            last = 0 if before in self._expected else len(self.ids)
            index = min((self.ids.index(each) for each in followers), default=last)
            self._await(item_id, before)
        elif previous is not None:
            index = 0  # behind what is the first and not here
        elif placed and self._is_first():
            self._begins = item_id
            index = 0
        else:
            if placed:
                self._begins = self._begins or item_id
            else:
                self._unplaced.add(item_id)
            index = self._before_followers(item_id)
        self.ids.insert(index, item_id)
        changed = self._number(index, 1)
        changed |= self._gather(item_id)
        changed.discard(item_id)
        return list(changed)

    def restore(self, item_id: ItemId, position: float) -> float:
        """Put a new item behind all others, at the position that it had before if that is behind theirs. The
        position that it has now."""
        last = self.positions[self.ids[-1]] if self.ids else None
        self.positions[item_id] = position if last is None or position > last else last + 1.0
        self.ids.append(item_id)
        self._unplaced.add(item_id)
        return self.positions[item_id]

    def place(self, item_id: ItemId, previous: ItemId | None) -> list[ItemId]:
        """An item that nobody had placed stands behind ``previous``, or is the first. The items whose
        positions changed."""
        if item_id not in self._unplaced or previous == item_id:
            return []
        self._unplaced.discard(item_id)
        if previous is not None and self.ids[-2:] == [previous, item_id]:
            self._behind[item_id] = previous
            return []  # as nearly always: it stands there already
        before = self._anchor(previous)
        if before in self.positions:
            assert before is not None
            return list(self._move_behind(item_id, before))
        if before is not None:
            self._await(item_id, before)
        elif previous is not None:
            return list(self._move(item_id, 0))
        elif self._is_first():
            self._begins = item_id
            return list(self._move(item_id, 0))
        else:
            self._begins = self._begins or item_id
        return []

    def remove(self, item_id: ItemId) -> None:
        """Take an item out; those that stand behind it stay where they are."""
        index = self.ids.index(item_id)
        named = self._behind.get(item_id)
        waits = named is not None and named not in self.positions
        self._gone[item_id] = named if waits else (self.ids[index - 1] if index else None)
        del self.ids[index], self.positions[item_id]
        self._unplaced.discard(item_id)
        heir = self._behind.pop(item_id, None)
        for child, before in list(self._behind.items()):
            if before != item_id:
                continue
            if heir is None:
                del self._behind[child]
            else:
                self._behind[child] = heir
        if heir is not None and item_id in self._orphans.get(heir, ()):
            if children := [child for child, before in self._behind.items() if before == heir]:
                self._orphans[heir] = children
            else:
                del self._orphans[heir]

    # Inside ----------------------------------------------------------------------------------------

    def _anchor(self, previous: ItemId | None) -> ItemId | None:
        """Whom to stand behind, when what was named has been taken out meanwhile, or has not come."""
        passed: set[ItemId] = set()
        while previous is not None and previous not in self.positions and previous not in passed:
            passed.add(previous)
            if previous in self._gone:
                previous = self._gone[previous]
            elif (before := self._expected.get(previous)) is not None:
                previous = before
        return previous

    def _is_first(self) -> bool:
        """Whether an item without a predecessor is to stand first. A server that never names predecessors
        is followed in its own order; one that does has told us by the items that wait for theirs."""
        return self._begins is None and bool(self._orphans)

    def _await(self, item_id: ItemId, previous: ItemId) -> None:
        self._behind[item_id] = previous
        self._orphans.setdefault(previous, []).append(item_id)

    def _before_followers(self, item_id: ItemId) -> int:
        """Where an item without a known predecessor stands: before what waits for it, else last."""
        waiting = self._orphans.get(item_id)
        if not waiting:
            return len(self.ids)
        return min(self.ids.index(each) for each in waiting)

    def _gather(self, item_id: ItemId) -> set[ItemId]:
        """Let those stand behind an item that came before it; whose positions that changed."""
        changed: set[ItemId] = set()
        for orphan in self._orphans.pop(item_id, ()):
            changed |= self._move_behind(orphan, item_id)
        return changed

    def _block(self, item_id: ItemId) -> list[ItemId]:
        """An item and all that stand behind it because they said so; they are neighbours."""
        start = self.ids.index(item_id)
        block, members = [item_id], {item_id}
        for each in self.ids[start + 1 :]:
            if self._behind.get(each) not in members:
                break
            block.append(each)
            members.add(each)
        return block

    def _move_behind(self, item_id: ItemId, before: ItemId) -> set[ItemId]:
        block = self._block(item_id)
        if before in block:
            # Each says that it stands behind the other: whoever came first stays.
            self._behind.pop(item_id, None)
            return set()
        self._behind[item_id] = before
        target = self.ids.index(before) + 1
        if self.ids[target : target + 1] == [item_id]:
            return set()
        return self._move(item_id, target)

    def _move(self, item_id: ItemId, target: int) -> set[ItemId]:
        """Move a block to an index, counted as long as it still stands where it did."""
        block = self._block(item_id)
        start = self.ids.index(item_id)
        if start == target:
            return set()
        del self.ids[start : start + len(block)]
        if target > start:
            target -= len(block)
        self.ids[target:target] = block
        return self._number(target, len(block))

    def _number(self, index: int, count: int) -> set[ItemId]:
        """Give positions to the items from ``index`` on, between those of their neighbours."""
        end = index + count
        low = self.positions[self.ids[index - 1]] if index else None
        high = self.positions[self.ids[end]] if end < len(self.ids) else None
        if low is None:
            low = 0.0 if high is None else high - count - 1.0
        step = 1.0 if high is None else (high - low) / (count + 1)
        last = low
        for number, item_id in enumerate(self.ids[index:end], start=1):
            position = low + number * step
            if not last < position or (high is not None and not position < high):
                # No number is left between the neighbours: a float halves some fifty times.
                self.positions = {each: float(place) for place, each in enumerate(self.ids, start=1)}
                return set(self.ids)
            self.positions[item_id] = last = position
        return set(self.ids[index:end])
