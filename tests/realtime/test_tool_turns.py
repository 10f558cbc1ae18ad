"""Which calls hold a response back, and what follows once they are answered."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipagent.identifiers import ItemId, ResponseId, ToolCallId
from sipagent.realtime.events import RealtimeModelEvent, RealtimeModelItemUpdatedEvent
from sipagent.realtime.items import AssistantMessageItem
from sipagent.realtime.mcp_events import (
    RealtimeModelMcpApprovalRequestedEvent,
    RealtimeModelMcpCallArgumentsEvent,
    RealtimeModelMcpCallEvent,
    RealtimeModelMcpListToolsEvent,
)
from sipagent.realtime.mcp_items import (
    McpHttpError,
    RealtimeMcpApprovalRequestItem,
    RealtimeMcpApprovalResponseItem,
    RealtimeMcpCallItem,
)
from sipagent.realtime.tool_turns import HostedTurns, ToolTurns, Wanted, request_wanted
from sipagent.realtime.turn import ALREADY_ACTIVE, ResponseGate

R1, R2 = ResponseId("resp_1"), ResponseId("resp_2")
A, B = ToolCallId("call_a"), ToolCallId("call_b")


# Tool calls -----------------------------------------------------------------------------------------


def test_one_response_follows_when_every_call_of_a_response_is_answered() -> None:
    turns = ToolTurns()
    turns.response_began(R1)
    assert turns.called(A, R1)
    assert turns.called(B, R1)
    assert not turns.response_ended(R1)
    assert not turns.answered(A, wants_response=True)
    assert turns.answered(B, wants_response=False), "one of them wants to be spoken about"


def test_no_response_follows_calls_that_want_none() -> None:
    turns = ToolTurns()
    turns.response_began(R1)
    turns.called(A, R1)
    assert not turns.answered(A, wants_response=False)
    assert not turns.response_ended(R1)


def test_a_fast_answer_waits_for_the_end_of_the_response_since_another_call_may_come() -> None:
    turns = ToolTurns()
    turns.response_began(R1)
    turns.called(A, R1)
    assert not turns.answered(A, wants_response=True)
    turns.called(B, R1)
    assert not turns.response_ended(R1)
    assert turns.answered(B, wants_response=True)


def test_calls_of_different_responses_do_not_wait_for_one_another() -> None:
    turns = ToolTurns()
    turns.response_began(R1)
    turns.called(A, R1)
    assert not turns.response_ended(R1)
    turns.response_began(R2)
    turns.called(B, R2)
    assert not turns.response_ended(R2)
    assert turns.answered(B, wants_response=True)
    assert turns.answered(A, wants_response=True)


def test_a_call_without_a_response_is_answered_by_itself() -> None:
    turns = ToolTurns()
    turns.called(A, None)
    assert turns.answered(A, wants_response=True)


def test_a_repeated_call_is_known_and_opens_nothing() -> None:
    turns = ToolTurns()
    turns.response_began(R1)
    assert turns.called(A, R1)
    assert not turns.called(A, R1)
    assert not turns.answered(A, wants_response=True)
    assert not turns.called(A, R1)
    assert turns.response_ended(R1)


def test_after_a_loss_calls_need_not_wait_for_the_end_of_their_response() -> None:
    turns = ToolTurns()
    turns.response_began(R1)
    turns.called(A, R1)
    turns.called(B, R1)
    turns.answered(A, wants_response=True)
    assert not turns.lost(), "one is still to be answered"
    assert turns.answered(B, wants_response=True)
    turns.response_began(R2)
    turns.called(ToolCallId("call_c"), R2)
    assert not turns.answered(ToolCallId("call_c"), wants_response=True)
    assert turns.lost()


# Hosted tools ---------------------------------------------------------------------------------------

CALL, REQUEST = ItemId("mcp_1"), ItemId("mcpr_1")


class Rig:
    """Hosted calls of a response that runs."""

    def __init__(self) -> None:
        self.tools = ToolTurns()
        self.hosted = HostedTurns(self.tools)
        self.running: ResponseId | None = R1
        self.tools.response_began(R1)

    def take(self, *events: RealtimeModelEvent) -> Wanted:
        """What the last of them leads to; the others lead to nothing."""
        wanted = Wanted.NO
        for event in events:
            assert not wanted
            wanted = self.hosted.take(event, self.running)
        return wanted

    def response_ends(self) -> Wanted:
        ended, self.running = self.running, None
        assert ended is not None
        return self.tools.response_ended(ended)


def arguments(item_id: ItemId = CALL, text: str = "{}") -> RealtimeModelMcpCallArgumentsEvent:
    return RealtimeModelMcpCallArgumentsEvent(item_id=item_id, arguments=text, response_id=R1)


def call(change: Any, item_id: ItemId = CALL) -> RealtimeModelMcpCallEvent:
    return RealtimeModelMcpCallEvent(change=change, item_id=item_id)


def asked(
    request_id: ItemId = REQUEST, text: str = "{}", response_id: ResponseId | None = R1
) -> RealtimeModelMcpApprovalRequestedEvent:
    request = RealtimeMcpApprovalRequestItem(
        item_id=request_id, server_label="docs", name="search", arguments=text, status="completed"
    )
    return RealtimeModelMcpApprovalRequestedEvent(request=request, response_id=response_id)


def item(response_id: ResponseId | None = None, **fields: Any) -> RealtimeModelItemUpdatedEvent:
    made = RealtimeMcpCallItem(item_id=CALL, server_label="docs", name="search", arguments="{}", **fields)
    return RealtimeModelItemUpdatedEvent(item=made, response_id=response_id)


@pytest.mark.parametrize("change", ["completed", "failed"])
def test_the_server_does_not_go_on_by_itself(change: Any) -> None:
    rig = Rig()
    assert not rig.take(arguments(), call("in_progress"), call(change))
    assert rig.response_ends() is Wanted.UNLESS_BEGUN
    rig = Rig()
    assert not rig.take(arguments(), call("in_progress"))
    assert not rig.response_ends()
    assert rig.take(call(change)) is Wanted.UNLESS_BEGUN
    assert not rig.take(call(change), call("in_progress"), item(R1, output="found"))


def test_a_response_that_goes_on_after_the_call_has_said_it_all() -> None:
    rig = Rig()
    spoken = AssistantMessageItem(item_id=ItemId("item_2"), status="in_progress")
    first = RealtimeModelItemUpdatedEvent(item=spoken, response_id=R1)
    rig.take(first, arguments(), call("in_progress"), call("completed"), first)
    assert not rig.response_ends()


def test_what_was_said_before_the_call_is_no_answer_to_it() -> None:
    rig = Rig()
    spoken = AssistantMessageItem(item_id=ItemId("item_2"), status="in_progress")
    rig.take(RealtimeModelItemUpdatedEvent(item=spoken, response_id=R1), arguments(), call("completed"))
    # The end of a response tells all of it once more.
    ended = AssistantMessageItem(item_id=ItemId("item_2"), status="completed")
    rig.take(RealtimeModelItemUpdatedEvent(item=ended, response_id=R1))
    assert rig.response_ends() is Wanted.UNLESS_BEGUN


def test_an_answer_of_ours_is_spoken_about_whatever_the_server_does() -> None:
    rig = Rig()
    rig.tools.called(A, R1)
    rig.take(arguments(), call("completed"))
    assert not rig.tools.answered(A, wants_response=True)
    rig.take(
        RealtimeModelItemUpdatedEvent(
            item=AssistantMessageItem(item_id=ItemId("item_2"), status="in_progress"), response_id=R1
        )
    )
    assert rig.response_ends() is Wanted.YES


def test_a_call_of_ours_and_one_of_the_server_wait_for_one_another() -> None:
    rig = Rig()
    rig.tools.called(A, R1)
    rig.take(arguments(), call("in_progress"))
    assert not rig.response_ends()
    assert not rig.tools.answered(A, wants_response=True)
    assert rig.take(call("completed")) is Wanted.YES


def test_a_call_that_nobody_announced_counts_with_the_response_that_runs() -> None:
    rig = Rig()
    assert not rig.take(call("failed"))
    assert rig.response_ends() is Wanted.UNLESS_BEGUN
    assert rig.take(call("completed", ItemId("mcp_9"))) is Wanted.UNLESS_BEGUN


def test_an_item_with_a_result_is_an_end_where_a_response_made_it() -> None:
    rig = Rig()
    assert not rig.take(item(R1), item(R1, error=McpHttpError(code=500, message="")))
    assert rig.response_ends() is Wanted.UNLESS_BEGUN
    rig = Rig()
    assert not rig.take(item(output="of an earlier conversation"))
    assert not rig.response_ends()


@pytest.mark.parametrize("approve", [True, False])
def test_an_answer_to_a_request_is_needed_before_anything_is_said(approve: bool) -> None:
    rig = Rig()
    assert not rig.take(arguments(), asked(), asked())
    assert not rig.response_ends()
    assert not rig.hosted.running
    wanted = rig.hosted.answered(REQUEST, approve=approve)
    assert not rig.hosted.answered(REQUEST, approve=not approve)
    if approve:
        assert not wanted
        assert rig.hosted.running == (CALL,)
        assert rig.take(call("in_progress"), call("completed")) is Wanted.UNLESS_BEGUN
    else:
        assert wanted is Wanted.UNLESS_BEGUN
        assert not rig.take(call("failed"))
    assert not rig.hosted.running


def test_an_answer_that_somebody_else_gave_counts() -> None:
    rig = Rig()
    rig.take(arguments(), asked())
    rig.response_ends()
    answer = RealtimeMcpApprovalResponseItem(
        item_id=ItemId("mcpa_1"), approval_request_id=REQUEST, approve=False
    )
    assert rig.take(RealtimeModelItemUpdatedEvent(item=answer)) is Wanted.UNLESS_BEGUN
    assert not rig.hosted.answered(REQUEST, approve=False)


def test_requests_of_two_calls_find_theirs() -> None:
    rig = Rig()
    other, second = ItemId("mcp_2"), ItemId("mcpr_2")
    rig.take(arguments(), arguments(other, '{"q": 2}'), asked(second, '{"q": 2}'), asked())
    rig.response_ends()
    assert not rig.hosted.answered(second, approve=True)
    assert rig.hosted.running == (other,)
    assert not rig.hosted.answered(REQUEST, approve=False)
    assert rig.take(call("completed", other)) is Wanted.UNLESS_BEGUN


@pytest.mark.parametrize("first", [True, False])
def test_a_request_finds_its_call_although_it_is_spelt_otherwise_or_comes_first(first: bool) -> None:
    rig = Rig()
    events = [arguments(text='{"q":1}'), asked(text='{"q": 1}')]
    rig.take(*(events if first else reversed(events)))
    assert not rig.response_ends()
    assert rig.hosted.answered(REQUEST, approve=False) is Wanted.UNLESS_BEGUN
    assert not rig.hosted.running


def test_a_call_that_runs_is_not_what_a_request_is_about() -> None:
    rig = Rig()
    rig.take(arguments(), call("in_progress"), asked())
    rig.response_ends()
    assert not rig.hosted.answered(REQUEST, approve=False), "the other one will be spoken about too"
    assert rig.hosted.running == (CALL,)
    assert rig.take(call("completed")) is Wanted.UNLESS_BEGUN


def test_a_request_of_another_response_is_about_another_call() -> None:
    rig = Rig()
    rig.take(arguments(), asked(text='{"q": 2}', response_id=R2))
    assert rig.hosted.answered(REQUEST, approve=False) is Wanted.UNLESS_BEGUN
    assert rig.hosted.running == (CALL,)


def test_a_request_whose_call_is_not_known_is_open_by_itself() -> None:
    rig = Rig()
    rig.take(asked(response_id=None))
    assert not rig.response_ends()
    assert rig.hosted.answered(REQUEST, approve=False) is Wanted.UNLESS_BEGUN
    assert not rig.hosted.answered(ItemId("unheard of"), approve=False)


def test_a_call_that_the_server_has_forgotten_holds_nothing_back() -> None:
    rig = Rig()
    rig.tools.called(A, R1)
    rig.take(arguments())
    rig.response_ends()
    assert not rig.tools.answered(A, wants_response=True)
    assert rig.hosted.gone(CALL) is Wanted.YES
    assert not rig.hosted.gone(CALL)
    assert not rig.hosted.gone(ItemId("unheard of"))


def test_lists_hold_nothing_back() -> None:
    rig = Rig()
    assert not rig.take(RealtimeModelMcpListToolsEvent(change="in_progress", item_id=ItemId("mcpl_1")))
    assert not rig.response_ends()


def test_a_response_that_the_server_began_by_itself_will_do() -> None:
    gate = ResponseGate()
    request_wanted(gate, Wanted.NO)
    assert not gate.pending
    request_wanted(gate, Wanted.UNLESS_BEGUN)
    request = gate.take()
    assert request is not None
    assert gate.refused(event_id=request.event_id, code=ALREADY_ACTIVE)
    gate.created(R2)
    gate.done(R2)
    assert gate.take() is None
    assert not gate.pending
    request_wanted(gate, Wanted.YES)
    request = gate.take()
    assert request is not None
    assert gate.refused(event_id=request.event_id, code=ALREADY_ACTIVE)
    gate.created(ResponseId("resp_3"))
    gate.done(ResponseId("resp_3"))
    assert gate.take() is not None


STEPS: dict[str, RealtimeModelEvent] = {
    "arguments": arguments(),
    "asked": asked(),
    "in_progress": call("in_progress"),
    "completed": call("completed"),
    "output": item(R1, output="found"),
}


@given(st.lists(st.sampled_from([*STEPS, "response ends", "approve"]), max_size=14))
def test_one_call_leads_to_one_response_however_often_it_is_told(steps: list[str]) -> None:
    rig = Rig()
    asked_for = 0
    for step in [*steps, "approve", "completed", "response ends"]:
        if step == "response ends":
            asked_for += bool(rig.tools.response_ended(R1))
            rig.running = None
        elif step == "approve":
            asked_for += bool(rig.hosted.answered(REQUEST, approve=True))
        else:
            asked_for += bool(rig.hosted.take(STEPS[step], rig.running))
    assert asked_for == 1
    assert not rig.hosted.running
