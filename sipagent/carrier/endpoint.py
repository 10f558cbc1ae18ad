"""``POST /carriers/…``: the door through which carriers speak to us.

Nobody is believed who does not sign: what is unsigned, forged, late or a copy is answered 403 and counted,
what is no webhook 400, what is too much 429. Everything else is answered within milliseconds, since a caller
hears the ringing of their telephone meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime

from aiohttp import web

from sipagent.calls.sources import FailureLimit, Sources, whole_seconds
from sipagent.carrier.base import Carrier, CarrierAnswer, Delivery, Purpose, VoiceRequest
from sipagent.carrier.desk import CarrierDesk
from sipagent.carrier.replays import SeenDeliveries
from sipagent.carrier.reports import LegReports
from sipagent.carrier.switchboard import CarrierMetrics, FrontDoorView, Switchboard
from sipagent.carrier.telnyx import TelnyxTexml
from sipagent.carrier.telnyx_call_control import CallControl
from sipagent.carrier.twilio import Twilio
from sipagent.clock import utc_now
from sipagent.errors import (
    WebhookBodyError,
    WebhookError,
    WebhookLateError,
    WebhookReplayedError,
    WebhookSignatureError,
)

logger = logging.getLogger(__name__)

MAXIMUM_BODY_BYTES = 64 * 1024
"""A carrier's form has one or two kilobytes."""
BODY_TIMEOUT_S = 5.0
"""How long a sender may take to deliver its body."""
MOST_AT_ONCE = 256
FAILURES_AT_ONCE = 20
FAILURES_PER_MINUTE = 30.0
"""How often one source may send what is no authentic webhook before it is not read any more."""


class CarrierEndpoint:
    """Verifies what carriers send, hands it over, and answers. One for each service."""

    def __init__(
        self,
        *,
        desk: CarrierDesk | None,
        front: FrontDoorView,
        reports: LegReports,
        metrics: CarrierMetrics,
        sources: Sources | None = None,
        utc_now: Callable[[], datetime] = utc_now,
    ) -> None:
        """``desk`` is None where no carrier is configured, until one is. ``sources`` tells senders apart, by
        default behind proxies in local networks."""
        self.desk = desk
        """Replaced as a whole when the configuration changes; the endpoint does not close it."""
        self.sources = sources or Sources()
        """Replaced as a whole when the configuration changes."""
        self._metrics = metrics
        self._utc_now = utc_now
        self._switchboard = Switchboard(front=front, reports=reports, metrics=metrics, utc_now=utc_now)
        self._limit = FailureLimit(burst=FAILURES_AT_ONCE, per_minute=FAILURES_PER_MINUTE)
        self._seen: SeenDeliveries[asyncio.Future[CarrierAnswer]] = SeenDeliveries()
        self._reading = 0

    def add_to(self, app: web.Application) -> None:
        """Serve the paths of every carrier that is known here; those that are not configured answer 404."""
        for carrier in (Twilio, TelnyxTexml, CallControl):
            for purpose in carrier.purposes:
                path = carrier.mount if purpose == "event" else f"{carrier.mount}/{purpose}"
                app.router.add_post(path, self._handler(carrier.mount, purpose))

    async def close(self) -> None:
        """Let commands that are under way finish, for a moment."""
        await self._switchboard.close()

    # Reading ---------------------------------------------------------------------------------------

    def _handler(self, mount: str, purpose: Purpose) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            desk = self.desk
            if desk is None or mount not in desk.carriers:
                raise web.HTTPNotFound
            with desk.used():
                return await self._handle(request, desk, desk.carriers[mount], purpose)

        return handle

    async def _handle(
        self, request: web.Request, desk: CarrierDesk, carrier: Carrier, purpose: Purpose
    ) -> web.Response:
        now = asyncio.get_running_loop().time()
        source = self.sources.source_of(request.remote, request.headers.getall("X-Forwarded-For", ()))
        if blocked_s := self._limit.blocked_s(source, now):
            return self._turned_away(carrier, "Too many of your requests were no webhooks.", blocked_s)
        if self._reading >= MOST_AT_ONCE:
            logger.warning("A carrier's webhook was turned away: %d others are being read", self._reading)
            return self._turned_away(carrier, "Too many webhooks at once.", 1.0)
        self._reading += 1
        try:
            delivery = await self._delivery(request, desk, carrier, purpose)
            answer, again = await self._answer(desk, carrier, delivery)
        except WebhookError as error:
            return self._refused(carrier, error, source)
        finally:
            self._reading -= 1
        self._limit.succeeded(source, now)
        self._metrics.carrier_webhook(carrier.name, "duplicate" if again else "ok")
        return web.Response(status=answer.status, text=answer.body, content_type=answer.content_type)

    async def _delivery(
        self, request: web.Request, desk: CarrierDesk, carrier: Carrier, purpose: Purpose
    ) -> Delivery:
        """The request, verified. Raises `WebhookError`."""
        delivery = Delivery(
            purpose=purpose,
            url=desk.settings.public_url + request.raw_path,
            headers={name.lower(): value for name, value in request.headers.items()},
            body=await _read(request),
            token=None,
        )
        now_s = self._utc_now().timestamp()
        delivery, calls_until_s = self._verified(request, desk, carrier, delivery, now_s)
        if (text := request.query.get("t")) is None:
            return replace(delivery, calls_until_s=calls_until_s)
        token = desk.tokens.read(text, now_s)
        if (token.leg.carrier, token.leg.interface) != (carrier.name, carrier.interface):
            raise WebhookSignatureError("The token is one for another carrier.")
        return replace(delivery, token=token, calls_until_s=calls_until_s)

    def _verified(
        self, request: web.Request, desk: CarrierDesk, carrier: Carrier, delivery: Delivery, now_s: float
    ) -> tuple[Delivery, float]:
        """A delivery as its carrier signed it, and until when such may announce calls. Raises
        `WebhookError`."""
        try:
            return delivery, carrier.verify(delivery, now_s)
        except WebhookSignatureError:
            for url in desk.former.public_urls if carrier.signs_address else ():
                if now_s > url.until_s:
                    continue
                former = replace(delivery, url=url.value + request.raw_path)
                try:
                    return former, min(url.calls_until_s, carrier.verify(former, now_s))
                except WebhookSignatureError:
                    continue
            raise

    # Answering -------------------------------------------------------------------------------------

    async def _answer(
        self, desk: CarrierDesk, carrier: Carrier, delivery: Delivery
    ) -> tuple[CarrierAnswer, bool]:
        """The answer, and whether it was given before. Raises `WebhookError`."""
        if delivery.purpose == "refer":
            # Without an effect but its answer; and the same one may be wanted twice in a call.
            return await self._fresh(desk, carrier, delivery), False
        now = asyncio.get_running_loop().time()
        fingerprint = carrier.fingerprint(delivery)
        known = self._seen.answer_of(fingerprint, now)
        if known is not None:
            # It may be in the making still: the carrier was impatient.
            return await asyncio.shield(known), True
        answering: asyncio.Future[CarrierAnswer] = asyncio.get_running_loop().create_future()
        self._seen.remember(fingerprint, answering, now)
        try:
            answer = await self._fresh(desk, carrier, delivery)
        except WebhookError as error:
            self._seen.forget(fingerprint)
            answering.set_exception(error)
            answering.exception()  # whether or not somebody else waits for it
            raise
        except BaseException:
            self._seen.forget(fingerprint)
            answering.cancel()
            raise
        answering.set_result(answer)
        return answer, False

    async def _fresh(self, desk: CarrierDesk, carrier: Carrier, delivery: Delivery) -> CarrierAnswer:
        answer: CarrierAnswer | None = None
        messages = carrier.read(delivery, self._utc_now(), self._switchboard.country)
        now_s = self._utc_now().timestamp()
        if now_s > delivery.calls_until_s and any(isinstance(each, VoiceRequest) for each in messages):
            raise WebhookSignatureError("A new call is signed by a key, or for an address, of former times.")
        for message in messages:
            answer = await self._switchboard.handle(desk, carrier, message) or answer
        return answer or CarrierAnswer(status=200 if delivery.purpose == "event" else 204)

    def _refused(self, carrier: Carrier, error: WebhookError, source: str | None) -> web.Response:
        match error:
            case WebhookLateError():
                kind, status = "late", 403
            case WebhookReplayedError():
                kind, status = "replayed", 403
            case WebhookSignatureError():
                kind, status = "bad_signature", 403
            case _:
                kind, status = "bad_body", 400
        self._metrics.carrier_webhook(carrier.name, kind)
        fields = {"carrier": carrier.name, "result": kind, "source": source}
        logger.warning("A carrier's webhook was refused: %s", error, extra={"fields": fields})
        if self._limit.failed(source, asyncio.get_running_loop().time()):
            logger.warning("Webhooks from this source are not read for a while", extra={"fields": fields})
        return web.json_response({"error": {"code": kind, "message": str(error)}}, status=status)

    def _turned_away(self, carrier: Carrier, message: str, wait_s: float) -> web.Response:
        """No log line for each: whoever is limited would fill the log."""
        self._metrics.carrier_webhook(carrier.name, "limited")
        headers = {"Retry-After": whole_seconds(wait_s), "Connection": "close"}
        return web.json_response(
            {"error": {"code": "limited", "message": message}}, status=429, headers=headers
        )


async def _read(request: web.Request) -> bytes:
    """The whole body. Raises `WebhookBodyError` when it is too large, too slow, or compressed: a few bytes
    may stand for any number of them then."""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise WebhookBodyError("The body is compressed, and webhooks are not.")
    if (request.content_length or 0) > MAXIMUM_BODY_BYTES:
        raise WebhookBodyError(
            f"The body has {request.content_length} bytes; at most {MAXIMUM_BODY_BYTES} are read."
        )
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for piece in request.content.iter_any():
                body += piece
                if len(body) > MAXIMUM_BODY_BYTES:
                    raise WebhookBodyError(f"The body has more than {MAXIMUM_BODY_BYTES} bytes.")
    except TimeoutError as error:
        raise WebhookBodyError(f"The body did not arrive within {BODY_TIMEOUT_S:g} seconds.") from error
    return bytes(body)
