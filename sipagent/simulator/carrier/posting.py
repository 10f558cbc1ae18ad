"""The carrier's requests to the service: sent, answered, and kept for the record."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from sipagent.errors import SimulatorError
from sipagent.simulator.carrier.markup import MAX_DOCUMENT_BYTES

Method: TypeAlias = Literal["GET", "POST"]


class ServiceFailedError(SimulatorError):
    """The service did not answer, or not with 200. ``code`` is Twilio's number for it."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingRequest:
    """A request as it is signed and sent."""

    purpose: str
    """``voice``, ``action``, ``report``, ``event``, …"""
    method: str
    url: str
    """With its query, as it is signed."""
    headers: Mapping[str, str]
    body: bytes
    parameters: Mapping[str, str]
    """The same for people to read; empty for JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """A request and what came of it."""

    request: OutgoingRequest
    leg: str
    """The identifier of the leg it was about."""
    at_s: float
    """``loop.time()`` when it was sent."""
    seconds: float
    status: int | None
    """None when there was no answer."""
    body: bytes
    error: str = ""


class Poster:
    """Sends requests, and remembers the latest 5,000 of them with their answers."""

    def __init__(self, http: aiohttp.ClientSession, *, timeout_s: float, tls: ssl.SSLContext | None) -> None:
        self.exchanges: deque[Exchange] = deque(maxlen=5_000)
        self._http = http
        self._timeout_s = timeout_s
        self._tls = tls

    async def send(self, request: OutgoingRequest, *, leg: str) -> Exchange:
        """Send ``request`` as it is. Never raises for what the service does; safe to cancel."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        status: int | None = None
        body, problem = b"", ""
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._http.request(
                    request.method,
                    URL(request.url, encoded=True),
                    data=request.body if request.method == "POST" else None,
                    headers=dict(request.headers),
                    allow_redirects=False,
                    ssl=self._tls if self._tls is not None else True,
                ) as response,
            ):
                status = response.status
                body = await response.content.read(MAX_DOCUMENT_BYTES + 1)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            problem = f"{type(error).__name__}: {error}"
        exchange = Exchange(
            request=request,
            leg=leg,
            at_s=began_s,
            seconds=loop.time() - began_s,
            status=status,
            body=body,
            error=problem,
        )
        self.exchanges.append(exchange)
        return exchange


def document_of(exchange: Exchange) -> bytes:
    """The body of a good answer. Raises `ServiceFailedError` for any other."""
    if exchange.status is None:
        raise ServiceFailedError(11205, f"{exchange.request.url} does not answer: {exchange.error}")
    if not 200 <= exchange.status < 300:
        raise ServiceFailedError(11200, f"{exchange.request.url} answers {exchange.status}")
    return exchange.body


def form_request(purpose: str, method: str, url: str, parameters: Mapping[str, str]) -> OutgoingRequest:
    """A request with ``parameters`` as a form, or in the query of a GET; not signed yet."""
    url, _, _ = url.partition("#")
    if method == "GET":
        joint = "&" if "?" in url else "?"
        return OutgoingRequest(
            purpose=purpose,
            method="GET",
            url=f"{url}{joint}{urlencode(parameters)}",
            headers={},
            body=b"",
            parameters=parameters,
        )
    return OutgoingRequest(
        purpose=purpose,
        method="POST",
        url=url,
        headers={"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"},
        body=urlencode(parameters).encode(),
        parameters=parameters,
    )
