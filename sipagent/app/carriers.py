"""The carriers of one service, put together: their webhooks, their audio sockets, what they do for calls."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from datetime import datetime
from importlib.util import find_spec
from types import TracebackType
from typing import Self

from aiohttp import web

from sipagent.app.desks import Desks
from sipagent.calls import FrontDoor, Recorder, Supervisor
from sipagent.calls.checkpoint import Ringing
from sipagent.calls.endings import Ending, EndReason
from sipagent.calls.incoming import CarrierLeg, IncomingCall
from sipagent.calls.line import BringIn, CarrierSide, Line, WarmOutcome
from sipagent.calls.retention import this_host
from sipagent.calls.shift import Shift
from sipagent.calls.sources import Sources
from sipagent.carrier.asterisk_endpoint import AsteriskEndpoint
from sipagent.carrier.base import LegReport
from sipagent.carrier.endpoint import CarrierEndpoint
from sipagent.carrier.media_endpoint import MediaEndpoint
from sipagent.carrier.pacer import Pacer
from sipagent.carrier.recording import KeptRecording
from sipagent.carrier.reports import LegReports, data_of
from sipagent.carrier.settings import AudioSocketSettings, CarrierSettings
from sipagent.carrier.stream_line import LineOutcome, LineSettings
from sipagent.carrier.tokens import LegToken
from sipagent.carrier.transfers import carrier_side
from sipagent.errors import CallControlRefusedError, UserError, WebhookSignatureError
from sipagent.realtime import TransportConfig
from sipagent.store import CarrierReported, RecordingKept, Store
from sipagent.telemetry import Metrics

logger = logging.getLogger(__name__)

RECORDING_THREADS = 4
"""A second of sound takes a disk a moment."""


class Carriers:
    """Speaks with carriers for one service. Used as an async context manager, inside that of the supervisor;
    leaving it closes audio sockets that are still open.

    Without a configuration of carriers everything is there and answers 404, since one may come.
    """

    def __init__(
        self,
        settings: CarrierSettings | None,
        *,
        supervisor: Callable[[], Supervisor],
        shift: Callable[[], Shift | None],
        recorder: Recorder,
        store: Store,
        metrics: Metrics,
        utc_now: Callable[[], datetime],
        sources: Sources,
    ) -> None:
        """Raises `UserError` for keys that cannot be used, and where a package for them is missing. What
        ``supervisor`` and ``shift`` give is asked for when a call comes."""
        self._supervisor = supervisor
        self._shift = shift
        self._record = recorder.record
        self._store = store
        self._utc_now = utc_now
        self._desks = Desks(settings, utc_now=utc_now)
        self._stack = AsyncExitStack()
        self._pacer = Pacer()
        # No thread is started before one is needed.
        self._recording_threads = ThreadPoolExecutor(RECORDING_THREADS, thread_name_prefix="recordings")
        self._reports = LegReports(record=self._reported, look_up=self._look_up)
        self._endpoint = CarrierEndpoint(
            desk=self._desks.current,
            front=self,
            reports=self._reports,
            metrics=metrics.carriers,
            sources=sources,
            utc_now=utc_now,
        )
        self._media = MediaEndpoint(
            take=self._take,
            read_token=self._read_token,
            lines=LineSettings(
                pacer=self._pacer,
                transport=_transport(),
                kept=self._recording_kept,
                disk=self._recording_threads,
            ),
            metrics=metrics.carriers,
            side_of=self.side_of,
            told=self._line_ended,
            sources=sources,
        )
        metrics.carriers.watch_live_streams(lambda: self._media.live)
        self._audio_socket = None if settings is None else settings.audio_socket
        self._audio_socket_port: int | None = None

    async def __aenter__(self) -> Self:
        """Raises `UserError` where the address for Asterisk cannot be had."""
        async with AsyncExitStack() as stack:
            # Behind the last of the calls there is nothing to be written; and a disk that hangs is left.
            stack.callback(self._recording_threads.shutdown, wait=False)
            stack.enter_context(self._pacer)
            stack.push_async_callback(self._close)
            await self._desks.open()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.__aexit__(exception_type, exception, traceback)

    async def serve(self, app: web.Application, stack: AsyncExitStack) -> None:
        """Serve carriers in ``app``, and an Asterisk at its own address until ``stack`` is left. Raises
        `UserError` where that address cannot be had."""
        self._endpoint.add_to(app)
        self._media.add_to(app)
        wanted = self._audio_socket
        if wanted is None:
            return
        asterisk = AsteriskEndpoint(self._media, wanted.token, asked=self._reports.was_asked)
        asterisk.add_to(app)
        try:
            server = await stack.enter_async_context(asterisk.server(wanted.host, wanted.port))
        except OSError as error:
            raise UserError(
                f"No AudioSocket can be had at {wanted.host}:{wanted.port}: {error.strerror or error}"
            ) from error
        self._audio_socket_port = server.port
        logger.info("Listening for the audio of an Asterisk on port %d", server.port)

    @property
    def audio_socket_port(self) -> int | None:
        """The TCP port for an Asterisk; None without one."""
        return self._audio_socket_port

    @asynccontextmanager
    async def change(
        self, settings: CarrierSettings | None, sources: Sources
    ) -> AsyncIterator[Callable[[], None]]:
        """Make ready for ``settings``. What is given lets them hold from the next webhook on, at once; left
        without its being called, nothing has changed. Raises `UserError` as the constructor does."""
        async with self._desks.change(settings) as take_place:

            def take_effect() -> None:
                take_place()
                self._endpoint.desk = self._desks.current
                self._endpoint.sources = self._media.sources = sources
                if _listen_of(settings) != self._audio_socket:
                    logger.warning("`carriers.asterisk` has changed in the file; it counts after a restart")

            yield take_effect

    async def answered(self) -> None:
        """Wait until carriers have asked what becomes of callers whose calls have just ended here: a few
        seconds at most."""
        await self._reports.questions_asked()

    # What calls ask for ------------------------------------------------------------------------------

    def leg_of(self, headers: Sequence[tuple[str, str]]) -> CarrierLeg | None:
        """The caller's leg that SIP ``headers`` vouch for; None where they vouch for none."""
        desk = self._desks.current
        if desk is None:
            return None
        return desk.tokens.leg_of(headers, self._utc_now().timestamp())

    def side_of(self, leg: CarrierLeg) -> CarrierSide | None:
        """What the carrier of ``leg`` does for it; None where it has no API that we know how to use."""
        with self._side_now(leg) as side:
            return None if side is None else _Side(leg, self._side_now)

    @contextmanager
    def _side_now(self, leg: CarrierLeg) -> Iterator[CarrierSide | None]:
        """By the desk of the moment, which stays open meanwhile."""
        desk = self._desks.current
        if desk is None:
            yield None
            return
        with desk.used():
            yield carrier_side(desk, self._reports, leg, self._utc_now)

    # What carriers ask for (`FrontDoorView`) ---------------------------------------------------------

    def door(self) -> FrontDoor:
        """Who answers what, at present."""
        return self._supervisor().current.door

    async def refuse(self, call: IncomingCall, received_at: float, line: Line) -> None:
        """See `FrontDoorView.refuse`."""
        await self._take(call, received_at, line=line)

    async def _take(self, call: IncomingCall, received_at: float, *, line: Line) -> bool:
        supervisor, shift, holding = self._supervisor(), self._shift(), None
        if supervisor.knows(call):
            return False
        if shift is not None:
            # Others must know that it has a worker, though they can do nothing for it but end its record.
            holding = await shift.claim(Ringing(incoming=call, received_at=self._utc_now()))
            if holding is None:
                return False
        leaving = shift is not None and shift.leaving
        return supervisor.take(call, received_at, holding, line=line, leaving=leaving)

    def _read_token(self, text: str, now_s: float) -> LegToken:
        if self._desks.current is None:
            raise WebhookSignatureError("No carrier is configured.")
        return self._desks.current.tokens.read(text, now_s)

    # What is written down ----------------------------------------------------------------------------

    def _reported(self, report: LegReport) -> None:
        self._record(
            CarrierReported(
                carrier=report.carrier,
                carrier_call_id=report.carrier_call_id,
                parent_call_id=report.parent_call_id,
                at=report.at,
                kind=report.kind,
                data=data_of(report),
                event_id=report.event_id,
            )
        )

    async def _look_up(self, carrier: str, carrier_call_id: str) -> Iterable[CarrierReported]:
        return await self._store.carrier_reports(carrier_call_id, carrier=carrier)

    def _line_ended(self, token: LegToken, outcome: LineOutcome, ending: Ending | None) -> None:
        left = ending is not None and ending.reason is EndReason.TRANSFERRED
        on_the_line = outcome != "ended" or (ending is not None and ending.hang_up)
        if on_the_line and not left:
            self._reports.expect_question(token)
        # Who was sent to somebody else is not to be hung up because their audio left us.
        self._reports.line_ended(token, "transferred" if left else outcome, self._utc_now())

    def _recording_kept(self, kept: KeptRecording) -> None:
        self._record(
            RecordingKept(
                call_id=kept.call_id,
                path=str(kept.path),
                host=this_host(),
                started_at=kept.started_at,
                seconds=kept.seconds,
                consent=kept.consent,
                keep_until=kept.keep_until,
            )
        )

    async def _close(self) -> None:
        await self._endpoint.close()
        await self._desks.close()


class _Side:
    """What the carrier of one leg does for it, by the configuration that holds when it is asked."""

    def __init__(
        self, leg: CarrierLeg, find: Callable[[CarrierLeg], AbstractContextManager[CarrierSide | None]]
    ) -> None:
        self._leg = leg
        self._find = find

    async def bring_in(self, person: BringIn, moving: Callable[[], None]) -> WarmOutcome:
        """See `CarrierSide.bring_in`."""
        with self._now() as side:
            return await side.bring_in(person, moving)

    async def call_off(self, *, caller_is_here: bool) -> None:
        """See `CarrierSide.call_off`."""
        with self._find(self._leg) as side:
            if side is not None:
                await side.call_off(caller_is_here=caller_is_here)

    async def send_to(self, target_uri: str) -> None:
        """See `CarrierSide.send_to`."""
        with self._now() as side:
            await side.send_to(target_uri)

    async def release(self) -> None:
        """See `CarrierSide.release`."""
        with self._now() as side:
            await side.release()

    @contextmanager
    def _now(self) -> Iterator[CarrierSide]:
        with self._find(self._leg) as side:
            if side is None:
                raise CallControlRefusedError(
                    "The carrier of this call is not in the configuration any more."
                )
            yield side


def _transport() -> TransportConfig | None:
    """The fastest there is: a socket that carries audio has a hundred messages a second."""
    return None if find_spec("picows") is None else {"library": "picows"}


def _listen_of(settings: CarrierSettings | None) -> AudioSocketSettings | None:
    return None if settings is None else settings.audio_socket
