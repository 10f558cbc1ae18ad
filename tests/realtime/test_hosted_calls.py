"""What hosted tools do, as events of a session, in whatever order the server tells it."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.identifiers import ItemId, ResponseId
from sipagent.realtime import RealtimeAgent, RunContextWrapper
from sipagent.realtime.events import (
    RealtimeModelEndOfStreamEvent,
    RealtimeModelEvent,
    RealtimeModelItemUpdatedEvent,
    RealtimeModelTurnEndedEvent,
    RealtimeModelTurnStartedEvent,
)
from sipagent.realtime.history import History
from sipagent.realtime.hosted_calls import FOLDED, HostedCalls
from sipagent.realtime.mcp_events import (
    RealtimeModelMcpCallArgumentsEvent,
    RealtimeModelMcpCallEvent,
    RealtimeModelMcpListToolsEvent,
)
from sipagent.realtime.mcp_items import (
    McpHttpError,
    McpTool,
    RealtimeMcpCallItem,
    RealtimeMcpItem,
    RealtimeMcpListToolsItem,
)
from sipagent.realtime.mcp_session_events import RealtimeMcpCallEnd, RealtimeMcpCallStart, RealtimeMcpToolList
from sipagent.realtime.session_events import RealtimeEventInfo

CALL, LIST = ItemId("mcp_1"), ItemId("mcpl_1")
R1 = ResponseId("resp_1")
FIRST, SECOND = RealtimeAgent[Any](name="front-desk"), RealtimeAgent[Any](name="billing")


class Told:
    """Hosted tools, everything they told, and a clock that ticks with each event."""

    def __init__(self) -> None:
        self.history = History()
        self.info = RealtimeEventInfo(context=RunContextWrapper("Ann"))
        self.calls = HostedCalls(
            self.info, self.history, lambda response_id: FIRST if response_id == R1 else SECOND
        )
        self.now_s = 100.0
        self.events: list[Any] = []

    def take(self, *events: RealtimeModelEvent) -> list[Any]:
        told: list[Any] = []
        for event in events:
            if isinstance(event, RealtimeModelItemUpdatedEvent):
                self.history.update(event.item, placed=event.placed)
            assert type(event) in FOLDED
            told += self.calls.take(event, self.now_s)
            self.now_s += 0.25
        self.events += told
        return told


def item(made: RealtimeMcpItem, response_id: ResponseId | None = None) -> RealtimeModelItemUpdatedEvent:
    return RealtimeModelItemUpdatedEvent(item=made, response_id=response_id)


def call_item(**fields: Any) -> RealtimeMcpCallItem:
    return RealtimeMcpCallItem(item_id=CALL, server_label="docs", name="search", arguments="{}", **fields)


def call(change: Any) -> RealtimeModelMcpCallEvent:
    return RealtimeModelMcpCallEvent(change=change, item_id=CALL)


def listing(change: Any) -> RealtimeModelMcpListToolsEvent:
    return RealtimeModelMcpListToolsEvent(change=change, item_id=LIST)


def list_item(*names: str, status: Any = "completed") -> RealtimeModelItemUpdatedEvent:
    tools = tuple(McpTool(name=name) for name in names)
    return item(RealtimeMcpListToolsItem(item_id=LIST, server_label="docs", tools=tools, status=status))


ARGUMENTS = RealtimeModelMcpCallArgumentsEvent(item_id=CALL, arguments="{}", response_id=R1)
WAITING = item(call_item(status="in_progress"), R1)
FOUND = item(call_item(output="found", status="completed"), R1)

# Calls ----------------------------------------------------------------------------------------------


def test_a_call_from_its_start_to_its_end() -> None:
    told = Told()
    assert told.take(WAITING, ARGUMENTS) == []
    about: dict[str, Any] = {
        "agent": FIRST,
        "item_id": CALL,
        "server_label": "docs",
        "name": "search",
        "arguments": "{}",
        "info": told.info,
    }
    assert told.take(call("in_progress")) == [RealtimeMcpCallStart(**about)]
    assert told.take(call("completed")) == []
    assert told.take(FOUND) == [
        RealtimeMcpCallEnd(**about, output="found", error=None, is_error=False, duration_ms=250.0)
    ]
    assert told.take(call("in_progress"), call("completed"), FOUND, ARGUMENTS) == []


def test_a_call_that_failed() -> None:
    told = Told()
    told.take(WAITING, call("in_progress"), call("failed"))
    error = McpHttpError(code=503, message="Busy.")
    (ended,) = told.take(item(call_item(error=error, status="completed")))
    assert (ended.error, ended.is_error, ended.output) == (error, True, None)


def test_an_error_in_the_item_is_one_although_the_call_is_said_to_have_completed() -> None:
    told = Told()
    told.take(WAITING, call("in_progress"), call("completed"))
    (ended,) = told.take(item(call_item(error=McpHttpError(code=503, message=""))))
    assert ended.is_error


@pytest.mark.parametrize("order", list(permutations([call("in_progress"), call("completed"), FOUND])))
def test_start_and_end_are_told_once_and_in_their_order(order: tuple[RealtimeModelEvent, ...]) -> None:
    told = Told()
    told.take(ARGUMENTS, *order)
    assert [type(each) for each in told.events] == [RealtimeMcpCallStart, RealtimeMcpCallEnd]
    assert told.events[1].output == "found"
    assert {each.agent.name for each in told.events} == {"front-desk"}


def test_a_start_that_was_not_told_leaves_the_duration_open() -> None:
    told = Told()
    start, ended = told.take(FOUND)
    assert isinstance(start, RealtimeMcpCallStart)
    assert (ended.output, ended.duration_ms) == ("found", None)


@pytest.mark.parametrize(
    "then",
    [
        RealtimeModelTurnStartedEvent(response_id=R1),
        RealtimeModelTurnEndedEvent(response_id=R1),
        RealtimeModelEndOfStreamEvent(),
    ],
)
def test_an_end_without_an_output_waits_no_longer_than_for_the_next_turn(then: RealtimeModelEvent) -> None:
    told = Told()
    told.take(WAITING, call("in_progress"), call("completed"))
    (ended,) = told.take(then)
    assert (ended.output, ended.is_error, ended.duration_ms) == (None, False, 250.0)
    assert told.take(FOUND, then) == []


def test_a_call_that_runs_is_not_ended_by_the_end_of_its_turn() -> None:
    told = Told()
    told.take(WAITING, call("in_progress"))
    assert told.take(RealtimeModelTurnEndedEvent(response_id=R1), RealtimeModelEndOfStreamEvent()) == []


def test_what_an_earlier_conversation_called_is_not_told() -> None:
    told = Told()
    assert told.take(item(call_item(output="found"))) == []


def test_a_call_whose_item_never_comes_cannot_be_told() -> None:
    told = Told()
    assert told.take(call("in_progress"), call("completed"), RealtimeModelEndOfStreamEvent()) == []


STEPS: list[RealtimeModelEvent] = [WAITING, ARGUMENTS, call("in_progress"), call("completed"), FOUND]


@given(st.lists(st.sampled_from(STEPS), max_size=20))
def test_nothing_is_told_twice_however_often_it_comes(steps: list[RealtimeModelEvent]) -> None:
    told = Told()
    told.take(*steps, *STEPS)
    assert [type(each) for each in told.events] == [RealtimeMcpCallStart, RealtimeMcpCallEnd]


# Lists ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "order",
    [
        (list_item(status="in_progress"), listing("in_progress"), listing("completed"), list_item("search")),
        (listing("in_progress"), list_item("search"), listing("completed")),
        (listing("in_progress"), listing("completed"), list_item("search"), listing("completed")),
    ],
)
def test_a_list_is_told_with_its_tools(order: tuple[RealtimeModelEvent, ...]) -> None:
    told = Told()
    told.take(*order)
    begun, complete = told.events
    assert isinstance(complete, RealtimeMcpToolList)
    assert (begun.status, complete.status) == ("in_progress", "completed")
    assert begun.tools == ()
    assert complete.server_label == "docs"
    assert [each.name for each in complete.tools] == ["search"]


def test_an_empty_list_is_one() -> None:
    told = Told()
    (complete,) = told.take(list_item(), listing("completed"))
    assert (complete.status, complete.tools) == ("completed", ())


@pytest.mark.parametrize("known", [True, False])
def test_a_list_that_failed(known: bool) -> None:
    told = Told()
    if known:
        told.take(list_item("search", status="in_progress"))
    (failed,) = told.take(listing("failed"), listing("failed"))
    assert (failed.status, failed.tools) == ("failed", ())
    assert failed.server_label == ("docs" if known else None)


def test_an_item_of_another_kind_under_the_same_id_is_no_list() -> None:
    told = Told()
    other = RealtimeMcpCallItem(item_id=LIST, server_label="docs", name="x", arguments="")
    told.take(item(other))
    assert told.take(listing("completed")) == []
