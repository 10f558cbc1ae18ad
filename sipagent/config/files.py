"""What a configuration was made of: every file that was read, when it was as it was, and what stood in it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

FINGERPRINT_CHARACTERS = 12

_MARK = re.compile(r"\n# (.+), (\d+) characters\n")

Stamp: TypeAlias = tuple[int, int, int]
"""Time of the last change in nanoseconds, size in bytes, and inode: another one when a file was replaced."""


def stamp_of(path: Path) -> Stamp | None:
    """The present stamp of ``path``, links followed; None when there is no such file or no way to it."""
    try:
        status = path.stat()
    except (OSError, ValueError):  # ValueError: a path with a NUL in it
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def parts_of(text: str) -> dict[str, str] | None:
    """What `FilesRead.text` was put together from, by name, the first under ``""``; None for another text."""
    for first in _MARK.finditer(text):
        parts, at = {"": text[: first.start()]}, first.start()
        while (mark := _MARK.match(text, at)) is not None:
            end = mark.end() + int(mark[2])
            parts[mark[1]] = text[mark.end() : end]
            # A text that ends within a line has had its end put in.
            at = end if text[end - 1 : end] == "\n" else end + 1
        if at == len(text):
            return parts
    return None if _MARK.search(text) else {"": text}


class FilesRead:
    """Notes every file as it is read, so that it is known of an attempt that failed as well.

    One attempt to load a configuration fills one of these. It is used by the thread that loads, and read by
    others later; a module that a tool imports when it runs is added by whichever thread that is.
    """

    def __init__(self, folder: Path) -> None:
        """``folder`` is the configuration's: files in it are named as seen from there."""
        self._folder = folder
        self._stamps: dict[Path, Stamp | None] = {}
        self._missing: dict[Path, None] = {}
        self._digests: dict[Path, bytes] = {}
        self._texts: dict[Path, str] = {}
        self._secret: set[Path] = set()
        self._undo: list[Callable[[], None]] = []

    # Reading ---------------------------------------------------------------------------------------

    def read_bytes(self, path: Path) -> bytes:
        """The content of ``path``. Raises `OSError`; the path is watched all the same."""
        # The stamp is taken first: a change between the two is then seen as one.
        self._stamps[path] = stamp_of(path)
        content = path.read_bytes()
        self._digests[path] = hashlib.sha256(content).digest()
        return content

    def read_text(self, path: Path, *, encoding: str = "utf-8") -> str:
        """The text of ``path``, which becomes part of `text`. Raises `OSError` and `UnicodeDecodeError`."""
        text = self.read_bytes(path).decode(encoding)
        self.note_text(path, text)
        return text

    def read_secret(self, path: Path) -> str:
        """The text of ``path``, which becomes part of neither `text` nor `fingerprint`. Raises as
        `read_text`."""
        self._secret.add(path)
        return self.read_bytes(path).decode()

    def note_text(self, path: Path, text: str) -> None:
        """``text`` stands in ``path``, which was read some other way or through `read_bytes`."""
        self._texts[path] = text
        if path not in self._digests:
            self._digests[path] = hashlib.sha256(text.encode()).digest()

    def note_missing(self, path: Path) -> None:
        """``path`` was looked for and may be what is missing, if the attempt fails."""
        self._missing[path] = None

    # What is known then ----------------------------------------------------------------------------

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every file that was read, or should have been, in the order in which they were."""
        return tuple(self._stamps)

    @property
    def fingerprint(self) -> str:
        """Names what was read, whatever the folder is called; secrets have no part in it."""
        whole = hashlib.sha256()
        # Modules are read in an order that depends on who imports first.
        for path, digest in sorted(self._digests.items(), key=lambda each: self._name(each[0])):
            if path not in self._secret:
                whole.update(hashlib.sha256(self._name(path).encode("utf-8", "surrogateescape")).digest())
                whole.update(digest)
        return whole.hexdigest()[:FINGERPRINT_CHARACTERS]

    @property
    def text(self) -> str:
        """Every text that was read, the first as it is and the others each under a line with its name and
        length; `parts_of` takes it apart again."""
        parts = [
            text if number == 0 else f"\n# {self._name(path)}, {len(text)} characters\n{text}"
            for number, (path, text) in enumerate(self._texts.items())
        ]
        return "".join(part if part.endswith("\n") else f"{part}\n" for part in parts)

    def stamps_now(self, *, with_missing: bool) -> dict[Path, Stamp | None]:
        """The present stamps of all files, with those that were `note_missing` or without. Blocks."""
        missing = tuple(self._missing) if with_missing else ()
        return {path: stamp_of(path) for path in (*self.paths, *missing)}

    def changed(self, *, with_missing: bool) -> bool:
        """Whether any file may differ from what was read. Blocks, for a ``stat`` of each."""
        now = self.stamps_now(with_missing=with_missing)
        return any(stamp != self._stamps.get(path) for path, stamp in now.items())

    def same_as(self, earlier: FilesRead) -> bool:
        """Whether ``earlier`` read the same, secrets included. Blocks.

        A file that only ``earlier`` knows, such as a module that a tool imported later, is looked at.
        """
        if not self._digests.keys() <= earlier._digests.keys():
            return False
        for path, digest in tuple(earlier._digests.items()):
            if (self._digests.get(path) or _digest_on_disk(path)) != digest:
                return False
        return True

    def read_again(self, later: FilesRead) -> None:
        """The files were read again, into ``later``, and said the same: their present stamps count."""
        for path in tuple(self._stamps):
            self._stamps[path] = later._stamps[path] if path in later._stamps else stamp_of(path)

    # Taking back -----------------------------------------------------------------------------------

    def on_take_back(self, undo: Callable[[], None]) -> None:
        """Let `take_back` call ``undo``."""
        self._undo.append(undo)

    def take_back(self) -> None:
        """What this attempt did to the process is undone: it is not used. Idempotent."""
        while self._undo:
            self._undo.pop()()

    def keep(self) -> None:
        """The attempt is used; what came before it may go."""
        self._undo.clear()

    def _name(self, path: Path) -> str:
        try:
            return path.absolute().relative_to(self._folder.absolute()).as_posix()
        except ValueError:
            return path.as_posix()


def _digest_on_disk(path: Path) -> bytes | None:
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return None
