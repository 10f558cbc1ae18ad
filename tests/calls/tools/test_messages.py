"""Messages that are taken for somebody else."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web

from sipagent.calls.tools.messages import MessageTool, Notify, make_message_tool
from sipagent.errors import UserError
from sipagent.realtime import FunctionTool
from tests.calls.controls import Controls, call
from tests.calls.tools.using import told, use
from tests.support.ports import free_port
from tests.support.web import serving

SECRET = "s3cret-of-the-office"
WHOLE = '{"name": "Ann Lee", "reason": "a broken tooth"}'


class Office:
    """A server that is told of messages."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.seen: list[tuple[Any, str | None, str | None]] = []

    async def handle(self, request: web.Request) -> web.Response:
        self.seen.append(
            (
                await request.json(),
                request.headers.get("Idempotency-Key"),
                request.headers.get("Authorization"),
            )
        )
        return web.Response(status=self.statuses.pop(0) if self.statuses else 204)


def tool(**changes: Any) -> FunctionTool:
    given: dict[str, Any] = {"fields": {"name": "Who calls", "reason": "What it is about"}, **changes}
    return make_message_tool(MessageTool(**given))


def notifying(base: str, **changes: Any) -> FunctionTool:
    given: dict[str, Any] = {"url": f"{base}/messages", "headers": {"Authorization": SECRET}, **changes}
    return tool(notify=Notify(**given))


async def test_a_message_is_written_into_the_record_and_read_back() -> None:
    controls = Controls()
    result = await use(tool(), call(controls), WHOLE)
    assert not result.is_error
    assert result.text == (
        "The message is stored. Read it back to the caller in one sentence: "
        "name: Ann Lee; reason: a broken tooth."
    )
    assert controls.notes == [
        (
            "message_taken",
            {
                "tool": "take_message",
                "caller": "+15550100123",
                "fields": {"name": "Ann Lee", "reason": "a broken tooth"},
            },
        )
    ]


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        ("{}", "name (Who calls); reason (What it is about)"),
        ('{"name": "Ann"}', "reason (What it is about)"),
        ('{"name": " \\n", "reason": "x"}', "name (Who calls)"),
    ],
)
async def test_what_is_missing_is_asked_for(arguments: str, missing: str) -> None:
    controls = Controls()
    result = await use(tool(), call(controls), arguments)
    assert result.is_error
    assert result.text == (
        f"Nothing was stored yet. Ask the caller for: {missing}. Then use this tool again."
    )
    assert controls.notes == []


@pytest.mark.parametrize("arguments", ["[]", "x", '{"name": 7, "reason": "x"}', '{"nme": "x"}'])
async def test_arguments_that_do_not_fit_store_nothing(arguments: str) -> None:
    controls = Controls()
    result = await use(tool(), call(controls), arguments)
    assert result.is_error
    assert result.text.startswith("Nothing was stored")
    assert controls.notes == []


async def test_the_same_message_is_stored_once_and_another_one_too() -> None:
    controls = Controls()
    context = call(controls)
    made = tool()
    await use(made, context, WHOLE, "call_1")
    again = await use(made, context, json.dumps(json.loads(WHOLE)), "call_2")
    assert again.text == "This message was taken before in this call, and is stored once."
    await use(made, context, '{"name": "Ann Lee", "reason": "two broken teeth"}', "call_3")
    assert len(told(controls.notes, "message_taken")) == 2


async def test_what_is_long_or_strange_is_cleaned() -> None:
    controls = Controls()
    await use(tool(), call(controls), json.dumps({"name": "A\x00nn\n Lee", "reason": "x" * 10_000}))
    (note,) = told(controls.notes, "message_taken")
    assert note["fields"]["name"] == "Ann Lee"
    assert len(note["fields"]["reason"]) == 2_000


async def test_somebody_is_told() -> None:
    office, controls = Office(), Controls()
    async with serving(office.handle) as base:
        result = await use(notifying(base), call(controls), WHOLE)
    assert not result.is_error
    ((about, key, secret),) = office.seen
    assert about == {
        "call_id": "rtc_1",
        "caller": "+15550100123",
        "dialled": "+15550100001",
        "message": {"name": "Ann Lee", "reason": "a broken tooth"},
    }
    assert key
    assert secret == SECRET
    assert [kind for kind, _ in controls.notes] == ["message_taken", "message_notified"]
    assert controls.notes[1][1] == {"tool": "take_message", "outcome": "taken"}


@pytest.mark.parametrize(
    ("statuses", "idempotent", "tries", "outcome"),
    [
        ((429,), False, 2, "taken"),
        ((503,), False, 1, "failed"),
        ((503,), True, 2, "taken"),
        ((503, 503, 503), True, 3, "failed"),
        ((400,), True, 1, "failed"),
    ],
)
async def test_telling_is_tried_again_only_where_nothing_can_be_told_twice(
    statuses: tuple[int, ...], idempotent: bool, tries: int, outcome: str
) -> None:
    office, controls = Office(*statuses), Controls()
    async with serving(office.handle) as base:
        result = await use(notifying(base, idempotent=idempotent), call(controls), WHOLE)
    assert not result.is_error, "the message is stored, whoever was told"
    assert "stored" in result.text
    assert len(office.seen) == tries
    assert len({key for _, key, _ in office.seen}) == 1
    assert told(controls.notes, "message_notified")[0]["outcome"] == outcome


async def test_a_message_is_stored_although_nobody_can_be_told() -> None:
    controls = Controls()
    result = await use(notifying(f"http://127.0.0.1:{free_port()}", retries=0), call(controls), WHOLE)
    assert not result.is_error
    assert told(controls.notes, "message_notified") == [
        {"tool": "take_message", "outcome": "failed", "effect": "none"}
    ]


async def test_a_call_that_ends_meanwhile_leaves_a_note() -> None:
    controls, reached = Controls(), asyncio.Event()

    async def never(request: web.Request) -> web.Response:
        reached.set()
        await asyncio.sleep(60)
        return web.Response()

    async with serving(never) as base:
        task = asyncio.create_task(use(notifying(base), call(controls), WHOLE))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert [kind for kind, _ in controls.notes] == ["message_taken", "message_notified"]


@pytest.mark.parametrize("changes", [{"fields": {}}, {"name": "take message"}, {"fields": {"a b": "x"}}])
def test_a_message_that_could_not_be_taken_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        tool(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"url": "office.test/x"},
        {"url": "https://user:pass@office.test/x"},
        {"headers": {"X": "a\nb"}},
        {"timeout_s": 0},
        {"timeout_s": 1000},
    ],
)
def test_somebody_who_could_not_be_told_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        Notify(**{"url": "https://office.test/x", **changes})


def test_secrets_are_not_shown() -> None:
    assert SECRET not in repr(Notify(url="https://office.test/x", headers={"Authorization": SECRET}))
