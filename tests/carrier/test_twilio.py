"""Twilio's signature, held against its published example and its own package."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]

from sipagent.carrier.base import Delivery, HangUp
from sipagent.carrier.twilio import Twilio
from sipagent.errors import UserError, WebhookSignatureError
from tests.carrier.legs import LEG, NOW_S
from tests.carrier.signing import AUTH_TOKEN, FORM, form_delivery

TWILIO = Twilio([AUTH_TOKEN, "older"])
NAMES = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=20)


def published(**changes: str) -> Delivery:
    """The example of https://www.twilio.com/docs/usage/security, whose auth token is 12345."""
    form = {
        "CallSid": "CA1234567890ABCDE",
        "Caller": "+14158675309",
        "Digits": "1234",
        "From": "+14158675309",
        "To": "+18005551212",
    }
    return Delivery(
        purpose="voice",
        url=changes.get("url", "https://mycompany.com/myapp.php?foo=1&bar=2"),
        headers={
            "x-twilio-signature": changes.get("signature", "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
            "content-type": changes.get("content_type", FORM),
        },
        body=urlencode(form | {name: changes[name] for name in form if name in changes}).encode(),
        token=None,
    )


def test_the_published_example() -> None:
    Twilio(["12345"]).verify(published(), NOW_S)
    Twilio(["67890", "12345"]).verify(published(), NOW_S)


@pytest.mark.parametrize(
    "changes",
    [
        {"Digits": "1235"},
        {"url": "https://mycompany.com/myapp.php?foo=1&bar=3"},
        {"url": "https://mycompany.com/myapp.php?bar=2&foo=1"},
        {"url": "http://mycompany.com/myapp.php?foo=1&bar=2"},
        {"signature": "RSOYDt4T1cUTdK1PDd93/VVr8B9="},
        {"signature": "RSOYDt4T1cUTdK1PDd93/VVr8B8"},
        {"signature": ""},
        {"signature": "ü"},
        {"content_type": "application/json"},
        {"content_type": "text/plain"},
    ],
)
def test_anything_else_is_forged(changes: dict[str, str]) -> None:
    with pytest.raises(WebhookSignatureError):
        Twilio(["12345"]).verify(published(**changes), NOW_S)


@given(form=st.dictionaries(NAMES, st.text(alphabet=st.characters(codec="utf-8"), max_size=30), max_size=8))
def test_what_their_package_signs_is_good(form: dict[str, str]) -> None:
    TWILIO.verify(form_delivery("voice", form), NOW_S)


@pytest.mark.parametrize("url_port", ["", ":443", ":8443"])
@pytest.mark.parametrize("signed_port", ["", ":443", ":8443"])
def test_the_port_may_be_left_out_and_added(url_port: str, signed_port: str) -> None:
    """As in their package: what it takes, we take."""
    form = {"CallSid": "CA1", "Empty": ""}
    validator = RequestValidator(AUTH_TOKEN)
    signature = validator.compute_signature(f"https://x.example{signed_port}/a?b=c", form)
    url = f"https://x.example{url_port}/a?b=c"
    delivery = replace(
        form_delivery("voice", form), url=url, headers={"x-twilio-signature": signature, "content-type": FORM}
    )
    if validator.validate(url, form, signature):
        TWILIO.verify(delivery, NOW_S)
    else:
        with pytest.raises(WebhookSignatureError):
            TWILIO.verify(delivery, NOW_S)


def test_repeated_fields() -> None:
    """Each value counts once, in order."""
    text = "https://x.example/a" + "Aone" + "Atwo"
    signature = RequestValidator(AUTH_TOKEN).compute_signature(text, {})
    delivery = Delivery(
        purpose="voice",
        url="https://x.example/a",
        headers={"x-twilio-signature": signature, "content-type": FORM},
        body=b"A=two&A=one&A=two",
        token=None,
    )
    TWILIO.verify(delivery, NOW_S)


def test_a_body_of_json() -> None:
    body = b'{"a":1}'
    url = f"https://x.example/a?bodySHA256={hashlib.sha256(body).hexdigest()}"
    signature = RequestValidator(AUTH_TOKEN).compute_signature(url, {})
    headers = {"x-twilio-signature": signature, "content-type": "application/json"}
    delivery = Delivery(purpose="status", url=url, headers=headers, body=body, token=None)
    TWILIO.verify(delivery, NOW_S)
    with pytest.raises(WebhookSignatureError, match="body"):
        TWILIO.verify(replace(delivery, body=b'{"a":2}'), NOW_S)
    bare = RequestValidator(AUTH_TOKEN).compute_signature("https://x.example/a", {})
    unsigned = replace(delivery, url="https://x.example/a", headers=headers | {"x-twilio-signature": bare})
    with pytest.raises(WebhookSignatureError, match="body"):
        TWILIO.verify(unsigned, NOW_S)


def test_a_shared_key_signs_with_another_algorithm() -> None:
    form = {"CallSid": "CA1"}
    delivery = form_delivery("voice", form)
    signature = RequestValidator(AUTH_TOKEN).compute_signature(delivery.url, form, "HMAC_SHA256")
    headers = {
        "x-twilio-signature": signature,
        "x-twilio-webhooks-signature-settings": "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256",
        "content-type": FORM,
    }
    TWILIO.verify(replace(delivery, headers=headers), NOW_S)
    del headers["x-twilio-webhooks-signature-settings"]
    with pytest.raises(WebhookSignatureError):
        TWILIO.verify(replace(delivery, headers=headers), NOW_S)


@pytest.mark.parametrize("body", [b"\xff\xfe", b"a=%ff", b"&".join(b"a%d=1" % n for n in range(500))])
def test_a_body_that_is_no_form(body: bytes) -> None:
    with pytest.raises(WebhookSignatureError):
        TWILIO.verify(replace(form_delivery("voice", {}), body=body), NOW_S)


@pytest.mark.parametrize("auth_tokens", [[], [""]])
def test_no_token_is_a_mistake(auth_tokens: list[str]) -> None:
    with pytest.raises(UserError, match="auth token"):
        Twilio(auth_tokens)


def test_answers() -> None:
    answer = TWILIO.answer(HangUp(), LEG, answered=True)
    assert (answer.status, answer.content_type, answer.commands) == (200, "text/xml", ())
    assert answer.body.endswith("<Response><Hangup /></Response>")
    assert TWILIO.answer(None, LEG, answered=True).body == "<Response/>"


def test_a_fingerprint_is_of_what_is_signed() -> None:
    one, other = form_delivery("voice", {"CallSid": "CA1"}), form_delivery("voice", {"CallSid": "CA2"})
    assert TWILIO.fingerprint(one) == TWILIO.fingerprint(replace(one, headers={**one.headers, "x": "y"}))
    assert TWILIO.fingerprint(one) != TWILIO.fingerprint(other)
