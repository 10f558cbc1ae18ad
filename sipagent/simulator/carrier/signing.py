"""The signatures carriers put on their requests, made from their public documentation. Pure.

Twilio, "Webhooks security": HMAC-SHA1, keyed with the account's auth token, over the URL followed by each
POST parameter's name and value, sorted by name. Telnyx, "Webhook signing": Ed25519 over
``timestamp|body``.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import TYPE_CHECKING

from sipagent.errors import SimulatorError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def twilio_signature(url: str, parameters: Mapping[str, str], auth_token: str) -> str:
    """What ``X-Twilio-Signature`` holds; ``parameters`` are empty for a GET, whose URL has them."""
    signed = url + "".join(f"{name}{parameters[name]}" for name in sorted(parameters))
    return base64.b64encode(hmac.new(auth_token.encode(), signed.encode(), hashlib.sha1).digest()).decode()


class TelnyxKey:
    """An Ed25519 key pair of a pretended Telnyx account.

    Raises `SimulatorError` when the package `cryptography` is not installed.
    """

    def __init__(self) -> None:
        try:
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        except ImportError as error:
            raise SimulatorError("a pretended Telnyx needs the package 'cryptography' to sign") from error
        self._private: Ed25519PrivateKey = Ed25519PrivateKey.generate()

    @property
    def public_key(self) -> str:
        """Base64, as the portal shows it."""
        return base64.b64encode(self._private.public_key().public_bytes_raw()).decode()

    def sign(self, timestamp: str, body: bytes) -> str:
        """What ``telnyx-signature-ed25519`` holds."""
        return base64.b64encode(self._private.sign(timestamp.encode() + b"|" + body)).decode()
