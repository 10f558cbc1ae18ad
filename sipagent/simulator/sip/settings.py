"""Addresses to listen on and the numbers an endpoint works with."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

from sipagent.errors import SimulatorError
from sipagent.simulator.sip.transaction import Timers

Transport: TypeAlias = Literal["udp", "tcp", "tls"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenAddress:
    """One address to receive SIP on: ``udp:127.0.0.1:5060``."""

    transport: Transport
    host: str
    """An address of this machine, not a name; IPv6 without brackets."""
    port: int
    """0 lets the system choose; what `SipEndpoint.listen` returns is never 0."""

    @classmethod
    def parse(cls, text: str) -> ListenAddress:
        """Read ``transport:host:port`` (IPv6 hosts in brackets); `SimulatorError` says what is wrong."""
        transport, _, rest = text.partition(":")
        host, _, port = rest.rpartition(":")
        for known in get_args(Transport):
            valid = host and re.fullmatch(r"[0-9]{1,5}", port) and int(port) < 65_536
            if transport.lower() == known and valid:
                return cls(transport=known, host=host.strip("[]"), port=int(port))
        expected = "udp:HOST:PORT, tcp:HOST:PORT or tls:HOST:PORT"
        raise SimulatorError(f"{text!r} is no SIP address: expected {expected}")

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.transport}:{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SipSettings:
    """How an endpoint behaves on the wire."""

    timers: Timers = field(default_factory=Timers)
    contact_user: str = "OAI"
    """User part of our Contact; the real service was seen to use ``OAI``."""
    user_agent: str = "sipagent-simulator"
    advertised_host: str | None = None
    """Host to name in Contact, Via and session descriptions; None finds the one that reaches the peer."""
    max_message_bytes: int = 65_535
    """A longer message ends its connection; a longer datagram is cut, and then answered as malformed."""
    max_connections: int = 1_000
    """Inbound TCP and TLS connections beyond this are closed at once."""
    max_transactions: int = 20_000
    """New server transactions beyond this are answered 503 without remembering them."""
    connect_timeout_s: float = 5.0
    """How long dialling may take to open a TCP or TLS connection."""
