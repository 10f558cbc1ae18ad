"""Commands for calls, given at the command line and carried out by another store of the same database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest

from sipagent.calls.commands import CommandDesk
from sipagent.calls.steering import Steering
from sipagent.cli import main
from sipagent.clock import utc_now
from sipagent.identifiers import CallId, WorkerId
from sipagent.store import CallEnded, CallOpened, Store, open_store
from tests.calls.test_commands import Talk
from tests.support.claims import claim_one

CALL = CallId("rtc_1")
WORKER = WorkerId("worker_1")


@asynccontextmanager
async def a_worker(url: str, talk: Talk | None) -> AsyncIterator[Store]:
    """A worker that holds one call, which talks or still rings."""
    store = open_store(url)
    await store.open()
    looking: list[asyncio.Task[None]] = []
    desk = CommandDesk(store, lambda call_id: cast("Steering | None", talk), utc_now=utc_now)
    try:
        await store.apply(
            [
                CallOpened(
                    call_id=CALL,
                    at=utc_now(),
                    webhook_id="wh_1",
                    caller="+15550100123",
                    dialled=None,
                    agent="front-desk",
                    model=None,
                    sip_call_id=None,
                    configuration=None,
                )
            ]
        )
        await store.join(WORKER, name="host:1", lease_s=600)
        assert await claim_one(store, CALL, WORKER, webhook="")
        await store.listen(WORKER, lambda kind: looking.append(asyncio.ensure_future(desk.look(WORKER))))
        yield store
    finally:
        await asyncio.gather(*looking)
        await desk.aclose()
        await store.aclose()


async def sipagent(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Exit code and output of `sipagent calls`, which runs in a thread and a loop of its own."""
    code = await asyncio.to_thread(main, ["calls", *arguments])
    printed = capsys.readouterr()
    return code, printed.out + printed.err


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'calls.db'}"
    found: str = request.getfixturevalue("postgres_url")
    return found


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        (("hangup", CALL), "hang up politely"),
        (("hangup", CALL, "--now"), "hang up now"),
        (("say", CALL, "We close; '); DROP TABLE calls; --"), "say We close; '); DROP TABLE calls; --"),
        (("transfer", CALL, "billing"), "transfer billing"),
    ],
)
async def test_a_command_is_carried_out(
    url: str, arguments: tuple[str, ...], asked: str, capsys: pytest.CaptureFixture[str]
) -> None:
    talk = Talk()
    talk.go_on.set()
    async with a_worker(url, talk):
        code, printed = await sipagent(capsys, *arguments, "--database", url)
        assert (code, printed) == (0, "So it was.\n")
        assert talk.asked[0].startswith(asked)
        code, printed = await sipagent(capsys, "show", CALL, "--database", url, "--json")
        (line,) = json.loads(printed)["commands"]
        assert (line["verb"], line["outcome"], line["detail"]) == (arguments[0], "done", "So it was.")
        user, _, host = line["asked_by"].partition("@")
        assert user
        assert host
        code, printed = await sipagent(capsys, "show", CALL, "--database", url)
        assert "Commands" in printed
        assert "done  So it was." in printed


async def test_what_failed_what_is_not_there_and_nobody_are_told_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path / 'calls.db'}"
    talk = Talk(works=False)
    async with a_worker(url, talk) as store:
        code, printed = await sipagent(capsys, "say", CALL, "Hello.", "--database", url, "--json")
        assert code == 1
        outcome = {"ok": False, "call_id": CALL, "outcome": "failed", "detail": "So it was."}
        assert json.loads(printed) == outcome
        code, printed = await sipagent(capsys, "hangup", "rtc_none", "--database", url)
        assert (code, printed) == (3, "There is no call 'rtc_none'.\n")
        end = CallEnded(call_id=CALL, at=utc_now(), reason="caller_hung_up", fault_owner="none", detail="")
        await store.apply([end])
        code, printed = await sipagent(capsys, "hangup", CALL, "--database", url)
        assert (code, printed) == (3, "The call is over: caller_hung_up.\n")
    async with a_worker(f"{url}2", None):
        wait = ("--timeout", "200ms", "--database", f"{url}2")
        code, printed = await sipagent(capsys, "hangup", CALL, *wait, "--json")
        assert code == 4
        assert json.loads(printed)["outcome"] == "no_answer"
        assert "nothing was done" in json.loads(printed)["detail"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("say", CALL, "   "),
        ("say", CALL, "x" * 3000),
        ("say", CALL),
        ("transfer", CALL),
        ("hangup",),
        ("hangup", CALL, "--timeout", "soon"),
    ],
)
async def test_misuse_is_2(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    code, printed = await sipagent(capsys, *arguments)
    assert code == 2
    assert "usage:" in printed


async def test_calls_that_are_up_and_who_holds_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path / 'calls.db'}"
    async with a_worker(url, Talk()) as store:
        code, printed = await sipagent(capsys, "list", "--live", "--database", url)
        assert code == 0
        assert "worker_1" in printed
        assert "+15550100123" in printed
        _, printed = await sipagent(capsys, "list", "--live", "--database", url, "--json")
        (row,) = json.loads(printed)
        assert (row["call_id"], row["worker"], row["epoch"]) == (CALL, WORKER, 1)
        _, printed = await sipagent(capsys, "workers", "--database", url)
        assert "host:1" in printed
        _, printed = await sipagent(capsys, "workers", "--database", url, "--json")
        assert [(row["name"], row["state"], row["calls"]) for row in json.loads(printed)] == [
            ("host:1", "up", 1)
        ]
        end = CallEnded(call_id=CALL, at=utc_now(), reason="caller_hung_up", fault_owner="none", detail="")
        await store.apply([end])
        _, printed = await sipagent(capsys, "list", "--live", "--database", url)
        assert printed == "No calls are up.\n"


@pytest.mark.parametrize("action", ["hangup", "transfer", "say", "workers"])
async def test_help_has_examples(action: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, printed = await sipagent(capsys, action, "--help")
    assert code == 0
    assert "examples:" in printed
    assert f"sipagent calls {action}" in printed
