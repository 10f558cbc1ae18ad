"""Telnyx' signature, made with another package than the one that checks it."""

from __future__ import annotations

import builtins
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from nacl.signing import SigningKey

from sipagent.carrier.base import Delivery, HangUp
from sipagent.carrier.telnyx import LONGEST_AGE_S, TelnyxSignatures, TelnyxTexml
from sipagent.errors import UserError, WebhookLateError, WebhookSignatureError
from tests.carrier.legs import NOW_S, TEXML_LEG
from tests.carrier.signing import TELNYX_KEY, TELNYX_PUBLIC_KEY, telnyx_headers

OTHER = SigningKey(b"\x08" * 32)
OTHER_PUBLIC_KEY = b64encode(bytes(OTHER.verify_key)).decode()
SIGNATURES = TelnyxSignatures([TELNYX_PUBLIC_KEY])
BODY = b"CallSid=v3%3Aa&CallStatus=ringing"


def delivery(headers: Mapping[str, str], body: bytes = BODY) -> Delivery:
    return Delivery(purpose="voice", url="https://x/y", headers=headers, body=body, token=None)


def test_what_they_sign_is_good() -> None:
    SIGNATURES.verify(delivery(telnyx_headers(BODY, NOW_S)), NOW_S)


def test_rotation() -> None:
    both = TelnyxSignatures([OTHER_PUBLIC_KEY, TELNYX_PUBLIC_KEY])
    for key in (TELNYX_KEY, OTHER):
        both.verify(delivery(telnyx_headers(BODY, NOW_S, key)), NOW_S)
    with pytest.raises(WebhookSignatureError):
        SIGNATURES.verify(delivery(telnyx_headers(BODY, NOW_S, OTHER)), NOW_S)


@pytest.mark.parametrize(
    "changes",
    [
        {"telnyx-timestamp": str(NOW_S + 1)},
        {"telnyx-timestamp": ""},
        {"telnyx-timestamp": "now"},
        {"telnyx-timestamp": "-5"},
        {"telnyx-timestamp": "1" * 300},
        {"telnyx-timestamp": "١٢٣"},
        {"telnyx-signature-ed25519": ""},
        {"telnyx-signature-ed25519": "AAAA"},
        {"telnyx-signature-ed25519": "no base64"},
        {"telnyx-signature-ed25519": b64encode(b"\0" * 64).decode()},
    ],
)
def test_anything_else_is_forged(changes: dict[str, str]) -> None:
    with pytest.raises(WebhookSignatureError):
        SIGNATURES.verify(delivery(telnyx_headers(BODY, NOW_S) | changes), NOW_S)


def test_another_body_is_forged() -> None:
    with pytest.raises(WebhookSignatureError):
        SIGNATURES.verify(delivery(telnyx_headers(BODY, NOW_S), BODY + b"&x=y"), NOW_S)


@pytest.mark.parametrize("sign", [1, -1])
def test_late_and_early(sign: int) -> None:
    headers = telnyx_headers(BODY, NOW_S)
    SIGNATURES.verify(delivery(headers), NOW_S + sign * LONGEST_AGE_S)
    with pytest.raises(WebhookLateError):
        SIGNATURES.verify(delivery(headers), NOW_S + sign * (LONGEST_AGE_S + 1))


@pytest.mark.parametrize("keys", [[], [""], ["no base64"], [b64encode(b"short").decode()]])
def test_a_key_that_is_none_is_a_mistake(keys: list[str]) -> None:
    with pytest.raises(UserError, match="public key"):
        TelnyxSignatures(keys)


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: Any) -> Any:
        if name.startswith("cryptography"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(UserError, match=r"sipagent\[telnyx\]"):
        TelnyxSignatures([TELNYX_PUBLIC_KEY])


def test_texml() -> None:
    texml = TelnyxTexml(SIGNATURES)
    one = delivery(telnyx_headers(BODY, NOW_S))
    texml.verify(one, NOW_S)
    again = delivery(telnyx_headers(BODY, NOW_S + 20))
    assert texml.fingerprint(one) == texml.fingerprint(again), "a second try has a time of its own"
    assert texml.fingerprint(one) != texml.fingerprint(replace(one, purpose="status"))
    assert "<Hangup />" in texml.answer(HangUp(), TEXML_LEG, answered=True).body
    assert texml.answer(None, TEXML_LEG, answered=True).body == "<Response/>"
