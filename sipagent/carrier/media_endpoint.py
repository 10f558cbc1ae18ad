"""Where carriers bring their callers' audio, over WebSockets as Twilio and Telnyx do, and what leads each."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol

from aiohttp import web

from sipagent.calls.endings import Ending
from sipagent.calls.incoming import CarrierLeg, IncomingCall
from sipagent.calls.line import CarrierSide
from sipagent.calls.sources import Sources
from sipagent.carrier import frames_telnyx, frames_twilio
from sipagent.carrier.stream import MediaStream, StreamFormat
from sipagent.carrier.stream_line import LineOutcome, LineSettings, StreamLine
from sipagent.carrier.tokens import LegToken
from sipagent.carrier.web_socket import CarrierSocket, TakenOver, is_handshake, take_over
from sipagent.carrier.web_stream import MessageReader, MessageWriter, WebStream, first_start
from sipagent.clock import unix_s
from sipagent.errors import MediaStreamError, WebhookSignatureError
from sipagent.identifiers import CallId

logger = logging.getLogger(__name__)

TOKEN_PARAMETER = "t"  # noqa: S105 - the name of a parameter  # nosec B105
MOST_STREAMS = 1000
"""At once, in one process."""
MOST_STARTING = 64
"""Sockets of one source that have not said whose they are: carriers say it at once."""
BAD_TOKEN_CLOSE = 4401
"""Codes from 4000 on are for applications (RFC 6455 section 7.4.2)."""
BAD_START_CLOSE = 4400
DEFECT_CLOSE = 1011

CarrierSideOf = Callable[[CarrierLeg], CarrierSide | None]
"""What the carrier of a leg does for us besides."""


class TakeCall(Protocol):
    """Has a call answered, as `Supervisor.take`."""

    async def __call__(self, call: IncomingCall, received_at: float, *, line: StreamLine) -> bool:
        """Begin to answer, and return at once; False for a call that was taken before, whose ``line`` is not
        looked at."""
        ...


class StreamMetrics(Protocol):
    """What is counted of streams; see `sipagent.telemetry`."""

    def carrier_webhook(self, carrier: str, result: str) -> None:
        """A request of a carrier came, and this became of it."""
        ...

    def stream_frames_dropped(self, direction: str, frames: int = 1) -> None:
        """So many frames were lost on their way ``to_model`` or ``to_carrier``, because somebody was too
        slow."""
        ...


class _Opened(NamedTuple):
    """A carrier's socket that is open, and how it came."""

    carrier: str
    socket: CarrierSocket
    request: web.Request
    source: str | None
    received_at: float


class MediaEndpoint:
    """Answers the audio sockets of carriers. One for each service."""

    def __init__(
        self,
        *,
        take: TakeCall,
        read_token: Callable[[str, float], LegToken],
        lines: LineSettings,
        metrics: StreamMetrics,
        side_of: CarrierSideOf | None = None,
        told: Callable[[LegToken, LineOutcome, Ending | None], None] | None = None,
        sources: Sources | None = None,
    ) -> None:
        """``read_token`` is `LegTokens.read`. ``told`` hears how a call went before its stream is closed.
        ``sources`` tells senders apart, by default behind proxies in local networks."""
        self._take = take
        self._read_token = read_token
        self._lines = lines
        self._metrics = metrics
        self._side_of = side_of
        self._told = told
        self.sources = sources or Sources()
        """Replaced as a whole when the configuration changes."""
        self._starting: Counter[str] = Counter()
        self._live = 0

    @property
    def live(self) -> int:
        """Streams that are open now."""
        return self._live

    def add_to(self, app: web.Application, *, twilio: bool = True, telnyx: bool = True) -> None:
        """Answer in ``app``."""
        if twilio:
            app.router.add_get("/carriers/twilio/media", self._twilio)
        if telnyx:
            app.router.add_get("/carriers/telnyx/media", self._telnyx)

    # WebSockets --------------------------------------------------------------------------------------

    async def _twilio(self, request: web.Request) -> web.StreamResponse:
        return await self._web(
            request, "twilio", frames_twilio.read, frames_twilio.TwilioWriter, frames_twilio.LEAD_MS
        )

    async def _telnyx(self, request: web.Request) -> web.StreamResponse:
        reader = frames_telnyx.TelnyxReader(StreamFormat())
        return await self._web(
            request, "telnyx", reader.read, frames_telnyx.TelnyxWriter, frames_telnyx.LEAD_MS
        )

    async def _web(
        self,
        request: web.Request,
        carrier: str,
        read: MessageReader,
        write: Callable[..., MessageWriter],
        lead_ms: int,
    ) -> web.StreamResponse:
        if not is_handshake(request):
            raise web.HTTPUpgradeRequired(text="An audio socket is opened as a WebSocket.\n")
        source = self.sources.source_of(request.remote, request.headers.getall("X-Forwarded-For", ()))
        if self._live >= MOST_STREAMS or (source is not None and self._starting[source] >= MOST_STARTING):
            self._metrics.carrier_webhook(carrier, "limited")
            raise web.HTTPServiceUnavailable(text="Too many audio sockets are open.\n")
        received_at = asyncio.get_running_loop().time()
        with self.counted():
            try:
                socket = take_over(request)
            except MediaStreamError as error:
                raise web.HTTPBadRequest(text=f"{error}\n") from error
            opened = _Opened(carrier, socket, request, source, received_at)
            try:
                await self._lead(opened, read, write, lead_ms)
            except Exception:
                # The wall between calls; and nobody could be answered over what is no HTTP any more.
                logger.exception("A call of an audio socket of %s ended by a defect of ours", carrier)
            finally:
                await socket.close(code=DEFECT_CLOSE)
        return TakenOver()

    async def _lead(
        self, opened: _Opened, read: MessageReader, write: Callable[..., MessageWriter], lead_ms: int
    ) -> None:
        """Lead what comes over a socket that is open, until it is over."""
        carrier, socket = opened.carrier, opened.socket
        try:
            with self._waits_for_start(opened.source):
                start = await first_start(socket, read)
        except MediaStreamError as error:
            logger.warning("An audio socket of %s is closed: %s", carrier, error)
            self._metrics.carrier_webhook(carrier, "bad_body")
            await socket.close(code=BAD_START_CLOSE)
            return
        given = start.parameters.get(TOKEN_PARAMETER) or opened.request.query.get(TOKEN_PARAMETER, "")
        token = self._token(carrier, start.carrier_call_id, given)
        if token is None:
            await socket.close(code=BAD_TOKEN_CLOSE)
            return
        stream = WebStream(
            socket, start, read=read, writer=write(start), lead_ms=lead_ms, disordered=carrier == "telnyx"
        )
        call_id = CallId(f"{carrier}:{token.leg.carrier_call_id}:{token.step}")
        async with asyncio.TaskGroup() as group:
            group.create_task(stream.run(), name=f"carrier's socket of {call_id}")
            await self.serve(stream, call_id, token, opened.received_at)

    def _token(self, carrier: str, carrier_call_id: str, given: str) -> LegToken | None:
        """The token of a stream, or None for one that is not ours to serve."""
        try:
            token = self._read_token(given, unix_s())
        except WebhookSignatureError as error:
            logger.warning("An audio socket of %s is refused: %s", carrier, error)
            self._metrics.carrier_webhook(carrier, "bad_signature")
            return None
        leg = token.leg
        if token.offer is not None or leg.carrier != carrier or leg.carrier_call_id != carrier_call_id:
            logger.warning("An audio socket of %s is refused: its token is of another call", carrier)
            self._metrics.carrier_webhook(carrier, "replayed")
            return None
        return token

    # Calls -------------------------------------------------------------------------------------------

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count a stream that is open meanwhile."""
        self._live += 1
        try:
            yield
        finally:
            self._live -= 1

    @contextmanager
    def _waits_for_start(self, source: str | None) -> Iterator[None]:
        """Count a socket that says nothing meanwhile; those of nobody known (None) are not counted."""
        if source is None:
            yield
            return
        self._starting[source] += 1
        try:
            yield
        finally:
            self._starting[source] -= 1
            if not self._starting[source]:
                del self._starting[source]

    def count(self, carrier: str, result: str) -> None:
        """Count a request of a carrier's."""
        self._metrics.carrier_webhook(carrier, result)

    async def serve(
        self,
        stream: MediaStream,
        call_id: CallId,
        token: LegToken,
        received_at: float,
        ended: Callable[[LineOutcome], None] | None = None,
    ) -> LineOutcome | None:
        """Have the call of a stream answered, and be its line until it is over. ``ended`` hears how it went
        before the stream is closed."""
        leg = token.leg
        line = StreamLine(
            stream,
            self._lines,
            call_id=call_id,
            carrier=None if self._side_of is None else self._side_of(leg),
            told=self._teller(token, ended),
        )
        call = IncomingCall(
            call_id=call_id,
            webhook_id=f"{call_id}:{stream.start.stream_id}",
            caller=leg.caller,
            dialled=leg.dialled,
            sip_call_id=None,
            sip_headers=(),
            media_security=None,
            line="stream",
            leg=leg,
        )
        if not await self._take(call, received_at, line=line):
            logger.warning("A second audio socket of the same call is closed")
            self._metrics.carrier_webhook(leg.carrier, "duplicate")
            line.bridge.abandon()
            await stream.close()
            return None
        self._metrics.carrier_webhook(leg.carrier, "ok")
        try:
            await line.run()
        finally:
            caller, agent = line.bridge.lost_frames
            if caller:
                self._metrics.stream_frames_dropped("to_model", caller)
            if agent:
                self._metrics.stream_frames_dropped("to_carrier", agent)
        return line.outcome

    def _teller(
        self, token: LegToken, ended: Callable[[LineOutcome], None] | None
    ) -> Callable[[LineOutcome, Ending | None], None]:
        def tell(outcome: LineOutcome, ending: Ending | None) -> None:
            if ended is not None:
                ended(outcome)
            if self._told is not None:
                self._told(token, outcome, ending)

        return tell
