"""What must be heard to its end is, and afterwards the caller can interrupt again, whatever happened."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest

from sipagent.errors import ConnectionLostError
from sipagent.identifiers import ResponseId
from sipagent.realtime import (
    AttachPolicy,
    OpenAIRealtimeSIPModel,
    OpenAIRealtimeWebSocketModel,
    RealtimeAgent,
    RealtimeConnectionLost,
    RealtimeDtmfReceived,
    RealtimeModelErrorEvent,
    RealtimeModelRequestResponse,
    RealtimeModelSendInterruptible,
    RealtimeModelSendSessionUpdate,
    RealtimeModelTurnEndedEvent,
    RealtimeModelTurnStartedEvent,
    RealtimeResponseStarted,
    RealtimeRunConfig,
    RealtimeRunner,
    RealtimeSession,
    speech,
)
from sipagent.realtime.testing import ScriptedRealtimeModel
from tests.realtime import messages
from tests.realtime.peer import PATIENCE_S, realtime_server
from tests.realtime.test_handover import on_the_telephone
from tests.realtime.test_session import until

AGENT = RealtimeAgent[Any](name="a")
TURNS: RealtimeRunConfig = {
    "model_settings": {"turn_detection": {"type": "server_vad", "silence_duration_ms": 300}}
}


def interrupts(update: dict[str, Any]) -> tuple[bool, bool]:
    """Whether an update lets the caller interrupt, and whether it says nothing else than that."""
    turn_detection = update["session"]["audio"]["input"]["turn_detection"]
    alone = update["session"] == {
        "type": "realtime",
        "audio": {
            "input": {
                "turn_detection": {
                    "type": "server_vad",
                    "silence_duration_ms": 300,
                    "interrupt_response": turn_detection["interrupt_response"],
                    "create_response": turn_detection["interrupt_response"],
                }
            }
        },
    }
    return turn_detection["interrupt_response"], alone


async def test_interruptions_are_off_until_the_speech_was_heard() -> None:
    async with on_the_telephone(AGENT, TURNS) as (session, peer):
        await session.say("This call is recorded.", interruptible=False)
        assert interrupts(await peer.receive("session.update")) == (False, True)
        asked = await peer.receive("response.create")
        assert "This call is recorded." in asked["response"]["instructions"]
        await peer.send(
            messages.response_created(),
            messages.playback("started"),
            messages.transcript_delta("This call"),
            messages.response_done(),
            {"type": "input_audio_buffer.dtmf_event_received", "event": "5"},
        )
        await until(session, RealtimeDtmfReceived)
        await session.add_system_message("still playing")
        await peer.receive("conversation.item.create")  # and nothing before it
        await peer.send(messages.playback("stopped"))
        assert interrupts(await peer.receive("session.update")) == (True, True)


def follows(update: dict[str, Any]) -> dict[str, Any]:
    """The server follows ``update``."""
    return {"type": "session.updated", "session": update["session"]}


@pytest.mark.parametrize("turns", [1, 2])
async def test_what_the_caller_says_meanwhile_is_answered_once_when_the_speech_was_heard(turns: int) -> None:
    async with on_the_telephone(AGENT, TURNS) as (session, peer):
        await session.say("This call is recorded.", interruptible=False)
        update = await peer.receive("session.update")
        await peer.receive("response.create")
        await peer.send(follows(update), messages.response_created(), messages.playback("started"))
        for number in range(turns):
            await peer.send(*turn(f"item_{number}"))
        await peer.send(messages.response_done(), messages.playback("stopped"))
        restored = await peer.receive("session.update")
        assert interrupts(restored) == (True, True)
        answer = await peer.receive("response.create")
        assert "response" not in answer
        await peer.send(
            follows(restored),
            messages.response_created("resp_answer"),
            messages.response_done("resp_answer"),
            *turn("item_later"),
            {"type": "input_audio_buffer.dtmf_event_received", "event": "5"},
        )
        await until(session, RealtimeDtmfReceived)
        await session.add_system_message("nothing is owed any more")
        await peer.receive("conversation.item.create")  # and nothing before it


async def test_a_caller_who_speaks_when_the_speech_ends_is_answered_by_the_server() -> None:
    async with on_the_telephone(AGENT, TURNS) as (session, peer):
        await session.say("This call is recorded.", interruptible=False)
        update = await peer.receive("session.update")
        await peer.receive("response.create")
        await peer.send(follows(update), messages.response_created(), *turn("item_1"))
        await peer.send(messages.speech_started("item_2"), messages.response_done())
        restored = await peer.receive("session.update")
        await peer.send(follows(restored), messages.speech_stopped("item_2"))
        await peer.send({"type": "input_audio_buffer.dtmf_event_received", "event": "5"})
        await until(session, RealtimeDtmfReceived)
        await session.add_system_message("the server answers")
        await peer.receive("conversation.item.create")  # and nothing before it


async def test_a_turn_that_ends_before_the_server_answers_again_is_answered() -> None:
    async with on_the_telephone(AGENT, TURNS) as (session, peer):
        await session.say("This call is recorded.", interruptible=False)
        update = await peer.receive("session.update")
        await peer.receive("response.create")
        await peer.send(
            follows(update),
            messages.response_created(),
            messages.speech_started("item_1"),
            messages.response_done(),
        )
        restored = await peer.receive("session.update")
        await peer.send(messages.speech_stopped("item_1"), follows(restored))
        assert "response" not in await peer.receive("response.create")


async def test_a_turn_before_the_server_follows_is_answered_by_itself() -> None:
    async with on_the_telephone(AGENT, TURNS) as (session, peer):
        await session.say("This call is recorded.", interruptible=False)
        update = await peer.receive("session.update")
        await peer.receive("response.create")
        await peer.send(*turn("item_1"), follows(update), messages.response_created())
        await peer.send(messages.response_done())
        await peer.receive("session.update")
        await session.add_system_message("nothing is owed")
        await peer.receive("conversation.item.create")  # and nothing before it


async def test_whoever_answers_the_caller_alone_goes_on_doing_so() -> None:
    own: RealtimeRunConfig = {
        "model_settings": {"turn_detection": {"type": "server_vad", "create_response": False}}
    }
    async with on_the_telephone(AGENT, own) as (session, peer):
        await session.say("This call is recorded.", interruptible=False)
        update = await peer.receive("session.update")
        await peer.receive("response.create")
        await peer.send(follows(update), messages.response_created(), *turn("item_1"))
        await peer.send(messages.response_done())
        restored = (await peer.receive("session.update"))["session"]["audio"]["input"]["turn_detection"]
        assert (restored["interrupt_response"], restored["create_response"]) == (True, False)
        await session.add_system_message("the application answers")
        await peer.receive("conversation.item.create")  # and nothing before it


async def test_what_was_said_meanwhile_is_not_answered_after_an_interruption() -> None:
    async with on_the_telephone(AGENT, TURNS) as (session, peer):
        await session.say("This call is recorded.", interruptible=False)
        update = await peer.receive("session.update")
        await peer.receive("response.create")
        await peer.send(follows(update), messages.response_created(), *turn("item_1"))
        await peer.send({"type": "input_audio_buffer.dtmf_event_received", "event": "5"})
        await until(session, RealtimeDtmfReceived)
        await session.interrupt()
        await peer.send(messages.response_done(status="cancelled"))
        while (await peer.receive())["type"] != "session.update":
            pass  # what stops the agent
        await session.add_system_message("silence")
        await peer.receive("conversation.item.create")  # and nothing before it


def turn(item_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The caller says something."""
    return messages.speech_started(item_id), messages.speech_stopped(item_id)


async def test_the_response_of_the_server_that_comes_first_is_not_taken_for_the_speech() -> None:
    async with on_the_telephone(AGENT, TURNS) as (session, peer):
        await session.say("This call is recorded.", interruptible=False)
        await peer.receive("session.update")
        asked = await peer.receive("response.create")
        await peer.send(
            messages.response_created("resp_vad"),
            messages.error("conversation_already_has_active_response", event_id=asked["event_id"]),
            messages.response_done("resp_vad"),
        )
        again = await peer.receive("response.create")  # not the session.update that would end it
        assert again["event_id"] == asked["event_id"]
        await peer.send(messages.response_created("resp_ours"))
        for _ in range(2):
            await until(session, RealtimeResponseStarted)
        await peer.send({"type": "input_audio_buffer.dtmf_event_received", "event": "5"})
        await until(session, RealtimeDtmfReceived)
        await session.add_system_message("still speaking")
        await peer.receive("conversation.item.create")  # and nothing before it
        await peer.send(messages.response_done("resp_ours"))
        assert interrupts(await peer.receive("session.update")) == (True, True)


@pytest.mark.parametrize(
    "outcome",
    [
        (messages.response_created(), messages.response_done(status="failed")),
        (messages.response_created(), messages.response_done(status="cancelled")),
        (messages.response_created(), messages.playback("started"), messages.response_done())
        + (messages.playback("cleared"),),
    ],
    ids=["failed", "cancelled", "cleared"],
)
async def test_a_speech_that_is_not_heard_to_its_end_lets_the_caller_interrupt_again(
    outcome: tuple[dict[str, Any], ...],
) -> None:
    async with on_the_telephone(AGENT, TURNS) as (session, peer):
        await session.say("This call is recorded.", interruptible=False)
        await peer.receive("session.update")
        await peer.receive("response.create")
        await peer.send(*outcome)
        assert interrupts(await peer.receive("session.update")) == (True, True)


async def test_a_speech_that_the_server_refuses_lets_the_caller_interrupt_again() -> None:
    async with on_the_telephone(AGENT, TURNS) as (session, peer):
        await session.say("This call is recorded.", interruptible=False)
        await peer.receive("session.update")
        asked = await peer.receive("response.create")
        await peer.send(messages.error("invalid_value", event_id=asked["event_id"]))
        assert interrupts(await peer.receive("session.update")) == (True, True)


async def test_an_end_that_was_missed_while_the_socket_was_away_is_noticed() -> None:
    async with realtime_server() as server:
        model = OpenAIRealtimeSIPModel(attach_policy=AttachPolicy(first_retry_s=0.01))
        runner = RealtimeRunner(AGENT, model=model, config=TURNS)
        config: Any = {"api_key": "k", "base_url": server.base_url, "call_id": "rtc_1"}
        async with await runner.run(model_config=config) as session:
            first = await server.peer()
            await first.receive("session.update")
            await session.say("This call is recorded.", interruptible=False)
            await first.receive("session.update")
            await first.receive("response.create")
            await first.send(messages.response_created())
            await until_started(session)
            first.drop()
            await until(session, RealtimeConnectionLost)
            second = await server.peer()
            for _ in range(2):  # nobody had confirmed the first two: they are said once more
                await second.receive("session.update")
            assert interrupts(await second.receive("session.update")) == (True, True)


async def until_started(session: RealtimeSession) -> None:
    async with asyncio.timeout(PATIENCE_S):
        async for event in session:
            if event.type == "response_started":
                return


async def test_two_speeches_are_both_heard_and_a_new_agent_changes_nothing_about_it() -> None:
    model = ScriptedRealtimeModel()
    session = await (await RealtimeRunner(AGENT, model=model).run()).enter()
    await session.say("One.", interruptible=False)
    await session.say("Two.", interruptible=False)
    await session.update_agent(RealtimeAgent[Any](name="b"))
    update = await model.wait_until_sent(RealtimeModelSendSessionUpdate)
    assert update.session_settings["audio"]["input"] == {
        "turn_detection": {
            "type": "semantic_vad",
            "interrupt_response": False,
            "create_response": False,
        }
    }
    await model.emit(*model.agent_says("One."))
    model.pending = True
    await model.emit(*model.agent_says("Two."))
    told = await model.wait_until_sent(RealtimeModelSendInterruptible, count=2)
    assert told.interruptible
    assert [type(each) for each in model.sent] == [
        RealtimeModelSendInterruptible,
        RealtimeModelRequestResponse,
        RealtimeModelRequestResponse,
        RealtimeModelSendSessionUpdate,
        RealtimeModelSendInterruptible,
    ]
    await session.close()


async def test_without_turn_detection_there_is_nothing_to_switch_off() -> None:
    model = ScriptedRealtimeModel()
    config: RealtimeRunConfig = {"model_settings": {"turn_detection": None}}
    session = await (await RealtimeRunner(AGENT, model=model, config=config).run()).enter()
    await session.say("One.", interruptible=False)
    await model.emit(*model.agent_says("One."))
    await session.close()
    assert [type(each) for each in model.sent] == [RealtimeModelRequestResponse]


async def test_a_speech_that_cannot_be_asked_for_is_told_and_undone() -> None:
    model = ScriptedRealtimeModel()
    model.expect(RealtimeModelSendInterruptible)
    model.expect(RealtimeModelSendInterruptible)
    session = await (await RealtimeRunner(AGENT, model=model).run()).enter()
    with pytest.raises(AssertionError):
        await session.say("One.", interruptible=False)
    told = await model.wait_until_sent(RealtimeModelSendInterruptible, count=2)
    assert told.interruptible
    await session.close()
    with pytest.raises(ConnectionLostError):
        await session.say("Two.", interruptible=False)
    await asyncio.sleep(0)


async def test_an_end_that_is_never_reported_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech, "LONGEST_SPEECH_S", 0.02)
    model = ScriptedRealtimeModel()
    session = await (await RealtimeRunner(AGENT, model=model).run()).enter()
    await session.say("One.", interruptible=False)
    await model.emit(RealtimeModelTurnStartedEvent(response_id=ResponseId("r1")))
    assert (await model.wait_until_sent(RealtimeModelSendInterruptible, count=2)).interruptible
    # What comes late changes nothing.
    await model.emit(
        RealtimeModelErrorEvent(error={"message": "No.", "event_id": "sipagent_say_1"}),
        RealtimeModelTurnEndedEvent(response_id=ResponseId("r1"), status="completed"),
    )
    await session.close()


async def test_over_the_socket_the_audio_plays_on_while_the_caller_speaks() -> None:
    quarter_second = base64.b64encode(bytes(12_000)).decode()
    async with realtime_server() as server:
        runner = RealtimeRunner(AGENT, model=OpenAIRealtimeWebSocketModel(), config=TURNS)
        config: Any = {"api_key": "k", "base_url": server.base_url}
        async with await runner.run(model_config=config) as session:
            peer = await server.peer()
            await peer.receive("session.update")
            await peer.send(messages.session_created())
            await session.say("This call is recorded.", interruptible=False)
            assert interrupts(await peer.receive("session.update")) == (False, True)
            await peer.receive("response.create")
            begun = asyncio.get_running_loop().time()
            await peer.send(
                messages.response_created(),
                messages.audio_delta(quarter_second),
                messages.speech_started(),
                messages.response_done(),
            )
            # Neither truncated nor cancelled; and told back only once it has been played.
            assert interrupts(await peer.receive("session.update")) == (True, True)
            assert asyncio.get_running_loop().time() - begun > 0.2
