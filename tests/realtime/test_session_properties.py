"""A whole session against a server that does whatever it may, over a network that does whatever it can.

Nothing is lost that can be kept: what was wanted is asked for, every call of a tool is answered once, the
gate opens again, and no task outlives the session.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
import websockets
from hypothesis import given, settings
from hypothesis import strategies as st

from sipagent.errors import ConnectionLostError
from sipagent.realtime import (
    AttachPolicy,
    FunctionTool,
    OpenAIRealtimeSIPModel,
    RealtimeAgent,
    RealtimeModelRequestResponse,
    RealtimeRunner,
    RealtimeSession,
    RealtimeSessionEvent,
    RealtimeToolApprovalRequired,
    ToolGuardrailFunctionOutput,
    ToolInputGuardrailData,
    function_tool,
    tool_input_guardrail,
)
from sipagent.realtime.items import RealtimeToolCallItem
from tests.realtime.peer import PATIENCE_S
from tests.support.disturbances import Disturbances
from tests.support.imagined_realtime import ImaginedRealtime, Json
from tests.support.leaks import describe, leaked_tasks

QUICK = AttachPolicy(not_found_deadline_s=0.0, first_retry_s=0.0, reattach_attempts=20)
TURNS = 12
"""Turns of the event loop in which what can move has moved."""
STEPS_TO_SETTLE = 400
PROBE = "Are you there?"
OUTSIDE = {"conversation": "none"}

# The agent ------------------------------------------------------------------------------------------


@tool_input_guardrail
async def refuses(data: ToolInputGuardrailData) -> ToolGuardrailFunctionOutput:
    return ToolGuardrailFunctionOutput.reject_content("Not that.")


@tool_input_guardrail
async def breaks(data: ToolInputGuardrailData) -> ToolGuardrailFunctionOutput:
    raise RuntimeError("the guardrail is broken")


class Tools:
    """One tool for each way in which a call may go."""

    def __init__(self) -> None:
        self.slow: list[asyncio.Future[str]] = []
        self.runs = Counter[str]()

    def all(self) -> list[FunctionTool]:
        @function_tool
        async def quick() -> str:
            """Answers at once."""
            self.runs["quick"] += 1
            return "done"

        @function_tool
        async def slow() -> str:
            """Answers when the test says so."""
            self.slow.append(asyncio.get_running_loop().create_future())
            return await self.slow[-1]

        @function_tool
        async def broken() -> str:
            """Raises."""
            raise RuntimeError("it does not work")

        @function_tool
        async def cancelled() -> str:
            """Is cancelled from within."""
            raise asyncio.CancelledError

        @function_tool(starts_response=False)
        async def silent() -> str:
            """Needs no words."""
            return "noted"

        @function_tool(needs_approval=True)
        async def approved() -> str:
            """Needs somebody to say yes."""
            return "allowed"

        @function_tool(tool_input_guardrails=[refuses])
        async def guarded() -> str:
            """Is never let run."""
            raise AssertionError("a guardrail refused this")

        @function_tool(tool_input_guardrails=[breaks])
        async def badly_guarded() -> str:
            """Has a guardrail that fails."""
            return "done"

        return [quick, slow, broken, cancelled, silent, approved, guarded, badly_guarded]


CALLED = (
    "quick",
    "slow",
    "broken",
    "cancelled",
    "silent",
    "approved",
    "guarded",
    "badly_guarded",
    "unheard_of",
    "transfer_to_second",
    "transfer_to_first",
)


def agents(tools: Tools) -> RealtimeAgent[None]:
    first = RealtimeAgent[None](name="first", instructions="Be kind.", tools=tools.all())
    second = RealtimeAgent[None](name="second", instructions="Be brief.", tools=tools.all(), handoffs=[first])
    first.handoffs = [second]
    return first


# The two sides --------------------------------------------------------------------------------------


class WatchedServer(ImaginedRealtime):
    """Fails when a response is asked for while the client was told that one runs."""

    def __init__(self, *, orderly: bool) -> None:
        super().__init__()
        self.orderly = orderly
        self.told_active: str | None = None

    async def connect(self, url: str, **options: Any) -> Any:
        self.told_active = None
        return await super().connect(url, **options)

    def was_told(self, message: Json) -> None:
        super().was_told(message)
        match message["type"]:
            case "response.created" if message["response"]["conversation_id"] is not None:
                self.told_active = message["response"]["id"]
            case "response.done" if message["response"]["id"] == self.told_active:
                self.told_active = None
            case "error" if message["error"]["code"] == "response_cancel_not_active":
                self.told_active = None
            case _:
                pass

    def was_sent(self, command: Json) -> None:
        super().was_sent(command)
        if self.orderly and command["type"] == "response.create" and not is_outside(command):
            assert self.told_active is None, "asked for a second response"


def is_outside(command: Json) -> bool:
    return (command.get("response") or {}).get("conversation") == "none"


class Play(Disturbances[WatchedServer]):
    """One session, and the steps that a test lets happen."""

    def __init__(self, server: WatchedServer, session: RealtimeSession, tools: Tools) -> None:
        super().__init__(server, most_breaks=2)
        self.session = session
        self.tools = tools
        self.events: list[RealtimeSessionEvent] = []
        self.errands: list[asyncio.Task[None]] = []
        self.undecided: list[str] = []
        self.wanted: list[str] = []
        self.cuts = 0
        """How often the application cut the agent off."""
        self.lost: list[str] = []
        self.listening = asyncio.create_task(self.listen(), name="listening")

    async def listen(self) -> None:
        async for event in self.session:
            self.events.append(event)
            if isinstance(event, RealtimeToolApprovalRequired):
                self.undecided.append(event.call_id)

    def errand(self, work: Coroutine[Any, Any, None]) -> None:
        async def run() -> None:
            try:
                await work
            except ConnectionLostError:
                if not self.server.over:
                    self.lost.append("the connection was there, or coming back")

        self.errands.append(asyncio.create_task(run(), name="errand"))

    async def turns(self, count: int = TURNS) -> None:
        for _ in range(count):
            await asyncio.sleep(0)

    # What the application does ---------------------------------------------------------------------

    def says(self, number: int) -> None:
        words = f"speech {len(self.wanted)}"
        self.wanted.append(words)
        self.errand(self.session.say(words))

    def writes(self, number: int) -> None:
        self.errand(self.session.send_message("Hello?"))

    def asks(self, number: int) -> None:
        self.errand(self.session.request_response())

    def asks_aside(self, number: int) -> None:
        self.errand(self.session.model.send_event(RealtimeModelRequestResponse(response=OUTSIDE)))

    def interrupts(self, number: int) -> None:
        self.cuts += 1
        self.errand(self.session.interrupt())

    def insists(self, number: int) -> None:
        words = f"speech {len(self.wanted)}"
        self.wanted.append(words)
        self.errand(self.session.say(words, interruptible=False))

    def finishes(self, number: int) -> None:
        waiting = [each for each in self.tools.slow if not each.done()]
        if waiting:
            waiting[number % len(waiting)].set_result("at last")

    def decides(self, number: int) -> None:
        if self.undecided:
            call_id = self.undecided.pop(number % len(self.undecided))
            if number % 2:
                self.errand(self.session.approve_tool_call(call_id))
            else:
                self.errand(self.session.reject_tool_call(call_id))

    # What the server does --------------------------------------------------------------------------

    def begins(self, number: int) -> None:
        if self.server.active is None:
            self.server.begin()

    def speaks(self, number: int) -> None:
        if self.server.active is not None:
            self.server.speak(self.server.active, "One moment please.")

    def calls(self, number: int) -> None:
        if self.server.active is None:
            self.server.begin()
        assert self.server.active is not None
        self.server.call(self.server.active, CALLED[number % len(CALLED)], "{" if number == 11 else "{}")

    def calls_and_is_heard(self, number: int) -> None:
        self.calls(number)
        self.hears(11)

    def ends(self, number: int) -> None:
        status = ("completed", "completed", "completed", "failed", "incomplete")[number % 5]
        if number > 8 and self.server.outside:
            self.server.end(self.server.outside[0], status)
        elif self.server.active is not None:
            self.server.end(self.server.active, status)

    def will_refuse(self, number: int) -> None:
        self.server.refuses.append(("rate_limit_exceeded", "server_error")[number % 2])

    def will_refuse_updates(self, number: int) -> None:
        self.server.refuses_updates = bool(number % 2)

    def complains(self, number: int) -> None:
        self.server.error("server_error", None)

    # What the network does -------------------------------------------------------------------------

    def passes(self, number: int) -> None:
        pass

    def breaks_off(self, number: int) -> None:
        if number == 7 and self.may_break:
            self.server.statuses.append(500)
        super().breaks_off(number)

    # Afterwards ------------------------------------------------------------------------------------

    async def settle(self) -> None:
        """Everything that waits for somebody gets what it waits for."""
        self.server.refuses_updates = False
        self.server.names_requests = True
        for _ in range(STEPS_TO_SETTLE):
            await self.turns()
            wire = self.server.wire
            assert wire is not None
            if wire.to_client or wire.to_server:
                self.hears(50)
                self.reads(50)
            elif self.undecided:
                self.decides(1)
            elif any(not each.done() for each in self.tools.slow):
                self.finishes(0)
            elif self.server.outside:
                self.server.end(self.server.outside[0])
            elif self.server.active is not None:
                self.server.end(self.server.active)
            elif self.server.speaks:
                self.server.play_to_the_end()
            elif wire.open or self.server.over:
                return
        raise AssertionError("it goes on for ever")


Take = Callable[[Play, int], None]
ANY_TIME: tuple[Take, ...] = (
    Play.says,
    Play.writes,
    Play.asks,
    Play.asks_aside,
    Play.interrupts,
    Play.insists,
    Play.finishes,
    Play.decides,
    Play.reads,
    Play.reads,
    Play.begins,
    Play.speaks,
    Play.calls,
    Play.calls_and_is_heard,
    Play.ends,
    Play.ends,
    Play.is_interrupted,
    Play.has_played,
    Play.hears,
    Play.hears,
    Play.passes,
)
FAULTS: tuple[Take, ...] = (Play.will_refuse, Play.will_refuse_updates, Play.complains, Play.breaks_off)
DISORDER: tuple[Take, ...] = (Play.says_it_twice, Play.says_it_late)
Step = tuple[Take, int]


async def play(steps: list[Step], *, names_requests: bool, check: Callable[[Play], Awaitable[None]]) -> None:
    """Enter a session, take the steps, settle, ``check``, leave; nothing may be left then."""
    before = asyncio.all_tasks()
    orderly = not any(take in DISORDER for take, _ in steps)
    server, tools = WatchedServer(orderly=orderly), Tools()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(websockets, "connect", server.connect)
        runner = RealtimeRunner(agents(tools), model=OpenAIRealtimeSIPModel(attach_policy=QUICK))
        session = await runner.run(model_config={"api_key": "sk-test", "call_id": "rtc_1"})
        async with asyncio.timeout(PATIENCE_S), session:
            table = Play(server, session, tools)
            server.names_requests = names_requests
            for take, number in steps:
                take(table, number)
                await table.turns(number)
            await table.settle()
            assert not table.lost
            await check(table)
        await asyncio.wait_for(table.listening, PATIENCE_S)
        for errand in table.errands:
            assert errand.done(), "somebody still waits"
            errand.result()
    assert server.wire is not None
    assert not server.wire.open
    assert not [describe(task) for task in await leaked_tasks(before)]


def told_calls(server: WatchedServer) -> dict[str, str]:
    """The calls that the client has heard of: their names by id."""
    found: dict[str, str] = {}
    for direction, message in server.log:
        if direction == "told" and message["type"] == "response.output_item.done":
            items = [message["item"]]
        elif direction == "told" and message["type"] == "response.done":
            items = message["response"]["output"]
        else:
            continue
        found |= {item["call_id"]: item["name"] for item in items if item["type"] == "function_call"}
    return found


def sent(server: WatchedServer) -> list[Json]:
    return [message for direction, message in server.log if direction == "sent"]


def answered_call(command: Json) -> str | None:
    if command["type"] != "conversation.item.create":
        return None
    item = command["item"]
    return item["call_id"] if item["type"] == "function_call_output" else None


async def check_everything(table: Play) -> None:
    server = table.server
    if server.over:
        assert table.session.end is not None
        assert table.session.end.cause == "call_over"
        check_answers(server, at_least=0)
        return
    check_answers(server, at_least=1)
    check_wishes(table)
    check_spoken_about(table)
    assert not table.session.model.response_pending
    assert not table.session.response_active
    if server.orderly:
        check_history(table)
    await table.session.request_response(PROBE)
    assert json.dumps(sent(server)[-1]).count(PROBE) == 1, "the gate is stuck"


def check_answers(server: WatchedServer, *, at_least: int) -> None:
    answers = {call_id: len(call.outputs) for call_id, call in server.calls.items()}
    told = told_calls(server)
    assert all(count <= 1 for count in answers.values()), "answered twice"
    assert {call_id for call_id, count in answers.items() if count} <= set(told)
    assert all(answers[call_id] >= at_least for call_id in told), "answered never"


def check_wishes(table: Play) -> None:
    """All that was wanted was asked for; it was granted too, unless it was refused for itself, lost, or
    taken back on its way."""
    asked = {words_of(command.get("response") or {}) for command in sent(table.server)}
    assert asked - {""} == set(table.wanted)
    settled = [words_of(about) for what, about in table.server.log if what in ("granted", "refused")]
    if not table.breaks and not table.cuts:
        assert set(settled) - {""} == set(table.wanted)
        if table.server.orderly:
            assert all(settled.count(words) == 1 for words in table.wanted), "asked for twice"


def words_of(response: Json) -> str:
    return str(response.get("instructions", "")).partition(": ")[2].strip('"')


def check_spoken_about(table: Play) -> None:
    """Behind the answer of a tool that is to be spoken about, a response was asked for, unless somebody
    cut the agent off there."""
    server = table.server
    told = told_calls(server)
    commands = sent(server)
    asks = [
        index
        for index, command in enumerate(commands)
        if command["type"] == "response.create" and not is_outside(command)
    ]
    cuts = [index for index, command in enumerate(commands) if command["type"] == "output_audio_buffer.clear"]
    last_cut = max(cuts, default=-1)
    for index, command in enumerate(commands):
        call_id = answered_call(command)
        if call_id is not None and told[call_id] != "silent" and index > last_cut:
            assert asks, "nobody speaks about it"
            assert asks[-1] > index, "nobody speaks about it"
    if not table.breaks and not table.cuts:
        check_heard_about(server, told)


def check_heard_about(server: WatchedServer, told: dict[str, str]) -> None:
    """Behind the answer of a tool that is to be spoken about, a response begins, or is refused for itself."""
    began = [index for index, (what, _) in enumerate(server.log) if what in ("began", "refused")]
    for index, (what, about) in enumerate(server.log):
        if what == "answered" and told[about] != "silent":
            assert began, "nobody hears about it"
            assert began[-1] > index, "nobody hears about it"


def check_history(table: Play) -> None:
    """As far as nothing was lost, the items stand as they do at the server."""
    known = [item.item_id for item in table.session.history]
    assert len(set(known)) == len(known)
    if not table.breaks:
        order = {item_id: index for index, item_id in enumerate(table.server.order)}
        assert known == sorted(known, key=lambda item_id: order.get(item_id, -1))
        answers = {
            item.call_id: item.output
            for item in table.session.history
            if isinstance(item, RealtimeToolCallItem) and item.call_id in told_calls(table.server)
        }
        assert None not in answers.values()


RUNS = settings(max_examples=300, deadline=None, derandomize=True, report_multiple_bugs=False)


def steps(*takes: Take) -> st.SearchStrategy[list[Step]]:
    return st.lists(st.tuples(st.sampled_from(takes), st.integers(0, 11)), min_size=20, max_size=80)


@RUNS
@given(steps=steps(*(take for take in ANY_TIME if take is not Play.interrupts)), names_requests=st.booleans())
def test_a_session_keeps_its_word_with_any_server(steps: list[Step], names_requests: bool) -> None:
    asyncio.run(play(steps, names_requests=names_requests, check=check_everything))


@RUNS
@given(steps=steps(*ANY_TIME, *FAULTS))
def test_a_session_keeps_its_word_whatever_goes_wrong(steps: list[Step]) -> None:
    asyncio.run(play(steps, names_requests=True, check=check_everything))


@RUNS
@given(steps=steps(*ANY_TIME, *FAULTS, *DISORDER))
def test_a_session_keeps_its_word_whatever_comes_twice_or_late(steps: list[Step]) -> None:
    asyncio.run(play(steps, names_requests=True, check=check_everything))


# What chance seldom finds ---------------------------------------------------------------------------


async def test_what_is_sent_into_a_socket_that_has_just_broken_goes_over_the_next() -> None:
    async def check(table: Play) -> None:
        users = [each for each in sent(table.server) if each.get("item", {}).get("role") == "user"]
        assert len(users) == 1
        await check_everything(table)

    # What writes runs before the reader, which would tell it that the socket is broken.
    steps: list[Step] = [(Play.passes, 3), (Play.writes, 0), (Play.breaks_off, 0)]
    await play(steps, names_requests=True, check=check)


async def test_a_call_that_was_answered_before_a_break_is_spoken_about_after_it() -> None:
    def breaks_off(table: Play, number: int) -> None:
        assert table.server.wire is not None
        table.server.wire.end()

    # That the response has ended is told to nobody.
    steps: list[Step] = [(Play.calls_and_is_heard, 0), (Play.reads, 11), (Play.ends, 0), (breaks_off, 11)]
    await play(steps, names_requests=True, check=check_everything)
