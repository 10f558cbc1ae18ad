"""A configuration as it was when it was loaded, made again from what the store keeps of it.

A process that takes over a call of another may not have the configuration that the call began with: during a
deploy, the files say something else by then. Python modules and secrets are not in the store: those of the
present files and environment are used.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sipagent.calls.routing import FrontDoor
from sipagent.config.files import FilesRead, parts_of
from sipagent.config.loading import load_configuration
from sipagent.errors import UserError


class _StoredFiles(FilesRead):
    """Files as the store has them, and as they are where it has them not."""

    def __init__(self, path: Path, parts: dict[str, str]) -> None:
        super().__init__(path.parent)
        self._path = path
        self._parts = parts

    def read_bytes(self, path: Path) -> bytes:
        """See `FilesRead.read_bytes`."""
        name = "" if path == self._path else self._name(path)
        stored = self._parts.get(name)
        return super().read_bytes(path) if stored is None else stored.encode()


def load_stored(text: str, path: Path, *, fingerprint: str) -> FrontDoor:
    """The front door of the configuration whose `Loaded.text` was ``text`` and whose fingerprint was
    ``fingerprint``; ``path`` is where the present one is.

    Keys of carriers and tokens of people, which may be gone by now, are not asked for. The present one is not
    touched. Blocks, and raises, as `load_configuration`; `UserError` also for a text
    that cannot be taken apart.
    """
    parts = parts_of(text)
    if parts is None:
        raise UserError(f"what the store has of configuration {fingerprint} is not whole")
    read = _StoredFiles(path, parts)
    try:
        door = load_configuration(path, read=read, door_only=True).door
    finally:
        # Its modules live on in its functions; by their names, the present ones are found.
        read.take_back()
    return replace(door, fingerprint=fingerprint)
