"""Keeps facts on disk while the database does not take them: first in, first out.

Facts are appended to segments (`sipagent.calls.spill_files`) in a folder of the process's own, read back in
the order in which they came, and forgotten when the database has them. A segment is removed when all of it is
forgotten, so an empty spill leaves nothing behind. What a process leaves that died is found by the next one
that looks, and comes before what that one has.

What was appended survives the death of the process at any instant; only a power cut may take the last
moments, as with the database itself. A process that dies between reading and forgetting leaves facts that the
database has already: they are read again, in the same order, which changes nothing.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sipagent.calls.fact_lines import decode_line, encode_line, is_essential, line_is_essential
from sipagent.calls.spill_files import FILE_MODE, FOLDER_MODE, Home, Segment
from sipagent.errors import SpillError
from sipagent.store import Fact

REJECTED = "facts.rejected"
"""The file with what the database will never take, or what cannot be read: one line a fact."""
MOST_REJECTED_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftovers:
    """What dead processes left behind."""

    processes: int = 0
    size: int = 0
    """Bytes."""
    half_lines: int = 0
    """Facts that were being written at the instant of death."""
    unusable: tuple[str, ...] = ()
    """Folders that cannot be read, each with the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The next facts."""

    facts: tuple[Fact, ...]
    unreadable: tuple[bytes, ...]
    """Lines that hold no fact."""


class Spill:
    """One process's facts on disk. Every method blocks, and raises `SpillError` when the disk does not do it;
    they may be called from any thread, and take turns."""

    def __init__(
        self,
        folder: Path,
        *,
        began_at: datetime,
        most_bytes: int = 1 << 30,
        segment_bytes: int = 16 << 20,
    ) -> None:
        """``folder`` belongs to one database, and may be shared by the processes that write to it.

        Nothing is made before something is appended. ``began_at`` is when this process began: leftovers are
        read in that order. ``most_bytes`` bounds what is kept: beyond it, the oldest facts that only describe
        calls are given up, never those of `is_essential`.
        """
        self._folder = folder
        self._name = f"{began_at:%Y%m%dT%H%M%S.%fZ}-{secrets.token_hex(4)}"
        self._most_bytes = most_bytes
        self._segment_bytes = segment_bytes
        self._turn = threading.Lock()
        self._segments: deque[Segment] = deque()
        self._own: Home | None = None
        self._reading: tuple[Segment, int] | None = None
        self._given_up = 0

    @property
    def given_up(self) -> int:
        """How many facts were given up so far for lack of room."""
        return self._given_up

    @property
    def folder(self) -> Path:
        """Where the files are."""
        return self._folder

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._segments

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return sum(segment.waiting_bytes for segment in tuple(self._segments))

    def check(self) -> None:
        """Raise `SpillError` if facts could not be kept in the folder as things are now."""
        place = self._folder
        while not place.exists() and place != place.parent:
            place = place.parent
        if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
            raise SpillError(f"{place} is no folder that can be written to")

    def recover(self) -> Leftovers:
        """Take over what dead processes left behind: it comes before all that waits already."""
        with self._turn, self._translated("look for what was left in"):
            if not self._folder.is_dir():
                return Leftovers()
            ours = {segment.home.path for segment in self._segments}
            if self._own is not None:
                ours.add(self._own.path)
            found: list[Segment] = []
            processes = half_lines = 0
            unusable: list[str] = []
            for path in sorted(self._folder.iterdir()):
                if not path.is_dir() or path in ours:
                    continue
                try:
                    taken = _take_over(path)
                except OSError as error:
                    unusable.append(f"{path}: {error.strerror or error}")
                    continue
                if taken is not None:
                    processes += 1
                    found.extend(segment for segment, _ in taken)
                    half_lines += sum(halved for _, halved in taken)
            # What is being read may have been taken by the database in part: it is read again after them.
            self._reading = None
            self._segments.extendleft(reversed(found))
            size = sum(segment.size for segment in found)
            self._remove_finished()
            return Leftovers(processes=processes, size=size, half_lines=half_lines, unusable=tuple(unusable))

    def append(self, facts: Sequence[Fact]) -> None:
        """Keep ``facts`` after all that waits already; none of them is kept when it raises."""
        with self._turn, self._translated("write to"):
            lines = [encode_line(fact) for fact in facts]
            self._make_room(sum(map(len, lines)))
            kept = lines
            if self.size + sum(map(len, lines)) > self._most_bytes:
                kept = [line for fact, line in zip(facts, lines, strict=True) if is_essential(fact)]
            if kept:
                tail = self._tail()
                try:
                    tail.append(b"".join(kept))
                finally:
                    self._remove_finished()
            self._given_up += len(lines) - len(kept)

    def read(self, most: int) -> Page:
        """The next facts, at most ``most`` lines; they stay until `forget`."""
        with self._turn, self._translated("read from"):
            if not self._segments:
                return Page(facts=(), unreadable=())
            head = self._segments[0]
            lines, end = head.read(most)
            self._reading = (head, end)
            decoded = [(decode_line(line), line) for line in lines]
            return Page(
                facts=tuple(fact for fact, _ in decoded if fact is not None),
                unreadable=tuple(line for fact, line in decoded if fact is None),
            )

    def forget(self) -> None:
        """The database has what was read last."""
        with self._turn, self._translated("remove from"):
            if self._reading is not None:
                (segment, end), self._reading = self._reading, None
                segment.taken_in = end
                self._remove_finished()

    def reject(self, facts: Sequence[Fact], unreadable: Sequence[bytes] = ()) -> None:
        """Set aside what will never be in the database, for people to look at."""
        with self._turn, self._translated("set aside in"):
            self._folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            lines = [encode_line(fact) for fact in facts]
            lines.extend(line if line.endswith(b"\n") else line + b"\n" for line in unreadable)
            file = os.open(self._folder / REJECTED, os.O_WRONLY | os.O_CREAT | os.O_APPEND, FILE_MODE)
            try:
                if os.fstat(file).st_size < MOST_REJECTED_BYTES:
                    os.write(file, b"".join(lines))
            finally:
                os.close(file)

    def close(self) -> None:
        """Let go of all files; what waits is left to whoever looks next. Idempotent."""
        with self._turn, self._translated("close"):
            homes = {segment.home for segment in self._segments} | ({self._own} if self._own else set())
            for segment in self._segments:
                segment.close()
            self._segments.clear()
            self._own = None
            self._reading = None
            for home in homes:
                home.release()

    # Segments --------------------------------------------------------------------------------------

    def _tail(self) -> Segment:
        """Where the next lines go."""
        if self._own is None:
            self._own = Home.create(self._folder, self._name)
        last = self._segments[-1] if self._segments else None
        if last is None or last.home is not self._own or last.torn or last.size >= self._segment_bytes:
            if last is not None:
                last.close()
            last = Segment(self._own.next_segment(), self._own)
            self._segments.append(last)
        return last

    def _make_room(self, needed: int) -> None:
        """Give up the oldest facts that may be, until ``needed`` bytes more fit or none is left."""
        last = self._segments[-1] if self._segments else None
        for segment in tuple(self._segments):
            if self.size + needed <= self._most_bytes:
                break
            if segment.slim or segment is last or (self._reading and segment is self._reading[0]):
                continue
            self._given_up += segment.thin_out(line_is_essential)
        self._remove_finished()

    def _remove_finished(self) -> None:
        finished = [segment for segment in self._segments if segment.waiting_bytes <= 0]
        for segment in finished:
            segment.remove()
            self._segments.remove(segment)
        left = {segment.home for segment in self._segments}
        for home in {segment.home for segment in finished} - left:
            if home is self._own:
                self._own = None
            home.remove()

    @contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SpillError(f"cannot {doing} {self._folder}: {error.strerror or error}") from error


def _take_over(path: Path) -> list[tuple[Segment, bool]] | None:
    """What the process of folder ``path`` left behind; None when it lives, or left nothing."""
    home = Home.claim(path)
    if home is None:
        return None
    try:
        segments = [Segment.left_over(file, home) for file in home.segments()]
        if not segments:
            home.remove()
    except BaseException:
        home.release()
        raise
    return segments or None
