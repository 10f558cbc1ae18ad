"""Items of hosted tools: what is known of them grows."""

from __future__ import annotations

from typing import Any

import pytest

from sipagent.identifiers import ItemId
from sipagent.realtime.history import History
from sipagent.realtime.items import AssistantAudio, AssistantMessageItem
from sipagent.realtime.mcp_items import (
    McpHttpError,
    McpTool,
    RealtimeMcpApprovalRequestItem,
    RealtimeMcpApprovalResponseItem,
    RealtimeMcpCallItem,
    RealtimeMcpItem,
    RealtimeMcpListToolsItem,
    merged_mcp,
)

ONE, TWO, THREE = ItemId("item_1"), ItemId("item_2"), ItemId("item_3")


def call(**fields: Any) -> RealtimeMcpCallItem:
    return RealtimeMcpCallItem(
        **{"item_id": TWO, "server_label": "docs", "name": "search", "arguments": "{}", **fields}
    )


FAILED = McpHttpError(code=500, message="")
TOOLS = (McpTool(name="search"),)


@pytest.mark.parametrize(
    ("whole", "less"),
    [
        (call(output="found", approval_request_id=ONE), call(arguments="", name="", server_label="")),
        (call(error=FAILED), call()),
        (
            RealtimeMcpListToolsItem(item_id=TWO, server_label="docs", tools=TOOLS),
            RealtimeMcpListToolsItem(item_id=TWO, server_label=""),
        ),
        (
            RealtimeMcpApprovalRequestItem(item_id=TWO, server_label="docs", name="x", arguments="{}"),
            RealtimeMcpApprovalRequestItem(item_id=TWO, server_label="docs", name="x", arguments=""),
        ),
    ],
)
def test_what_was_known_stays_known(whole: RealtimeMcpItem, less: RealtimeMcpItem) -> None:
    assert merged_mcp(whole, less) == whole
    assert merged_mcp(less, whole) == whole


def test_what_is_told_anew_wins() -> None:
    assert merged_mcp(call(output="old"), call(output="")) == call(output="")
    answer = RealtimeMcpApprovalResponseItem(item_id=TWO, approval_request_id=ONE, approve=True)
    assert merged_mcp(call(), answer) == answer


def test_a_history_holds_them_in_order_and_reads_nothing_out() -> None:
    history = History()
    spoken = AssistantMessageItem(
        item_id=THREE, content=(AssistantAudio(transcript="Hi"),), previous_item_id=TWO, status="completed"
    )
    history.update(spoken, placed=True)
    history.update(call(previous_item_id=ONE, status="in_progress"), placed=True)
    listed = RealtimeMcpListToolsItem(item_id=ONE, server_label="docs", status="in_progress")
    history.update(listed, placed=True)
    assert [each.item_id for each in history.items] == [ONE, TWO, THREE]
    positions = [each.position for each in history.items]
    assert positions == sorted(positions)
    assert history.update(call(output="found", status="completed"), placed=False) == "changed"
    assert history.update(call(status="in_progress", arguments=""), placed=False) == "same"
    known = history.get(TWO)
    assert isinstance(known, RealtimeMcpCallItem)
    assert (known.output, known.status, known.previous_item_id) == ("found", "completed", ONE)
    assert history.line_of(TWO) is None
    assert history.line_of(ONE) is None
    assert [line.text for line in history.finish()] == ["Hi"]
