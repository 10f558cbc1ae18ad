"""The files of a spill: folders that belong to one living process each, and segments of lines in them.

Everything here blocks, and raises `OSError`; `sipagent.calls.spill` translates it and sees to it that one
thread at a time is in here.

A process holds a lock (``flock``) on the file ``lock`` of its folder. The kernel lets go of it when the
process dies, however it dies, and then another one may take the folder over. A lock counts only if the file
that was locked is still the one in the folder: between opening and locking it, somebody may have taken the
folder over and removed it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

FILE_MODE = 0o600
FOLDER_MODE = 0o700
"""What callers said is in there: it is nobody else's business."""
PAGE_BYTES = 8 << 20
"""Of lines that are read at once."""
_LOCK = "lock"
_SUFFIX = ".jsonl"
_ATTEMPTS = 5


class Home:
    """One folder of segments, held by this process until `remove` or `release`."""

    def __init__(self, path: Path, lock: int) -> None:
        """``lock`` is the open and locked file; see `create` and `claim`."""
        self.path = path
        self._lock = lock
        self._last_number = 0

    @classmethod
    def create(cls, base: Path, name: str) -> Home:
        """A new folder in ``base``, whose name begins with ``name``."""
        base.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        for attempt in range(_ATTEMPTS):
            path = base / (f"{name}.{attempt}" if attempt else name)
            # Somebody who looks for leftovers may find the folder before its lock is held, and remove it.
            with suppress(FileExistsError, FileNotFoundError):
                path.mkdir(mode=FOLDER_MODE)
                home = cls._locked(path, os.O_CREAT | os.O_EXCL)
                if home is not None:
                    return home
        raise OSError(f"no folder could be made in {base}")

    @classmethod
    def claim(cls, path: Path) -> Home | None:
        """The folder ``path`` of a process that is dead; None while it lives, or when somebody was faster."""
        try:
            return cls._locked(path, 0)
        except FileNotFoundError:
            # Of a process that died, or is, between the first two steps of `create`: empty in both cases.
            with suppress(OSError):
                path.rmdir()
            return None

    @classmethod
    def _locked(cls, path: Path, flags: int) -> Home | None:
        lock = os.open(path / _LOCK, os.O_RDWR | flags, FILE_MODE)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(lock), os.stat(path / _LOCK)):
                return cls(path, lock)
        except (BlockingIOError, FileNotFoundError):
            pass
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)
        return None

    def segments(self) -> list[Path]:
        """The segments that are there, in the order in which they were written."""
        found = sorted(path for path in self.path.glob(f"*{_SUFFIX}") if path.stem.isdigit())
        if found:
            self._last_number = int(found[-1].stem)
        return found

    def next_segment(self) -> Path:
        """Where the next segment goes."""
        self._last_number += 1
        return self.path / f"{self._last_number:08}{_SUFFIX}"

    def remove(self) -> None:
        """Remove the folder, whose segments are gone, and let go of it."""
        for left in (*self.path.glob("*.tmp"), self.path / _LOCK):
            left.unlink(missing_ok=True)
        with suppress(OSError):  # somebody put a file of their own there
            self.path.rmdir()
        self.release()

    def release(self) -> None:
        """Let go of the folder as it is: whoever looks next may take it over."""
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)


class Segment:
    """One file of lines: appended to, read from the beginning, removed when all of it was taken in."""

    def __init__(self, path: Path, home: Home) -> None:
        self.path = path
        self.home = home
        self.size = 0
        """Bytes."""
        self.taken_in = 0
        """Bytes at the beginning that are needed no more."""
        self.slim = False
        """Whatever could be given up is gone already."""
        self.torn = False
        """What is behind ``size`` could not be cut off: nothing may be written there."""
        self._writing: int | None = None

    @classmethod
    def left_over(cls, path: Path, home: Home) -> tuple[Segment, bool]:
        """The segment that a dead process left at ``path``, and whether its last line was only half written;
        such a line is cut off."""
        segment = cls(path, home)
        whole = _whole_lines_bytes(path)
        halved = path.stat().st_size > whole
        if halved:
            os.truncate(path, whole)
        segment.size = whole
        return segment, halved

    @property
    def waiting_bytes(self) -> int:
        """How much of it is still needed."""
        return self.size - self.taken_in

    def append(self, lines: bytes) -> None:
        """Write whole ``lines`` at the end: all of them, or none and `OSError`."""
        if self._writing is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            self._writing = os.open(self.path, flags, FILE_MODE)
        left = memoryview(lines)
        try:
            while left:
                left = left[os.write(self._writing, left) :]
        except OSError:
            self.torn = True
            os.ftruncate(self._writing, self.size)
            self.torn = False
            raise
        self.size += len(lines)

    def read(self, most_lines: int) -> tuple[list[bytes], int]:
        """The next lines, and where they end: the `taken_in` of somebody who is done with them."""
        lines: list[bytes] = []
        end = self.taken_in
        with self.path.open("rb") as file:
            file.seek(end)
            while len(lines) < most_lines and end < self.size and end - self.taken_in < PAGE_BYTES:
                line = file.readline()
                if not line:
                    # Somebody cut the file from outside; what is not there cannot be waited for.
                    self.size = end
                    break
                lines.append(line)
                end += len(line)
        return lines, end

    def thin_out(self, keep: Callable[[bytes], bool]) -> int:
        """Give up every line that is not one to ``keep``; how many were given up."""
        self.close()
        lost = written = 0
        smaller = self.path.with_suffix(".tmp")
        descriptor = os.open(smaller, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
        try:
            with open(descriptor, "wb") as target, self.path.open("rb") as source:
                source.seek(self.taken_in)
                for line in source:
                    if keep(line):
                        written += target.write(line)
                    else:
                        lost += 1
            smaller.replace(self.path)
        except BaseException:
            smaller.unlink(missing_ok=True)
            raise
        self.size, self.taken_in, self.slim = written, 0, True
        return lost

    def close(self) -> None:
        """Write no more to it."""
        writing, self._writing = self._writing, None
        if writing is not None:
            os.close(writing)

    def remove(self) -> None:
        """Close and remove the file."""
        self.close()
        self.path.unlink(missing_ok=True)


def _whole_lines_bytes(path: Path) -> int:
    """How many bytes of the file ``path`` are whole lines."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - 65536)
            file.seek(start)
            at = file.read(end - start).rfind(b"\n")
            if at >= 0:
                return start + at + 1
            end = start
    return 0
