"""When a response may be asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sipagent.identifiers import ResponseId, ToolCallId
from sipagent.realtime.turn import (
    ALREADY_ACTIVE,
    NOTHING_TO_CANCEL,
    TRANSITIONS,
    ResponseGate,
    ResponseRequest,
    TurnSignal,
    TurnState,
)

R1, R2 = ResponseId("resp_1"), ResponseId("resp_2")
A, B = ToolCallId("call_a"), ToolCallId("call_b")


def state_of(gate: ResponseGate) -> TurnState:
    return gate.state


def taken(gate: ResponseGate) -> ResponseRequest:
    request = gate.take()
    assert request is not None
    return request


def test_a_request_is_sent_at_once_when_nothing_runs() -> None:
    gate = ResponseGate()
    gate.request()
    assert gate.pending
    assert taken(gate).response is None
    assert state_of(gate) is TurnState.REQUESTED
    assert gate.pending
    gate.created(R1)
    assert state_of(gate) is TurnState.ACTIVE
    assert gate.response_id == R1
    assert not gate.pending


def test_requests_wait_for_the_response_that_runs() -> None:
    gate = ResponseGate()
    gate.created(R1)
    gate.request()
    assert gate.take() is None
    gate.done(R1)
    assert taken(gate).response is None
    assert gate.take() is None


def test_a_named_response_is_cancelled_only_while_it_is_the_one_that_runs() -> None:
    gate = ResponseGate()
    assert not gate.cancel(R1)
    gate.created(R1)
    assert not gate.cancel(R2)
    assert gate.state is TurnState.ACTIVE
    assert gate.cancel(R1)
    assert state_of(gate) is TurnState.CANCELLING
    assert not gate.cancel(R1)
    gate.done(R1)
    gate.created(R2)
    assert not gate.cancel(R1)


def test_a_response_outside_the_conversation_can_be_cancelled_by_its_name() -> None:
    gate = ResponseGate()
    gate.created(R1)
    gate.request({"conversation": "none"})
    taken(gate)
    gate.created(R2, out_of_band=True)
    assert gate.cancel(R2)
    assert gate.state is TurnState.ACTIVE
    gate.done(R2)
    assert not gate.cancel(R2)


def test_automatic_requests_are_merged_and_manual_ones_keep_their_place() -> None:
    gate = ResponseGate()
    gate.created(R1)
    first, second = {"instructions": "one"}, {"instructions": "two"}
    for response in (None, None, first, None, None, second):
        gate.request(response)
    sent: list[Any] = []
    running = R1
    for index in range(4):
        gate.done(running)
        sent.append(taken(gate).response)
        running = ResponseId(f"resp_next_{index}")
        gate.created(running)
    gate.done(running)
    assert gate.take() is None
    assert sent == [None, first, None, second]


def test_an_automatic_request_behind_one_in_flight_is_not_merged_into_it() -> None:
    gate = ResponseGate()
    gate.request()
    taken(gate)
    gate.request()
    assert gate.take() is None
    gate.created(R1)
    gate.done(R1)
    assert taken(gate).response is None


def test_event_ids_differ_and_a_given_one_is_kept() -> None:
    gate = ResponseGate()
    gate.request({}, event_id="mine")
    gate.request({})
    assert taken(gate).event_id == "mine"
    gate.created(R1)
    gate.done(R1)
    assert taken(gate).event_id not in ("mine", "")


def test_a_request_outside_the_conversation_never_waits() -> None:
    gate = ResponseGate()
    gate.created(R1)
    gate.request({"instructions": "waits"})
    gate.request({"conversation": "none"})
    assert taken(gate).out_of_band
    assert gate.take() is None
    gate.created(R2, out_of_band=True)
    assert gate.response_id == R1
    gate.done(R2)
    assert state_of(gate) is TurnState.ACTIVE
    gate.done(R1)
    assert taken(gate).response == {"instructions": "waits"}


def test_a_response_counts_as_outside_only_when_we_asked_for_one() -> None:
    # A server that never names the conversation must not leave the gate open.
    gate = ResponseGate()
    gate.request()
    taken(gate)
    gate.created(R1, out_of_band=True)
    assert state_of(gate) is TurnState.ACTIVE


@pytest.mark.parametrize("named", [True, False], ids=["named", "unnamed"])
@pytest.mark.parametrize("announced", ["before", "after"])
def test_a_request_that_crosses_with_the_servers_own_response_is_asked_again(
    named: bool, announced: str
) -> None:
    gate = ResponseGate()
    gate.request({"instructions": "greet"})
    request = taken(gate)
    event_id = request.event_id if named else None
    if announced == "before":
        gate.created(R1)
    assert gate.refused(event_id=event_id, code=ALREADY_ACTIVE)
    if announced == "after":
        gate.created(R1)
    assert gate.pending
    assert gate.take() is None
    gate.done(R1)
    assert taken(gate) == request


def test_a_refusal_by_name_counts_even_after_the_response_in_the_way_has_ended() -> None:
    gate = ResponseGate()
    gate.request({"instructions": "greet"})
    request = taken(gate)
    gate.created(R1)
    gate.done(R1)
    assert gate.refused(event_id=request.event_id, code=ALREADY_ACTIVE)
    assert taken(gate) == request


def test_an_unnamed_refusal_after_our_response_has_ended_says_nothing_twice() -> None:
    gate = ResponseGate()
    gate.request()
    taken(gate)
    gate.created(R1)
    gate.done(R1)
    assert not gate.refused(event_id=None, code=ALREADY_ACTIVE)
    assert gate.take() is None


def test_a_turn_that_the_server_failed_to_answer_is_answered_and_nothing_is_said_twice() -> None:
    gate = ResponseGate()
    gate.request({"instructions": "Say hello."})
    taken(gate)
    gate.created(R1)
    gate.caller_ended_turn()
    assert gate.refused(event_id=None, code=ALREADY_ACTIVE)
    assert gate.take() is None
    gate.done(R1)
    assert taken(gate).response is None
    gate.created(R2)
    gate.done(R2)
    assert gate.take() is None


def test_a_turn_before_the_response_that_runs_says_nothing_about_a_refusal() -> None:
    gate = ResponseGate()
    gate.created(R1)
    gate.caller_ended_turn()
    gate.done(R1)
    gate.request({"instructions": "Say hello."})
    request = taken(gate)
    gate.created(R2)
    assert gate.refused(event_id=None, code=ALREADY_ACTIVE)
    gate.done(R2)
    assert gate.take() == request


def test_a_request_refused_again_and_again_is_asked_again_each_time() -> None:
    gate = ResponseGate()
    gate.request({"instructions": "greet"})
    for index in range(5):
        request = taken(gate)
        assert gate.refused(event_id=request.event_id, code=ALREADY_ACTIVE)
        running = ResponseId(f"resp_{index}")
        gate.created(running)
        assert gate.take() is None
        gate.done(running)
    assert taken(gate).response == {"instructions": "greet"}


@pytest.mark.parametrize("code", ["rate_limit_exceeded", "invalid_value", None, "server_error"])
@pytest.mark.parametrize("named", [True, False])
def test_no_other_error_leaves_the_gate_shut(code: str | None, named: bool) -> None:
    gate = ResponseGate()
    gate.request({"instructions": "one"})
    request = taken(gate)
    gate.request({"instructions": "two"})
    assert not gate.refused(event_id=request.event_id if named else None, code=code)
    assert taken(gate).response == {"instructions": "two"}


def test_an_error_about_another_command_changes_nothing() -> None:
    gate = ResponseGate()
    gate.request()
    taken(gate)
    assert not gate.refused(event_id="another", code="invalid_value")
    assert not gate.refused(event_id="another", code=ALREADY_ACTIVE)
    assert state_of(gate) is TurnState.REQUESTED


def test_an_unnamed_error_that_was_about_something_else_costs_nothing() -> None:
    gate = ResponseGate()
    gate.request({"instructions": "one"})
    first = taken(gate)
    gate.refused(event_id=None, code="invalid_value")
    gate.created(R1)  # so ours had not been refused
    assert state_of(gate) is TurnState.ACTIVE
    assert gate.take() is None
    gate.done(R1)
    assert gate.take() is None
    assert first.response == {"instructions": "one"}


def test_a_cancel_is_sent_once_and_only_for_a_response_that_runs() -> None:
    gate = ResponseGate()
    assert not gate.cancel()
    gate.request()
    taken(gate)
    assert not gate.cancel()
    gate.created(R1)
    assert gate.cancel()
    assert state_of(gate) is TurnState.CANCELLING
    assert not gate.cancel()
    gate.request()
    assert gate.take() is None, "a cancelled response still runs until it is done"
    gate.done(R1)
    assert taken(gate) is not None


def test_a_cancel_that_came_too_late_frees_the_gate() -> None:
    gate = ResponseGate()
    gate.created(R1)
    assert gate.cancel()
    assert gate.refused(event_id=None, code=NOTHING_TO_CANCEL), "nobody need hear of it"
    gate.request()
    assert taken(gate) is not None


def test_a_cancel_of_somebody_else_is_reported() -> None:
    gate = ResponseGate()
    gate.created(R1)
    assert not gate.refused(event_id="raw", code=NOTHING_TO_CANCEL)
    assert state_of(gate) is TurnState.ACTIVE


def test_the_end_of_another_response_frees_nothing() -> None:
    gate = ResponseGate()
    gate.created(R1)
    gate.done(ResponseId("resp_0"))
    assert state_of(gate) is TurnState.ACTIVE
    gate.created(R2)  # the end of the first was missed
    gate.done(R1)
    assert state_of(gate) is TurnState.ACTIVE
    gate.done(R2)
    assert state_of(gate) is TurnState.IDLE


def test_the_end_of_a_response_never_seen_does_not_count_as_the_end_of_ours() -> None:
    gate = ResponseGate()
    gate.request()
    taken(gate)
    gate.done(R1)
    assert state_of(gate) is TurnState.REQUESTED


def test_what_could_not_be_sent_waits_again_in_its_place() -> None:
    gate = ResponseGate()
    gate.request({"instructions": "one"})
    gate.request({"instructions": "two"})
    request = taken(gate)
    gate.unsent(request)
    assert state_of(gate) is TurnState.IDLE
    assert taken(gate) == request
    gate.lost()
    gate.unsent(request)  # the loss was found out first
    assert taken(gate).response == {"instructions": "one"}
    gate.created(R1)
    gate.done(R1)
    assert taken(gate).response == {"instructions": "two"}


def test_an_outside_request_that_could_not_be_sent_waits_too() -> None:
    gate = ResponseGate()
    gate.request({"conversation": "none"})
    gate.unsent(taken(gate))
    assert taken(gate).out_of_band
    gate.created(R1, out_of_band=True)
    assert state_of(gate) is TurnState.IDLE


def test_after_a_loss_what_waits_is_kept_and_what_ran_is_forgotten() -> None:
    gate = ResponseGate()
    gate.created(R1)
    gate.request({"instructions": "waits"})
    gate.lost()
    assert gate.response_id is None
    assert taken(gate).response == {"instructions": "waits"}


def test_after_a_loss_nothing_that_began_is_asked_again() -> None:
    gate = ResponseGate()
    gate.request({"instructions": "greet"})
    taken(gate)
    gate.created(R1)
    gate.lost()
    assert gate.take() is None


def test_a_request_on_its_way_at_a_loss_is_sent_again_unless_a_response_runs() -> None:
    gate = ResponseGate()
    gate.request({"instructions": "greet"})
    first = taken(gate)
    gate.lost()
    again = taken(gate)
    assert again.response == first.response
    assert again.event_id != first.event_id
    assert gate.refused(event_id=again.event_id, code=ALREADY_ACTIVE)
    gate.created(R1)
    gate.done(R1)
    assert gate.take() is None, "the response that ran was its answer: nothing is said twice"


def gate_collides(gate: ResponseGate, request: ResponseRequest) -> None:
    assert gate.refused(event_id=request.event_id, code=ALREADY_ACTIVE)


def gate_collides_late(gate: ResponseGate, request: ResponseRequest) -> None:
    gate.created(R1)
    gate_collides(gate, request)


def gate_is_lost(gate: ResponseGate, request: ResponseRequest) -> None:
    gate.lost()


# Taking back ----------------------------------------------------------------------------------------


def test_what_waits_by_itself_is_taken_back_and_what_somebody_wants_said_is_not() -> None:
    gate = ResponseGate()
    gate.created(R1)
    gate.request()
    gate.request({"instructions": "Say goodbye."})
    gate.request()
    gate.request({"conversation": "none"})
    gate.take_back()
    assert taken(gate).out_of_band  # it leaves the conversation alone
    gate.done(R1)
    request = taken(gate)
    assert request.response == {"instructions": "Say goodbye."}
    # It was not under way then, so it is asked again.
    gate.refused(event_id=request.event_id, code=ALREADY_ACTIVE)
    gate.done(R1)
    assert taken(gate).response == {"instructions": "Say goodbye."}
    gate.created(R2)
    assert gate.unwanted is None
    assert not gate.pending


def test_the_response_to_what_was_on_its_way_is_unwanted() -> None:
    gate = ResponseGate()
    gate.request()
    taken(gate)
    gate.take_back()
    assert gate.pending
    gate.created(R1)
    assert gate.unwanted == R1
    assert gate.cancel(R1)
    gate.done(R1)
    assert gate.take() is None


def test_a_response_that_nobody_had_asked_for_when_all_was_taken_back_is_wanted() -> None:
    gate = ResponseGate()
    gate.take_back()
    gate.created(R1)
    gate.take_back()
    gate.done(R1)
    gate.request()
    taken(gate)
    gate.created(R2)
    assert gate.unwanted is None


@pytest.mark.parametrize("outcome", [gate_collides, gate_collides_late, ResponseGate.unsent, gate_is_lost])
def test_what_was_taken_back_on_its_way_is_not_asked_again(
    outcome: Callable[[ResponseGate, ResponseRequest], object],
) -> None:
    gate = ResponseGate()
    gate.request({"instructions": "Greet."})
    request = taken(gate)
    gate.take_back()
    outcome(gate, request)
    gate.done(R1)
    assert gate.take() is None
    assert state_of(gate) is TurnState.IDLE
    assert not gate.pending


# Conditions -----------------------------------------------------------------------------------------


def test_a_request_on_a_condition_is_dropped_when_that_does_not_hold_any_more() -> None:
    gate = ResponseGate()
    wanted = True
    gate.created(R1)
    gate.request(only_if=lambda: wanted)
    gate.request({"instructions": "Greet."}, only_if=lambda: wanted)
    gate.request({"instructions": "Go on."})
    wanted = False
    gate.done(R1)
    assert taken(gate).response == {"instructions": "Go on."}
    assert gate.take() is None


def test_a_request_on_a_condition_is_asked_again_only_while_that_holds() -> None:
    gate = ResponseGate()
    answers = iter([True, True, False])
    gate.request(only_if=lambda: next(answers))
    for _ in range(2):
        request = taken(gate)
        gate.refused(event_id=request.event_id, code=ALREADY_ACTIVE)
        gate.done(R1)
    assert gate.take() is None
    assert next(answers, None) is None


def test_a_request_without_a_condition_is_not_covered_by_one_that_has_one() -> None:
    gate = ResponseGate()
    gate.created(R1)
    gate.request(only_if=lambda: False)
    gate.request()
    gate.done(R1)
    assert taken(gate).only_if is None
    gate.created(R2)
    # One that holds covers those behind it, since one response answers them all.
    gate.request(only_if=lambda: True)
    gate.request()
    gate.done(R2)
    taken(gate)
    gate.created(ResponseId("resp_3"))
    gate.done(ResponseId("resp_3"))
    assert gate.take() is None


# The table ------------------------------------------------------------------------------------------


def test_the_table_names_every_state_and_leads_to_states_only() -> None:
    assert set(TRANSITIONS) == set(TurnState)
    for by_signal in TRANSITIONS.values():
        assert set(by_signal) <= set(TurnSignal)
    # Whatever happens, a way leads back to idle.
    for state in TurnState:
        if state is not TurnState.IDLE:
            assert TurnState.IDLE in TRANSITIONS[state].values()
            assert TRANSITIONS[state][TurnSignal.LOST] is TurnState.IDLE


_UNDER_WAY = 5
"""How many requests may be on their way when the server speaks by itself: one that is under way for longer
than very many responses is beyond what the gate remembers."""


class PretendServer(RuleBasedStateMachine):
    """A server that runs one response at a time, starts its own, and refuses what comes meanwhile.

    Messages either way are delivered in order, and as late as the machine likes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gate = ResponseGate()
        self.to_server: list[ResponseRequest] = []
        self.to_client: list[tuple[str, Any]] = []
        self.active: ResponseId | None = None
        self.wanted: list[str] = []
        self.granted: list[str] = []
        self.count = 0

    def _new_response(self) -> ResponseId:
        self.count += 1
        return ResponseId(f"resp_{self.count}")

    def _pump(self) -> None:
        while (request := self.gate.take()) is not None:
            self.to_server.append(request)

    @rule()
    def want(self) -> None:
        self.count += 1
        name = f"wish {self.count}"
        self.wanted.append(name)
        self.gate.request({"instructions": name})
        self._pump()

    @rule()
    @precondition(lambda self: self.active is None and len(self.to_server) <= _UNDER_WAY)
    def server_speaks_by_itself(self) -> None:
        self.active = self._new_response()
        self.to_client.append(("created", self.active))

    @rule()
    @precondition(lambda self: self.active is not None)
    def server_is_done(self) -> None:
        self.to_client.append(("done", self.active))
        self.active = None

    @rule()
    @precondition(lambda self: self.to_server)
    def server_reads(self) -> None:
        request = self.to_server.pop(0)
        if self.active is not None:
            self.to_client.append(("refused", request.event_id))
            return
        assert request.response is not None
        self.granted.append(request.response["instructions"])
        self.active = self._new_response()
        self.to_client.append(("created", self.active))

    @rule()
    @precondition(lambda self: self.to_client)
    def client_reads(self) -> None:
        kind, value = self.to_client.pop(0)
        match kind:
            case "created":
                self.gate.created(value)
            case "done":
                self.gate.done(value)
            case _:
                self.gate.refused(event_id=value, code=ALREADY_ACTIVE)
        self._pump()

    @invariant()
    def nothing_is_granted_twice(self) -> None:
        assert len(set(self.granted)) == len(self.granted)

    def teardown(self) -> None:
        """Let everything run out: every wish has been granted then."""
        for _ in range(10 * len(self.wanted) + 20):
            while self.to_client:
                self.client_reads()
            if self.to_server:
                self.server_reads()
            elif self.active is not None:
                self.server_is_done()
        assert sorted(self.granted) == sorted(self.wanted)
        assert not self.gate.pending


TestGateAgainstAServer = PretendServer.TestCase
TestGateAgainstAServer.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


# What comes twice, late or without a name -----------------------------------------------------------


@pytest.mark.parametrize("out_of_band", [False, True], ids=["inside", "outside"])
def test_a_beginning_that_is_told_twice_shuts_nothing(out_of_band: bool) -> None:
    gate = ResponseGate()
    gate.created(R2)
    gate.done(R2)
    if out_of_band:
        gate.request({"conversation": "none"})
        taken(gate)
    for _ in range(2):
        gate.created(R1, out_of_band=out_of_band)
    gate.done(R1)
    gate.created(R1, out_of_band=out_of_band)
    assert state_of(gate) is TurnState.IDLE


def test_a_beginning_that_is_told_twice_does_not_undo_a_cancel() -> None:
    gate = ResponseGate()
    gate.created(R1)
    assert gate.cancel()
    gate.created(R1)
    assert not gate.cancel()


def test_an_end_that_overtakes_its_beginning_shuts_nothing() -> None:
    gate = ResponseGate()
    gate.request()
    taken(gate)
    gate.done(R1)
    gate.created(R1)
    assert state_of(gate) is TurnState.IDLE


def test_a_refusal_that_the_end_of_what_was_in_the_way_overtakes_is_asked_again_at_once() -> None:
    gate = ResponseGate()
    gate.request()
    request = taken(gate)
    gate.done(R1)
    assert gate.refused(event_id=request.event_id, code=ALREADY_ACTIVE)
    assert taken(gate) == request


def test_an_unnamed_refusal_by_a_response_that_nobody_asked_for_is_about_the_latest_request() -> None:
    for cancelled in (False, True):
        gate = ResponseGate()
        gate.request()
        request = taken(gate)
        gate.created(R1)
        gate.done(R1)
        gate.created(R2)
        assert not cancelled or gate.cancel()
        assert gate.refused(event_id=None, code=ALREADY_ACTIVE)
        gate.done(R2)
        assert taken(gate) == request


def test_what_is_asked_again_goes_before_what_was_wanted_later() -> None:
    gate = ResponseGate()
    for number in range(3):
        gate.request({"metadata": {"number": number}})
    first = taken(gate)
    gate.created(R1)
    gate.done(R1)
    second = taken(gate)
    for request in (first, second):
        assert gate.refused(event_id=request.event_id, code=ALREADY_ACTIVE)
    gate.created(R2)
    gate.done(R2)
    assert taken(gate) == first


def test_a_request_outside_that_is_refused_is_waited_for_no_more() -> None:
    gate = ResponseGate()
    gate.request({"conversation": "none"})
    assert not gate.refused(event_id=taken(gate).event_id, code="invalid_value")
    gate.created(R1, out_of_band=True)
    assert state_of(gate) is TurnState.ACTIVE, "nobody asked for one outside any more"


def test_a_server_that_names_no_conversation_cannot_shut_the_gate() -> None:
    gate = ResponseGate()
    gate.request({"conversation": "none"})
    taken(gate)
    gate.request()
    taken(gate)
    gate.created(R1, out_of_band=True)  # ours, though it looks like the one outside
    gate.done(R1)
    assert state_of(gate) is TurnState.IDLE
    gate.request()
    request = taken(gate)
    assert gate.refused(event_id=request.event_id, code=ALREADY_ACTIVE)
    gate.created(R2, out_of_band=True)
    gate.done(R2)
    assert taken(gate) == request


def test_what_is_wanted_after_a_loss_is_not_dropped_with_what_may_have_been_heard() -> None:
    gate = ResponseGate()
    gate.request()
    taken(gate)
    gate.lost()
    gate.request()
    request = taken(gate)
    assert gate.take() is None, "one response answers both"
    assert gate.refused(event_id=request.event_id, code=ALREADY_ACTIVE)
    gate.created(R1)
    gate.done(R1)
    assert taken(gate).response is None


@pytest.mark.parametrize("holds", [True, False])
def test_what_may_have_been_heard_gives_way_only_to_what_is_still_wanted(holds: bool) -> None:
    gate = ResponseGate()
    gate.request()
    taken(gate)
    gate.lost()
    gate.request(only_if=lambda: holds)
    assert taken(gate).perhaps_heard is not holds
    assert gate.take() is None


def test_an_automatic_request_is_not_merged_past_one_that_may_be_back() -> None:
    gate = ResponseGate()
    gate.request()
    first = taken(gate)
    gate.created(R1)
    gate.done(R1)
    gate.request({"instructions": "between"})
    between = taken(gate)
    gate.created(R2)
    assert gate.refused(event_id=first.event_id, code=ALREADY_ACTIVE)
    gate.request()  # behind what is on its way, and so not answered by the first
    assert gate.refused(event_id=between.event_id, code=ALREADY_ACTIVE)
    running = R2
    asked = []
    for number in range(3):
        gate.done(running)
        asked.append(taken(gate).response)
        running = ResponseId(f"resp_next_{number}")
        gate.created(running)
    assert asked == [None, {"instructions": "between"}, None]


def test_a_second_loss_names_the_request_as_the_first_did() -> None:
    gate = ResponseGate()
    gate.request({}, event_id="mine")
    taken(gate)
    gate.lost()
    assert taken(gate).event_id == "mine_again"
    gate.lost()
    assert taken(gate).event_id == "mine_again"
