"""Webhooks from OpenAI: verified, parsed into values, and never answered twice.

Signatures follow the Standard Webhooks specification and are checked by the `openai` package. What a body
means: https://platform.openai.com/docs/guides/webhooks and the `realtime.call.incoming` event.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import openai

from sipagent.calls.incoming import IncomingCall
from sipagent.calls.numbers import NumberRules, read_numbers
from sipagent.errors import UserError, WebhookBodyError, WebhookSignatureError
from sipagent.escapes import whole
from sipagent.identifiers import CallId

INCOMING_CALL_TYPE = "realtime.call.incoming"
MAXIMUM_BODY_BYTES = 256 * 1024
"""An INVITE's headers fit many times over."""
SIGNATURE_HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")
"""Without one of them, nobody can have signed a request (Standard Webhooks)."""

_SAFE_ID = re.compile(r"[\x21-\x7e]{1,200}")


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherWebhook:
    """A webhook that is answered 200 and otherwise ignored."""

    type: str
    why: str


Webhook = IncomingCall | OtherWebhook


class WebhookVerifier:
    """Checks signatures against every secret that is valid now: two during a rotation."""

    def __init__(self, secrets: Sequence[str]) -> None:
        """``secrets`` are ``whsec_…`` strings, at least one; raises `UserError` for a malformed one."""
        if not secrets:
            raise UserError(
                "No webhook secret is known; set OPENAI_WEBHOOK_SECRET to the endpoint's whsec_… secret."
            )
        self._secrets = tuple(secrets)
        # The key is not used: this object is the package's door to its signature check.
        self._webhooks = openai.AsyncOpenAI(api_key="unused").webhooks

    def verify(self, body: bytes, headers: Mapping[str, str]) -> str:
        """Return the ``webhook-id`` of a request that is authentic and at most five minutes old.

        Raises `WebhookSignatureError` otherwise; the message names what is wrong, never a secret.
        """
        reason = ""
        for secret in self._secrets:
            try:
                self._webhooks.verify_signature(body, headers, secret=secret)
            except (ValueError, TypeError) as error:
                # ValueError covers a missing header, a bad signature, a bad timestamp, a body that is no
                # UTF-8; TypeError is a signature with non-ASCII characters.
                reason = str(error).splitlines()[0][:200] if isinstance(error, ValueError) else "not ASCII"
                continue
            webhook_id = headers["webhook-id"]
            if not _SAFE_ID.fullmatch(webhook_id):
                raise WebhookSignatureError("The webhook-id is not 1 to 200 printable ASCII characters.")
            return webhook_id
        raise WebhookSignatureError(f"The request is not signed by a secret we know: {reason}")


def parse_webhook(body: bytes, webhook_id: str) -> Webhook:
    """Read the body of a verified webhook.

    Unknown types, and incoming calls whose ``data`` is empty (the dashboard's test event), are
    `OtherWebhook`. Raises `WebhookBodyError` for what is no JSON object, and for an incoming call whose
    ``data`` has a shape that the API does not document.
    """
    try:
        event = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise WebhookBodyError(f"The body is no JSON: {error}") from error
    if not isinstance(event, dict) or not isinstance(event.get("type"), str):
        raise WebhookBodyError('The body is no JSON object with a string in "type".')
    event_type: str = event["type"]
    if event_type != INCOMING_CALL_TYPE:
        return OtherWebhook(type=event_type[:100], why="not a type that this service handles")
    data = event.get("data")
    if not data:
        return OtherWebhook(type=event_type, why="its data is empty, as in a test event from the dashboard")
    if not isinstance(data, dict):
        raise WebhookBodyError('The "data" of an incoming call is no object.')
    call_id = data.get("call_id")
    if not isinstance(call_id, str) or not _SAFE_ID.fullmatch(call_id):
        raise WebhookBodyError(
            'The "call_id" of an incoming call is no string of 1 to 200 printable characters.'
        )
    headers = _headers(data.get("sip_headers"))
    first: dict[str, str] = {}
    for name, value in headers:
        first.setdefault(name.lower(), value)
    caller, dialled = read_numbers(headers, NumberRules())
    security = data.get("sip_media_security")
    return IncomingCall(
        call_id=CallId(call_id),
        webhook_id=webhook_id,
        caller=caller,
        dialled=dialled,
        sip_call_id=first.get("call-id") or first.get("i"),
        sip_headers=headers,
        media_security=whole(security) if isinstance(security, str) else None,
    )


def _headers(value: object) -> tuple[tuple[str, str], ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise WebhookBodyError('The "sip_headers" of an incoming call are no list.')
    return tuple(
        (whole(entry["name"]), whole(entry["value"]))
        for entry in value
        if isinstance(entry, dict)
        and isinstance(entry.get("name"), str)
        and isinstance(entry.get("value"), str)
    )


class SeenWebhooks:
    """Remembers which webhooks and calls were taken, for an hour, at most ``capacity`` of each.

    A delivery can repeat without any failure, and a retry keeps its ``webhook-id``; two endpoints, or a
    rotated one, may announce the same call under two ids. Pure: ``now`` in seconds on any clock.
    """

    def __init__(self, *, capacity: int = 100_000, keep_s: float = 3600.0) -> None:
        self._capacity = capacity
        self._keep_s = keep_s
        self._seen: OrderedDict[tuple[str, str], float] = OrderedDict()

    def take(self, call: IncomingCall, now: float) -> bool:
        """True for the first announcement of a call; False for every repetition."""
        self._forget(now)
        keys = (("webhook", call.webhook_id), ("call", str(call.call_id)))
        new = not any(key in self._seen for key in keys)
        for key in keys:
            self._seen.setdefault(key, now)
        return new

    def knows(self, call: IncomingCall, now: float) -> bool:
        """Whether `take` would refuse ``call``. Nothing is remembered."""
        self._forget(now)
        return ("webhook", call.webhook_id) in self._seen or ("call", str(call.call_id)) in self._seen

    def _forget(self, now: float) -> None:
        while self._seen and (
            len(self._seen) > 2 * self._capacity or next(iter(self._seen.values())) < now - self._keep_s
        ):
            self._seen.popitem(last=False)
