"""Guardrails at work in a session: when they look, and what a trip does and leaves alone."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from sipagent.errors import UserError
from sipagent.identifiers import ItemId, ResponseId
from sipagent.realtime import (
    AssistantAudio,
    AssistantMessageItem,
    GuardrailFunctionOutput,
    InputGuardrail,
    InputText,
    OpenAIRealtimeSIPModel,
    OutputGuardrail,
    RealtimeAgent,
    RealtimeError,
    RealtimeGuardrailTripped,
    RealtimeInputGuardrailTripped,
    RealtimeModelCallerSpeechStoppedEvent,
    RealtimeModelConnectionStatusEvent,
    RealtimeModelInputAudioTranscriptionCompletedEvent,
    RealtimeModelItemUpdatedEvent,
    RealtimeModelOutputTextDeltaEvent,
    RealtimeModelRequestResponse,
    RealtimeModelSendInterrupt,
    RealtimeModelSendSystemMessage,
    RealtimeModelTranscriptDeltaEvent,
    RealtimeModelTranscriptDoneEvent,
    RealtimeModelTurnEndedEvent,
    RealtimeModelTurnStartedEvent,
    RealtimeRunConfig,
    RealtimeRunner,
    RealtimeSession,
    RealtimeSessionEvent,
    SystemMessageItem,
)
from sipagent.realtime.testing import ScriptedRealtimeModel
from tests.realtime import messages
from tests.realtime.peer import PATIENCE_S, realtime_server

R1, R2, ITEM = ResponseId("resp_1"), ResponseId("resp_2"), ItemId("item_1")


class Watch:
    """A guardrail that trips on one word, and keeps what it saw."""

    def __init__(self, word: str = "secret", *, name: str = "watch") -> None:
        self.word = word
        self.name = name
        self.saw: list[str] = []
        self.agents: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.looked = asyncio.Event()
        self.cancelled = False
        self.output = OutputGuardrail[Any](guardrail_function=self.look, name=name)
        self.input = InputGuardrail[Any](guardrail_function=self.look, name=name)

    async def look(self, context: Any, agent: RealtimeAgent[Any], words: str) -> GuardrailFunctionOutput:
        self.saw.append(words)
        self.agents.append(agent.name)
        self.looked.set()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return GuardrailFunctionOutput(output_info=self.name, tripwire_triggered=self.word in words)


async def started(
    model: ScriptedRealtimeModel,
    *watches: Watch,
    config: RealtimeRunConfig | None = None,
    heard: bool = False,
) -> RealtimeSession:
    agent = RealtimeAgent[Any](
        name="front-desk",
        output_guardrails=[] if heard else [watch.output for watch in watches],
        input_guardrails=[watch.input for watch in watches] if heard else [],
    )
    return await (await RealtimeRunner(agent, model=model, config=config).run()).enter()


async def settle() -> None:
    """Let every check that can finish do so."""
    for _ in range(20):
        await asyncio.sleep(0)


async def rest(model: ScriptedRealtimeModel, session: RealtimeSession) -> list[RealtimeSessionEvent]:
    """End the session, and everything that it told and was not read."""
    await settle()
    await model.end()
    async with asyncio.timeout(PATIENCE_S):
        events = [event async for event in session]
    await session.close()
    return events


def trips(events: list[RealtimeSessionEvent]) -> list[RealtimeGuardrailTripped]:
    return [event for event in events if isinstance(event, RealtimeGuardrailTripped)]


def begins(response_id: ResponseId = R1, *, out_of_band: bool = False) -> RealtimeModelTurnStartedEvent:
    return RealtimeModelTurnStartedEvent(response_id=response_id, out_of_band=out_of_band)


def says(
    words: str, response_id: ResponseId = R1, item_id: ItemId = ITEM
) -> RealtimeModelTranscriptDeltaEvent:
    return RealtimeModelTranscriptDeltaEvent(item_id=item_id, delta=words, response_id=response_id)


def ends(response_id: ResponseId = R1, status: Any = "completed") -> RealtimeModelTurnEndedEvent:
    return RealtimeModelTurnEndedEvent(response_id=response_id, status=status)


CUT_OFF = RealtimeModelSendInterrupt(force_response_cancel=True, response_id=R1)


# When they look -------------------------------------------------------------------------------------


async def test_words_are_looked_at_each_time_enough_have_come_and_at_the_end() -> None:
    model, watch = ScriptedRealtimeModel(), Watch()
    session = await started(model, watch, config={"guardrails_settings": {"debounce_text_length": 10}})
    await model.emit(begins(), says("123456789"))
    await settle()
    assert watch.saw == []
    await model.emit(says("0"))
    await settle()
    assert watch.saw == ["1234567890"]
    # A long delta is looked at once, however many times the length it passes.
    await model.emit(says("x" * 25), says("yyyy"))
    await settle()
    assert watch.saw[1:] == ["1234567890" + "x" * 25]
    await model.emit(ends())
    await settle()
    assert watch.saw[2:] == ["1234567890" + "x" * 25 + "yyyy"]
    assert trips(await rest(model, session)) == []
    assert model.sent == []


async def test_short_answers_are_looked_at_too_and_none_twice() -> None:
    model, watch = ScriptedRealtimeModel(), Watch()
    session = await started(model, watch)
    await model.emit(*model.agent_says("Yes."), *model.agent_says("z" * 100))
    await rest(model, session)
    assert watch.saw == ["Yes.", "z" * 100]


async def test_words_that_came_in_one_piece_are_looked_at() -> None:
    model, watch = ScriptedRealtimeModel(), Watch("")
    session = await started(model, watch)
    whole = AssistantMessageItem(
        item_id=ITEM, status="completed", content=(AssistantAudio(transcript="From the item."),)
    )
    await model.emit(begins(), RealtimeModelItemUpdatedEvent(item=whole, response_id=R1), ends())
    await settle()
    await model.emit(
        begins(R2),
        RealtimeModelTranscriptDoneEvent(item_id=ItemId("i2"), transcript="From its end.", response_id=R2),
        ends(R2),
    )
    await settle()
    third = ResponseId("resp_3")
    await model.emit(
        begins(third),
        RealtimeModelOutputTextDeltaEvent(item_id=ItemId("i3"), delta="Written.", response_id=third),
        ends(third),
    )
    events = await rest(model, session)
    assert watch.saw == ["From the item.", "From its end.", "Written."]
    assert [event.item_id for event in trips(events)] == ["item_1", "i2", "i3"]


async def test_guardrails_of_agent_and_configuration_both_look_once_each() -> None:
    model, own, everyones = ScriptedRealtimeModel(), Watch(), Watch()
    session = await started(
        model, own, own, config={"output_guardrails": [everyones.output, own.output, everyones.output]}
    )
    await model.emit(*model.agent_says("Hello"))
    await rest(model, session)
    assert (own.saw, everyones.saw) == (["Hello"], ["Hello"])


async def test_the_agent_that_began_a_turn_is_the_one_that_is_looked_at() -> None:
    model, first, second = ScriptedRealtimeModel(), Watch(), Watch()
    session = await started(model, first)
    await model.emit(begins(), says("Let me hand you over."))
    await session.update_agent(RealtimeAgent[Any](name="billing", output_guardrails=[second.output]))
    await model.emit(ends(), begins(R2), says("Billing here.", R2), ends(R2))
    await rest(model, session)
    assert (first.saw, first.agents) == (["Let me hand you over."], ["front-desk"])
    assert (second.saw, second.agents) == (["Billing here."], ["billing"])


async def test_an_agent_that_takes_over_in_a_turn_does_not_answer_for_it() -> None:
    model, watch = ScriptedRealtimeModel(), Watch()
    session = await started(model)
    await model.emit(begins(), says("Let me hand you over, "))
    await session.update_agent(RealtimeAgent[Any](name="billing", output_guardrails=[watch.output]))
    await model.emit(says("secret"), ends())
    await rest(model, session)
    assert watch.saw == []


async def test_a_turn_whose_beginning_or_end_was_missed_is_looked_at() -> None:
    model, watch = ScriptedRealtimeModel(), Watch()
    session = await started(model, watch)
    await model.emit(says("Half a"))
    await model.emit(RealtimeModelConnectionStatusEvent(status="connected", reattached=True))
    await settle()
    assert watch.saw == ["Half a"]
    await model.emit(says(" sentence."), ends())
    await rest(model, session)
    assert watch.saw == ["Half a", "Half a sentence."]


# What a trip does -----------------------------------------------------------------------------------


async def test_a_trip_is_told_cuts_the_response_off_and_has_the_model_go_on() -> None:
    model, watch = ScriptedRealtimeModel(), Watch(name="no secrets")
    session = await started(model, watch, config={"guardrails_settings": {"debounce_text_length": 5}})
    await model.emit(
        begins(), says("The secret is"), says(" out, the secret is out"), ends(status="cancelled")
    )
    events = await rest(model, session)
    [event] = trips(events)
    assert (event.message, event.response_id, event.item_id) == ("The secret is", R1, ITEM)
    [result] = event.guardrail_results
    assert isinstance(result.guardrail, OutputGuardrail)
    assert result.guardrail.get_name() == "no secrets"
    assert (result.output.output_info, result.agent_output) == ("no secrets", "The secret is")
    assert model.sent[0] == CUT_OFF
    message = model.sent[1]
    assert isinstance(message, RealtimeModelSendSystemMessage)
    assert message.text.startswith("guardrail triggered: no secrets")


async def test_a_response_is_asked_for_once_although_everything_trips() -> None:
    model = ScriptedRealtimeModel()
    one, other, slow = Watch(name="one"), Watch(name="other"), Watch(name="slow")
    slow.gate.clear()
    session = await started(
        model, slow, one, other, config={"guardrails_settings": {"debounce_text_length": 1}}
    )
    await model.emit(begins(), says("secret "), says("secret "))
    await settle()
    await model.emit(says("secret"), ends())
    await settle()
    assert slow.cancelled
    slow.gate.set()
    assert len(trips(await rest(model, session))) == 1
    assert [type(each) for each in model.sent] == [
        RealtimeModelSendInterrupt,
        RealtimeModelSendSystemMessage,
        RealtimeModelRequestResponse,
    ]
    assert "secret secret secret" not in one.saw


async def test_a_late_verdict_never_touches_a_newer_response() -> None:
    model, watch = ScriptedRealtimeModel(), Watch()
    watch.gate.clear()
    session = await started(model, watch)
    await model.emit(begins(), says("secret"), ends())
    await watch.looked.wait()
    await model.emit(begins(R2), says("Something else", R2, ItemId("item_2")))
    watch.gate.set()
    assert len(trips(await rest(model, session))) == 1
    assert model.sent == [CUT_OFF]


async def test_a_response_beside_the_conversation_is_cut_off_and_no_more() -> None:
    model, watch = ScriptedRealtimeModel(), Watch()
    session = await started(model, watch)
    await model.emit(begins(R2), begins(out_of_band=True), says("secret"), ends())
    assert len(trips(await rest(model, session))) == 1
    assert model.sent == [CUT_OFF]


async def test_after_a_response_that_was_broken_off_nobody_speaks_over_the_caller() -> None:
    model, watch = ScriptedRealtimeModel(), Watch()
    session = await started(model, watch)
    await model.emit(begins(), says("secret"), ends(status="cancelled"))
    await rest(model, session)
    assert [type(each) for each in model.sent] == [RealtimeModelSendInterrupt, RealtimeModelSendSystemMessage]


async def test_nothing_waits_for_a_guardrail() -> None:
    model, watch = ScriptedRealtimeModel(), Watch()
    watch.gate.clear()
    session = await started(model, watch)
    async with asyncio.timeout(PATIENCE_S):
        await model.emit(*model.agent_says("The secret is out"), *model.caller_says("What?"))
        await session.say("Hello")
        await watch.looked.wait()
        await session.close()
    assert watch.cancelled


class Failures(logging.Handler):
    """Waits until so many things were logged."""

    def __init__(self, count: int) -> None:
        super().__init__(logging.WARNING)
        self.left = count
        self.enough = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.left -= 1
        if self.left == 0:
            self.enough.set()


async def failing(context: Any, agent: Any, words: str) -> GuardrailFunctionOutput:
    raise ValueError("what the caller said")


def leaving(context: Any, agent: Any, words: str) -> GuardrailFunctionOutput:
    raise SystemExit


async def without_verdict(context: Any, agent: Any, words: str) -> Any:
    return "yes"


@pytest.mark.parametrize("function", [failing, leaving, without_verdict])
async def test_a_guardrail_that_fails_is_logged_and_the_talk_goes_on(
    function: Any, caplog: pytest.LogCaptureFixture
) -> None:
    model, watch = ScriptedRealtimeModel(), Watch()
    broken = OutputGuardrail[Any](guardrail_function=function)
    session = await started(
        model,
        watch,
        config={
            "output_guardrails": [broken],
            "input_guardrails": [InputGuardrail[Any](guardrail_function=function)],
        },
    )
    failures = Failures(2)
    logging.getLogger("sipagent.realtime.checks").addHandler(failures)
    try:
        with caplog.at_level(logging.WARNING, "sipagent.realtime"):
            await model.emit(*model.agent_says("Hello"), *model.caller_says("Hello"))
            async with asyncio.timeout(PATIENCE_S):
                await failures.enough.wait()
    finally:
        logging.getLogger("sipagent.realtime.checks").removeHandler(failures)
    assert function.__name__ in caplog.text
    assert "what the caller said" not in caplog.text
    assert session.end is None
    await rest(model, session)
    assert watch.saw == ["Hello"]
    assert model.sent == []


async def test_a_model_that_refuses_is_told_about_and_one_that_is_gone_is_not() -> None:
    model, watch = ScriptedRealtimeModel(), Watch()
    session = await started(model, watch)
    model.expect(RealtimeModelRequestResponse)  # so that the interrupt is unexpected
    await model.emit(*model.agent_says("secret"))
    events = await rest(model, session)
    assert len([event for event in events if isinstance(event, RealtimeError)]) == 1
    assert len(trips(events)) == 1

    gone, late = ScriptedRealtimeModel(), Watch()
    late.gate.clear()
    session = await started(gone, late)
    await gone.emit(*gone.agent_says("secret"))
    await late.looked.wait()
    gone.config = None
    late.gate.set()
    events = await rest(gone, session)
    assert len(trips(events)) == 1
    assert [event for event in events if isinstance(event, RealtimeError)] == []


# What the caller says -------------------------------------------------------------------------------

SAID = ItemId("said_1")
STOPPED = RealtimeModelCallerSpeechStoppedEvent(item_id=SAID)


def transcript(words: str) -> RealtimeModelInputAudioTranscriptionCompletedEvent:
    return RealtimeModelInputAudioTranscriptionCompletedEvent(item_id=SAID, transcript=words)


async def test_what_the_caller_says_is_looked_at_with_the_agent_that_it_was_said_to() -> None:
    model, watch, everyones = ScriptedRealtimeModel(), Watch(), Watch()
    session = await started(
        model, watch, heard=True, config={"input_guardrails": [everyones.input, watch.input]}
    )
    await model.emit(STOPPED)
    await session.update_agent(RealtimeAgent[Any](name="billing"))
    await model.emit(transcript("Good morning"), transcript("Good morning"))
    events = await rest(model, session)
    assert (watch.saw, watch.agents, everyones.saw) == (["Good morning"], ["front-desk"], ["Good morning"])
    assert not [event for event in events if isinstance(event, RealtimeInputGuardrailTripped)]


async def test_the_answer_to_what_the_caller_must_not_say_is_cut_off() -> None:
    model, watch, other = ScriptedRealtimeModel(), Watch(name="no secrets"), Watch()
    session = await started(model, watch, other, heard=True)
    await model.emit(STOPPED, begins(), says("Of course"), transcript("Tell me a secret"))
    events = await rest(model, session)
    [event] = [event for event in events if isinstance(event, RealtimeInputGuardrailTripped)]
    assert (event.message, event.item_id) == ("Tell me a secret", SAID)
    assert event.guardrail_results[0].guardrail is watch.input
    assert model.sent[0] == CUT_OFF
    assert isinstance(model.sent[1], RealtimeModelSendSystemMessage)
    assert model.sent[1].text.startswith("guardrail triggered: no secrets")
    assert model.sent[2:] == [RealtimeModelRequestResponse()]


async def test_an_answer_that_has_not_begun_is_told_and_not_doubled() -> None:
    model, watch = ScriptedRealtimeModel(), Watch()
    session = await started(model, watch, heard=True)
    await model.emit(begins(R2), ends(R2), STOPPED, transcript("secret"))
    await rest(model, session)
    assert [type(each) for each in model.sent] == [RealtimeModelSendSystemMessage]


async def test_an_answer_that_began_before_the_model_was_told_is_cut_off() -> None:
    model, watch = ScriptedRealtimeModel(), Watch()
    session = await started(model, watch, heard=True)
    await model.emit(STOPPED, transcript("secret"))
    await settle()
    await model.emit(begins())
    await rest(model, session)
    assert isinstance(model.sent[0], RealtimeModelSendSystemMessage)
    assert model.sent[1:] == [CUT_OFF, RealtimeModelRequestResponse()]


async def test_an_answer_that_began_after_the_model_was_told_is_left_alone() -> None:
    model, watch = ScriptedRealtimeModel(), Watch()
    session = await started(model, watch, heard=True)
    await model.emit(STOPPED, transcript("secret"))
    told = await model.wait_until_sent(RealtimeModelSendSystemMessage)
    item = SystemMessageItem(item_id=ItemId("told"), content=(InputText(text=told.text),))
    await model.emit(RealtimeModelItemUpdatedEvent(item=item), begins(), ends())
    await rest(model, session)
    assert model.sent == [told]


async def test_an_answer_that_begins_while_a_guardrail_thinks_is_cut_off() -> None:
    model, watch = ScriptedRealtimeModel(), Watch()
    watch.gate.clear()
    session = await started(model, watch, heard=True)
    await model.emit(STOPPED, transcript("secret"), begins())
    await watch.looked.wait()
    watch.gate.set()
    await rest(model, session)
    assert model.sent[0] == CUT_OFF
    assert model.sent[2:] == [RealtimeModelRequestResponse()]


async def test_what_is_no_guardrail_is_refused_before_a_call() -> None:
    wrong: Any = failing
    with pytest.raises(UserError, match="no OutputGuardrail"):
        await started(ScriptedRealtimeModel(), config={"output_guardrails": [wrong]})
    with pytest.raises(UserError, match="list of InputGuardrail"):
        await started(ScriptedRealtimeModel(), config={"input_guardrails": wrong})
    with pytest.raises(TypeError, match="output_guardrails must be a list"):
        RealtimeAgent[Any](name="a", output_guardrails=[wrong])


async def test_a_late_verdict_on_the_caller_never_touches_a_newer_response() -> None:
    model, watch = ScriptedRealtimeModel(), Watch()
    watch.gate.clear()
    session = await started(model, watch, heard=True)
    await model.emit(STOPPED, begins(), transcript("secret"), ends(), begins(R2))
    await watch.looked.wait()
    watch.gate.set()
    await rest(model, session)
    assert model.sent == [CUT_OFF]


# On the telephone -----------------------------------------------------------------------------------


async def test_on_the_telephone_a_trip_cancels_clears_tells_and_asks_in_this_order() -> None:
    watch = Watch()
    agent = RealtimeAgent[Any](name="front-desk", output_guardrails=[watch.output])
    async with realtime_server() as server:
        session = await RealtimeRunner(agent, model=OpenAIRealtimeSIPModel()).run(
            model_config={"api_key": "k", "base_url": server.base_url, "call_id": "rtc_1"}
        )
        async with session:
            peer = await server.peer()
            await peer.receive("session.update")
            await peer.send(
                messages.response_created(),
                messages.playback("started"),
                messages.transcript_delta("The secret " + "x" * 100),
            )
            assert (await peer.receive("response.cancel"))["response_id"] == "resp_1"
            await peer.receive("output_audio_buffer.clear")
            told = await peer.receive("conversation.item.create")
            assert told["item"]["role"] == "system"
            await peer.send(messages.playback("cleared"), messages.response_done(status="cancelled"))
            await peer.receive("response.create")
            async with asyncio.timeout(PATIENCE_S):
                async for event in session:
                    if isinstance(event, RealtimeGuardrailTripped):
                        break
            assert session.end is None
