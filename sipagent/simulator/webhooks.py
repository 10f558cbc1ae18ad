"""Tells the service about a pending call: event body, signature, retries.

The signature follows the Standard Webhooks specification (standard-webhooks, "Signature scheme"): base64 of
HMAC-SHA256 over ``{webhook-id}.{webhook-timestamp}.{body}``, keyed with what follows ``whsec_``, decoded.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp

from sipagent import clock
from sipagent.errors import SimulatorError
from sipagent.identifiers import CallId

INCOMING_CALL = "realtime.call.incoming"
USER_AGENT = "OpenAI/1.0 (+https://platform.openai.com/docs/webhooks)"
KEY_PREFIX = "whsec_"
WITHHELD_HEADERS = frozenset({"authorization", "proxy-authorization"})
"""SIP headers the webhook never shows, in lower case."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSettings:
    """How stubbornly a webhook is delivered. Timeout and schedule of the real API are not documented."""

    timeout_s: float = 5.0
    """An attempt without an answer after this long has failed."""
    retry_delays_s: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
    """The pause before each further attempt; when they are used up, the webhook is given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookAttempt:
    """One POST and what came of it."""

    webhook_id: str
    status: int | None
    """The HTTP status of the answer; None when there was none."""
    error: str | None
    """Why there was no answer."""

    @property
    def delivered(self) -> bool:
        """Only 2xx counts; a redirection is a failure and is not followed."""
        return self.status is not None and 200 <= self.status < 300


def new_secret() -> str:
    """A fresh signing secret in the form the dashboard shows (``whsec_`` and base64)."""
    return KEY_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode("ascii")


def signing_key(secret: str) -> bytes:
    """The key bytes of ``secret``; one without the prefix is its own UTF-8 bytes.

    Raises:
        SimulatorError: the part after the prefix is no base64.
    """
    if not secret.startswith(KEY_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(KEY_PREFIX), validate=True)
    except binascii.Error as error:
        raise SimulatorError(f"the webhook secret is no base64 after {KEY_PREFIX!r}: {error}") from error


def sign(key: bytes, *, webhook_id: str, timestamp_s: int, body: bytes) -> str:
    """The value of ``webhook-signature``."""
    signed = b"%s.%d.%s" % (webhook_id.encode(), timestamp_s, body)
    digest = hmac.new(key, signed, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode("ascii")


def incoming_call_body(
    call_id: CallId, *, sip_headers: Sequence[tuple[str, str]], media_security: str, created_at_s: int
) -> bytes:
    """The JSON of one ``realtime.call.incoming`` event: headers in order, repeats kept, no credentials."""
    headers = [
        {"name": name, "value": value} for name, value in sip_headers if name.lower() not in WITHHELD_HEADERS
    ]
    event = {
        "object": "event",
        "id": f"evt_{secrets.token_hex(16)}",
        "type": INCOMING_CALL,
        "created_at": created_at_s,
        "data": {"call_id": call_id, "sip_headers": headers, "sip_media_security": media_security},
    }
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()


class WebhookSender:
    """Delivers webhooks to one address. The HTTP session belongs to whoever made this."""

    url: str | None
    """Where to deliver; None while nobody listens. May be changed at any time."""

    def __init__(
        self, *, http: aiohttp.ClientSession, secret: str, url: str | None, settings: WebhookSettings
    ) -> None:
        """Raises `SimulatorError` when ``secret`` cannot be a signing secret."""
        self.url = url
        self._key = signing_key(secret)
        self._http = http
        self._settings = settings

    async def deliver(
        self, body: bytes, *, attempts: list[WebhookAttempt], forged: bool = False, copies: int = 1
    ) -> bool:
        """Post ``body`` until it is answered 2xx or the schedule is used up; says whether it was.

        Every POST is appended to ``attempts`` as it ends. A forged webhook is signed with a key made up on
        the spot and posted once. With ``copies`` above 1 the first attempt is posted that many times at
        once under one ``webhook-id``. Cancelling is safe: an attempt under way is dropped.
        """
        webhook_id = f"wh_{secrets.token_hex(16)}"
        key = secrets.token_bytes(32) if forged else self._key
        first = [self._post(body, webhook_id=webhook_id, key=key) for _ in range(copies)]
        results: Sequence[WebhookAttempt] = await asyncio.gather(*first)
        attempts.extend(results)
        if forged or any(attempt.delivered for attempt in results):
            return not forged
        for delay_s in self._settings.retry_delays_s:
            await asyncio.sleep(delay_s)
            attempts.append(await self._post(body, webhook_id=webhook_id, key=key))
            if attempts[-1].delivered:
                return True
        return False

    async def _post(self, body: bytes, *, webhook_id: str, key: bytes) -> WebhookAttempt:
        """One attempt. A retry keeps the id and gets a new timestamp, hence a new signature."""
        if self.url is None:
            return WebhookAttempt(webhook_id=webhook_id, status=None, error="no webhook address is set")
        timestamp_s = int(clock.unix_s())
        headers = {
            "user-agent": USER_AGENT,
            "content-type": "application/json",
            "webhook-id": webhook_id,
            "webhook-timestamp": str(timestamp_s),
            "webhook-signature": sign(key, webhook_id=webhook_id, timestamp_s=timestamp_s, body=body),
        }
        timeout = aiohttp.ClientTimeout(total=self._settings.timeout_s)
        try:
            async with self._http.post(
                self.url, data=body, headers=headers, timeout=timeout, allow_redirects=False
            ) as answer:
                return WebhookAttempt(webhook_id=webhook_id, status=answer.status, error=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            reason = f"{type(error).__name__}: {error}".rstrip(": ")
            _log.warning("webhook not delivered: %s", reason)
            return WebhookAttempt(webhook_id=webhook_id, status=None, error=reason)
