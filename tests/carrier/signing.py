"""Signs as carriers do, with packages that share no code with us."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from urllib.parse import urlencode

from nacl.signing import SigningKey
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]

from sipagent.carrier.base import Delivery, Purpose
from sipagent.carrier.tokens import LegToken

AUTH_TOKEN = "twilio-auth-token"
PUBLIC_URL = "https://phone.example.com"
TELNYX_KEY = SigningKey(b"\x07" * 32)
TELNYX_PUBLIC_KEY = b64encode(bytes(TELNYX_KEY.verify_key)).decode()
FORM = "application/x-www-form-urlencoded"


def twilio_headers(url: str, form: Mapping[str, str], auth_token: str = AUTH_TOKEN) -> dict[str, str]:
    """The headers of a form post of Twilio's to ``url``."""
    signature = RequestValidator(auth_token).compute_signature(url, dict(form))
    return {"x-twilio-signature": signature, "content-type": FORM}


def telnyx_headers(body: bytes, at_s: float, key: SigningKey = TELNYX_KEY) -> dict[str, str]:
    """The headers of a webhook of Telnyx' at ``at_s``."""
    stamp = str(int(at_s))
    signature = key.sign(f"{stamp}|".encode() + body).signature
    return {"telnyx-timestamp": stamp, "telnyx-signature-ed25519": b64encode(signature).decode()}


def form_delivery(
    purpose: Purpose,
    form: Mapping[str, str],
    *,
    mount: str = "/carriers/twilio",
    token: LegToken | None = None,
    query: str = "",
    headers: Mapping[str, str] | None = None,
) -> Delivery:
    """A form post as the endpoint hands it over."""
    url = f"{PUBLIC_URL}{mount}/{purpose}{query}"
    return Delivery(
        purpose=purpose,
        url=url,
        headers=twilio_headers(url, form) if headers is None else headers,
        body=urlencode(form).encode(),
        token=token,
    )
