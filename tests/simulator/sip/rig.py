"""An endpoint on loopback with quick timers, and what happened to its calls."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from dataclasses import replace as _replace

from sipagent.errors import SdpError
from sipagent.simulator.sip.call import IncomingSipCall, SipCallListener, SipEnd
from sipagent.simulator.sip.endpoint import SipEndpoint
from sipagent.simulator.sip.message import Response
from sipagent.simulator.sip.settings import ListenAddress, SipSettings, Transport
from sipagent.simulator.sip.transaction import Timers
from tests.simulator.sip.peer import WAIT_S

QUICK = Timers(t1_s=0.02, t2_s=0.08, t4_s=0.1)
"""Gives up after 1.28 seconds."""
STEADY = Timers()
"""The timers of the standard: nothing is repeated while a test runs."""

ANSWER = (
    b"v=0\r\no=- 2 2 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40002 RTP/AVP 0\r\n"
)


@dataclass
class Heard(SipCallListener):
    """Writes down what a call tells."""

    answer_reinvite: bytes | None = None
    refer_status: int = 603
    statuses: list[int] = field(default_factory=list)
    acknowledgements: list[bytes] = field(default_factory=list)
    offers: list[bytes] = field(default_factory=list)
    infos: list[tuple[str, bytes]] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    progress: list[tuple[int, bool]] = field(default_factory=list)
    ends: list[SipEnd] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def progressed(self, response: Response) -> None:
        self.statuses.append(response.status)
        self.changed.set()

    def acknowledged(self, sdp: bytes) -> None:
        self.acknowledgements.append(sdp)
        self.changed.set()

    def reinvited(self, offer: bytes) -> bytes:
        self.offers.append(offer)
        if self.answer_reinvite is None:
            raise SdpError("not now")
        return self.answer_reinvite

    def info_received(self, content_type: str, body: bytes) -> None:
        self.infos.append((content_type, body))

    def refer_requested(self, target_uri: str) -> int:
        self.targets.append(target_uri)
        return self.refer_status

    def refer_progress(self, status: int, *, final: bool) -> None:
        self.progress.append((status, final))
        self.changed.set()

    def ended(self, end: SipEnd) -> None:
        self.ends.append(end)
        self.changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that one of the methods above reports."""
        async with asyncio.timeout(WAIT_S):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


@dataclass
class Rig:
    """The endpoint, its address, and its calls in the order of arrival."""

    endpoint: SipEndpoint
    address: ListenAddress
    calls: list[IncomingSipCall]
    arrived: asyncio.Queue[IncomingSipCall]

    @property
    def remote(self) -> tuple[str, int]:
        return self.address.host, self.address.port

    async def next_call(self) -> tuple[IncomingSipCall, Heard]:
        async with asyncio.timeout(WAIT_S):
            call = await self.arrived.get()
        heard = Heard()
        call.listen(heard)
        return call, heard


@asynccontextmanager
async def endpoint(
    transport: Transport = "udp",
    *,
    timers: Timers = STEADY,
    settings: SipSettings | None = None,
    tls: ssl.SSLContext | None = None,
    client_tls: ssl.SSLContext | None = None,
    take: Callable[[IncomingSipCall], None] | None = None,
) -> AsyncIterator[Rig]:
    """``take`` handles calls at once; otherwise they wait for `Rig.next_call`."""
    calls: list[IncomingSipCall] = []
    arrived: asyncio.Queue[IncomingSipCall] = asyncio.Queue()

    def on_call(call: IncomingSipCall) -> None:
        calls.append(call)
        if take is not None:
            take(call)
        arrived.put_nowait(call)

    sip = SipEndpoint(
        on_call=on_call,
        tls=tls,
        client_tls=client_tls,
        settings=_replace(settings or SipSettings(), timers=timers),
    )
    try:
        address = await sip.listen(ListenAddress(transport=transport, host="127.0.0.1", port=0))
        yield Rig(endpoint=sip, address=address, calls=calls, arrived=arrived)
    finally:
        await sip.aclose()
