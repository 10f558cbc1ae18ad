"""Whatever happens in whatever order: no request is lost, none goes out too early, none waits for ever."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sipagent.identifiers import ResponseId, ToolCallId
from sipagent.realtime.tool_turns import ToolTurns, Wanted
from sipagent.realtime.turn import (
    ALREADY_ACTIVE,
    NOTHING_TO_CANCEL,
    ResponseGate,
    ResponseRequest,
    TurnState,
)

MOST_UNDER_WAY = 5
"""Requests on their way beyond which the server does not speak by itself: a gate remembers some only."""
RUNS = settings(
    max_examples=700, stateful_step_count=50, deadline=None, derandomize=True, report_multiple_bugs=False
)

# Requests -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A message of the server."""

    kind: str
    response_id: ResponseId = ResponseId("")
    out_of_band: bool = False
    event_id: str | None = None
    code: str | None = None


class ServerModel(RuleBasedStateMachine):
    """A gate, and a server as the API describes it; a message of either side arrives when a rule lets it.

    The server runs one response of the conversation, may begin it by itself, and refuses what comes
    meanwhile. Responses outside the conversation run beside it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gate = ResponseGate()
        self.to_server: list[ResponseRequest | str] = []
        self.to_client: list[Told] = []
        self.active: ResponseId | None = None
        self.outside: list[ResponseId] = []
        self.names_conversations = True
        self.responses = 0
        # What is wanted, by number: its kind, whether it is still to be asked for, what asks for it.
        self.kinds: list[str] = []
        self.unasked: set[int] = set()
        self.asks_for: dict[str, set[int]] = {}
        self.ever_asked: set[int] = set()
        self.granted: list[int] = []
        self.taken_back: set[str] = set()
        self.dropped: set[int] = set()
        """What nobody wants any more, and need not be asked for."""
        self.to_ask_again: set[int] = set()
        """On their way when the connection broke, and not heard."""
        # What can be known by what was told.
        self.told_of_one_inside = False
        self.told_active: ResponseId | None = None
        self.under_way: str | None = None

    @initialize(names=st.booleans())
    def is_one_that_names_conversations_or_not(self, names: bool) -> None:
        self.names_conversations = names

    # What is wanted --------------------------------------------------------------------------------

    @rule(kind=st.sampled_from(["automatic", "manual", "outside"]), sends=st.booleans())
    def want(self, kind: str, sends: bool) -> None:
        number = len(self.kinds)
        self.kinds.append(kind)
        self.unasked.add(number)
        parameters = {"conversation": "none"} if kind == "outside" else {}
        self.gate.request(None if kind == "automatic" else {**parameters, "metadata": {"number": number}})
        self.ask(sends=sends)

    @rule(named=st.booleans())
    def cancel(self, named: bool) -> None:
        running = self.gate.response_id
        if self.gate.cancel(running if named else None):
            self.to_server.append(running if named and running else "whatever runs")
        self.ask()

    @rule()
    def all_that_is_automatic_is_taken_back(self) -> None:
        self.gate.take_back()
        automatic = {number for number in self.unasked if self.kinds[number] == "automatic"}
        self.unasked -= automatic
        self.dropped |= automatic
        self.taken_back |= set(self.asks_for)
        self.to_ask_again.clear()
        self.ask()

    def ask(self, *, sends: bool = True) -> None:
        """What a model does after everything that happens; a socket that is broken sends nothing."""
        while (request := self.gate.take()) is not None:
            if not sends:
                self.gate.unsent(request)
                return
            self.check(request)
            self.to_server.append(request)
        assert not any(self.kinds[number] == "outside" for number in self.unasked), "that never waits"

    def check(self, request: ResponseRequest) -> None:
        """It may go now, it is the eldest, and somebody wants it."""
        inside = {number for number in self.unasked if self.kinds[number] != "outside"}
        if request.perhaps_heard:
            covered: set[int] = set()
            self.to_ask_again.clear()
        elif request.response is None:
            manual = min((each for each in inside if self.kinds[each] == "manual"), default=len(self.kinds))
            covered = {number for number in inside if number < manual}
            assert covered, "asked for what nobody wants, or out of order"
        else:
            number = request.response["metadata"]["number"]
            assert number in self.unasked
            assert request.out_of_band or number == min(inside), "asked out of order"
            covered = {number}
        if not request.out_of_band:
            self.check_gate_is_open()
            self.under_way = request.event_id
        if request.response is None and all(self.kinds[each] == "automatic" for each in self.to_ask_again):
            self.to_ask_again.clear()  # one response answers them too
        self.unasked -= covered
        self.ever_asked |= covered
        # From now on they are one, and have the place of the eldest.
        self.asks_for[request.event_id] = {min(covered)} if covered else set()

    def check_gate_is_open(self) -> None:
        if self.told_of_one_inside:
            assert self.told_active is None, "asked while a response ran"
            assert self.under_way is None, "asked while a request was on its way"

    # What the server does --------------------------------------------------------------------------

    def begin(self, *, out_of_band: bool = False) -> None:
        self.responses += 1
        response_id = ResponseId(f"resp_{self.responses}")
        if out_of_band:
            self.outside.append(response_id)
        else:
            self.active = response_id
        unnamed = out_of_band or not self.names_conversations
        self.to_client.append(Told(kind="created", response_id=response_id, out_of_band=unnamed))

    @rule()
    @precondition(lambda self: self.active is None and len(self.to_server) <= MOST_UNDER_WAY)
    def server_speaks_by_itself(self) -> None:
        self.begin()

    @rule(told=st.booleans())
    @precondition(lambda self: self.active is None and len(self.to_server) <= MOST_UNDER_WAY)
    def server_speaks_briefly(self, told: bool) -> None:
        self.begin()
        self.server_is_done()
        while told and self.to_client:
            self.client_reads()

    @rule()
    @precondition(lambda self: self.active is not None)
    def server_is_done(self) -> None:
        assert self.active is not None
        self.to_client.append(Told(kind="done", response_id=self.active))
        self.active = None

    @rule()
    @precondition(lambda self: self.outside)
    def server_is_done_outside(self) -> None:
        self.to_client.append(Told(kind="done", response_id=self.outside.pop(0)))

    @rule(
        named=st.booleans(),
        fault=st.sampled_from([None] * 8 + ["rate_limit_exceeded", "invalid_value"]),
    )
    @precondition(lambda self: self.to_server)
    def server_reads(self, named: bool, fault: str | None) -> None:
        command = self.to_server.pop(0)
        if isinstance(command, str):
            self.server_cancels(command, named=named)
            return
        if fault is not None:
            self.asks_for.pop(command.event_id)
            self.refuse(command, fault, named=named or self.others_unanswered(command))
        elif command.out_of_band:
            self.begin(out_of_band=True)
            self.grant(command)
        elif self.active is not None:
            self.refuse(command, ALREADY_ACTIVE, named=named or self.others_unanswered(command))
        else:
            self.begin()
            self.grant(command)

    def server_cancels(self, command: str, *, named: bool) -> None:
        if self.active is not None and command in (self.active, "whatever runs"):
            self.server_is_done()
        else:
            event_id = "the cancel" if named else None
            self.to_client.append(Told(kind="error", code=NOTHING_TO_CANCEL, event_id=event_id))

    def others_unanswered(self, command: ResponseRequest) -> bool:
        """Without a name, it can only be told which request is meant while there is but one: none that is on
        its way, and none that is sent when what is on its way to the client arrives."""
        waiting = any(isinstance(each, ResponseRequest) for each in self.to_server)
        arriving = any(told.kind != "created" for told in self.to_client)
        # Nor by a server whose responses outside the conversation look like those inside.
        return waiting or arriving or command.out_of_band or not self.names_conversations

    def grant(self, command: ResponseRequest) -> None:
        self.granted += self.asks_for.pop(command.event_id)

    def refuse(self, command: ResponseRequest, code: str, *, named: bool) -> None:
        # What the code tells besides is for this model only: which request is meant.
        event_id = command.event_id if named else None
        self.to_client.append(
            Told(kind="error", code=code, event_id=event_id, response_id=ResponseId(command.event_id))
        )

    # What arrives ----------------------------------------------------------------------------------

    @rule()
    @precondition(lambda self: self.to_client)
    def client_reads(self) -> None:
        self.deliver(self.to_client.pop(0))

    def deliver(self, told: Told) -> None:
        match told.kind:
            case "created":
                self.gate.created(told.response_id, out_of_band=told.out_of_band)
                if not told.out_of_band:
                    self.told_of_one_inside = True
                    self.told_active, self.under_way = told.response_id, None
            case "done":
                self.gate.done(told.response_id)
                if told.response_id == self.told_active:
                    self.told_active = None
            case _:
                self.deliver_error(told)
        self.ask()

    def deliver_error(self, told: Told) -> None:
        request = told.response_id
        if told.code == NOTHING_TO_CANCEL and self.gate.state is TurnState.CANCELLING:
            self.told_active = None
        if told.code == ALREADY_ACTIVE:
            refused = self.asks_for.pop(request, set())
            if request in self.taken_back:
                self.dropped |= refused
            else:
                self.unasked |= refused
        if self.under_way == request or told.event_id is None:
            self.under_way = None
        self.gate.refused(event_id=told.event_id, code=told.code)

    @rule(heard=st.integers(0, 3), answered=st.booleans(), wanted=st.booleans(), seldom=st.integers(0, 5))
    def connection_breaks(self, heard: int, answered: bool, wanted: bool, seldom: int) -> None:
        """The server hears some of what is on its way, and goes on; the rest is lost, either way."""
        if seldom:
            return
        while self.to_server and heard:
            heard -= 1
            self.server_reads(named=True, fault=None)
        if answered:
            while self.to_client:
                self.client_reads()
        # Whatever was on its way may have been heard: it is asked for once more at the most.
        on_their_way = [each.event_id for each in self.to_server if isinstance(each, ResponseRequest)]
        again = self.under_way in on_their_way and self.under_way not in self.taken_back
        if self.names_conversations and again:
            assert self.under_way is not None
            self.to_ask_again |= self.asks_for[self.under_way]
        self.asks_for.clear()
        self.to_server.clear()
        self.to_client.clear()
        self.told_active = self.under_way = None
        self.gate.lost()
        if wanted:
            self.want("automatic", sends=True)
        self.ask()

    # Afterwards ------------------------------------------------------------------------------------

    @invariant()
    def the_gate_is_open_when_nothing_happens_any_more(self) -> None:
        if not (self.to_client or self.to_server or self.active or self.outside):
            assert self.gate.state is TurnState.IDLE, "the gate is stuck"

    def settle(self) -> None:
        """Nobody wants anything more, and nothing goes wrong any more."""
        for _ in range(10 * (len(self.kinds) + self.responses) + len(self.to_client) + 40):
            if self.to_client:
                self.client_reads()
            elif self.to_server:
                self.server_reads(named=True, fault=None)
            elif self.outside:
                self.server_is_done_outside()
            elif self.active is not None:
                self.server_is_done()
            else:
                return
            self.ask()
        raise AssertionError("it goes on for ever")

    def teardown(self) -> None:
        self.ask()
        self.settle()
        assert self.gate.state is TurnState.IDLE
        assert not self.gate.pending
        assert not self.unasked, "something wanted was never asked for"
        assert not self.to_ask_again, "something that was lost was never asked for again"
        assert not self.asks_for, "something was asked for, and neither granted nor refused"
        assert self.ever_asked | self.dropped == set(range(len(self.kinds)))
        assert len(set(self.granted)) == len(self.granted), "something was granted twice"


class FaultyDelivery(ServerModel):
    """The same, with messages of the server that come twice or late.

    Then the gate may be misled into asking too early or twice, which the server's refusals mend; but it
    must not shut for ever, nor lose anything.
    """

    def check(self, request: ResponseRequest) -> None:
        if request.response is None:
            covered = {number for number in self.unasked if self.kinds[number] == "automatic"}
        else:
            covered = {request.response["metadata"]["number"]}
        self.unasked -= covered
        self.ever_asked |= covered
        self.asks_for[request.event_id] = covered

    @rule(place=st.integers(0, 3), again=st.one_of(st.none(), st.integers(0, 2)))
    @precondition(lambda self: self.to_client)
    def client_reads(self, place: int = 0, again: int | None = None) -> None:
        """A message that may have overtaken others, and may come again later."""
        told = self.to_client.pop(min(place, len(self.to_client) - 1))
        if again is not None:
            self.to_client.insert(again, told)
        self.deliver(told)

    def grant(self, command: ResponseRequest) -> None:
        self.asks_for.pop(command.event_id, None)

    def server_reads(self, named: bool, fault: str | None) -> None:
        # A name tells what is meant, however late it comes.
        super().server_reads(named=True, fault=None)

    def teardown(self) -> None:
        self.ask()
        self.settle()
        assert self.gate.state is TurnState.IDLE
        assert not self.gate.pending
        assert self.ever_asked | self.dropped == set(range(len(self.kinds)))


TestGateWithAServer = ServerModel.TestCase
TestGateWithAServer.settings = RUNS
TestGateWithFaultyDelivery = FaultyDelivery.TestCase
TestGateWithFaultyDelivery.settings = RUNS


# Tool calls -----------------------------------------------------------------------------------------


class ToolCalls(RuleBasedStateMachine):
    """Responses that call tools, and tools that are answered whenever they are ready."""

    def __init__(self) -> None:
        super().__init__()
        self.turns = ToolTurns()
        self.running: ResponseId | None = None
        self.calls: dict[ToolCallId, ResponseId] = {}
        self.unanswered: set[ToolCallId] = set()
        self.wanting: set[ResponseId] = set()
        self.told_running: set[ResponseId] = set()
        self.count = 0

    def due(self, is_due: Wanted, response_id: ResponseId) -> None:
        """A response follows exactly when all that it waits for has happened, and once."""
        still_open = any(self.calls[each] == response_id for each in self.unanswered)
        expected = response_id in self.wanting and response_id not in self.told_running and not still_open
        assert is_due is (Wanted.YES if expected else Wanted.NO)
        if is_due:
            self.wanting.discard(response_id)

    @rule()
    @precondition(lambda self: self.running is None)
    def a_response_begins(self) -> None:
        self.count += 1
        self.running = ResponseId(f"resp_{self.count}")
        self.told_running.add(self.running)
        self.turns.response_began(self.running)

    @rule()
    @precondition(lambda self: self.running is not None)
    def it_calls_a_tool(self) -> None:
        assert self.running is not None
        self.count += 1
        call_id = ToolCallId(f"call_{self.count}")
        self.calls[call_id] = self.running
        self.unanswered.add(call_id)
        assert self.turns.called(call_id, self.running)

    @rule(which=st.integers(0, 20))
    @precondition(lambda self: self.calls)
    def a_call_is_told_again(self, which: int) -> None:
        call_id = list(self.calls)[which % len(self.calls)]
        assert not self.turns.called(call_id, self.calls[call_id])

    @rule(which=st.integers(0, 20), wants_response=st.booleans())
    @precondition(lambda self: self.unanswered)
    def a_tool_is_answered(self, which: int, wants_response: bool) -> None:
        call_id = sorted(self.unanswered)[which % len(self.unanswered)]
        self.unanswered.discard(call_id)
        if wants_response:
            self.wanting.add(self.calls[call_id])
        self.due(self.turns.answered(call_id, wants_response=wants_response), self.calls[call_id])

    @rule(begins_again=st.booleans())
    @precondition(lambda self: self.running is not None)
    def it_ends(self, begins_again: bool) -> None:
        assert self.running is not None
        ended, self.running = self.running, None
        self.told_running.discard(ended)
        self.due(self.turns.response_ended(ended), ended)
        if begins_again:
            # What is told late or twice must not make anybody wait for an end that was told already.
            self.turns.response_began(ended)
        else:
            self.due(self.turns.response_ended(ended), ended)

    @rule(ended=st.booleans())
    def the_connection_breaks(self, ended: bool) -> None:
        if ended:
            self.running = None
        self.told_running.clear()
        open_responses = {self.calls[each] for each in self.unanswered}
        assert bool(self.turns.lost()) == bool(self.wanting - open_responses)
        self.wanting &= open_responses

    def teardown(self) -> None:
        if self.running is not None:
            self.it_ends(begins_again=False)
        while self.unanswered:
            self.a_tool_is_answered(0, wants_response=False)
        assert not self.wanting, "an answer was never spoken about"


TestToolCalls = ToolCalls.TestCase
TestToolCalls.settings = settings(RUNS, max_examples=200)
