"""The socket by `picows`, for many calls in one process: the frames are read in C, and no task runs for each.

The only file that knows the package; its exceptions end here. Imported only where a transport's
configuration names it, because it is an extra.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import sys
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import picows
from picows.url import WSParsedURL

from sipagent import __version__
from sipagent.errors import AttachError, ConnectionLostError
from sipagent.realtime.connection import (
    ABNORMAL_CLOSE,
    NO_CODE,
    Address,
    Closed,
    Socket,
    TransportLimits,
    refused,
)

_FULL = 16
"""So many messages may wait to be received before the peer is read no further; those that came with the
last of them in one read of the socket wait too."""
_FIRST_BUFFER_BYTES = 2048
_NORMAL = picows.WSCloseCode.OK
_TEXT = picows.WSMsgType.TEXT
_BINARY = picows.WSMsgType.BINARY
_CONTINUATION = picows.WSMsgType.CONTINUATION
_CLOSE = picows.WSMsgType.CLOSE


class _Often(picows.WSListener):
    """What is looked at for every message, side by side.

    With a thousand sockets, each message finds its own in memory that the processor has not seen for a while:
    what counts is how many places it has to look at.
    """

    __slots__ = ("_heard", "_max_size", "_prompt")

    _heard: bool
    """Something came since the last ping."""
    _max_size: int
    _prompt: Callable[[bytes], bool] | None
    """Takes messages at once. Present while whoever receives waits, and nothing has come for it: neither a
    message nor the end."""


class PicowsSocket(_Often, Socket):
    """An open WebSocket, and what the package calls when something comes."""

    __slots__ = (
        "_closed",
        "_closing",
        "_gone",
        "_limits",
        "_loop",
        "_messages",
        "_parts",
        "_paused",
        "_readable",
        "_taker",
        "_timer",
        "_transport",
        "_writable",
    )

    def __init__(self, limits: TransportLimits) -> None:
        """Made by `open_picows_socket` alone."""
        self._limits = limits
        self._max_size = _bytes_at_most(limits)
        self._loop = asyncio.get_running_loop()
        self._transport: picows.WSTransport
        self._messages: deque[bytes] = deque()
        self._parts: list[bytes] = []
        """What came so far of a message in several frames."""
        self._closed: Closed | None = None
        self._gone: asyncio.Future[None] = self._loop.create_future()
        self._taker: Callable[[bytes], bool] | None = None
        self._prompt = None
        self._readable: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        """Present while the peer does not take what we send."""
        self._paused = False
        self._closing = False
        self._heard = False
        self._timer: asyncio.TimerHandle | None = None

    # Socket ----------------------------------------------------------------------------------------

    async def send(self, text: str) -> None:
        """See `Socket.send`."""
        if self._closed is not None or self._transport.is_close_frame_sent:
            raise ConnectionLostError("the socket is closed")
        self._transport.send(_TEXT, text)
        while self._writable is not None:
            await asyncio.shield(self._writable)
            if self._gone.done():
                raise ConnectionLostError("the socket is closed")

    async def receive(self) -> bytes | Closed:
        """See `Socket.receive`."""
        while not self._messages:
            if self._closed is not None:
                return self._closed
            self._readable = self._loop.create_future()
            self._prompt = None if self._closing else self._taker
            try:
                await self._readable
            finally:
                self._prompt = self._readable = None
        return self._next()

    def offer_to(self, taker: Callable[[bytes], bool] | None) -> None:
        """See `Socket.offer_to`."""
        self._taker = taker
        if self._prompt is not None:
            self._prompt = taker

    def receive_now(self) -> bytes | None:
        """See `Socket.receive_now`."""
        return self._next() if self._messages else None

    async def close(self) -> None:
        """See `Socket.close`."""
        if self._gone.done():
            return
        self._ignore()
        self._transport.send_close(_NORMAL)
        if self._paused:
            # The peer's answer stands behind what nobody will receive any more.
            self._paused = False
            self._transport.underlying_transport.resume_reading()
        try:
            async with asyncio.timeout(self._limits.close_timeout):
                await asyncio.shield(self._gone)
        except TimeoutError:
            self._transport.disconnect(graceful=False)
            await asyncio.shield(self._gone)
        except asyncio.CancelledError:
            self._transport.disconnect(graceful=False)
            raise

    # picows.WSListener -----------------------------------------------------------------------------

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        """The handshake is done."""
        self._transport = transport
        self._arm(self._limits.ping_interval, self._ping)

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        """A frame came. Pings are answered by the package."""
        self._heard = True
        if frame.payload_size > self._max_size:
            # The package is closing the socket for it, and hands it out all the same.
            self._ignore()
            return
        kind = frame.msg_type
        if kind == _TEXT and frame.fin:
            message = frame.get_payload_as_bytes()
            if self._prompt is None or not self._prompt(message):
                self._put(message)
        elif kind == _CLOSE:
            self._peer_closes(frame)
        elif kind in (_TEXT, _BINARY, _CONTINUATION):
            self._part(frame)

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        """Nothing follows."""
        if self._timer is not None:
            self._timer.cancel()
        if self._closed is None:
            self._closed = Closed(code=ABNORMAL_CLOSE, reason="")
        self._gone.set_result(None)
        self.resume_writing()
        self._wake()

    def pause_writing(self) -> None:
        """The peer does not take what we send."""
        if self._writable is None:
            self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        """It takes it again."""
        waiting, self._writable = self._writable, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    # Inside ----------------------------------------------------------------------------------------

    def _next(self) -> bytes:
        message = self._messages.popleft()
        if self._paused and not self._messages:
            self._paused = False
            self._transport.underlying_transport.resume_reading()
        return message

    def _ignore(self) -> None:
        """Nobody will receive what comes from now on."""
        self._closing = True
        self._prompt = None

    def _put(self, message: bytes) -> None:
        if self._closing:
            return
        self._messages.append(message)
        if len(self._messages) >= _FULL and not self._paused:
            self._paused = True
            self._transport.underlying_transport.pause_reading()
        self._wake()

    def _wake(self) -> None:
        self._prompt = None
        if self._readable is not None and not self._readable.done():
            self._readable.set_result(None)

    def _part(self, frame: picows.WSFrame) -> None:
        if frame.msg_type != _CONTINUATION:
            self._parts = []
        self._parts.append(frame.get_payload_as_bytes())
        if sum(map(len, self._parts)) > self._max_size:
            raise _violation(picows.WSCloseCode.MESSAGE_TOO_BIG, "a message beyond the limit")
        if frame.fin:
            whole, self._parts = b"".join(self._parts), []
            self._put(whole)

    def _peer_closes(self, frame: picows.WSFrame) -> None:
        # A number at run time, whatever its type says: the enumeration names only some of them.
        code = int(cast(int, frame.get_close_code()))
        if self._closed is None:
            self._closed = Closed(code=code or NO_CODE, reason=frame.get_close_reason() or "")
        self._transport.send_close(frame.get_close_code() if code else _NORMAL)
        # Flushes the answer first; a peer that does not even take that is cut off.
        self._transport.disconnect(graceful=True)
        self._arm(self._limits.close_timeout, self._cut)
        self._wake()

    def _arm(self, delay_s: float | None, then: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if delay_s is None else self._loop.call_later(delay_s, then)

    def _ping(self) -> None:
        self._transport.send_ping()
        if self._limits.ping_timeout is None:
            self._arm(self._limits.ping_interval, self._ping)
        else:
            self._heard = False
            self._arm(self._limits.ping_timeout, self._expect)

    def _expect(self) -> None:
        # While we do not read, the peer's answer cannot reach us, and its silence means nothing.
        if not self._heard and not self._paused:
            self._cut()
        else:
            assert self._limits.ping_interval is not None
            assert self._limits.ping_timeout is not None
            self._arm(max(0.0, self._limits.ping_interval - self._limits.ping_timeout), self._ping)

    def _cut(self) -> None:
        self._transport.disconnect(graceful=False)


async def open_picows_socket(
    address: Address, limits: TransportLimits, context: ssl.SSLContext | None
) -> PicowsSocket:
    """Connect and shake hands; see `sipagent.realtime.connection.open_socket`."""
    opened: list[socket.socket] = []

    async def connect(url: WSParsedURL) -> socket.socket:
        opened.append(await _connected(url.host, url.port))
        return opened[0]

    try:
        async with asyncio.timeout(limits.handshake_timeout):
            _, listener = await picows.ws_connect(
                lambda: PicowsSocket(limits),
                address.url,
                ssl_context=context,
                websocket_handshake_timeout=None,
                logger_name=_Quiet(logging.getLogger(__name__)),
                max_frame_size=_bytes_at_most(limits),
                extra_headers={**address.headers, "User-Agent": f"sipagent/{__version__}"},
                max_redirects=0,
                # It grows with what comes, and most of a call is small.
                read_buffer_init_size=_FIRST_BUFFER_BYTES,
                socket_factory=connect,
            )
    except picows.WSInvalidStatusError as error:
        response = cast(picows.WSUpgradeResponse, error.response)
        raise refused(int(response.status)) from error
    except (picows.WSError, picows.WSInvalidURL, OSError, TimeoutError) as error:
        _shut(opened)
        raise AttachError(f"the socket could not be opened: {type(error).__name__}: {error}") from error
    except BaseException:
        _shut(opened)
        raise
    if not isinstance(listener, PicowsSocket):
        # This is how the package says that the peer went away during the handshake.
        raise AttachError("the socket could not be opened: the peer closed it during the handshake")
    return listener


async def _connected(host: str, port: int) -> socket.socket:
    """A connected TCP socket, by the first address that answers. Raises `OSError`. Cancel-safe."""
    loop = asyncio.get_running_loop()
    last = OSError(f"{host} has no address")
    for family, kind, protocol, _, where in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        one = socket.socket(family, kind, protocol)
        one.setblocking(False)
        try:
            await loop.sock_connect(one, where)
        except OSError as error:
            one.close()
            last = error
        except BaseException:
            one.close()
            raise
        else:
            return one
    raise last


def _shut(opened: list[socket.socket]) -> None:
    # The package keeps a connection whose handshake nobody awaits any more. It owns the socket; ended from
    # below, it closes it by itself.
    for one in opened:
        try:
            one.shutdown(socket.SHUT_RDWR)
        except OSError:
            continue  # closed already


def _bytes_at_most(limits: TransportLimits) -> int:
    return sys.maxsize if limits.max_size is None else limits.max_size


def _violation(code: picows.WSCloseCode, words: str) -> picows.WSProtocolError:
    return picows.WSProtocolError(code, words)


class _Quiet(logging.LoggerAdapter[logging.Logger]):
    """Lets through what is out of order; the package also tells of every connection as information."""

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - the name that logging gave it
        return level >= logging.WARNING and super().isEnabledFor(level)
