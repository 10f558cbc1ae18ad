"""Webhooks as the service would receive them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from openai import AsyncOpenAI, InvalidWebhookSignatureError

from sipagent.errors import SimulatorError
from sipagent.identifiers import CallId
from sipagent.simulator.webhooks import (
    WebhookAttempt,
    WebhookSender,
    WebhookSettings,
    incoming_call_body,
    new_secret,
    sign,
    signing_key,
)

SECRET = new_secret()
SETTINGS = WebhookSettings(timeout_s=5, retry_delays_s=(0.01, 0.01))
BODY = incoming_call_body(
    CallId("rtc_u1_x"), sip_headers=[("From", "<sip:a@b>")], media_security="rtp", created_at_s=1_760_000_000
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    body: bytes
    headers: dict[str, str]


@dataclass(slots=True, kw_only=True)
class Receiver:
    """Answers with the statuses it was given, the last one again and again."""

    statuses: list[int] = field(default_factory=lambda: [200])
    received: list[Received] = field(default_factory=list)
    url: str = ""

    async def take(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.received.append(Received(body=await request.read(), headers=headers))
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return web.Response(status=status, headers={"Location": "/elsewhere"} if status == 302 else None)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", receiver.take)
    async with TestServer(app) as server:
        receiver.url = str(server.make_url("/webhooks/openai"))
        yield receiver


@pytest.fixture
async def sender(receiver: Receiver) -> AsyncIterator[WebhookSender]:
    async with aiohttp.ClientSession() as http:
        yield WebhookSender(http=http, secret=SECRET, url=receiver.url, settings=SETTINGS)


async def deliver(sender: WebhookSender, *, forged: bool = False, copies: int = 1) -> list[WebhookAttempt]:
    attempts: list[WebhookAttempt] = []
    delivered = await sender.deliver(BODY, attempts=attempts, forged=forged, copies=copies)
    assert delivered == (not forged and any(attempt.delivered for attempt in attempts))
    return attempts


async def test_the_official_client_unwraps_it(receiver: Receiver, sender: WebhookSender) -> None:
    await deliver(sender)
    (received,) = receiver.received
    client = AsyncOpenAI(api_key="sk-test", webhook_secret=SECRET)
    event = client.webhooks.unwrap(received.body, received.headers)
    assert event.type == "realtime.call.incoming"
    assert event.data.call_id == "rtc_u1_x"
    assert event.created_at == 1_760_000_000
    assert received.headers["user-agent"].startswith("OpenAI/1.0")
    assert received.headers["content-type"] == "application/json"
    assert received.headers["webhook-id"].startswith("wh_")


async def test_a_forged_one_fails_verification_and_is_not_repeated(
    receiver: Receiver, sender: WebhookSender
) -> None:
    receiver.statuses = [400]
    attempts = await deliver(sender, forged=True)
    assert [attempt.status for attempt in attempts] == [400]
    (received,) = receiver.received
    client = AsyncOpenAI(api_key="sk-test", webhook_secret=SECRET)
    with pytest.raises(InvalidWebhookSignatureError):
        client.webhooks.unwrap(received.body, received.headers)


@pytest.mark.parametrize("failure", [302, 400, 500])
async def test_anything_but_2xx_is_repeated_under_the_same_id_and_signed_anew(
    receiver: Receiver, sender: WebhookSender, failure: int
) -> None:
    receiver.statuses = [failure, failure, 204]
    attempts = await deliver(sender)
    assert [attempt.status for attempt in attempts] == [failure, failure, 204]
    assert len({received.headers["webhook-id"] for received in receiver.received}) == 1
    client = AsyncOpenAI(api_key="sk-test", webhook_secret=SECRET)
    for received in receiver.received:
        client.webhooks.verify_signature(received.body, received.headers)


async def test_it_is_given_up_when_the_schedule_is_used_up(receiver: Receiver, sender: WebhookSender) -> None:
    receiver.statuses = [503]
    assert [attempt.status for attempt in await deliver(sender)] == [503, 503, 503]


async def test_duplicates_share_their_id(receiver: Receiver, sender: WebhookSender) -> None:
    await deliver(sender, copies=2)
    assert len(receiver.received) == 2
    assert len({received.headers["webhook-id"] for received in receiver.received}) == 1


async def test_nobody_at_the_address_is_an_attempt_without_a_status(sender: WebhookSender) -> None:
    for url in ("http://127.0.0.1:1/webhooks", "no url at all", None):
        sender.url = url
        attempts = await deliver(sender)
        assert len(attempts) == 3
        assert all(attempt.status is None and attempt.error for attempt in attempts)


async def test_an_answer_that_takes_too_long_is_a_failure(receiver: Receiver) -> None:
    released = asyncio.Event()

    async def never(request: web.Request) -> web.Response:
        await released.wait()
        return web.Response()

    app = web.Application()
    app.router.add_post("/", never)
    settings = WebhookSettings(timeout_s=0.05, retry_delays_s=())
    async with TestServer(app) as server, aiohttp.ClientSession() as http:
        sender = WebhookSender(http=http, secret=SECRET, url=str(server.make_url("/")), settings=settings)
        (attempt,) = await deliver(sender)
        released.set()
    assert attempt.status is None
    assert attempt.error is not None
    assert "Timeout" in attempt.error


async def test_delivery_can_be_cancelled(receiver: Receiver, sender: WebhookSender) -> None:
    receiver.statuses = [500]
    task = asyncio.create_task(deliver(sender))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_headers_keep_order_repeats_and_case_but_not_credentials() -> None:
    headers = [
        ("Via", "one"),
        ("v", "two"),
        ("X-Thing", "ä"),
        ("AUTHORIZATION", "Digest secret"),
        ("Proxy-Authorization", "Digest secret"),
        ("Via", "one"),
    ]
    event = json.loads(
        incoming_call_body(CallId("rtc_1"), sip_headers=headers, media_security="srtp", created_at_s=5)
    )
    assert event["object"] == "event"
    assert event["id"].startswith("evt_")
    assert event["data"] == {
        "call_id": "rtc_1",
        "sip_headers": [
            {"name": "Via", "value": "one"},
            {"name": "v", "value": "two"},
            {"name": "X-Thing", "value": "ä"},
            {"name": "Via", "value": "one"},
        ],
        "sip_media_security": "srtp",
    }


def test_the_signature_is_that_of_the_standard() -> None:
    # The example of the Standard Webhooks specification.
    key = signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signature = sign(
        key, webhook_id="msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp_s=1614265330, body=b'{"test": 2432232314}'
    )
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_secret_without_prefix_is_its_own_bytes_and_a_broken_one_is_refused() -> None:
    assert signing_key("plain") == b"plain"
    with pytest.raises(SimulatorError, match="base64"):
        signing_key("whsec_%%%")
