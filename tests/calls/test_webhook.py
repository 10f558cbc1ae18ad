"""Webhooks: what is authentic, what a body means, and what counts as seen."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.calls.incoming import IncomingCall
from sipagent.calls.webhook import OtherWebhook, SeenWebhooks, WebhookVerifier, parse_webhook
from sipagent.clock import unix_s
from sipagent.errors import UserError, WebhookBodyError, WebhookSignatureError
from sipagent.identifiers import CallId

OLD = "whsec_" + base64.b64encode(b"old secret, 32 bytes long, really").decode()
NEW = "whsec_" + base64.b64encode(b"new secret, 32 bytes long, really").decode()


def sign(
    body: bytes, *, secret: str = NEW, webhook_id: str = "wh_1", at: float | None = None
) -> dict[str, str]:
    timestamp = str(int(unix_s() if at is None else at))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{webhook_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
    }


def incoming(headers: list[tuple[str, str]] | None = None, **data: Any) -> bytes:
    body = {
        "object": "event",
        "id": "evt_1",
        "type": "realtime.call.incoming",
        "created_at": 1_760_000_000,
        "data": {
            "call_id": "rtc_u1_abc",
            "sip_headers": [{"name": name, "value": value} for name, value in headers or []],
            **data,
        },
    }
    return json.dumps(body).encode()


def parsed(headers: list[tuple[str, str]]) -> IncomingCall:
    call = parse_webhook(incoming(headers), "wh_1")
    assert isinstance(call, IncomingCall)
    return call


@pytest.mark.parametrize("secret", [OLD, NEW])
def test_both_secrets_are_good_during_a_rotation(secret: str) -> None:
    verifier = WebhookVerifier([NEW, OLD])
    body = incoming()
    assert verifier.verify(body, sign(body, secret=secret, webhook_id="wh_77")) == "wh_77"


def test_a_service_without_a_secret_does_not_start() -> None:
    with pytest.raises(UserError, match="OPENAI_WEBHOOK_SECRET"):
        WebhookVerifier([])


BODY = incoming()


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (BODY, sign(BODY, secret="whsec_" + base64.b64encode(b"somebody else's").decode())),
        (BODY + b" ", sign(BODY)),
        (BODY, sign(BODY, at=unix_s() - 3600)),
        (BODY, sign(BODY, at=unix_s() + 3600)),
        (BODY, {**sign(BODY), "webhook-timestamp": "yesterday"}),
        (BODY, {**sign(BODY), "webhook-signature": "v1,☎"}),
        (BODY, {**sign(BODY), "webhook-signature": ""}),
        (BODY, {}),
        (b"\xff\xfe", sign(b"\xff\xfe")),
        (BODY, sign(BODY, webhook_id="wh 1")),
        (BODY, sign(BODY, webhook_id="w" * 201)),
    ],
    ids=[
        "forged",
        "changed",
        "stale",
        "future",
        "no time",
        "not ascii",
        "empty",
        "unsigned",
        "no utf-8",
        "id",
        "long",
    ],
)
def test_what_is_not_authentic_is_refused_without_a_secret_in_the_message(
    body: bytes, headers: dict[str, str]
) -> None:
    with pytest.raises(WebhookSignatureError) as caught:
        WebhookVerifier([NEW, OLD]).verify(body, headers)
    assert NEW not in str(caught.value)
    assert NEW.removeprefix("whsec_") not in str(caught.value)


def test_an_incoming_call_becomes_a_value_with_its_headers_in_order() -> None:
    headers = [
        ("Via", "SIP/2.0/TLS a"),
        ("Via", "SIP/2.0/TLS b"),
        ("From", '"Ann" <sip:+15550100123@carrier.test>;tag=15550199'),
        ("To", "<sip:+15550100000@sip.example>"),
        ("Call-ID", "abc@carrier"),
    ]
    call = parse_webhook(incoming(headers, sip_media_security="srtp"), "wh_9")
    assert call == IncomingCall(
        call_id=CallId("rtc_u1_abc"),
        webhook_id="wh_9",
        caller="+15550100123",
        dialled="+15550100000",
        sip_call_id="abc@carrier",
        sip_headers=tuple(headers),
        media_security="srtp",
    )


@pytest.mark.parametrize(
    ("headers", "dialled"),
    [
        (
            [
                ("To", "<sip:proj_demo@sip.api.openai.test>"),
                ("Diversion", "<sip:+15550100007@t.test>;reason=x"),
            ],
            "+15550100007",
        ),
        ([("to", "sip:+1(555)010-0000@x.test;user=phone")], "+15550100000"),
        ([("To", '"15550199999" <tel:+15550100000>')], "+15550100000"),
        ([("To", "<sip:reception@x.test>")], "reception"),
        ([("To", "<sip:proj_demo@x.test>")], None),
        ([("To", "nonsense")], None),
        ([], None),
    ],
)
def test_the_dialled_number_is_read_inside_the_brackets_only(
    headers: list[tuple[str, str]], dialled: str | None
) -> None:
    assert parsed(headers).dialled == dialled


@pytest.mark.parametrize(
    ("headers", "caller"),
    [
        (
            [("From", "<sip:anonymous@anonymous.invalid>"), ("P-Asserted-Identity", "<tel:+15550100123>")],
            "+15550100123",
        ),
        ([("From", '"Anonymous" <sip:anonymous@anonymous.invalid>;tag=1')], None),
        ([("From", "<sips:alice@example.test>")], "alice"),
    ],
)
def test_the_caller_is_asserted_identity_before_from(
    headers: list[tuple[str, str]], caller: str | None
) -> None:
    assert parsed(headers).caller == caller


@pytest.mark.parametrize("event_type", ["live.transport.incoming", "response.completed", "anything at all"])
def test_other_types_are_taken_and_ignored(event_type: str) -> None:
    webhook = parse_webhook(json.dumps({"type": event_type, "data": {"id": "x"}}).encode(), "wh_1")
    assert webhook == OtherWebhook(type=event_type, why="not a type that this service handles")


@pytest.mark.parametrize("data", [None, {}])
def test_the_dashboards_test_event_with_empty_data_starts_nothing(data: object) -> None:
    webhook = parse_webhook(json.dumps({"type": "realtime.call.incoming", "data": data}).encode(), "wh_1")
    assert isinstance(webhook, OtherWebhook)
    assert "empty" in webhook.why


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b"{}",
        b'{"type": 5}',
        b'{"type": "realtime.call.incoming", "data": [1]}',
        b'{"type": "realtime.call.incoming", "data": {"sip_headers": []}}',
        b'{"type": "realtime.call.incoming", "data": {"call_id": ""}}',
        b'{"type": "realtime.call.incoming", "data": {"call_id": "a/b c"}}',
        b'{"type": "realtime.call.incoming", "data": {"call_id": "rtc_1", "sip_headers": {}}}',
        b"[" * 100_000,
    ],
)
def test_a_body_of_another_shape_is_a_bad_body(body: bytes) -> None:
    with pytest.raises(WebhookBodyError):
        parse_webhook(body, "wh_1")


def test_headers_that_are_no_pairs_of_strings_are_left_out() -> None:
    body = json.loads(incoming([("To", "<tel:+15550100000>")]))
    body["data"]["sip_headers"] += [None, {"name": 1, "value": "x"}, {"name": "X"}]
    call = parse_webhook(json.dumps(body).encode(), "wh_1")
    assert isinstance(call, IncomingCall)
    assert call.sip_headers == (("To", "<tel:+15550100000>"),)


@given(
    st.lists(
        st.tuples(st.sampled_from(["To", "From", "Diversion", "P-Asserted-Identity"]), st.text()), max_size=6
    )
)
def test_no_header_value_breaks_the_parser(headers: list[tuple[str, str]]) -> None:
    call = parsed(headers)
    for number in (call.caller, call.dialled):
        assert number is None or 0 < len(number) <= 100


def call(call_id: str, webhook_id: str) -> IncomingCall:
    webhook = parse_webhook(incoming(call_id=call_id), webhook_id)
    assert isinstance(webhook, IncomingCall)
    return webhook


def test_a_call_is_taken_once_by_webhook_id_and_by_call_id() -> None:
    seen = SeenWebhooks()
    assert seen.take(call("rtc_1", "wh_1"), 0.0)
    assert not seen.take(call("rtc_1", "wh_1"), 1.0), "a repeated delivery"
    assert not seen.take(call("rtc_1", "wh_2"), 2.0), "the same call through another endpoint"
    assert not seen.take(call("rtc_2", "wh_1"), 3.0), "a replayed id with another body"
    assert seen.take(call("rtc_3", "wh_3"), 4.0)


def test_what_was_seen_is_forgotten_after_its_time_and_beyond_its_capacity() -> None:
    seen = SeenWebhooks(capacity=2, keep_s=100.0)
    assert seen.take(call("rtc_1", "wh_1"), 0.0)
    assert not seen.take(call("rtc_1", "wh_1"), 99.0)
    assert seen.take(call("rtc_1", "wh_1"), 201.0)
    for number in range(2, 10):
        assert seen.take(call(f"rtc_{number}", f"wh_{number}"), 202.0)
    assert seen.take(call("rtc_1", "wh_1"), 203.0), "the oldest gave way"
