"""Twilio's voice webhooks: form posts with a signature, answered with TwiML. Pure.

Source of the signature: https://www.twilio.com/docs/usage/security#validating-requests
"""

from __future__ import annotations

import hashlib
import hmac
import math
from base64 import b64encode
from collections.abc import Sequence
from datetime import datetime
from urllib.parse import SplitResult, parse_qs, parse_qsl, urlsplit

from sipagent.calls.incoming import CarrierLeg
from sipagent.carrier.base import CarrierAnswer, Delivery, Instruction, Message, Purpose
from sipagent.carrier.forms import MOST_FIELDS, read_form
from sipagent.carrier.markup import TWIML, render
from sipagent.carrier.tokens import Retired
from sipagent.errors import UserError, WebhookSignatureError

SIGNATURE_HEADER = "x-twilio-signature"
SETTINGS_HEADER = "x-twilio-webhooks-signature-settings"
"""Says the algorithm, where a shared key signs in place of the account's auth token."""
_FORM = "application/x-www-form-urlencoded"


class Twilio:
    """One account of Twilio's. Implements `sipagent.carrier.base.Carrier`."""

    name = "twilio"
    interface = ""
    mount = "/carriers/twilio"
    signs_address = True
    purposes: tuple[Purpose, ...] = ("voice", "next", "status", "offer", "refer")

    def __init__(self, auth_tokens: Sequence[str], former: Sequence[Retired] = ()) -> None:
        """A signature by any of ``auth_tokens`` is good, and one by those of ``former`` while they hold.
        Raises `UserError` for none, or an empty one."""
        if not (auth_tokens or former) or not all(auth_tokens):
            raise UserError("Twilio has no auth token: set TWILIO_AUTH_TOKEN to the account's.")
        self._keys = (
            *((token.encode(), math.inf, math.inf) for token in auth_tokens),
            *((one.value.encode(), one.calls_until_s, one.until_s) for one in former),
        )

    def verify(self, delivery: Delivery, now_s: float) -> float:
        """As `Carrier.verify`. Twilio signs no time: what is old must be known by other signs."""
        given = delivery.headers.get(SIGNATURE_HEADER, "")
        if not given:
            raise WebhookSignatureError("The request is not signed: it has no X-Twilio-Signature.")
        algorithm = _algorithm(delivery.headers.get(SETTINGS_HEADER, ""))
        # Every key is tried, whichever fits: how long it takes tells nothing.
        good = [
            calls_until_s
            for signed in _signed_texts(delivery)
            for key, calls_until_s, until_s in self._keys
            if hmac.compare_digest(
                given.encode("utf-8", "replace"), b64encode(hmac.digest(key, signed, algorithm))
            )
            and now_s <= until_s
        ]
        if not good:
            raise WebhookSignatureError("The signature is by no auth token that is known here.")
        return max(good)

    def fingerprint(self, delivery: Delivery) -> str:
        """The signature: it is made of the address and of every field."""
        return f"twilio {delivery.headers[SIGNATURE_HEADER]}"

    def read(self, delivery: Delivery, now: datetime, country: str | None) -> tuple[Message, ...]:
        """As `Carrier.read`."""
        return read_form(self.name, self.interface, delivery, now, country)

    def answer(self, instruction: Instruction | None, leg: CarrierLeg, *, answered: bool) -> CarrierAnswer:
        """As `Carrier.answer`, with TwiML."""
        if instruction is None:
            # For a callback that asks for instructions, no verb is the end of the call.
            return CarrierAnswer(body="<Response/>", content_type="text/xml")
        return CarrierAnswer(body=render(instruction, TWIML), content_type="text/xml")


# Inside ------------------------------------------------------------------------------------------------


def _algorithm(settings: str) -> str:
    for part in settings.split(","):
        name, _, value = part.partition("=")
        if name.strip().lower() == "algorithm" and value.strip().upper() == "HMAC_SHA256":
            return "sha256"
    return "sha1"


def _signed_texts(delivery: Delivery) -> list[bytes]:
    """What Twilio may have signed: with the port of the address, and without."""
    parameters = ""
    if delivery.headers.get("content-type", _FORM).partition(";")[0].strip().lower() == _FORM:
        parameters = _joined(delivery.body)
    else:
        # Of any other body, the address holds a digest.
        digest = parse_qs(urlsplit(delivery.url).query).get("bodySHA256", [""])[0].lower()
        actual = hashlib.sha256(delivery.body).hexdigest()
        if not hmac.compare_digest(actual.encode(), digest.encode("utf-8", "replace")):
            raise WebhookSignatureError("The body is not the one that was signed.")
    return [(url + parameters).encode("utf-8", "replace") for url in _addresses(delivery.url)]


def _joined(body: bytes) -> str:
    """Names and values in the order of the names, nothing between; of a repeated name each value once."""
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict")
    except ValueError as error:
        raise WebhookSignatureError("The body is no form, and nothing else is signed.") from error
    return "".join(name + value for name, value in sorted(set(pairs)))


def _addresses(url: str) -> list[str]:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    if parts.port is not None:
        bare = parts.netloc.removesuffix(f":{parts.port}")
        return [url, _with(parts, url, bare)]
    if not host or host.endswith(":"):
        return [url]
    port = 443 if parts.scheme == "https" else 80
    return [url, _with(parts, url, f"{parts.netloc}:{port}")]


def _with(parts: SplitResult, url: str, netloc: str) -> str:
    """``url`` at another host and port; the rest stays as it is written, to the character."""
    return url.replace(f"//{parts.netloc}", f"//{netloc}", 1)
