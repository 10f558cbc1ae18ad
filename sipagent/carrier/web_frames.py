"""WebSocket frames, as far as a server needs them that speaks text and no extension. Pure.

Source: RFC 6455. Whether text is UTF-8 is left to whoever reads it.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Final, Literal, NamedTuple

from sipagent.errors import MediaStreamError

_KEY_SUFFIX: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
# Section 5.2.
_FIN: Final = 0x80
_RESERVED: Final = 0x70
_MASKED: Final = 0x80
_LENGTH: Final = 0x7F
_LENGTH_IN_2: Final = 126
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_WHOLE_TEXT: Final = _FIN | _TEXT
_MOST_CONTROL_BYTES: Final = 125
# Section 7.4.1.
NORMAL = 1000
PROTOCOL_ERROR = 1002
NO_CODE = 1005
ABNORMAL = 1006
TOO_BIG = 1009

FrameKind = Literal["text", "binary", "ping", "pong", "close"]
_KINDS: Final[dict[int, FrameKind]] = {
    _TEXT: "text", _BINARY: "binary", _CLOSE: "close", _PING: "ping", _PONG: "pong"
}  # fmt: skip


class BrokenFrameError(MediaStreamError):
    """The peer breaks the protocol; ``code`` is what it is told."""

    def __init__(self, message: str, code: int = PROTOCOL_ERROR) -> None:
        super().__init__(message)
        self.code = code


class Frame(NamedTuple):
    """A whole message, or a control frame."""

    kind: FrameKind
    payload: bytes

    @property
    def close_code(self) -> int:
        """Of a close: the peer's code."""
        return int.from_bytes(self.payload[:2], "big") if len(self.payload) >= 2 else NO_CODE


class FrameReader:
    """Takes a client's messages out of a stream of bytes."""

    def __init__(self, most_bytes: int) -> None:
        """No message may be longer than ``most_bytes``."""
        self._most = most_bytes
        self._rest = b""
        self._parts: bytearray | None = None
        """What has come of a message in several frames, while there is one."""
        self._parts_kind: FrameKind = "text"

    def feed(self, data: bytes) -> list[Frame]:
        """The messages that ``data`` completes. Raises `BrokenFrameError`; nothing can be read after that."""
        if self._rest:
            data = self._rest + data
        frames: list[Frame] = []
        position, end = 0, len(data)
        while (start := position + 6) <= end:
            length = data[position + 1]
            if not length & _MASKED:
                raise BrokenFrameError("a frame of a client that is not masked")
            length &= _LENGTH
            if length >= _LENGTH_IN_2:
                start += 2 if length == _LENGTH_IN_2 else 8
                if start > end:
                    break
                length = int.from_bytes(data[position + 2 : start - 4], "big")
            if length > self._most:
                raise BrokenFrameError(f"a frame of {length} bytes; {self._most} are the most", TOO_BIG)
            stop = start + length
            if stop > end:
                break
            payload = unmasked(data[start:stop], data[start - 4 : start])
            if data[position] == _WHOLE_TEXT and self._parts is None:
                frames.append(Frame(kind="text", payload=payload))
            elif (frame := self._other(data[position], payload)) is not None:
                frames.append(frame)
            position = stop
        self._rest = data[position:]
        return frames

    def _other(self, head: int, payload: bytes) -> Frame | None:
        opcode, is_last = head & 0x0F, bool(head & _FIN)
        if head & _RESERVED or (opcode != _CONTINUATION and opcode not in _KINDS):
            raise BrokenFrameError(f"a frame that begins with {head:#x}")
        if opcode >= _CLOSE:
            if not is_last or len(payload) > _MOST_CONTROL_BYTES:
                raise BrokenFrameError("a control frame in parts, or too long")
            return Frame(kind=_KINDS[opcode], payload=payload)
        if (opcode == _CONTINUATION) == (self._parts is None):
            raise BrokenFrameError("a message within another, or a part of none")
        if self._parts is None:
            self._parts, self._parts_kind = bytearray(), _KINDS[opcode]
        self._parts += payload
        if len(self._parts) > self._most:
            raise BrokenFrameError(f"a message of more than {self._most} bytes", TOO_BIG)
        if not is_last:
            return None
        whole, self._parts = bytes(self._parts), None
        return Frame(kind=self._parts_kind, payload=whole)


def unmasked(payload: bytes, key: bytes) -> bytes:
    """``payload`` without its mask (section 5.3)."""
    length = len(payload)
    mask = (key * (length // 4 + 1))[:length]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(mask, "little")).to_bytes(length, "little")


def text_frame(payload: bytes) -> bytes:
    """A message of a server's."""
    return _written(_TEXT, payload)


def pong_frame(payload: bytes) -> bytes:
    """The answer to a ping."""
    return _written(_PONG, payload)


def ping_frame() -> bytes:
    """A question whether the peer is there."""
    return _written(_PING, b"")


def close_frame(code: int) -> bytes:
    """The end, or the answer to it."""
    return _written(_CLOSE, b"" if code == NO_CODE else code.to_bytes(2, "big"))


def accepted_key(key: str) -> str:
    """What proves that a handshake was read (section 4.2.2). Raises `BrokenFrameError` for no such key."""
    try:
        if len(base64.b64decode(key, validate=True)) != 16:
            raise ValueError("not 16 bytes")
    except ValueError as error:
        raise BrokenFrameError("a handshake without a key") from error
    # The digest proves nothing secret; the standard names it.
    digest = hashlib.sha1(key.encode() + _KEY_SUFFIX, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def _written(opcode: int, payload: bytes) -> bytes:
    length = len(payload)
    if length < _LENGTH_IN_2:
        return bytes((_FIN | opcode, length)) + payload
    if length < 1 << 16:
        return bytes((_FIN | opcode, _LENGTH_IN_2)) + length.to_bytes(2, "big") + payload
    return bytes((_FIN | opcode, _LENGTH_IN_2 + 1)) + length.to_bytes(8, "big") + payload
