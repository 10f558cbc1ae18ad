"""One WebSocket, behind the few things a model needs of it.

The only file that knows the `websockets` package: its exceptions end here. It is called through the module,
so that a test may replace ``websockets.connect``.
"""

from __future__ import annotations

import asyncio
import inspect
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import quote, urlsplit

import websockets
import websockets.exceptions

from sipagent import __version__
from sipagent.errors import AttachError, AttachNotFoundError, ConnectionLostError, UserError
from sipagent.realtime.model import ApiKey, RealtimeModelConfig, TransportConfig

DEFAULT_BASE_URL = "https://api.openai.com/v1"
MAXIMUM_MESSAGE_BYTES = 8 * 1024 * 1024
ABNORMAL_CLOSE = 1006
"""RFC 6455 section 7.1.5: the connection ended without a close frame."""


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


class Socket:
    """An open WebSocket that carries text."""

    def __init__(self, connection: Any) -> None:
        """``connection`` is what ``websockets.connect`` gave."""
        self._connection = connection

    async def send(self, text: str) -> None:
        """Send one message; raises `ConnectionLostError` when the socket is closed."""
        try:
            await self._connection.send(text)
        except (websockets.exceptions.ConnectionClosed, OSError) as error:
            raise ConnectionLostError("the socket is closed") from error

    async def receive(self) -> str | bytes | Closed:
        """The next message, or how the socket ended. Cancel-safe."""
        try:
            message: str | bytes = await self._connection.recv()
        except websockets.exceptions.ConnectionClosed as error:
            frame = error.rcvd
            if frame is None:
                return Closed(code=ABNORMAL_CLOSE, reason="")
            return Closed(code=frame.code, reason=frame.reason)
        except OSError as error:
            return Closed(code=ABNORMAL_CLOSE, reason=type(error).__name__)
        return message

    async def close(self) -> None:
        """Close in order, within the transport's close timeout. Idempotent.

        Cancel-safe: a peer that is still awaited then is cut off.
        """
        try:
            await self._connection.close()
        except asyncio.CancelledError:
            self._connection.transport.abort()
            raise


async def open_socket(address: Address, transport: TransportConfig) -> Socket:
    """Connect and shake hands.

    Raises `AttachNotFoundError` for 404, `AttachError` for anything else. Cancel-safe: nothing stays open.
    """
    options: dict[str, Any] = {
        "additional_headers": dict(address.headers),
        "user_agent_header": f"sipagent/{__version__}",
        # Compression costs a window of memory for each call and time for each message; both are small.
        "compression": None,
        "proxy": None,
        "max_size": transport.get("max_size", MAXIMUM_MESSAGE_BYTES),
        "open_timeout": transport.get("handshake_timeout", 10.0),
        "ping_interval": transport.get("ping_interval", 20.0),
        "ping_timeout": transport.get("ping_timeout", 20.0),
        "close_timeout": transport.get("close_timeout", 2.0),
    }
    if address.url.startswith("wss:"):
        options["ssl"] = transport.get("ssl_context") or _system_trust()
    try:
        return Socket(await websockets.connect(address.url, **options))
    except websockets.exceptions.InvalidStatus as error:
        status = error.response.status_code
        kind = AttachNotFoundError if status == 404 else AttachError
        raise kind(f"the handshake was answered {status}{_hint(status)}", status=status) from error
    except (websockets.exceptions.WebSocketException, OSError, TimeoutError) as error:
        raise AttachError(f"the socket could not be opened: {type(error).__name__}: {error}") from error


async def address_of(options: RealtimeModelConfig, *, query: Mapping[str, str]) -> Address:
    """The URL and headers that ``options`` ask for; ``query`` is added unless the URL is given whole.

    Raises `UserError` when there is no key or the base URL is none.
    """
    headers = options.get("headers")
    if headers is None:
        headers = {"Authorization": f"Bearer {await _key(options.get('api_key'))}"}
    if (url := options.get("url")) is not None:
        return Address(url=url, headers=headers)
    base = options.get("base_url", DEFAULT_BASE_URL).rstrip("/")
    scheme = {"https": "wss", "http": "ws", "wss": "wss", "ws": "ws"}.get(urlsplit(base).scheme)
    if scheme is None:
        raise UserError(f"base_url {base!r} is no URL; use one such as {DEFAULT_BASE_URL}")
    words = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
    return Address(url=f"{scheme}{base[base.index(':') :]}/realtime?{words}", headers=headers)


async def _key(given: ApiKey | None) -> str:
    key = given() if callable(given) else given
    if inspect.isawaitable(key):
        key = await key
    if not isinstance(key, str) or not key:
        raise UserError("API key is required but was not provided; give api_key, or headers that let you in")
    return key


def _hint(status: int) -> str:
    if status in (401, 403):
        return "; the key must belong to the project that owns the call"
    return ""


@cache
def _system_trust() -> ssl.SSLContext:
    # Reading the authorities takes milliseconds: once, not for every call.
    return ssl.create_default_context()
