"""``POST /webhooks/openai``: the door through which calls come in.

Every request is answered within milliseconds, before anything else is done with it: the API gives a webhook
a few seconds, and the caller hears ringing meanwhile. 200 means "taken, or nothing to do"; 400 means "this
is no authentic webhook", and nothing was started; 429 means "too much of that came from you", or "too many at
once", before anything was read. Never 5xx: that would only be repeated.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from aiohttp import web

from sipagent.calls.checkpoint import Ringing
from sipagent.calls.incoming import CarrierLeg, IncomingCall
from sipagent.calls.lease import Holding
from sipagent.calls.shift import Shift
from sipagent.calls.sources import FailureLimit, Sources, whole_seconds
from sipagent.calls.supervisor import Supervisor
from sipagent.calls.webhook import (
    MAXIMUM_BODY_BYTES,
    SIGNATURE_HEADERS,
    OtherWebhook,
    WebhookVerifier,
    parse_webhook,
)
from sipagent.clock import utc_now
from sipagent.errors import WebhookBodyError, WebhookError, WebhookSignatureError
from sipagent.telemetry import Metrics, bind_call

logger = logging.getLogger(__name__)

BODY_TIMEOUT_S = 5.0
"""How long a sender may take to deliver its body."""
MOST_AT_ONCE = 256
"""Requests whose bodies are read at the same time; each may hold `MAXIMUM_BODY_BYTES`."""
FAILURES_AT_ONCE = 20
FAILURES_PER_MINUTE = 30.0
"""How often one source may send what is no authentic webhook before it is not read any more."""


LegOf = Callable[[Sequence[tuple[str, str]]], CarrierLeg | None]
"""The caller's leg that the SIP headers of a call vouch for; None where they do for none. Raises nothing."""


class WebhookEndpoint:
    """Verifies, parses and hands over. One for each service."""

    def __init__(
        self,
        *,
        verifier: WebhookVerifier,
        supervisor: Supervisor,
        metrics: Metrics,
        sources: Sources | None = None,
        shift: Shift | None = None,
        utc_now: Callable[[], datetime] = utc_now,
        leg_of: LegOf | None = None,
    ) -> None:
        """``sources`` tells senders apart, by default behind proxies in local networks. ``shift`` claims each
        call before it is answered, where several processes share the calls. ``leg_of`` knows the calls that a
        carrier of ours was told to send there."""
        self._leg_of = leg_of
        self._shift = shift
        self._utc_now = utc_now
        self._verifier = verifier
        self._supervisor = supervisor
        self._metrics = metrics
        self.sources = sources or Sources()
        """Replaced as a whole when the configuration changes."""
        self._limit = FailureLimit(burst=FAILURES_AT_ONCE, per_minute=FAILURES_PER_MINUTE)
        self._reading = self._taking = 0

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one delivery."""
        received_at = asyncio.get_running_loop().time()
        source = self.sources.source_of(request.remote, request.headers.getall("X-Forwarded-For", ()))
        if blocked_s := self._limit.blocked_s(source, received_at):
            return self._turned_away("limited", "Too many of your requests were no webhooks.", blocked_s)
        if self._reading >= MOST_AT_ONCE:
            logger.warning("A webhook was turned away: %d others are being read", self._reading)
            return self._turned_away("busy", "Too many webhooks at once.", 1.0)
        self._reading += 1
        try:
            body = await _read(request)
            webhook_id = self._verifier.verify(body, request.headers)
            webhook = parse_webhook(body, webhook_id)
        except WebhookError as error:
            return self._refused(error, source)
        finally:
            self._reading -= 1
        match webhook:
            case OtherWebhook():
                self._metrics.webhook("ignored")
                logger.info("A webhook of type %r was ignored: %s", webhook.type, webhook.why)
            case IncomingCall():
                if self._leg_of is not None and (leg := self._leg_of(webhook.sip_headers)) is not None:
                    webhook = replace(webhook, leg=leg)
                self._taking += 1
                try:
                    await self._take(webhook, received_at)
                    if self._taking == 1:
                        # Let the request to answer the call be sent before the webhook is answered: it is the
                        # caller who waits. In a burst that would only keep the others waiting.
                        await asyncio.sleep(0)
                finally:
                    self._taking -= 1
        return web.Response()

    def _refused(self, error: WebhookError, source: str | None) -> web.Response:
        kind = "bad_signature" if isinstance(error, WebhookSignatureError) else "bad_body"
        self._metrics.webhook(kind)
        fields = {"result": kind, "source": source}
        logger.warning("A webhook was refused: %s", error, extra={"fields": fields})
        if self._limit.failed(source, asyncio.get_running_loop().time()):
            logger.warning("Webhooks from this source are not read for a while", extra={"fields": fields})
        return web.json_response({"error": {"code": kind, "message": str(error)}}, status=400)

    def _turned_away(self, kind: str, message: str, wait_s: float) -> web.Response:
        """No log line for each: whoever is limited would fill the log."""
        self._metrics.webhook(kind)
        headers = {"Retry-After": whole_seconds(wait_s), "Connection": "close"}
        body = {"error": {"code": kind, "message": message}}
        return web.json_response(body, status=429, headers=headers)

    async def _take(self, call: IncomingCall, received_at: float) -> None:
        with bind_call(call.call_id):
            if self._supervisor.knows(call):
                self._repeated()
                return
            holding: Holding | None = None
            if self._shift is not None:
                # The answer to the webhook says that the call is taken care of, so the claim comes first.
                holding = await self._shift.claim(Ringing(incoming=call, received_at=self._utc_now()))
                if holding is None:
                    if self._supervisor.knows(call):
                        self._repeated()
                    else:
                        self._metrics.webhook("claimed_elsewhere")
                        logger.info("Another process has the call, or had it")
                    return
            if self._supervisor.take(call, received_at, holding):
                self._metrics.webhook("call")
            else:
                self._repeated()

    def _repeated(self) -> None:
        self._metrics.webhook("duplicate")
        logger.info("The webhook of a call that was taken before came again")


async def _read(request: web.Request) -> bytes:
    """The whole body. Raises `WebhookSignatureError` when nobody can have signed it, and `WebhookBodyError`
    when it is too large, too slow, or compressed: a few bytes may stand for any number of them then."""
    missing = [name for name in SIGNATURE_HEADERS if name not in request.headers]
    if missing:
        raise WebhookSignatureError(f"The request is not signed: it has no {missing[0]}.")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise WebhookBodyError("The body is compressed, and webhooks are not.")
    if (request.content_length or 0) > MAXIMUM_BODY_BYTES:
        raise WebhookBodyError(
            f"The body has {request.content_length} bytes; at most {MAXIMUM_BODY_BYTES} are read."
        )
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise WebhookBodyError(f"The body has more than {MAXIMUM_BODY_BYTES} bytes.") from error
    except TimeoutError as error:
        raise WebhookBodyError(f"The body did not arrive within {BODY_TIMEOUT_S:g} seconds.") from error
