from __future__ import annotations

import base64
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import openai
import pytest
import trustme
from aiohttp import web

from sipagent.clock import unix_s
from sipagent.config import see_account
from sipagent.doctor.finding import Finding, Verdict
from sipagent.doctor.webhook import Door, Reply, examine_webhook, no_webhook, read_signed, read_unsigned, sign
from tests.support.ports import free_port
from tests.support.practice import practice

SECRET = "whsec_c2VjcmV0IG9uZQ=="
OTHER = "whsec_c2VjcmV0IHR3bw=="

Handler = Callable[[web.Request], Awaitable[web.Response]]


async def knock(url: str, *, secret: str = SECRET, live: bool = False, late_s: float = 0) -> list[Finding]:
    account = see_account({"OPENAI_WEBHOOK_SECRET": secret})
    async with aiohttp.ClientSession() as http:
        return list(
            await examine_webhook(
                Door(url=url, account=account, must_be_public=live),
                http=http,
                timeout_s=5,
                now_s=unix_s() - late_s,
            )
        )


def told(findings: list[Finding]) -> list[tuple[Verdict, str]]:
    return [(finding.verdict, finding.said) for finding in findings if finding.verdict is not Verdict.HINT]


async def test_the_service_itself_knows_the_secret_and_takes_no_call() -> None:
    async with practice() as desk:
        url = desk.service.webhook_url
        assert told(await knock(url, secret=desk.simulator.webhook_secret)) == [
            (Verdict.OK, f"{url} is reached, and refuses what is not signed."),
            (Verdict.OK, "The service there knows our signing secret."),
        ]
        findings = await knock(url, secret=OTHER)
        assert findings[-1].verdict is Verdict.FAIL
        assert "does not take what our OPENAI_WEBHOOK_SECRET signs" in findings[-1].said
        assert told(await knock(url, secret=desk.simulator.webhook_secret, late_s=400))[-1][0] is Verdict.FAIL
        assert desk.service.live_calls == 0
        assert await desk.store.calls() == ()


async def test_without_a_whole_secret_only_the_refusal_is_tried() -> None:
    async with practice() as desk:
        for secret in ("", "whsec_%"):
            assert len(told(await knock(desk.service.webhook_url, secret=secret))) == 1


async def test_the_wrong_path_of_the_right_service() -> None:
    async with practice() as desk:
        url = desk.service.webhook_url.replace("openai", "opneai")
        [(verdict, said)] = told(await knock(url))
        assert verdict is Verdict.FAIL
        assert "nothing takes webhooks there (HTTP 404)" in said


@asynccontextmanager
async def answering(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server of somebody else; yields its port."""
    app = web.Application()
    app.router.add_post("/webhooks/openai", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (200, "nobody signed"),
        (301, "does not follow"),
        (401, "who asks"),
        (502, "not the service behind it"),
    ],
)
async def test_something_else_is_behind_the_address(status: int, said: str) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": "/elsewhere"} if status == 301 else None)

    async with answering(answer) as port:
        [(verdict, found)] = told(await knock(f"http://127.0.0.1:{port}/webhooks/openai"))
        assert verdict is Verdict.FAIL
        assert said in found


async def test_nobody_listens() -> None:
    [(verdict, said)] = told(await knock(f"http://127.0.0.1:{free_port()}/webhooks/openai"))
    assert verdict is Verdict.FAIL
    assert "nothing listens on port" in said


async def test_a_name_without_an_address() -> None:
    [(verdict, said)] = told(await knock("https://calls.invalid/webhooks/openai"))
    assert verdict is Verdict.FAIL
    assert "there is no address for calls.invalid" in said


async def test_a_certificate_that_nobody_knows() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=400)

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    async with answering(answer, context) as port:
        [(verdict, said)] = told(await knock(f"https://localhost:{port}/webhooks/openai"))
        assert verdict is Verdict.FAIL
        assert "its certificate does not hold" in said
        [(verdict, said)] = told(await knock(f"http://127.0.0.1:{port}/webhooks/openai"))
        assert verdict is Verdict.FAIL


@pytest.mark.parametrize("url", ["calls.example.com", "ftp://calls.example.com/", "https://", "https://a:b/"])
async def test_what_is_no_address(url: str) -> None:
    [finding] = await knock(url)
    assert finding.verdict is Verdict.FAIL
    assert "is no URL" in finding.said


async def test_real_calls_need_https_and_an_address_that_the_internet_finds() -> None:
    [finding] = await knock("http://127.0.0.1:8080/webhooks/openai", live=True)
    assert "is not https" in finding.said
    findings = await knock(f"https://127.0.0.1:{free_port()}/webhooks/openai", live=True)
    assert findings[0].verdict is Verdict.WARN
    assert "only this machine or its network" in findings[0].said


def test_not_told_where() -> None:
    assert no_webhook(must_be_public=False).verdict is Verdict.HINT
    assert no_webhook(must_be_public=True).verdict is Verdict.WARN


@pytest.mark.parametrize("status", [400, 404, 405, 407, 418, 500, 503, 504])
def test_every_status_is_a_sentence_with_a_remedy(status: int) -> None:
    finding = read_unsigned("https://a", Reply(status=status, code=""))
    assert finding.verdict in (Verdict.WARN, Verdict.FAIL)
    assert finding.remedy
    assert read_signed(Reply(status=status, code="")).verdict is Verdict.WARN


def test_the_signature_is_that_of_the_standard() -> None:
    body = b'{"type": "sipagent.doctor"}'
    headers = sign(base64.b64decode(SECRET.removeprefix("whsec_")), body, now_s=unix_s())
    openai.OpenAI(api_key="unused").webhooks.verify_signature(body, headers, secret=SECRET)
