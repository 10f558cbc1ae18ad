"""Taking over a session that another process has led: what is found, what runs again, what is not said."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

import pytest

from sipagent.errors import ConnectionLostError
from sipagent.identifiers import ItemId, ToolCallId
from sipagent.realtime import (
    AssistantAudio,
    AssistantMessageItem,
    FunctionTool,
    InputAudio,
    OpenAIRealtimeSIPModel,
    PendingToolCall,
    RealtimeAgent,
    RealtimeError,
    RealtimeModelConnectionStatusEvent,
    RealtimeModelRequestResponse,
    RealtimeModelSendEvent,
    RealtimeModelSendRawMessage,
    RealtimeModelSendSessionUpdate,
    RealtimeModelSendToolOutput,
    RealtimeRunner,
    RealtimeSession,
    RealtimeSessionEvent,
    RealtimeTakeover,
    RealtimeToolEnd,
    RealtimeToolStart,
    RealtimeTranscriptLine,
    UserMessageItem,
    function_tool,
)
from sipagent.realtime.payload import turn_detection_payload
from sipagent.realtime.taking_over import ANSWER_S
from sipagent.realtime.testing import ScriptedRealtimeModel
from sipagent.realtime.wire import parse_message
from tests.realtime import messages
from tests.realtime.peer import PATIENCE_S, RealtimeServer, realtime_server
from tests.realtime.running_session import Json, RunningSession, Yielding, answered, called, said
from tests.support.virtual_time import run_virtually

HELLO = said("item_hello", "Good morning.")
KNOWN = (
    AssistantMessageItem(item_id=ItemId("item_hello"), content=(AssistantAudio(transcript="Good morning."),)),
)


def booked(runs: list[str]) -> FunctionTool:
    """A tool that writes down when it runs."""

    @function_tool
    async def book(day: str) -> str:
        """Book a day."""
        runs.append(day)
        return f"booked {day}"

    return book


def pending(call_id: str = "call_1", day: str = "monday") -> PendingToolCall:
    return PendingToolCall(tool_call_id=ToolCallId(call_id), name="book", arguments=json.dumps({"day": day}))


async def taken_over(
    server: RunningSession, takeover: RealtimeTakeover | None = None, *tools: FunctionTool, **agent: Any
) -> tuple[RealtimeSession, ScriptedRealtimeModel]:
    """A session that was taken over; whoever asks closes it."""
    model = ScriptedRealtimeModel(answer=server)
    leads = RealtimeAgent(name="Practice", tools=list(tools), **agent)
    session = await RealtimeRunner(leads, model=model).run(takeover=takeover or RealtimeTakeover())
    return await session.enter(), model


def sent(model: ScriptedRealtimeModel) -> list[RealtimeModelSendEvent]:
    """What was sent, but for the questions and the update that an unknown session needs."""
    return [
        event
        for event in model.sent
        if not isinstance(event, RealtimeModelSendRawMessage | RealtimeModelSendSessionUpdate)
    ]


async def told(session: RealtimeSession) -> list[RealtimeSessionEvent]:
    """Close the session, and give back every event of it."""
    await session.close()
    return [event async for event in session]


def session_object(**differs: Any) -> Json:
    """A session as the server shows it, for the agent that `taken_over` makes by default."""
    turn_detection = differs.pop("turn_detection", {"type": "semantic_vad", "interrupt_response": True})
    return {
        "instructions": "Be kind.",
        "tools": [],
        "audio": {"input": {"turn_detection": turn_detection}},
        **differs,
    }


# Looking --------------------------------------------------------------------------------------------


async def test_a_mark_is_put_in_and_taken_out_and_nobody_hears_of_it() -> None:
    server = RunningSession(HELLO)
    session, model = await taken_over(server, RealtimeTakeover(history=KNOWN))
    assert server.kinds == ["conversation.item.create", "conversation.item.delete"]
    assert server.items == [HELLO]
    assert [item.item_id for item in session.history] == ["item_hello"]
    assert model.config is not None
    assert model.config["runs_already"]
    assert sent(model) == []
    assert await told(session) == []
    outcome = session.takeover_outcome
    assert outcome is not None
    assert (outcome.is_empty, outcome.rerun) == (False, frozenset())


async def test_a_conversation_without_an_item_is_empty() -> None:
    session, _ = await taken_over(RunningSession())
    await session.close()
    assert session.takeover_outcome is not None
    assert session.takeover_outcome.is_empty


async def test_a_response_that_runs_is_a_beginning() -> None:
    class Begins(RunningSession):
        def __call__(self, event: RealtimeModelSendEvent) -> Any:
            begins = [] if self.received else [*parse_message(messages.response_created())]
            return [*begins, *super().__call__(event)]

    session, _ = await taken_over(Begins())
    await session.close()
    assert session.takeover_outcome is not None
    assert not session.takeover_outcome.is_empty


async def test_nothing_is_known_of_a_session_that_was_not_taken_over() -> None:
    model = ScriptedRealtimeModel()
    session = await RealtimeRunner(RealtimeAgent(name="Practice"), model=model).run()
    async with session:
        assert session.takeover_outcome is None
        assert model.sent == []


async def test_words_that_were_missed_come_into_the_transcript() -> None:
    caller = said("item_2", "Have you a free slot?", role="user")
    session, model = await taken_over(RunningSession(HELLO, caller), RealtimeTakeover(history=KNOWN))
    assert [item.item_id for item in session.history] == ["item_hello", "item_2"]
    assert sent(model) == []
    lines = [event for event in await told(session) if isinstance(event, RealtimeTranscriptLine)]
    assert [(line.role, line.text, line.final) for line in lines] == [
        ("caller", "Have you a free slot?", True)
    ]


async def test_a_history_keeps_the_positions_that_it_was_stored_with() -> None:
    first = AssistantMessageItem(
        item_id=ItemId("a"), content=(AssistantAudio(transcript="Yes?"),), position=3.0
    )
    second = UserMessageItem(item_id=ItemId("b"), content=(InputAudio(transcript="No."),), position=7.0)
    server = RunningSession(said("a", "Yes?"), said("b", "No.", role="user"), said("c", "Well."))
    session, _ = await taken_over(server, RealtimeTakeover(history=(first, second)))
    assert [(item.item_id, item.position) for item in session.history] == [("a", 3), ("b", 7), ("c", 8)]
    lines = [event for event in await told(session) if isinstance(event, RealtimeTranscriptLine)]
    assert [(line.item_id, line.position) for line in lines] == [("c", 8)]


# Tool calls -----------------------------------------------------------------------------------------


async def test_a_call_that_nobody_had_heard_of_is_run_once_and_answered_once() -> None:
    runs: list[str] = []
    server = RunningSession(HELLO, called("call_1", "book", '{"day": "monday"}'))
    session, model = await taken_over(server, RealtimeTakeover(history=KNOWN), booked(runs))
    await model.wait_until_sent(RealtimeModelSendToolOutput)
    whole = {"type": "response.output_item.done", "response_id": "resp_1", "output_index": 0}
    await model.emit(*parse_message({**whole, "item": called("call_1", "book", '{"day": "monday"}')}))
    events = await told(session)
    assert runs == ["monday"]
    assert server.outputs("call_1") == ["booked monday"]
    kinds = [type(event) for event in events if isinstance(event, RealtimeToolStart | RealtimeToolEnd)]
    assert kinds == [RealtimeToolStart, RealtimeToolEnd]
    assert session.takeover_outcome is not None
    assert session.takeover_outcome.rerun == {"call_1"}


async def test_of_several_calls_that_nobody_had_heard_of_each_is_run_and_stays_where_it_was() -> None:
    runs: list[str] = []
    days = ("monday", "tuesday", "friday")
    calls = [called(f"call_{day}", "book", json.dumps({"day": day})) for day in days]
    server = RunningSession(HELLO, *calls)
    session, model = await taken_over(server, RealtimeTakeover(history=KNOWN), booked(runs))
    await model.wait_until_sent(RealtimeModelSendToolOutput, count=3)
    events = await told(session)
    assert sorted(runs) == sorted(days)
    assert [server.outputs(f"call_{day}") for day in days] == [[f"booked {day}"] for day in days]
    stood = [item.get("call_id") for item in server.items[:4]]
    assert stood == [None, "call_monday", "call_tuesday", "call_friday"]
    assert session.takeover_outcome is not None
    assert session.takeover_outcome.rerun == {f"call_{day}" for day in days}
    assert not [event for event in events if isinstance(event, RealtimeError)]


async def test_a_call_behind_one_that_was_heard_is_found_and_that_one_left_alone() -> None:
    runs: list[str] = []
    server = RunningSession(HELLO, called("call_1", "book"), called("call_2", "book", '{"day": "tuesday"}'))
    known = RealtimeTakeover(history=KNOWN, pending=(pending(),))
    session, model = await taken_over(server, known, booked(runs))
    await model.wait_until_sent(RealtimeModelSendToolOutput, count=2)
    await session.close()
    assert sorted(runs) == ["monday", "tuesday"]
    assert [item["id"] for item in server.items[:2]] == ["item_hello", "item_call_1"]


async def test_what_is_taken_out_is_put_back_though_the_server_says_nothing_more() -> None:
    class Falls(RunningSession):
        """Answers the first mark, and none after it."""

        def _create(self, command: Json) -> list[Json]:
            told = super()._create(command)
            kinds = [each["type"] for each in self.received]
            return told if kinds.count("conversation.item.create") == 1 else []

    runs: list[str] = []
    server = Falls(HELLO, called("call_1", "book", '{"day": "monday"}'))
    session, model = await taken_over(server, RealtimeTakeover(history=KNOWN), booked(runs))
    await model.wait_until_sent(RealtimeModelSendToolOutput)
    await session.close()
    assert runs == ["monday"]
    assert [item["type"] for item in server.items] == ["message", "function_call", "function_call_output"]


async def test_what_runs_again_is_known_before_it_does() -> None:
    seen: list[object] = []

    @function_tool
    async def book(day: str) -> str:
        """Book a day."""
        seen.append(session.takeover_outcome)
        return day

    model = ScriptedRealtimeModel(answer=RunningSession(HELLO))
    runner = RealtimeRunner(RealtimeAgent(name="Practice", tools=[book]), model=model)
    session = await runner.run(takeover=RealtimeTakeover(history=KNOWN, pending=(pending(),)))
    async with session:
        await model.wait_until_sent(RealtimeModelSendToolOutput)
    assert seen == [session.takeover_outcome]
    assert seen != [None]


async def test_a_call_that_is_still_being_written_is_left_until_it_is_whole() -> None:
    runs: list[str] = []
    half = called("call_1", "book", '{"da', status="in_progress")
    session, model = await taken_over(
        RunningSession(HELLO, half), RealtimeTakeover(history=KNOWN), booked(runs)
    )
    assert session.takeover_outcome is not None
    assert session.takeover_outcome.rerun == frozenset()
    whole = {"type": "response.output_item.done", "response_id": "resp_1", "output_index": 0}
    await model.emit(*parse_message({**whole, "item": called("call_1", "book", '{"day": "monday"}')}))
    await model.wait_until_sent(RealtimeModelSendToolOutput)
    await session.close()
    assert runs == ["monday"]


async def test_of_the_pending_calls_only_those_without_an_output_run_again() -> None:
    runs: list[str] = []
    server = RunningSession(
        HELLO, called("call_1", "book"), called("call_2", "book"), answered("call_1", "booked monday")
    )
    known = RealtimeTakeover(history=KNOWN, pending=(pending(), pending("call_2", "tuesday")))
    session, model = await taken_over(server, known, booked(runs))
    await model.wait_until_sent(RealtimeModelSendToolOutput)
    await session.close()
    assert runs == ["tuesday"]
    assert (server.outputs("call_1"), server.outputs("call_2")) == (["booked monday"], ["booked tuesday"])
    assert not [event for event in sent(model) if isinstance(event, RealtimeModelRequestResponse)]


async def test_an_output_behind_which_nobody_asked_for_a_word_is_followed_by_one() -> None:
    server = RunningSession(HELLO, called("call_1", "book"), answered("call_1", "booked monday"))
    session, model = await taken_over(server, RealtimeTakeover(history=KNOWN, pending=(pending(),)))
    await session.close()
    assert sent(model) == [RealtimeModelRequestResponse(unless_begun=True)]


@pytest.mark.parametrize(
    ("happens", "is_asked"), [(messages.response_created(), False), (messages.playback("stopped"), True)]
)
async def test_nothing_is_asked_for_where_a_response_begins_by_itself(happens: Json, is_asked: bool) -> None:
    class Happens(RunningSession):
        def __call__(self, event: RealtimeModelSendEvent) -> Any:
            now = [] if self.received else [*parse_message(happens)]
            return [*now, *super().__call__(event)]

    server = Happens(HELLO, called("call_1", "book"), answered("call_1", "booked monday"))
    session, model = await taken_over(server, RealtimeTakeover(history=KNOWN))
    await session.close()
    assert bool(sent(model)) == is_asked


# Servers that do not answer -------------------------------------------------------------------------


def test_a_server_that_does_not_answer_is_not_waited_for_and_every_call_counts_as_open() -> None:
    async def scenario() -> None:
        runs: list[str] = []
        ignores = ("conversation.item.create", "conversation.item.retrieve", "conversation.item.delete")
        server = RunningSession(HELLO, ignores=ignores)
        known = RealtimeTakeover(history=KNOWN, pending=(pending(),))
        session, model = await taken_over(server, known, booked(runs))
        assert asyncio.get_running_loop().time() == pytest.approx(ANSWER_S)
        assert server.kinds[-1] == "conversation.item.delete", "the mark may have come in all the same"
        await model.wait_until_sent(RealtimeModelSendToolOutput)
        mark = server.received[1]["item"]
        late = {"type": "conversation.item.added", "previous_item_id": "item_hello", "item": mark}
        await model.emit(*parse_message(late))
        await model.emit(*parse_message({"type": "conversation.item.deleted", "item_id": mark["id"]}))
        assert [item.item_id for item in session.history] == ["item_hello"]
        await session.close()
        assert runs == ["monday"]

    run_virtually(scenario())


async def test_an_output_that_the_server_had_after_all_is_no_error() -> None:
    runs: list[str] = []
    server = RunningSession(
        HELLO,
        called("call_1", "book"),
        answered("call_1", "booked monday"),
        refuses=("conversation.item.retrieve",),
    )
    known = RealtimeTakeover(history=KNOWN, pending=(pending(),))
    session, model = await taken_over(server, known, booked(runs))
    await model.wait_until_sent(RealtimeModelSendToolOutput)
    events = await told(session)
    assert server.outputs("call_1") == ["booked monday"]
    assert not [event for event in events if isinstance(event, RealtimeError)]


async def test_a_server_that_refuses_the_mark_is_believed_about_the_outputs() -> None:
    runs: list[str] = []
    server = RunningSession(
        HELLO,
        called("call_1", "book"),
        answered("call_1", "booked monday"),
        refuses=("conversation.item.create",),
    )
    known = RealtimeTakeover(history=KNOWN, pending=(pending(), pending("call_2", "tuesday")))
    session, _ = await taken_over(server, known, booked(runs))
    assert session.takeover_outcome is not None
    assert session.takeover_outcome.rerun == {"call_2"}
    assert "conversation.item.delete" not in server.kinds
    events = await told(session)
    assert not [event for event in events if isinstance(event, RealtimeError)]


async def test_an_item_that_is_gone_by_then_is_not_waited_for() -> None:
    class Forgets(RunningSession):
        def _find(self, item_id: str) -> Json | None:
            return None if item_id == "item_2" else super()._find(item_id)

    server = Forgets(HELLO, said("item_2", "Yes", role="user"))
    async with asyncio.timeout(PATIENCE_S):
        session, _ = await taken_over(server, RealtimeTakeover(history=KNOWN))
    assert await told(session) == []


async def test_a_connection_that_ends_meanwhile_leaves_it_at_what_is_known() -> None:
    class Breaks(ScriptedRealtimeModel):
        async def send_event(self, event: RealtimeModelSendEvent) -> None:
            raise ConnectionLostError("gone")

    known = RealtimeTakeover(history=KNOWN, pending=(pending(),))
    session = await RealtimeRunner(RealtimeAgent(name="Practice"), model=Breaks()).run(takeover=known)
    async with session:
        assert session.takeover_outcome is not None
        assert session.takeover_outcome.rerun == {"call_1"}
        assert not session.takeover_outcome.is_empty


# The session itself ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shown", "is_told"),
    [
        (session_object(), False),
        (session_object(instructions="Lead the call as the other agent did."), True),
        (session_object(tools=[{"type": "function", "name": "book"}]), True),
        (session_object(tools=[{"type": "mcp", "server_label": "shop"}]), True),
        (session_object(turn_detection={"type": "semantic_vad", "interrupt_response": False}), True),
        (session_object(turn_detection={"type": "semantic_vad", "create_response": False}), True),
        ({}, False),
        (None, True),
    ],
    ids=["same", "instructions", "tool", "hosted", "uninterruptible", "unanswered", "says nothing", "silent"],
)
async def test_a_session_is_told_only_what_it_does_not_go_by(shown: Json | None, is_told: bool) -> None:
    server = RunningSession(HELLO, session=shown)
    session, model = await taken_over(server, RealtimeTakeover(history=KNOWN), instructions="Be kind.")
    await session.close()
    updates = [event for event in model.sent if isinstance(event, RealtimeModelSendSessionUpdate)]
    assert [update.session_settings["instructions"] for update in updates] == ["Be kind."] * is_told
    assert all(update.keep_voice for update in updates)
    assert [turn_detection_payload(update.session_settings) for update in updates] == [
        {"type": "semantic_vad", "interrupt_response": True, "create_response": True}
    ] * is_told, "whatever it was, and an update may leave as it is what it does not name"


def attached(server: RealtimeServer, **more: Any) -> Any:
    """The configuration of somebody who takes over."""
    where = {"api_key": "sk-test", "base_url": server.base_url, "call_id": "rtc_1"}
    return {**where, "runs_already": True, **more}


async def test_attaching_to_a_session_that_runs_says_nothing_by_itself() -> None:
    async with realtime_server() as server:
        model = OpenAIRealtimeSIPModel()
        await model.connect(attached(server, first_update='{"type": "session.update"}'))
        try:
            peer = await server.peer()
            message: Any = {"type": "conversation.item.delete", "other_data": {"item_id": "item_1"}}
            await model.send_event(RealtimeModelSendRawMessage(message=message))
            assert (await peer.receive())["type"] == "conversation.item.delete"
        finally:
            await model.close()


async def test_a_response_that_runs_is_taken_for_one_that_was_asked_for_unless_begun() -> None:
    async with realtime_server() as server:
        model = OpenAIRealtimeSIPModel()
        await model.connect(attached(server))
        try:
            peer = await server.peer()
            await model.send_event(RealtimeModelRequestResponse(unless_begun=True))
            request = await peer.receive("response.create")
            code = "conversation_already_has_active_response"
            error = {"code": code, "event_id": request["event_id"], "message": "busy"}
            await peer.send({"type": "error", "error": error}, messages.response_done())
            own = {"instructions": "Say goodbye."}
            await model.send_event(RealtimeModelRequestResponse(response=own))
            assert (await peer.receive("response.create"))["response"] == own
        finally:
            await model.close()


# Leaving --------------------------------------------------------------------------------------------


async def test_a_tool_that_will_not_be_cancelled_says_nothing_any_more() -> None:
    began = asyncio.Event()

    @function_tool
    async def stubborn() -> str:
        """Does not let itself be cancelled."""
        began.set()
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return "all the same"

    model = ScriptedRealtimeModel()
    session = await RealtimeRunner(RealtimeAgent(name="Practice", tools=[stubborn]), model=model).run()
    async with asyncio.timeout(PATIENCE_S), session:
        await model.emit(*model.agent_calls("stubborn"))
        await began.wait()
    assert model.sent == []


# Cancelling -----------------------------------------------------------------------------------------


async def test_taking_over_can_be_cancelled_wherever_it_waits() -> None:
    runs: list[str] = []
    through = False
    for turns in range(200):
        server = RunningSession(HELLO, called("call_1", "book", '{"day": "monday"}'))
        model = Yielding(answer=server)
        agent = RealtimeAgent[Any](name="Practice", tools=[booked(runs)])
        session = await RealtimeRunner(agent, model=model).run(takeover=RealtimeTakeover(history=KNOWN))
        entering = asyncio.create_task(session.enter())
        for _ in range(turns):
            if entering.done():
                break
            await asyncio.sleep(0)
        entering.cancel()
        await asyncio.wait([entering])
        if not entering.cancelled():
            await session.close()
            through = True
        assert model.config is None, "nothing stays open"
        if through:
            break
    assert through
    assert len(runs) <= 1


# After a break of the socket ------------------------------------------------------------------------


async def broken(
    server: RunningSession, *tools: FunctionTool
) -> tuple[RealtimeSession, ScriptedRealtimeModel]:
    """A session whose socket is about to break; whoever asks closes it."""
    model = ScriptedRealtimeModel(answer=server)
    leads = RealtimeAgent[Any](name="Practice", tools=list(tools))
    session = await (await RealtimeRunner(leads, model=model).run()).enter()
    return session, model


async def mended(session: RealtimeSession, model: ScriptedRealtimeModel) -> None:
    """The socket broke and is back, and what was missed is known."""
    await model.emit(RealtimeModelConnectionStatusEvent(status="lost", close_code=1006))
    await model.emit(RealtimeModelConnectionStatusEvent(status="connected", reattached=True))
    while session._work.running:
        await asyncio.wait(session._work.running)


async def test_a_call_that_came_while_the_socket_was_away_is_run_and_answered() -> None:
    runs: list[str] = []
    server = RunningSession()
    session, model = await broken(server, booked(runs))
    server.items += [HELLO, *(called(f"call_{day}", "book", json.dumps({"day": day})) for day in ("m", "t"))]
    await mended(session, model)
    assert sorted(runs) == ["m", "t"]
    assert (server.outputs("call_m"), server.outputs("call_t")) == (["booked m"], ["booked t"])
    await mended(session, model)
    events = await told(session)
    assert sorted(runs) == ["m", "t"], "the next break finds nothing new"
    assert not [event for event in events if isinstance(event, RealtimeError)]
    assert session.takeover_outcome is None


async def test_a_call_that_runs_is_left_alone_when_the_socket_breaks() -> None:
    runs: list[str] = []
    may_end = asyncio.Event()

    @function_tool
    async def book(day: str) -> str:
        """Book a day."""
        runs.append(day)
        await may_end.wait()
        return f"booked {day}"

    call = called("call_1", "book", '{"day": "monday"}')
    server = RunningSession(call)
    session, model = await broken(server, book)
    # The beginning of the item was heard, and then, with the tool call, the whole of it.
    begun = {"type": "conversation.item.added", "previous_item_id": None}
    await model.emit(*parse_message({**begun, "item": {**call, "status": "in_progress", "arguments": ""}}))
    whole = {"type": "response.output_item.done", "response_id": "resp_1", "output_index": 0, "item": call}
    await model.emit(*parse_message(whole))
    await model.emit(RealtimeModelConnectionStatusEvent(status="connected", reattached=True))
    await asyncio.sleep(0.05)
    assert server.items[0] == call, "it was not even moved"
    may_end.set()
    await model.wait_until_sent(RealtimeModelSendToolOutput)
    await session.close()
    assert runs == ["monday"]


async def test_a_call_of_which_only_the_beginning_was_heard_is_run() -> None:
    runs: list[str] = []
    call = called("call_1", "book", '{"day": "monday"}')
    server = RunningSession(call)
    session, model = await broken(server, booked(runs))
    begun = {"type": "conversation.item.added", "previous_item_id": None}
    await model.emit(*parse_message({**begun, "item": {**call, "status": "in_progress", "arguments": ""}}))
    await mended(session, model)
    await session.close()
    assert runs == ["monday"]
    assert server.outputs("call_1") == ["booked monday"]


async def test_words_that_came_while_the_socket_was_away_come_into_the_transcript() -> None:
    server = RunningSession()
    session, model = await broken(server)
    server.items.append(said("item_1", "Is anybody there?", role="user"))
    await mended(session, model)
    lines = [event.text for event in await told(session) if isinstance(event, RealtimeTranscriptLine)]
    assert lines == ["Is anybody there?"]
    assert [item.item_id for item in session.history] == ["item_1"]


async def test_a_session_that_ends_while_it_is_looked_at_ends() -> None:
    class Ends(RunningSession):
        def __call__(self, event: RealtimeModelSendEvent) -> Any:
            raise ConnectionLostError("gone")

    session, model = await broken(Ends())
    await mended(session, model)
    await session.close()
