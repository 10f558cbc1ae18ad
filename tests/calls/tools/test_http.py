"""Tools that are HTTP requests."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp import web

from sipagent.calls.template import TemplateError
from sipagent.calls.tools.arguments import Arguments
from sipagent.calls.tools.http import HttpTool, make_http_tool
from sipagent.calls.tools.texts import ToolText
from sipagent.errors import UserError
from sipagent.realtime import FunctionTool
from tests.calls.controls import call
from tests.calls.tools.using import use
from tests.support.web import serving

SECRET = "s3cret-of-the-shop"


class Shop:
    """A server that notes what it is asked."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.answer: Any = {"order": {"state": "sent"}}
        self.status = 200

    async def handle(self, request: web.Request) -> web.Response:
        self.seen.append(
            {
                "method": request.method,
                "path": request.raw_path,
                "headers": request.headers,
                "body": await request.text(),
            }
        )
        return web.json_response(self.answer, status=self.status)


def tool(base: str, path: str = "/orders/{order}", **changes: Any) -> FunctionTool:
    return make_http_tool(spec(url=ToolText(f"{base}{path}"), **changes))


def spec(**changes: Any) -> HttpTool:
    given: dict[str, Any] = {
        "name": "order_state",
        "description": "Where an order is.",
        "url": ToolText("https://shop.test/orders/{order}"),
        "arguments": Arguments({"order": "Its number", "word": "A word"}, ["order"]),
        **changes,
    }
    return HttpTool(**given)


async def test_the_model_gets_what_the_server_answers() -> None:
    shop = Shop()
    async with serving(shop.handle) as base:
        told = await use(tool(base, result="/order/state"), call(), '{"order": "A 7"}')
    assert (told.text, told.is_error) == ("sent", False)
    assert [(each["method"], each["path"]) for each in shop.seen] == [("GET", "/orders/A%207")]


async def test_a_request_has_all_its_parts() -> None:
    shop = Shop()
    context = call(variables={"caller": "+15550100123"})
    context.tools.typed["customer"] = "4711"
    async with serving(shop.handle) as base:
        await use(
            tool(
                base,
                "/orders?v=2",
                method="POST",
                arguments=Arguments({"order": {"type": "integer"}, "note": "Wishes"}, ["order"]),
                headers={"Authorization": f"Bearer {SECRET}", "X-Caller": ToolText("{{caller}}")},
                query={"n": ToolText("{order}"), "note": ToolText("{note}")},
                body={"order": ToolText("{order}"), "pin": ToolText("{{digits.customer}}")},
            ),
            context,
            '{"order": 7}',
        )
    (seen,) = shop.seen
    assert seen["path"] == "/orders?v=2&n=7"
    assert json.loads(seen["body"]) == {"order": 7, "pin": "4711"}
    assert seen["headers"]["Authorization"] == f"Bearer {SECRET}"
    assert seen["headers"]["X-Caller"] == "+15550100123"
    assert seen["headers"]["Content-Type"] == "application/json"


async def test_arguments_are_checked_before_anything_is_sent() -> None:
    shop = Shop()
    async with serving(shop.handle) as base:
        told = await use(tool(base), call(), '{"number": 7}')
    assert told.is_error
    assert told.text.startswith("Nothing was done: order is missing")
    assert shop.seen == []


@pytest.mark.parametrize(
    ("changes", "arguments", "said"),
    [
        ({}, '{"order": ".."}', "order is nothing but dots"),
        ({}, '{"order": "\\ud800"}', "a value cannot be sent"),
        ({"headers": {"X": ToolText("{order}")}}, '{"order": "a\\nb"}', "cannot be sent"),
        ({"query": {"q": ToolText("{{customer.name}}")}}, '{"order": "7"}', "`customer.name` has no value"),
    ],
)
async def test_what_cannot_be_sent_is_not(changes: dict[str, Any], arguments: str, said: str) -> None:
    shop = Shop()
    async with serving(shop.handle) as base:
        told = await use(tool(base, **changes), call(), arguments)
    assert told.is_error
    assert said in told.text
    assert shop.seen == []


async def test_a_failure_is_told_as_it_is() -> None:
    shop = Shop()
    shop.status, shop.answer = 404, {"error": "no such order"}
    async with serving(shop.handle) as base:
        told = await use(tool(base), call(), '{"order": "7"}')
    assert told.is_error
    assert "status 404" in told.text
    assert "no such order" in told.text


async def keys(changes: dict[str, Any], uses: list[tuple[str, str, str]]) -> list[str | None]:
    shop = Shop()
    async with serving(shop.handle) as base:
        made = tool(base, **changes)
        for call_id, tool_call_id, arguments in uses:
            await use(made, call(call_id=call_id), arguments, tool_call_id)
    return [each["headers"].get("Idempotency-Key") for each in shop.seen]


async def test_what_changes_something_has_one_key_for_the_same_work() -> None:
    one, again, other, elsewhere = await keys(
        {"method": "POST"},
        [
            ("rtc_1", "call_1", '{"order": "7"}'),
            ("rtc_1", "call_2", '{ "order":"7" }'),
            ("rtc_1", "call_3", '{"order": "8"}'),
            ("rtc_2", "call_1", '{"order": "7"}'),
        ],
    )
    assert one is not None
    assert one == again
    assert len({one, other, elsewhere}) == 3


async def test_what_changes_nothing_has_one_key_for_each_call() -> None:
    one, again, other = await keys(
        {"method": "POST", "side_effects": False},
        [
            ("rtc_1", "call_1", '{"order": "7"}'),
            ("rtc_1", "call_1", '{"order": "7"}'),
            ("rtc_1", "call_2", '{"order": "7"}'),
        ],
    )
    assert one == again != other
    assert await keys({}, [("rtc_1", "call_1", '{"order": "7"}')]) == [None]


@pytest.mark.parametrize(
    ("method", "changes_something", "may_repeat"),
    [
        ("GET", False, True),
        ("HEAD", False, True),
        ("PUT", True, True),
        ("DELETE", True, True),
        ("POST", True, False),
        ("PATCH", True, False),
    ],
)
def test_the_method_says_what_nobody_else_does(
    method: Any, changes_something: bool, may_repeat: bool
) -> None:
    made = spec(method=method)
    assert (made.changes_something, made.may_repeat) == (changes_something, may_repeat)
    turned = spec(method=method, side_effects=not changes_something, idempotent=not may_repeat)
    assert (turned.changes_something, turned.may_repeat) == (not changes_something, not may_repeat)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"url": ToolText("https://{order}.test/")}, "must begin with http"),
        ({"url": ToolText("https://shop.test/{word}")}, "the URL needs word"),
        ({"method": "TRACE"}, "is no method"),
        ({"body": {"a": 1}}, "a GET has no body"),
        ({"headers": {"a b": "x"}}, "name of a header"),
        ({"result": "state"}, "no JSON pointer"),
        ({"timeout_s": 0}, "time-out"),
        ({"timeout_s": 1000}, "time-out"),
        ({"retries": 99}, "tried again"),
    ],
)
def test_a_tool_that_could_not_work_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        spec(**changes)
    assert str(caught.value).startswith("tool order_state: ")


@pytest.mark.parametrize(
    "changes",
    [
        {"url": ToolText("https://shop.test/{order}/{nobody}")},
        {"headers": {"X": ToolText("{nobody}")}},
        {"query": {"q": ToolText("{nobody}")}},
        {"method": "POST", "body": [{"a": ToolText("{nobody}")}]},
    ],
)
def test_a_name_that_is_no_argument_is_found_in_every_text(changes: dict[str, Any]) -> None:
    with pytest.raises(TemplateError, match="nobody"):
        spec(**changes)


def test_every_text_can_be_checked() -> None:
    made = spec(
        method="POST",
        headers={"X": ToolText("{{a}}"), "Y": "{{plain}}"},
        query={"q": ToolText("{{b}}")},
        body={"x": [ToolText("{{c}}")], "y": 1},
    )
    assert {name for text in made.texts for name in text.variables.names} == {"a", "b", "c"}


def test_a_tool_does_not_show_its_secrets() -> None:
    assert SECRET not in repr(spec(headers={"Authorization": SECRET}))


def test_the_model_reads_what_the_tool_takes() -> None:
    made = make_http_tool(spec())
    assert made.name == "order_state"
    assert made.params_json_schema["required"] == ["order"]
    assert made.params_json_schema["additionalProperties"] is False
