"""Messages and items of hosted tools, from the server's JSON to values."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from openai.types.realtime import RealtimeServerEvent
from openai.types.realtime.conversation_item import ConversationItem
from pydantic import TypeAdapter

from sipagent.identifiers import ItemId, ResponseId
from sipagent.realtime import (
    McpCallError,
    McpHttpError,
    McpProtocolError,
    McpTool,
    McpToolExecutionError,
    RealtimeMcpApprovalRequestItem,
    RealtimeMcpApprovalResponseItem,
    RealtimeMcpCallItem,
    RealtimeMcpListToolsItem,
    RealtimeModelItemUpdatedEvent,
    RealtimeModelMcpApprovalRequestedEvent,
    RealtimeModelMcpCallArgumentsEvent,
    RealtimeModelMcpCallEvent,
    RealtimeModelMcpEvent,
    RealtimeModelMcpListToolsEvent,
    RealtimeModelOtherEvent,
)
from sipagent.realtime.wire import parse_message
from sipagent.realtime.wire_mcp import MCP_ITEMS, MCP_PARSERS
from tests.realtime import mcp_messages as mcp
from tests.realtime import messages

EVENTS: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)
ITEMS: TypeAdapter[Any] = TypeAdapter(ConversationItem)


def read(message: dict[str, Any]) -> tuple[Any, ...]:
    """What a message means that the documented types know."""
    EVENTS.validate_python(message)
    return parse_message(message)


def item_of(raw: dict[str, Any]) -> Any:
    ITEMS.validate_python(raw)
    first = read(mcp.item_done(raw, "item_0"))[0]
    assert isinstance(first, RealtimeModelItemUpdatedEvent)
    assert first.item.previous_item_id == "item_0"
    return first.item


# Messages -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["in_progress", "completed", "failed"])
def test_how_far_a_list_or_a_call_is(change: Any) -> None:
    assert read(mcp.list_changed(change)) == (
        RealtimeModelMcpListToolsEvent(change=change, item_id=ItemId("mcpl_1")),
    )
    assert read(mcp.call_changed(change)) == (
        RealtimeModelMcpCallEvent(change=change, item_id=ItemId("mcp_1")),
    )


def test_the_arguments_of_a_call() -> None:
    assert read(mcp.arguments_done(arguments='{"q": 1}')) == (
        RealtimeModelMcpCallArgumentsEvent(
            item_id=ItemId("mcp_1"), arguments='{"q": 1}', response_id=ResponseId("resp_1")
        ),
    )


@pytest.mark.parametrize("kind", sorted(MCP_PARSERS))
def test_a_message_without_an_item_says_so(kind: str) -> None:
    (event,) = parse_message({"type": kind, "item_id": 3})
    assert isinstance(event, RealtimeModelOtherEvent)
    assert event.problem == "item_id is int, not a string"


def test_every_documented_message_of_hosted_tools_is_read() -> None:
    union = get_args(RealtimeServerEvent)[0]
    documented = {get_args(each.model_fields["type"].annotation)[0] for each in get_args(union)}
    mine = {each for each in documented if "mcp" in each}
    assert mine == {*MCP_PARSERS, "response.mcp_call_arguments.delta"}
    read_as = {type(MCP_PARSERS[each]({"item_id": "i", "arguments": ""})[0]) for each in MCP_PARSERS}
    assert read_as == set(get_args(RealtimeModelMcpEvent)) - {RealtimeModelMcpApprovalRequestedEvent}


def test_every_documented_item_of_hosted_tools_is_read() -> None:
    union = get_args(get_args(ConversationItem)[0])
    documented = {get_args(each.model_fields["type"].annotation)[0] for each in union}
    assert {each for each in documented if each.startswith("mcp_")} == MCP_ITEMS


# Items ----------------------------------------------------------------------------------------------


def test_a_list_of_tools() -> None:
    raw = mcp.mcp_list("mcpl_1", "search")
    raw["tools"] += [{"name": "fetch", "input_schema": {}, "annotations": {"readOnlyHint": True}}]
    assert item_of(raw) == RealtimeMcpListToolsItem(
        item_id=ItemId("mcpl_1"),
        server_label="docs",
        tools=(
            McpTool(name="search", description="search", input_schema={"type": "object"}),
            McpTool(name="fetch", input_schema={}, annotations={"readOnlyHint": True}),
        ),
        previous_item_id=ItemId("item_0"),
        status="completed",
    )


def test_tools_without_a_name_and_schemas_that_are_none_are_passed_over() -> None:
    raw = mcp.mcp_list("mcpl_1")
    raw["tools"] = [{"input_schema": {}}, "no object", {"name": "x", "input_schema": True, "annotations": 3}]
    (updated,) = parse_message(mcp.item_done(raw))
    assert updated.item.tools == (McpTool(name="x"),)  # type: ignore[union-attr]


def test_a_call_that_has_not_ended() -> None:
    assert item_of(mcp.mcp_call()) == RealtimeMcpCallItem(
        item_id=ItemId("mcp_1"),
        server_label="docs",
        name="search",
        arguments='{"q": "tyres"}',
        previous_item_id=ItemId("item_0"),
        status="in_progress",
    )


def test_a_call_that_gave_something() -> None:
    item = item_of(mcp.mcp_call(output="found", approval_request_id="mcpr_1"))
    assert (item.output, item.error, item.status) == ("found", None, "completed")
    assert item.approval_request_id == "mcpr_1"
    assert item_of(mcp.mcp_call(output="")).status == "completed"


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (
            {"type": "protocol_error", "code": -32602, "message": "No such tool."},
            McpProtocolError(code=-32602, message="No such tool."),
        ),
        (
            {"type": "tool_execution_error", "message": "It broke."},
            McpToolExecutionError(message="It broke."),
        ),
        ({"type": "http_error", "code": 503, "message": "Busy."}, McpHttpError(code=503, message="Busy.")),
    ],
)
def test_a_call_that_failed(raw: dict[str, Any], error: McpCallError) -> None:
    item = item_of(mcp.mcp_call(error=raw))
    assert (item.error, item.output, item.status) == (error, None, "completed")


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("It broke.", "It broke."),
        ({"type": "error_of_the_future", "message": "It broke."}, "It broke."),
        ({"type": "error_of_the_future", "why": 1}, '{"type": "error_of_the_future", "why": 1}'),
        ([1], "[1]"),
    ],
)
def test_an_error_that_is_not_documented_is_one_all_the_same(raw: Any, message: str) -> None:
    (updated,) = parse_message(mcp.item_done(mcp.mcp_call(error=raw)))
    assert updated.item.error == McpToolExecutionError(message=message)  # type: ignore[union-attr]


def test_an_answer_to_a_request() -> None:
    item = item_of({**mcp.approval_response("mcpa_1", approve=False), "reason": "Too dear."})
    assert item == RealtimeMcpApprovalResponseItem(
        item_id=ItemId("mcpa_1"),
        approval_request_id=ItemId("mcpr_1"),
        approve=False,
        reason="Too dear.",
        previous_item_id=ItemId("item_0"),
        status="completed",
    )
    (event,) = parse_message(mcp.item_done({**mcp.approval_response("mcpa_1"), "approve": "yes"}))
    assert isinstance(event, RealtimeModelOtherEvent)
    assert event.problem == "approve is str, not a boolean"


# Questions ------------------------------------------------------------------------------------------

REQUEST = RealtimeMcpApprovalRequestItem(
    item_id=ItemId("mcpr_1"),
    server_label="docs",
    name="search",
    arguments='{"q": "tyres"}',
    status="completed",
)


def test_a_question_is_told_with_its_item_wherever_the_item_is_whole() -> None:
    raw = mcp.approval_request()
    ITEMS.validate_python(raw)
    asked = RealtimeModelMcpApprovalRequestedEvent(request=REQUEST, response_id=ResponseId("resp_1"))
    whole = [messages.output_item_done(raw), messages.response_done(output=[raw])]
    for message in whole:
        updated, question, *_ = read(message)
        assert isinstance(updated, RealtimeModelItemUpdatedEvent)
        assert question == asked
    kinds = {"conversation.item.done", "conversation.item.created", "conversation.item.retrieved"}
    for kind in kinds:
        _, question = parse_message({**mcp.item_done(raw), "type": kind})
        assert question == RealtimeModelMcpApprovalRequestedEvent(request=REQUEST)


def test_a_question_that_may_grow_is_not_told_yet() -> None:
    raw = mcp.approval_request(arguments="")
    added = {**messages.output_item_done(raw), "type": "response.output_item.added"}
    for message in (messages.item_added(raw, None), added):
        (updated,) = read(message)
        assert updated.item.status == "in_progress"


def test_a_question_that_nobody_could_decide_on_is_shown() -> None:
    (event,) = parse_message(mcp.item_done(mcp.approval_request(name="")))
    assert isinstance(event, RealtimeModelOtherEvent)
    assert "no name" in (event.problem or "")
