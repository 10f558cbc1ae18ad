"""Whose words they are that the VAD found."""

from __future__ import annotations

from sipagent.simulator.caller_side import CALLER_SAYS_HEADER, lines_of_caller
from tests.simulator.session_rig import PHONE_SESSION, Rig


def test_the_invite_tells_what_the_caller_says_else_the_script_does() -> None:
    headers = [("To", "x"), (CALLER_SAYS_HEADER, " One%20%25 "), (CALLER_SAYS_HEADER.upper(), "Zw%C3%B6lf")]
    assert lines_of_caller(headers, ["never"]) == ("One %", "Zw\u00f6lf")
    assert lines_of_caller([("To", "x")], ["a", "b"]) == ("a", "b")


async def test_a_turn_committed_by_hand_leaves_the_rest_to_the_vad() -> None:
    script = "caller: {lines: [First half., Second half.]}\nturns: ['Heard {caller}']\n"
    loud, quiet = bytes([0x10, 0x90]) * 80, bytes([0xFF]) * 160
    async with Rig(script, session=PHONE_SESSION) as rig:
        for frame in [quiet] * 20 + [loud] * 20:
            rig.conversation.caller_audio(frame)
        rig.send("input_audio_buffer.commit")
        for frame in [loud] * 10 + [quiet] * 30:
            rig.conversation.caller_audio(frame)
        first, second = rig.client.of("input_audio_buffer.committed")
        assert first["item_id"] == rig.client.last("input_audio_buffer.speech_started")["item_id"]
        assert second["item_id"] == rig.client.last("input_audio_buffer.speech_stopped")["item_id"]
        assert second["previous_item_id"] == first["item_id"]
        done = await rig.client.until("response.done")
        transcript = done["response"]["output"][0]["content"][0]["transcript"]
        assert transcript == "Heard First half. Second half."


async def test_turns_may_become_manual_in_the_middle_of_one() -> None:
    manual = {"type": "realtime", "audio": {"input": {"turn_detection": None}}}
    async with Rig() as rig:
        rig.conversation.caller_speech_started()
        rig.send("session.update", session=manual)
        rig.conversation.caller_speech_stopped("Hello.")
        assert "input_audio_buffer.speech_stopped" not in rig.client.types
        rig.send("response.create")
        await rig.client.until("response.done")
