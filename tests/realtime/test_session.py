"""A conversation as its user sees it: events, tools that may fail, silence, and an end that always comes."""

from __future__ import annotations

import asyncio
import gc
import json
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sipagent.errors import AttachError, ConnectionLostError, UserError
from sipagent.identifiers import ItemId, ResponseId, ToolCallId
from sipagent.realtime import (
    AttachPolicy,
    FunctionTool,
    OpenAIRealtimeSIPModel,
    RealtimeAgent,
    RealtimeAgentSpeechStopped,
    RealtimeConnectionLost,
    RealtimeConnectionRestored,
    RealtimeError,
    RealtimeModelConnectionStatusEvent,
    RealtimeModelEvent,
    RealtimeModelInputAudioTranscriptionDeltaEvent,
    RealtimeModelRequestResponse,
    RealtimeModelSendAudio,
    RealtimeModelSendInterrupt,
    RealtimeModelSendSessionUpdate,
    RealtimeModelSendSystemMessage,
    RealtimeModelSendToolOutput,
    RealtimeModelSendUserInput,
    RealtimeModelToolCallEvent,
    RealtimeModelTranscriptDeltaEvent,
    RealtimeModelTurnEndedEvent,
    RealtimeModelTurnStartedEvent,
    RealtimeRawModelEvent,
    RealtimeRunConfig,
    RealtimeRunner,
    RealtimeSession,
    RealtimeSessionEvent,
    RealtimeToolEnd,
    RealtimeToolStart,
    RealtimeTranscriptDelta,
    ToolContext,
    function_tool,
)
from sipagent.realtime import session as session_module
from sipagent.realtime.events import RealtimeModelPlaybackEvent, RealtimeModelRateLimitsEvent
from sipagent.realtime.items import AssistantMessageItem
from sipagent.realtime.testing import ScriptedRealtimeModel
from tests.realtime import messages
from tests.realtime.peer import PATIENCE_S, realtime_server

NOTHING: dict[str, Any] = {"type": "object", "properties": {}}


def tool(name: str, run: Callable[[ToolContext[Any], str], Awaitable[Any]], **options: Any) -> FunctionTool:
    return FunctionTool(name=name, description="", params_json_schema=NOTHING, on_invoke_tool=run, **options)


async def started(
    model: ScriptedRealtimeModel,
    *tools: FunctionTool,
    context: Any = None,
    config: RealtimeRunConfig | None = None,
) -> RealtimeSession:
    agent = RealtimeAgent[Any](name="front-desk", instructions="Be kind.", tools=list(tools))
    session = await RealtimeRunner(agent, model=model, config=config).run(
        context=context, model_config={"call_id": "rtc_1"}
    )
    return await session.enter()


async def read(session: RealtimeSession) -> list[RealtimeSessionEvent]:
    """Everything up to the end."""
    async with asyncio.timeout(PATIENCE_S):
        return [event async for event in session]


async def until(session: RealtimeSession, kind: type[RealtimeSessionEvent]) -> Any:
    """Read up to the first event of a class."""
    async with asyncio.timeout(PATIENCE_S):
        async for event in session:
            if isinstance(event, kind):
                return event
    raise AssertionError(f"the session ended without {kind.__name__}")


# Asking ---------------------------------------------------------------------------------------------


async def test_what_is_asked_of_a_session_reaches_its_model() -> None:
    model = ScriptedRealtimeModel()
    session = await started(model)
    await session.say('Say "hello", please.\nThen wait.')
    await session.request_response()
    await session.request_response("Be brief.")
    await session.send_message("Hello")
    await session.add_system_message("The caller pressed 1.")
    await session.send_audio(b"\x00", commit=True)
    await session.interrupt()
    assert model.sent == [
        RealtimeModelRequestResponse(
            response={
                "instructions": "Say exactly these words and nothing else: "
                '"Say \\"hello\\", please.\\nThen wait."'
            }
        ),
        RealtimeModelRequestResponse(),
        RealtimeModelRequestResponse(response={"instructions": "Be brief."}),
        RealtimeModelSendUserInput(user_input="Hello"),
        RealtimeModelSendSystemMessage(text="The caller pressed 1."),
        RealtimeModelSendAudio(audio=b"\x00", commit=True),
        RealtimeModelSendInterrupt(),
    ]
    await session.close()


async def test_the_model_is_given_the_settings_of_the_agent() -> None:
    model = ScriptedRealtimeModel()
    session = await started(model, config={"model_settings": {"voice": "marin"}, "raw_events": True})
    assert model.config is not None
    settings = model.config["initial_model_settings"]
    assert (settings["instructions"], settings["voice"], settings["tools"]) == ("Be kind.", "marin", [])
    assert model.config["raw_events"] is True
    assert (session.call_id, session.agent.name, session.model) == ("rtc_1", "front-desk", model)
    await session.close()


async def test_another_agent_may_take_over() -> None:
    async def nothing(context: ToolContext[Any], arguments: str) -> str:
        return ""

    model = ScriptedRealtimeModel()
    session = await started(model)
    second = RealtimeAgent[Any](name="billing", instructions="Be exact.", tools=[tool("look_up", nothing)])
    await session.update_agent(second)
    update = await model.wait_until_sent(RealtimeModelSendSessionUpdate)
    assert update.session_settings["instructions"] == "Be exact."
    assert session.agent is second
    await model.emit(*model.agent_calls("look_up"))
    assert (await until(session, RealtimeToolStart)).agent is second
    await session.close()


# Entering -------------------------------------------------------------------------------------------


async def test_a_session_that_cannot_connect_leaves_the_model_alone() -> None:
    model = ScriptedRealtimeModel(connect_error=AttachError("no", status=500))
    session = await RealtimeRunner(RealtimeAgent[None](name="a"), model=model).run()
    with pytest.raises(AttachError):
        await session.enter()
    await model.emit(RealtimeModelRateLimitsEvent(rate_limits=()))
    await session.close()
    assert await read(session) == []


async def test_an_agent_with_two_tools_of_one_name_is_refused_before_anything_is_opened() -> None:
    async def nothing(context: ToolContext[Any], arguments: str) -> str:
        return ""

    model = ScriptedRealtimeModel()
    with pytest.raises(UserError, match="two tools"):
        await started(model, tool("x", nothing), tool("x", nothing))
    assert model.config is None


async def test_a_session_is_entered_once() -> None:
    model = ScriptedRealtimeModel()
    session = await started(model)
    with pytest.raises(AssertionError, match="once"):
        await session.enter()
    await model.emit(*model.agent_says("Hello"))
    assert (await until(session, RealtimeAgentSpeechStopped)).response_id
    await session.close()


# Tools ----------------------------------------------------------------------------------------------


async def boom(context: ToolContext[Any], arguments: str) -> str:
    raise ValueError("the secret of the caller")


async def exits(context: ToolContext[Any], arguments: str) -> str:
    raise SystemExit(3)


async def cancelled_within(context: ToolContext[Any], arguments: str) -> str:
    inner = asyncio.get_running_loop().create_future()
    inner.cancel()
    return str(await inner)


async def slow(context: ToolContext[Any], arguments: str) -> str:
    await asyncio.Event().wait()
    return ""


async def slow_and_sour(context: ToolContext[Any], arguments: str) -> str:
    try:
        await asyncio.Event().wait()
    finally:
        raise OSError("the database went away")


@function_tool
def strict_about(number: int) -> str:
    """Take a number."""
    return str(number)


@function_tool
def leaves_the_process() -> None:
    """Do what a script would do."""
    raise SystemExit


@pytest.mark.parametrize(
    ("failing", "arguments", "heard"),
    [
        (tool("boom", boom), "{}", "An error occurred"),
        (tool("exits", exits), "{}", "An error occurred"),
        (tool("cancelled", cancelled_within), "{}", "An error occurred"),
        (tool("slow", slow, timeout_s=0.01), "{}", "Tool 'slow' timed out after 0.01 seconds."),
        (tool("sour", slow_and_sour, timeout_s=0.01), "{}", "Tool 'sour' timed out"),
        (strict_about, '{"number": "many"}', "do not fit"),
        (strict_about, "no JSON", "do not fit"),
        (leaves_the_process, "{}", "An error occurred"),
        (tool("bye", boom, starts_response=False), "{}", "An error occurred"),
    ],
    ids=lambda value: value.name if isinstance(value, FunctionTool) else None,
)
async def test_a_tool_that_fails_is_an_answer_and_the_session_goes_on(
    failing: FunctionTool, arguments: str, heard: str
) -> None:
    model = ScriptedRealtimeModel()
    session = await started(model, failing)
    await model.emit(*model.agent_calls(failing.name, arguments, call_id="call_1"))
    sent = await model.wait_until_sent(RealtimeModelSendToolOutput)
    assert sent.tool_call.call_id == "call_1"
    assert heard in sent.output
    assert "secret" not in sent.output
    assert sent.start_response
    ended = await until(session, RealtimeToolEnd)
    assert ended.is_error
    assert ended.output_text == sent.output
    assert session.end is None
    await session.close()


async def test_an_unknown_tool_is_answered_too() -> None:
    model = ScriptedRealtimeModel()
    session = await started(model)
    await model.emit(*model.agent_calls("order_pizza"))
    sent = await model.wait_until_sent(RealtimeModelSendToolOutput)
    assert sent.output == "Tool order_pizza not found"
    assert sent.start_response
    assert "order_pizza" in (await until(session, RealtimeError)).error["message"]
    await session.close()


async def test_a_tool_knows_whom_it_serves_and_is_told_about() -> None:
    seen: list[tuple[Any, str, str, str]] = []

    async def look(context: ToolContext[Any], arguments: str) -> dict[str, str]:
        seen.append((context.context, context.tool_name, context.tool_call_id, context.tool_arguments))
        return {"slot": "Zürich"}

    model = ScriptedRealtimeModel()
    session = await started(model, tool("look", look, starts_response=False), context="Ann")
    await model.emit(*model.agent_calls("look", {"x": 1}, call_id="call_1"))
    sent = await model.wait_until_sent(RealtimeModelSendToolOutput)
    assert seen == [("Ann", "look", "call_1", '{"x": 1}')]
    assert (sent.output, sent.start_response) == ('{"slot": "Zürich"}', False)
    begun = await until(session, RealtimeToolStart)
    ended = await until(session, RealtimeToolEnd)
    assert begun.info.context.context == "Ann"
    assert (begun.arguments, begun.tool_call_id) == ('{"x": 1}', "call_1")
    assert (ended.output, ended.output_text, ended.is_error) == ({"slot": "Zürich"}, sent.output, False)
    assert ended.duration_ms >= 0
    await session.close()


async def test_a_repeated_call_runs_once() -> None:
    runs: list[str] = []

    async def look(context: ToolContext[Any], arguments: str) -> str:
        runs.append(context.tool_call_id)
        return ""

    model = ScriptedRealtimeModel()
    session = await started(model, tool("look", look))
    for call_id in ("call_1", "call_1", "call_2"):
        await model.emit(RealtimeModelToolCallEvent(name="look", call_id=ToolCallId(call_id), arguments="{}"))
    await model.wait_until_sent(RealtimeModelSendToolOutput, count=2)
    await session.close()
    assert runs == ["call_1", "call_2"]


@pytest.mark.parametrize("together", [True, False])
async def test_tools_run_together_or_one_after_the_other(together: bool) -> None:
    running: list[int] = [0]
    most: list[int] = [0]
    both = asyncio.Event()

    async def look(context: ToolContext[Any], arguments: str) -> str:
        running[0] += 1
        most[0] = max(most[0], running[0])
        if running[0] == 2:
            both.set()
        if together:
            await both.wait()
        else:
            await asyncio.sleep(0)
        running[0] -= 1
        return context.tool_call_id

    model = ScriptedRealtimeModel()
    session = await started(model, tool("look", look), config={"async_tool_calls": together})
    for call_id in ("call_1", "call_2"):
        await model.emit(RealtimeModelToolCallEvent(name="look", call_id=ToolCallId(call_id), arguments="{}"))
    await model.wait_until_sent(RealtimeModelSendToolOutput, count=2)
    assert most == [2 if together else 1]
    if not together:
        assert [sent.output for sent in model.sent if isinstance(sent, RealtimeModelSendToolOutput)] == [
            "call_1",
            "call_2",
        ]
    await session.close()


async def test_closing_ends_the_tools_that_run() -> None:
    ended = asyncio.Event()
    begun = asyncio.Event()

    async def look(context: ToolContext[Any], arguments: str) -> str:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return ""

    model = ScriptedRealtimeModel()
    session = await started(model, tool("look", look))
    await model.emit(*model.agent_calls("look"))
    await begun.wait()
    await session.close()
    assert ended.is_set()
    assert model.sent == []


async def test_a_tool_may_close_its_session() -> None:
    async def leave(context: ToolContext[Any], arguments: str) -> str:
        await context.context["session"].close()
        return "done"

    model = ScriptedRealtimeModel()
    holder: dict[str, Any] = {}
    session = await started(model, tool("leave", leave), context=holder)
    holder["session"] = session
    await model.emit(*model.agent_calls("leave"))
    events = await read(session)
    assert any(isinstance(event, RealtimeToolStart) for event in events)
    assert session.end is not None
    assert session.end.cause == "closed_by_us"
    await session.close()


async def test_a_tool_that_will_not_be_cancelled_does_not_hold_up_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session_module, "TOOL_GRACE_S", 0.05)
    release, begun = asyncio.Event(), asyncio.Event()

    async def stubborn(context: ToolContext[Any], arguments: str) -> str:
        begun.set()
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return ""

    model = ScriptedRealtimeModel()
    session = await started(model, tool("stubborn", stubborn))
    await model.emit(*model.agent_calls("stubborn"))
    await begun.wait()
    async with asyncio.timeout(PATIENCE_S):
        await session.close()
    assert model.config is None
    release.set()


async def test_the_answer_of_a_tool_that_outlives_the_connection_hurts_nobody() -> None:
    release, begun = asyncio.Event(), asyncio.Event()

    async def look(context: ToolContext[Any], arguments: str) -> str:
        begun.set()
        await release.wait()
        return "late"

    model = ScriptedRealtimeModel()
    session = await started(model, tool("look", look))
    await model.emit(*model.agent_calls("look"))
    await begun.wait()
    await model.end("call_over")
    release.set()
    await read(session)
    await session.close()
    assert model.sent == []


# Silence --------------------------------------------------------------------------------------------

RESPONSE, ITEM = ResponseId("resp_1"), ItemId("item_1")
CREATED = RealtimeModelTurnStartedEvent(response_id=RESPONSE)
WORDS = RealtimeModelTranscriptDeltaEvent(item_id=ITEM, delta="Goodbye", response_id=RESPONSE)
DONE = RealtimeModelTurnEndedEvent(response_id=RESPONSE, status="completed")
PLAYS = RealtimeModelPlaybackEvent(change="started", response_id=RESPONSE)
PLAYED = RealtimeModelPlaybackEvent(change="stopped", response_id=RESPONSE)
CLEARED = RealtimeModelPlaybackEvent(change="cleared", response_id=RESPONSE)


@pytest.mark.parametrize(
    "order",
    [
        (CREATED, WORDS, DONE, PLAYS, PLAYED),
        (CREATED, PLAYS, WORDS, DONE, PLAYED),
        (CREATED, WORDS, PLAYS, DONE, PLAYED),
        (CREATED, WORDS, PLAYS, PLAYED, DONE),
        (CREATED, WORDS, DONE, PLAYS, CLEARED),
    ],
    ids=lambda order: " ".join(event.type + getattr(event, "change", "") for event in order),
)
async def test_the_agent_is_silent_only_when_all_it_said_was_heard(
    order: tuple[RealtimeModelEvent, ...],
) -> None:
    model = ScriptedRealtimeModel()
    session = await started(model)
    await session.say("Goodbye")
    waiting = asyncio.create_task(session.wait_until_agent_silent(PATIENCE_S))
    for event in order:
        await asyncio.sleep(0)
        assert not waiting.done(), f"silent before {event}"
        await model.emit(event)
    assert await waiting
    assert await session.wait_until_agent_silent(0)
    await session.close()


async def test_a_response_that_was_cut_before_it_was_heard_is_silence() -> None:
    model = ScriptedRealtimeModel()
    session = await started(model)
    await model.emit(CREATED, WORDS)
    assert not await session.wait_until_agent_silent(0.01)
    await model.emit(RealtimeModelTurnEndedEvent(response_id=RESPONSE, status="cancelled"))
    assert await session.wait_until_agent_silent(PATIENCE_S)
    await session.close()


async def test_a_goodbye_that_plays_on_while_the_socket_is_had_again_is_not_cut() -> None:
    model = ScriptedRealtimeModel()
    session = await started(model)
    await model.emit(
        CREATED,
        PLAYS,
        WORDS,
        RealtimeModelConnectionStatusEvent(status="lost", close_code=1006),
        RealtimeModelConnectionStatusEvent(status="connected", reattached=True),
    )
    assert not await session.wait_until_agent_silent(0.01)
    await model.emit(PLAYED)
    assert await session.wait_until_agent_silent(PATIENCE_S)
    await session.close()


async def test_what_was_never_reported_to_end_is_over_when_the_next_response_plays() -> None:
    model = ScriptedRealtimeModel()
    session = await started(model)
    await model.emit(
        CREATED, PLAYS, WORDS, RealtimeModelConnectionStatusEvent(status="connected", reattached=True)
    )
    await model.emit(*model.agent_says("Still there?"))
    assert await session.wait_until_agent_silent(PATIENCE_S)
    await session.close()


async def test_a_response_that_only_calls_a_tool_is_silence() -> None:
    model = ScriptedRealtimeModel()
    session = await started(model, strict_about)
    await model.emit(*model.agent_calls("strict_about", {"number": 1}))
    await model.wait_until_sent(RealtimeModelSendToolOutput)
    await model.emit(*model.agent_says("One."))
    assert await session.wait_until_agent_silent(0.01)
    await session.close()


async def test_the_end_of_the_session_is_silence() -> None:
    model = ScriptedRealtimeModel()
    session = await started(model)
    await model.emit(CREATED, WORDS)
    waiting = asyncio.create_task(session.wait_until_agent_silent(PATIENCE_S))
    await asyncio.sleep(0)
    await model.end()
    assert await waiting
    await session.close()


async def test_waiting_for_silence_can_be_cancelled_and_ended_by_closing() -> None:
    model = ScriptedRealtimeModel()
    session = await started(model)
    await model.emit(CREATED)
    first = asyncio.create_task(session.wait_until_agent_silent(PATIENCE_S))
    second = asyncio.create_task(session.wait_until_agent_silent(PATIENCE_S))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await session.close()
    assert await second


# The stream of events, and its end ------------------------------------------------------------------


async def test_events_that_were_not_read_are_read_after_the_end() -> None:
    model = ScriptedRealtimeModel()
    session = await started(model)
    await model.emit(*model.agent_says("Hello"))
    await model.end("expired", close_code=1001, detail="60 minutes")
    assert any(isinstance(event, RealtimeAgentSpeechStopped) for event in await read(session))
    assert session.end is not None
    assert (session.end.cause, session.end.close_code, session.end.detail) == ("expired", 1001, "60 minutes")
    await session.close()
    assert session.end.cause == "expired"


async def test_closing_ends_the_iteration_of_others() -> None:
    model = ScriptedRealtimeModel()
    session = await started(model)
    reading = asyncio.create_task(read(session))
    await asyncio.sleep(0)
    await asyncio.gather(session.close(), session.close())
    assert await reading == []
    with pytest.raises(ConnectionLostError):
        await session.say("too late")


async def test_a_full_queue_holds_the_model_back_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "QUEUE_EVENTS", 3)
    model = ScriptedRealtimeModel()
    session = await started(model)
    event = RealtimeModelRateLimitsEvent(rate_limits=())
    feeding = asyncio.create_task(model.emit(*[event] * 10))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not feeding.done()
    read_events = 0
    async for _ in session:
        read_events += 1
        if read_events == 10:
            break
    await feeding
    await session.close()


async def test_closing_lets_a_model_go_that_waits_for_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "QUEUE_EVENTS", 3)
    model = ScriptedRealtimeModel()
    session = await started(model)
    feeding = asyncio.create_task(model.emit(*[RealtimeModelRateLimitsEvent(rate_limits=())] * 10))
    await asyncio.sleep(0)
    await session.close()
    await feeding
    assert len(await read(session)) == 3


async def test_whoever_reads_may_ask_although_the_queue_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "QUEUE_EVENTS", 2)
    async with realtime_server() as server:
        agent = RealtimeAgent[None](name="a")
        runner = RealtimeRunner(agent, model=OpenAIRealtimeSIPModel())
        session = await runner.run(
            model_config={"api_key": "k", "base_url": server.base_url, "call_id": "rtc_1"}
        )
        async with session:
            peer = await server.peer()
            await peer.receive("session.update")
            for digit in "1234567":
                await peer.send({"type": "input_audio_buffer.dtmf_event_received", "event": digit})
            digits = ""
            async with asyncio.timeout(PATIENCE_S):
                async for event in session:
                    if event.type == "dtmf_received":
                        digits += event.digit
                        await session.say(event.digit)
                    if digits == "1234567":
                        break


async def test_raw_events_come_only_when_asked_for() -> None:
    event = RealtimeModelRateLimitsEvent(rate_limits=())
    for wanted in (True, False):
        model = ScriptedRealtimeModel()
        session = await started(model, config={"raw_events": wanted})
        await model.emit(event)
        await model.end()
        raw = [each.data for each in await read(session) if isinstance(each, RealtimeRawModelEvent)]
        assert (event in raw) is wanted
        await session.close()


async def test_history_and_usage_are_there_to_be_read() -> None:
    model = ScriptedRealtimeModel()
    session = await started(model)
    await model.emit(*model.agent_says("Hello"), *model.caller_says("Good morning"))
    assert [item.type for item in session.history] == ["message", "message"]
    assert session.usage.requests == 0
    await session.close()


def word(text: str, item: str = "item_1", part: int = 0, response: str = "resp_1") -> RealtimeModelEvent:
    return RealtimeModelTranscriptDeltaEvent(
        item_id=ItemId(item), delta=text, response_id=ResponseId(response), content_index=part
    )


def said(session: RealtimeSession) -> dict[str, str]:
    """By item, what the history has the agent say."""
    return {
        item.item_id: "|".join(str(part.transcript) for part in item.content if part.type == "audio")
        for item in session.history
        if isinstance(item, AssistantMessageItem)
    }


async def test_words_are_told_one_by_one_and_the_history_has_them_whenever_somebody_looks() -> None:
    model = ScriptedRealtimeModel()
    session = await started(model)
    await model.emit(RealtimeModelTurnStartedEvent(response_id=ResponseId("resp_1")))
    for number in range(6):
        await model.emit(word(f"{number}"))
        if number in (2, 4):
            assert said(session) == {"item_1": "012345"[: number + 1]}
    await model.emit(
        word("a", part=1), word("b", part=1), word("6"), word("x", "item_2"), word("y", "item_2")
    )
    assert said(session) == {"item_1": "0123456|ab", "item_2": "xy"}
    caller = RealtimeModelInputAudioTranscriptionDeltaEvent(item_id=ItemId("item_c"), delta="Yes")
    await model.emit(caller, word("z", "item_2"), word("!", "item_2"))
    await session.close()
    told = [event for event in await read(session) if isinstance(event, RealtimeTranscriptDelta)]
    assert [(event.role, event.item_id, event.delta) for event in told] == [
        *(("agent", "item_1", str(number)) for number in range(6)),
        ("agent", "item_1", "a"),
        ("agent", "item_1", "b"),
        ("agent", "item_1", "6"),
        ("agent", "item_2", "x"),
        ("agent", "item_2", "y"),
        ("caller", "item_c", "Yes"),
        ("agent", "item_2", "z"),
        ("agent", "item_2", "!"),
    ]
    assert said(session)["item_2"] == "xyz!"


async def test_words_that_find_no_room_are_in_the_history_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "QUEUE_EVENTS", 4)
    model = ScriptedRealtimeModel()
    session = await started(model)
    feeding = asyncio.create_task(model.emit(*(word(str(number)) for number in range(9))))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not feeding.done()
    words: list[str] = []
    async with asyncio.timeout(PATIENCE_S):
        async for event in session:
            if isinstance(event, RealtimeTranscriptDelta):
                words.append(event.delta)
            if len(words) == 9:
                break
        await feeding
    assert "".join(words) == "012345678"
    assert said(session) == {"item_1": "012345678"}
    await session.close()


async def test_words_of_a_speech_that_must_be_heard_are_noticed_behind_others() -> None:
    model = ScriptedRealtimeModel()
    session = await started(model)
    await model.emit(RealtimeModelTurnStartedEvent(response_id=ResponseId("resp_1")), word("a"), word("b"))
    await session.say("Read this.", interruptible=False)
    await model.emit(word("c"))
    assert said(session) == {"item_1": "abc"}
    await session.close()


# Over a real socket ---------------------------------------------------------------------------------


async def test_a_call_survives_its_socket_and_ends_with_it_for_good() -> None:
    async with realtime_server() as server:
        agent = RealtimeAgent[None](name="a", tools=[strict_about])
        policy = AttachPolicy(first_retry_s=0.01)
        session = await RealtimeRunner(agent, model=OpenAIRealtimeSIPModel(attach_policy=policy)).run(
            model_config={"api_key": "k", "base_url": server.base_url, "call_id": "rtc_1"}
        )
        async with session:
            first = await server.peer()
            update = await first.receive("session.update")
            assert [each["name"] for each in update["session"]["tools"]] == ["strict_about"]
            first.drop()
            second = await server.peer()
            # Nobody said that the first update was heard.
            assert (await second.receive("session.update"))["session"] == update["session"]
            assert (await until(session, RealtimeConnectionLost)).close_code == 1006
            await until(session, RealtimeConnectionRestored)
            await second.send(
                messages.response_created(),
                messages.output_item_done(
                    messages.function_call("strict_about", "call_1", json.dumps({"number": 7}))
                ),
                messages.response_done(),
            )
            output = await second.receive("conversation.item.create")
            assert output["item"]["output"] == "7"
            await second.receive("response.create")
            server.always = 404
            second.drop()
            await read(session)
            assert session.end is not None
            assert session.end.cause == "call_over"


async def test_a_session_that_nobody_holds_is_gone_without_a_garbage_collection() -> None:
    """A server of many calls collects rarely; a session in a cycle would keep its history until then."""
    gc.collect()
    gc.disable()
    try:
        session = RealtimeSession(ScriptedRealtimeModel(), RealtimeAgent(name="front"))
        async with asyncio.timeout(PATIENCE_S):
            await session.enter()
            await session.close()
        gone = weakref.ref(session)
        del session
        await asyncio.sleep(0)
        assert gone() is None
    finally:
        gc.enable()
