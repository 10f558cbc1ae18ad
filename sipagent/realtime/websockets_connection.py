"""The socket by the `websockets` package, for whoever chooses nothing else.

The only file that knows the package; its exceptions end here. It is called through the module, so that a test
may replace ``websockets.connect``.

The package shakes hands, answers pings, puts fragments together, finds what is against the protocol, and
closes. Its own way for a message takes longer than all else that is done with most of them here: a generator
that parses, a queue, a future, four coroutines. So a text message in one frame, which is what a server of the
Realtime API sends, is cut out of what was read before the package sees it, and offered the moment it comes.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import websockets
import websockets.exceptions
from websockets.asyncio.client import ClientConnection
from websockets.protocol import State

from sipagent import __version__
from sipagent.errors import AttachError, ConnectionLostError
from sipagent.realtime.connection import (
    ABNORMAL_CLOSE,
    Address,
    Closed,
    Hold,
    Socket,
    TransportLimits,
    refused,
)

_FULL: Final = 16
"""So many messages may wait to be received before the peer is read no further; those that came with the
last of them in one read of the socket wait too."""
_HEAD_END: Final = b"\r\n\r\n"
# RFC 6455 section 5.2.
_WHOLE_TEXT: Final = 0x81
"""How a text message in one frame begins."""
_CONTROL: Final = 8
"""The opcode of control frames, and those above it."""
_LENGTH_IN_2: Final = 126
_LENGTH_IN_8: Final = 127


class _Connection(ClientConnection):
    """The package's connection, and the messages that came over it."""

    def __init__(self, *arguments: Any, most_bytes: int, hold: Hold | None = None, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._hold = hold
        self.messages: deque[bytes] = deque()
        self.taker: Callable[[bytes], bool] | None = None
        self.ignores = False
        """Nobody will receive what comes."""
        self._most_bytes = most_bytes
        self._package_reads = True
        """Everything: the answer to the handshake, and what follows a fault or the end."""
        self._head = b""
        """The last of what came of that answer."""
        self._pieces: list[bytes] = []
        """The beginning of a frame."""
        self._missing = 0
        """So many bytes of it have not come, or more."""
        self._fragments: list[bytes] | None = None
        """What came of a message in several frames, while there is one."""
        self._readable: asyncio.Future[None] | None = None
        """Present while somebody waits for a message."""
        self._paused = False
        self._lost = False

    async def message(self) -> bytes | None:
        """The next message; None when there will be none. Cancel-safe."""
        while not self.messages:
            if self._lost:
                return None
            self._readable = self.loop.create_future()
            try:
                await self._readable
            finally:
                self._readable = None
        return self.next()

    def next(self) -> bytes:
        """The next of the `messages`."""
        message = self.messages.popleft()
        if self._paused and not self.messages:
            self.go_on()
        return message

    def go_on(self) -> None:
        """Read the peer, if it is not read."""
        if self._paused:
            self._paused = False
            self.transport.resume_reading()

    async def handshake(self, *arguments: Any, **options: Any) -> None:
        """As the package's, when it may begin. The way to the server is open."""
        if self._hold is not None:
            await self._hold()
        await super().handshake(*arguments, **options)

    # What the loop and the package call --------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self._package_reads:
            data = self._shake_hands(data)
        if data:
            self._read(data)
        if self.messages:
            if len(self.messages) >= _FULL and not self._paused:
                self._paused = True
                self.transport.pause_reading()
            self._wake()

    def process_event(self, event: Any) -> None:
        """The answer to the handshake came, or a frame that the package has read."""
        if self.response is None or event.opcode >= _CONTROL:
            super().process_event(event)
            return
        fragments = self._fragments or []
        fragments.append(bytes(event.data))
        self._fragments = None if event.fin else fragments
        if event.fin and not self.ignores:
            self.messages.append(b"".join(fragments))

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing follows."""
        super().connection_lost(exc)
        self._paused, self._lost = False, True
        self._wake()

    # Inside ----------------------------------------------------------------------------------------

    def _shake_hands(self, data: bytes) -> bytes:
        """Let the package read; what came behind the answer to the handshake is returned."""
        if self.response is not None:
            super().data_received(data)
            return b""
        seen = self._head + data
        head_end = seen.find(_HEAD_END)
        if head_end < 0:
            self._head = seen[1 - len(_HEAD_END) :]
            super().data_received(data)
            return b""
        behind = head_end + len(_HEAD_END) - len(self._head)
        super().data_received(data[:behind])
        self._package_reads = self.protocol.state is not State.OPEN
        if self._package_reads:
            super().data_received(data[behind:])
            return b""
        return data[behind:]

    def _read(self, data: bytes) -> None:
        """Take whole frames out of ``data`` and of what came before it. The busiest loop of a call."""
        if len(data) < self._missing:
            self._pieces.append(data)
            self._missing -= len(data)
            return
        if self._pieces:
            data = b"".join((*self._pieces, data))
            self._pieces.clear()
        waits = self._readable is not None and not self._readable.done()
        taker = self.taker if waits and not self.messages else None
        position, end = 0, len(data)
        while (stop := position + 2) <= end:
            length = data[position + 1]
            if length >= _LENGTH_IN_2:
                stop += 2 if length == _LENGTH_IN_2 else 8
                if stop > end:
                    break
                # A frame that is masked (a greater number here) is a fault, which the package finds.
                masked = length > _LENGTH_IN_8
                length = self._most_bytes + 1 if masked else int.from_bytes(data[position + 2 : stop])
            if length > self._most_bytes:
                self._package_reads = True
                super().data_received(data[position:])
                return
            start, stop = stop, stop + length
            if stop > end:
                break
            if data[position] != _WHOLE_TEXT or self._fragments is not None:
                super().data_received(data[position:stop])
                if self.protocol.state is not State.OPEN:
                    self._package_reads = True
                    super().data_received(data[stop:])
                    return
                if self.messages:
                    taker = None
            elif not self.ignores and (taker is None or not taker(data[start:stop])):
                # It is received by whoever waits, and nothing that follows may come before that.
                taker = None
                self.messages.append(data[start:stop])
            position = stop
        self._missing = stop - end
        if position < end:
            self._pieces.append(data[position:])

    def _wake(self) -> None:
        if self._readable is not None and not self._readable.done():
            self._readable.set_result(None)


class WebsocketsSocket(Socket):
    """By the `websockets` package."""

    def __init__(self, connection: Any, close_timeout: float) -> None:
        """``connection`` is what ``websockets.connect`` gave."""
        self._connection = connection
        self._close_timeout = close_timeout
        self._own = connection if isinstance(connection, _Connection) else None
        """None where a test has put something else in its place."""

    async def send(self, text: str) -> None:
        """See `Socket.send`."""
        try:
            await self._connection.send(text)
        except (websockets.exceptions.ConnectionClosed, OSError) as error:
            raise ConnectionLostError("the socket is closed") from error

    async def receive(self) -> bytes | Closed:
        """See `Socket.receive`."""
        if self._own is not None and (message := await self._own.message()) is not None:
            return message
        try:
            # Bytes are all that a reader of JSON needs; the package need not decode them.
            received: bytes = await self._connection.recv(decode=False)
        except websockets.exceptions.ConnectionClosed as error:
            frame = error.rcvd
            if frame is None:
                return Closed(code=ABNORMAL_CLOSE, reason="")
            return Closed(code=frame.code, reason=frame.reason)
        except OSError as error:
            return Closed(code=ABNORMAL_CLOSE, reason=type(error).__name__)
        return received

    def receive_now(self) -> bytes | None:
        """See `Socket.receive_now`."""
        own = self._own
        return own.next() if own is not None and own.messages else None

    def offer_to(self, taker: Callable[[bytes], bool] | None) -> None:
        """See `Socket.offer_to`."""
        if self._own is not None:
            self._own.taker = taker

    async def close(self) -> None:
        """See `Socket.close`."""
        if self._own is not None:
            # The peer's answer stands behind what nobody will receive any more.
            self._own.ignores = True
            self._own.go_on()
        try:
            # The package bounds its wait for the peer's answer, but not the one for room to write to a peer
            # that does not read.
            async with asyncio.timeout(self._close_timeout):
                await self._connection.close()
        except TimeoutError:
            self._connection.transport.abort()
        except asyncio.CancelledError:
            self._connection.transport.abort()
            raise


async def open_websockets_socket(
    address: Address, limits: TransportLimits, context: ssl.SSLContext | None, *, hold: Hold | None = None
) -> WebsocketsSocket:
    """Connect and shake hands; see `sipagent.realtime.connection.open_socket`."""
    options: dict[str, Any] = {
        "additional_headers": dict(address.headers),
        "user_agent_header": f"sipagent/{__version__}",
        # Compression costs a window of memory for each call and time for each message; both are small.
        "compression": None,
        "proxy": None,
        "max_size": limits.max_size,
        "open_timeout": limits.handshake_timeout,
        "ping_interval": limits.ping_interval,
        "ping_timeout": limits.ping_timeout,
        "close_timeout": limits.close_timeout,
        "create_connection": partial(
            _Connection,
            most_bytes=sys.maxsize if limits.max_size is None else limits.max_size,
            hold=hold,
        ),
    }
    if context is not None:
        options["ssl"] = context
    try:
        connection = await websockets.connect(address.url, **options)
    except websockets.exceptions.InvalidStatus as error:
        raise refused(error.response.status_code) from error
    except (websockets.exceptions.WebSocketException, OSError, TimeoutError) as error:
        raise AttachError(f"the socket could not be opened: {type(error).__name__}: {error}") from error
    return WebsocketsSocket(connection, limits.close_timeout)
