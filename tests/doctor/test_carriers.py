"""What the examination says of carriers."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from sipagent.config import Loaded
from sipagent.doctor.carriers import Lines, examine_carriers, knock, read_refusal
from sipagent.doctor.finding import Area, Finding, Verdict
from tests.config.carriers import (
    API_KEY,
    ASTERISK_TOKEN,
    AUTH_TOKEN,
    BASE,
    OLD_AUTH_TOKEN,
    TWILIO,
    WHOLE,
    load_text,
)
from tests.support.ports import free_port

PLAIN = f"{BASE}carriers:\n  public_url: https://phone.example.com\n{TWILIO}"


def findings(loaded: Loaded, *, project: str = "", live: bool = False) -> list[Finding]:
    found = list(examine_carriers(Lines(loaded=loaded, project=project, must_be_public=live)))
    assert {finding.area for finding in found} == {Area.CARRIERS}
    for secret in (AUTH_TOKEN, OLD_AUTH_TOKEN, API_KEY, ASTERISK_TOKEN):
        assert secret not in str(found)
    return found


def bad(found: list[Finding]) -> list[tuple[Verdict, str]]:
    return [(each.verdict, each.said) for each in found if each.verdict in (Verdict.WARN, Verdict.FAIL)]


def said(found: list[Finding]) -> str:
    return "\n".join(each.said for each in found)


def test_a_file_without_carriers(tmp_path: Path) -> None:
    [finding] = findings(load_text(tmp_path, BASE))
    assert finding.verdict is Verdict.HINT
    assert "names none" in finding.said


def test_all_is_well_and_what_to_enter_is_said(tmp_path: Path) -> None:
    found = findings(load_text(tmp_path, WHOLE), project="proj_demo", live=True)
    assert bad(found) == []
    words = said(found)
    assert "https://phone.example.com/carriers/twilio/voice" in words
    assert "Calls of route office are answered by the audio through here, else a call to " in words
    assert f"Recordings are kept in {tmp_path / 'kept'}, which will be made." in words
    assert "desk: calls that are answered over SIP are not recorded" in words
    assert "Signatures by several auth tokens" in words


def test_keys_that_do_not_look_like_keys(tmp_path: Path) -> None:
    loaded = load_text(tmp_path, WHOLE, TWILIO_AUTH_TOKEN_PREVIOUS="half-a-token", TELNYX_API_KEY="v2-key")
    found = findings(loaded)
    assert bad(found) == [
        (Verdict.WARN, "Auth token 2 of Twilio is not 32 hexadecimal digits, as theirs are."),
        (Verdict.WARN, "The API key of Telnyx does not begin with KEY, as theirs do."),
    ]
    assert "half-a-token" not in str(found)
    assert "v2-key" not in str(found)


def test_two_projects(tmp_path: Path) -> None:
    [(verdict, words)] = bad(findings(load_text(tmp_path, WHOLE), project="proj_other"))
    assert verdict is Verdict.WARN
    assert "proj_demo" in words
    assert "proj_other" in words


def test_an_address_that_only_a_simulator_reaches(tmp_path: Path) -> None:
    local = PLAIN.replace("https://phone.example.com", "http://127.0.0.1:8080")
    assert bad(findings(load_text(tmp_path, local))) == []
    [(verdict, words)] = bad(findings(load_text(tmp_path, local), live=True))
    assert verdict is Verdict.FAIL
    assert "only a simulator" in words


def test_an_asterisk_on_another_machine(tmp_path: Path) -> None:
    text = WHOLE.replace("127.0.0.1:9092", "0.0.0.0:9092")
    [(verdict, words)] = bad(findings(load_text(tmp_path, text)))
    assert verdict is Verdict.WARN
    assert "nothing there is encrypted" in words


def test_one_way_alone_is_told(tmp_path: Path) -> None:
    assert "callers hear words alone" in said(findings(load_text(tmp_path, PLAIN)))
    two = PLAIN + '  answer: [stream, {call: "+15550100199"}]\n'
    assert "callers hear words alone" not in said(findings(load_text(tmp_path, two)))


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_that_nothing_can_be_written_to(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    text = WHOLE.replace("folder: kept", "folder: closed/kept")
    [(verdict, words)] = bad(findings(load_text(tmp_path, text)))
    assert verdict is Verdict.FAIL
    assert str(closed) in words


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("")
    [(verdict, words)] = bad(findings(load_text(tmp_path, WHOLE)))
    assert verdict is Verdict.FAIL
    assert "nothing can be written" in words


@pytest.mark.parametrize(
    ("status", "verdict", "words"),
    [
        (403, Verdict.OK, "refuses what is not signed"),
        (404, Verdict.FAIL, "nothing takes calls of carriers there"),
        (502, Verdict.FAIL, "not the service behind it"),
        (200, Verdict.FAIL, "that is not sipagent"),
        (301, Verdict.FAIL, "redirects"),
        (500, Verdict.WARN, "answers with HTTP 500"),
    ],
)
def test_what_an_answer_tells(status: int, verdict: Verdict, words: str) -> None:
    found = read_refusal("https://phone.example.com/carriers/twilio/voice", status)
    assert found.verdict is verdict
    assert words in found.said
    assert bool(found.remedy) is (verdict is not Verdict.OK)


@asynccontextmanager
async def somebody(status: int, asked: list[str]) -> AsyncIterator[str]:
    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=status)

    app = web.Application()
    app.router.add_route("POST", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        port = runner.addresses[0][1]
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


async def knocked(lines: Lines) -> list[Finding]:
    async with aiohttp.ClientSession() as http:
        return list(await knock(lines, http=http, timeout_s=5))


async def test_every_address_is_knocked_at_and_an_asterisk_s_is_not(tmp_path: Path) -> None:
    asked: list[str] = []
    async with somebody(403, asked) as url:
        loaded = load_text(tmp_path, WHOLE.replace("https://phone.example.com", url))
        found = await knocked(Lines(loaded=loaded, must_be_public=True))
        assert await knocked(Lines(loaded=loaded)) == [], "only for real calls"
    assert {each.verdict for each in found} == {Verdict.OK}
    assert asked == [
        "/carriers/twilio/voice",
        "/carriers/twilio/status",
        "/carriers/telnyx/texml/voice",
        "/carriers/telnyx/texml/status",
        "/carriers/telnyx/call-control",
    ]


async def test_nobody_is_there(tmp_path: Path) -> None:
    loaded = load_text(
        tmp_path, PLAIN.replace("https://phone.example.com", f"http://127.0.0.1:{free_port()}")
    )
    found = await knocked(Lines(loaded=loaded, must_be_public=True))
    assert [each.verdict for each in found] == [Verdict.FAIL, Verdict.FAIL]
    assert "cannot be reached" in found[0].said


async def test_without_carriers_nobody_is_asked(tmp_path: Path) -> None:
    loaded = load_text(tmp_path, BASE)
    assert await knocked(Lines(loaded=loaded, must_be_public=True)) == []
    assert await knocked(Lines(loaded=loaded)) == []
