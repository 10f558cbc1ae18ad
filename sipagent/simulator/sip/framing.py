"""Cuts a TCP or TLS stream into SIP messages (RFC 3261 section 18.3). Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import ClassVar

from sipagent.errors import SipSyntaxError
from sipagent.simulator.sip.message import HEAD_END, content_length, parse_headers


@dataclass(slots=True, kw_only=True)
class StreamFramer:
    """Cuts a TCP or TLS stream into messages by Content-Length (RFC 3261 section 18.3).

    A message without Content-Length is taken as having no body.
    """

    PING: ClassVar[bytes] = b"\r\n\r\n"

    max_message_bytes: int
    broken: bool = False
    """No further message can be found: answer what was returned, then close the connection."""
    _buffer: bytearray = field(default_factory=bytearray)
    _searched: int = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Add what was read; returns whole messages and keep-alive pings (as `PING`), in order.

        Sets `broken` instead of raising when a message is too long or its length cannot be read; the head
        of such a message is still returned, so that it can be answered.
        """
        self._buffer += data
        found: list[bytes] = []
        while (frame := self._next()) is not None:
            found.append(frame)
        return found

    def _next(self) -> bytes | None:
        if self.broken:
            self._buffer.clear()
            return None
        buffer = self._buffer
        if buffer.startswith(self.PING):
            del buffer[:4]
            return self.PING
        if buffer.startswith((b"\r", b"\n")):
            # A lone CRLF may be the first half of a ping: wait for more before dropping it.
            if self.PING.startswith(bytes(buffer[:4])):
                return None
            stripped = bytes(buffer).lstrip(b"\r\n")
            buffer[:] = stripped
        end = HEAD_END.search(buffer, max(0, self._searched - 3))
        if end is None:
            self._searched = len(buffer)
            self.broken = len(buffer) > self.max_message_bytes
            return None
        return self._cut(end.end())

    def _cut(self, head_bytes: int) -> bytes | None:
        head = bytes(self._buffer[:head_bytes])
        lines = re.split(r"\r?\n", head.decode("utf-8", "surrogateescape").rstrip("\r\n"))
        try:
            total = head_bytes + (content_length(parse_headers(lines[1:], [])) or 0)
        except SipSyntaxError:
            total = self.max_message_bytes + 1
        if total > self.max_message_bytes:
            self.broken = True
            return head
        if len(self._buffer) < total:
            self._searched = max(0, head_bytes - 4)
            return None
        frame = bytes(self._buffer[:total])
        del self._buffer[:total]
        self._searched = 0
        return frame
