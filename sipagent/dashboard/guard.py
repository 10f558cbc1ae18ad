"""Stands before every handler that is not for everybody: who asks, whether they may, how often they failed.

A token is shown in the header ``Authorization: Bearer …`` and nowhere else: no cookie that a browser would
send by itself, no address that a log would keep. Every answer is JSON and is kept by no cache.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

from aiohttp import web

from sipagent.calls.access import Access, Role, Visitor
from sipagent.calls.sources import FailureLimit, Sources, whole_seconds
from sipagent.errors import StoreError

logger = logging.getLogger(__name__)

FAILURES_AT_ONCE = 10
FAILURES_PER_MINUTE = 6.0
"""How often one source may show a token that is none before it is not listened to any more."""
MAXIMUM_BODY_BYTES = 16 * 1024
BODY_TIMEOUT_S = 5.0
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}

Handler = Callable[[web.Request, Visitor], Awaitable[web.Response]]


def answer(body: Mapping[str, Any], *, status: int = 200, **headers: str) -> web.Response:
    """``body`` as JSON. Names of ``headers`` have underscores for dashes."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    text = json.dumps(body, ensure_ascii=True, default=_plain)
    return web.Response(
        text=text, status=status, headers={**HEADERS, **named}, content_type="application/json"
    )


def refusal(status: int, code: str, message: str, **headers: str) -> web.Response:
    """Why something was not done."""
    return answer({"error": {"code": code, "message": message}}, status=status, **headers)


class Guard:
    """Lets in whom ``access`` knows. `access` is replaced when the configuration changes."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._sources = Sources(access.trusted_proxies)
        self._limit = FailureLimit(burst=FAILURES_AT_ONCE, per_minute=FAILURES_PER_MINUTE)

    @property
    def access(self) -> Access:
        """Who is let in now."""
        return self._access

    @access.setter
    def access(self, access: Access) -> None:
        self._access = access
        self._sources = Sources(access.trusted_proxies)

    def needs(self, role: Role, handler: Handler) -> Callable[[web.Request], Awaitable[web.Response]]:
        """``handler`` for those who may what ``role`` may; 404 for all while there is no token."""

        async def guarded(request: web.Request) -> web.Response:
            if not self._access.is_open_to_somebody:
                return refusal(404, "closed", "There is no token in the configuration, so this is closed.")
            visitor = self.visitor(request)
            if isinstance(visitor, web.Response):
                return visitor
            if not visitor.may(role):
                fields = {"token": visitor.name, "path": request.path, "needs": role.name.lower()}
                logger.warning("A token was shown that may not do this", extra={"fields": fields})
                message = f"The token {visitor.name} may not do this: it needs the role {role.name.lower()}."
                return refusal(403, "forbidden", message)
            try:
                return await handler(request, visitor)
            except BadRequestError as error:
                return refusal(error.status, "bad_request", str(error))
            except StoreError as error:
                logger.warning("The database did not answer somebody who asked: %s", error)
                return refusal(503, "database_away", "The database does not answer.", Retry_After="5")

        return guarded

    def visitor(self, request: web.Request) -> Visitor | web.Response:
        """Who asks, or what they are answered instead."""
        now = asyncio.get_running_loop().time()
        source = self._sources.source_of(request.remote, request.headers.getall("X-Forwarded-For", ()))
        if blocked_s := self._limit.blocked_s(source, now):
            wait = whole_seconds(blocked_s)
            return refusal(429, "limited", "Too many tokens that are none.", Retry_After=wait)
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            message = "Show a token: Authorization: Bearer …"
            return refusal(401, "no_token", message, WWW_Authenticate='Bearer realm="sipagent"')
        visitor = self._access.visitor(token.strip())
        if visitor is not None:
            return visitor
        fields = {"source": source, "path": request.path}
        logger.warning("A token was shown that is none", extra={"fields": fields})
        if self._limit.failed(source, now):
            logger.warning("This source is not listened to for a while", extra={"fields": fields})
        challenge = 'Bearer realm="sipagent", error="invalid_token"'
        return refusal(401, "bad_token", "This token is none of ours.", WWW_Authenticate=challenge)


class BadRequestError(ValueError):
    """A request that nobody can carry out; the message says why."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


async def read_object(request: web.Request) -> dict[str, Any]:
    """The JSON object in the body; an empty body is an empty object. Raises `BadRequestError`."""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise BadRequestError("The body is compressed.", status=415)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > MAXIMUM_BODY_BYTES:
                    raise BadRequestError(f"The body has more than {MAXIMUM_BODY_BYTES} bytes.", status=413)
    except TimeoutError as error:
        raise BadRequestError("The body did not arrive in time.", status=408) from error
    if not body:
        return {}
    if request.content_type != "application/json":
        raise BadRequestError("The body must be application/json.", status=415)
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequestError("The body is no JSON.") from error
    if not isinstance(value, dict):
        raise BadRequestError("The body is no JSON object.")
    return value


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
