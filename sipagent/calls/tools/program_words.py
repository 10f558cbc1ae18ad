"""What a program says on its standard error: it goes into the log, and its last line may explain its end."""

from __future__ import annotations

import asyncio
import logging
import os
from types import TracebackType
from typing import Final, Self, TextIO

from sipagent.calls.tools.answers import shortened

logger = logging.getLogger(__name__)

LONGEST_LINE: Final = 300
_CHUNK_BYTES: Final = 65536
_CHUNKS_AT_ONCE: Final = 8
"""A program that never stops talking must not keep the loop."""


class ProgramWords:
    """A pipe for the standard error of one program. Enter it in the loop that is to read it, give `file` to
    the program, and call `handed_over` once it has it."""

    def __init__(self, name: str) -> None:
        """``name`` stands before each line in the log."""
        self._name = name
        self.last = ""
        """The last line that was no blank one, shortened; it may hold what the program should not say."""
        self._rest = b""
        self._reading = -1
        self._file: TextIO | None = None

    def __enter__(self) -> Self:
        self._reading, writing = os.pipe()
        os.set_blocking(self._reading, False)
        self._file = os.fdopen(writing, "w", encoding="utf-8")
        asyncio.get_running_loop().add_reader(self._reading, self._read)
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.handed_over()
        self._read()
        self._say(self._rest)
        self._stop()

    @property
    def file(self) -> TextIO:
        """What the program writes to."""
        assert self._file is not None, "the words are entered, and not handed over yet"
        return self._file

    def handed_over(self) -> None:
        """The program has its own end of the pipe: ours would keep the pipe open when it ends."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _read(self) -> None:
        for _ in range(_CHUNKS_AT_ONCE):
            if self._reading < 0:
                return
            try:
                chunk = os.read(self._reading, _CHUNK_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                logger.debug("%s: its standard error cannot be read: %s", self._name, error)
                chunk = b""
            if not chunk:
                self._stop()
                return
            *lines, rest = (self._rest + chunk).split(b"\n")
            # A program that never ends its line is cut, so that nothing grows.
            self._rest = rest[-_CHUNK_BYTES:]
            for line in lines:
                self._say(line)

    def _say(self, line: bytes) -> None:
        words = shortened(line.decode("utf-8", "replace").strip(), LONGEST_LINE)
        if words:
            self.last = words
            logger.debug("%s says: %s", self._name, words)

    def _stop(self) -> None:
        if self._reading >= 0:
            asyncio.get_running_loop().remove_reader(self._reading)
            os.close(self._reading)
            self._reading = -1
