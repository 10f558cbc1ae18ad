"""The order of events is the contract: clients are written against it."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

from sipagent.simulator.speech import SilentVoice
from tests.simulator.session_rig import PHONE_SESSION, Client, Rig

DELTAS = "response.output_audio_transcript.delta"
RESPONSE_START = [
    "response.created",
    "rate_limits.updated",
    "response.output_item.added",
    "conversation.item.added",
    "response.content_part.added",
]
RESPONSE_END = [
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
    "response.done",
]
TURN = [
    "input_audio_buffer.speech_started",
    "input_audio_buffer.speech_stopped",
    "input_audio_buffer.committed",
    "conversation.item.added",
    "conversation.item.done",
]
TRANSCRIPTION = "conversation.item.input_audio_transcription"


def phone_session(**turn_detection: Any) -> dict[str, Any]:
    """The phone session with other turn detection; ``type`` None switches it off."""
    audio = PHONE_SESSION["audio"]
    wanted = None if turn_detection.get("type", "") is None else {"type": "server_vad", **turn_detection}
    return {**PHONE_SESSION, "audio": {**audio, "input": {**audio["input"], "turn_detection": wanted}}}


def idling(rig: Rig) -> bool:
    """Whether the silence is being watched."""
    return rig.conversation._silence.due_at_s is not None


async def test_a_second_client_is_told_how_the_session_is_by_now_and_nothing_else() -> None:
    async with Rig() as rig:
        await rig.greet()
        rig.send("session.update", session={"type": "realtime", "instructions": "Be brief."})
        second = Client()
        rig.conversation.attach(second.take)
        assert second.types == ["session.created"]
        assert second.last("session.created")["session"]["instructions"] == "Be brief."
        rig.say("Good day")
        assert second.types[1:] == [kind for kind in rig.client.types if kind != "session.updated"]
        rig.conversation.detach(rig.client.take)
        heard = len(rig.client.events)
        rig.send("session.update", session={"type": "realtime"})
        assert len(rig.client.events) == heard
        assert second.types[-1] == "session.updated"


async def test_an_answer_goes_to_whoever_asked() -> None:
    async with Rig() as rig:
        second = Client()
        rig.conversation.attach(second.take)
        ask = {"type": "conversation.item.retrieve", "item_id": "item_x", "event_id": "mine"}
        rig.conversation.receive(json.dumps(ask), by=second.take)
        assert second.last("error")["error"]["event_id"] == "mine"
        assert not rig.client.of("error")
        item = {"id": "item_x", "type": "message", "role": "system", "content": []}
        rig.send("conversation.item.create", item=item)
        rig.conversation.receive(json.dumps(ask), by=second.take)
        assert second.last("conversation.item.retrieved")["item"]["id"] == "item_x"
        assert not rig.client.of("conversation.item.retrieved")


async def test_a_tool_call_waits_for_whoever_comes_next_and_can_be_found_by_them() -> None:
    script = "greeting: {call: {tool: next_free_slot, with: {day: monday}, then: 'At {output}.'}}\n"
    async with Rig(script) as rig:
        rig.send("response.create")
        await rig.client.until("response.done")
        rig.conversation.detach()
        assert not rig.conversation.agent_is_idle
        heir = Client()
        rig.conversation.attach(heir.take)
        probe = {"id": "probe", "type": "message", "role": "system", "content": []}
        rig.send("conversation.item.create", item=probe)
        before = heir.last("conversation.item.added")["previous_item_id"]
        rig.send("conversation.item.delete", item_id="probe")
        assert heir.last("conversation.item.deleted")["item_id"] == "probe"
        rig.send("conversation.item.retrieve", item_id=before)
        call = heir.last("conversation.item.retrieved")["item"]
        assert (call["type"], call["name"]) == ("function_call", "next_free_slot")
        assert rig.conversation.tool_outputs == {call["call_id"]: 0}
        output = {"type": "function_call_output", "call_id": call["call_id"], "output": "nine"}
        rig.send("conversation.item.create", item=output)
        rig.send("response.create")
        await heir.until("response.done")
        assert [line.text for line in rig.conversation.transcript] == ["At nine."]
        assert rig.conversation.tool_outputs == {call["call_id"]: 1}
        rig.send("conversation.item.delete", item_id=before)
        assert heir.last("conversation.item.deleted")["item_id"] == before
        assert not heir.of("error")


async def test_attaching_announces_the_session_and_the_conversation_once() -> None:
    async with Rig() as rig:
        assert rig.client.types == ["session.created", "conversation.created"]
        created = rig.client.last("session.created")["session"]
        assert created["audio"]["output"]["format"] == {"type": "audio/pcmu"}
        assert created["id"].startswith("sess_")
        rig.conversation.detach()
        rig.conversation.attach(rig.client.take)
        assert rig.client.types[2:] == ["session.created"]


async def test_a_session_may_keep_silent_until_something_happens() -> None:
    async with Rig("announces_session: false\n") as rig:
        assert rig.client.types == []
        rig.say("Hello?")
        await rig.client.until("response.done")


async def test_a_greeting_is_generated_before_it_is_heard() -> None:
    async with Rig("greeting: Good morning to you.\n") as rig:
        rig.client.events.clear()
        rig.send("response.create")
        await rig.client.until("response.done")
        assert rig.client.without(DELTAS) == [*RESPONSE_START, "output_audio_buffer.started", *RESPONSE_END]
        # Audio exists from the first delta on.
        assert rig.client.types.index("output_audio_buffer.started") == len(RESPONSE_START) + 1
        assert "".join(event["delta"] for event in rig.client.of(DELTAS)) == "Good morning to you."
        assert rig.host.done == []
        rig.leg.play_out()
        assert rig.client.types[-1] == "output_audio_buffer.stopped"
        assert rig.host.done == ["finished"]
        done = rig.client.last("response.done")["response"]
        assert rig.client.last("output_audio_buffer.started")["response_id"] == done["id"]
        assert done["status"] == "completed"
        assert done["output"][0]["content"] == [
            {"type": "output_audio", "transcript": "Good morning to you."}
        ]
        assert rig.leg.bursts == [await SilentVoice().speak("Good morning to you.")]


async def test_items_name_the_item_in_front_of_them() -> None:
    async with Rig() as rig:
        await rig.greet()
        rig.say("One.")
        await rig.client.until("response.done")
        added = rig.client.of("conversation.item.added")
        assert len(added) == 2
        greeting_id = rig.client.last("input_audio_buffer.committed")["previous_item_id"]
        assert added[0]["previous_item_id"] == greeting_id
        assert added[1]["previous_item_id"] == added[0]["item"]["id"]
        assert rig.client.of("conversation.item.done")[1]["previous_item_id"] == added[0]["item"]["id"]


async def test_a_turn_of_the_caller_is_committed_then_answered() -> None:
    async with Rig("turns: [It is noon.]\ntranscription: {delay_ms: 60000}\n") as rig:
        rig.client.events.clear()
        rig.say("What time is it?")
        await rig.client.until("response.done")
        kinds = rig.client.without(DELTAS, "output_audio_buffer.started")
        assert kinds == [*TURN, *RESPONSE_START, *RESPONSE_END]
        item_ids = {event["item_id"] for event in rig.client.events[:3]}
        assert item_ids == {rig.client.events[3]["item"]["id"]}
        assert rig.client.events[3]["item"]["content"] == [{"type": "input_audio", "transcript": None}]


async def test_a_transcription_may_come_before_the_first_word() -> None:
    async with Rig("turns: [{say: It is noon., delay_ms: 100}]\ntranscription: {delay_ms: 0}\n") as rig:
        rig.say("What time is it in the city of London just now?")
        await rig.client.until("response.done")
        wanted = ("response.created", f"{TRANSCRIPTION}.completed", DELTAS)
        places = [rig.client.types.index(kind) for kind in wanted]
        assert places == sorted(places)
        item_id = rig.client.last("input_audio_buffer.committed")["item_id"]
        deltas = rig.client.of(f"{TRANSCRIPTION}.delta")
        assert len(deltas) > 1
        assert {event["item_id"] for event in deltas} == {item_id}
        completed = rig.client.last(f"{TRANSCRIPTION}.completed")
        assert completed["transcript"] == "What time is it in the city of London just now?"
        assert "".join(event["delta"] for event in deltas) == completed["transcript"]
        assert completed["usage"]["type"] == "tokens"


async def test_a_transcription_may_come_after_the_whole_response() -> None:
    async with Rig("transcription: {delay_ms: 300}\n") as rig:
        rig.say("Hello.")
        await rig.client.until(f"{TRANSCRIPTION}.completed")
        types = rig.client.types
        assert types.index("response.done") < types.index(f"{TRANSCRIPTION}.delta")


async def test_a_transcription_may_fail() -> None:
    async with Rig("transcription: {delay_ms: 0, fails: true}\n") as rig:
        rig.say("Hello.")
        failed = await rig.client.until(f"{TRANSCRIPTION}.failed")
        assert failed["error"]["code"] == "audio_unintelligible"


async def test_nothing_is_transcribed_unless_it_was_asked_for() -> None:
    audio = PHONE_SESSION["audio"]
    without = {**PHONE_SESSION, "audio": {**audio, "input": {"turn_detection": {"type": "server_vad"}}}}
    async with Rig("transcription: {delay_ms: 0}\n", session=without) as rig:
        rig.say("Hello.")
        await rig.client.until("response.done")
        assert not [kind for kind in rig.client.types if kind.startswith(TRANSCRIPTION)]


async def test_a_tool_is_called_and_its_output_spoken() -> None:
    script = """
turns:
  - say: One moment.
    call: {tool: next_free_slot, with: {treatment: checkup}, then: "It is {output}."}
"""
    async with Rig(script) as rig:
        await rig.greet()
        rig.say("When?")
        done = await rig.client.until("response.done")
        message, call = done["response"]["output"]
        assert message["content"][0]["transcript"] == "One moment."
        assert (call["type"], call["name"], call["arguments"]) == (
            "function_call",
            "next_free_slot",
            '{"treatment": "checkup"}',
        )
        arguments = rig.client.last("response.function_call_arguments.done")
        assert arguments["call_id"] == call["call_id"]
        assert arguments["output_index"] == 1
        deltas = rig.client.of("response.function_call_arguments.delta")
        assert "".join(event["delta"] for event in deltas) == call["arguments"]
        rig.leg.play_out()
        assert rig.host.done == ["finished"], "only the greeting: a tool's output is awaited"
        output = {"type": "function_call_output", "call_id": call["call_id"], "output": '"Tuesday"'}
        rig.send("conversation.item.create", item=output)
        rig.send("response.create")
        done = await rig.client.until("response.done", 2)
        assert done["response"]["output"][0]["content"][0]["transcript"] == "It is Tuesday."
        rig.leg.play_out()
        assert rig.host.done == ["finished", "finished"]


async def test_what_the_instructions_quote_is_said_word_for_word() -> None:
    async with Rig("turns: [Never said.]\n") as rig:
        words = 'Harbor "Dental", good morning.\u00e9'
        instructions = 'Say exactly these words and nothing else: "Harbor \\"Dental\\", good morning.\\u00e9"'
        rig.send("response.create", response={"instructions": instructions})
        done = await rig.client.until("response.done")
        assert done["response"]["output"][0]["content"][0]["transcript"] == words


# Interruptions ---------------------------------------------------------------------------------------


async def test_an_interruption_of_finished_speech_only_clears() -> None:
    async with Rig("greeting: A long sentence that is cut off somewhere.\n") as rig:
        rig.send("response.create")
        done = await rig.client.until("response.done")
        item_id = done["response"]["output"][0]["id"]
        rig.client.events.clear()
        rig.leg.sent_ms = 500
        rig.conversation.caller_speech_started()
        assert rig.client.types == ["input_audio_buffer.speech_started", "output_audio_buffer.cleared"]
        assert rig.client.events[1]["response_id"] == done["response"]["id"]
        assert not rig.leg.queued
        rig.send("conversation.item.retrieve", item_id=item_id)
        item = rig.client.last("conversation.item.retrieved")["item"]
        assert "transcript" not in item["content"][0]
        assert len(item["content"][0]["audio"]) == (4000 + 2) // 3 * 4, "500 ms of mu-law in base64"
        assert rig.conversation.transcript[0].interrupted


async def test_an_interruption_while_generating_cancels_after_clearing() -> None:
    script = "greeting: This is a very long sentence that goes on and on and on.\n"
    async with Rig(script, voice=SilentVoice(ms_per_character=100_000)) as rig:
        rig.send("response.create")
        await rig.client.until(DELTAS)
        rig.client.events.clear()
        rig.leg.sent_ms = 20
        rig.say("Stop!")
        assert rig.client.types[: 2 + len(RESPONSE_END)] == [
            "input_audio_buffer.speech_started",
            "output_audio_buffer.cleared",
            *RESPONSE_END,
        ]
        done = rig.client.last("response.done")["response"]
        assert done["status"] == "cancelled"
        assert done["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
        assert done["output"][0]["status"] == "incomplete"
        # The turn that interrupted is answered.
        assert rig.client.types[2 + len(RESPONSE_END) :] == [
            *TURN[1:],
            "response.created",
            "rate_limits.updated",
        ]


async def test_a_truncation_is_announced_where_the_script_says_so() -> None:
    script = "announces_truncation: true\ngreeting: A long sentence that is cut off somewhere.\n"
    async with Rig(script) as rig:
        rig.send("response.create")
        await rig.client.until("response.done")
        rig.leg.sent_ms = 500
        rig.conversation.caller_speech_started()
        truncated = rig.client.last("conversation.item.truncated")
        assert truncated["audio_end_ms"] == 500


async def test_an_interruption_before_the_first_word_clears_nothing() -> None:
    async with Rig("greeting: {say: Hello., delay_ms: 60000}\n") as rig:
        rig.send("response.create")
        rig.client.events.clear()
        rig.conversation.caller_speech_started()
        assert rig.client.types == ["input_audio_buffer.speech_started", "response.done"]
        assert rig.client.last("response.done")["response"]["output"] == []


async def test_speech_that_was_heard_to_the_end_stays_whole() -> None:
    async with Rig() as rig:
        await rig.greet()
        rig.conversation.caller_speech_started()
        assert rig.client.types == ["input_audio_buffer.speech_started"]
        assert not rig.conversation.transcript[0].interrupted


async def test_without_interrupt_response_the_agent_talks_on_and_the_turn_fails_to_be_answered() -> None:
    async with Rig(
        session=phone_session(interrupt_response=False), voice=SilentVoice(ms_per_character=100_000)
    ) as rig:
        rig.send("response.create")
        await rig.client.until(DELTAS)
        rig.client.events.clear()
        rig.say("Hello?")
        assert rig.client.types == [*TURN, "error"]
        error = rig.client.last("error")["error"]
        assert error["code"] == "conversation_already_has_active_response"
        assert error["event_id"] is None


async def test_without_create_response_the_client_answers_when_it_likes() -> None:
    async with Rig('turns: ["You said {caller}"]\n', session=phone_session(create_response=False)) as rig:
        rig.client.events.clear()
        rig.say("one.")
        assert rig.client.types == TURN
        rig.say("two.")
        rig.send("response.create")
        done = await rig.client.until("response.done")
        assert done["response"]["output"][0]["content"][0]["transcript"] == "You said one. two."


# Responses asked for ---------------------------------------------------------------------------------


async def test_a_second_response_is_refused_by_an_error_alone() -> None:
    async with Rig(voice=SilentVoice(ms_per_character=100_000)) as rig:
        rig.send("response.create")
        await rig.client.until(DELTAS)
        active = rig.client.last("response.created")["response"]["id"]
        rig.client.events.clear()
        rig.send("response.create", event_id="mine_1")
        assert rig.client.types == ["error"]
        error = rig.client.events[0]["error"]
        assert error["code"] == "conversation_already_has_active_response"
        assert error["event_id"] == "mine_1"
        assert active in error["message"]


async def test_a_response_aside_runs_beside_the_conversation_and_leaves_it_alone() -> None:
    async with Rig(voice=SilentVoice(ms_per_character=100_000)) as rig:
        rig.send("response.create")
        await rig.client.until(DELTAS)
        rig.client.events.clear()
        aside = {
            "conversation": "none",
            "output_modalities": ["text"],
            "metadata": {"topic": "summary"},
            "instructions": 'Write exactly "fine"',
        }
        rig.send("response.create", response=aside)
        done = (await rig.client.until("response.done"))["response"]
        assert done["conversation_id"] is None
        assert done["metadata"] == {"topic": "summary"}
        assert done["output"][0]["content"] == [{"type": "output_text", "text": "fine"}]
        assert "conversation.item.added" not in rig.client.types
        assert "error" not in rig.client.types


async def test_a_response_may_not_refer_to_what_is_not_there() -> None:
    async with Rig() as rig:
        await rig.greet()
        rig.send("response.create", response={"input": [{"type": "item_reference", "id": "item_x"}]})
        assert rig.client.types == ["error"]
        assert rig.client.last("error")["error"]["param"] == "response.input"


async def test_a_response_outside_the_conversation_can_be_cancelled_by_its_id() -> None:
    async with Rig("otherwise: {say: Aside., delay_ms: 60000}\n") as rig:
        rig.send("response.create", response={"conversation": "none"})
        response_id = rig.client.last("response.created")["response"]["id"]
        rig.send("response.cancel", response_id="resp_x")
        assert rig.client.last("error")["error"]["code"] == "response_cancel_not_active"
        rig.send("response.cancel", response_id=response_id)
        assert rig.client.last("response.done")["response"]["status"] == "cancelled"
        assert rig.host.done == ["finished"]
        assert rig.conversation.agent_is_idle


async def test_text_instead_of_audio() -> None:
    session = {**PHONE_SESSION, "output_modalities": ["text"]}
    async with Rig("greeting: Good morning.\n", session=session) as rig:
        rig.client.events.clear()
        rig.send("response.create")
        done = await rig.client.until("response.done")
        assert rig.client.without("response.output_text.delta") == [
            *RESPONSE_START,
            "response.output_text.done",
            "response.content_part.done",
            "conversation.item.done",
            "response.output_item.done",
            "response.done",
        ]
        deltas = rig.client.of("response.output_text.delta")
        assert "".join(event["delta"] for event in deltas) == "Good morning."
        assert done["response"]["output"][0]["content"] == [{"type": "output_text", "text": "Good morning."}]
        assert "audio" not in done["response"]
        assert not rig.leg.queued
        assert rig.host.done == ["finished"]


async def test_a_new_response_waits_for_the_old_ones_playback() -> None:
    async with Rig("greeting: One.\notherwise: Two.\n") as rig:
        rig.send("response.create")
        first = (await rig.client.until("response.done"))["response"]["id"]
        rig.send("response.create", response={"instructions": 'Say exactly "Two."'})
        second = (await rig.client.until("response.done", 2))["response"]["id"]
        assert [event["response_id"] for event in rig.client.of("output_audio_buffer.started")] == [first]
        rig.leg.play_out()
        assert rig.client.types[-2:] == ["output_audio_buffer.stopped", "output_audio_buffer.started"]
        rig.leg.play_out()
        stopped = rig.client.of("output_audio_buffer.stopped")
        assert [event["response_id"] for event in stopped] == [first, second]
        assert rig.host.done == ["finished"]


async def test_cancelling_stops_generation_and_clearing_stops_the_sound() -> None:
    async with Rig(voice=SilentVoice(ms_per_character=100_000)) as rig:
        rig.send("response.create")
        await rig.client.until(DELTAS)
        rig.client.events.clear()
        rig.send("response.cancel")
        assert rig.client.types == RESPONSE_END
        assert rig.client.last("response.done")["response"]["status_details"]["reason"] == "client_cancelled"
        assert rig.leg.queued
        assert rig.leg.finishing
        rig.leg.sent_ms = 10
        rig.send("output_audio_buffer.clear")
        assert rig.client.types[-1] == "output_audio_buffer.cleared"
        assert not rig.leg.queued
        rig.send("output_audio_buffer.clear")
        assert rig.client.types[-1] == "output_audio_buffer.cleared", "nothing was left to clear"
        rig.send("response.cancel", event_id="late")
        error = rig.client.last("error")["error"]
        assert (error["code"], error["event_id"]) == ("response_cancel_not_active", "late")


async def test_a_response_ends_at_its_token_limit() -> None:
    async with Rig("greeting: This takes more tokens than it may use.\n") as rig:
        rig.send("response.create", response={"max_output_tokens": 20})
        done = (await rig.client.until("response.done"))["response"]
        assert done["status"] == "incomplete"
        assert done["status_details"]["reason"] == "max_output_tokens"
        assert 0 < len(done["output"][0]["content"][0]["transcript"]) < 40


async def test_usage_grows_with_the_conversation_and_the_prefix_is_cached() -> None:
    async with Rig("turns: [One., Two.]\n") as rig:
        rig.say("First.")
        first = (await rig.client.until("response.done"))["response"]["usage"]
        rig.say("Second.")
        second = (await rig.client.until("response.done", 2))["response"]["usage"]
        assert second["input_tokens"] > first["input_tokens"]
        assert second["input_token_details"]["cached_tokens"] == first["input_tokens"]
        assert first["output_token_details"]["audio_tokens"] > 0
        for usage in (first, second):
            assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]


# Manual turns, keys, silence -------------------------------------------------------------------------


async def test_manual_turns_are_committed_by_the_client() -> None:
    async with Rig('turns: ["You said {caller}"]\n', session=phone_session(type=None)) as rig:
        rig.client.events.clear()
        rig.send("input_audio_buffer.commit")
        assert rig.client.last("error")["error"]["code"] == "input_audio_buffer_commit_empty"
        rig.conversation.caller_speech_started()
        await asyncio.sleep(0.12)
        rig.conversation.caller_speech_stopped("hello.")
        assert rig.client.types == ["error"]
        rig.send("input_audio_buffer.commit")
        assert rig.client.types[1:] == [
            "input_audio_buffer.committed",
            "conversation.item.added",
            "conversation.item.done",
        ]
        rig.send("response.create")
        done = await rig.client.until("response.done")
        assert done["response"]["output"][0]["content"][0]["transcript"] == "You said hello."


async def test_a_cleared_buffer_holds_nothing_to_commit() -> None:
    async with Rig(session=phone_session(type=None)) as rig:
        for _ in range(10):
            rig.conversation.caller_audio(bytes(160))
        rig.send("input_audio_buffer.clear")
        assert rig.client.types[-1] == "input_audio_buffer.cleared"
        rig.send("input_audio_buffer.commit")
        assert rig.client.last("error")["error"]["code"] == "input_audio_buffer_commit_empty"


async def test_keys_are_reported_and_left_to_the_client() -> None:
    async with Rig() as rig:
        rig.client.events.clear()
        for digit in "5#":
            rig.conversation.caller_digit(digit)
        assert rig.client.types == ["input_audio_buffer.dtmf_event_received"] * 2
        assert [event["event"] for event in rig.client.events] == ["5", "#"]
        assert "event_id" not in rig.client.events[0]
        assert rig.client.events[0]["received_at"] > 1_600_000_000


async def test_a_script_can_make_the_model_hear_keys() -> None:
    async with Rig('reactions: [{digits: "12", say: Twelve it is.}]\n') as rig:
        for digit in "112":
            rig.conversation.caller_digit(digit)
        done = await rig.client.until("response.done")
        assert done["response"]["output"][0]["content"][0]["transcript"] == "Twelve it is."


async def test_silence_is_answered_after_the_idle_timeout() -> None:
    async with Rig("turns: []\notherwise: Are you there?\n") as rig:
        update = {"type": "realtime", "audio": {"input": {"turn_detection": {
            "type": "server_vad", "idle_timeout_ms": 5000}}}}  # fmt: skip
        rig.send("session.update", session=update)
        assert rig.client.types[-1] == "session.updated"
        await rig.greet()
        # Five seconds are the least a client may ask for, and too long for a test: ring the alarm by hand.
        due_at_s = rig.conversation._silence.due_at_s
        assert due_at_s is not None
        assert 4.5 < due_at_s - asyncio.get_running_loop().time() <= 5
        rig.conversation._silence_lasted(1000)
        done = await rig.client.until("response.done")
        assert rig.client.types[:4] == [
            "input_audio_buffer.timeout_triggered",
            "input_audio_buffer.committed",
            "conversation.item.added",
            "conversation.item.done",
        ]
        assert rig.client.events[0]["audio_start_ms"] == 1000
        assert rig.client.events[0]["audio_end_ms"] >= 1000
        assert done["response"]["status"] == "completed"


async def test_speech_stops_the_idle_timer_and_null_switches_it_off() -> None:
    async with Rig(session=phone_session(idle_timeout_ms=5000)) as rig:
        await rig.greet()
        assert idling(rig)
        rig.conversation.caller_speech_started()
        assert not idling(rig)
        rig.conversation.caller_speech_stopped("Hello.")
        await rig.client.until("response.done")
        rig.leg.play_out()
        assert idling(rig)
        for change, armed in (({"threshold": 0.4}, True), ({"idle_timeout_ms": None}, False)):
            turn_detection = {"type": "server_vad", **change}
            update = {"type": "realtime", "audio": {"input": {"turn_detection": turn_detection}}}
            rig.send("session.update", session=update)
            assert idling(rig) is armed


# Life and death --------------------------------------------------------------------------------------


async def test_the_conversation_goes_on_without_a_socket_and_replays_nothing() -> None:
    async with Rig("turns: [Unheard., Heard.]\n", attached=False) as rig:
        rig.say("One.")
        await rig.leg.until_finishing()
        rig.leg.play_out()
        rig.conversation.attach(rig.client.take)
        assert rig.client.types == ["session.created", "conversation.created"]
        rig.say("Two.")
        done = await rig.client.until("response.done")
        assert done["response"]["output"][0]["content"][0]["transcript"] == "Heard."


async def test_nothing_happens_after_the_end() -> None:
    async with Rig(voice=SilentVoice(ms_per_character=100_000)) as rig:
        rig.send("response.create")
        await rig.client.until(DELTAS)
        rig.client.events.clear()
        await rig.conversation.aclose()
        # What was on its way comes too late.
        rig.send("response.cancel")
        rig.send("response.create")
        rig.say("Hello?")
        rig.conversation.caller_audio(bytes(160))
        rig.conversation.caller_digit("1")
        rig.conversation.playback_stopped()
        rig.conversation.attach(rig.client.take)
        await rig.conversation.aclose()
        assert rig.client.types == []
        assert rig.host.done == []


async def test_the_transcript_holds_both_sides_in_order() -> None:
    async with Rig("greeting: Good morning.\nturns: [It is noon.]\n") as rig:
        await rig.greet()
        rig.say("What time is it?")
        await rig.client.until("response.done")
        assert [(line.role, line.text) for line in rig.conversation.transcript] == [
            ("agent", "Good morning."),
            ("caller", "What time is it?"),
            ("agent", "It is noon."),
        ]
        assert rig.conversation.events_sent["response.done"] == 2
        assert rig.conversation.events_received["response.create"] == 1


async def test_a_real_caller_is_found_by_the_vad_and_has_the_lines_of_its_invite() -> None:
    headers = [
        ("From", "<sip:+15550100123@carrier.test>"),
        ("x-sipagent-caller-says", "Gr%C3%BC%C3%9F%20Gott."),
        ("X-Sipagent-Caller-Says", "Second%2C line"),
    ]
    loud, quiet = bytes([0x10, 0x90]) * 80, bytes([0xFF]) * 160
    async with Rig("transcription: {delay_ms: 0}\n", headers=headers) as rig:
        for turn, words in enumerate(("Gr\u00fc\u00df Gott.", "Second, line", "(speech)"), 1):
            for frame in [quiet] * 50 + [loud] * 30 + [quiet] * 40:
                rig.conversation.caller_audio(frame)
            await rig.client.until("response.done", turn)
            completed = await rig.client.until(f"{TRANSCRIPTION}.completed", turn)
            assert completed["transcript"] == words
            rig.leg.play_out()
        started = rig.client.of("input_audio_buffer.speech_started")
        stopped = rig.client.of("input_audio_buffer.speech_stopped")
        assert [event["audio_start_ms"] for event in started] == [700, 3100, 5500]
        assert [event["audio_end_ms"] for event in stopped] == [2100, 4500, 6900]
        item_id = rig.client.of("input_audio_buffer.committed")[0]["item_id"]
        rig.send("conversation.item.retrieve", item_id=item_id)
        audio = rig.client.last("conversation.item.retrieved")["item"]["content"][0]["audio"]
        # 300 ms of padding, 600 ms of speech, 500 ms of silence that ended it.
        assert len(base64.b64decode(audio)) == 1400 * 8


async def test_an_update_that_changes_no_judgement_does_not_disturb_a_turn() -> None:
    loud, quiet = bytes([0x10, 0x90]) * 80, bytes([0xFF]) * 160
    async with Rig() as rig:
        for frame in [quiet] * 50 + [loud] * 10:
            rig.conversation.caller_audio(frame)
        rig.send("session.update", session=PHONE_SESSION)
        for frame in [loud] * 10 + [quiet] * 40:
            rig.conversation.caller_audio(frame)
        assert len(rig.client.of("input_audio_buffer.speech_started")) == 1
        assert len(rig.client.of("input_audio_buffer.speech_stopped")) == 1
