"""A pretended carrier: numbers, legs, the requests about them, and the ports it listens on."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Literal, Self

import aiohttp
from aiohttp import web

from sipagent import clock
from sipagent.simulator.carrier.announcer import Announcer
from sipagent.simulator.carrier.calls import CarrierCall
from sipagent.simulator.carrier.conference import Member, Room, RoomEvent
from sipagent.simulator.carrier.correspondence import Correspondence
from sipagent.simulator.carrier.desk import Fetch
from sipagent.simulator.carrier.dialect import Dialect, LegReport
from sipagent.simulator.carrier.faults import CarrierFaults
from sipagent.simulator.carrier.flow import Flow, Instruction
from sipagent.simulator.carrier.leg import Leg
from sipagent.simulator.carrier.network import TelephoneNetwork
from sipagent.simulator.carrier.options import CarrierOptions
from sipagent.simulator.carrier.posting import (
    Exchange,
    document_of,
    form_request,
)
from sipagent.simulator.carrier.stream import MediaStream
from sipagent.simulator.carrier.subscribers import Act
from sipagent.simulator.carrier.switchboard import Switchboard
from sipagent.simulator.carrier.verbs import DialTarget, Document, ReportTo, StreamTarget
from sipagent.simulator.listening import serve_http
from sipagent.simulator.phone.settings import Say
from sipagent.simulator.rtp import Pacer
from sipagent.simulator.sip.call import IncomingSipCall
from sipagent.simulator.speech import VoiceLike
from sipagent.simulator.voice import Voice
from sipagent.simulator.wav import read_wav_as_pcmu

_log = logging.getLogger(__name__)


class PretendedCarrier(ABC):
    """What Twilio and Telnyx have in common, on this machine.

    ``async with PretendedTwilio(TwilioOptions(...)) as twilio:`` listens until the block is left; leaving
    ends what is still up. One carrier is entered once. Raises `SimulatorError` on entry when an address
    cannot be had. Everything is for one event loop.
    """

    def __init__(self, options: CarrierOptions, dialect: Dialect) -> None:
        self.options = options
        self.webhook_url = options.webhook_url
        """Where calls are announced; may be set at any time."""
        self.faults = options.faults
        """On for every call that begins from now on."""
        self.rooms: dict[str, Room] = {}
        """Conferences that are up, by name."""
        self.refers: Literal["dial", "decline"] = options.refers
        self.http: tuple[str, int] = (options.http_host, options.http_port)
        """Where the REST API is bound, once entered."""
        self._dialect = dialect
        self._pacer = Pacer()
        self.announcer = Announcer(self._pacer)
        self.network = TelephoneNetwork(options, pacer=self._pacer, on_call=self._take_telephone)
        """Its ``numbers`` may be changed at any time."""
        self.switchboard = Switchboard(options, dialect, self.network, forget=self._forget)
        self._voice: VoiceLike = options.voice or Voice("tones")
        self.mail = Correspondence(dialect, spawn=self.spawn)
        self._books = _Books()
        self._exit = AsyncExitStack()

    @property
    def calls(self) -> list[CarrierCall]:
        """The calls, in order, with their records; of too many, the oldest that are over are forgotten."""
        return self.switchboard.calls

    @property
    def api_base_url(self) -> str:
        """Where the REST API is: the address that stands for ``https://api.twilio.com``."""
        host, port = self.http
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """The latest 5,000 requests to the service, with what came of them."""
        return self.mail.exchanges

    def exchanges_for(self, purpose: str) -> list[Exchange]:
        """Those with one purpose: ``voice``, ``action``, ``report``, ``refer``, ``whisper``, ``event``, …"""
        return [each for each in self.exchanges if each.request.purpose == purpose]

    # Calls

    async def call(
        self,
        *,
        caller: str = "+15550100123",
        to: str = "+15550100100",
        does: Sequence[Act] = (),
        faults: str = "",
    ) -> CarrierCall:
        """Somebody calls ``to``, a number of the service's; returns at once, while it is announced.

        The caller does what ``does`` says once they are connected, and listens then; `CarrierCall.caller` can
        be moved besides. ``faults`` are on beside the carrier's own. Raises `SimulatorError` for faults
        that do not exist.
        """
        both = self.faults | CarrierFaults.parse(faults)
        party = self.network.caller(does)
        call = self.switchboard.take(party, owner=self, caller=caller, called=to, faults=both)
        call.leg.extra["will_say"] = "\n".join(act.text for act in does if isinstance(act, Say))
        self._receive(call)
        return call

    async def call_out(
        self, to: str, *, caller: str, faults: CarrierFaults | None = None, report_to: ReportTo | None = None
    ) -> CarrierCall:
        """A leg of the carrier's own to ``to``, not called yet: what the REST API makes."""
        return await self.switchboard.call_out(
            DialTarget(address=to, report_to=report_to),
            owner=self,
            caller=caller,
            faults=self.faults if faults is None else faults,
        )

    def find(self, sid: str) -> Leg | None:
        """A leg by its identifier."""
        return self.switchboard.find(sid)

    def call_of(self, leg: Leg) -> CarrierCall:
        """The call a leg belongs to."""
        return self.switchboard.call_of(leg)

    @abstractmethod
    def _receive(self, call: CarrierCall) -> None:
        """A call came in: see to it."""

    @abstractmethod
    def _routes(self) -> list[web.RouteDef]:
        """The REST API."""

    # Start and stop

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            http = await stack.enter_async_context(
                aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
            )
            self.mail.open(http, self.options)
            await stack.enter_async_context(self._pacer)
            await stack.enter_async_context(self.network)
            await self._listen(stack)
            stack.push_async_callback(self._end_calls)
            self._exit = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._exit.aclose()

    async def _listen(self, stack: AsyncExitStack) -> None:
        application = web.Application()
        application.add_routes(self._routes())
        self.http = await serve_http(
            application, host=self.options.http_host, port=self.options.http_port, until=stack
        )

    async def _end_calls(self) -> None:
        for room in list(self.rooms.values()):
            room.end()
        legs = [leg for call in self.calls for leg in call.legs]
        for leg in legs:
            leg.end()
        tasks = list(self._books.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for leg in legs:
            await leg.party.aclose()

    # FlowDesk

    async def speak(self, text: str) -> bytes:
        """As in `FlowDesk`."""
        return await self._voice.speak(text)

    async def sound_of(self, url: str, *, leg: Leg) -> bytes:
        """As in `FlowDesk`."""
        request = form_request("sound", "GET", url, {})
        return read_wav_as_pcmu(document_of(await self.mail.send(request, leg=leg)))

    async def fetch(self, leg: Leg, fetch: Fetch) -> Document:
        """As in `FlowDesk`."""
        return await self.mail.ask(leg, fetch)

    async def dial(self, parent: Leg, target: DialTarget, *, caller_id: str | None) -> Leg:
        """As in `FlowDesk`."""
        return await self.switchboard.dial(parent, target, owner=self, caller_id=caller_id)

    async def whisper(self, leg: Leg, fetch: Fetch) -> bool:
        """As in `FlowDesk`."""
        flow = self._books.new_flow(leg, self, ends_leg=False)
        await flow.run(fetch)
        self._books.flows.pop(leg.sid, None)
        return not leg.is_over

    def room(self, name: str) -> Room:
        """As in `FlowDesk`."""
        if name not in self.rooms:
            self.rooms[name] = Room(
                sid=self._dialect.new_sid("conference"),
                name=name,
                pacer=self._pacer,
                announcer=self.announcer,
                listener=self,
            )
        return self.rooms[name]

    def stream(self, leg: Leg, target: StreamTarget) -> MediaStream:
        """As in `FlowDesk`."""
        stream = MediaStream(
            leg,
            self._dialect.frames(leg, target),
            url=target.url,
            parameters=dict(target.parameters),
            headers=self._dialect.stream_headers(leg, target),
            http=self.mail.http,
            pacer=self._pacer,
            tls=self.options.client_tls,
        )
        self.call_of(leg).streams.append(stream.record)
        return stream

    def report_stream(
        self, leg: Leg, report_to: ReportTo | None, event: str, *, stream_id: str, name: str, error: str = ""
    ) -> None:
        """As in `FlowDesk`."""
        if report_to is not None:
            parameters = self._dialect.stream_parameters(
                leg, event, stream_id=stream_id, name=name, error=error
            )
            self.mail.report(leg, report_to, parameters, last=event != "stream-started")

    def dial_parameters(self, child: Leg | None, status: str, *, bridged: bool) -> dict[str, str]:
        """As in `FlowDesk`."""
        return self._dialect.dial_parameters(child, status, bridged=bridged)

    def spawn(self, work: Callable[[], Coroutine[Any, Any, None]], *, name: str) -> asyncio.Task[None]:
        """As in `FlowDesk`."""
        # Owned here and cancelled by `_end_calls`: a task group would tie the carrier to the one task that
        # entered it.
        task = asyncio.get_running_loop().create_task(_boundary(work, name=name), name=name)
        self._books.tasks.add(task)
        task.add_done_callback(self._books.tasks.discard)
        return task

    # What legs and rooms report

    def leg_changed(self, leg: Leg, event: str) -> None:
        """As in `LegOwner`."""
        if event == "completed":
            flow = self._books.flows.pop(leg.sid, None)
            if flow is not None:
                flow.leg_ended()
            self.spawn(leg.party.aclose, name=f"release of {leg.sid}")
        if leg.report_to is not None and event in leg.report_to.events:
            report = LegReport(event=event, sequence=leg.times.reports, at=clock.utc_now())
            leg.times.reports += 1
            parameters = self._dialect.report_parameters(leg, report)
            self.mail.report(leg, leg.report_to, parameters, last=event == "completed")

    def room_changed(self, room: Room, event: RoomEvent, member: Member | None, *, reason: str = "") -> None:
        """As in `RoomListener`."""
        if event == "end":
            self.rooms.pop(room.name, None)
        if room.report_to is None or event not in room.report_to.events:
            return
        room.sequence += 1
        parameters = self._dialect.room_parameters(room, event, member, reason)
        leg = member.leg if member is not None else self._books.last_member.get(room.sid)
        if leg is not None:
            self._books.last_member[room.sid] = leg
            self.mail.report(leg, room.report_to, parameters, last=event == "end")

    # Legs

    def _take_telephone(self, sip: IncomingSipCall) -> None:
        self.spawn(lambda: self._answer_telephone(sip), name="call of a telephone")

    async def _answer_telephone(self, sip: IncomingSipCall) -> None:
        call = await self.switchboard.take_telephone(sip, owner=self, faults=self.faults)
        if call is not None:
            self._receive(call)

    def _forget(self, call: CarrierCall) -> None:
        """Keep nothing of a call that is over."""
        for leg in call.legs:
            self.mail.forget(leg)

    def run_flow(self, leg: Leg, instruction: Instruction, *, base_url: str = "") -> None:
        """Let ``leg`` do ``instruction``, instead of what it is doing."""
        flow = self._books.flows.get(leg.sid)
        if flow is not None:
            flow.redirect(instruction)
            return
        if leg.facts.parent_sid is not None:
            leg.taken = True
            leg.release_audio()
            leg.timeline.changes.announce()
        flow = self._books.new_flow(leg, self, base_url=base_url)
        self.spawn(lambda: flow.run(instruction), name=f"flow of {leg.sid}")


class _Books:
    """What a carrier keeps."""

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[None]] = set()
        self.flows: dict[str, Flow] = {}
        self.last_member: dict[str, Leg] = {}

    def new_flow(
        self, leg: Leg, desk: PretendedCarrier, *, base_url: str = "", ends_leg: bool = True
    ) -> Flow:
        flow = Flow(leg, desk, base_url=base_url, ends_leg=ends_leg)
        self.flows[leg.sid] = flow
        return flow


async def _boundary(work: Callable[[], Coroutine[Any, Any, None]], *, name: str) -> None:
    """The wall around one call: what breaks inside it hurts no other."""
    try:
        await work()
    except Exception:  # noqa: BLE001 - the wall between calls
        _log.exception("%s broke", name)
