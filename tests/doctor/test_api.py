from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from sipagent.clock import utc_now
from sipagent.doctor.api import Answer, Asked, examine_api, read_answer
from sipagent.doctor.finding import Finding, Verdict
from sipagent.realtime.provider import azure_provider, provider_of
from sipagent.simulator.server import Simulator, SimulatorOptions
from tests.support.ports import free_port

KEY = "sk-proj-0123456789abcdef"
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


async def ask(
    base_url: str, *, key: str = KEY, project: str = "", models: tuple[str, ...] = ()
) -> list[Finding]:
    asked = Asked(provider=provider_of(base_url), api_key=key, project=project, models=models)
    async with aiohttp.ClientSession() as http:
        return list(await examine_api(asked, http=http, timeout_s=5, utc_now=utc_now))


def bad(findings: list[Finding]) -> list[str]:
    return [finding.said for finding in findings if finding.verdict in (Verdict.WARN, Verdict.FAIL)]


async def test_the_simulator_takes_the_key_and_has_the_models() -> None:
    async with Simulator(SimulatorOptions(api_key=KEY, project="proj_desk")) as simulator:
        findings = await ask(simulator.base_url, project="proj_desk", models=("gpt-realtime-2.1",))
        assert bad(findings) == []
        assert [finding.said for finding in findings][1:] == [
            "The key belongs to proj_desk.",
            "The project has gpt-realtime-2.1.",
            "The clock agrees with the API's (within 1 s).",
        ]


async def test_a_wrong_key_a_wrong_project_and_a_model_that_is_not_there() -> None:
    async with Simulator(SimulatorOptions(api_key=KEY, project="proj_desk")) as simulator:
        base = simulator.base_url
        assert bad(await ask(base, key="sk-other")) == [
            f"{base} answers, and does not take the key (invalid_api_key)."
        ]
        assert bad(await ask(base, project="proj_other")) == [
            "The key belongs to another project than proj_other."
        ]
        assert bad(await ask(base, models=("gpt-realtime-9",))) == [
            "The project has no model gpt-realtime-9, which the configuration names."
        ]


async def test_nobody_there() -> None:
    [finding] = await ask(f"http://127.0.0.1:{free_port()}/v1")
    assert finding.verdict is Verdict.FAIL
    assert "nothing listens on port" in finding.said


async def test_a_server_that_is_something_else() -> None:
    async def teapot(request: web.Request) -> web.Response:
        return web.Response(status=418, text="<html>")

    app = web.Application()
    app.router.add_get("/v1/models", teapot)
    async with TestServer(app) as server:
        assert bad(await ask(str(server.make_url("/v1")))) == [
            f"{server.make_url('/v1')} answers with HTTP 418."
        ]


async def test_a_server_that_never_answers() -> None:
    came, released = asyncio.Event(), asyncio.Event()

    async def wait(request: web.Request) -> web.Response:
        came.set()
        await released.wait()
        return web.Response()

    app = web.Application()
    app.router.add_get("/v1/models", wait)
    async with TestServer(app) as server, aiohttp.ClientSession() as http:
        asked = Asked(provider=provider_of(str(server.make_url("/v1"))), api_key=KEY)
        [finding] = await examine_api(asked, http=http, timeout_s=2.0, utc_now=utc_now)
        released.set()
    assert came.is_set()
    assert "no answer within 2 s" in finding.said


def answer(status: int = 200, *, code: str = "", skew_s: float = 0, body: Any = None) -> Answer:
    date = format_datetime(NOON - timedelta(seconds=skew_s), usegmt=True)
    return Answer(status=status, headers={"date": date}, body=body or {"error": {"code": code}}, ours=NOON)


@pytest.mark.parametrize(
    ("status", "verdict", "said"),
    [
        (401, Verdict.FAIL, "does not take the key"),
        (403, Verdict.WARN, "may not list models"),
        (404, Verdict.WARN, "lists no models"),
        (429, Verdict.WARN, "has had enough"),
        (500, Verdict.WARN, "HTTP 500"),
    ],
)
def test_what_a_status_means(status: int, verdict: Verdict, said: str) -> None:
    asked = Asked(provider=provider_of("https://api.openai.com/v1"), api_key=KEY)
    finding = read_answer(asked, answer(status, code="some_code"))[0]
    assert finding.verdict is verdict
    assert said in finding.said
    assert finding.remedy


@pytest.mark.parametrize(
    ("skew_s", "verdict", "said"),
    [
        (0, Verdict.OK, "agrees"),
        (29, Verdict.OK, "within 29 s"),
        (31, Verdict.WARN, "31 s ahead"),
        (-31, Verdict.WARN, "31 s behind"),
        (241, Verdict.FAIL, "refused as replayed"),
        (-86400, Verdict.FAIL, "86400 s behind"),
    ],
)
def test_how_wrong_a_clock_may_be(skew_s: float, verdict: Verdict, said: str) -> None:
    asked = Asked(provider=provider_of("https://api.openai.com/v1"), api_key=KEY)
    finding = read_answer(asked, answer(skew_s=skew_s))[-1]
    assert (finding.verdict, said in finding.said) == (verdict, True)


@pytest.mark.parametrize("date", [None, "yesterday", ""])
def test_an_answer_without_a_time(date: str | None) -> None:
    headers = {} if date is None else {"date": date}
    asked = Asked(provider=provider_of("https://api.openai.com/v1"), api_key=KEY)
    finding = read_answer(asked, Answer(status=200, headers=headers, body={}, ours=NOON))[-1]
    assert finding.verdict is Verdict.HINT


def test_azure_lists_models_and_is_asked_for_deployments() -> None:
    asked = Asked(provider=azure_provider("desk"), api_key=KEY, models=("my-deployment",))
    assert bad(list(read_answer(asked, answer(body={"data": [{"id": "gpt-4o"}]})))) == []


def test_the_words_of_an_answer_are_not_repeated() -> None:
    asked = Asked(provider=provider_of("https://api.openai.com/v1"), api_key=KEY)
    told = {"error": {"message": f"Incorrect API key provided: {KEY}", "code": "bad\nline"}}
    assert KEY not in str(read_answer(asked, answer(401, body=told)))
    assert KEY not in repr(asked)
