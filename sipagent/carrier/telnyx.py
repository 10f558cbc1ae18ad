"""Telnyx' webhooks: their Ed25519 signature, and TeXML, which are form posts like Twilio's. Pure.

Sources: https://developers.telnyx.com/docs/voice/programmable-voice/voice-api-webhooks, the pages of TeXML.
"""

from __future__ import annotations

import hashlib
import math
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sipagent.calls.incoming import CarrierLeg
from sipagent.carrier.base import CarrierAnswer, Delivery, Instruction, Message, Purpose
from sipagent.carrier.forms import read_form
from sipagent.carrier.markup import TEXML, render
from sipagent.carrier.tokens import Retired
from sipagent.errors import UserError, WebhookLateError, WebhookSignatureError

SIGNATURE_HEADER = "telnyx-signature-ed25519"
TIMESTAMP_HEADER = "telnyx-timestamp"
LONGEST_AGE_S = 300
"""In both directions: clocks differ."""
TEXML_INTERFACE = "texml"


class TelnyxSignatures:
    """Checks that Telnyx sent something, by the public keys of an account: two during a rotation."""

    def __init__(self, public_keys: Sequence[str], former: Sequence[Retired] = ()) -> None:
        """``public_keys`` as the portal shows them: base64 of 32 bytes; those of ``former`` are good while
        they hold. Raises `UserError` for others, for none, and where the package `cryptography` is not
        installed."""
        try:
            from cryptography.exceptions import InvalidSignature
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        except ImportError as error:
            raise UserError(
                "Telnyx signs with Ed25519, which needs a package: pip install 'sipagent[telnyx]'"
            ) from error
        if not (public_keys or former):
            raise UserError("Telnyx has no public key: set it to the one that the portal shows.")
        self._invalid: type[Exception] = InvalidSignature
        self._keys: list[tuple[Any, float, float]] = []
        known = [
            *((text, math.inf, math.inf) for text in public_keys),
            *((one.value, one.calls_until_s, one.until_s) for one in former),
        ]
        for text, calls_until_s, until_s in known:
            try:
                key = Ed25519PublicKey.from_public_bytes(b64decode(text, validate=True))
                self._keys.append((key, calls_until_s, until_s))
            except (ValueError, Base64Error) as error:
                raise UserError(
                    "A public key of Telnyx is not base64 of 32 bytes: copy it from the portal as it is."
                ) from error

    def verify(self, delivery: Delivery, now_s: float) -> float:
        """As `Carrier.verify`."""
        text = delivery.headers.get(TIMESTAMP_HEADER, "")
        given = delivery.headers.get(SIGNATURE_HEADER, "")
        if not text or not given:
            raise WebhookSignatureError(f"The request is not signed: it has no {SIGNATURE_HEADER} or time.")
        if not (text.isascii() and text.isdigit() and len(text) <= 12):
            raise WebhookSignatureError(f"{TIMESTAMP_HEADER} is no number of seconds.")
        try:
            signature = b64decode(given, validate=True)
        except (Base64Error, ValueError) as error:
            raise WebhookSignatureError(f"{SIGNATURE_HEADER} is no base64.") from error
        signed = text.encode() + b"|" + delivery.body
        good = [
            calls_until_s
            for key, calls_until_s, until_s in self._keys
            if now_s <= until_s and self._is_by(key, signature, signed)
        ]
        if not good:
            raise WebhookSignatureError("The signature is by no public key that is known here.")
        age_s = now_s - int(text)
        if abs(age_s) > LONGEST_AGE_S:
            raise WebhookLateError(f"The request was signed {age_s:.0f} seconds ago, by its own time.")
        return max(good)

    def _is_by(self, key: Any, signature: bytes, signed: bytes) -> bool:
        try:
            key.verify(signature, signed)
        except self._invalid:
            return False
        return True


class TelnyxTexml:
    """The TeXML applications of one account. Implements `sipagent.carrier.base.Carrier`."""

    name = "telnyx"
    interface = TEXML_INTERFACE
    mount = "/carriers/telnyx/texml"
    signs_address = False
    purposes: tuple[Purpose, ...] = ("voice", "next", "status", "offer")

    def __init__(self, signatures: TelnyxSignatures) -> None:
        self._signatures = signatures

    def verify(self, delivery: Delivery, now_s: float) -> float:
        """As `Carrier.verify`. The address is not signed: it proves nothing but by the token in it."""
        return self._signatures.verify(delivery, now_s)

    def fingerprint(self, delivery: Delivery) -> str:
        """Made of the body and of where it came to: a second try is signed anew, with another time."""
        body = hashlib.sha256(delivery.body).hexdigest()
        return f"texml {delivery.purpose} {body}"

    def read(self, delivery: Delivery, now: datetime, country: str | None) -> tuple[Message, ...]:
        """As `Carrier.read`."""
        return read_form(self.name, self.interface, delivery, now, country)

    def answer(self, instruction: Instruction | None, leg: CarrierLeg, *, answered: bool) -> CarrierAnswer:
        """As `Carrier.answer`, with TeXML."""
        if instruction is None:
            return CarrierAnswer(body="<Response/>", content_type="text/xml")
        return CarrierAnswer(body=render(instruction, TEXML), content_type="text/xml")
