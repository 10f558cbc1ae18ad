"""The surface for people of the company: closed, roles, commands, and nothing that a stranger can learn."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from sipagent.app import Service, ServiceSettings
from sipagent.calls.access import Access
from sipagent.config import load_configuration
from sipagent.dashboard import AdminSurface, Guard, guard
from sipagent.identifiers import CallId, WorkerId
from sipagent.store import CallNoted, CallOpened, MemoryCallStore, MemoryDatabase
from tests.calls.test_webhook import NEW
from tests.store.facts import LEG, ended, opened, report
from tests.support.claims import claim_one

TOKENS = {"ann": "reads-0123456789abcdef", "bea": "operates-0123456789abcdef", "cy": "admin-0123456789abcdef"}
ROLES = {"ann": "read", "bea": "operate", "cy": "admin"}
BASE = """\
version: 1
agents: {desk: {instructions: Hi.}}
routes: [{agent: desk}]
"""
CALL = CallId("rtc_1")


def written(*, tokens: bool = True, listen: str = "") -> str:
    lines = [
        f'    - {{name: {name}, token: "${{{name.upper()}}}", role: {role}}}' for name, role in ROLES.items()
    ]
    parts = [BASE, "admin:\n"]
    parts += ["  tokens:\n", "\n".join(lines), "\n"] if tokens else []
    parts += [f'  listen: "{listen}"\n'] if listen else []
    return "".join(parts) if tokens or listen else BASE


@dataclass
class Running:
    service: Service
    store: MemoryCallStore
    file: Path

    async def ask(
        self,
        method: str,
        path: str,
        *,
        who: str | None = None,
        token: str | None = None,
        body: Any = None,
        headers: dict[str, str] | None = None,
        port: int | None = None,
    ) -> tuple[int, Any, Any]:
        """Status, body (JSON where it is some) and headers."""
        shown = TOKENS[who] if who is not None else token
        sent = {**(headers or {}), **({} if shown is None else {"Authorization": f"Bearer {shown}"})}
        url = f"http://127.0.0.1:{port or self.service.admin_port or self.service.port}{path}"
        async with (
            aiohttp.ClientSession() as http,
            http.request(method, url, json=body, headers=sent) as response,
        ):
            text = await response.text()
            is_json = response.content_type == "application/json"
            return response.status, json.loads(text) if is_json else text, response.headers


@asynccontextmanager
async def running(tmp_path: Path, text: str | None = None) -> AsyncIterator[Running]:
    file = tmp_path / "sipagent.yaml"
    file.write_text(written() if text is None else text)
    variables = {name.upper(): token for name, token in TOKENS.items()}
    store = MemoryCallStore(database=MemoryDatabase())
    service = Service(
        front_door=load_configuration(file, variables),
        api_key="sk-test-key",
        base_url="http://127.0.0.1:9/v1",
        webhook_secrets=[NEW],
        store=store,
        settings=ServiceSettings(port=0, watch_configuration=False),
    )
    async with service:
        yield Running(service=service, store=store, file=file)


async def remember_a_call(store: MemoryCallStore) -> None:
    at = datetime(2026, 11, 20, 9, tzinfo=UTC)
    await store.apply(
        [
            CallOpened(
                call_id=CALL,
                at=at,
                webhook_id="wh_1",
                caller="+15550100123",
                dialled="+15550100000",
                agent="desk",
                model=None,
                sip_call_id="a@b",
                configuration=None,
            ),
            CallNoted(call_id=CALL, sequence=0, at=at, kind="route", data='{"why":["it is the only one"]}'),
        ]
    )


EVERYTHING = [
    ("GET", "/admin/calls", "read"),
    ("GET", "/admin/calls/rtc_none", "read"),
    ("GET", "/admin/workers", "read"),
    ("POST", "/admin/calls/rtc_none/hangup", "operate"),
    ("POST", "/admin/calls/rtc_none/transfer", "operate"),
    ("POST", "/admin/calls/rtc_none/say", "operate"),
    ("GET", "/admin/configurations", "admin"),
    ("GET", "/admin/configurations/abc", "admin"),
    ("POST", "/admin/reload", "admin"),
]


def test_every_address_is_in_the_table_of_roles() -> None:
    app = web.Application()
    surface = AdminSurface(guard=Guard(Access()), store=MemoryCallStore(), reload=None, utc_now=datetime.now)
    surface.add_to(app)
    routes = {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.method not in ("HEAD", "*")
    }
    named = {
        (method, path.replace("rtc_none", "{call_id}").replace("/abc", "/{fingerprint}"))
        for method, path, _ in EVERYTHING
    }
    assert routes == named


@pytest.mark.parametrize(("method", "path"), [each[:2] for each in EVERYTHING] + [("GET", "/admin")])
async def test_without_a_token_in_the_configuration_all_is_closed(
    tmp_path: Path, method: str, path: str
) -> None:
    async with running(tmp_path, BASE) as it:
        for token in (None, "whatever it may be"):
            status, body, _ = await it.ask(method, path, token=token)
            assert (status, body["error"]["code"]) == (404, "closed")


@pytest.mark.parametrize(("method", "path", "role"), EVERYTHING, ids=[each[1] for each in EVERYTHING])
async def test_each_address_needs_its_role(tmp_path: Path, method: str, path: str, role: str) -> None:
    order = ["read", "operate", "admin"]
    async with running(tmp_path) as it:
        status, body, headers = await it.ask(method, path)
        assert (status, body["error"]["code"]) == (401, "no_token")
        assert headers["WWW-Authenticate"].startswith("Bearer")
        assert (await it.ask(method, path, token="reads-0123456789abcdeX"))[0] == 401
        for who, has in ROLES.items():
            status, body, headers = await it.ask(method, path, who=who)
            if order.index(has) < order.index(role):
                assert (status, body["error"]["code"]) == (403, "forbidden")
            else:
                assert status not in (401, 403), f"{who} may"
            assert headers["Cache-Control"] == "no-store"
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert "Set-Cookie" not in headers


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Basic cmVhZHM6"},
        {"Authorization": "Bearer"},
        {"Authorization": f"Bearer {TOKENS['cy']} {TOKENS['cy']}"},
        {"Authorization": TOKENS["cy"]},
        {"Cookie": f"token={TOKENS['cy']}"},
        {"X-Api-Key": TOKENS["cy"]},
    ],
    ids=["basic", "empty", "twice", "no scheme", "cookie", "another header"],
)
async def test_a_token_counts_in_one_place_only(tmp_path: Path, headers: dict[str, str]) -> None:
    async with running(tmp_path) as it:
        assert (await it.ask("GET", "/admin/calls", headers=headers))[0] == 401
        assert (await it.ask("GET", f"/admin/calls?token={TOKENS['cy']}"))[0] == 401


async def test_who_guesses_tokens_is_not_listened_to(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stranger, colleague = {"X-Forwarded-For": "198.51.100.7"}, {"X-Forwarded-For": "203.0.113.9"}
    async with running(tmp_path) as it:
        for number in range(guard.FAILURES_AT_ONCE):
            guess = f"guess-number-{number:08}"
            assert (await it.ask("GET", "/admin/calls", token=guess, headers=stranger))[0] == 401
        status, body, headers = await it.ask("GET", "/admin/calls", who="cy", headers=stranger)
        assert (status, body["error"]["code"]) == (429, "limited")
        assert int(headers["Retry-After"]) >= 1
        assert (await it.ask("GET", "/admin/calls", who="cy", headers=colleague))[0] == 200
    assert "guess-number" not in caplog.text


async def test_metrics_and_details_are_for_those_with_a_token(tmp_path: Path) -> None:
    async with running(tmp_path) as it:
        assert (await it.ask("GET", "/metrics"))[0] == 401
        status, text, _ = await it.ask("GET", "/metrics", who="ann")
        assert status == 200
        assert "sipagent_live_calls 0.0" in text
        assert (await it.ask("GET", "/healthz"))[:2] == (200, {"status": "ok"})
        assert (await it.ask("GET", "/readyz"))[:2] == (200, {"status": "ready"})
        assert (await it.ask("GET", "/readyz", token="none of ours, at all"))[0] == 401
        status, body, _ = await it.ask("GET", "/readyz", who="ann")
        assert body["configuration"]["generation"] == 1


async def test_an_address_of_its_own_keeps_all_of_it_from_the_public_one(tmp_path: Path) -> None:
    async with running(tmp_path, written(listen="127.0.0.1:0")) as it:
        public, own = it.service.port, it.service.admin_port
        assert own not in (None, public)
        for path in ("/admin/calls", "/admin", "/metrics"):
            assert (await it.ask("GET", path, who="cy", port=public))[0] == 404
        assert (await it.ask("GET", "/admin/calls", who="cy"))[0] == 200
        assert (await it.ask("GET", "/metrics", who="cy"))[0] == 200
        for port in (public, own):
            assert (await it.ask("GET", "/healthz", port=port))[0] == 200
            assert (await it.ask("GET", "/readyz", port=port))[0] == 200


async def test_calls_are_listed_and_shown(tmp_path: Path) -> None:
    async with running(tmp_path) as it:
        await remember_a_call(it.store)
        status, body, _ = await it.ask("GET", "/admin/calls?limit=1&agent=desk", who="ann")
        assert status == 200
        assert [call["call_id"] for call in body["calls"]] == [CALL]
        status, body, _ = await it.ask("GET", f"/admin/calls/{CALL}", who="ann")
        assert (status, body["caller"], body["commands"]) == (200, "+15550100123", [])
        assert body["notes"][0]["data"] == {"why": ["it is the only one"]}
        status, body, _ = await it.ask("GET", "/admin/calls/rtc_none", who="ann")
        assert (status, body["error"]["code"]) == (404, "no_such_call")


async def test_a_call_is_shown_with_what_its_carrier_says_and_found_by_its_leg(tmp_path: Path) -> None:
    call = opened("rtc_2", carrier="twilio", leg=LEG)
    async with running(tmp_path) as it:
        await it.store.apply([call, ended("caller_hung_up", call_id="rtc_2"), report(second=94)])
        status, body, _ = await it.ask("GET", f"/admin/calls/{LEG}", who="ann")
    assert (status, body["call_id"], body["carrier_call_id"]) == (200, "rtc_2", LEG)
    assert [(one["kind"], one["data"]) for one in body["carrier_reports"]] == [
        ("completed", {"sip_status": 200})
    ]
    assert [one["objection"] for one in body["carrier_says"]] == ["caller_stayed"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/admin/calls?limit=0", None, 400),
        ("GET", "/admin/calls?limit=99999999999999999999", None, 400),
        ("GET", "/admin/calls?limit=١", None, 400),
        ("GET", "/admin/calls?before=yesterday", None, 400),
        ("GET", "/admin/calls/%00", None, 404),
        ("GET", "/admin/calls/%1b[31m", None, 404),
        ("GET", "/admin/calls/" + "x" * 300, None, 404),
        ("GET", "/admin/nothing", None, 404),
        ("DELETE", "/admin/calls/rtc_1", None, 404),
        ("POST", "/admin/calls/rtc_1/hangup", {"now": "yes"}, 400),
        ("POST", "/admin/calls/rtc_1/hangup", {"then": True}, 400),
        ("POST", "/admin/calls/rtc_1/hangup", [], 400),
        ("POST", "/admin/calls/rtc_1/hangup", {"patience_s": 1e9}, 400),
        ("POST", "/admin/calls/rtc_1/hangup", {"patience_s": True}, 400),
        ("POST", "/admin/calls/rtc_1/transfer", {}, 400),
        ("POST", "/admin/calls/rtc_1/transfer", {"target": 7}, 400),
        ("POST", "/admin/calls/rtc_1/say", {"words": "  "}, 400),
        ("POST", "/admin/calls/rtc_1/say", {"words": "x" * 3000}, 400),
        ("POST", "/admin/calls/rtc_1/say", {"words": "x" * 20_000}, 413),
        ("POST", "/admin/calls/rtc_none/say", {"words": "Hello."}, 404),
    ],
)
async def test_what_makes_no_sense_is_refused_as_json(
    tmp_path: Path, method: str, path: str, body: Any, status: int
) -> None:
    async with running(tmp_path) as it:
        found, answered, _ = await it.ask(method, path, who="cy", body=body)
    assert found == status
    assert answered["error"]["message"]


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"{", {"Content-Type": "application/json"}, 400),
        (b"[" * 10_000, {"Content-Type": "application/json"}, 400),
        (b'{"now": true}', {"Content-Type": "text/plain"}, 415),
        (b'{"now": true}', {"Content-Type": "application/json", "Content-Encoding": "gzip"}, 415),
        (b"\xff\xfe", {"Content-Type": "application/json"}, 400),
    ],
)
async def test_a_body_that_is_none_is_refused(
    tmp_path: Path, content: bytes, headers: dict[str, str], status: int
) -> None:
    async with running(tmp_path) as it, aiohttp.ClientSession() as http:
        url = f"http://127.0.0.1:{it.service.port}/admin/calls/{CALL}/hangup"
        sent = {**headers, "Authorization": f"Bearer {TOKENS['bea']}"}
        async with http.post(url, data=content, headers=sent) as response:
            assert response.status == status
            assert (await response.json())["error"]["code"] == "bad_request"


async def test_a_command_reaches_the_worker_that_holds_the_call(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    worker = WorkerId("worker_far_away")
    async with running(tmp_path) as it:
        await remember_a_call(it.store)
        await it.store.join(worker, name="far away", lease_s=600)
        await claim_one(it.store, CALL, worker, webhook="")
        answering: list[asyncio.Task[None]] = []

        async def answer() -> None:
            for command in await it.store.commands(worker):
                outcome = "done" if command.verb == "say" else "failed"
                await it.store.answer(command.command_id, outcome, "So it was.")

        await it.store.listen(worker, lambda kind: answering.append(asyncio.ensure_future(answer())))
        with caplog.at_level(logging.INFO):
            path = f"/admin/calls/{CALL}"
            status, body, _ = await it.ask("POST", f"{path}/say", who="bea", body={"words": "Hello."})
            assert (status, body) == (200, {"outcome": "done", "detail": "So it was."})
            status, body, _ = await it.ask("POST", f"{path}/transfer", who="cy", body={"target": "billing"})
            assert (status, body["outcome"]) == (409, "failed")
            answering.clear()
        await it.store.leave(worker)
        quick = {"patience_s": 0.05, "now": True}
        status, body, _ = await it.ask("POST", f"{path}/hangup", who="bea", body=quick)
        assert (status, body["error"]["code"]) == (504, "no_answer")
        _, body, _ = await it.ask("GET", path, who="ann")
    asked = [(line["asked_by"], line["verb"], line["argument"], line["outcome"]) for line in body["commands"]]
    assert asked == [
        ("token bea", "say", "Hello.", "done"),
        ("token cy", "transfer", "billing", "failed"),
        ("token bea", "hangup", "now", "taken_back"),
    ]
    fields = [
        vars(record).get("fields") for record in caplog.records if "asked over HTTP" in record.getMessage()
    ]
    assert {"token": "bea", "verb": "say", "outcome": "Answered"} in fields


async def test_the_configuration_is_read_again_and_who_may_changes_with_it(tmp_path: Path) -> None:
    async with running(tmp_path) as it:
        status, body, _ = await it.ask("POST", "/admin/reload", who="cy")
        assert status == 422, "the variables of the tokens are not in this process's environment"
        assert body["result"] == "failed"
        assert any("ANN" in problem["message"] for problem in body["problems"])
        for name, token in TOKENS.items():
            (tmp_path / name).write_text(token)
        only_cy = 'admin: {tokens: [{name: cy, token: "${file:cy}", role: admin}]}\n'
        it.file.write_text(BASE + only_cy)
        status, body, _ = await it.ask("POST", "/admin/reload", who="cy")
        assert (status, body["result"]) == (200, "loaded")
        assert (await it.ask("GET", "/admin/calls", who="ann"))[0] == 401, "ann is let in no more"
        async with asyncio.timeout(20):
            while True:  # they are written behind the caller's back
                status, body, _ = await it.ask("GET", "/admin/configurations", who="cy")
                if len(body["configurations"]) == 2:
                    break
        assert [each["generation"] for each in body["configurations"]] == [2, 1]
        fingerprint = body["configurations"][0]["fingerprint"]
        status, body, _ = await it.ask("GET", f"/admin/configurations/{fingerprint}", who="cy")
        assert "${file:cy}" in body["text"]
        assert TOKENS["cy"] not in body["text"]
        assert (await it.ask("GET", "/admin/configurations/none", who="cy"))[0] == 404
