"""One WebSocket, behind the few things a model needs of it.

Carried by the `websockets` package, or by another where the configuration names it; each has a file of its
own, imported when a socket is opened by it.
"""

from __future__ import annotations

import abc
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache

from sipagent.errors import AttachError, AttachNotFoundError, UserError
from sipagent.realtime.model import TransportConfig

MAXIMUM_MESSAGE_BYTES = 8 * 1024 * 1024
ABNORMAL_CLOSE = 1006
"""RFC 6455 section 7.1.5: the connection ended without a close frame."""
NO_CODE = 1005
"""The same section: the close frame had no code."""

Hold = Callable[[], Awaitable[object]]
"""Returns when a handshake may begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """How a socket ended."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a session is, and the headers that let us in."""

    url: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportLimits:
    """A transport's configuration with its defaults put in. Times in seconds; None switches off."""

    max_size: int | None
    handshake_timeout: float
    ping_interval: float | None
    ping_timeout: float | None
    close_timeout: float


class Socket(abc.ABC):
    """An open WebSocket that carries text."""

    __slots__ = ()

    @abc.abstractmethod
    async def send(self, text: str) -> None:
        """Send one message; raises `ConnectionLostError` when the socket is closed."""

    @abc.abstractmethod
    async def receive(self) -> bytes | Closed:
        """The next message as bytes, be it text or binary, or how the socket ended, again and again. One
        receiver at a time. Cancel-safe."""

    def receive_now(self) -> bytes | None:
        """The next message if it has come already; None otherwise, and when this socket cannot tell.

        For a busy reader: a coroutine for each message is a good part of what a message costs.
        """
        return None

    def offer_to(self, taker: Callable[[bytes], bool] | None) -> None:
        """Offer messages to ``taker`` the moment they come, as long as nothing waits before them: what it
        takes is not received any more. It must not raise. A socket that cannot do that does nothing."""
        return

    @abc.abstractmethod
    async def close(self) -> None:
        """Close in order, within the transport's close timeout. Idempotent.

        Cancel-safe: a peer that is still awaited then is cut off.
        """


def can_hold(transport: TransportConfig) -> bool:
    """Whether the package that ``transport`` names lets us wait between connecting and the handshake."""
    return transport.get("library", "websockets") == "websockets"


async def open_socket(address: Address, transport: TransportConfig, *, hold: Hold | None = None) -> Socket:
    """Connect and shake hands, by the package that ``transport`` names; with ``hold``, which not every
    package has a place for (`can_hold`), the handshake waits until that returns.

    Raises `AttachNotFoundError` for 404, `AttachError` for anything else, `UserError` for a package that is
    not installed. Cancel-safe: nothing stays open.
    """
    limits = TransportLimits(
        max_size=transport.get("max_size", MAXIMUM_MESSAGE_BYTES),
        handshake_timeout=transport.get("handshake_timeout", 10.0),
        ping_interval=transport.get("ping_interval", 20.0),
        ping_timeout=transport.get("ping_timeout", 20.0),
        close_timeout=transport.get("close_timeout", 2.0),
    )
    context: ssl.SSLContext | None = None
    if address.url.startswith("wss:"):
        context = transport.get("ssl_context") or _system_trust()
    match transport.get("library", "websockets"):
        case "websockets":
            from sipagent.realtime.websockets_connection import open_websockets_socket

            return await open_websockets_socket(address, limits, context, hold=hold)
        case "picows":
            assert hold is None, "it was asked"
            try:
                from sipagent.realtime.picows_connection import open_picows_socket
            except ImportError as error:
                raise UserError(
                    f"the transport library picows cannot be used ({error}); install sipagent[picows]"
                ) from error
            return await open_picows_socket(address, limits, context)
        case other:
            raise UserError(f"there is no transport library {other!r}; use websockets or picows")


def refused(status: int) -> AttachError:
    """What a handshake that was answered ``status`` means."""
    kind = AttachNotFoundError if status == 404 else AttachError
    return kind(f"the handshake was answered {status}{_hint(status)}", status=status)


def _hint(status: int) -> str:
    if status in (401, 403):
        return "; the key must belong to the project that owns the call"
    return ""


@cache
def _system_trust() -> ssl.SSLContext:
    # Reading the authorities takes milliseconds: once, not for every call.
    return ssl.create_default_context()
