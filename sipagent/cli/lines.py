"""Lines from standard input, read without holding up the event loop."""

from __future__ import annotations

import asyncio
import os

from sipagent.errors import UserError

MAXIMUM_LINE_BYTES = 64 * 1024
"""More than anybody types, and less than hurts."""
_PIECE_BYTES = 4096


class Lines:
    """The lines of a terminal, a pipe or a file. Nothing is read before somebody asks for a line.

    What was read beyond a line waits for the next one. Several may ask at once: they are served in turn.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._read = bytearray()
        self._at_end = False
        self._turn = asyncio.Lock()

    async def next(self) -> str | None:
        """The next line without its end, or None when there is none. Cancelling loses nothing.

        Raises `UserError` for a line of more than `MAXIMUM_LINE_BYTES`. What is no UTF-8 is replaced.
        """
        async with self._turn:
            while b"\n" not in self._read and not self._at_end:
                if len(self._read) > MAXIMUM_LINE_BYTES:
                    raise UserError(f"a line of the input is longer than {MAXIMUM_LINE_BYTES} bytes")
                await self._fill()
            if not self._read:
                return None
            line, _, rest = self._read.partition(b"\n")
            self._read = rest
            return line.decode("utf-8", errors="replace").rstrip("\r")

    async def _fill(self) -> None:
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        try:
            loop.add_reader(self._descriptor, readable.set)
        except (PermissionError, NotImplementedError):
            # A file, or /dev/null: cannot be watched, and need not be, since it always has an answer.
            pass
        else:
            try:
                await readable.wait()
            finally:
                loop.remove_reader(self._descriptor)
        try:
            piece = os.read(self._descriptor, _PIECE_BYTES)
        except BlockingIOError:  # somebody who shares the descriptor has read it first
            return
        except OSError:  # how a terminal that was closed answers: nobody is left to read from
            piece = b""
        self._read += piece
        self._at_end = not piece
