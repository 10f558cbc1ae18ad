"""One HTTP request of a tool, with its retries: what came of it, and whether it may have had an effect.

Every failure says to the model what is true, in words that hold no secret: neither the URL, nor a header, nor
what a library wrote. The log gets the kind of failure.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import aiohttp
from yarl import URL

from sipagent.calls.lookup import open_lookup_session
from sipagent.calls.tools.answers import complaint
from sipagent.calls.tools.failures import ToolFailureError

logger = logging.getLogger(__name__)

LARGEST_ANSWER_BYTES = 256 * 1024
IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "PUT", "DELETE"})
"""Of the methods that tools may use, those that may be sent twice (RFC 9110 section 9.2.2)."""
READING_METHODS = frozenset({"GET", "HEAD"})
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses that may be others a moment later."""
_FIRST_PAUSE_S = 0.2
_CONNECT_MARGIN_S = 0.005
"""Before the deadline, connecting is given up: its time-out says more than the deadline's."""
_UNKNOWN = (
    "Nobody knows whether it was done. Do not try again, and tell the caller the truth: it has to be checked."
)
_NOTHING = "Nothing was done."


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is sent."""

    tool: str
    """Whose request it is, for the log."""
    method: str
    url: URL
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    timeout_s: float = 5.0
    """For all tries together: it is the caller who waits."""
    retries: int = 0
    """How often more it is sent when it failed for a moment; unless `idempotent`, only while no server can
    have taken it."""
    idempotent: bool = False
    """May be sent twice, and never has more effect than once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a server answered, with a status from 200 to 299."""

    status: int
    charset: str
    content: bytes = field(repr=False)
    remark: str = ""
    """What to say instead of the content, where that could not be had."""


class _FailedError(Exception):
    """One try failed."""

    def __init__(
        self,
        reason: str,
        *,
        passing: bool = False,
        untouched: bool = False,
        pause_s: float = 0.0,
        said: str = "",
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.passing = passing
        """It may go better a moment later."""
        self.untouched = untouched
        """The server did nothing."""
        self.pause_s = pause_s
        """The server asks to be left alone so long."""
        self.said = said
        """By the server, about why it refuses."""


async def send(request: Request, http: aiohttp.ClientSession | None) -> Answer:
    """Send ``request`` over ``http``, or over a connection of its own.

    Raises `ToolFailureError`, whose effect is unknown when the server may have done what it was asked.
    Cancel-safe: nothing goes on, though what was sent was sent.
    """
    deadline = asyncio.get_running_loop().time() + request.timeout_s
    async with AsyncExitStack() as stack:
        if http is None or http.closed:
            http = await stack.enter_async_context(open_lookup_session())
        return await _tries(request, http, deadline)


async def _tries(request: Request, http: aiohttp.ClientSession, deadline: float) -> Answer:
    loop = asyncio.get_running_loop()
    doubtful = False
    left = request.retries
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            async with asyncio.timeout_at(deadline):
                return await _once(request, http, deadline)
        except _FailedError as error:
            failure = error
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            # No connection, so nothing was sent.
            reason = f"it could not be reached ({type(error).__name__})"
            failure = _FailedError(reason, passing=True, untouched=True)
        except TimeoutError:
            failure = _FailedError(f"there was no answer within {request.timeout_s:g} seconds")
        except (aiohttp.ClientError, OSError, ValueError, RuntimeError) as error:
            # The message of the package may quote the URL or a header.
            failure = _FailedError(f"the connection failed ({type(error).__name__})", passing=True)
        doubtful = doubtful or not failure.untouched
        logger.warning("The request of tool %s failed: %s", request.tool, failure.reason)
        wait_s = max(pause_s * random.uniform(0.75, 1.25), failure.pause_s)
        again = failure.passing and left > 0 and (request.idempotent or not doubtful)
        if not again or loop.time() + wait_s >= deadline:
            raise _told(request, failure, doubtful=doubtful) from failure
        left -= 1
        pause_s *= 2
        await asyncio.sleep(wait_s)


async def _once(request: Request, http: aiohttp.ClientSession, deadline: float) -> Answer:
    """Raises `_FailedError`, and what the package raises."""
    left_s = max(0.001, deadline - asyncio.get_running_loop().time() - _CONNECT_MARGIN_S)
    async with http.request(
        request.method,
        request.url,
        headers=request.headers,
        data=request.body,
        allow_redirects=False,
        # So that a time-out before anything was sent is told from one after.
        timeout=aiohttp.ClientTimeout(connect=left_s),
    ) as response:
        if 300 <= response.status < 400:
            raise _FailedError(f"it answered {response.status}, and redirects are not followed")
        if response.status >= 400:
            raise await _refusal(response)
        charset = response.charset or "utf-8"
        try:
            content = await _content(response)
        except aiohttp.ClientError as error:
            if request.idempotent:
                raise
            logger.warning("The answer to tool %s was cut off: %s", request.tool, type(error).__name__)
            return _went_through(response.status, "its answer was cut off on the way")
    if content is None:
        return _went_through(
            response.status, f"its answer is larger than {LARGEST_ANSWER_BYTES // 1024} KiB and was not read"
        )
    return Answer(status=response.status, charset=charset, content=content)


def _went_through(status: int, but: str) -> Answer:
    return Answer(
        status=status,
        charset="utf-8",
        content=b"",
        remark=f"The request went through (status {status}), but {but}.",
    )


async def _content(response: aiohttp.ClientResponse) -> bytes | None:
    """The body; None when it is too large. Raises what the package raises."""
    content = bytearray()
    async for chunk in response.content.iter_chunked(LARGEST_ANSWER_BYTES):
        content += chunk
        if len(content) > LARGEST_ANSWER_BYTES:
            return None
    return bytes(content)


async def _refusal(response: aiohttp.ClientResponse) -> _FailedError:
    status = response.status
    try:
        content = await _content(response) or b""
    except aiohttp.ClientError:
        content = b""
    return _FailedError(
        f"it answered with status {status}",
        passing=status in _PASSING,
        # A server that failed, or gave up waiting, may have done something before.
        untouched=status < 500 and status != 408,
        pause_s=_retry_after_s(response.headers.get("Retry-After", "")),
        said=complaint(content, response.charset or "utf-8") if status < 500 else "",
    )


def _retry_after_s(header: str) -> float:
    """RFC 9110 section 10.2.3, seconds only; 0 for a date or anything else."""
    return float(header) if header.isascii() and header.isdecimal() and len(header) < 6 else 0.0


def _told(request: Request, failure: _FailedError, *, doubtful: bool) -> ToolFailureError:
    said = f" It says: {failure.said}" if failure.said else ""
    if request.method in READING_METHODS:
        # Whatever happened, nothing was to be changed.
        return ToolFailureError(f"The request failed: {failure.reason}.{said}", effect="none")
    if doubtful:
        return ToolFailureError(f"The request failed: {failure.reason}.{said} {_UNKNOWN}", effect="unknown")
    return ToolFailureError(f"The request failed: {failure.reason}.{said} {_NOTHING}", effect="none")
