"""One agent gives the conversation to another: in order on the wire, and undone when it cannot be."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sipagent.identifiers import ResponseId, ToolCallId
from sipagent.realtime import (
    FunctionTool,
    Handoff,
    OpenAIRealtimeSIPModel,
    RealtimeAgent,
    RealtimeAgentStartEvent,
    RealtimeError,
    RealtimeHandoffEvent,
    RealtimeModelErrorEvent,
    RealtimeModelEvent,
    RealtimeModelSendEvent,
    RealtimeModelSendSessionUpdate,
    RealtimeModelSendSystemMessage,
    RealtimeModelSendToolOutput,
    RealtimeModelSessionEvent,
    RealtimeModelToolCallEvent,
    RealtimeModelTurnEndedEvent,
    RealtimeModelTurnStartedEvent,
    RealtimeRunConfig,
    RealtimeRunner,
    RealtimeSession,
    RealtimeSessionEvent,
    RealtimeToolEnd,
    RunContextWrapper,
    ToolContext,
    realtime_handoff,
)
from sipagent.realtime.events import RealtimeModelConnectionStatusEvent
from sipagent.realtime.testing import ScriptedRealtimeModel
from tests.realtime import messages
from tests.realtime.peer import PATIENCE_S, Peer, realtime_server
from tests.realtime.test_session import tool, until

CONFIRMED = RealtimeModelSessionEvent(created=False)


def calls(name: str, call_id: str, response_id: str) -> RealtimeModelToolCallEvent:
    return RealtimeModelToolCallEvent(
        name=name, call_id=ToolCallId(call_id), arguments="{}", response_id=ResponseId(response_id)
    )


def begins(response_id: str) -> RealtimeModelTurnStartedEvent:
    return RealtimeModelTurnStartedEvent(response_id=ResponseId(response_id))


def ends(response_id: str) -> RealtimeModelTurnEndedEvent:
    return RealtimeModelTurnEndedEvent(response_id=ResponseId(response_id), status="completed")


async def entered(model: ScriptedRealtimeModel, agent: RealtimeAgent[Any]) -> RealtimeSession:
    return await (await RealtimeRunner(agent, model=model).run()).enter()


@asynccontextmanager
async def on_the_telephone(
    agent: RealtimeAgent[Any], config: RealtimeRunConfig | None = None
) -> AsyncIterator[tuple[RealtimeSession, Peer]]:
    async with realtime_server() as server:
        runner = RealtimeRunner(agent, model=OpenAIRealtimeSIPModel(), config=config)
        session = await runner.run(
            model_config={"api_key": "k", "base_url": server.base_url, "call_id": "rtc_1"}
        )
        async with session:
            peer = await server.peer()
            await peer.receive("session.update")
            yield session, peer


def named(name: str, answer: str) -> FunctionTool:
    async def run(context: ToolContext[Any], arguments: str) -> str:
        return answer

    return tool(name, run)


BILLING = RealtimeAgent[Any](name="billing", instructions="Be exact.", tools=[named("pay", "paid")])
SALES = RealtimeAgent[Any](name="sales", instructions="Be quick.")
FRONT = RealtimeAgent[Any](
    name="front-desk", instructions="Be kind.", tools=[named("ask", "asked")], handoffs=[BILLING, SALES]
)


async def test_update_output_and_response_follow_one_another_on_the_wire() -> None:
    async with on_the_telephone(FRONT, {"model_settings": {"voice": "marin"}}) as (session, peer):
        await peer.send(
            messages.response_created(),
            messages.output_item_done(messages.function_call("transfer_to_billing", "call_1")),
            messages.response_done(),
        )
        update = await peer.receive("session.update")
        output = await peer.receive("conversation.item.create")
        await peer.receive("response.create")
        assert update["session"]["instructions"] == "Be exact."
        assert [each["name"] for each in update["session"]["tools"]] == ["pay"]
        assert update["session"]["audio"]["output"]["voice"] == "marin"
        assert update["session"]["audio"]["output"]["format"] == {"type": "audio/pcmu"}
        assert output["item"]["type"] == "function_call_output"
        assert (output["item"]["call_id"], json.loads(output["item"]["output"])) == (
            "call_1",
            {"assistant": "billing"},
        )
        handed = await until(session, RealtimeHandoffEvent)
        assert (handed.from_agent, handed.to_agent) == (FRONT, BILLING)
        assert session.agent is BILLING


async def test_the_voice_is_left_alone_once_the_agent_has_spoken() -> None:
    async with on_the_telephone(FRONT) as (_, peer):
        await peer.send(
            messages.response_created(),
            messages.output_item_done(messages.assistant_message("item_1", "One moment.")),
            messages.output_item_done(messages.function_call("transfer_to_billing", "call_1")),
            messages.response_done(),
        )
        update = await peer.receive("session.update")
        assert "voice" not in update["session"]["audio"]["output"]
        assert update["session"]["audio"]["output"]["format"] == {"type": "audio/pcmu"}


async def test_a_handoff_that_the_server_refuses_is_reported_and_undone() -> None:
    async with on_the_telephone(FRONT) as (session, peer):
        await peer.send(
            messages.response_created(),
            messages.output_item_done(messages.function_call("transfer_to_billing", "call_1")),
        )
        update = await peer.receive("session.update")
        await peer.receive("conversation.item.create")
        assert session.agent is BILLING
        await peer.send(messages.error("cannot_update_voice", event_id=update["event_id"], message="No."))
        correction = await peer.receive("conversation.item.create")
        assert correction["item"]["role"] == "system"
        assert "handoff to billing did not take place" in correction["item"]["content"][0]["text"]
        assert "You are still front-desk" in correction["item"]["content"][0]["text"]
        assert session.agent is FRONT
        errors = [await until(session, RealtimeError) for _ in range(2)]
        assert [each.error.get("type") for each in errors] == ["invalid_request_error", "handoff_refused"]
        assert errors[1].error["code"] == "cannot_update_voice"
        await peer.send(messages.response_done())
        await peer.receive("response.create")
        await peer.send(
            messages.response_created("resp_2"),
            messages.output_item_done(messages.function_call("ask", "call_2"), "resp_2"),
        )
        answer = await peer.receive("conversation.item.create")
        assert answer["item"]["output"] == "asked"


async def test_errors_about_something_else_undo_nothing() -> None:
    model = ScriptedRealtimeModel()
    session = await entered(model, FRONT)
    await model.emit(*model.agent_calls("transfer_to_billing"))
    await model.wait_until_sent(RealtimeModelSendToolOutput)
    for event_id in (None, "sipagent_99", 7):
        await model.emit(RealtimeModelErrorEvent(error={"message": "No.", "event_id": event_id}))
    assert session.agent is BILLING
    await session.close()


async def test_an_agent_that_the_application_chose_is_undone_too_without_a_word_to_the_model() -> None:
    model = ScriptedRealtimeModel()
    session = await entered(model, FRONT)
    await session.update_agent(BILLING)
    await session.update_agent(SALES)
    first = await model.wait_until_sent(RealtimeModelSendSessionUpdate)
    second = await model.wait_until_sent(RealtimeModelSendSessionUpdate, count=2)
    await model.emit(RealtimeModelErrorEvent(error={"message": "No.", "event_id": first.event_id}))
    assert session.agent is SALES
    await model.emit(RealtimeModelErrorEvent(error={"message": "No.", "event_id": second.event_id}))
    assert session.agent is FRONT
    for _ in range(2):
        while (await until(session, RealtimeError)).error.get("type") != "handoff_refused":
            pass
    assert not [each for each in model.sent if isinstance(each, RealtimeModelSendSystemMessage)]
    await session.close()


async def test_of_two_handoffs_in_one_response_the_first_wins() -> None:
    model = ScriptedRealtimeModel()
    session = await entered(model, FRONT)
    await model.emit(
        begins("r1"),
        calls("transfer_to_billing", "call_1", "r1"),
        calls("transfer_to_sales", "call_2", "r1"),
        ends("r1"),
    )
    await model.wait_until_sent(RealtimeModelSendToolOutput, count=2)
    outputs = {
        str(each.tool_call.call_id): each.output
        for each in model.sent
        if isinstance(each, RealtimeModelSendToolOutput)
    }
    assert json.loads(outputs["call_1"]) == {"assistant": "billing"}
    assert "billing leads the conversation" in outputs["call_2"]
    assert session.agent is BILLING
    assert len([each for each in model.sent if isinstance(each, RealtimeModelSendSessionUpdate)]) == 1
    await session.close()


async def test_a_second_handoff_takes_place_where_the_first_failed() -> None:
    async def fail(context: RunContextWrapper[Any]) -> None:
        raise ValueError("the secret of the caller")

    agent = FRONT.clone(handoffs=[realtime_handoff(BILLING, on_handoff=fail), SALES])
    model = ScriptedRealtimeModel()
    session = await entered(model, agent)
    await model.emit(
        begins("r1"), calls("transfer_to_billing", "call_1", "r1"), calls("transfer_to_sales", "call_2", "r1")
    )
    await model.wait_until_sent(RealtimeModelSendToolOutput, count=2)
    assert session.agent is SALES
    await session.close()


async def with_input(context: RunContextWrapper[Any], given: dict[str, int]) -> None:
    """Never reached."""


async def raises(context: RunContextWrapper[Any]) -> None:
    raise ValueError("the secret of the caller")


async def exits(context: RunContextWrapper[Any]) -> None:
    raise SystemExit(3)


def wrong_instructions(context: RunContextWrapper[Any], agent: RealtimeAgent[Any]) -> str:
    raise OSError("the secret of the caller")


async def gives_nothing(context: RunContextWrapper[Any], arguments: str) -> Any:
    return None


BROKEN = RealtimeAgent[Any](name="broken", instructions=wrong_instructions)
DOUBLE = RealtimeAgent[Any](name="double", tools=[named("x", ""), named("x", "")])
NOBODY = Handoff[Any, Any](
    tool_name="nobody",
    tool_description="",
    input_json_schema={},
    on_invoke_handoff=gives_nothing,
    agent_name="nobody",
)


@pytest.mark.parametrize(
    ("way", "heard"),
    [
        (realtime_handoff(BILLING, on_handoff=with_input, input_type=dict[str, int]), "does not fit"),
        (realtime_handoff(BILLING, on_handoff=raises), "did not take place"),
        (realtime_handoff(BILLING, on_handoff=exits), "did not take place"),
        (realtime_handoff(BROKEN), "did not take place"),
        (realtime_handoff(DOUBLE), "did not take place"),
        (NOBODY, "did not take place"),
    ],
    ids=lambda value: value.tool_name if isinstance(value, Handoff) else None,
)
async def test_a_handoff_that_fails_is_an_answer_and_the_agent_stays(
    way: Handoff[Any, Any], heard: str
) -> None:
    model = ScriptedRealtimeModel()
    session = await entered(model, FRONT.clone(handoffs=[way]))
    await model.emit(*model.agent_calls(way.tool_name, '{"number": "many"}'))
    sent = await model.wait_until_sent(RealtimeModelSendToolOutput)
    assert heard in sent.output
    assert "secret" not in sent.output
    assert sent.start_response
    assert session.agent.name == "front-desk"
    assert (await until(session, RealtimeError)).error["type"] == "handoff_failed"
    assert not [each for each in model.sent if isinstance(each, RealtimeModelSendSessionUpdate)]
    assert session.end is None
    await session.close()


async def test_a_handoff_that_may_not_be_taken_any_more_is_not() -> None:
    allowed = [True]
    way = realtime_handoff(BILLING, is_enabled=lambda context, agent: allowed[0])
    model = ScriptedRealtimeModel()
    session = await entered(model, FRONT.clone(handoffs=[way]))
    allowed[0] = False
    await model.emit(*model.agent_calls("transfer_to_billing"))
    assert "not available" in (await model.wait_until_sent(RealtimeModelSendToolOutput)).output
    assert session.agent.name == "front-desk"
    await session.close()


async def test_the_application_has_the_last_word_while_a_handoff_is_under_way() -> None:
    asked, answered = asyncio.Event(), asyncio.Event()

    async def wait(context: RunContextWrapper[Any]) -> None:
        asked.set()
        await answered.wait()

    model = ScriptedRealtimeModel()
    session = await entered(model, FRONT.clone(handoffs=[realtime_handoff(BILLING, on_handoff=wait)]))
    await model.emit(*model.agent_calls("transfer_to_billing"))
    await asked.wait()
    await session.update_agent(SALES)
    answered.set()
    assert "sales leads the conversation" in (await model.wait_until_sent(RealtimeModelSendToolOutput)).output
    assert session.agent is SALES
    await session.close()


async def test_calls_of_a_response_belong_to_the_agent_that_it_began_with() -> None:
    first = RealtimeAgent[Any](name="first", tools=[named("look", "first"), named("old", "first")])
    second = RealtimeAgent[Any](name="second", tools=[named("look", "second"), named("new", "second")])
    first.handoffs.append(second)
    model = ScriptedRealtimeModel()
    session = await entered(model, first)
    await model.emit(CONFIRMED, begins("r1"), calls("transfer_to_second", "call_1", "r1"))
    await model.wait_until_sent(RealtimeModelSendToolOutput)
    # The handing response goes on, and the server begins one more before it has followed.
    await model.emit(calls("look", "call_2", "r1"), calls("old", "call_3", "r1"), ends("r1"))
    await model.emit(begins("r2"), calls("look", "call_4", "r2"), ends("r2"))
    await model.emit(CONFIRMED, begins("r3"), calls("look", "call_5", "r3"), calls("new", "call_6", "r3"))
    await model.wait_until_sent(RealtimeModelSendToolOutput, count=6)
    given = {
        str(each.tool_call.call_id): each.output
        for each in model.sent
        if isinstance(each, RealtimeModelSendToolOutput)
    }
    assert [given[f"call_{number}"] for number in range(2, 7)] == ["first"] * 3 + ["second"] * 2
    started: list[str] = []
    ended: dict[str, str] = {}
    await model.end()
    async for event in session:
        if isinstance(event, RealtimeAgentStartEvent):
            started.append(event.agent.name)
        elif isinstance(event, RealtimeToolEnd):
            ended[str(event.tool_call_id)] = event.agent.name
    assert started == ["first", "first", "second"]
    assert ended["call_2"] == "first"
    assert ended["call_5"] == "second"
    await session.close()


async def test_a_change_that_may_have_been_lost_with_the_connection_is_sent_again() -> None:
    model = ScriptedRealtimeModel()
    session = await entered(model, FRONT)
    await model.emit(CONFIRMED)
    await session.update_agent(BILLING)
    back = RealtimeModelConnectionStatusEvent(status="connected", reattached=True)
    await model.emit(back)
    again = await model.wait_until_sent(RealtimeModelSendSessionUpdate, count=2)
    assert again.session_settings["instructions"] == "Be exact."
    await model.emit(CONFIRMED, back)
    await asyncio.sleep(0)
    assert len([each for each in model.sent if isinstance(each, RealtimeModelSendSessionUpdate)]) == 2
    await session.close()


async def test_an_update_that_cannot_be_sent_changes_nothing() -> None:
    model = ScriptedRealtimeModel()
    session = await entered(model, FRONT)
    model.expect(RealtimeModelSendToolOutput)
    with pytest.raises(AssertionError):
        await session.update_agent(BILLING)
    assert session.agent is FRONT
    await session.close()


async def test_closing_ends_a_handoff_under_way() -> None:
    asked = asyncio.Event()

    async def wait(context: RunContextWrapper[Any]) -> None:
        asked.set()
        await asyncio.Event().wait()

    model = ScriptedRealtimeModel()
    session = await entered(model, FRONT.clone(handoffs=[realtime_handoff(BILLING, on_handoff=wait)]))
    await model.emit(*model.agent_calls("transfer_to_billing"))
    async with asyncio.timeout(PATIENCE_S):
        await asked.wait()
        await session.close()
    assert model.sent == []
    assert session.agent.name == "front-desk"


def test_events_of_a_session_know_the_handoff() -> None:
    kinds: Any = RealtimeSessionEvent
    assert RealtimeHandoffEvent in kinds.__args__


async def test_a_refusal_that_comes_before_sending_returns_is_the_answer_of_the_handoff() -> None:
    def refuse(sent: RealtimeModelSendEvent) -> list[RealtimeModelEvent]:
        if not isinstance(sent, RealtimeModelSendSessionUpdate):
            return []
        return [RealtimeModelErrorEvent(error={"message": "No.", "event_id": sent.event_id})]

    model = ScriptedRealtimeModel(answer=refuse)
    session = await entered(model, FRONT)
    await model.emit(*model.agent_calls("transfer_to_billing"))
    sent = await model.wait_until_sent(RealtimeModelSendToolOutput)
    assert sent.output == "The handoff did not take place: front-desk leads the conversation now."
    await model.end()
    assert not [event async for event in session if isinstance(event, RealtimeHandoffEvent)]
    await session.close()


async def test_the_prompt_of_the_agent_of_before_is_switched_off() -> None:
    first = FRONT.clone(prompt={"id": "pmpt_1"})
    async with on_the_telephone(first) as (session, peer):
        await session.update_agent(BILLING)
        assert (await peer.receive("session.update"))["session"]["prompt"] is None
        await session.update_agent(SALES)
        assert "prompt" not in (await peer.receive("session.update"))["session"]
