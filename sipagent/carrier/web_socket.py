"""A carrier's WebSocket, taken over from the HTTP server that let it in.

A stream is a hundred small messages a second. aiohttp reads and writes them well, through a queue, a future
and a task for each; here each is handled in the very call that brought it, and sent in the call that made it,
which is half of what a call costs otherwise.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from aiohttp import hdrs, web

from sipagent.carrier.peer_socket import keep_little
from sipagent.carrier.web_frames import (
    ABNORMAL,
    NO_CODE,
    NORMAL,
    BrokenFrameError,
    Frame,
    FrameReader,
    accepted_key,
    close_frame,
    ping_frame,
    pong_frame,
    text_frame,
)
from sipagent.errors import MediaStreamError

logger = logging.getLogger(__name__)

MOST_MESSAGE_BYTES = 64 * 1024
"""A message of 20 ms has a few hundred."""
MOST_WAITING = 64
"""Messages that may come before somebody listens; one more ends the socket."""
MOST_UNSENT_BYTES = 4096
"""A third of a second. From there on, what is said waits where it is followed."""
HEARTBEAT_S = 20.0
"""A peer that says nothing for so long is asked; one that does not answer for so long is gone."""
CLOSE_WITHIN_S = 2.0


class CarrierSocket(asyncio.Protocol):
    """An open WebSocket, the server's end. Made by `take_over` alone."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._former = transport.get_protocol()
        """What the HTTP server has there; it must hear of the end."""
        self._frames = FrameReader(MOST_MESSAGE_BYTES)
        self._waiting: deque[bytes] = deque()
        self._readable: asyncio.Future[None] | None = None
        self._take: Callable[[bytes], None] | None = None
        self._gone = asyncio.Event()
        self._unsent = bytearray()
        """What was said in this turn of the loop."""
        self._closing = False
        """A close frame was sent."""
        self._heard = True
        self._timer: asyncio.TimerHandle | None = None
        self.close_code: int | None = None
        """Why it ended: the peer's code, or 1006 when it broke; None while it is open."""
        self.can_send = True
        """Whether what is sent now is on its way at once."""

    # For its owner -----------------------------------------------------------------------------------

    async def receive(self) -> bytes | None:
        """The next message, before somebody listens; None when there will be none. Cancel-safe."""
        while not self._waiting:
            if self.close_code is not None:
                return None
            self._readable = asyncio.get_running_loop().create_future()
            try:
                await self._readable
            finally:
                self._readable = None
        return self._waiting.popleft()

    def listen(self, take: Callable[[bytes], None]) -> None:
        """Give every message to ``take`` from now on, those that wait at once."""
        self._take = take
        while self._waiting:
            take(self._waiting.popleft())

    def send(self, message: bytes, *, urgent: bool = False) -> None:
        """Send a message, before the loop turns, or ``urgent``: before this returns. One to a socket that has
        ended is lost."""
        if self._closing or self.close_code is not None:
            return
        if not self._unsent and not urgent:
            asyncio.get_running_loop().call_soon(self._flush)
        self._unsent += text_frame(message)
        if urgent:
            self._flush()

    async def closed(self) -> None:
        """Return when the socket is closed. Cancel-safe."""
        await self._gone.wait()

    async def close(self, code: int = NORMAL) -> None:
        """Close in order, within `CLOSE_WITHIN_S`. Idempotent; cancelling cuts the peer off."""
        self._say_goodbye(code)
        try:
            async with asyncio.timeout(CLOSE_WITHIN_S):
                await self._gone.wait()
        except TimeoutError:
            self._transport.abort()
            await self._gone.wait()
        except asyncio.CancelledError:
            self._transport.abort()
            raise

    # asyncio.Protocol --------------------------------------------------------------------------------

    def begin(self) -> None:
        """The transport is ours."""
        keep_little(self._transport, MOST_UNSENT_BYTES)
        self._arm()

    def data_received(self, data: bytes) -> None:
        """Frames came, or parts of some."""
        self._heard = True
        try:
            for frame in self._frames.feed(data):
                if frame.kind == "text":
                    self._message(frame.payload)
                else:
                    self._other(frame)
        except BrokenFrameError as error:
            logger.warning("A carrier's socket is closed: %s", error)
            self._broken(error.code)
        except Exception:
            # The wall between calls: what listens is one call's.
            logger.exception("A carrier's socket is closed by a defect of ours")
            self._broken(ABNORMAL)

    def pause_writing(self) -> None:
        """The peer does not take what we send."""
        self.can_send = False

    def resume_writing(self) -> None:
        """It takes it again."""
        self.can_send = True

    def eof_received(self) -> bool:
        """The peer sends nothing more; so do we."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing follows."""
        if self._timer is not None:
            self._timer.cancel()
        if self.close_code is None:
            self.close_code = ABNORMAL
        self._gone.set()
        self._wake()
        self._former.connection_lost(exc)

    # Inside ------------------------------------------------------------------------------------------

    def _message(self, payload: bytes) -> None:
        if self.close_code is not None or self._closing:
            return
        if self._take is not None:
            self._take(payload)
        elif len(self._waiting) < MOST_WAITING:
            self._waiting.append(payload)
            self._wake()
        else:
            raise BrokenFrameError("more messages than are waited for")

    def _other(self, frame: Frame) -> None:
        if frame.kind == "ping" and not self._closing:
            # One that asks and does not read would have its answers pile up here.
            if self.can_send:
                self._transport.write(pong_frame(frame.payload))
        elif frame.kind == "close":
            if self.close_code is None:
                self.close_code = frame.close_code
            self._say_goodbye(frame.close_code)
            self._transport.close()
            self._wake()

    def _flush(self) -> None:
        # What one call has to say at one moment is one write: each costs more than all that was done for it.
        if self._unsent and not self._gone.is_set():
            self._transport.write(bytes(self._unsent))
        self._unsent.clear()

    def _say_goodbye(self, code: int) -> None:
        if not self._closing and not self._gone.is_set():
            self._flush()
            self._closing = True
            known = code == NO_CODE or 1000 <= code < 5000
            self._transport.write(close_frame(code if known else NORMAL))

    def _broken(self, code: int) -> None:
        if self.close_code is None:
            self.close_code = code
        if code != ABNORMAL:
            self._say_goodbye(code)
        self._transport.close()
        self._wake()

    def _wake(self) -> None:
        if self._readable is not None and not self._readable.done():
            self._readable.set_result(None)

    def _arm(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(HEARTBEAT_S, self._look)

    def _look(self) -> None:
        if not self._heard:
            logger.warning("A carrier's socket is dead: nothing came for %g s", 2 * HEARTBEAT_S)
            self._transport.abort()
            return
        self._heard = False
        self._transport.write(ping_frame())
        self._arm()


class TakenOver(web.StreamResponse):
    """What a handler returns whose connection is not HTTP any more: nothing is sent."""

    async def prepare(self, request: web.BaseRequest) -> None:
        """Nothing is sent."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is sent."""


def is_handshake(request: web.Request) -> bool:
    """Whether a request wants to become a WebSocket (RFC 6455 section 4.2.1)."""
    wanted = [each.strip().lower() for each in request.headers.get(hdrs.CONNECTION, "").split(",")]
    return (
        "upgrade" in wanted
        and request.headers.get(hdrs.UPGRADE, "").strip().lower() == "websocket"
        and request.headers.get(hdrs.SEC_WEBSOCKET_VERSION, "").strip() == "13"
    )


def take_over(request: web.Request) -> CarrierSocket:
    """Make a WebSocket of the connection of ``request``, which is a handshake.

    Raises `MediaStreamError` for one that cannot be answered, or whose peer is gone.
    """
    transport = request.transport
    if transport is None or transport.is_closing():
        raise MediaStreamError("the peer left during its handshake")
    accept = accepted_key(request.headers.get(hdrs.SEC_WEBSOCKET_KEY, ""))
    socket = CarrierSocket(transport)
    transport.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept.encode() + b"\r\n\r\n"
    )
    transport.set_protocol(socket)
    socket.begin()
    return socket
