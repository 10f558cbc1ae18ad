"""Phones that call each other over real sockets."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trustme

from sipagent.simulator.phone import Phone, PhoneCall, PhoneSettings, Step
from sipagent.simulator.sip.settings import ListenAddress, Transport
from sipagent.simulator.voice import Voice

QUICK = PhoneSettings(turn_gap_ms=400, patience_s=10.0)
DEADLINE_S = 40
SPOKEN_RMS = 300
"""A recording in which somebody spoke for a good part is louder than this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """What two phones need for TLS."""

    server: ssl.SSLContext
    client: ssl.SSLContext

    @classmethod
    def make(cls) -> Certificates:
        authority = trustme.CA()
        server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1").configure_cert(server)
        client = ssl.create_default_context()
        authority.configure_trust(client)
        return cls(server=server, client=client)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two phones."""

    ann: Phone
    ben: Phone

    @property
    def target(self) -> str:
        """Ben's address."""
        return address_of(self.ben)

    async def connected(self, says: Sequence[str] = ()) -> tuple[PhoneCall, PhoneCall]:
        """A call from Ann to Ben, answered, seen from both ends."""
        async with asyncio.timeout(DEADLINE_S):
            call = await self.ann.dial(self.target, says=says)
            await call.answered()
            other = await self.ben.next_call()
            await other.answered()
        return call, other


def address_of(phone: Phone) -> str:
    """The URI at which a phone can be called."""
    address = phone.address
    return f"sip:ben@127.0.0.1:{address.port};transport={address.transport}"


@asynccontextmanager
async def pair(
    *,
    transport: Transport = "udp",
    ben_does: Sequence[Step] = (),
    auto_answer: bool = True,
    settings: PhoneSettings = QUICK,
    ben_settings: PhoneSettings | None = None,
) -> AsyncIterator[Pair]:
    """Two phones that can call each other."""
    certificates = Certificates.make() if transport == "tls" else None
    async with (
        await Phone.open(
            voice=Voice("tones"),
            listen=ListenAddress(transport=transport, host="127.0.0.1", port=0),
            tls=None if certificates is None else certificates.server,
            client_tls=None if certificates is None else certificates.client,
            steps_when_called=ben_does,
            auto_answer=auto_answer,
            settings=ben_settings or settings,
        ) as ben,
        await Phone.open(
            voice=Voice("tones", speaker="caller"),
            client_tls=None if certificates is None else certificates.client,
            settings=settings,
        ) as ann,
    ):
        yield Pair(ann=ann, ben=ben)
