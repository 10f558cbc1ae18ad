"""``POST /webhooks/openai``: the door through which calls come in.

Every request is answered within milliseconds, before anything else is done with it: the API gives a webhook
a few seconds, and the caller hears ringing meanwhile. 200 means "taken, or nothing to do"; 400 means "this
is no authentic webhook", and nothing was started. Never 5xx: that would only be repeated.
"""

from __future__ import annotations

import asyncio
import logging

from aiohttp import web

from sipagent.calls.incoming import IncomingCall
from sipagent.calls.supervisor import Supervisor
from sipagent.calls.webhook import MAXIMUM_BODY_BYTES, OtherWebhook, WebhookVerifier, parse_webhook
from sipagent.errors import WebhookBodyError, WebhookError, WebhookSignatureError
from sipagent.telemetry import Metrics, bind_call

logger = logging.getLogger(__name__)

BODY_TIMEOUT_S = 5.0
"""How long a sender may take to deliver its body."""


class WebhookEndpoint:
    """Verifies, parses and hands over. One for each service."""

    def __init__(self, *, verifier: WebhookVerifier, supervisor: Supervisor, metrics: Metrics) -> None:
        self._verifier = verifier
        self._supervisor = supervisor
        self._metrics = metrics

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one delivery."""
        received_at = asyncio.get_running_loop().time()
        try:
            body = await _read(request)
            webhook_id = self._verifier.verify(body, request.headers)
            webhook = parse_webhook(body, webhook_id)
        except WebhookError as error:
            kind = "bad_signature" if isinstance(error, WebhookSignatureError) else "bad_body"
            self._metrics.webhook(kind)
            logger.warning("A webhook was refused: %s", error, extra={"fields": {"result": kind}})
            return web.json_response({"error": {"code": kind, "message": str(error)}}, status=400)
        match webhook:
            case OtherWebhook():
                self._metrics.webhook("ignored")
                logger.info("A webhook of type %r was ignored: %s", webhook.type, webhook.why)
            case IncomingCall():
                self._take(webhook, received_at)
        return web.Response()

    def _take(self, call: IncomingCall, received_at: float) -> None:
        with bind_call(call.call_id):
            if self._supervisor.take(call, received_at):
                self._metrics.webhook("call")
            else:
                self._metrics.webhook("duplicate")
                logger.info("The webhook of a call that was taken before came again")


async def _read(request: web.Request) -> bytes:
    """The whole body. Raises `WebhookBodyError` when it is too large or too slow."""
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
